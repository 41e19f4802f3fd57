/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. A dataset's promise is what is missing of its reservation, its writes in flight counted as
 *    there, and pool->space.promised is the sum of all promises.
 * 2. Blocks are put in flight with pool->lock held shared: what an update was assured of is not
 *    taken away from it before it has it.
 */
#include "storage/lfsx/file/space.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

#define NODE_SHARE 16u /* of data that is promised, for the nodes above it */

/* What is promised to a dataset with so many blocks. */
static uint64_t promise(uint64_t reserved, uint64_t blocks) {
    uint64_t missing = reserved > blocks ? reserved - blocks : 0;
    return missing + math_divide_up(missing, NODE_SHARE);
}

static uint64_t promise_of(const struct dataset *d, uint64_t more) {
    const struct dataset_space *space = &d->space;
    if (d->state == DISK_DATASET_DELETING)
        return 0;
    return promise(space->reserved, d->data_blocks + space->in_flight + more);
}

/* pool->space.lock or pool->lock exclusive is held. */
static void keep_promise(struct dataset *d) {
    uint64_t *sum = &d->pool->space.promised;
    ASSERT(*sum >= d->space.promised);
    *sum -= d->space.promised;
    d->space.promised = promise_of(d, 0);
    *sum += d->space.promised;
}

void space_update(struct dataset *d) {
    keep_promise(d);
    d->space.quota_told = false;
}

void space_settle(struct dataset *d, const struct space_claim *claim) {
    if (claim != NULL) {
        ASSERT(d->space.in_flight >= claim->growth);
        d->space.in_flight -= claim->growth;
    }
    keep_promise(d);
}

/* True, and told once, if the growth would lead beyond the quota. */
static bool is_beyond_quota(struct dataset *d, uint64_t growth) {
    struct dataset_space *space = &d->space;
    uint64_t blocks = d->data_blocks + space->in_flight;
    if (space->quota == 0 || growth == 0 || blocks + growth <= space->quota)
        return false;
    if (!space->quota_told)
        log_warning("lfsx",
                    "%s: volume %s has reached its quota of %llu KiB: writes that need more get "
                    "\"no space left\"; trim the volume or raise the quota",
                    d->pool->device->name, d->name, (unsigned long long)space->quota * 4);
    space->quota_told = true;
    return true;
}

/* Whether what a write replaces comes back to the pool. */
static bool gives_back(const struct dataset *d) {
    return d->tree.kept == 0 && d->tree.origin_epoch == 0;
}

/* One attempt, with all locks held. */
static enum status take_locked(struct dataset *d, struct block_map *map,
                               struct space_claim *claim) {
    struct lfsx_pool *pool = d->pool;
    claim->beyond_quota = is_beyond_quota(d, claim->growth);
    if (claim->beyond_quota)
        return STATUS_NO_SPACE;
    uint64_t had = promise_of(d, 0);
    uint64_t needed = gives_back(d) ? claim->growth : map->count;
    claim->entitled = needed == 0 || promise(needed, 0) <= had;
    uint64_t reserve = reserve_blocks(pool);
    uint64_t promised = pool->space.promised - had + promise_of(d, claim->growth);
    uint64_t keep = (claim->entitled ? reserve - reserve / 4 : reserve) + promised;
    enum status status = alloc_data(&pool->allocator, map->count, keep, map->blocks);
    if (status != STATUS_OK)
        return status;
    d->space.in_flight += claim->growth;
    keep_promise(d);
    return STATUS_OK;
}

static enum status take(struct dataset *d, struct block_map *map, struct space_claim *claim) {
    struct lfsx_pool *pool = d->pool;
    os_rwlock_lock_shared(&pool->lock);
    os_mutex_lock(&pool->space.lock);
    enum status status = take_locked(d, map, claim);
    os_mutex_unlock(&pool->space.lock);
    os_rwlock_unlock_shared(&pool->lock);
    return status;
}

