/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: the only way in which a state of the pool becomes durable, and the commit that
 * FLUSH, FUA and the API wait for.
 *
 *   gather   exclusive lock: catalog records of changed datasets, maps, then every tree sealed from
 *            its leaves up; the generation ends
 *   write    no lock: nodes and map blocks to places that no durable checkpoint names, and what
 *            is still staged of the data
 *   flush    the device
 *   publish  the superblock: head, then tail
 *   retire   written nodes are clean, blocks freed two checkpoints ago are free
 *
 * Invariants:
 * 1. At most one checkpoint is on its way (checkpoint_running, guarded by commit_lock).
 * 2. durable_generation is the newest checkpoint whose superblock is durable.
 * 3. gather changes nothing that counts if it fails; after it, only the device can fail, and that
 *    latches the pool. So a rider changes trees only when nothing else can fail: in a pool that is
 *    latched in that very instant it happens in memory.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/data/staging.h"
#include "storage/lfsx/pool/catalog.h"
#include "storage/lfsx/pool/pool.h"

#define DISCARD_MIN_BLOCKS 64u /* smaller runs are not worth a command */
#define WRITE_BATCH 64u        /* blocks */
#define SLOW_DOWN_NS 1000000u  /* that long waits a change when no more nodes may become dirty */

struct checkpoint {
    uint64_t number;
    struct label label;             /* with the layout of this state of the pool */
    struct checkpoint_rider *rider; /* NULL: none */
    struct superblock superblock;
    struct alloc_snapshot maps;
    bool in_vain;                 /* the pool is latched: it happens in memory only */
    uint64_t journal_mark;        /* newest record that it covers */
    struct disk_superblock *page; /* to write it with; allocated before anything is frozen */
};

static bool is_changed(const struct dataset *dataset) {
    return dataset->tree.dirty || dataset->dead.dirty;
}

/* What has to be in memory and set aside to bring the catalog up to date. Records keep their
 * length, so that each node above them is copied once at most, and none splits. No commit waits for
 * it because of that: all that it needs was changed before. */
static enum status prefetch_catalog(struct lfsx_pool *pool, struct btree_cursor *cursor,
                                    struct update_need *need) {
    *need = (struct update_need){.frees = true, .checkpoint = true, .background = true};
    uint64_t last[DISK_LEVEL_MAX + 1] = {0}; /* nodes on the way to the record before */
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *dataset = LIST_CONTAINER(link, struct dataset, link);
        if (!is_changed(dataset))
            continue;
        struct key key = catalog_dataset_key(dataset->id);
        enum status status = btree_find(&pool->catalog, &key, cursor);
        if (status != STATUS_OK)
            return status;
        for (unsigned depth = 0; depth < cursor->depth; depth++) {
            uint64_t block = cursor->path[depth].node->block;
            need->nodes += block != last[depth];
            last[depth] = block;
        }
    }
    return STATUS_OK;
}

/* Everything that is in memory only, from here to the end of gathering. */
static enum status prepare(struct lfsx_pool *pool, struct checkpoint *checkpoint,
                           struct btree_cursor *cursor, struct update_need *need) {
    enum status status = dead_drain_locked(pool, cursor);
    if (status == STATUS_OK)
        status = prefetch_catalog(pool, cursor, need);
    if (status == STATUS_OK && checkpoint->rider != NULL)
        status = checkpoint->rider->prepare(checkpoint->rider, cursor, need);
    return status;
}

/* Makes every node dirty that freeze_trees() brings up to date. */
static void touch_catalog(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *dataset = LIST_CONTAINER(link, struct dataset, link);
        if (is_changed(dataset))
            catalog_replace_dataset(dataset);
    }
    if (checkpoint->rider != NULL)
        checkpoint->rider->change(checkpoint->rider);
}

/* Seals all trees. The catalog's records come last, since they hold the roots. */
static void freeze_trees(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *dataset = LIST_CONTAINER(link, struct dataset, link);
        if (!is_changed(dataset))
            continue;
        btree_freeze(&dataset->tree, &pool->writing);
        btree_freeze(&dataset->dead, &pool->writing);
        catalog_store_dataset(dataset);
    }
    if (checkpoint->rider != NULL)
        checkpoint->rider->seal(checkpoint->rider);
    btree_freeze(&pool->catalog, &pool->writing);
}

