/* SPDX-License-Identifier: Apache-2.0 */
/* Small pools to change: each made once, always the same, and what stands where in them. */
#ifndef TESTS_FUZZ_IMAGE_H
#define TESTS_FUZZ_IMAGE_H

#include "storage/lfsx/format/geometry.h"
#include "tests/fuzz/fuzz.h"

#define IMAGE_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define IMAGE_KINDS 4u      /* that the corpus draws from */
#define IMAGE_EVERYTHING 4u /* one more: tests/fuzz/everything.h */
#define IMAGE_VOLUMES 3u
#define IMAGE_VOLUME_BYTES (1ull << 20)
#define IMAGE_PLACES_MAX 512u

struct image {
    unsigned char *content; /* IMAGE_BYTES */
    struct geometry geometry;
    uint64_t checkpoint; /* the newest one */
    unsigned place_count;
    /* Blocks that matter: labels, superblocks, maps, journal, nodes, some data. */
    uint64_t places[IMAGE_PLACES_MAX];
};

extern const char *const image_volumes[IMAGE_VOLUMES];

/* 0: empty; 1: volumes with trees of one and two levels; 2: the same, cut off with a journal that
 * nobody replayed; 3: cut off while a volume was being deleted; or IMAGE_EVERYTHING. */
const struct image *image_get(unsigned kind);

#endif
