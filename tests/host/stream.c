/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: socket streams and listeners keep base/stream.h's contract. */
#include "base/stream.h"
#include "base/os.h"
#include "host/host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000ull
#define BIG (4u << 20)

struct pair {
    struct stream *one, *other;
};

static int set_up(void **state) {
    struct pair *pair = malloc(sizeof *pair);
    assert_int_equal(host_stream_pair(&pair->one, &pair->other), STATUS_OK);
    *state = pair;
    return 0;
}

static int tear_down(void **state) {
    struct pair *pair = *state;
    stream_close(pair->one);
    if (pair->other != NULL)
        stream_close(pair->other);
    free(pair);
    return 0;
}

static unsigned char pattern(size_t i) {
    return (unsigned char)(i * 31 + i / 251);
}

/* Writes BIG bytes in 1,000 spans of uneven length. */
static void write_big(void *argument) {
    unsigned char *data = malloc(BIG);
    struct span spans[1000];
    size_t at = 0;
    for (size_t i = 0; i < BIG; i++)
        data[i] = pattern(i);
    for (size_t i = 0; i < 1000; i++) {
        size_t length = i == 999 ? BIG - at : 1 + i * 7 % 4000;
        spans[i] = (struct span){data + at, length};
        at += length;
    }
    assert_int_equal(stream_write(argument, spans, 1000), STATUS_OK);
    free(data);
}

/* All bytes of many spans arrive in order, although far more than the socket holds. */
static void big_writes_arrive(void **state) {
    struct pair *pair = *state;
    struct os_thread *writer;
    unsigned char *data = malloc(BIG);
    assert_int_equal(os_thread_start(&writer, "writer", write_big, pair->one), STATUS_OK);
    assert_int_equal(stream_read_all(pair->other, data, BIG), STATUS_OK);
    os_thread_join(writer);
    for (size_t i = 0; i < BIG; i++)
        if (data[i] != pattern(i))
            fail_msg("byte %zu differs", i);
    free(data);
}

/* The peer's end is a read of 0 bytes, and CLOSED for who wanted more. */
static void end_is_seen(void **state) {
    struct pair *pair = *state;
    char byte = 'x';
    size_t got;
    struct span span = {&byte, 1};
    assert_int_equal(stream_write(pair->other, &span, 1), STATUS_OK);
    stream_close(pair->other);
    pair->other = NULL;
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_OK);
    assert_int_equal(got, 1);
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_OK);
    assert_int_equal(got, 0);
    assert_int_equal(stream_read_all(pair->one, &byte, 1), STATUS_CLOSED);
    /* Writing to it must not raise SIGPIPE. */
    assert_int_equal(stream_write(pair->one, &span, 1), STATUS_CLOSED);
}

/* A read without a byte ends after its time, and the stream still works. */
static void read_times_out(void **state) {
    struct pair *pair = *state;
    char byte = 'x';
    size_t got;
    stream_set_timeout(pair->one, 20 * MS);
    uint64_t start = os_now_ns();
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_TIMEOUT);
    assert_true(os_now_ns() - start >= 20 * MS);
    struct span span = {&byte, 1};
    assert_int_equal(stream_write(pair->other, &span, 1), STATUS_OK);
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_OK);
    assert_int_equal(got, 1);
}

/* A write to a peer that takes nothing ends after its time. */
static void write_times_out(void **state) {
    struct pair *pair = *state;
    struct span span = {malloc(BIG), BIG};
    memset(span.base, 1, BIG);
    stream_set_timeout(pair->one, 20 * MS);
    assert_int_equal(stream_write(pair->one, &span, 1), STATUS_TIMEOUT);
    free(span.base);
}

static void abort_later(void *argument) {
    os_sleep_ns(20 * MS);
    stream_abort(argument);
}

