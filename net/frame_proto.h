/* SPDX-License-Identifier: Apache-2.0 */
/* The headers that net/ itself looks at, around lwIP: Ethernet (IEEE 802.3), ARP (RFC 826), IPv4
 * (RFC 791, 3.1). */
#ifndef NET_FRAME_PROTO_H
#define NET_FRAME_PROTO_H

#include "base/endian.h"

#include <stdint.h>

#define ETHERNET_TYPE_IPV4 0x0800
#define ETHERNET_TYPE_ARP 0x0806

struct ethernet_header {
    uint8_t destination[6];
    uint8_t source[6];
    be16 type;
};
_Static_assert(sizeof(struct ethernet_header) == 14, "IEEE 802.3, 3.1.1");

/* RFC 826 over Ethernet and IPv4. */
#define ARP_PACKET_SIZE 28

#define IPV4_PROTOCOL_TCP 6
#define IPV4_PROTOCOL_UDP 17
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, fragment offset */

struct ipv4_header {
    uint8_t version_length; /* 4 bits each; the length in units of 4 bytes */
    uint8_t service;
    be16 total_length;
    be16 identification;
    be16 fragment;
    uint8_t ttl;
    uint8_t protocol;
    be16 checksum;
    be32 source;
    be32 destination;
};
_Static_assert(sizeof(struct ipv4_header) == 20, "RFC 791, 3.1");

#define TCP_CHECKSUM_OFFSET 16 /* RFC 793, 3.1 */
#define UDP_CHECKSUM_OFFSET 6  /* RFC 768 */

#endif
