/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: no frame, however short, long or false, crashes the stack, makes it hang or keep memory, or
 * ends somebody else's connection. Known bugs of lwIP are among them: an ARP packet that is cut
 * short, DHCP options without an end, resets with a guessed sequence number, corrupt TCP options.
 */
#include "host/host.h"
#include "net/net.h"
#include "tests/net/echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PORT 7000
#define FRAMES 150000

static struct tap *tap;
static struct listener *listener;

struct frame {
    uint8_t bytes[1514];
    size_t length;
};

static void put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void fill_random(uint8_t *at, size_t length, uint64_t *random) {
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)tap_random(random);
}

static void ethernet(struct frame *frame, unsigned type, uint64_t *random) {
    memset(frame->bytes, 0, sizeof frame->bytes);
    if (tap_random(random) % 4 == 0)
        memset(frame->bytes, 0xff, 6);
    else
        memcpy(frame->bytes, tap->device.address, 6);
    memcpy(frame->bytes + 6, "\x02\x00\x00\x00\x00\x07", 6);
    put16(frame->bytes + 12, type);
}

static void arp(struct frame *frame, uint64_t *random) {
    ethernet(frame, 0x0806, random);
    uint8_t *packet = frame->bytes + 14;
    memcpy(packet, "\0\1\x08\0\6\4\0", 7);
    packet[7] = (uint8_t)(1 + tap_random(random) % 2);
    fill_random(packet + 8, 20, random);
    memcpy(packet + 14, "\x0a\x09\0\x07", 4); /* not Linux's: its entry must stay */
    if (tap_random(random) % 2 == 0)
        memcpy(packet + 24, "\x0a\x09\0\2", 4);
    frame->length = 14 + tap_random(random) % 29;
}

/* An IPv4 header for a payload of `length` bytes from a stranger in the same network. */
static uint8_t *ipv4(struct frame *frame, unsigned protocol, size_t length, uint64_t *random) {
    ethernet(frame, 0x0800, random);
    uint8_t *ip = frame->bytes + 14;
    size_t header = tap_random(random) % 16 == 0 ? 4 * (tap_random(random) % 16) : 20;
    ip[0] = (uint8_t)(0x40 | header / 4);
    put16(ip + 2, (unsigned)(header + length));
    if (tap_random(random) % 8 == 0)
        put16(ip + 2, (unsigned)tap_random(random));
    if (tap_random(random) % 8 == 0)
        put16(ip + 6, (unsigned)tap_random(random)); /* a fragment */
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    memcpy(ip + 12, "\x0a\x09\0\7\x0a\x09\0\2", 8);
    frame->length = 14 + header + length;
    return ip + header;
}

static void tcp(struct frame *frame, uint64_t *random) {
    size_t options = 4 * (tap_random(random) % 11);
    size_t data = tap_random(random) % 100;
    uint8_t *segment = ipv4(frame, 6, 20 + options + data, random);
    fill_random(segment, 20 + options + data, random);
    put16(segment, 1024 + (unsigned)tap_random(random) % 8); /* so that states are met again */
    put16(segment + 2, PORT);
    segment[12] = (uint8_t)((20 + options) / 4 << 4);
    if (tap_random(random) % 8 == 0)
        segment[12] = (uint8_t)tap_random(random);
    static const uint8_t flags[] = {2, 0x10, 0x12, 4, 0x14, 0x11, 0x18, 0x3f, 0};
    segment[13] = flags[tap_random(random) % sizeof flags];
    for (size_t at = 20; at + 4 < 20 + options && tap_random(random) % 4 != 0;) {
        static const uint8_t kinds[] = {0, 1, 2, 3, 4, 5, 8, 254};
        segment[at] = kinds[tap_random(random) % sizeof kinds];
        segment[at + 1] = (uint8_t)(tap_random(random) % 12);
        at += 1 + segment[at + 1];
    }
}

static void icmp(struct frame *frame, uint64_t *random) {
    size_t length = tap_random(random) % 200;
    uint8_t *message = ipv4(frame, 1, length, random);
    fill_random(message, length, random);
    message[0] = tap_random(random) % 2 == 0 ? 8 : (uint8_t)tap_random(random);
    message[1] = 0;
}

/* From port 67 to 68: a DHCP answer with options of any shape. */
static void dhcp(struct frame *frame, uint64_t *random) {
    size_t options = tap_random(random) % 300;
    size_t length = 8 + 240 + options;
    uint8_t *datagram = ipv4(frame, 17, length, random);
    put16(datagram, 67);
    put16(datagram + 2, tap_random(random) % 8 == 0 ? (unsigned)tap_random(random) : 68);
    put16(datagram + 4, (unsigned)length);
    uint8_t *message = datagram + 8;
    fill_random(message, 240 + options, random);
    memcpy(message, "\2\1\6\0", 4);
    memcpy(message + 28, tap->device.address, 6);
    memcpy(message + 236, "\x63\x82\x53\x63", 4);
    for (size_t at = 240; at + 2 < 240 + options;) {
        static const uint8_t kinds[] = {0, 1, 3, 6, 51, 52, 53, 54, 58, 59, 255};
        message[at] = kinds[tap_random(random) % sizeof kinds];
        message[at + 1] = (uint8_t)(tap_random(random) % 8);
        at += 2 + message[at + 1];
    }
}

