/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets a test at the other end of the wire drive the first network device through its contract
 * (base/netdev.h): `selftest=net` on the command line. tests/kernel/network_device.py is that other
 * end. Frames of an EtherType for local experiments (IEEE 802, 88-B5) carry a command each:
 *
 *   offset 14  command
 *   ECHO       the frame comes back with its addresses swapped, sent from where it was received
 *   SEND       15 offload flag, 16 checksum start, 18 checksum offset, 20 count of pieces, 22 their
 *              lengths (big-endian, 16 bits each), then their bytes: these are sent
 *   HOLD       16 count: so many of the next frames are kept, then all are echoed; earlier if none
 *              comes for HOLD_PATIENCE_NS
 *   COUNTERS   comes back with struct netdev_statistics behind the command, big-endian
 *   LATER      16 count: so many frames are sent a while later
 *   RESTART    the device is stopped and started
 *   QUIT       the test ends
 *
 * Of an IPv4 frame the receiver tells what the device said of its checksums.
 *
 * Invariants: `lock` guards the lists; a job is in at most one of them, or with the device.
 */
#include "kernel/selftest/selftest_net.h"
#include "base/endian.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/netdev.h"
#include "base/os.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/device.h"
#include "kernel/sched/event.h"

#define ADDRESS_SIZE 6u
#define TYPE_OFFSET 12u
#define TYPE_TEST 0x88b5u
#define TYPE_IPV4 0x0800u
#define COMMAND_OFFSET 14u
#define SHORTEST 60u
#define PIECES_MAX 32u
#define LENGTHS_OFFSET 22u
#define REPLY_SIZE 256u
#define REPORT_HEAD 64u

#define HOLD_PATIENCE_NS 2000000000ull
#define LATER_NS 1000000000ull

enum command {
    COMMAND_ECHO = 1,
    COMMAND_SEND,
    COMMAND_HOLD,
    COMMAND_COUNTERS,
    COMMAND_LATER,
    COMMAND_RESTART,
    COMMAND_QUIT,
    COMMAND_REPORT, /* only from here: 15 checksums good, 16 length, 18 the frame's first bytes */
};

/* A frame on its way out: a received one, pieces of it, or `reply`. */
struct job {
    struct netdev_transmit transmit;
    struct netdev_receive *receive; /* to release when sent; NULL: none */
    struct span spans[PIECES_MAX];
    struct list_node link;
    uint8_t reply[REPLY_SIZE];
};

struct selftest {
    struct netdev *device;
    struct event event; /* work for the test's own thread */
    struct spinlock lock;
    struct list_node backlog;  /* the device was busy */
    struct list_node finished; /* sent; to be freed */
    struct list_node held;     /* netdev_receive.link */
    uint32_t to_hold;          /* frames that are still to be kept */
    bool holding;
    uint64_t last_held; /* os_now_ns */
    uint64_t lost;      /* frames that there was no memory for */
    uint32_t later;
    uint64_t later_time;
    uint8_t peer[ADDRESS_SIZE];
    bool restart, quit;
};

static struct selftest selftest;

static uint16_t get16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void put16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static void put_on(struct list_node *list, struct list_node *node) {
    uint64_t flags = spinlock_lock(&selftest.lock);
    list_push_back(list, node);
    spinlock_unlock(&selftest.lock, flags);
}

static struct list_node *take_from(struct list_node *list) {
    uint64_t flags = spinlock_lock(&selftest.lock);
    struct list_node *node = list_pop_front(list);
    spinlock_unlock(&selftest.lock, flags);
    return node;
}

/* ---- sending ---- */

static void finish(struct netdev_transmit *transmit) {
    struct job *job = LIST_CONTAINER(transmit, struct job, transmit);
    put_on(&selftest.finished, &job->link);
    event_signal(&selftest.event);
}

/* Owns the frame from here on, if there is one. */
static struct job *job_create(struct netdev_receive *receive) {
    struct job *job = os_alloc_zeroed(sizeof *job);
    if (job == NULL) {
        __atomic_fetch_add(&selftest.lost, 1, __ATOMIC_RELAXED);
        if (receive != NULL)
            receive->release(receive);
        return NULL;
    }
    job->receive = receive;
    job->transmit.spans = job->spans;
    job->transmit.done = finish;
    return job;
}

