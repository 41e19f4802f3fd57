/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device for tests: a TAP device in a network namespace of the test's own, so that the
 * peer is the real Linux TCP stack. It has a short transmit ring (BUSY happens), finishes frames in
 * another thread or inside of send(), gives each received frame memory of exactly its size (a
 * sanitizer sees a byte too many), and can lose, repeat, reorder, corrupt and cut.
 */
#ifndef TESTS_NET_TAP_H
#define TESTS_NET_TAP_H

#include "base/list.h"
#include "base/netdev.h"
#include "base/os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_RING 32
#define TAP_FRAME_MAX 1600
#define TAP_OUR_ADDRESS "10.9.0.2" /* lwIP's */
#define TAP_LINUX_ADDRESS "10.9.0.1"

/* Of 1000 frames in each direction. */
struct tap_faults {
    unsigned lose, repeat, delay, corrupt;
    bool cut; /* nothing passes */
};

struct tap {
    struct netdev device; /* first */
    int fd;
    struct netdev_client client;
    struct os_mutex mutex; /* guards the ring */
    struct os_condition changed;
    struct netdev_transmit *ring[TAP_RING];
    unsigned first, count;
    bool check_received; /* lwIP's checksum checks are exercised when false */
    struct tap_faults faults;
    uint64_t random; /* of the receiving thread */
    uint64_t busy;   /* refused sends */
    uint32_t lent;   /* atomic: received frames not released yet */
    uint64_t sent, received;
};

static inline uint64_t tap_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A seed, told so that SEED can repeat the run. */
static inline uint64_t tap_seed(void) {
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : os_now_ns() | 1;
    printf("SEED=%lu\n", (unsigned long)seed);
    return seed;
}

static inline bool tap_chance(uint64_t *state, unsigned per_mille) {
    return per_mille > 0 && tap_random(state) % 1000 < per_mille;
}

struct tap_received {
    struct netdev_receive receive; /* first */
    struct tap *tap;
};

static inline void tap_release(struct netdev_receive *receive) {
    struct tap_received *received = (struct tap_received *)receive;
    __atomic_sub_fetch(&received->tap->lent, 1, __ATOMIC_SEQ_CST);
    free(receive->data);
    free(received);
}

/* Hands one frame to the stack, as if it had come from the wire. */
static inline void tap_inject(struct tap *tap, const void *frame, size_t length, bool checked) {
    struct tap_received *received = malloc(sizeof *received);
    *received = (struct tap_received){.tap = tap};
    received->receive.data = malloc(length);
    memcpy(received->receive.data, frame, length);
    received->receive.length = length;
    received->receive.checksum_good = checked;
    received->receive.release = tap_release;
    __atomic_add_fetch(&tap->lent, 1, __ATOMIC_SEQ_CST);
    tap->received++;
    tap->client.receive(tap->client.context, &received->receive);
}

/* Passes a frame on with the faults of the moment: `pass` gets it no, one or more times. */
static inline void tap_faulty(struct tap *tap, uint64_t *random, uint8_t *frame, size_t length,
                              void (*pass)(struct tap *, const void *, size_t, bool)) {
    struct tap_faults faults = tap->faults;
    if (faults.cut || tap_chance(random, faults.lose))
        return;
    bool checked = tap->check_received && faults.corrupt == 0;
    if (tap_chance(random, faults.corrupt))
        frame[14 + tap_random(random) % (length - 14)] ^= (uint8_t)(1 + tap_random(random) % 255);
    if (tap_chance(random, faults.repeat))
        pass(tap, frame, length, checked);
    pass(tap, frame, length, checked);
}

static inline void tap_receive_thread(void *argument) {
    struct tap *tap = argument;
    uint8_t frame[TAP_FRAME_MAX];
    uint8_t held[TAP_FRAME_MAX];
    ssize_t held_length = 0;
    uint64_t random = tap->random;
    for (;;) {
        struct pollfd poll_fd = {tap->fd, POLLIN, 0};
        int ready = poll(&poll_fd, 1, held_length > 0 ? 3 : -1);
        ssize_t length = ready > 0 ? read(tap->fd, frame, sizeof frame) : 0;
        if (length < 0)
            return;
        if (held_length == 0 && length > 0 && tap_chance(&random, tap->faults.delay)) {
            memcpy(held, frame, (size_t)length); /* overtaken by what comes next */
            held_length = length;
            continue;
        }
        if (length > 0)
            tap_faulty(tap, &random, frame, (size_t)length, tap_inject);
        if (held_length > 0 && (length == 0 || tap_random(&random) % 3 == 0)) {
            tap_faulty(tap, &random, held, (size_t)held_length, tap_inject);
            held_length = 0;
        }
    }
}

