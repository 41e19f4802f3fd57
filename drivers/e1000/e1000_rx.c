/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive ring and its buffers.
 *
 * A buffer is a page: hardware fills the front, this file's bookkeeping lies behind what hardware
 * may write. Its life: spare -> in the ring -> lent to the receiver -> returned -> spare. Buffers
 * come from the page allocator as receivers keep more of them, and go back when many lie idle.
 *
 * Invariants:
 * - buffers[i] is never NULL while the ring is filled, and ring[i].address is its data.
 * - Hardware owns all descriptors but `next - 1` (RDT): a ring with RDT equal to RDH were empty.
 * - A buffer's `next` is meaningful only while it is spare or returned.
 */
#include "base/math.h"
#include "base/mem.h"
#include "drivers/e1000/e1000_device.h"
#include "kernel/mm/memory.h"

/* An IPv4 header behind 14 bytes of Ethernet header is then aligned, and the payload of plain TCP
 * to 8 bytes. */
#define DATA_OFFSET 2u
#define SHORTEST_FRAME 14u

struct e1000_rx_buffer {
    unsigned char data[DATA_OFFSET + E1000_RX_BUFFER_SIZE];
    struct netdev_receive receive;
    struct e1000 *device;
    struct e1000_rx_buffer *next;
};
_Static_assert(sizeof(struct e1000_rx_buffer) <= OS_PAGE_SIZE, "a buffer is a page");

/* ---- buffers ---- */

static size_t ring_bytes(const struct e1000_rx *rx) {
    return math_round_up(rx->entries * sizeof *rx->ring, OS_PAGE_SIZE);
}

