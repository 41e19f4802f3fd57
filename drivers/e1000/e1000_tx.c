/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transmit ring.
 *
 * Invariants:
 * - [head, tail) are descriptors of frames not yet given back, each frame whole: maybe a checksum
 *   context, then one descriptor per piece, of which the last reports its status.
 * - The context (context_start, context_offset) is the one that the newest context descriptor of
 *   the ring loaded since the last reset. With one queue it serves until another replaces it
 *   (SDM 3.3.6; 82574 7.2.6), so frames of one kind need no context of their own.
 * - `starved` is set from a refused send() until frames were given back. Only then is the service
 *   thread to be told of sent frames by interrupt; it looks for them after other interrupts and
 *   every SERVICE_PATIENCE_NS (e1000.c) anyway, and so does send() when the ring fills.
 * - done is called with no lock held; frames on their way there are chained by device[0], and their
 *   length is in device[1].
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "drivers/e1000/e1000_device.h"
#include "kernel/mm/memory.h"

#define ETHERNET_HEADER 14u
#define VLAN_TAG 4u
#define TCP_CHECKSUM_OFFSET 16u
#define IPV4_CHECKSUM_OFFSET 10u

/* send() gives back what was sent once this share of the ring is in use. */
#define RECLAIM_DIVISOR 4u

static size_t ring_bytes(const struct e1000_tx *tx) {
    return math_round_up(tx->entries * sizeof *tx->ring, OS_PAGE_SIZE);
}

enum status e1000_tx_create(struct e1000 *device) {
    struct e1000_tx *tx = &device->tx;
    tx->entries = device->model->ring_entries;
    tx->ring = os_page_alloc(ring_bytes(tx));
    tx->slots = os_alloc_zeroed(tx->entries * sizeof *tx->slots);
    tx->state = E1000_TX_STOPPED;
    if (tx->ring != NULL && tx->slots != NULL)
        return STATUS_OK;
    e1000_tx_destroy(device);
    return STATUS_NO_MEMORY;
}

void e1000_tx_destroy(struct e1000 *device) {
    struct e1000_tx *tx = &device->tx;
    os_page_free(tx->ring, ring_bytes(tx));
    os_free(tx->slots);
    tx->ring = NULL;
    tx->slots = NULL;
}

void e1000_tx_start(struct e1000 *device) {
    struct e1000_tx *tx = &device->tx;
    uint64_t flags = spinlock_lock(&tx->lock);
    ASSERT(tx->head == tx->tail);
    memset(tx->ring, 0, tx->entries * sizeof *tx->ring);
    tx->head = 0;
    tx->tail = 0;
    tx->context_start = 0;
    tx->starved = false;
    uint64_t address = memory_physical(tx->ring);
    e1000_write(device, E1000_TDBAL, (uint32_t)address);
    e1000_write(device, E1000_TDBAH, (uint32_t)(address >> 32));
    e1000_write(device, E1000_TDLEN, (uint32_t)(tx->entries * sizeof *tx->ring));
    e1000_write(device, E1000_TDH, 0);
    e1000_write(device, E1000_TDT, 0);
    if (device->model->quirks & E1000_QUIRK_PCIE)
        e1000_write(device, E1000_TXDCTL,
                    e1000_read(device, E1000_TXDCTL) | E1000_TXDCTL_GRAN |
                        E1000_TXDCTL_COUNT_PENDING);
    e1000_write(device, E1000_TCTL,
                E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD_FULL |
                    E1000_TCTL_RTLC);
    spinlock_unlock(&tx->lock, flags);
}

void e1000_tx_set_state(struct e1000 *device, enum e1000_tx_state state) {
    uint64_t flags = spinlock_lock(&device->tx.lock);
    device->tx.state = state;
    spinlock_unlock(&device->tx.lock, flags);
}

/* ---- giving frames back ---- */

static uint32_t in_use(const struct e1000_tx *tx) {
    return (tx->tail - tx->head) & (tx->entries - 1);
}

static void chain(struct netdev_transmit ***end, struct netdev_transmit *transmit) {
    transmit->device[0] = 0;
    **end = transmit;
    *end = (struct netdev_transmit **)&transmit->device[0];
}
_Static_assert(sizeof(((struct netdev_transmit *)0)->device[0]) == sizeof(void *),
               "a pointer fits into the device's word");

