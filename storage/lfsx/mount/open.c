/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a pool into memory and out of it again; what it tells about itself. */
#include "storage/lfsx/mount/open.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_load.h"
#include "storage/lfsx/catalog/catalog_records.h"
#include "storage/lfsx/data/staging.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/dataset_life.h"
#include "storage/lfsx/file/prefetch.h"
#include "storage/lfsx/file/space.h"
#include "storage/lfsx/mount/keeper.h"
#include "storage/lfsx/snapshot/reap.h"

#define CACHE_SHARE 4u /* of the memory that there is, */
#define FREE_SHARE 2u  /* and at most this part of what is free */

static void init_locks(struct lfsx_pool *pool, const char *name) {
    os_rwlock_init(&pool->lock);
    os_mutex_init(&pool->space.lock);
    os_mutex_init(&pool->grow_lock);
    os_mutex_init(&pool->share_lock);
    os_mutex_init(&pool->commit_lock);
    os_condition_init(&pool->commit_done);
    os_condition_init(&pool->keeper_wake);
    latch_init(&pool->latch, name);
    os_mutex_init(&pool->state_lock);
    os_condition_init(&pool->loaded);
    list_init(&pool->loads);
    reaper_init(&pool->reaper, reap);
}

static void destroy_locks(struct lfsx_pool *pool) {
    os_rwlock_destroy(&pool->lock);
    os_mutex_destroy(&pool->space.lock);
    os_mutex_destroy(&pool->grow_lock);
    os_mutex_destroy(&pool->share_lock);
    os_mutex_destroy(&pool->commit_lock);
    os_condition_destroy(&pool->commit_done);
    os_condition_destroy(&pool->keeper_wake);
    latch_destroy(&pool->latch);
    os_mutex_destroy(&pool->state_lock);
    os_condition_destroy(&pool->loaded);
    reaper_destroy(&pool->reaper);
}

/* Called by whoever allocates, maybe under the pool's own locks: so it only tries. Data goes before
 * nodes, each of which leads to much of it. */
static uint64_t shrink(void *context, uint64_t bytes) {
    struct lfsx_pool *pool = context;
    uint64_t freed = datacache_shrink(&pool->data.cache, bytes);
    if ((bytes != 0 && freed >= bytes) || !os_rwlock_try_lock_exclusive(&pool->lock))
        return freed;
    freed += cache_shrink(&pool->forest.cache, bytes == 0 ? 0 : bytes - freed);
    os_rwlock_unlock_exclusive(&pool->lock);
    return freed;
}

enum status pool_new(struct blockdev *device, const struct label *label,
                     const struct lfsx_open_options *options, struct lfsx_pool **out) {
    struct lfsx_pool *pool = os_alloc_zeroed(sizeof *pool);
    if (pool == NULL)
        return STATUS_NO_MEMORY;
    uint64_t cache_bytes = options == NULL ? 0 : options->cache_bytes;
    if (cache_bytes == 0) {
        struct os_memory_info memory;
        os_memory_info(&memory);
        cache_bytes = MATH_MIN(memory.total_bytes / CACHE_SHARE, memory.free_bytes / FREE_SHARE);
    }
    struct mvcc_store store = catalog_store(pool);
    enum status status = mvcc_create(&store, &pool->catalog_records);
    if (status == STATUS_OK)
        status = cache_init(&pool->forest.cache, DATACACHE_NODES_OF(cache_bytes));
    if (status != STATUS_OK) {
        mvcc_destroy(pool->catalog_records);
        os_free(pool);
        return status;
    }
    datacache_init(&pool->data.cache, cache_bytes, &pool->forest.cache);
    init_locks(pool, device->name);
    pool->device = device;
    pool->forest.allocator = &pool->allocator;
    pool->forest.latch = &pool->latch;
    pool->data.device = device;
    pool->data.latch = &pool->latch;
    pool->label = *label;
    pool->read_only = options != NULL && (options->flags & LFSX_OPEN_READ_ONLY) != 0;
    list_init(&pool->datasets);
    list_init(&pool->writing);
    pool->shrinker = (struct os_shrinker){.shrink = shrink, .context = pool};
    os_shrinker_register(&pool->shrinker);
    *out = pool;
    return STATUS_OK;
}

void pool_free(struct lfsx_pool *pool) {
    os_shrinker_unregister(&pool->shrinker);
    mvcc_destroy(pool->catalog_records);
    struct list_node *link;
    while ((link = list_pop_front(&pool->datasets)) != NULL) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        ASSERT(d->open_count == 0);
        dataset_free(d);
    }
    /* What a failed checkpoint left behind. */
    LIST_FOR_EACH_SAFE(writing, &pool->writing)
    cache_written(&pool->forest.cache, LIST_CONTAINER(writing, struct cached_node, link));
    staging_free(&pool->data);
    datacache_destroy(&pool->data.cache);
    cache_destroy(&pool->forest.cache);
    dead_log_free(&pool->forest.dead);
    destroy_locks(pool);
    os_free(pool);
}