/* An abort wakes a reader that would wait for ever; every later call is CLOSED. */
static void abort_wakes_reader(void **state) {
    struct pair *pair = *state;
    char byte = 'x';
    size_t got;
    struct os_thread *thread;
    assert_int_equal(os_thread_start(&thread, "abort", abort_later, pair->one), STATUS_OK);
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_CLOSED);
    os_thread_join(thread);
    struct span span = {&byte, 1};
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_CLOSED);
    assert_int_equal(stream_write(pair->one, &span, 1), STATUS_CLOSED);
}

/* An abort wakes a writer whose peer takes nothing. */
static void abort_wakes_writer(void **state) {
    struct pair *pair = *state;
    struct os_thread *thread;
    struct span span = {calloc(1, BIG), BIG};
    assert_int_equal(os_thread_start(&thread, "abort", abort_later, pair->one), STATUS_OK);
    assert_int_equal(stream_write(pair->one, &span, 1), STATUS_CLOSED);
    os_thread_join(thread);
    free(span.base);
}

/* An abort before the read is not forgotten, although bytes wait. */
static void early_abort_counts(void **state) {
    struct pair *pair = *state;
    char byte = 'x';
    size_t got;
    struct span span = {&byte, 1};
    assert_int_equal(stream_write(pair->other, &span, 1), STATUS_OK);
    stream_abort(pair->one);
    assert_int_equal(stream_read(pair->one, &byte, 1, &got), STATUS_CLOSED);
}

static int connect_to(const char *address) {
    unsigned port = (unsigned)atoi(strrchr(address, ':') + 1);
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    if (strncmp(address, "unix:", 5) == 0) {
        snprintf(local.sun_path, sizeof local.sun_path, "%s", address + 5);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&local, sizeof local), 0);
        return fd;
    }
    bool is_v6 = address[0] == '[';
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    struct sockaddr *name = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    assert_int_equal(connect(fd, name, is_v6 ? sizeof v6 : sizeof v4), 0);
    return fd;
}

/* Accepts one connection on the address and echoes through it once. */
static void exchange(const char *address) {
    struct listener *listener;
    struct stream *stream;
    char byte;
    assert_int_equal(host_listen(address, &listener), STATUS_OK);
    int fd = connect_to(listener->address);
    assert_int_equal(listener_accept(listener, &stream), STATUS_OK);
    assert_true(strlen(stream->peer) > 0);
    assert_int_equal(write(fd, "q", 1), 1);
    assert_int_equal(stream_read_all(stream, &byte, 1), STATUS_OK);
    assert_int_equal(byte, 'q');
    struct span span = {"answer", 6};
    assert_int_equal(stream_write(stream, &span, 1), STATUS_OK);
    char answer[6];
    assert_int_equal(recv(fd, answer, 6, MSG_WAITALL), 6);
    assert_memory_equal(answer, "answer", 6);
    stream_close(stream);
    close(fd);
    listener_close(listener);
}

/* TCP over IPv4 and IPv6 and unix sockets all carry bytes. */
static void every_family_listens(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/holdfast-stream-%d", (int)getpid());
    exchange("127.0.0.1:0");
    exchange(path);
    assert_int_equal(access(path + 5, F_OK), -1); /* the path went with the listener */
    if (access("/proc/net/if_inet6", F_OK) == 0)
        exchange("[::1]:0");
}

/* A reset by the peer is CLOSED and nothing worse. */
static void reset_is_closed(void **state) {
    (void)state;
    struct listener *listener;
    struct stream *stream;
    char byte;
    assert_int_equal(host_listen("127.0.0.1:0", &listener), STATUS_OK);
    int fd = connect_to(listener->address);
    assert_int_equal(listener_accept(listener, &stream), STATUS_OK);
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(fd);
    assert_int_equal(stream_read_all(stream, &byte, 1), STATUS_CLOSED);
    stream_close(stream);
    listener_close(listener);
}