struct growth {
    struct file *file;
    uint64_t first;
    struct block_map *map;
};

static enum status look_up(void *context, struct btree_cursor *cursor) {
    struct growth *growth = context;
    return extents_lookup(growth->file, growth->first, growth->map, cursor);
}

/* How many blocks of the range are holes. The map is used to find out. */
static enum status count_holes(struct file *f, uint64_t first, struct block_map *map,
                               uint64_t *holes) {
    struct growth growth = {f, first, map};
    enum status status = pool_look(f->dataset->pool, look_up, &growth);
    *holes = 0;
    for (uint64_t i = 0; status == STATUS_OK && i < map->count; i++)
        *holes += map->blocks[i] == 0;
    return status;
}

/* Whether it matters how much a write of the dataset grows it. */
static bool is_bounded(struct dataset *d) {
    os_rwlock_lock_shared(&d->pool->lock);
    bool bounded = d->space.quota > 0 || d->space.reserved > 0;
    os_rwlock_unlock_shared(&d->pool->lock);
    return bounded;
}

enum status space_take(struct file *f, uint64_t first, struct block_map *map,
                       struct space_claim *claim) {
    struct dataset *d = f->dataset;
    *claim = (struct space_claim){.growth = map->count};
    enum status status = STATUS_OK;
    bool counted = is_bounded(d);
    if (counted)
        status = count_holes(f, first, map, &claim->growth);
    if (status == STATUS_OK)
        status = take(d, map, claim);
    if (status != STATUS_NO_SPACE || claim->beyond_quota)
        return status;
    status = counted ? STATUS_OK : count_holes(f, first, map, &claim->growth);
    if (status == STATUS_OK)
        status = take(d, map, claim);
    bool reclaimed = true;
    for (unsigned i = 0;
         i < POOL_RECLAIM_TRIES && reclaimed && status == STATUS_NO_SPACE && !claim->beyond_quota;
         i++) {
        reclaimed = pool_reclaim(d->pool); /* if not, then others may have just done so */
        status = take(d, map, claim);
    }
    return status;
}

void space_cancel(struct file *f, const struct block_map *map, const struct space_claim *claim) {
    struct lfsx_pool *pool = f->dataset->pool;
    for (uint64_t i = 0; i < map->count; i++)
        alloc_data_cancel(&pool->allocator, map->blocks[i], 1);
    os_rwlock_lock_shared(&pool->lock);
    os_mutex_lock(&pool->space.lock);
    space_settle(f->dataset, claim);
    os_mutex_unlock(&pool->space.lock);
    os_rwlock_unlock_shared(&pool->lock);
}

/* What could be free, but for the reserve. */
static uint64_t usable(const struct lfsx_pool *pool) {
    struct allocator *allocator = (struct allocator *)(uintptr_t)&pool->allocator;
    uint64_t blocks = alloc_free_blocks(allocator) + alloc_pending_blocks(allocator);
    uint64_t reserve = reserve_blocks(pool);
    return blocks > reserve ? blocks - reserve : 0;
}

uint64_t space_available(struct lfsx_pool *pool) {
    os_mutex_lock(&pool->space.lock);
    uint64_t promised = pool->space.promised;
    os_mutex_unlock(&pool->space.lock);
    uint64_t blocks = usable(pool);
    return blocks > promised ? blocks - promised : 0;
}

void space_plan_change(struct space_plan *plan, const struct dataset *d, uint64_t data_blocks,
                       uint64_t reserved) {
    uint64_t wanted = promise(reserved, data_blocks + d->space.in_flight);
    plan->more += wanted;
    plan->less += d->space.promised;
    plan->rises = plan->rises || wanted > d->space.promised;
}

bool space_plan_fits(const struct space_plan *plan, const struct lfsx_pool *pool) {
    ASSERT(plan->less <= pool->space.promised);
    return !plan->rises || pool->space.promised - plan->less + plan->more <= usable(pool);
}