/* Takes the frames off the ring that hardware is done with. Lock held. */
static struct netdev_transmit *reclaim(struct e1000_tx *tx) {
    struct netdev_transmit *finished = NULL, **end = &finished;
    while (tx->head != tx->tail) {
        struct e1000_tx_slot *slot = &tx->slots[tx->head];
        const volatile uint32_t *status = &tx->ring[slot->last].status;
        if (!(*status & E1000_TX_STATUS_DD))
            break;
        tx->frames++;
        tx->bytes += slot->transmit->device[1];
        chain(&end, slot->transmit);
        slot->transmit = NULL;
        tx->head = (slot->last + 1) & (tx->entries - 1);
    }
    if (finished != NULL)
        tx->starved = false;
    return finished;
}

/* No lock held. */
static void give_back(struct netdev_transmit *finished) {
    while (finished != NULL) {
        struct netdev_transmit *transmit = finished;
        finished = (struct netdev_transmit *)transmit->device[0];
        transmit->done(transmit);
    }
}

bool e1000_tx_poll(struct e1000 *device) {
    struct e1000_tx *tx = &device->tx;
    uint64_t flags = spinlock_lock(&tx->lock);
    struct netdev_transmit *finished = reclaim(tx);
    spinlock_unlock(&tx->lock, flags);
    give_back(finished);
    return finished != NULL;
}

void e1000_tx_cancel(struct e1000 *device) {
    struct e1000_tx *tx = &device->tx;
    struct netdev_transmit *finished = NULL, **end = &finished;
    uint64_t flags = spinlock_lock(&tx->lock);
    while (tx->head != tx->tail) {
        struct e1000_tx_slot *slot = &tx->slots[tx->head];
        tx->dropped++;
        chain(&end, slot->transmit);
        slot->transmit = NULL;
        tx->head = (slot->last + 1) & (tx->entries - 1);
    }
    spinlock_unlock(&tx->lock, flags);
    give_back(finished);
}

bool e1000_tx_pending(struct e1000 *device, uint64_t *frames) {
    uint64_t flags = spinlock_lock(&device->tx.lock);
    bool pending = device->tx.head != device->tx.tail;
    *frames = device->tx.frames;
    spinlock_unlock(&device->tx.lock, flags);
    return pending;
}

bool e1000_tx_starved(struct e1000 *device) {
    uint64_t flags = spinlock_lock(&device->tx.lock);
    bool starved = device->tx.starved;
    spinlock_unlock(&device->tx.lock, flags);
    return starved;
}

/* ---- sending ---- */

/* Counts the pieces that hold anything and keeps the frame's length. INVALID: not a frame that the
 * device could send. */
static enum status measure(const struct e1000 *device, struct netdev_transmit *transmit,
                           uint32_t *pieces) {
    uint64_t length = 0, limit = ETHERNET_HEADER + VLAN_TAG + device->netdev.mtu;
    *pieces = 0;
    for (uint32_t i = 0; i < transmit->span_count; i++) {
        if (transmit->spans[i].length == 0)
            continue;
        if (!math_add(length, transmit->spans[i].length, &length) || length > limit)
            return STATUS_INVALID;
        ++*pieces;
    }
    /* One for a context, one that always stays free. */
    if (length < ETHERNET_HEADER || *pieces + 2 > device->tx.entries)
        return STATUS_INVALID;
    transmit->device[1] = length;
    if (!transmit->checksum_offload)
        return STATUS_OK;
    /* The context holds both places in 8 bits. */
    uint32_t place = (uint32_t)transmit->checksum_start + transmit->checksum_offset;
    if (transmit->checksum_start <= ETHERNET_HEADER || place > UINT8_MAX || place + 2 > length)
        return STATUS_INVALID;
    return STATUS_OK;
}

static uint32_t step(struct e1000_tx *tx, uint32_t index) {
    return (index + 1) & (tx->entries - 1);
}

