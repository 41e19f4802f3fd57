/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: TCP streams do what base/stream.h promises when peers half-close, stall, reset or never
 * read, and when streams and listeners are aborted from other threads; and nothing is leaked. */
#include "base/math.h"
#include "host/host.h"
#include "net/net.h"
#include "tests/net/echo.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PORT 7000
#define MILLISECOND 1000000u
#define MIB ((size_t)1024 * 1024)

size_t __sanitizer_get_current_allocated_bytes(void); /* gcc has it without a header */

static struct tap *tap;
static struct listener *listener;

/* A connection: Linux's socket and our stream. */
static int connected(struct stream **stream) {
    int fd = tap_connect(PORT);
    assert_true(fd >= 0);
    assert_int_equal(listener_accept(listener, stream), STATUS_OK);
    return fd;
}

static enum status write_bytes(struct stream *stream, const void *data, size_t length) {
    struct span span = {(void *)data, length};
    return stream_write(stream, &span, 1);
}

static size_t receive_all(int fd, uint64_t seed) {
    uint8_t buffer[65536];
    size_t received = 0;
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0)
            return got == 0 ? received : SIZE_MAX;
        for (ssize_t i = 0; i < got; i++, received++)
            if (buffer[i] != echo_byte(seed, received))
                return SIZE_MAX;
    }
}

static char *pattern(size_t length, uint64_t seed) {
    char *data = malloc(length);
    for (size_t i = 0; i < length; i++)
        data[i] = (char)echo_byte(seed, i);
    return data;
}

static void peer_text(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &size);
    char expected[64];
    snprintf(expected, sizeof expected, TAP_LINUX_ADDRESS ":%u", ntohs(own.sin_port));
    assert_string_equal(stream->peer, expected);
    assert_string_equal(listener->address, "0.0.0.0:7000");
    close(fd);
    stream_close(stream);
}

static void half_closed_peer_gets_the_answer(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    assert_int_equal(send(fd, "question", 8, 0), 8);
    shutdown(fd, SHUT_WR);
    char text[16];
    size_t got = 0;
    assert_int_equal(stream_read_all(stream, text, 8), STATUS_OK);
    assert_memory_equal(text, "question", 8);
    assert_int_equal(stream_read(stream, text, sizeof text, &got), STATUS_OK);
    assert_int_equal(got, 0);
    assert_int_equal(stream_read(stream, text, sizeof text, &got), STATUS_OK);
    assert_int_equal(got, 0); /* and again */
    assert_int_equal(stream_read_all(stream, text, 1), STATUS_CLOSED);
    char *data = pattern(MIB / 2, 5);
    assert_int_equal(write_bytes(stream, data, MIB / 2), STATUS_OK);
    stream_close(stream);
    assert_int_equal(receive_all(fd, 5), MIB / 2);
    free(data);
    close(fd);
}

static void close_sends_what_was_written(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    char unread[5000] = {0};
    assert_int_equal(send(fd, unread, sizeof unread, 0), sizeof unread);
    char *data = pattern(MIB, 6);
    assert_int_equal(write_bytes(stream, data, MIB), STATUS_OK);
    free(data);
    os_sleep_ns(50 * MILLISECOND);
    stream_close(stream); /* with input unread */
    os_sleep_ns(300 * MILLISECOND);
    assert_int_equal(send(fd, unread, sizeof unread, MSG_NOSIGNAL), sizeof unread);
    assert_int_equal(receive_all(fd, 6), MIB);
    close(fd);
}

static void reading_times_out(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    char byte;
    size_t got = 1;
    uint64_t start = os_now_ns();
    stream_set_timeout(stream, 100 * MILLISECOND);
    assert_int_equal(stream_read(stream, &byte, 1, &got), STATUS_TIMEOUT);
    assert_int_equal(got, 0);
    assert_in_range(os_now_ns() - start, 100 * MILLISECOND, 5000ull * MILLISECOND);
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(stream_read(stream, &byte, 1, &got), STATUS_OK);
    close(fd);
    stream_close(stream);
}

static void writing_to_a_peer_that_does_not_read_times_out(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    char *data = calloc(1, 16 * MIB);
    stream_set_timeout(stream, 300 * MILLISECOND);
    assert_int_equal(write_bytes(stream, data, 16 * MIB), STATUS_TIMEOUT);
    stream_abort(stream);
    assert_int_equal(write_bytes(stream, data, 1), STATUS_CLOSED);
    stream_close(stream);
    free(data);
    close(fd);
}

