/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: whatever the lengths of reads and writes, whatever the wire does to frames, and however
 * many connections there are, the bytes of a stream arrive complete and in order. */
#include "base/log.h"
#include "host/host.h"
#include "net/net.h"
#include "tests/net/echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PORT 10809
#define MIB ((uint64_t)1024 * 1024)

static struct tap *tap;

static void report(const char *what, uint64_t bytes, uint64_t start) {
    double seconds = (double)(os_now_ns() - start) / 1e9;
    print_message("%s: %.0f MB in %.2f s, %.0f MB/s each way; device busy %lu times\n", what,
                  (double)bytes / 1e6, seconds, (double)bytes / 1e6 / seconds,
                  (unsigned long)tap->busy);
}

static void one_long_stream(void **state) {
    (void)state;
    uint64_t start = os_now_ns();
    assert_int_equal(echo_compare(PORT, 128 * MIB, 1), 0);
    report("one stream", 128 * MIB, start);
}

static void without_device_checksums(void **state) {
    (void)state;
    tap->check_received = false;
    uint64_t start = os_now_ns();
    assert_int_equal(echo_compare(PORT, 16 * MIB, 2), 0);
    report("checksums checked in software", 16 * MIB, start);
    tap->check_received = true;
}

static void *one_of_many(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    return (void *)(uintptr_t)echo_compare(PORT, 200000 + seed * 100, seed);
}

static void many_connections(void **state) {
    (void)state;
    enum { COUNT = 200 };
    static pthread_t threads[COUNT];
    for (uintptr_t i = 0; i < COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, (void *)(i + 1)), 0);
    unsigned failed = 0;
    for (int i = 0; i < COUNT; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        failed += wrong != NULL;
    }
    assert_int_equal(failed, 0);
}

static void bad_wire(void **state) {
    (void)state;
    uint64_t random = tap_seed();
    tap->faults = (struct tap_faults){.lose = 10, .repeat = 20, .delay = 30, .corrupt = 5};
    uint64_t start = os_now_ns();
    uint64_t wrong = echo_compare(PORT, MIB, random);
    tap->faults = (struct tap_faults){0};
    assert_int_equal(wrong, 0);
    report("bad wire", MIB, start);
}

static void frames_are_given_back(void **state) {
    (void)state;
    for (int i = 0; i < 100 && __atomic_load_n(&tap->lent, __ATOMIC_SEQ_CST) != 0; i++)
        os_sleep_ns(20000000);
    assert_int_equal(__atomic_load_n(&tap->lent, __ATOMIC_SEQ_CST), 0);
}

int main(void) {
    host_start("stream_echo");
    tap = tap_new(NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM);
    struct net_interface_config config;
    struct listener *listener;
    if (net_start() != STATUS_OK || net_parse_config(TAP_OUR_ADDRESS "/24", &config) != STATUS_OK ||
        net_interface_add(&tap->device, &config) != STATUS_OK ||
        net_tcp_listen(PORT, &listener) != STATUS_OK)
        abort();
    struct os_thread *acceptor;
    if (os_thread_start(&acceptor, "accept", echo_accept, listener) != STATUS_OK)
        abort();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_long_stream),       cmocka_unit_test(without_device_checksums),
        cmocka_unit_test(many_connections),      cmocka_unit_test(bad_wire),
        cmocka_unit_test(frames_are_given_back),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    listener_abort(listener);
    os_thread_join(acceptor);
    listener_close(listener);
    return failed;
}
