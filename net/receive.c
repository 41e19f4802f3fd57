/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving: a large frame is lent to lwIP, and through it to the stream that reads it, in the
 * device's own memory; a small one is copied, because it would keep a whole buffer for a few bytes.
 *
 * Invariants: every frame is released to the device exactly once. At most LENT_LIMIT frames of an
 * interface are lent: beyond, frames are copied, so that a stream that is not read cannot starve
 * the device of buffers. What reaches lwIP is long enough for the headers that it reads unasked.
 */
#include "net/interface.h"
#include "net/net_internal.h"

#include "base/mem.h"
#include "net/frame_proto.h"

#include "lwip/pbuf.h"
#include "netif/ethernet.h"

#define COPY_BELOW 512
#define LENT_LIMIT 64

/* What the device does not check, lwIP does. */
#define CHECKSUM_CHECKS                                                                            \
    (NETIF_CHECKSUM_CHECK_IP | NETIF_CHECKSUM_CHECK_UDP | NETIF_CHECKSUM_CHECK_TCP)

struct loan {
    struct pbuf_custom pbuf; /* first */
    struct netdev_receive *received;
    struct interface *interface;
};

/* The last user of the frame is gone. Any thread, with or without the core lock. */
static void loan_return(struct pbuf *pbuf) {
    struct loan *loan = (struct loan *)pbuf;
    loan->received->release(loan->received);
    __atomic_sub_fetch(&loan->interface->lent, 1, __ATOMIC_RELAXED);
    os_free(loan);
}

static struct pbuf *lend(struct interface *interface, struct netdev_receive *received) {
    struct loan *loan = os_alloc(sizeof *loan);
    if (loan == NULL)
        return NULL;
    loan->received = received;
    loan->interface = interface;
    loan->pbuf.custom_free_function = loan_return;
    __atomic_add_fetch(&interface->lent, 1, __ATOMIC_RELAXED);
    return pbuf_alloced_custom(PBUF_RAW, (u16_t)received->length, PBUF_REF, &loan->pbuf,
                               received->data, (u16_t)received->length);
}

/* Afterwards the frame is released or lent; NULL when there is no memory. */
static struct pbuf *take(struct interface *interface, struct netdev_receive *received) {
    struct pbuf *pbuf = NULL;
    if (received->length >= COPY_BELOW &&
        __atomic_load_n(&interface->lent, __ATOMIC_RELAXED) < LENT_LIMIT)
        pbuf = lend(interface, received);
    if (pbuf != NULL)
        return pbuf;
    pbuf = pbuf_alloc(PBUF_RAW, (u16_t)received->length, PBUF_RAM);
    if (pbuf != NULL)
        memcpy(pbuf->payload, received->data, received->length);
    received->release(received);
    return pbuf;
}

/* RFC 791, 3.1. lwIP reads the header before it looks at the frame's length. */
static bool is_ipv4(const struct ipv4_header *header, size_t length) {
    if (length < sizeof *header || header->version_length >> 4 != 4)
        return false;
    size_t header_length = (header->version_length & 15u) * 4;
    size_t total_length = be16_get(header->total_length);
    return header_length >= sizeof *header && header_length <= total_length &&
           total_length <= length;
}

static bool is_well_formed(const struct interface *interface,
                           const struct netdev_receive *received) {
    const struct ethernet_header *header = received->data;
    if (received->length <= sizeof *header ||
        received->length > sizeof *header + interface->device->mtu)
        return false;
    size_t length = received->length - sizeof *header;
    switch (be16_get(header->type)) {
    case ETHERNET_TYPE_ARP:
        return length >= ARP_PACKET_SIZE;
    case ETHERNET_TYPE_IPV4:
        return is_ipv4((const struct ipv4_header *)(header + 1), length);
    default:
        return false;
    }
}

void receive_frame(void *context, struct netdev_receive *received) {
    struct interface *interface = context;
    if (!is_well_formed(interface, received)) {
        received->release(received);
        return;
    }
    bool checked = received->checksum_good;
    struct pbuf *pbuf = take(interface, received);
    net_core_lock();
    transmit_progress(interface);
    if (pbuf != NULL) {
        struct netif *netif = &interface->netif;
        uint16_t flags = netif->chksum_flags;
        NETIF_SET_CHECKSUM_CTRL(netif, checked ? flags & ~CHECKSUM_CHECKS : flags);
        if (ethernet_input(pbuf, netif) != ERR_OK)
            pbuf_free(pbuf);
        NETIF_SET_CHECKSUM_CTRL(netif, flags);
    }
    net_core_unlock();
}