static inline uint32_t tap_sum(const uint8_t *bytes, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static inline void tap_put(struct tap *tap, const void *frame, size_t length, bool checked) {
    (void)checked;
    ssize_t written = write(tap->fd, frame, length);
    (void)written; /* a device that is going away loses frames */
    tap->sent++;
}

/* What the device's hardware does with a frame. */
static inline void tap_transmit(struct tap *tap, const struct netdev_transmit *transmit,
                                uint64_t *random) {
    uint8_t frame[TAP_FRAME_MAX];
    size_t length = 0;
    for (uint32_t i = 0; i < transmit->span_count; i++) {
        if (length + transmit->spans[i].length > sizeof frame)
            abort();
        memcpy(frame + length, transmit->spans[i].base, transmit->spans[i].length);
        length += transmit->spans[i].length;
    }
    if (transmit->checksum_offload) {
        uint32_t sum = tap_sum(frame + transmit->checksum_start, length - transmit->checksum_start);
        uint16_t checksum = htons((uint16_t)~sum);
        memcpy(frame + transmit->checksum_start + transmit->checksum_offset, &checksum, 2);
    }
    tap_faulty(tap, random, frame, length, tap_put);
}

static inline void tap_transmit_thread(void *argument) {
    struct tap *tap = argument;
    uint64_t random = tap->random ^ 0x5555;
    os_mutex_lock(&tap->mutex);
    for (;;) {
        while (tap->count == 0)
            os_condition_wait(&tap->changed, &tap->mutex, OS_FOREVER);
        struct netdev_transmit *transmit = tap->ring[tap->first];
        os_mutex_unlock(&tap->mutex);
        tap_transmit(tap, transmit, &random);
        os_mutex_lock(&tap->mutex);
        tap->first = (tap->first + 1) % TAP_RING;
        tap->count--;
        os_mutex_unlock(&tap->mutex);
        transmit->done(transmit);
        os_mutex_lock(&tap->mutex);
    }
}

static inline enum status tap_send(struct netdev *device, struct netdev_transmit *transmit) {
    struct tap *tap = (struct tap *)device;
    enum status status = STATUS_BUSY;
    os_mutex_lock(&tap->mutex);
    if (tap->count < TAP_RING) {
        tap->ring[(tap->first + tap->count++) % TAP_RING] = transmit;
        os_condition_signal(&tap->changed);
        status = STATUS_OK;
    } else {
        tap->busy++;
    }
    os_mutex_unlock(&tap->mutex);
    return status;
}

static inline enum status tap_start(struct netdev *device, const struct netdev_client *client) {
    struct tap *tap = (struct tap *)device;
    tap->client = *client;
    enum status status = os_thread_start(NULL, "tap-send", tap_transmit_thread, tap);
    if (status == STATUS_OK)
        status = os_thread_start(NULL, "tap-receive", tap_receive_thread, tap);
    if (status == STATUS_OK)
        tap->client.link_changed(tap->client.context, true, 1000);
    return status;
}

static inline void tap_fail(const char *what) {
    fprintf(stderr, "SKIP: %s: %s\n", what, strerror(errno));
    exit(77);
}

static inline void tap_configure(const char *name) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    address->sin_family = AF_INET;
    inet_pton(AF_INET, TAP_LINUX_ADDRESS, &address->sin_addr);
    if (fd < 0 || ioctl(fd, SIOCSIFADDR, &request) != 0)
        tap_fail("cannot give the TAP device an address");
    inet_pton(AF_INET, "255.255.255.0", &address->sin_addr);
    if (ioctl(fd, SIOCSIFNETMASK, &request) != 0)
        tap_fail("cannot give the TAP device a netmask");
    request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        tap_fail("cannot bring the TAP device up");
    close(fd);
}

/* Creates the namespace and the device. Before any thread. Exits with 77 where Linux allows
 * neither. */
static inline struct tap *tap_new(uint32_t features) {
    static const struct netdev_operations operations = {.start = tap_start, .send = tap_send};
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0)
        tap_fail("cannot create a network namespace");
    struct tap *tap = calloc(1, sizeof *tap);
    tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "hf0");
    if (tap->fd < 0 || ioctl(tap->fd, TUNSETIFF, &request) != 0)
        tap_fail("cannot create a TAP device");
    tap_configure("hf0");
    tap->device.operations = &operations;
    snprintf(tap->device.name, sizeof tap->device.name, "tap-0");
    memcpy(tap->device.address, "\x52\x54\x00\x12\x34\x56", 6);
    tap->device.mtu = 1500;
    tap->device.features = features;
    tap->check_received = (features & NETDEV_RX_CHECKSUM) != 0;
    tap->random = 0x9e3779b97f4a7c15;
    os_mutex_init(&tap->mutex);
    os_condition_init(&tap->changed);
    return tap;
}

/* A Linux TCP socket connected to lwIP's `port`, or -1. */
static inline int tap_connect(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, TAP_OUR_ADDRESS, &address.sin_addr);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Makes close(fd) reset the connection. */
static inline void tap_reset_on_close(int fd) {
    struct linger linger = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

#endif