/* What was written before a close arrives although unread input was waiting. */
static void close_sends_what_was_written(void **state) {
    (void)state;
    struct listener *listener;
    struct stream *stream;
    char answer[6];
    assert_int_equal(host_listen("127.0.0.1:0", &listener), STATUS_OK);
    int fd = connect_to(listener->address);
    assert_int_equal(listener_accept(listener, &stream), STATUS_OK);
    assert_int_equal(write(fd, "unread", 6), 6);
    os_sleep_ns(10 * MS);
    struct span span = {"answer", 6};
    assert_int_equal(stream_write(stream, &span, 1), STATUS_OK);
    stream_close(stream);
    os_sleep_ns(10 * MS);
    assert_int_equal(recv(fd, answer, 6, MSG_WAITALL), 6);
    close(fd);
    listener_close(listener);
}

static void abort_listener_later(void *argument) {
    os_sleep_ns(20 * MS);
    listener_abort(argument);
}

/* An abort ends accept, now and ever after, also with a connection waiting. */
static void listener_abort_ends_accept(void **state) {
    (void)state;
    struct listener *listener;
    struct stream *stream;
    struct os_thread *thread;
    assert_int_equal(host_listen("127.0.0.1:0", &listener), STATUS_OK);
    assert_int_equal(os_thread_start(&thread, "abort", abort_listener_later, listener), STATUS_OK);
    assert_int_equal(listener_accept(listener, &stream), STATUS_CLOSED);
    os_thread_join(thread);
    int fd = connect_to(listener->address);
    assert_int_equal(listener_accept(listener, &stream), STATUS_CLOSED);
    close(fd);
    listener_close(listener);
}

/* A socket file that nobody listens on is replaced; a living one and a plain file are not. */
static void abandoned_unix_socket_is_replaced(void **state) {
    (void)state;
    char address[64];
    snprintf(address, sizeof address, "unix:/tmp/holdfast-stream-%d", (int)getpid());
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s", address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    close(fd);
    struct listener *listener, *second;
    assert_int_equal(host_listen(address, &listener), STATUS_OK);
    assert_int_equal(host_listen(address, &second), STATUS_BUSY);
    close(connect_to(address)); /* the failed attempt took nothing away */
    listener_close(listener);
    FILE *file = fopen(address + 5, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(host_listen(address, &listener), STATUS_BUSY);
    assert_int_equal(unlink(address + 5), 0);
}

/* A port in use is BUSY. */
static void taken_port_is_busy(void **state) {
    (void)state;
    struct listener *listener, *second;
    assert_int_equal(host_listen("127.0.0.1:0", &listener), STATUS_OK);
    assert_int_equal(host_listen(listener->address, &second), STATUS_BUSY);
    listener_close(listener);
}

/* What is no address is refused. */
static void bad_addresses_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",       "10809",     ":10809", "127.0.0.1",       "a:",    "127.0.0.1:x", "[::1]",
        "::1:80", "[::1]x:80", "[]:80",  "127.0.0.1:65536", "unix:", "127.0.0.1:-1"};
    struct listener *listener;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (host_listen(bad[i], &listener) != STATUS_INVALID)
            fail_msg("\"%s\" was not refused", bad[i]);
    char long_path[256];
    memset(long_path, 'a', sizeof long_path);
    memcpy(long_path, "unix:/", 6);
    long_path[255] = '\0';
    assert_int_equal(host_listen(long_path, &listener), STATUS_INVALID);
    assert_int_equal(host_listen("unix:/nonexistent/socket", &listener), STATUS_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(big_writes_arrive),
        TEST(end_is_seen),
        TEST(read_times_out),
        TEST(write_times_out),
        TEST(abort_wakes_reader),
        TEST(abort_wakes_writer),
        TEST(early_abort_counts),
        cmocka_unit_test(every_family_listens),
        cmocka_unit_test(reset_is_closed),
        cmocka_unit_test(close_sends_what_was_written),
        cmocka_unit_test(listener_abort_ends_accept),
        cmocka_unit_test(abandoned_unix_socket_is_replaced),
        cmocka_unit_test(taken_port_is_busy),
        cmocka_unit_test(bad_addresses_are_refused),
    };
    host_start("stream");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