static void job_send(struct job *job) {
    enum status status = selftest.device->operations->send(selftest.device, &job->transmit);
    if (status == STATUS_BUSY) {
        put_on(&selftest.backlog, &job->link);
    } else if (status != STATUS_OK) {
        log_error("selftest", "send: %s", status_text(status));
        finish(&job->transmit);
    }
}

static void job_destroy(struct job *job) {
    if (job->receive != NULL)
        job->receive->release(job->receive);
    os_free(job);
}

static void reply(enum command command, const uint8_t *body, size_t length) {
    struct job *job = job_create(NULL);
    if (job == NULL)
        return;
    memcpy(job->reply, selftest.peer, ADDRESS_SIZE);
    memcpy(job->reply + ADDRESS_SIZE, selftest.device->address, ADDRESS_SIZE);
    put16(job->reply + TYPE_OFFSET, TYPE_TEST);
    job->reply[COMMAND_OFFSET] = (uint8_t)command;
    if (length != 0)
        memcpy(job->reply + COMMAND_OFFSET + 1, body, length);
    size_t size = COMMAND_OFFSET + 1 + length;
    job->spans[0] = (struct span){job->reply, size < SHORTEST ? SHORTEST : size};
    job->transmit.span_count = 1;
    job_send(job);
}

/* ---- commands ---- */

static void echo(struct netdev_receive *receive) {
    struct job *job = job_create(receive);
    if (job == NULL)
        return;
    uint8_t *data = receive->data;
    memcpy(data, data + ADDRESS_SIZE, ADDRESS_SIZE);
    memcpy(data + ADDRESS_SIZE, selftest.device->address, ADDRESS_SIZE);
    job->spans[0] = (struct span){data, receive->length};
    job->transmit.span_count = 1;
    job_send(job);
}

static void send_pieces(struct netdev_receive *receive) {
    uint8_t *data = receive->data;
    uint32_t count = data[20], place = LENGTHS_OFFSET + 2 * count;
    if (count > PIECES_MAX || place > receive->length) {
        receive->release(receive);
        return;
    }
    struct job *job = job_create(receive);
    if (job == NULL)
        return;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length = get16(data + LENGTHS_OFFSET + 2 * i);
        job->spans[i] = (struct span){data + place, length};
        place += length;
    }
    job->transmit.span_count = count;
    job->transmit.checksum_offload = data[15] != 0;
    job->transmit.checksum_start = get16(data + 16);
    job->transmit.checksum_offset = get16(data + 18);
    if (place <= receive->length)
        job_send(job);
    else
        job_destroy(job);
}

static void report(struct netdev_receive *receive) {
    uint8_t body[3 + REPORT_HEAD] = {receive->checksum_good};
    put16(body + 1, (uint16_t)receive->length);
    size_t head = receive->length < REPORT_HEAD ? receive->length : REPORT_HEAD;
    memcpy(body + 3, receive->data, head);
    receive->release(receive);
    reply(COMMAND_REPORT, body, sizeof body);
}

static void tell_counters(void) {
    struct netdev_statistics statistics;
    selftest.device->operations->statistics(selftest.device, &statistics);
    const uint64_t values[] = {
        statistics.rx_frames,  statistics.rx_bytes,     statistics.rx_dropped, statistics.rx_errors,
        statistics.tx_frames,  statistics.tx_bytes,     statistics.tx_dropped, statistics.tx_errors,
        statistics.interrupts, statistics.link_changes, selftest.lost,
    };
    be64 body[sizeof values / sizeof values[0]];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        body[i] = be64_make(values[i]);
    reply(COMMAND_COUNTERS, (const uint8_t *)body, sizeof body);
}

/* True if the frame is kept for later. */
static bool hold(struct netdev_receive *receive) {
    uint64_t flags = spinlock_lock(&selftest.lock);
    bool kept = selftest.to_hold != 0;
    if (kept) {
        list_push_back(&selftest.held, &receive->link);
        selftest.last_held = os_now_ns();
        selftest.to_hold--;
    }
    bool complete = kept && selftest.to_hold == 0;
    spinlock_unlock(&selftest.lock, flags);
    if (complete)
        event_signal(&selftest.event);
    return kept;
}

