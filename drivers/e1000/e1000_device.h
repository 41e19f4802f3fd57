/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A controller as the files of this driver share it.
 *
 * Invariants:
 * - While the device runs, one thread of its own (e1000.c) does all that is not send(): it alone
 *   touches the receive ring, resets the hardware and calls the client.
 * - Interrupts are masked from the handler's run until that thread has seen a round without work;
 *   `interrupt.masked` mirrors the mask register.
 * - Every receive descriptor always has a buffer: a frame is handed up only after another buffer
 *   took its place, else it is dropped and counted. So lack of memory cannot stop reception.
 * - A transmit accepted by send() is in the ring until its done was called; after e1000_tx_stop()
 *   or with the link down none is.
 * - Lock order: lifecycle, then counters.lock, then tx.lock or interrupt.lock (never both).
 */
#ifndef DRIVERS_E1000_E1000_DEVICE_H
#define DRIVERS_E1000_E1000_DEVICE_H

#include "base/netdev.h"
#include "base/os.h"
#include "drivers/e1000/e1000_regs.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/pci/pci.h"
#include "kernel/sched/event.h"

/* ---- which controllers there are (e1000_models.c) ---- */

#define E1000_QUIRK_PCIE 1u    /* PCI Express: bus master handshake at reset, firmware to tell */
#define E1000_QUIRK_NO_ASPM 2u /* stops working in link power states L0s and L1 */

struct e1000_model {
    uint16_t device;       /* PCI identifier; the vendor is Intel */
    uint16_t ring_entries; /* of either ring: power of two, multiple of 8 */
    uint32_t quirks;
    const char *name;
};

/* The model of a function, NULL if it is none of ours. Any context. */
const struct e1000_model *e1000_model_find(const struct pci_device *pci);

/* ---- receive (e1000_rx.c) ---- */

struct e1000_rx_buffer;

struct e1000_rx {
    struct e1000_rx_descriptor *ring;
    struct e1000_rx_buffer **buffers; /* that each descriptor points to */
    uint32_t entries;
    uint32_t next; /* the descriptor that hardware fills next */

    struct e1000_rx_buffer *spare; /* free ones, the service thread's */
    uint32_t spare_count;
    struct e1000_rx_buffer *returned; /* atomic stack: released by receivers, any thread */
    bool in_bad_frame; /* inside of a frame that spans descriptors, which is dropped */
};

/* ---- transmit (e1000_tx.c) ---- */

enum e1000_tx_state {
    E1000_TX_STOPPED,   /* send() refuses */
    E1000_TX_LINK_DOWN, /* send() drops: hardware would keep the frame for as long */
    E1000_TX_RUNNING,
    E1000_TX_GONE, /* the hardware is no longer there */
};

struct e1000_tx_slot {
    struct netdev_transmit *transmit; /* in a frame's first slot */
    uint32_t last;                    /* in a frame's first slot: index of its last descriptor */
};

struct e1000_tx {
    struct spinlock lock; /* guards all of this struct but entries, which is constant */
    enum e1000_tx_state state;
    struct e1000_tx_descriptor *ring;
    struct e1000_tx_slot *slots;
    uint32_t entries;
    uint32_t head;                          /* first descriptor not yet given back */
    uint32_t tail;                          /* first free descriptor; one always stays free */
    uint16_t context_start, context_offset; /* the loaded checksum context; start 0: none */
    bool starved;                           /* a sender waits for room */
    uint64_t frames, bytes, dropped;
};

/* ---- the device (e1000.c) ---- */

struct e1000_counters {
    struct os_mutex lock; /* guards this struct and the clear-on-read registers */
    uint64_t rx_frames, rx_bytes, rx_dropped, rx_errors;
    uint64_t tx_errors;
    uint64_t link_changes;
};

struct e1000_interrupt {
    struct spinlock lock; /* guards masked and the mask registers */
    bool masked;
    uint32_t causes; /* atomic: read by the handler, not yet seen by the thread */
    uint64_t count;  /* atomic */
};