static void fill_superblock(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    checkpoint->label = pool->label;
    checkpoint->superblock =
        (struct superblock){.geometry = pool->label.geometry,
                            .checkpoint = checkpoint->number,
                            .epoch = pool->forest.epoch,
                            .written_ns = os_wall_clock_ns(),
                            .catalog = pool->catalog.root,
                            .catalog_nodes = pool->catalog.nodes,
                            .next_dataset = __atomic_load_n(&pool->next_dataset, __ATOMIC_RELAXED),
                            .used_blocks = checkpoint->maps.used_blocks,
                            .map_root = checkpoint->maps.root};
}

/* The journal's records so far belong to this checkpoint. */
static void cut_journal(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    checkpoint->superblock.journal = pool->journal_start;
    if (pool->journal != NULL)
        journal_cut(pool->journal, &checkpoint->superblock.journal, &checkpoint->journal_mark);
}

/* After the last step that can fail. */
static void gather_all(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    checkpoint->number = pool->forest.generation;
    alloc_freeze_prepared(&pool->allocator, checkpoint->number, &checkpoint->maps);
    freeze_trees(pool, checkpoint);
    fill_superblock(pool, checkpoint);
    cut_journal(pool, checkpoint);
    pool->forest.generation++;
    pool->changed = false;
}

static enum status gather_locked(struct lfsx_pool *pool, struct checkpoint *checkpoint,
                                 struct btree_cursor *cursor) {
    struct update_need need;
    enum status status = prepare(pool, checkpoint, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    status =
        alloc_freeze_prepare(&pool->allocator, 2 * need.nodes + need.releases, &checkpoint->maps);
    if (status == STATUS_OK) {
        touch_catalog(pool, checkpoint);
        /* What was touched last may have contradicted the maps. A rider has happened. */
        status = pool_writable(pool);
        checkpoint->in_vain = status != STATUS_OK;
        if (status == STATUS_OK || checkpoint->rider != NULL)
            gather_all(pool, checkpoint);
        else
            alloc_snapshot_free(&checkpoint->maps);
    }
    pool_update_end(pool);
    return checkpoint->number != 0 ? STATUS_OK : status;
}

/* AGAIN never leaves here. Sets checkpoint->number to 0 if there was nothing to do. */
static enum status gather(struct lfsx_pool *pool, struct checkpoint *checkpoint, bool force) {
    struct pool_retry retry = {0};
    struct btree_cursor cursor;
    enum status status;
    do {
        os_rwlock_lock_exclusive(&pool->lock);
        if (pool->changed || force)
            status = gather_locked(pool, checkpoint, &cursor);
        else
            status = STATUS_OK;
        os_rwlock_unlock_exclusive(&pool->lock);
    } while (pool_again(pool, &retry, &cursor.miss, &status));
    return status;
}

/* Collects blocks until they fill a batch, then writes it. */
struct writer {
    struct blockdev *device;
    enum status status;
    uint64_t blocks[WRITE_BATCH];
    void *pages[WRITE_BATCH];
    uint64_t count;
};

static void writer_run(struct writer *writer) {
    struct block_map map = {.count = writer->count, .blocks = writer->blocks};
    if (writer->status == STATUS_OK)
        writer->status = data_transfer(writer->device, BLOCK_WRITE, &map, writer->pages);
    writer->count = 0;
}

static void writer_add(struct writer *writer, uint64_t block, void *page) {
    writer->blocks[writer->count] = block;
    writer->pages[writer->count] = page;
    if (++writer->count == WRITE_BATCH)
        writer_run(writer);
}

/* A pool that grew has its labels written before anything is acknowledged that the checkpoint made
 * durable: from then on they say where the tail is. */
static enum status publish(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    enum status status = superblock_write(pool->device, &checkpoint->label, &checkpoint->superblock,
                                          checkpoint->page);
    if (status == STATUS_OK)
        status = label_settle(pool->device, &checkpoint->label, checkpoint->page);
    return status;
}

static enum status write_out(struct lfsx_pool *pool, struct checkpoint *checkpoint) {
    struct writer writer = {.device = pool->device};
    uint64_t nodes = 0;
    staging_flush_begin(&pool->data, STAGING_CHECKPOINT); /* the data that the trees name */
    LIST_FOR_EACH(link, &pool->writing) {
        struct cached_node *node = LIST_CONTAINER(link, struct cached_node, link);
        writer_add(&writer, node->block, node->page);
        nodes++;
    }
    for (uint64_t i = 0; i < checkpoint->maps.count; i++)
        writer_add(&writer, checkpoint->maps.writes[i].block, checkpoint->maps.writes[i].page);
    writer_run(&writer);
    enum status data = staging_flush_end(&pool->data, STAGING_CHECKPOINT);
    if (writer.status == STATUS_OK)
        writer.status = data;
    if (writer.status == STATUS_OK)
        writer.status = blockdev_flush(pool->device);
    if (writer.status == STATUS_OK)
        writer.status = publish(pool, checkpoint);
    POOL_COUNT(pool, checkpoints, 1);
    POOL_COUNT(pool, checkpoint_nodes, nodes);
    return writer.status;
}

static void retire_nodes(struct lfsx_pool *pool, const struct checkpoint *checkpoint) {
    os_rwlock_lock_exclusive(&pool->lock);
    pool->label.written_blocks = checkpoint->label.written_blocks;
    LIST_FOR_EACH_SAFE(link, &pool->writing)
    cache_written(&pool->forest.cache, LIST_CONTAINER(link, struct cached_node, link));
    os_rwlock_unlock_exclusive(&pool->lock);
}

/* Tells the device which blocks are about to become free; a hint, so errors only end it. */
static void discard_expiring(struct lfsx_pool *pool) {
    const struct alloc_log *log = alloc_expiring(&pool->allocator);
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < log->count && status == STATUS_OK; i++)
        if (log->runs[i].count >= DISCARD_MIN_BLOCKS)
            status = blockdev_discard(pool->device, log->runs[i].block * DISK_BLOCK_SIZE,
                                      log->runs[i].count * DISK_BLOCK_SIZE);
}

