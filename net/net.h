/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: Ethernet devices with IPv4 addresses, and TCP as streams (base/stream.h).
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/netdev.h"
#include "base/status.h"
#include "base/stream.h"

#include <stdbool.h>
#include <stdint.h>

/* Starts the stack; once, before anything else here. */
enum status net_start(void);

struct net_interface_config {
    bool dhcp; /* else the three below, in host byte order */
    uint32_t address;
    uint32_t netmask;
    uint32_t gateway;      /* 0: none */
    const char *host_name; /* told to the DHCP server */
};

/* Parses the command line's ip= value: "dhcp", or ADDRESS/PREFIX[,GATEWAY]
 * ("192.168.1.10/24,192.168.1.1"). INVALID. */
enum status net_parse_config(const char *text, struct net_interface_config *config);

/* Brings the device up as an interface. Returns at once; addresses come later. */
enum status net_interface_add(struct netdev *device, const struct net_interface_config *config);

/* Waits until any interface has an address and writes it as text ("10.0.2.15"). TIMEOUT. */
enum status net_wait_address(char *text, size_t size, uint64_t timeout_ns);

/* Listens on all addresses. BUSY (port in use), NO_MEMORY. */
enum status net_tcp_listen(uint16_t port, struct listener **listener);

#endif
