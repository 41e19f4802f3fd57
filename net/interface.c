/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces: a device, its address from DHCP or the configuration, and the state of its link.
 *
 * Invariants: an interface lives as long as the program once net_interface_add() succeeded. lwIP's
 * netif_list holds all of them. `announced` is the address that the log told last; address_changed
 * is signalled whenever an interface's address changes.
 */
#include "net/interface.h"
#include "net/net_internal.h"

#include "base/assert.h"
#include "base/format.h"
#include "base/log.h"
#include "base/mem.h"

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"

#define ROOM "net"
#define DHCP_PATIENCE_MS 10000

static struct os_condition address_changed; /* core lock */

void net_interfaces_start(void) {
    os_condition_init(&address_changed);
}

void net_address_text(char text[NET_ADDRESS_TEXT_SIZE], uint32_t address) {
    const uint8_t *bytes = (const uint8_t *)&address;
    format_text(text, NET_ADDRESS_TEXT_SIZE, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
}

/* An interface with a gateway is a better default than one without. */
static void choose_default(struct netif *netif) {
    if (netif_default == NULL || (!ip4_addr_isany_val(*netif_ip4_gw(netif)) &&
                                  ip4_addr_isany_val(*netif_ip4_gw(netif_default))))
        netif_set_default(netif);
}

static void log_address(const struct interface *interface) {
    const struct netif *netif = &interface->netif;
    const char *origin = interface->config.dhcp ? "DHCP" : "static";
    char address[NET_ADDRESS_TEXT_SIZE];
    char gateway[NET_ADDRESS_TEXT_SIZE];
    net_address_text(address, netif_ip4_addr(netif)->addr);
    net_address_text(gateway, netif_ip4_gw(netif)->addr);
    if (ip4_addr_isany_val(*netif_ip4_addr(netif)))
        log_warning(ROOM, "%s has lost its address: the DHCP server does not renew it",
                    interface->device->name);
    else if (ip4_addr_isany_val(*netif_ip4_gw(netif)))
        log_info(ROOM, "%s has address %s (%s), no gateway", interface->device->name, address,
                 origin);
    else
        log_info(ROOM, "%s has address %s (%s), gateway %s", interface->device->name, address,
                 origin, gateway);
}

/* lwIP calls this when the interface or its address changed. Core lock. */
static void status_changed(struct netif *netif) {
    struct interface *interface = netif->state;
    if (netif_ip4_addr(netif)->addr == interface->announced)
        return;
    interface->announced = netif_ip4_addr(netif)->addr;
    choose_default(netif);
    log_address(interface);
    os_condition_broadcast(&address_changed);
}

static void dhcp_overdue(void *argument) {
    struct interface *interface = argument;
    if (netif_is_link_up(&interface->netif) && interface->announced == 0)
        log_warning(ROOM,
                    "%s: no DHCP server has answered for %u s, still asking; check the cable, or "
                    "give ip=ADDRESS/PREFIX",
                    interface->device->name, DHCP_PATIENCE_MS / 1000);
}

/* The device's callback. */
static void link_changed(void *context, bool up, uint32_t megabits) {
    struct interface *interface = context;
    net_core_lock();
    bool was_up = netif_is_link_up(&interface->netif);
    if (up && !was_up) {
        log_info(ROOM, "%s: link up, %u Mbit/s", interface->device->name, megabits);
        netif_set_link_up(&interface->netif); /* asks DHCP again, announces an address by ARP */
        if (interface->config.dhcp) {
            sys_untimeout(dhcp_overdue, interface);
            sys_timeout(DHCP_PATIENCE_MS, dhcp_overdue, interface);
        }
    } else if (!up && (was_up || !interface->told_link)) {
        log_warning(ROOM, "%s: link down; check the cable", interface->device->name);
        netif_set_link_down(&interface->netif);
    }
    interface->told_link = true;
    net_core_unlock();
}

/* lwIP's netif_add() calls this. */
static err_t prepare(struct netif *netif) {
    struct interface *interface = netif->state;
    const struct netdev *device = interface->device;
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = device->mtu;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    memcpy(netif->hwaddr, device->address, ETH_HWADDR_LEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->output = etharp_output;
    netif->linkoutput = transmit_frame;
    if (interface->host_name[0] != '\0')
        netif_set_hostname(netif, interface->host_name);
    uint16_t checksums = NETIF_CHECKSUM_ENABLE_ALL;
    if (device->features & NETDEV_TX_CHECKSUM)
        checksums &= (uint16_t) ~(NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP);
    NETIF_SET_CHECKSUM_CTRL(netif, checksums);
    return ERR_OK;
}

static enum status attach(struct interface *interface) {
    const struct net_interface_config *config = &interface->config;
    struct netif *netif = &interface->netif;
    ip4_addr_t address = {0}, netmask = {0}, gateway = {0};
    if (!config->dhcp) {
        address.addr = lwip_htonl(config->address);
        netmask.addr = lwip_htonl(config->netmask);
        gateway.addr = lwip_htonl(config->gateway);
    }
    if (netif_add(netif, &address, &netmask, &gateway, interface, prepare, tcpip_input) == NULL)
        return STATUS_NO_MEMORY;
    netif_set_status_callback(netif, status_changed);
    netif_set_up(netif);
    if (config->dhcp && dhcp_start(netif) != ERR_OK) {
        netif_remove(netif);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static struct interface *interface_new(struct netdev *device,
                                       const struct net_interface_config *config) {
    struct interface *interface = os_alloc_zeroed(sizeof *interface);
    if (interface == NULL)
        return NULL;
    interface->device = device;
    interface->config = *config;
    if (config->host_name != NULL)
        memcpy(interface->host_name, config->host_name,
               strnlen(config->host_name, sizeof interface->host_name - 1));
    interface->config.host_name = interface->host_name;
    return interface;
}

static void detach(struct interface *interface) {
    net_core_lock();
    sys_untimeout(dhcp_overdue, interface);
    if (interface->config.dhcp) {
        dhcp_stop(&interface->netif);
        dhcp_cleanup(&interface->netif);
    }
    netif_remove(&interface->netif);
    net_core_unlock();
}

static enum status bring_up(struct interface *interface) {
    net_core_lock();
    enum status status = attach(interface);
    net_core_unlock();
    if (status != STATUS_OK)
        return status;
    struct netdev_client client = {receive_frame, link_changed, interface};
    status = interface->device->operations->start(interface->device, &client);
    if (status != STATUS_OK)
        detach(interface);
    return status;
}

enum status net_interface_add(struct netdev *device, const struct net_interface_config *config) {
    struct interface *interface = interface_new(device, config);
    if (interface == NULL)
        return STATUS_NO_MEMORY;
    enum status status = transmit_start(interface);
    if (status == STATUS_OK) {
        status = bring_up(interface);
        if (status == STATUS_OK)
            return STATUS_OK;
        transmit_stop(interface);
    }
    os_free(interface);
    log_error(ROOM, "%s: cannot bring the interface up: %s", device->name, status_text(status));
    return status;
}

static bool find_address(char *text, size_t size) {
    const struct netif *netif;
    NETIF_FOREACH(netif) {
        if (!ip4_addr_isany_val(*netif_ip4_addr(netif))) {
            char address[NET_ADDRESS_TEXT_SIZE];
            net_address_text(address, netif_ip4_addr(netif)->addr);
            format_text(text, size, "%s", address);
            return true;
        }
    }
    return false;
}

enum status net_wait_address(char *text, size_t size, uint64_t timeout_ns) {
    uint64_t deadline = timeout_ns == OS_FOREVER ? OS_FOREVER : os_now_ns() + timeout_ns;
    net_core_lock();
    bool found = find_address(text, size);
    while (!found) {
        uint64_t left = net_time_left(deadline);
        if (left == 0)
            break;
        net_core_wait(&address_changed, left);
        found = find_address(text, size);
    }
    net_core_unlock();
    return found ? STATUS_OK : STATUS_TIMEOUT;
}
