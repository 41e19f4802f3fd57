/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first sequence numbers of TCP connections, as RFC 6528, section 3 has them: a clock of 4 µs
 * plus a keyed function of the two ends, so that nobody who does not see the traffic can guess
 * where a connection's window lies. The function is SipHash-2-4 (Aumasson and Bernstein, "SipHash:
 * a fast short-input PRF", 2012).
 *
 * Invariant: the key is drawn once, before the first connection, and stays secret.
 */
#include "net/lwip_hooks.h"
#include "net/net_internal.h"

#include "base/assert.h"

static uint64_t key[2];

static uint64_t rotate(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_absorb(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

/* SipHash-2-4 of twelve bytes: `low` and then the four of `high`. */
static uint64_t sip_hash_12(uint64_t low, uint32_t high) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                     key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    sip_absorb(v, low);
    sip_absorb(v, (uint64_t)12 << 56 | high);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void net_sequence_start(void) {
    os_random(key, sizeof key);
}

uint32_t net_tcp_isn(const ip_addr_t *local, uint16_t local_port, const ip_addr_t *remote,
                     uint16_t remote_port) {
    ASSERT(key[0] != 0 || key[1] != 0);
    uint64_t addresses = (uint64_t)ip_addr_get_ip4_u32(local) << 32 | ip_addr_get_ip4_u32(remote);
    uint32_t ports = (uint32_t)local_port << 16 | remote_port;
    return (uint32_t)sip_hash_12(addresses, ports) + (uint32_t)(os_now_ns() / 4000);
}
