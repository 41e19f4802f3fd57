/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small pool in which everything stands that the format knows, and what whoever reads it must
 * find: volumes with trees of two levels, snapshots that share some of their blocks, a clone with
 * changes of its own, a dead tree of several eras and two levels, a schedule and the snapshot that
 * it took, a snapshot and a volume that are being deleted, a deleted volume that is kept, a share
 * with a snapshot, and a journal with records of every type that nobody replayed.
 */
#ifndef TESTS_FUZZ_EVERYTHING_H
#define TESTS_FUZZ_EVERYTHING_H

#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/fuzz.h"

#define EVERYTHING_VIEWS_MAX 16u
#define EVERYTHING_VOLUME_BYTES (200ull * LFSX_BLOCK_SIZE)

/* A volume or VOLUME@SNAPSHOT, and its bytes. */
struct everything_view {
    char name[64];
    unsigned char *content;
};

/* What stands in the journal's last entry: a write of this block. Whether a power cut kept it from
 * the device or it was damaged later, nobody can tell. */
struct everything_last {
    unsigned view;
    uint64_t offset; /* bytes */
    unsigned char before[LFSX_BLOCK_SIZE];
};

struct everything {
    struct everything_view views[EVERYTHING_VIEWS_MAX];
    unsigned view_count;
    uint32_t volume_count; /* live ones, as struct lfsx_pool_info counts them */
    struct everything_last last;
};

/* Writes the pool to the disk, which is all zeros, and into `content` what a power cut at the end
 * leaves on it. What is there does not depend on anything but the program. */
const struct everything *everything_make(struct ramdisk *disk, unsigned char *content);

/* What it must hold; NULL before it was made. */
const struct everything *everything_get(void);

/* Reads all of it. A pool that says anything else than what was written, or another error than that
 * something is damaged, ends the program. Returns how many pieces could not be read.
 * `last_is_open`: the journal's last entry may be missing. */
uint64_t everything_read(struct lfsx_pool *pool, bool last_is_open);

#endif
