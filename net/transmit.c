/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending frames without copying them: lwIP's pbufs are referenced until the device has read them.
 *
 * Invariants, under the core lock unless said otherwise:
 * 1. A transmission is on exactly one of: interface->spare (no frame), interface->waiting, the
 *    device (until done), interface->done (pushed without a lock, in any context).
 * 2. A transmission that is not spare holds one reference to its frame's first pbuf. lwIP neither
 *    changes nor sends again a TCP segment with such a reference, so what the device reads stays.
 * 3. Frames reach the device in the order in which lwIP gave them.
 * 4. While frames wait, the drain thread is armed: the next `done` wakes it. Its state goes
 *    IDLE -> ARMED (core lock) -> WOKEN (whoever wins; signals `drain` once) -> IDLE (the thread,
 *    after it has made `drain` expect the next signal).
 */
#include "net/interface.h"
#include "net/net_internal.h"

#include "base/assert.h"
#include "base/endian.h"
#include "net/frame_proto.h"

#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/timeouts.h"

#define INLINE_SPANS 4
/* Frames that wait for a busy device. Each costs little, for its bytes belong to a connection and
 * are limited there; beyond, lwIP keeps its segments and is told when there is room again. */
#define WAITING_LIMIT 4096
#define SPARE_LIMIT 512
/* How long a frame that was sent may stay unnoticed when nothing else happens: lwIP cannot
 * retransmit a segment that is still referenced. */
#define PROGRESS_INTERVAL_MS 250

enum drain_state { DRAIN_IDLE, DRAIN_ARMED, DRAIN_WOKEN };

struct transmission {
    struct netdev_transmit transmit; /* first */
    struct interface *interface;
    struct pbuf *frame;
    struct transmission *next_done;
    struct list_node link;
    struct span spans[INLINE_SPANS];
};

