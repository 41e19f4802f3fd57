/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the command line's ip= value. */
#include "net/net.h"

#include "base/mem.h"

/* Takes a decimal number up to `limit`, without leading zeros, from *text. */
static bool take_number(const char **text, uint32_t limit, uint32_t *number) {
    const char *at = *text;
    if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
        return false;
    uint32_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint32_t)(*at - '0');
        if (value > limit)
            return false;
    }
    *text = at;
    *number = value;
    return true;
}

static bool take_character(const char **text, char wanted) {
    if (**text != wanted)
        return false;
    (*text)++;
    return true;
}

static bool take_address(const char **text, uint32_t *address) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t octet;
        if ((i > 0 && !take_character(text, '.')) || !take_number(text, 255, &octet))
            return false;
        value = value << 8 | octet;
    }
    *address = value;
    return true;
}

/* An address that one machine can have: not 0/8, 127/8, multicast or reserved (RFC 6890). */
static bool is_host_address(uint32_t address) {
    uint32_t first = address >> 24;
    return first != 0 && first != 127 && first < 224;
}

static bool is_valid(const struct net_interface_config *config) {
    uint32_t host_mask = ~config->netmask;
    if (!is_host_address(config->address))
        return false;
    /* Networks of one or two addresses (RFC 3021) have neither network nor broadcast address. */
    if (host_mask > 1 &&
        ((config->address & host_mask) == 0 || (config->address & host_mask) == host_mask))
        return false;
    return config->gateway == 0 ||
           (is_host_address(config->gateway) && config->gateway != config->address &&
            ((config->gateway ^ config->address) & config->netmask) == 0);
}

enum status net_parse_config(const char *text, struct net_interface_config *config) {
    struct net_interface_config parsed = {0};
    uint32_t prefix = 0;
    if (strcmp(text, "dhcp") == 0) {
        parsed.dhcp = true;
        *config = parsed;
        return STATUS_OK;
    }
    if (!take_address(&text, &parsed.address) || !take_character(&text, '/') ||
        !take_number(&text, 32, &prefix) || prefix == 0)
        return STATUS_INVALID;
    parsed.netmask = (uint32_t)(0xffffffff00000000u >> prefix);
    if (take_character(&text, ',') &&
        (!take_address(&text, &parsed.gateway) || parsed.gateway == 0))
        return STATUS_INVALID;
    if (*text != '\0' || !is_valid(&parsed))
        return STATUS_INVALID;
    *config = parsed;
    return STATUS_OK;
}
