/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large pool: volumes of many extents with a chain of snapshots each, a clone, dead trees; and
 * what every block of each of them must hold, which is one word, over and over, that no other block
 * ever held.
 */
#ifndef TESTS_FUZZ_LARGE_H
#define TESTS_FUZZ_LARGE_H

#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/fuzz.h"

#define LARGE_DISK_BYTES (64ull << 30)
#define LARGE_VOLUME_BLOCKS (1ull << 20)
#define LARGE_VIEWS_MAX 80u

/* A volume or VOLUME@SNAPSHOT. */
struct large_view {
    char name[32];
    uint32_t *numbers; /* of each block; 0: zeros */
};

struct large {
    struct large_view views[LARGE_VIEWS_MAX];
    unsigned view_count;
    uint32_t last_number;
};

/* Makes the pool, of about so many extents in all. It is closed. */
void large_make(struct large *large, struct blockdev *device, uint64_t extents,
                struct random *random);
void large_destroy(struct large *large);

/* -1: there is none of this name. */
int large_find(const struct large *large, const char *name);

/* Reads blocks of an open one. A wrong byte, or another error than that something is damaged, ends
 * the program. Whether it could be read. */
bool large_read(const struct large *large, unsigned view, struct lfsx_volume *volume,
                uint64_t first, uint32_t count);

#endif
