/* SPDX-License-Identifier: Apache-2.0 */
/* Where the metadata of tests/fuzz/large.h stands on its disk. */
#ifndef TESTS_FUZZ_LARGE_MAP_H
#define TESTS_FUZZ_LARGE_MAP_H

#include "storage/lfsx/format/super.h"
#include "tests/fuzz/large.h"
#include "tests/fuzz/thin_disk.h"

/* Blocks of one class do not hide each other from the check, so that all of them can be flipped at
 * once: of the superblocks and labels those of one area. */
enum large_class {
    LARGE_LEAVES, /* of volumes, snapshots, dead trees */
    LARGE_BRANCHES,
    LARGE_ROOTS, /* and all that stands above branches */
    LARGE_CATALOG_LEAVES,
    LARGE_CATALOG_ROOT,
    LARGE_BITMAPS, /* both copies */
    LARGE_MAP_ENTRIES,
    LARGE_MAP_ROOT,
    LARGE_HEAD, /* label and superblocks */
    LARGE_TAIL,
    LARGE_CLASSES
};

struct large_block {
    uint64_t block;
    bool counts;          /* the check must report it; else it must not */
    int view;             /* of a leaf: a tree that has it; -1: no volume's */
    uint64_t first, last; /* blocks of the volume that its extents are about */
};

struct large_map {
    struct large_block *blocks[LARGE_CLASSES];
    uint64_t count[LARGE_CLASSES];
    uint64_t checkpoint;
    uint64_t dead_nodes, shared; /* shared: pointers to nodes that were met before */
};

void large_map_make(struct large_map *map, struct thin_disk *disk, const struct large *large);
void large_map_destroy(struct large_map *map);

#endif
