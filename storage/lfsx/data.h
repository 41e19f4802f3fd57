/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks between memory and the device. */
#ifndef STORAGE_LFSX_DATA_H
#define STORAGE_LFSX_DATA_H

#include "base/blockdev.h"
#include "base/status.h"

#include <stdint.h>

/* What a file's blocks are: for each, its address (0: hole) and checksum. */
struct block_map {
    uint64_t count;
    uint64_t *blocks;
    uint64_t *checksums;
};
enum status block_map_alloc(struct block_map *map, uint64_t count);
void block_map_free(struct block_map *map);

/* Reads or writes the blocks that the map names from or to pages[], holes skipped, runs as large
 * requests. The first error; all requests have ended. May sleep; allocates nothing. */
enum status data_transfer(struct blockdev *device, enum block_operation operation,
                          const struct block_map *map, void *const *pages);

#endif