/* The caller holds the right to run a checkpoint. */
static enum status run_checkpoint(struct lfsx_pool *pool, bool force,
                                  struct checkpoint_rider *rider) {
    struct checkpoint checkpoint = {.rider = rider, .page = os_page_alloc(DISK_BLOCK_SIZE)};
    enum status status = STATUS_NO_MEMORY;
    if (checkpoint.page != NULL)
        status = gather(pool, &checkpoint, force);
    if (status != STATUS_OK || checkpoint.number == 0) {
        os_page_free(checkpoint.page, DISK_BLOCK_SIZE);
        return status;
    }
    os_mutex_lock(&pool->commit_lock);
    os_condition_broadcast(&pool->commit_done); /* who waits for clean nodes only may go on */
    os_mutex_unlock(&pool->commit_lock);
    status = checkpoint.in_vain ? STATUS_READ_ONLY : write_out(pool, &checkpoint);
    alloc_snapshot_free(&checkpoint.maps);
    os_page_free(checkpoint.page, DISK_BLOCK_SIZE);
    if (status != STATUS_OK) {
        pool_fail(pool, status, "a checkpoint could not be written");
        if (pool->journal != NULL)
            journal_fail(pool->journal);
        return status;
    }
    if (pool->journal != NULL)
        journal_forget(pool->journal, &checkpoint.superblock.journal, checkpoint.journal_mark);
    retire_nodes(pool, &checkpoint);
    discard_expiring(pool);
    alloc_rotate(&pool->allocator);
    os_mutex_lock(&pool->commit_lock);
    pool->durable_generation = checkpoint.number;
    os_mutex_unlock(&pool->commit_lock);
    return STATUS_OK;
}

/* The checkpoint that must be durable for all that was changed so far. */
static uint64_t wanted_generation(struct lfsx_pool *pool) {
    os_rwlock_lock_shared(&pool->lock);
    uint64_t wanted = pool->changed ? pool->forest.generation : pool->forest.generation - 1;
    os_rwlock_unlock_shared(&pool->lock);
    return wanted;
}

/* No checkpoint is on its way: runs one. commit_lock is held on entry and exit. */
static enum status run_alone(struct lfsx_pool *pool, bool force, struct checkpoint_rider *rider) {
    pool->checkpoint_running = true;
    os_mutex_unlock(&pool->commit_lock);
    enum status status = run_checkpoint(pool, force, rider);
    os_mutex_lock(&pool->commit_lock);
    pool->checkpoint_running = false;
    os_condition_broadcast(&pool->commit_done);
    return status;
}

/* Waits for the running checkpoint, or runs one. commit_lock is held on entry and exit. */
static enum status advance(struct lfsx_pool *pool, bool force) {
    if (!pool->checkpoint_running)
        return run_alone(pool, force, NULL);
    os_condition_wait(&pool->commit_done, &pool->commit_lock, OS_FOREVER);
    return STATUS_OK;
}

static enum status commit_until(struct lfsx_pool *pool, uint64_t wanted, bool force) {
    enum status status = STATUS_OK;
    os_mutex_lock(&pool->commit_lock);
    while (pool->durable_generation < wanted && status == STATUS_OK) {
        status = advance(pool, force);
        if (status == STATUS_OK && pool_writable(pool) != STATUS_OK)
            status = STATUS_IO; /* another thread's checkpoint failed */
    }
    os_mutex_unlock(&pool->commit_lock);
    return status;
}

