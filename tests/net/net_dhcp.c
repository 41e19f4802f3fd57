/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: an interface gets its address by DHCP in a moment, whatever nonsense precedes the good
 * answer, asks again at once when its link comes back, and serves at that address. */
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
#define DISCOVER 1
#define OFFER 2
#define REQUEST 3
#define ACK 5

static struct tap *tap;
static char asked_name[64]; /* option 12 of the last request */
static uint32_t requests;   /* atomic */
static bool first_answers_are_nonsense = true;

static size_t option(uint8_t *at, uint8_t code, const void *value, uint8_t length) {
    at[0] = code;
    at[1] = length;
    memcpy(at + 2, value, length);
    return 2u + length;
}

static void answer(int fd, const uint8_t *request, uint8_t type, int nonsense) {
    uint8_t reply[548] = {2, 1, 6, 0};
    memcpy(reply + 4, request + 4, 4);     /* xid */
    memcpy(reply + 16, "\x0a\x09\0\2", 4); /* yiaddr */
    memcpy(reply + 28, request + 28, 16);  /* chaddr */
    memcpy(reply + 236, request + 236, 4); /* magic */
    uint8_t *at = reply + 240;
    at += option(at, 53, &type, 1);
    if (nonsense == 1) { /* a length that leaves the message */
        memcpy(at, "\x36\xff", 2);
        memset(at + 2, 0x36, sizeof reply - 240 - 6);
    } else if (nonsense == 2) { /* options continue in file and sname, for ever */
        at += option(at, 52, "\3", 1);
        memcpy(reply + 108, "\x34\1\3\xff", 4);
        memcpy(reply + 44, "\x34\1\3\xff", 4);
        *at = 255;
    } else if (nonsense == 3) { /* no end */
        memset(at, 0, sizeof reply - 243);
    } else {
        at += option(at, 54, "\x0a\x09\0\1", 4);
        at += option(at, 51, "\0\0\x0e\x10", 4);
        at += option(at, 1, "\xff\xff\xff\0", 4);
        at += option(at, 3, "\x0a\x09\0\1", 4);
        *at = 255;
    }
    struct sockaddr_in all = {.sin_family = AF_INET, .sin_port = htons(68)};
    all.sin_addr.s_addr = INADDR_BROADCAST;
    sendto(fd, reply, sizeof reply, 0, (struct sockaddr *)&all, sizeof all);
}

static const uint8_t *find_option(const uint8_t *message, size_t length, uint8_t code) {
    for (size_t at = 240; at + 1 < length && message[at] != 255;) {
        if (message[at] == code)
            return message + at + 1;
        at += message[at] == 0 ? 1 : 2u + message[at + 1];
    }
    return NULL;
}

static void *serve(void *argument) {
    int fd = *(int *)argument;
    uint8_t message[1500];
    for (;;) {
        ssize_t length = recv(fd, message, sizeof message, 0);
        if (length < 241)
            continue;
        const uint8_t *type = find_option(message, (size_t)length, 53);
        const uint8_t *name = find_option(message, (size_t)length, 12);
        if (type == NULL)
            continue;
        if (name != NULL) {
            memcpy(asked_name, name + 1, name[0] < 63 ? name[0] : 63);
        }
        for (int nonsense = 1; nonsense <= 3 && first_answers_are_nonsense; nonsense++)
            answer(fd, message, type[1] == DISCOVER ? OFFER : ACK, nonsense);
        answer(fd, message, type[1] == DISCOVER ? OFFER : ACK, 0);
        if (type[1] == REQUEST)
            __atomic_add_fetch(&requests, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void start_server(void) {
    static int fd;
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    int yes = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(67)};
    pthread_t thread;
    if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "hf0", 4) != 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) != 0 ||
        pthread_create(&thread, NULL, serve, &fd) != 0)
        abort();
}

static void no_address_before(void **state) {
    (void)state;
    char text[16] = "?";
    assert_int_equal(net_wait_address(text, sizeof text, SECOND / 10), STATUS_TIMEOUT);
}

static void address_comes_in_a_moment(void **state) {
    (void)state;
    struct net_interface_config config;
    assert_int_equal(net_parse_config("dhcp", &config), STATUS_OK);
    config.host_name = "holdfast-7";
    uint64_t start = os_now_ns();
    assert_int_equal(net_interface_add(&tap->device, &config), STATUS_OK);
    char text[16];
    assert_int_equal(net_wait_address(text, sizeof text, 10 * SECOND), STATUS_OK);
    print_message("address after %.3f s\n", (double)(os_now_ns() - start) / 1e9);
    assert_string_equal(text, TAP_OUR_ADDRESS);
    assert_string_equal(asked_name, "holdfast-7");
}

static void it_serves_there(void **state) {
    (void)state;
    struct listener *listener;
    struct stream *stream;
    assert_int_equal(net_tcp_listen(PORT, &listener), STATUS_OK);
    int fd = tap_connect(PORT);
    assert_true(fd >= 0);
    assert_int_equal(listener_accept(listener, &stream), STATUS_OK);
    stream_close(stream);
    close(fd);
    listener_close(listener);
}

static void link_that_comes_back_asks_at_once(void **state) {
    (void)state;
    first_answers_are_nonsense = false;
    uint32_t before = __atomic_load_n(&requests, __ATOMIC_SEQ_CST);
    tap->client.link_changed(tap->client.context, false, 0);
    tap->client.link_changed(tap->client.context, true, 1000);
    uint64_t start = os_now_ns();
    while (__atomic_load_n(&requests, __ATOMIC_SEQ_CST) == before &&
           os_now_ns() - start < 60 * SECOND)
        os_sleep_ns(SECOND / 100);
    /* With the lease that it has it would say nothing for minutes. */
    assert_int_not_equal(__atomic_load_n(&requests, __ATOMIC_SEQ_CST), before);
    it_serves_there(state);
}

int main(void) {
    host_start("net_dhcp");
    tap = tap_new(NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM);
    start_server();
    if (net_start() != STATUS_OK)
        abort();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_address_before),
        cmocka_unit_test(address_comes_in_a_moment),
        cmocka_unit_test(it_serves_there),
        cmocka_unit_test(link_that_comes_back_asks_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
