/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing a pool on a device that has grown. The layout of a pool follows from its size, which
 * every superblock says; so a checkpoint of the larger pool is the one step from the old layout to
 * the new.
 *
 *   prepare  the new tail area, behind the old end: an empty ring, a label of the larger pool
 *   switch   exclusive lock: the running generation is one of the larger pool
 *   publish  its checkpoint: the maps in their new place, then the superblock, head and new tail;
 *            then the labels (checkpoint.c)
 *
 * Invariants:
 * 1. Before the superblock is published, nothing of the old pool is written to but its ring.
 * 2. What the pool gains is given out two checkpoints later (alloc_grow.c): no journal record
 *    names a block that a recovery would not know, and the old maps and tail stay whole as long as
 *    a superblock may need them.
 */
#include "storage/lfsx/pool/pool.h"

/* A device that gained too little to hold the maps and the tail of the larger pool leaves the pool
 * as it is: NOT_FOUND. */
static enum status plan(struct lfsx_pool *pool, struct label *grown) {
    os_rwlock_lock_shared(&pool->lock);
    *grown = pool->label;
    os_rwlock_unlock_shared(&pool->lock);
    struct geometry geometry;
    if (geometry_grow(&grown->geometry, pool->device->size / LFSX_BLOCK_SIZE, &geometry) !=
        STATUS_OK)
        return STATUS_NOT_FOUND;
    grown->geometry = geometry;
    return STATUS_OK;
}

/* Nothing of the pool is there yet, so that an error harms nothing. */
static enum status prepare_tail(struct lfsx_pool *pool, const struct label *grown) {
    enum status status = area_clear(pool->device, &grown->geometry, 1);
    return status == STATUS_OK ? label_write_tail(pool->device, grown) : status;
}

/* With nothing but the gained space to record, and no node. */
static enum status switch_over(struct lfsx_pool *pool, const struct label *grown,
                               struct alloc_growth *growth) {
    struct update_need need = {.frees = true, .releases = 1};
    os_rwlock_lock_exclusive(&pool->lock);
    enum status status = pool_update_begin(pool, &need);
    if (status == STATUS_OK) {
        alloc_grow(&pool->allocator, growth);
        pool->label.geometry = grown->geometry;
        pool_update_end(pool);
    }
    os_rwlock_unlock_exclusive(&pool->lock);
    return status;
}

static enum status grow(struct lfsx_pool *pool) {
    struct label grown;
    struct alloc_growth growth;
    enum status status = plan(pool, &grown);
    if (status != STATUS_OK)
        return status;
    status = prepare_tail(pool, &grown);
    if (status == STATUS_OK)
        status = alloc_growth_prepare(&pool->allocator, &grown.geometry, &growth);
    if (status != STATUS_OK)
        return status;
    status = switch_over(pool, &grown, &growth);
    if (status != STATUS_OK)
        alloc_growth_cancel(&growth);
    return status;
}

enum status lfsx_pool_grow(struct lfsx_pool *pool) {
    enum status status = pool_writable(pool);
    if (status != STATUS_OK)
        return status;
    os_mutex_lock(&pool->grow_lock);
    blockdev_measure(pool->device);
    status = grow(pool);
    if (status == STATUS_OK)
        status = pool_checkpoint(pool);
    if (status == STATUS_OK)
        (void)pool_reclaim(pool); /* so that the space can be used at once */
    os_mutex_unlock(&pool->grow_lock);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