/* Commands that need no more than the frame's first bytes. */
static void command(const uint8_t *data) {
    uint16_t count = get16(data + 16);
    uint64_t flags = spinlock_lock(&selftest.lock);
    memcpy(selftest.peer, data + ADDRESS_SIZE, ADDRESS_SIZE);
    switch (data[COMMAND_OFFSET]) {
    case COMMAND_HOLD:
        selftest.to_hold = count;
        selftest.last_held = os_now_ns();
        selftest.holding = true;
        break;
    case COMMAND_LATER:
        selftest.later = count;
        selftest.later_time = os_now_ns() + LATER_NS;
        break;
    case COMMAND_RESTART:
        selftest.restart = true;
        break;
    case COMMAND_QUIT:
        selftest.quit = true;
        break;
    default:
        break;
    }
    spinlock_unlock(&selftest.lock, flags);
    if (data[COMMAND_OFFSET] == COMMAND_COUNTERS)
        tell_counters();
    event_signal(&selftest.event);
}

static void receive_frame(void *context, struct netdev_receive *receive) {
    (void)context;
    const uint8_t *data = receive->data;
    uint16_t type = receive->length >= SHORTEST ? get16(data + TYPE_OFFSET) : 0;
    if (type == TYPE_IPV4) {
        memcpy(selftest.peer, data + ADDRESS_SIZE, ADDRESS_SIZE);
        report(receive);
    } else if (type != TYPE_TEST) {
        receive->release(receive);
    } else if (hold(receive)) {
        return;
    } else if (data[COMMAND_OFFSET] == COMMAND_ECHO) {
        echo(receive);
    } else if (data[COMMAND_OFFSET] == COMMAND_SEND) {
        send_pieces(receive);
    } else {
        command(data);
        receive->release(receive);
    }
}

static void link_changed(void *context, bool up, uint32_t megabits) {
    (void)context;
    log_info("selftest", "link %s %u", up ? "up" : "down", (unsigned)megabits);
}

/* ---- the test's own thread ---- */

static void free_finished(void) {
    struct list_node *node;
    while ((node = take_from(&selftest.finished)) != NULL)
        job_destroy(LIST_CONTAINER(node, struct job, link));
}

static void send_backlog(void) {
    struct list_node backlog, *node;
    list_init(&backlog);
    uint64_t flags = spinlock_lock(&selftest.lock);
    list_splice_back(&backlog, &selftest.backlog);
    spinlock_unlock(&selftest.lock, flags);
    while ((node = list_pop_front(&backlog)) != NULL)
        job_send(LIST_CONTAINER(node, struct job, link));
}

static void end_hold(void) {
    uint64_t flags = spinlock_lock(&selftest.lock);
    bool end = selftest.holding &&
               (selftest.to_hold == 0 || os_now_ns() - selftest.last_held > HOLD_PATIENCE_NS);
    if (end) {
        selftest.holding = false;
        selftest.to_hold = 0;
    }
    spinlock_unlock(&selftest.lock, flags);
    struct list_node *node;
    while (end && (node = take_from(&selftest.held)) != NULL)
        echo(LIST_CONTAINER(node, struct netdev_receive, link));
}

static void send_later(void) {
    if (selftest.later == 0 || os_now_ns() < selftest.later_time)
        return;
    for (uint32_t i = 0; i < selftest.later; i++)
        reply(COMMAND_LATER, NULL, 0);
    log_info("selftest", "sent %u frames", (unsigned)selftest.later);
    selftest.later = 0;
}

static enum status start(void) {
    static const struct netdev_client client = {.receive = receive_frame,
                                                .link_changed = link_changed};
    return selftest.device->operations->start(selftest.device, &client);
}

static enum status restart(void) {
    selftest.restart = false;
    selftest.device->operations->stop(selftest.device);
    free_finished();
    enum status status = start();
    log_info("selftest", "restarted: %s", status_text(status));
    return status;
}

enum status selftest_net(void) {
    selftest.device = device_net(0);
    if (selftest.device == NULL)
        return STATUS_NOT_FOUND;
    event_init(&selftest.event);
    list_init(&selftest.backlog);
    list_init(&selftest.finished);
    list_init(&selftest.held);
    enum status status = start();
    log_info("selftest", "net is ready");
    while (status == STATUS_OK && !selftest.quit) {
        event_wait(&selftest.event, 100000000ull);
        free_finished();
        send_backlog();
        end_hold();
        send_later();
        if (selftest.restart)
            status = restart();
    }
    selftest.device->operations->stop(selftest.device);
    free_finished();
    return status;
}
