/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_random: ChaCha20 (RFC 8439, section 2.3) as a generator with fast key erasure. Invariants:
 * - `pool.key` is secret and never used for two outputs: each call replaces it by output of its own
 *   before anything is given away, so that a later look at memory tells nothing about the past.
 * - Under the lock one block is made: half is the next key, half the key of this call's stream.
 *
 * Quality: with RDSEED or RDRAND (CPUID tells) the key has 256 bits of the processor's entropy, and
 * each call mixes in more. Without, it rests on 4,096 samples of how the time-stamp counter drifts
 * against the clock and memory, and on the date: fit for identifiers, sequence numbers and hash
 * seeds against a remote attacker, but on an emulated machine not a basis for long-lived secret
 * keys. os_random_is_strong() tells which of the two it is.
 */
#include "kernel/os/os_random.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/time/clock.h"

#include <cpuid.h>

#define KEY_WORDS 8u
#define BLOCK_WORDS 16u
#define JITTER_SAMPLES 4096u
#define HARDWARE_ATTEMPTS 10u /* Intel SDM volume 1, section 7.3.17.1 */

static struct {
    struct spinlock lock; /* guards both below */
    uint32_t key[KEY_WORDS];
    uint64_t calls;
    bool has_seed, has_random; /* set at the start only */
} pool;

static uint32_t rotate(uint32_t value, unsigned bits) {
    return value << bits | value >> (32 - bits);
}

static void quarter(uint32_t *s, unsigned a, unsigned b, unsigned c, unsigned d) {
    s[a] += s[b];
    s[d] = rotate(s[d] ^ s[a], 16);
    s[c] += s[d];
    s[b] = rotate(s[b] ^ s[c], 12);
    s[a] += s[b];
    s[d] = rotate(s[d] ^ s[a], 8);
    s[c] += s[d];
    s[b] = rotate(s[b] ^ s[c], 7);
}

static void chacha20_block(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *out) {
    uint32_t start[BLOCK_WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    memcpy(start + 4, key, KEY_WORDS * sizeof *key);
    start[12] = (uint32_t)counter;
    start[13] = (uint32_t)(counter >> 32);
    start[14] = (uint32_t)nonce;
    start[15] = (uint32_t)(nonce >> 32);
    memcpy(out, start, sizeof start);
    for (unsigned i = 0; i < 10; i++) {
        quarter(out, 0, 4, 8, 12);
        quarter(out, 1, 5, 9, 13);
        quarter(out, 2, 6, 10, 14);
        quarter(out, 3, 7, 11, 15);
        quarter(out, 0, 5, 10, 15);
        quarter(out, 1, 6, 11, 12);
        quarter(out, 2, 7, 8, 13);
        quarter(out, 3, 4, 9, 14);
    }
    for (unsigned i = 0; i < BLOCK_WORDS; i++)
        out[i] += start[i];
}

/* Replaces the key by a function of itself and the input. */
static void absorb(uint64_t input) {
    uint32_t block[BLOCK_WORDS];
    chacha20_block(pool.key, pool.calls++, input, block);
    memcpy(pool.key, block, sizeof pool.key);
}

static bool hardware_word(uint64_t *word) {
    uint8_t good = 0;
    for (unsigned i = 0; i < HARDWARE_ATTEMPTS && pool.has_seed && !good; i++)
        __asm__ volatile("rdseed %0; setc %1" : "=r"(*word), "=qm"(good)::"cc");
    for (unsigned i = 0; i < HARDWARE_ATTEMPTS && pool.has_random && !good; i++)
        __asm__ volatile("rdrand %0; setc %1" : "=r"(*word), "=qm"(good)::"cc");
    return good != 0;
}

void os_random_initialize(void) {
    uint32_t a, b, c, d;
    pool.has_random = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & 1u << 30) != 0;
    pool.has_seed = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & 1u << 18) != 0;
    uint64_t word = 0;
    for (unsigned i = 0; i < KEY_WORDS; i++)
        if (hardware_word(&word))
            absorb(word);
    uint64_t previous = clock_read_tsc();
    for (unsigned i = 0; i < JITTER_SAMPLES; i++) {
        uint64_t ns = clock_now_ns(), tsc = clock_read_tsc();
        if (i % 16 == 0 || tsc % 64 == 0)
            absorb((tsc - previous) << 32 ^ tsc ^ ns);
        previous = tsc;
    }
    absorb(clock_wall_ns());
}

bool os_random_is_strong(void) {
    return pool.has_seed || pool.has_random;
}

void os_random(void *out, size_t length) {
    uint32_t block[BLOCK_WORDS], key[KEY_WORDS];
    uint64_t fresh = clock_read_tsc(), word;
    if (hardware_word(&word))
        fresh ^= word;
    uint64_t flags = spinlock_lock(&pool.lock);
    chacha20_block(pool.key, pool.calls++, fresh, block);
    memcpy(pool.key, block, sizeof pool.key);
    spinlock_unlock(&pool.lock, flags);
    memcpy(key, block + KEY_WORDS, sizeof key);
    char *next = out;
    for (uint64_t counter = 0; length > 0; counter++) {
        size_t part = length < sizeof block ? length : sizeof block;
        chacha20_block(key, counter, 0, block);
        memcpy(next, block, part);
        next += part;
        length -= part;
    }
    /* The stack must not keep what was given away. */
    memset(block, 0, sizeof block);
    memset(key, 0, sizeof key);
    __asm__ volatile("" ::"r"(block), "r"(key) : "memory");
}