struct e1000 {
    struct netdev netdev;
    struct pci_device *pci;
    const struct e1000_model *model;
    volatile uint8_t *registers;

    struct os_mutex lifecycle; /* guards thread; held over start and stop */
    struct os_thread *thread;
    struct netdev_client client; /* constant while the thread runs */
    bool stopping;               /* atomic */

    struct event event; /* work for the thread */
    struct e1000_interrupt interrupt;
    struct e1000_counters counters;
    struct e1000_rx rx;
    struct e1000_tx tx;

    /* The service thread's. */
    uint32_t megabits; /* of the link as the client knows it; 0: down */
    bool gone;
    uint64_t next_housekeeping; /* os_now_ns */
    uint64_t tx_frames_seen;    /* progress at the last housekeeping */
    unsigned tx_stalled;        /* housekeepings in a row without progress */
};

/* ---- hardware (e1000_hw.c) ---- */

static inline uint32_t e1000_read(const struct e1000 *device, uint32_t offset) {
    return *(volatile uint32_t *)(device->registers + offset);
}
/* What was written to memory before is visible to the device when it sees the register change. */
static inline void e1000_write(const struct e1000 *device, uint32_t offset, uint32_t value) {
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint32_t *)(device->registers + offset) = value;
}

/* Masks interrupts, stops all DMA and brings the registers to their power-on values. IO: it does
 * not answer. */
enum status e1000_hw_reset(struct e1000 *device);
/* The station address that reset loaded from the EEPROM. NOT_FOUND: there is no valid one. */
enum status e1000_hw_address(struct e1000 *device);
/* After a reset: programs everything but the rings, interrupts stay masked. */
void e1000_hw_configure(struct e1000 *device);
/* Megabits of the link, 0 while it is down. */
uint32_t e1000_hw_link(const struct e1000 *device);
/* Adds the hardware's counters, clearing them. counters.lock is held. */
void e1000_hw_collect(struct e1000 *device);

/* ---- receive: all by the service thread, or before it runs and after it ended ---- */

/* NO_MEMORY: nothing is kept. */
enum status e1000_rx_create(struct e1000 *device);
void e1000_rx_destroy(struct e1000 *device);
/* Puts a buffer at every descriptor. NO_MEMORY: some are missing, e1000_rx_drain() them. */
enum status e1000_rx_fill(struct e1000 *device);
/* Releases the buffers of the ring and the spare ones; hardware is stopped. */
void e1000_rx_drain(struct e1000 *device);
/* After reset and configure: hands the filled ring to hardware and starts reception. */
void e1000_rx_start(struct e1000 *device);
/* Takes up to a batch of frames from the ring and delivers them. How many descriptors it took. */
unsigned e1000_rx_poll(struct e1000 *device);
/* At most this many by one call. */
#define E1000_RX_BATCH 64u

/* ---- transmit ---- */

/* NO_MEMORY: nothing is kept. */
enum status e1000_tx_create(struct e1000 *device);
void e1000_tx_destroy(struct e1000 *device);
/* After reset and configure: hands the empty ring to hardware. send() does not use it yet. */
void e1000_tx_start(struct e1000 *device);
/* From now on send() acts by this state. */
void e1000_tx_set_state(struct e1000 *device, enum e1000_tx_state state);
/* Hardware is stopped: gives every frame of the ring back, as dropped. */
void e1000_tx_cancel(struct e1000 *device);
/* Gives back what was sent; true if there was any. */
bool e1000_tx_poll(struct e1000 *device);
/* True if frames wait in the ring; *frames counts those ever sent. */
bool e1000_tx_pending(struct e1000 *device, uint64_t *frames);
/* True if a sender was refused and nothing was given back since. */
bool e1000_tx_starved(struct e1000 *device);
/* netdev_operations.send */
enum status e1000_tx_send(struct netdev *netdev, struct netdev_transmit *transmit);

static inline struct e1000 *e1000_of(struct netdev *netdev) {
    return LIST_CONTAINER(netdev, struct e1000, netdev);
}

#endif
