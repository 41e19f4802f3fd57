/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a peer that vanishes without a word is gone within 60 s, whatever the connection was doing:
 * waiting for its next request, sending to it, or closing with data unsent. */
#include "base/math.h"
#include "host/host.h"
#include "net/net.h"
#include "tests/net/echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PORT 7000
#define SECOND 1000000000ull
#define MIB ((size_t)1024 * 1024)

size_t __sanitizer_get_current_allocated_bytes(void); /* gcc has it without a header */

static struct tap *tap;
static struct listener *listener;

struct blocked {
    struct stream *stream;
    enum status status;
    uint64_t ended;
};

static void reads(void *argument) {
    struct blocked *blocked = argument;
    char byte;
    blocked->status = stream_read_all(blocked->stream, &byte, 1);
    blocked->ended = os_now_ns();
}

static void writes(void *argument) {
    struct blocked *blocked = argument;
    char *data = calloc(1, 16 * MIB);
    struct span span = {data, 16 * MIB};
    blocked->status = stream_write(blocked->stream, &span, 1);
    blocked->ended = os_now_ns();
    free(data);
}

static void accept_one(struct stream **stream) {
    assert_true(tap_connect(PORT) >= 0); /* the socket stays open to the end */
    assert_int_equal(listener_accept(listener, stream), STATUS_OK);
}

/* A stream that is closed while its peer does not read: what it sent last stays queued. */
static void close_with_unsent_data(void) {
    struct stream *stream;
    accept_one(&stream);
    char *data = calloc(1, 16 * MIB);
    struct span span = {data, 16 * MIB};
    stream_set_timeout(stream, SECOND / 2);
    assert_int_equal(stream_write(stream, &span, 1), STATUS_TIMEOUT);
    stream_close(stream);
    free(data);
}

static void vanished_peers_are_gone(void **state) {
    (void)state;
    struct blocked reader = {0};
    struct blocked writer = {0};
    struct os_thread *threads[2];
    size_t before = __sanitizer_get_current_allocated_bytes();
    accept_one(&reader.stream);
    accept_one(&writer.stream);
    close_with_unsent_data();
    assert_int_equal(os_thread_start(&threads[0], "reader", reads, &reader), STATUS_OK);
    assert_int_equal(os_thread_start(&threads[1], "writer", writes, &writer), STATUS_OK);
    os_sleep_ns(SECOND);
    assert_true(__sanitizer_get_current_allocated_bytes() > before + MIB);
    tap->faults.cut = true;
    uint64_t start = os_now_ns();
    os_thread_join(threads[0]);
    os_thread_join(threads[1]);
    print_message("the reader ended after %.1f s, the writer after %.1f s\n",
                  (double)(reader.ended - start) / 1e9, (double)(writer.ended - start) / 1e9);
    assert_int_equal(reader.status, STATUS_CLOSED);
    assert_int_equal(writer.status, STATUS_CLOSED);
    stream_close(reader.stream);
    stream_close(writer.stream);
    while (__sanitizer_get_current_allocated_bytes() > before + 100000 &&
           os_now_ns() - start < 70 * SECOND)
        os_sleep_ns(SECOND / 10);
    print_message("all is free after %.1f s\n", (double)(os_now_ns() - start) / 1e9);
    assert_in_range(os_now_ns() - start, 1, 60 * SECOND);
}

int main(void) {
    host_start("stream_dead_peer");
    tap = tap_new(NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM);
    struct net_interface_config config;
    if (net_start() != STATUS_OK || net_parse_config(TAP_OUR_ADDRESS "/24", &config) != STATUS_OK ||
        net_interface_add(&tap->device, &config) != STATUS_OK ||
        net_tcp_listen(PORT, &listener) != STATUS_OK)
        abort();
    const struct CMUnitTest tests[] = {cmocka_unit_test(vanished_peers_are_gone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
