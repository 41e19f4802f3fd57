/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness that a seed repeats: SEED in the environment, else the clock; always printed. */
#ifndef TESTS_STORAGE_LFSX_RANDOM_H
#define TESTS_STORAGE_LFSX_RANDOM_H

#include "base/os.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct random {
    uint64_t state;
};

/* The splitmix64 generator. */
static inline uint64_t random_next(struct random *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* A number in [0, limit). */
static inline uint64_t random_below(struct random *random, uint64_t limit) {
    return random_next(random) % limit;
}

/* True once in `n` times. */
static inline bool random_one_in(struct random *random, uint64_t n) {
    return random_below(random, n) == 0;
}

static inline void random_fill(struct random *random, void *memory, size_t length) {
    unsigned char *bytes = memory;
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = random_next(random);
        for (size_t j = 0; j < 8 && i + j < length; j++)
            bytes[i + j] = (unsigned char)(word >> 8 * j);
    }
}

static inline struct random random_start(const char *test) {
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : os_now_ns() % 1000000000;
    printf("%s: SEED=%llu\n", test, (unsigned long long)seed);
    fflush(stdout);
    return (struct random){seed * 0x2545f4914f6cdd1dull + 1};
}

/* How often to do something that a longer run (SCALE in the environment) does more often. */
static inline uint64_t random_scale(uint64_t count) {
    const char *text = getenv("SCALE");
    return text == NULL ? count : count * strtoull(text, NULL, 0);
}

#endif
