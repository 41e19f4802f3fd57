/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the free space is kept back: the reserve that lets a full pool be emptied, and what
 * datasets were promised. file/space.h gives out the rest, and keeps the promises.
 */
#ifndef STORAGE_LFSX_POOL_RESERVE_H
#define STORAGE_LFSX_POOL_RESERVE_H

#include "base/os.h"

#include <stdbool.h>
#include <stdint.h>

struct lfsx_pool;
struct update_need;

/* Of one dataset. Blocks. */
struct dataset_space {
    uint64_t quota, reserved; /* 0: none; pool->lock */
    uint64_t in_flight;       /* growth of writes on their way; pool->space.lock and pool->lock
                                 shared, or pool->lock exclusive */
    uint64_t promised;        /* its part of pool->space.promised; guarded as that */
    bool quota_told;          /* the log says that it is at its quota; as in_flight */
};

/* Of the pool. */
struct pool_space {
    struct os_mutex lock; /* below pool->lock */
    uint64_t promised;    /* as in_flight: sum over all datasets */
};

/* Blocks that only updates which free space may use: what checkpoint, delete and trim need. Lock
 * shared or exclusive. */
uint64_t reserve_blocks(const struct lfsx_pool *pool);

/* How many free blocks an update must leave. Lock exclusive. */
uint64_t reserve_keep(const struct lfsx_pool *pool, const struct update_need *need);

#endif