static void wake_drain(struct interface *interface) {
    uint32_t armed = DRAIN_ARMED;
    if (__atomic_compare_exchange_n(&interface->drain_state, &armed, DRAIN_WOKEN, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        os_completion_signal(&interface->drain);
}

/* Any context, also inside of send(). */
static void transmission_done(struct netdev_transmit *transmit) {
    struct transmission *transmission = transmit->context;
    struct interface *interface = transmission->interface;
    struct transmission *head = __atomic_load_n(&interface->done, __ATOMIC_RELAXED);
    do {
        transmission->next_done = head;
    } while (!__atomic_compare_exchange_n(&interface->done, &head, transmission, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    wake_drain(interface);
}

static void keep_spare(struct interface *interface, struct transmission *transmission) {
    if (interface->spare_count == SPARE_LIMIT) {
        os_free(transmission);
        return;
    }
    list_push_front(&interface->spare, &transmission->link);
    interface->spare_count++;
}

static void release(struct interface *interface, struct transmission *transmission) {
    pbuf_free(transmission->frame);
    transmission->frame = NULL;
    keep_spare(interface, transmission);
}

/* Takes back what the device is done with; true if there was something. */
static bool reap(struct interface *interface) {
    if (__atomic_load_n(&interface->done, __ATOMIC_RELAXED) == NULL)
        return false;
    struct transmission *transmission =
        __atomic_exchange_n(&interface->done, NULL, __ATOMIC_SEQ_CST);
    while (transmission != NULL) {
        struct transmission *next = transmission->next_done;
        release(interface, transmission);
        transmission = next;
    }
    return true;
}

/* False if the device is busy; else the transmission is no longer the caller's. */
static bool offer(struct interface *interface, struct transmission *transmission) {
    struct netdev *device = interface->device;
    enum status status = device->operations->send(device, &transmission->transmit);
    if (status == STATUS_BUSY)
        return false;
    if (status != STATUS_OK) /* the device refused this frame, as if the wire had lost it */
        release(interface, transmission);
    return true;
}

/* Offers waiting frames; afterwards the drain thread is armed if some still wait. */
static void flush(struct interface *interface) {
    while (!list_is_empty(&interface->waiting)) {
        struct transmission *first =
            LIST_CONTAINER(interface->waiting.next, struct transmission, link);
        list_remove(&first->link); /* before the offer: `done` may be called inside of it */
        if (!offer(interface, first)) {
            list_push_front(&interface->waiting, &first->link);
            uint32_t idle = DRAIN_IDLE;
            __atomic_compare_exchange_n(&interface->drain_state, &idle, DRAIN_ARMED, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
            /* A `done` before the arming woke nobody. */
            if (__atomic_load_n(&interface->done, __ATOMIC_SEQ_CST) != NULL)
                wake_drain(interface);
            return;
        }
        interface->waiting_count--;
    }
    ASSERT(interface->waiting_count == 0);
}

void transmit_progress(struct interface *interface) {
    net_assert_core_locked();
    reap(interface);
    flush(interface);
    if (interface->refused && interface->waiting_count < WAITING_LIMIT / 2) {
        interface->refused = false;
        tcp_txnow();
    }
}

static void drain_thread(void *argument) {
    struct interface *interface = argument;
    bool stopping = false;
    while (!stopping) {
        os_completion_wait(&interface->drain);
        os_completion_expect(&interface->drain, 1);
        __atomic_store_n(&interface->drain_state, DRAIN_IDLE, __ATOMIC_SEQ_CST);
        net_core_lock();
        transmit_progress(interface);
        stopping = interface->stopping;
        net_core_unlock();
    }
}

/* lwIP's timer: nothing may stay unnoticed for long. */
static void progress_timer(void *argument) {
    transmit_progress(argument);
    sys_timeout(PROGRESS_INTERVAL_MS, progress_timer, argument);
}

enum status transmit_start(struct interface *interface) {
    list_init(&interface->waiting);
    list_init(&interface->spare);
    os_completion_init(&interface->drain);
    os_completion_expect(&interface->drain, 1);
    enum status status =
        os_thread_start(&interface->drain_thread, "net-drain", drain_thread, interface);
    if (status != STATUS_OK)
        return status;
    net_core_lock();
    sys_timeout(PROGRESS_INTERVAL_MS, progress_timer, interface);
    net_core_unlock();
    return STATUS_OK;
}

void transmit_stop(struct interface *interface) {
    net_core_lock();
    ASSERT(list_is_empty(&interface->waiting));
    sys_untimeout(progress_timer, interface);
    interface->stopping = true;
    net_core_unlock();
    __atomic_store_n(&interface->drain_state, DRAIN_ARMED, __ATOMIC_SEQ_CST);
    wake_drain(interface);
    os_thread_join(interface->drain_thread);
    os_completion_signal(&interface->drain);
    os_completion_wait(&interface->drain);
    os_completion_destroy(&interface->drain);
    struct list_node *spare;
    while ((spare = list_pop_front(&interface->spare)) != NULL)
        os_free(LIST_CONTAINER(spare, struct transmission, link));
}

/* The one's complement sum of the TCP or UDP pseudo header (RFC 793, 3.1; RFC 768), not inverted,
 * in the byte order of the wire. */
static uint16_t pseudo_header_sum(const struct ipv4_header *ip, uint16_t payload_length) {
    uint32_t sum = (uint32_t)ip->protocol + payload_length;
    const uint8_t *addresses = (const uint8_t *)&ip->source;
    for (int i = 0; i < 8; i += 2)
        sum += (uint32_t)addresses[i] << 8 | addresses[i + 1];
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

/* Lets the device compute a TCP or UDP checksum: lwIP left the field alone. All headers are in the
 * first pbuf, as lwIP builds them. */
static void offload_checksum(struct transmission *transmission) {
    struct pbuf *frame = transmission->frame;
    if (frame->len < sizeof(struct ethernet_header) + sizeof(struct ipv4_header))
        return;
    const struct ethernet_header *ethernet = frame->payload;
    const struct ipv4_header *ip = (const void *)(ethernet + 1);
    if (be16_get(ethernet->type) != ETHERNET_TYPE_IPV4 ||
        (be16_get(ip->fragment) & IPV4_FRAGMENT_MASK) != 0)
        return;
    uint16_t offset = ip->protocol == IPV4_PROTOCOL_TCP   ? TCP_CHECKSUM_OFFSET
                      : ip->protocol == IPV4_PROTOCOL_UDP ? UDP_CHECKSUM_OFFSET
                                                          : 0;
    uint16_t header = (uint16_t)((ip->version_length & 15) * 4);
    uint16_t start = (uint16_t)(sizeof *ethernet + header);
    if (offset == 0 || frame->len < start + offset + sizeof(be16))
        return;
    be16 *field = (be16 *)((uint8_t *)frame->payload + start + offset);
    *field = be16_make(pseudo_header_sum(ip, (uint16_t)(be16_get(ip->total_length) - header)));
    transmission->transmit.checksum_offload = true;
    transmission->transmit.checksum_start = start;
    transmission->transmit.checksum_offset = offset;
}

static struct transmission *transmission_take(struct interface *interface) {
    struct list_node *spare = list_pop_front(&interface->spare);
    struct transmission *transmission;
    if (spare != NULL) {
        interface->spare_count--;
        transmission = LIST_CONTAINER(spare, struct transmission, link);
    } else {
        transmission = os_alloc(sizeof *transmission);
        if (transmission == NULL)
            return NULL;
    }
    transmission->interface = interface;
    list_init(&transmission->link);
    transmission->transmit = (struct netdev_transmit){
        .spans = transmission->spans,
        .done = transmission_done,
        .context = transmission,
    };
    return transmission;
}

/* Describes the frame by spans and references it; a frame in many pieces is joined. */
static bool describe(struct transmission *transmission, struct pbuf *frame) {
    struct pbuf *sent = frame;
    if (pbuf_clen(frame) > INLINE_SPANS) {
        sent = pbuf_clone(PBUF_RAW, PBUF_RAM, frame);
        if (sent == NULL)
            return false;
    } else {
        pbuf_ref(frame);
    }
    uint32_t count = 0;
    for (struct pbuf *piece = sent; piece != NULL; piece = piece->next) {
        if (piece->len > 0)
            transmission->spans[count++] = (struct span){piece->payload, piece->len};
    }
    transmission->frame = sent;
    transmission->transmit.span_count = count;
    return true;
}

err_t transmit_frame(struct netif *netif, struct pbuf *frame) {
    struct interface *interface = netif->state;
    net_assert_core_locked();
    reap(interface);
    if (interface->waiting_count >= WAITING_LIMIT) {
        interface->refused = true;
        return ERR_MEM;
    }
    struct transmission *transmission = transmission_take(interface);
    if (transmission == NULL)
        return ERR_MEM;
    if (!describe(transmission, frame)) {
        keep_spare(interface, transmission);
        return ERR_MEM;
    }
    if (interface->device->features & NETDEV_TX_CHECKSUM)
        offload_checksum(transmission);
    list_push_back(&interface->waiting, &transmission->link);
    interface->waiting_count++;
    flush(interface);
    return ERR_OK;
}
