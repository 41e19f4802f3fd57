/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a pool's data between memory and the device: what reads and writes of files share. */
#ifndef STORAGE_LFSX_DATA_DATA_PATH_H
#define STORAGE_LFSX_DATA_DATA_PATH_H

#include "base/blockdev.h"
#include "storage/lfsx/data/datacache.h"
#include "storage/lfsx/tree/latch.h"

struct staging;

struct data_path {
    struct blockdev *device;
    struct latch *latch;     /* has its own lock */
    struct datacache cache;  /* the same */
    struct staging *staging; /* NULL: every write is written through */
};

/* Fills pages[] with the mapped blocks, from the data cache or from the device; those from the
 * device are verified, and stay in the cache if there is memory. *bad is the index of the first
 * that is not what its checksum says (CHECKSUM), else map->count. NO_MEMORY, IO. */
enum status data_read(struct data_path *data, const struct block_map *map, void *const *pages,
                      uint64_t *bad);

#endif