/* netdev_receive.release. Any thread. */
static void release(struct netdev_receive *receive) {
    struct e1000_rx_buffer *buffer = LIST_CONTAINER(receive, struct e1000_rx_buffer, receive);
    struct e1000_rx *rx = &buffer->device->rx;
    struct e1000_rx_buffer *head = __atomic_load_n(&rx->returned, __ATOMIC_RELAXED);
    do {
        buffer->next = head;
    } while (!__atomic_compare_exchange_n(&rx->returned, &head, buffer, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}

static void collect_returned(struct e1000_rx *rx) {
    struct e1000_rx_buffer *buffer = __atomic_exchange_n(&rx->returned, NULL, __ATOMIC_ACQUIRE);
    while (buffer != NULL) {
        struct e1000_rx_buffer *next = buffer->next;
        /* As many idle ones as the ring holds are enough for the next burst. */
        if (rx->spare_count >= rx->entries) {
            os_page_free(buffer, OS_PAGE_SIZE);
        } else {
            buffer->next = rx->spare;
            rx->spare = buffer;
            rx->spare_count++;
        }
        buffer = next;
    }
}

/* NULL: there is no memory. */
static struct e1000_rx_buffer *take_buffer(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    if (rx->spare == NULL)
        collect_returned(rx);
    struct e1000_rx_buffer *buffer = rx->spare;
    if (buffer != NULL) {
        rx->spare = buffer->next;
        rx->spare_count--;
        return buffer;
    }
    buffer = os_page_alloc(OS_PAGE_SIZE);
    if (buffer == NULL)
        return NULL;
    buffer->device = device;
    buffer->receive.data = buffer->data + DATA_OFFSET;
    buffer->receive.release = release;
    list_init(&buffer->receive.link);
    return buffer;
}

/* ---- setting up ---- */

enum status e1000_rx_create(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    rx->entries = device->model->ring_entries;
    rx->ring = os_page_alloc(ring_bytes(rx));
    rx->buffers = os_alloc_zeroed(rx->entries * sizeof *rx->buffers);
    if (rx->ring != NULL && rx->buffers != NULL)
        return STATUS_OK;
    e1000_rx_destroy(device);
    return STATUS_NO_MEMORY;
}

void e1000_rx_destroy(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    os_page_free(rx->ring, ring_bytes(rx));
    os_free(rx->buffers);
    rx->ring = NULL;
    rx->buffers = NULL;
}

enum status e1000_rx_fill(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    for (uint32_t i = 0; i < rx->entries; i++) {
        rx->buffers[i] = take_buffer(device);
        if (rx->buffers[i] == NULL)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void e1000_rx_drain(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    for (uint32_t i = 0; i < rx->entries; i++) {
        os_page_free(rx->buffers[i], OS_PAGE_SIZE);
        rx->buffers[i] = NULL;
    }
    collect_returned(rx);
    while (rx->spare != NULL) {
        struct e1000_rx_buffer *buffer = rx->spare;
        rx->spare = buffer->next;
        os_page_free(buffer, OS_PAGE_SIZE);
    }
    rx->spare_count = 0;
}

static void arm(struct e1000_rx *rx, uint32_t index) {
    volatile struct e1000_rx_descriptor *descriptor = &rx->ring[index];
    descriptor->address = memory_physical(rx->buffers[index]->receive.data);
    descriptor->status = 0;
}

void e1000_rx_start(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    memset(rx->ring, 0, rx->entries * sizeof *rx->ring);
    for (uint32_t i = 0; i < rx->entries; i++)
        arm(rx, i);
    rx->next = 0;
    rx->in_bad_frame = false;
    uint64_t address = memory_physical(rx->ring);
    e1000_write(device, E1000_RDBAL, (uint32_t)address);
    e1000_write(device, E1000_RDBAH, (uint32_t)(address >> 32));
    e1000_write(device, E1000_RDLEN, (uint32_t)(rx->entries * sizeof *rx->ring));
    e1000_write(device, E1000_RDH, 0);
    e1000_write(device, E1000_RDT, 0);
    e1000_write(device, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC);
    /* 82574 4.6: the tail moves only after reception is on. */
    e1000_write(device, E1000_RDT, rx->entries - 1);
}

/* ---- receiving ---- */

struct batch {
    struct list_node frames;
    uint64_t count, bytes, dropped, errors;
};

/* Whether hardware put one whole, good frame into this descriptor. */
static bool is_good(struct e1000_rx *rx, const struct e1000_rx_descriptor *descriptor) {
    bool continues = !(descriptor->status & E1000_RX_STATUS_EOP);
    bool bad = continues || rx->in_bad_frame || (descriptor->errors & E1000_RX_ERROR_FRAME) ||
               descriptor->length < SHORTEST_FRAME || descriptor->length > E1000_RX_BUFFER_SIZE;
    rx->in_bad_frame = continues;
    return !bad;
}

static bool checksum_is_good(const struct e1000_rx_descriptor *descriptor) {
    uint8_t looked = E1000_RX_STATUS_IPCS | E1000_RX_STATUS_TCPCS;
    return (descriptor->status & (looked | E1000_RX_STATUS_IXSM)) == looked &&
           !(descriptor->errors & (E1000_RX_ERROR_IPE | E1000_RX_ERROR_TCPE));
}

/* Moves the frame of a filled descriptor to the batch and puts another buffer in its place; a frame
 * that cannot be taken leaves its buffer where it is. */
static void take_frame(struct e1000 *device, uint32_t index,
                       const struct e1000_rx_descriptor *descriptor, struct batch *batch) {
    struct e1000_rx *rx = &device->rx;
    if (!is_good(rx, descriptor)) {
        batch->errors++;
        return;
    }
    struct e1000_rx_buffer *replacement = take_buffer(device);
    if (replacement == NULL) {
        batch->dropped++;
        return;
    }
    struct netdev_receive *receive = &rx->buffers[index]->receive;
    rx->buffers[index] = replacement;
    receive->length = descriptor->length;
    receive->checksum_good = checksum_is_good(descriptor);
    list_push_back(&batch->frames, &receive->link);
    batch->count++;
    batch->bytes += descriptor->length;
}

static void deliver(struct e1000 *device, struct batch *batch) {
    struct e1000_counters *counters = &device->counters;
    os_mutex_lock(&counters->lock);
    counters->rx_frames += batch->count;
    counters->rx_bytes += batch->bytes;
    counters->rx_dropped += batch->dropped;
    counters->rx_errors += batch->errors;
    os_mutex_unlock(&counters->lock);

    struct list_node *node;
    while ((node = list_pop_front(&batch->frames)) != NULL)
        device->client.receive(device->client.context,
                               LIST_CONTAINER(node, struct netdev_receive, link));
}

unsigned e1000_rx_poll(struct e1000 *device) {
    struct e1000_rx *rx = &device->rx;
    struct batch batch = {.count = 0};
    list_init(&batch.frames);
    unsigned taken = 0;
    while (taken < E1000_RX_BATCH) {
        const volatile struct e1000_rx_descriptor *filled = &rx->ring[rx->next];
        if (!(filled->status & E1000_RX_STATUS_DD))
            break;
        /* What hardware wrote before DD is read after it. */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        struct e1000_rx_descriptor descriptor = *filled;
        take_frame(device, rx->next, &descriptor, &batch);
        arm(rx, rx->next);
        rx->next = (rx->next + 1) & (rx->entries - 1);
        taken++;
    }
    if (taken == 0)
        return 0;
    /* Hardware gets the descriptors back before the frames are worked on: one write for all. */
    e1000_write(device, E1000_RDT, (rx->next - 1) & (rx->entries - 1));
    deliver(device, &batch);
    return taken;
}
