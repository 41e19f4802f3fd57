/* SPDX-License-Identifier: Apache-2.0 */
/* Shares of a pool: opening them, and the handles that everything else begins with. */
#include "storage/lfsx/share/share.h"
#include "base/assert.h"
#include "base/format.h"
#include "base/mem.h"

/* ---- what the handles have in common ---- */

static void share_free(struct share *share) {
    mvcc_destroy(share->mvcc);
    os_condition_destroy(&share->changed);
    os_mutex_destroy(&share->lock);
    os_free(share);
}

static enum status share_new(struct dataset *dataset, struct share **out) {
    struct share *share = os_alloc_zeroed(sizeof *share);
    if (share == NULL)
        return STATUS_NO_MEMORY;
    share->dataset = dataset;
    os_mutex_init(&share->lock);
    os_condition_init(&share->changed);
    for (unsigned i = 0; i < SHARE_BUCKETS; i++)
        list_init(&share->nodes[i]);
    struct mvcc_store store = records_store(dataset);
    enum status status = mvcc_create(&store, &share->mvcc);
    if (status == STATUS_OK)
        status = cleanup_start(share);
    if (status != STATUS_OK) {
        share_free(share);
        return status;
    }
    *out = share;
    return STATUS_OK;
}

/* Adds a handle to what others have, or makes it. The dataset is held. */
static enum status share_join(struct dataset *dataset, struct share **share) {
    struct lfsx_pool *pool = dataset->pool;
    enum status status = STATUS_OK;
    os_mutex_lock(&pool->share_lock);
    if (dataset->share == NULL)
        status = share_new(dataset, &dataset->share);
    if (status == STATUS_OK) {
        dataset->share->handles++;
        *share = dataset->share;
    }
    os_mutex_unlock(&pool->share_lock);
    return status;
}

static void share_leave(struct share *share) {
    struct dataset *dataset = share->dataset;
    os_mutex_lock(&dataset->pool->share_lock);
    if (--share->handles == 0) {
        cleanup_stop(share);
        for (unsigned i = 0; i < SHARE_BUCKETS; i++)
            ASSERT(list_is_empty(&share->nodes[i])); /* all files are closed */
        dataset->share = NULL;
        share_free(share);
    }
    os_mutex_unlock(&dataset->pool->share_lock);
}

/* ---- handles ---- */

enum status lfsx_share_open(struct lfsx_pool *pool, const char *name, struct lfsx_share **out) {
    *out = NULL;
    struct lfsx_share *handle = os_alloc_zeroed(sizeof *handle);
    if (handle == NULL)
        return STATUS_NO_MEMORY;
    struct holding *holding = &handle->holding;
    enum status status = holding_open(pool, name, DISK_DATASET_SHARE, holding);
    if (status != STATUS_OK) {
        os_free(handle);
        return status;
    }
    bool live = holding->snapshot == NULL;
    handle->tree = live ? &holding->dataset->tree : &holding->snapshot->tree;
    if (live && pool_writable(pool) == STATUS_OK)
        status = share_join(holding->dataset, &handle->share);
    if (status != STATUS_OK) {
        holding_close(holding);
        os_free(handle);
        return status;
    }
    *out = handle;
    return STATUS_OK;
}

void lfsx_share_close(struct lfsx_share *handle) {
    if (handle->share != NULL)
        share_leave(handle->share);
    holding_close(&handle->holding);
    os_free(handle);
}

static void fill_info(const struct dataset *d, struct lfsx_share_info *info) {
    memset(info, 0, sizeof *info);
    memcpy(info->name, d->name, sizeof info->name);
    memcpy(info->uuid, d->uuid, sizeof info->uuid);
    info->id = d->id;
    info->used_bytes = d->data_blocks * LFSX_BLOCK_SIZE;
    info->created_ns = d->created_ns;
    info->open_count = d->open_count;
    info->read_only = pool_writable(d->pool) != STATUS_OK;
    info->damage = d->damage;
    info->dead_damage = d->dead_damage;
}

