/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the space of a pool is shared out: the reserve that lets a full pool be emptied, quotas, and
 * reservations.
 *
 * What is free falls into three parts. The reserve is for checkpoints, for trim and deletion. What
 * volumes were promised and do not have yet is theirs. The rest is whose comes first.
 */
#ifndef STORAGE_LFSX_FILE_SPACE_H
#define STORAGE_LFSX_FILE_SPACE_H

#include "base/os.h"
#include "base/status.h"
#include "storage/lfsx/data/data.h"

#include <stdbool.h>
#include <stdint.h>

struct dataset;
struct file;
struct lfsx_pool;

/* What a write took. */
struct space_claim {
    uint64_t growth; /* blocks by which its dataset will grow */
    bool entitled;   /* it gives back as many blocks as it takes, or was promised them */
    bool beyond_quota;
};

/* Puts as many blocks in flight as the map has, for a write from `first` on; the caller holds the
 * range. NO_SPACE: the pool has no more to give, or the dataset is at its quota, which the log
 * says. No lock held; may wait for space that is about to become free. */
enum status space_take(struct file *file, uint64_t first, struct block_map *map,
                       struct space_claim *claim);
/* The write did not happen. No lock held. */
void space_cancel(struct file *file, const struct block_map *map, const struct space_claim *claim);
/* In the update in which the write happens, afterwards. NULL: it took nothing. */
void space_settle(struct dataset *dataset, const struct space_claim *claim);
/* What the dataset has, may have or is has changed. Lock exclusive. */
void space_update(struct dataset *dataset);

/* Promises that change together; all zeros: none. */
struct space_plan {
    uint64_t more, less; /* blocks */
    bool rises;          /* somebody is promised more than before */
};
/* The dataset will have so many data blocks and such a reservation. Lock exclusive. */
void space_plan_change(struct space_plan *plan, const struct dataset *dataset, uint64_t data_blocks,
                       uint64_t reserved);
/* Whether all can be kept. Lock exclusive. */
bool space_plan_fits(const struct space_plan *plan, const struct lfsx_pool *pool);

/* What new data of anybody may still take, in blocks. Lock shared or exclusive. */
uint64_t space_available(struct lfsx_pool *pool);

#endif
