/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates, what they set aside, and loading what was missed.
 *
 * Invariants:
 * 1. Trees, cache and datasets change only between pool_update_begin() and pool_update_end().
 * 2. After pool_update_begin() said OK nothing that the update does can fail.
 * 3. A pool that failed takes no more updates until it is opened again.
 */
#include "storage/lfsx/pool/pool.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/pool/dead.h"

void pool_fail(struct lfsx_pool *pool, enum status cause, const char *what) {
    latch_set(&pool->latch, cause, what);
}

void pool_contradiction(struct lfsx_pool *pool) {
    forest_contradiction(&pool->forest);
}

enum status pool_writable(struct lfsx_pool *pool) {
    if (latch_cause(&pool->latch) != STATUS_OK || (pool->read_only && !pool->recovering))
        return STATUS_READ_ONLY;
    return STATUS_OK;
}

enum status pool_update_begin(struct lfsx_pool *pool, const struct update_need *need) {
    ASSERT(!pool->forest.updating);
    enum status status = pool_writable(pool);
    if (status != STATUS_OK)
        return status;
    uint64_t kept = reserve_keep(pool, need);
    uint64_t free_blocks = alloc_free_blocks(&pool->allocator);
    if (free_blocks < kept || free_blocks - kept < need->nodes)
        return STATUS_NO_SPACE;
    status = cache_reserve(&pool->forest.cache, need->nodes);
    uint64_t releases = need->nodes * 2 + need->releases; /* a new node may release an old one */
    if (status == STATUS_OK)
        status = alloc_reserve_releases(&pool->allocator, releases);
    if (status == STATUS_OK)
        status = dead_reserve(&pool->forest.dead, releases);
    bool journaled = pool->journal != NULL && need->record > 0;
    if (status == STATUS_OK && journaled)
        status = journal_reserve(pool->journal, need->record);
    if (status != STATUS_OK)
        return status;
    if (!journaled && !need->background)
        pool->unjournaled_generation = pool->forest.generation;
    pool->forest.updating = true;
    pool->forest.update_nodes = need->nodes;
    pool->changed = true;
    return STATUS_OK;
}

void pool_update_end(struct lfsx_pool *pool) {
    ASSERT(pool->forest.updating);
    pool->forest.updating = false;
}

static bool free_pending(struct lfsx_pool *pool) {
    if (pool->recovering || alloc_pending_blocks(&pool->allocator) == 0 ||
        pool_writable(pool) != STATUS_OK)
        return false;
    /* What is freed now becomes free two checkpoints after the one that frees it. */
    for (int i = 0; i < ALLOC_STAGES; i++)
        if (pool_checkpoint_force(pool) != STATUS_OK)
            return false;
    return true;
}

bool pool_reclaim(struct lfsx_pool *pool) {
    if (!pool->recovering && pool_writable(pool) == STATUS_OK)
        reaper_settle(pool);
    return free_pending(pool);
}

/* The pool may grow. */
static struct geometry current_geometry(struct lfsx_pool *pool) {
    os_rwlock_lock_shared(&pool->lock);
    struct geometry geometry = pool->label.geometry;
    os_rwlock_unlock_shared(&pool->lock);
    return geometry;
}

static enum status read_node(struct lfsx_pool *pool, const struct btree_miss *miss,
                             struct disk_node *page) {
    struct geometry geometry = current_geometry(pool);
    const char *why = "it points outside of the data area";
    enum status status = STATUS_CORRUPT;
    if (geometry_is_data(&geometry, miss->pointer.block, 1)) {
        why = "the allocation map says that its block is free";
        status = alloc_is_free(&pool->allocator, miss->pointer.block) ? STATUS_CORRUPT : STATUS_OK;
    }
    if (status == STATUS_OK) {
        why = "the device cannot read it";
        status = blockdev_read(pool->device, miss->pointer.block * DISK_BLOCK_SIZE, page,
                               DISK_BLOCK_SIZE);
        if (status == STATUS_TIMEOUT)
            status = STATUS_IO;
        if (status == STATUS_OK)
            status = node_validate(page, &miss->pointer, miss->owner, &why);
        if (status == STATUS_OK)
            status = node_bounds_validate(page, &miss->bounds, &why);
        if (status == STATUS_OK)
            status = node_values_validate(page, &geometry, &why);
    }
    if (status != STATUS_OK) {
        log_error("lfsx", "%s: node at block %llu of tree %llu: %s (%s); run fsck.lfsx",
                  pool->device->name, (unsigned long long)miss->pointer.block,
                  (unsigned long long)miss->owner, why, status_text(status));
        POOL_COUNT(pool, checksum_errors, 1);
    }
    return status;
}

