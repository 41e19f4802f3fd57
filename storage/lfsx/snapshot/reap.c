/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. Jobs are done one at a time, so that the neighbours of a snapshot that is being freed change
 *    only by new snapshots.
 * 2. Of a dataset, snapshots go first: when its tree is taken apart nothing holds any of it.
 * 3. Each step is an update that leaves less to do, and a state that can be gone on from.
 */
#include "storage/lfsx/snapshot/reap.h"
#include "base/log.h"
#include "base/math.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/dataset_life.h"
#include "storage/lfsx/file/prefetch.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/pool/catalog.h"
#include "storage/lfsx/pool/pool.h"

/* What is to be freed: a snapshot, or else a whole dataset. */
struct job {
    struct dataset *dataset;
    struct snapshot *snapshot;
    bool finished;
};

/* Frees some of what only the snapshot has; when nothing is left, its record. */
static enum status snapshot_step(void *context, struct btree_cursor *cursor) {
    struct job *job = context;
    struct dataset *d = job->dataset;
    struct snapshot *s = job->snapshot;
    struct dead_box box = snapshot_box(s);
    bool done = false;
    enum status status = dead_drain_locked(d->pool, cursor);
    if (status == STATUS_OK)
        status = dead_free_some(d, &box, cursor, &done);
    if (status != STATUS_OK || !done)
        return status;
    struct update_need need = {.frees = true, .background = true};
    status = catalog_prefetch_snapshot(d->pool, d->id, s->epoch, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    catalog_remove_snapshot(s);
    list_remove(&s->link);
    pool_update_end(d->pool);
    job->finished = true;
    return STATUS_OK;
}

static void release_extents(struct dataset *d, const struct disk_node *leaf) {
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        const struct disk_extent *extent = item.value;
        uint64_t count = le32_get(extent->block_count);
        (void)dead_release(&d->tree, le64_get(extent->block), count, le64_get(extent->birth));
        d->data_blocks -= MATH_MIN(d->data_blocks, count);
    }
}

/* Takes the next piece off a tree of the dataset. NOT_FOUND: none of its own is left. AGAIN. */
static enum status prune_tree(struct dataset *d, struct btree *tree, struct btree_cursor *cursor) {
    const struct disk_node *leaf;
    enum status status = btree_prune_next(tree, cursor, &leaf);
    if (status != STATUS_OK)
        return status;
    struct update_need need = {.nodes = btree_prune_nodes(tree),
                               .releases = leaf == NULL ? 0 : node_count(leaf),
                               .frees = true,
                               .background = true};
    status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    if (leaf != NULL && tree == &d->tree)
        release_extents(d, leaf);
    btree_prune(cursor);
    pool_update_end(d->pool);
    return STATUS_OK;
}

/* Releases the last node, if it is the dataset's own: pruned, it is empty. */
static void destroy_tree(struct btree *tree) {
    if (tree->root.block == 0 || btree_is_foreign(tree, tree->root.birth))
        return;
    tree->nodes = 1; /* what was cut off unread was never counted down */
    btree_destroy(tree);
}

static enum status forget(struct job *job, struct btree_cursor *cursor) {
    struct dataset *d = job->dataset;
    struct update_need need = {.releases = 2, .frees = true, .background = true};
    enum status status = catalog_prefetch_dataset(d->pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = catalog_prefetch_schedule(d->pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    catalog_remove_schedule(d);
    destroy_tree(&d->tree);
    destroy_tree(&d->dead);
    catalog_remove_dataset(d);
    list_remove(&d->link);
    pool_update_end(d->pool);
    job->finished = true;
    return STATUS_OK;
}

static enum status dataset_step(void *context, struct btree_cursor *cursor) {
    struct job *job = context;
    struct dataset *d = job->dataset;
    enum status status = dead_drain_locked(d->pool, cursor);
    if (status == STATUS_OK)
        status = prune_tree(d, &d->tree, cursor);
    if (status == STATUS_NOT_FOUND)
        status = d->dead.root.block == 0 ? STATUS_NOT_FOUND : prune_tree(d, &d->dead, cursor);
    return status == STATUS_NOT_FOUND ? forget(job, cursor) : status;
}

static bool is_free_to_go(const struct dataset *d) {
    return d->state == DISK_DATASET_DELETING && list_is_empty(&d->snapshots) &&
           d->open_count == 0 && d->pin_count == 0;
}

/* The next job; false if there is none. */
static bool next_job(struct lfsx_pool *pool, struct job *job) {
    *job = (struct job){0};
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->is_stuck)
            continue;
        if (is_free_to_go(d))
            job->dataset = d;
        LIST_FOR_EACH(inner, &d->snapshots) {
            struct snapshot *s = snapshot_of(inner);
            if (s->deleting && s->open_count == 0)
                *job = (struct job){d, s, false};
        }
        if (job->dataset != NULL)
            break;
    }
    os_rwlock_unlock_shared(&pool->lock);
    return job->dataset != NULL;
}

static enum status run_job(struct lfsx_pool *pool, struct job *job) {
    pool_step *step = job->snapshot != NULL ? snapshot_step : dataset_step;
    prefetch_end(job->snapshot != NULL ? &job->snapshot->file : &job->dataset->file);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !job->finished) {
        if (reaper_is_closing(&pool->reaper))
            return STATUS_SHUTDOWN;
        status = pool_change_background(pool, step, job);
        if (status == STATUS_OK)
            pool_throttle(pool);
    }
    if (status != STATUS_OK)
        return status;
    if (job->snapshot != NULL)
        snapshot_free(job->snapshot);
    else
        dataset_free(job->dataset);
    return STATUS_OK;
}

/* The rest of what the dataset is to lose waits for fsck.lfsx; the records say so. */
static void leave(struct dataset *d, enum status status) {
    struct lfsx_pool *pool = d->pool;
    os_rwlock_lock_exclusive(&pool->lock);
    d->is_stuck = true;
    os_rwlock_unlock_exclusive(&pool->lock);
    log_warning("lfsx",
                "%s: dataset %llu: what was deleted of it cannot be freed, since a node cannot be "
                "read (%s); run fsck.lfsx",
                pool->device->name, (unsigned long long)d->id, status_text(status));
}

void reap(struct lfsx_pool *pool) {
    struct job job;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && next_job(pool, &job)) {
        status = run_job(pool, &job);
        if (damage_is(status) && pool_writable(pool) == STATUS_OK) {
            leave(job.dataset, status);
            status = STATUS_OK;
        }
    }
    if (status != STATUS_OK && status != STATUS_SHUTDOWN)
        log_warning("lfsx",
                    "%s: not all that was deleted is free yet (%s); the rest follows, at the "
                    "latest when the pool is opened again",
                    pool->device->name, status_text(status));
}

enum status lfsx_pool_settle(struct lfsx_pool *pool) {
    reaper_settle(pool);
    return reaper_is_closing(&pool->reaper) ? STATUS_SHUTDOWN : pool_commit(pool);
}
