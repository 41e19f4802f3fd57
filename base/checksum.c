/* SPDX-License-Identifier: Apache-2.0 */
/* XXH64, written from the xxHash specification 0.2.0. Plain 64-bit arithmetic: fast everywhere,
 * also where an emulator makes the crc32 instruction slow. */
#include "base/checksum.h"
#include "base/mem.h"

#define PRIME_1 0x9E3779B185EBCA87ULL
#define PRIME_2 0xC2B2AE3D27D4EB4FULL
#define PRIME_3 0x165667B19E3779F9ULL
#define PRIME_4 0x85EBCA77C2B2AE63ULL
#define PRIME_5 0x27D4EB2F165667C5ULL

static inline uint64_t rotate(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

static inline uint64_t load64(const uint8_t *from) {
    uint64_t value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t load32(const uint8_t *from) {
    uint32_t value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t round64(uint64_t lane, uint64_t input) {
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static inline uint64_t merge(uint64_t hash, uint64_t lane) {
    return (hash ^ round64(0, lane)) * PRIME_1 + PRIME_4;
}

static uint64_t finish(uint64_t hash, const uint8_t *at, size_t left) {
    for (; left >= 8; at += 8, left -= 8)
        hash = rotate(hash ^ round64(0, load64(at)), 27) * PRIME_1 + PRIME_4;
    if (left >= 4) {
        hash = rotate(hash ^ load32(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        at += 4;
        left -= 4;
    }
    for (; left > 0; at++, left--)
        hash = rotate(hash ^ *at * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}

uint64_t checksum_xxh64(const void *data, size_t length, uint64_t seed) {
    const uint8_t *at = data;
    size_t left = length;
    if (left < 32)
        return finish(seed + PRIME_5 + length, at, left);
    uint64_t a = seed + PRIME_1 + PRIME_2;
    uint64_t b = seed + PRIME_2;
    uint64_t c = seed;
    uint64_t d = seed - PRIME_1;
    for (; left >= 32; at += 32, left -= 32) {
        a = round64(a, load64(at));
        b = round64(b, load64(at + 8));
        c = round64(c, load64(at + 16));
        d = round64(d, load64(at + 24));
    }
    uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
    return finish(hash + length, at, left);
}
