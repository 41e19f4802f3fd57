/* SPDX-License-Identifier: Apache-2.0 */
/* What lwIP calls back into net/ (lwipopts.h, LWIP_HOOK_FILENAME). */
#ifndef NET_LWIP_HOOKS_H
#define NET_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

#include <stdint.h>

/* The first sequence number of a connection (RFC 6528, section 3). Core lock. */
uint32_t net_tcp_isn(const ip_addr_t *local, uint16_t local_port, const ip_addr_t *remote,
                     uint16_t remote_port);

#endif