static void a_peer_that_nobody_reads_binds_little(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    char *data = calloc(1, 2 * MIB);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ssize_t sent = send(fd, data, 2 * MIB, 0);
    assert_true(sent > 65536);
    os_sleep_ns(200 * MILLISECOND);
    int unacknowledged = 0;
    ioctl(fd, SIOCOUTQ, &unacknowledged);
    assert_in_range(sent - unacknowledged, 1, 65535);
    free(data);
    close(fd);
    stream_close(stream);
}

static void one_byte_segments_bind_little(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    struct stream *stream;
    int fd = connected(&stream);
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    size_t before = __sanitizer_get_current_allocated_bytes();
    uint64_t received = tap->received;
    for (int i = 0; i < COUNT; i++) {
        uint8_t byte = echo_byte(8, (uint64_t)i);
        assert_int_equal(send(fd, &byte, 1, 0), 1);
        if (i % 8 == 0)
            os_sleep_ns(1);
    }
    os_sleep_ns(200 * MILLISECOND);
    size_t bound = __sanitizer_get_current_allocated_bytes() - before;
    print_message("%lu frames bind %zu bytes\n", (unsigned long)(tap->received - received), bound);
    assert_in_range(bound, COUNT, 4 * COUNT);
    char *data = pattern(COUNT, 8);
    char *read = malloc(COUNT);
    assert_int_equal(stream_read_all(stream, read, COUNT), STATUS_OK);
    assert_memory_equal(read, data, COUNT);
    free(read);
    free(data);
    close(fd);
    stream_close(stream);
}

struct blocked {
    struct stream *stream;
    enum status status;
};

static void blocked_read(void *argument) {
    struct blocked *blocked = argument;
    char byte;
    blocked->status = stream_read_all(blocked->stream, &byte, 1);
}

static void blocked_write(void *argument) {
    struct blocked *blocked = argument;
    char *data = calloc(1, 16 * MIB);
    blocked->status = write_bytes(blocked->stream, data, 16 * MIB);
    free(data);
}

static void both_return_closed(int fd, struct stream *stream, bool by_peer) {
    struct blocked reader = {stream, STATUS_OK};
    struct blocked writer = {stream, STATUS_OK};
    struct os_thread *threads[2];
    assert_int_equal(os_thread_start(&threads[0], "reader", blocked_read, &reader), STATUS_OK);
    assert_int_equal(os_thread_start(&threads[1], "writer", blocked_write, &writer), STATUS_OK);
    os_sleep_ns(100 * MILLISECOND);
    tap_reset_on_close(fd);
    if (by_peer)
        close(fd);
    else
        stream_abort(stream);
    os_thread_join(threads[0]);
    os_thread_join(threads[1]);
    assert_int_equal(reader.status, STATUS_CLOSED);
    assert_int_equal(writer.status, STATUS_CLOSED);
    stream_abort(stream); /* once more changes nothing */
    stream_close(stream);
    if (!by_peer)
        close(fd);
}

static void abort_ends_both_directions(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    both_return_closed(fd, stream, false);
}

static void reset_ends_both_directions(void **state) {
    (void)state;
    struct stream *stream;
    int fd = connected(&stream);
    both_return_closed(fd, stream, true);
}

/* One connection that ends badly in one of many ways. */
static void one_bad_end(uint64_t *random) {
    struct stream *stream = NULL;
    int fd = tap_connect(PORT);
    assert_true(fd >= 0);
    char *data = calloc(1, MIB);
    bool early = tap_random(random) % 4 == 0;
    if (tap_random(random) % 2 == 0)
        assert_true(send(fd, data, tap_random(random) % 30000 + 1, MSG_NOSIGNAL) > 0);
    if (tap_random(random) % 4 == 0)
        shutdown(fd, SHUT_WR);
    if (early) { /* before anybody accepted it */
        tap_reset_on_close(fd);
        close(fd);
        free(data);
        return;
    }
    assert_int_equal(listener_accept(listener, &stream), STATUS_OK);
    if (tap_random(random) % 2 == 0)
        (void)write_bytes(stream, data, tap_random(random) % MIB / 2 + 1);
    if (tap_random(random) % 2 == 0)
        tap_reset_on_close(fd);
    unsigned order = tap_random(random) % 3;
    if (order == 0)
        close(fd);
    if (order == 2)
        stream_abort(stream);
    stream_close(stream);
    if (order != 0)
        close(fd);
    free(data);
}

