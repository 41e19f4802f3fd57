/* SPDX-License-Identifier: Apache-2.0 */
/* An Ethernet device as lwIP's interface; shared by the files that send, receive and configure. */
#ifndef NET_INTERFACE_H
#define NET_INTERFACE_H

#include "base/list.h"
#include "base/netdev.h"
#include "net/net.h"

#include "lwip/netif.h"

#include <stdint.h>

struct transmission;

/* Lives as long as the program. Fields without a note are constant after net_interface_add(). */
struct interface {
    struct netif netif; /* core lock */
    struct netdev *device;
    struct net_interface_config config;
    char host_name[64]; /* RFC 1035: a label has at most 63 bytes */
    bool told_link;     /* core lock: link_changed was called once */
    uint32_t announced; /* core lock: network byte order, 0 for none */

    /* Sending (net/transmit.c). Core lock but for those marked atomic. */
    struct list_node waiting; /* transmissions that the device was too busy to take, in order */
    uint32_t waiting_count;
    bool refused;           /* a frame was turned away since the list was last short */
    struct list_node spare; /* transmissions without a frame */
    uint32_t spare_count;
    struct transmission *done;  /* atomic: a stack of those that the device is done with */
    uint32_t drain_state;       /* atomic: enum drain_state */
    struct os_completion drain; /* what the drain thread sleeps on */
    struct os_thread *drain_thread;
    bool stopping;

    /* Receiving (net/receive.c). */
    uint32_t lent; /* atomic: frames that lwIP or a stream still reads in the device's memory */
};

/* Prepares an interface's sending half and starts its thread. NO_MEMORY. */
enum status transmit_start(struct interface *interface);

/* Undoes transmit_start(). Nothing is queued or with the device. Not under the core lock. */
void transmit_stop(struct interface *interface);

/* lwIP's linkoutput: sends, or queues, a frame. Core lock. */
err_t transmit_frame(struct netif *netif, struct pbuf *frame);

/* Lets go of frames that were sent and offers those that wait to the device. Core lock. */
void transmit_progress(struct interface *interface);

/* The device's receive callback; context is the interface. */
void receive_frame(void *context, struct netdev_receive *received);

#endif