static void hostile_frame(struct frame *frame, uint64_t *random) {
    static void (*const makers[])(struct frame *, uint64_t *) = {arp, tcp, tcp, icmp, dhcp};
    makers[tap_random(random) % 5](frame, random);
    if (frame->length > sizeof frame->bytes)
        frame->length = sizeof frame->bytes;
    if (tap_random(random) % 4 == 0) /* cut short */
        frame->length = 1 + tap_random(random) % frame->length;
    for (unsigned i = tap_random(random) % 3; i > 0 && frame->length > 14; i--)
        frame->bytes[14 + tap_random(random) % (frame->length - 14)] = (uint8_t)tap_random(random);
    /* That ARP believes whoever says to be Linux is no news. */
    if (frame->length >= 42 && frame->bytes[12] == 8 && frame->bytes[13] == 6)
        frame->bytes[31] = 7;
}

/* A reset or SYN for a connection that is not the sender's, with any sequence number. */
static void forged_frame(struct frame *frame, uint16_t port, uint64_t *random) {
    uint8_t *segment = frame->bytes + 34;
    do {
        ipv4(frame, 6, 20, random);
    } while (frame->length != 54);
    put16(frame->bytes + 16, 40);
    put16(frame->bytes + 20, 0);
    memcpy(frame->bytes + 26, "\x0a\x09\0\1", 4);
    fill_random(segment, 20, random);
    put16(segment, port);
    put16(segment + 2, PORT);
    segment[12] = 5 << 4;
    segment[13] = tap_random(random) % 2 == 0 ? 4 : 2;
}

static void nothing_breaks(void **state) {
    (void)state;
    uint64_t random = tap_seed();
    int fd = tap_connect(PORT);
    assert_true(fd >= 0);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &size);
    static struct frame frame;
    for (int i = 0; i < FRAMES; i++) {
        if (i % 4 == 0)
            forged_frame(&frame, ntohs(own.sin_port), &random);
        else
            hostile_frame(&frame, &random);
        /* Told to be checked: false checksums would keep most of them from the parsers. */
        tap_inject(tap, frame.bytes, frame.length, tap_random(&random) % 8 != 0);
    }
    char answer[4] = {0};
    assert_int_equal(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
    assert_int_equal(recv(fd, answer, 4, MSG_WAITALL), 4);
    assert_memory_equal(answer, "ping", 4);
    close(fd);
    assert_int_equal(echo_compare(PORT, 1000000, 3), 0);
}

/* RFC 5961, 3.2: of the sequence numbers in the window only the very next one resets. */
static void a_reset_inside_the_window_is_challenged(void **state) {
    (void)state;
    static struct frame frame;
    uint64_t random = 99;
    int fd = tap_connect(PORT);
    assert_true(fd >= 0);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &size);
    uint64_t sent = tap->sent;
    /* One of these lies in the window of 64 KiB, wherever it is. */
    for (uint64_t sequence = 0; sequence < (1ull << 32); sequence += 60000) {
        forged_frame(&frame, ntohs(own.sin_port), &random);
        put16(frame.bytes + 38, (unsigned)(sequence >> 16));
        put16(frame.bytes + 40, (unsigned)sequence);
        frame.bytes[47] = 4;
        tap_inject(tap, frame.bytes, frame.length, true);
    }
    os_sleep_ns(100000000);
    assert_true(tap->sent > sent); /* the challenge */
    char answer[4] = {0};
    assert_int_equal(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
    assert_int_equal(recv(fd, answer, 4, MSG_WAITALL), 4);
    close(fd);
}

static void frames_are_given_back(void **state) {
    (void)state;
    for (int i = 0; i < 100 && __atomic_load_n(&tap->lent, __ATOMIC_SEQ_CST) != 0; i++)
        os_sleep_ns(20000000);
    assert_int_equal(__atomic_load_n(&tap->lent, __ATOMIC_SEQ_CST), 0);
}

int main(void) {
    host_start("hostile_frames");
    tap = tap_new(NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM);
    struct net_interface_config config;
    struct os_thread *acceptor;
    if (net_start() != STATUS_OK || net_parse_config(TAP_OUR_ADDRESS "/24", &config) != STATUS_OK ||
        net_interface_add(&tap->device, &config) != STATUS_OK ||
        net_tcp_listen(PORT, &listener) != STATUS_OK ||
        os_thread_start(&acceptor, "accept", echo_accept, listener) != STATUS_OK)
        abort();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_breaks),
        cmocka_unit_test(a_reset_inside_the_window_is_challenged),
        cmocka_unit_test(frames_are_given_back),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    listener_abort(listener);
    os_thread_join(acceptor);
    listener_close(listener);
    return failed;
}