/* A node that a thread reads, on its stack. */
struct load {
    struct list_node link;
    uint64_t block;
};

/* Whether the caller is to read the block; else somebody did meanwhile. */
static bool load_begin(struct lfsx_pool *pool, struct load *load) {
    bool waited = false;
    os_mutex_lock(&pool->state_lock);
    LIST_FOR_EACH(link, &pool->loads)
    waited |= LIST_CONTAINER(link, struct load, link)->block == load->block;
    if (waited)
        os_condition_wait(&pool->loaded, &pool->state_lock, OS_FOREVER);
    else
        list_push_back(&pool->loads, &load->link);
    os_mutex_unlock(&pool->state_lock);
    return !waited;
}

static void load_end(struct lfsx_pool *pool, struct load *load) {
    os_mutex_lock(&pool->state_lock);
    list_remove(&load->link);
    os_condition_broadcast(&pool->loaded);
    os_mutex_unlock(&pool->state_lock);
}

static enum status load(struct lfsx_pool *pool, const struct btree_miss *miss) {
    struct disk_node *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = read_node(pool, miss, page);
    if (status != STATUS_OK) {
        os_page_free(page, DISK_BLOCK_SIZE);
        return status;
    }
    os_rwlock_lock_exclusive(&pool->lock);
    status = cache_add_clean(&pool->forest.cache, page, miss->pointer.block);
    os_rwlock_unlock_exclusive(&pool->lock);
    return status;
}

enum status pool_load(struct lfsx_pool *pool, const struct btree_miss *miss) {
    struct load own = {.block = miss->pointer.block};
    if (!load_begin(pool, &own))
        return STATUS_OK;
    enum status status = load(pool, miss);
    load_end(pool, &own);
    return status;
}

static bool same_pointer(const struct pointer *a, const struct pointer *b) {
    return a->block == b->block && a->checksum == b->checksum && a->birth == b->birth;
}

bool pool_again(struct lfsx_pool *pool, struct pool_retry *retry, const struct btree_miss *miss,
                enum status *status) {
    if (*status != STATUS_AGAIN)
        return false;
    enum status loaded = pool_load(pool, miss);
    if (loaded == STATUS_OK)
        return true;
    *status = loaded;
    if (loaded == STATUS_NO_MEMORY)
        return false;
    if (retry->failed && same_pointer(&retry->pointer, &miss->pointer)) {
        retry->gave_up = !retry->gave_up && dead_give_up(pool, miss->owner, loaded);
        return retry->gave_up;
    }
    *retry = (struct pool_retry){.failed = true, .pointer = miss->pointer};
    return true;
}

enum status pool_look(struct lfsx_pool *pool, pool_step *step, void *context) {
    struct pool_retry retry = {0};
    struct btree_cursor cursor;
    enum status status;
    do {
        os_rwlock_lock_shared(&pool->lock);
        status = step(context, &cursor);
        os_rwlock_unlock_shared(&pool->lock);
    } while (pool_again(pool, &retry, &cursor.miss, &status));
    return status;
}

static enum status attempt_change(struct lfsx_pool *pool, pool_step *step, void *context) {
    struct pool_retry retry = {0};
    struct btree_cursor cursor;
    enum status status;
    do {
        os_rwlock_lock_exclusive(&pool->lock);
        status = step(context, &cursor);
        ASSERT(!pool->forest.updating);
        os_rwlock_unlock_exclusive(&pool->lock);
    } while (pool_again(pool, &retry, &cursor.miss, &status));
    return status;
}

enum status pool_change(struct lfsx_pool *pool, pool_step *step, void *context) {
    enum status status = attempt_change(pool, step, context);
    for (unsigned i = 0; i < POOL_RECLAIM_TRIES && status == STATUS_NO_SPACE && pool_reclaim(pool);
         i++)
        status = attempt_change(pool, step, context);
    return status;
}

enum status pool_change_background(struct lfsx_pool *pool, pool_step *step, void *context) {
    enum status status = attempt_change(pool, step, context);
    for (unsigned i = 0; i < POOL_RECLAIM_TRIES && status == STATUS_NO_SPACE && free_pending(pool);
         i++)
        status = attempt_change(pool, step, context);
    return status;
}