enum status pool_checkpoint(struct lfsx_pool *pool) {
    if (pool->read_only)
        return STATUS_OK;
    if (pool_writable(pool) != STATUS_OK)
        return STATUS_IO; /* what was acknowledged before may be lost: never say otherwise */
    return commit_until(pool, wanted_generation(pool), false);
}

/* What the journal does not know needs a checkpoint; the rest one journal write and one flush. A
 * full ring is emptied by a checkpoint, which makes the records durable too. */
enum status pool_commit(struct lfsx_pool *pool) {
    if (pool->read_only)
        return STATUS_OK;
    POOL_COUNT(pool, commits, 1);
    if (pool->journal == NULL)
        return pool_checkpoint(pool);
    os_rwlock_lock_shared(&pool->lock);
    uint64_t checkpoint = pool->unjournaled_generation;
    uint64_t mark = journal_newest(pool->journal);
    os_rwlock_unlock_shared(&pool->lock);
    if (pool_writable(pool) != STATUS_OK)
        return STATUS_IO;
    /* One that could not read what it needed has changed nothing: it may succeed the next time. */
    enum status status = commit_until(pool, checkpoint, false);
    if (status == STATUS_OK) {
        status = journal_commit(pool->journal, mark);
        if (status == STATUS_IO)
            pool_fail(pool, status, "the journal could not be written");
    }
    return status == STATUS_NO_SPACE ? pool_checkpoint(pool) : status;
}

enum status pool_checkpoint_force(struct lfsx_pool *pool) {
    os_rwlock_lock_shared(&pool->lock);
    uint64_t wanted = pool->forest.generation;
    os_rwlock_unlock_shared(&pool->lock);
    return commit_until(pool, wanted, true);
}

enum status pool_checkpoint_with(struct lfsx_pool *pool, struct checkpoint_rider *rider) {
    os_mutex_lock(&pool->commit_lock);
    while (pool->checkpoint_running)
        os_condition_wait(&pool->commit_done, &pool->commit_lock, OS_FOREVER);
    enum status status = run_alone(pool, true, rider);
    os_mutex_unlock(&pool->commit_lock);
    return status;
}

static bool too_dirty(struct lfsx_pool *pool, uint64_t share) {
    os_rwlock_lock_shared(&pool->lock);
    bool dirty = pool->forest.cache.dirty_count > pool->forest.cache.budget / share;
    os_rwlock_unlock_shared(&pool->lock);
    return dirty;
}

/* A ring that is half full is emptied before it is full. */
static bool journal_fills(struct lfsx_pool *pool) {
    return pool->journal != NULL &&
           journal_used_blocks(pool->journal) > journal_total_blocks(pool->journal) / 2;
}

void pool_keeper_wake(struct lfsx_pool *pool) {
    os_mutex_lock(&pool->commit_lock);
    os_condition_signal(&pool->keeper_wake);
    os_mutex_unlock(&pool->commit_lock);
}

/* Until the dirty nodes are a checkpoint's, which is much sooner than it is durable. A failure is
 * latched, and answers the next write. */
static void wait_until_gathered(struct lfsx_pool *pool) {
    enum status status = STATUS_OK;
    os_mutex_lock(&pool->commit_lock);
    while (status == STATUS_OK && pool_writable(pool) == STATUS_OK && too_dirty(pool, 2))
        status = advance(pool, false);
    os_mutex_unlock(&pool->commit_lock);
}

/* From a quarter of the budget on, a checkpoint is on its way: who makes more nodes dirty meanwhile
 * is made to wait the longer, the less is left. */
static void slow_down(struct lfsx_pool *pool) {
    os_rwlock_lock_shared(&pool->lock);
    uint64_t quarter = pool->forest.cache.budget / 4;
    uint64_t dirty = pool->forest.cache.dirty_count;
    os_rwlock_unlock_shared(&pool->lock);
    uint64_t wait = dirty <= quarter ? 0 : (dirty - quarter) * SLOW_DOWN_NS / quarter;
    if (wait >= SLOW_DOWN_NS / 8)
        os_sleep_ns(wait);
}

void pool_throttle(struct lfsx_pool *pool) {
    (void)dead_drain(pool); /* if it cannot be done now, the checkpoint tries again */
    if (pool->recovering || (!too_dirty(pool, 4) && !journal_fills(pool)))
        return;
    pool_keeper_wake(pool);
    if (too_dirty(pool, 2))
        wait_until_gathered(pool);
    else
        slow_down(pool);
}