/* What a power cut kept from being written, before anything else is. */
static enum status settle(struct blockdev *device, struct label *label, const struct ring *ring,
                          const struct superblock *superblock) {
    enum status status = superblock_complete(device, label, ring, superblock);
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    if (status == STATUS_OK)
        status = label_settle(device, label, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

static enum status newest_superblock(struct blockdev *device, struct label *label, bool read_only,
                                     struct superblock *superblock) {
    struct ring *ring = os_alloc(sizeof *ring);
    if (ring == NULL)
        return STATUS_NO_MEMORY;
    enum status status = ring_read(device, label, ring);
    if (status == STATUS_OK)
        status = ring_newest(ring, superblock);
    if (status == STATUS_OK && !read_only)
        status = settle(device, label, ring, superblock);
    os_free(ring);
    if (status == STATUS_CORRUPT || status == STATUS_IO)
        log_error("lfsx",
                  "%s: no superblock can be trusted to be the newest: a checkpoint that was "
                  "acknowledged may be %s; run fsck.lfsx",
                  device->name, status == STATUS_IO ? "where the device cannot read" : "damaged");
    return status;
}

static void begin_data(void *data) {
    staging_flush_begin(data, STAGING_COMMIT);
}

static enum status end_data(void *data) {
    return staging_flush_end(data, STAGING_COMMIT);
}

static const struct journal_data journal_data = {.begin = begin_data, .end = end_data};

/* Starts what works in the background. */
static enum status start_threads(struct lfsx_pool *pool) {
    if (pool->mending)
        return STATUS_OK;
    enum status status = prefetch_start(pool);
    if (status == STATUS_OK && !pool->read_only)
        status = staging_start(&pool->data, pool->journal);
    if (status == STATUS_OK && !pool->read_only)
        status = keeper_start(pool);
    if (status == STATUS_OK && !pool->read_only)
        status = reaper_start(pool);
    return status;
}

static void stop_threads(struct lfsx_pool *pool) {
    reaper_stop(pool);
    keeper_stop(pool);
    staging_stop(&pool->data);
    prefetch_stop(pool);
}

/* Replays the journal and starts to write it where it ended. What was replayed is put into a
 * checkpoint at once, so that the next power cut finds no more to do than this one. */
static enum status recover(struct lfsx_pool *pool, const struct journal_position *from) {
    struct journal_position end;
    enum status status = pool_recover(pool, from, &end, &pool->replayed);
    if (status != STATUS_OK || pool->read_only)
        return status;
    struct journal_area area = pool_journal_area(pool);
    status = journal_open(&area, &end, &pool->journal);
    if (status == STATUS_OK)
        journal_set_data(pool->journal, &journal_data, &pool->data);
    if (status == STATUS_OK && pool->replayed)
        status = pool_checkpoint_force(pool);
    return status;
}

/* Who only reads can do without allocation maps. */
static enum status load_maps(struct lfsx_pool *pool, const struct superblock *superblock) {
    const struct geometry *geometry = &pool->label.geometry;
    enum status status =
        alloc_load(&pool->allocator, geometry, pool->device, &superblock->map_root);
    if (!damage_is(status) || !pool->read_only)
        return status;
    log_warning("lfsx", "%s: opened without its allocation maps, to be read; run fsck.lfsx",
                pool->device->name);
    alloc_do_without(&pool->allocator, geometry, superblock->used_blocks);
    return STATUS_OK;
}

/* Loads what the superblock names. The allocator exists afterwards if the status is OK. */
static enum status load(struct lfsx_pool *pool, const struct superblock *superblock) {
    pool->catalog = (struct btree){.forest = &pool->forest,
                                   .owner = DISK_OWNER_CATALOG,
                                   .root = superblock->catalog,
                                   .nodes = superblock->catalog_nodes};
    pool->next_dataset = superblock->next_dataset;
    pool->forest.epoch = superblock->epoch;
    pool->forest.generation = superblock->checkpoint + 1;
    pool->durable_generation = superblock->checkpoint;
    enum status status = load_maps(pool, superblock);
    if (status != STATUS_OK)
        return status;
    status = catalog_load(pool);
    if (status == STATUS_OK)
        status = recover(pool, &superblock->journal);
    if (status == STATUS_OK)
        status = start_threads(pool);
    if (status != STATUS_OK) {
        stop_threads(pool);
        if (pool->journal != NULL)
            journal_close(pool->journal);
        alloc_destroy(&pool->allocator);
    }
    return status;
}

static enum status open_pool(struct blockdev *device, const struct lfsx_open_options *options,
                             bool mending, struct lfsx_pool **out) {
    bool read_only = options != NULL && (options->flags & LFSX_OPEN_READ_ONLY) != 0;
    if (device->limits.read_only && !read_only)
        return STATUS_READ_ONLY;
    struct label label;
    struct superblock superblock;
    enum status status = label_read(device, &label);
    if (status == STATUS_OK)
        status = newest_superblock(device, &label, read_only, &superblock);
    if (status == STATUS_TOO_SMALL)
        log_error("lfsx", "%s: the device has %llu blocks, the pool on it %llu: its end is missing",
                  device->name, (unsigned long long)(device->size / LFSX_BLOCK_SIZE),
                  (unsigned long long)label.geometry.device_blocks);
    struct lfsx_pool *pool = NULL;
    if (status == STATUS_OK)
        status = pool_new(device, &label, options, &pool);
    if (status != STATUS_OK)
        return status;
    pool->mending = mending;
    status = load(pool, &superblock);
    if (status != STATUS_OK) {
        pool_free(pool);
        return status;
    }
    *out = pool;
    return STATUS_OK;
}

enum status lfsx_pool_open(struct blockdev *device, const struct lfsx_open_options *options,
                           struct lfsx_pool **out) {
    return open_pool(device, options, false, out);
}

enum status pool_open_to_mend(struct blockdev *device, const struct lfsx_open_options *options,
                              struct lfsx_pool **out) {
    return open_pool(device, options, true, out);
}

enum status lfsx_pool_close(struct lfsx_pool *pool) {
    stop_threads(pool);
    enum status status = pool_checkpoint(pool);
    if (pool->journal != NULL)
        journal_close(pool->journal);
    alloc_destroy(&pool->allocator);
    pool_free(pool);
    return status;
}

enum status lfsx_pool_commit(struct lfsx_pool *pool) {
    return pool_commit(pool);
}

void lfsx_pool_info(struct lfsx_pool *pool, struct lfsx_pool_info *info) {
    memset(info, 0, sizeof *info);
    memcpy(info->uuid, pool->label.pool_uuid, sizeof info->uuid);
    memcpy(info->label, pool->label.text, sizeof info->label);
    os_rwlock_lock_shared(&pool->lock);
    const struct geometry geometry = pool->label.geometry;
    info->available_bytes = space_available(pool) * LFSX_BLOCK_SIZE;
    info->epoch = pool->forest.epoch;
    info->leaked_bytes = pool->forest.dead.leaked * LFSX_BLOCK_SIZE;
    LIST_FOR_EACH(link, &pool->datasets) {
        const struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        info->volume_count += d->state == DISK_DATASET_LIVE && d->kind == DISK_DATASET_VOLUME;
        info->share_count += d->state == DISK_DATASET_LIVE && d->kind == DISK_DATASET_SHARE;
    }
    os_rwlock_unlock_shared(&pool->lock);
    uint64_t pending = alloc_pending_blocks(&pool->allocator);
    uint64_t free_blocks = alloc_free_blocks(&pool->allocator) + pending;
    uint64_t data_blocks = geometry.data_end - geometry.data_start;
    info->size_bytes = data_blocks * LFSX_BLOCK_SIZE;
    info->used_bytes = (data_blocks - MATH_MIN(free_blocks, data_blocks)) * LFSX_BLOCK_SIZE;
    os_mutex_lock(&pool->commit_lock);
    info->checkpoint = pool->durable_generation;
    os_mutex_unlock(&pool->commit_lock);
    info->read_only = pool_writable(pool) != STATUS_OK;
    info->failure = latch_cause(&pool->latch);
}

void lfsx_pool_statistics(struct lfsx_pool *pool, struct lfsx_pool_statistics *out) {
    const uint64_t *from = (const uint64_t *)&pool->statistics;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    out->cache_hits = __atomic_load_n(&pool->forest.cache.hits, __ATOMIC_RELAXED);
    out->cache_misses = __atomic_load_n(&pool->forest.cache.misses, __ATOMIC_RELAXED);
    os_rwlock_lock_shared(&pool->lock);
    out->cache_bytes = pool->forest.cache.node_count * LFSX_BLOCK_SIZE;
    os_rwlock_unlock_shared(&pool->lock);
    os_mutex_lock(&pool->data.cache.lock);
    out->data_hits = pool->data.cache.hits;
    out->data_misses = pool->data.cache.misses;
    out->data_bytes = pool->data.cache.count * LFSX_BLOCK_SIZE;
    os_mutex_unlock(&pool->data.cache.lock);
    staging_statistics(&pool->data, &out->staged_bytes, &out->held_back_ns);
}