static uint32_t put_context(struct e1000_tx *tx, uint32_t index,
                            const struct netdev_transmit *transmit) {
    struct e1000_tx_context context = {
        /* Not used, as no descriptor asks for the IPv4 header's checksum, but has to make sense. */
        .ip_start = ETHERNET_HEADER,
        .ip_offset = ETHERNET_HEADER + IPV4_CHECKSUM_OFFSET,
        .ip_end = (uint16_t)(transmit->checksum_start - 1),
        .l4_start = (uint8_t)transmit->checksum_start,
        .l4_offset = (uint8_t)(transmit->checksum_start + transmit->checksum_offset),
        .command = E1000_TX_COMMAND_DEXT | E1000_TX_COMMAND_TYPE_CONTEXT | E1000_TX_CONTEXT_IPV4 |
                   (transmit->checksum_offset == TCP_CHECKSUM_OFFSET ? E1000_TX_CONTEXT_TCP : 0),
    };
    memcpy(&tx->ring[index], &context, sizeof context);
    tx->context_start = transmit->checksum_start;
    tx->context_offset = transmit->checksum_offset;
    return step(tx, index);
}

/* One descriptor per piece; returns the last one's index. */
static uint32_t put_pieces(struct e1000_tx *tx, uint32_t index,
                           const struct netdev_transmit *transmit, uint32_t pieces) {
    uint32_t command = E1000_TX_COMMAND_IFCS, options = 0;
    if (transmit->checksum_offload) {
        command |= E1000_TX_COMMAND_DEXT | E1000_TX_COMMAND_TYPE_DATA;
        options = E1000_TX_OPTION_TXSM;
    }
    for (const struct span *span = transmit->spans;; span++) {
        if (span->length == 0)
            continue;
        bool last = --pieces == 0;
        tx->ring[index] = (struct e1000_tx_descriptor){
            .address = memory_physical(span->base),
            .command = command | (uint32_t)span->length |
                       (last ? E1000_TX_COMMAND_EOP | E1000_TX_COMMAND_RS : 0),
            .status = options,
        };
        if (last)
            return index;
        index = step(tx, index);
    }
}

/* BUSY: no room. Lock held. */
static enum status enqueue(struct e1000 *device, struct netdev_transmit *transmit,
                           uint32_t pieces) {
    struct e1000_tx *tx = &device->tx;
    bool new_context =
        transmit->checksum_offload && (tx->context_start != transmit->checksum_start ||
                                       tx->context_offset != transmit->checksum_offset);
    if (in_use(tx) + pieces + new_context > tx->entries - 1)
        return STATUS_BUSY;
    uint32_t index = tx->tail;
    if (new_context)
        index = put_context(tx, index, transmit);
    uint32_t last = put_pieces(tx, index, transmit, pieces);
    tx->slots[tx->tail] = (struct e1000_tx_slot){.transmit = transmit, .last = last};
    tx->tail = step(tx, last);
    e1000_write(device, E1000_TDT, tx->tail);
    return STATUS_OK;
}

enum status e1000_tx_send(struct netdev *netdev, struct netdev_transmit *transmit) {
    struct e1000 *device = e1000_of(netdev);
    struct e1000_tx *tx = &device->tx;
    uint32_t pieces;
    enum status status = measure(device, transmit, &pieces);
    if (status != STATUS_OK)
        return status;

    struct netdev_transmit *finished = NULL;
    uint64_t flags = spinlock_lock(&tx->lock);
    switch (tx->state) {
    case E1000_TX_RUNNING:
        if (in_use(tx) >= tx->entries / RECLAIM_DIVISOR)
            finished = reclaim(tx);
        status = enqueue(device, transmit, pieces);
        tx->starved |= status == STATUS_BUSY;
        break;
    case E1000_TX_LINK_DOWN:
        tx->dropped++;
        transmit->device[0] = 0;
        finished = transmit;
        break;
    case E1000_TX_STOPPED:
        status = STATUS_SHUTDOWN;
        break;
    case E1000_TX_GONE:
        status = STATUS_GONE;
        break;
    }
    spinlock_unlock(&tx->lock, flags);
    give_back(finished);
    if (status == STATUS_BUSY)
        event_signal(&device->event); /* so that the thread asks for an interrupt */
    return status;
}