static void fill_snapshot_info(const struct snapshot *s, struct lfsx_share_info *info) {
    format_text(info->name, sizeof info->name, "%s@%s", s->dataset->name, s->name);
    memcpy(info->uuid, s->uuid, sizeof info->uuid);
    info->used_bytes = s->data_blocks * LFSX_BLOCK_SIZE;
    info->created_ns = s->created_ns;
    info->open_count = s->open_count;
    info->read_only = true;
    info->damage = STATUS_OK;
}

void lfsx_share_info(struct lfsx_share *handle, struct lfsx_share_info *info) {
    os_rwlock_lock_shared(&handle->holding.dataset->pool->lock);
    fill_info(handle->holding.dataset, info);
    if (handle->holding.snapshot != NULL)
        fill_snapshot_info(handle->holding.snapshot, info);
    os_rwlock_unlock_shared(&handle->holding.dataset->pool->lock);
}

/* The live share with the lowest identifier that is at least `id`. */
static bool next_info(struct lfsx_pool *pool, uint64_t id, struct lfsx_share_info *info) {
    os_rwlock_lock_shared(&pool->lock);
    struct dataset *next = NULL;
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->kind == DISK_DATASET_SHARE && d->state == DISK_DATASET_LIVE && d->id >= id &&
            (next == NULL || d->id < next->id))
            next = d;
    }
    if (next != NULL)
        fill_info(next, info);
    os_rwlock_unlock_shared(&pool->lock);
    return next != NULL;
}

enum status lfsx_share_list(struct lfsx_pool *pool,
                            bool (*visit)(void *context, const struct lfsx_share_info *info),
                            void *context) {
    struct lfsx_share_info *info = os_alloc(sizeof *info);
    if (info == NULL)
        return STATUS_NO_MEMORY;
    for (uint64_t id = 0; next_info(pool, id, info); id = info->id + 1)
        if (!visit(context, info))
            break;
    os_free(info);
    return STATUS_OK;
}

enum status lfsx_share_sync(struct lfsx_share *handle) {
    return pool_commit(handle->holding.dataset->pool);
}

/* ---- open files ---- */

/* Nobody changes what a read-only handle sees: each of its files has a node of its own. */
static enum status open_alone(struct lfsx_share *handle, uint64_t inode, struct node **out) {
    struct node *node = node_new(handle->holding.dataset, handle->tree, inode);
    enum status status = node == NULL ? STATUS_NO_MEMORY : node_load(node);
    if (status != STATUS_OK)
        node_free(node);
    else
        *out = node;
    return status;
}

enum status lfsx_file_open(struct lfsx_share *handle, uint64_t inode, struct lfsx_file **out) {
    *out = NULL;
    struct lfsx_file *file = os_alloc(sizeof *file);
    if (file == NULL)
        return STATUS_NO_MEMORY;
    file->share = handle;
    enum status status = handle->share == NULL ? open_alone(handle, inode, &file->node)
                                               : node_open(handle->share, inode, &file->node);
    if (status != STATUS_OK)
        os_free(file);
    else
        *out = file;
    return status;
}

void lfsx_file_close(struct lfsx_file *file) {
    if (file->share->share == NULL)
        node_free(file->node);
    else
        node_close(file->share->share, file->node);
    os_free(file);
}

enum status lfsx_file_read(struct lfsx_file *file, struct lfsx_buffer *buffer, uint32_t *length) {
    return share_read(file->node, buffer, length);
}

enum status lfsx_file_write(struct lfsx_file *file, struct lfsx_buffer *buffer, uint32_t flags) {
    struct share *share = file->share->share;
    return share == NULL ? STATUS_READ_ONLY : share_write(share, file->node, buffer, flags);
}

enum status lfsx_file_truncate(struct lfsx_file *file, uint64_t size, uint32_t flags) {
    struct share *share = file->share->share;
    return share == NULL ? STATUS_READ_ONLY : share_truncate(share, file->node, size, flags);
}

enum status lfsx_file_zero(struct lfsx_file *file, uint64_t offset, uint64_t length,
                           uint32_t flags) {
    struct share *share = file->share->share;
    return share == NULL ? STATUS_READ_ONLY : share_zero(file->node, offset, length, flags);
}