/* Takes what is left of connections that were reset before they were accepted. */
static void drain_listener(void) {
    struct blocked last;
    int fd = connected(&last.stream);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &size);
    while (atoi(strchr(last.stream->peer, ':') + 1) != ntohs(own.sin_port)) {
        stream_close(last.stream);
        assert_int_equal(listener_accept(listener, &last.stream), STATUS_OK);
    }
    stream_close(last.stream);
    close(fd);
}

static size_t settled_memory(void) {
    size_t least = SIZE_MAX;
    for (int i = 0; i < 20; i++) {
        os_sleep_ns(100 * MILLISECOND);
        least = MATH_MIN(least, __sanitizer_get_current_allocated_bytes());
    }
    return least;
}

static void bad_ends_leak_nothing(void **state) {
    (void)state;
    enum { ROUNDS = 300 };
    uint64_t random = tap_seed();
    for (int i = 0; i < 20; i++)
        one_bad_end(&random);
    drain_listener();
    size_t before = settled_memory();
    for (int i = 0; i < ROUNDS; i++)
        one_bad_end(&random);
    drain_listener();
    size_t after = settled_memory();
    print_message("%zu bytes before, %zu after %d connections\n", before, after, ROUNDS);
    /* What may stay for a minute is a block of TIME-WAIT for each: less than one segment. */
    assert_in_range(after, 0, before + ROUNDS * 250);
    assert_int_equal(__atomic_load_n(&tap->lent, __ATOMIC_SEQ_CST), 0);
}

static void *accept_in_thread(void *argument) {
    struct stream *stream;
    return (void *)(uintptr_t)listener_accept(argument, &stream);
}

static void aborted_listener_returns_closed(void **state) {
    (void)state;
    struct listener *own;
    assert_int_equal(net_tcp_listen(7001, &own), STATUS_OK);
    pthread_t thread;
    pthread_create(&thread, NULL, accept_in_thread, own);
    os_sleep_ns(50 * MILLISECOND);
    listener_abort(own);
    void *status;
    pthread_join(thread, &status);
    assert_int_equal((uintptr_t)status, STATUS_CLOSED);
    assert_int_equal((uintptr_t)accept_in_thread(own), STATUS_CLOSED);
    listener_close(own);
    assert_int_equal(tap_connect(7001), -1);
}

static void port_is_taken_once_and_free_after_close(void **state) {
    (void)state;
    struct listener *own;
    struct listener *other = NULL;
    struct stream *stream;
    assert_int_equal(net_tcp_listen(PORT, &other), STATUS_BUSY);
    assert_int_equal(net_tcp_listen(7002, &own), STATUS_OK);
    int fd = tap_connect(7002);
    assert_int_equal(listener_accept(own, &stream), STATUS_OK);
    int waiting = tap_connect(7002); /* nobody accepts it */
    assert_true(waiting >= 0);
    listener_close(own);
    char byte;
    assert_int_equal(recv(waiting, &byte, 1, 0), -1); /* reset */
    close(waiting);
    assert_int_equal(net_tcp_listen(7002, &own), STATUS_OK); /* while a connection lives on */
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(stream_read_all(stream, &byte, 1), STATUS_OK);
    stream_close(stream);
    close(fd);
    listener_close(own);
}

int main(void) {
    host_start("stream_contract");
    tap = tap_new(NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM);
    struct net_interface_config config;
    if (net_start() != STATUS_OK || net_parse_config(TAP_OUR_ADDRESS "/24", &config) != STATUS_OK ||
        net_interface_add(&tap->device, &config) != STATUS_OK ||
        net_tcp_listen(PORT, &listener) != STATUS_OK)
        abort();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_text),
        cmocka_unit_test(half_closed_peer_gets_the_answer),
        cmocka_unit_test(close_sends_what_was_written),
        cmocka_unit_test(reading_times_out),
        cmocka_unit_test(writing_to_a_peer_that_does_not_read_times_out),
        cmocka_unit_test(a_peer_that_nobody_reads_binds_little),
        cmocka_unit_test(one_byte_segments_bind_little),
        cmocka_unit_test(abort_ends_both_directions),
        cmocka_unit_test(reset_ends_both_directions),
        cmocka_unit_test(bad_ends_leak_nothing),
        cmocka_unit_test(aborted_listener_returns_closed),
        cmocka_unit_test(port_is_taken_once_and_free_after_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
