/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of an Ethernet device: what a driver publishes and what net/ uses. Frames are
 * complete Ethernet II frames without the frame check sequence.
 */
#ifndef BASE_NETDEV_H
#define BASE_NETDEV_H

#include "base/list.h"
#include "base/span.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the device does in hardware. */
#define NETDEV_TX_CHECKSUM 1u /* fills the TCP or UDP checksum of an IPv4 frame on request */
#define NETDEV_RX_CHECKSUM 2u /* says which received frames have good checksums */

/*
 * A frame to send. The memory belongs to the sender; `done` says that the device no longer reads
 * it. done may be called inside of send(), from another thread or from interrupt: must not sleep.
 */
struct netdev_transmit {
    const struct span *spans; /* memory that the device can read: os_alloc or os_page_alloc */
    uint32_t span_count;
    bool checksum_offload; /* only with NETDEV_TX_CHECKSUM: the device computes the checksum over
                              [checksum_start, end) and stores it at checksum_start +
                              checksum_offset; the field holds the pseudo header's sum already */
    uint16_t checksum_start;
    uint16_t checksum_offset;
    void (*done)(struct netdev_transmit *transmit);
    void *context;      /* the sender's */
    uint64_t device[2]; /* the device's while it holds the frame */
};

/* A received frame, lent to the receiver until it calls release (any thread, once). */
struct netdev_receive {
    void *data;
    size_t length;
    bool checksum_good; /* IPv4 header and TCP/UDP checksum were verified by the device */
    void (*release)(struct netdev_receive *receive);
    struct list_node link; /* the receiver's while it holds the frame */
};

/* What the user of a device gets called with. Thread context (the driver's own service thread). */
struct netdev_client {
    void (*receive)(void *context, struct netdev_receive *receive);
    /* Speed is 0 while the link is down. */
    void (*link_changed)(void *context, bool up, uint32_t megabits);
    void *context;
};

struct netdev_statistics {
    uint64_t rx_frames, rx_bytes, rx_dropped, rx_errors;
    uint64_t tx_frames, tx_bytes, tx_dropped, tx_errors;
    uint64_t interrupts, link_changes;
};

struct netdev;

struct netdev_operations {
    /* Starts reception; link_changed is called soon after with the present state. */
    enum status (*start)(struct netdev *device, const struct netdev_client *client);
    /* After return no callback runs and every transmit is done. */
    void (*stop)(struct netdev *device);
    /* Queues a frame, always ending in done. BUSY (done is not called) when the ring is full.
     * Thread context; does not sleep. */
    enum status (*send)(struct netdev *device, struct netdev_transmit *transmit);
    void (*statistics)(struct netdev *device, struct netdev_statistics *out);
};

struct netdev {
    const struct netdev_operations *operations;
    char name[16]; /* "e1000-0" */
    uint8_t address[6];
    uint16_t mtu; /* payload bytes of a frame: 1500 */
    uint32_t features;
};

#endif
