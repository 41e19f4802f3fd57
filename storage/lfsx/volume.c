/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as clients use them: handles on the file of a dataset. */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/pool.h"

static void change_open_count(struct dataset *d, int change) {
    os_rwlock_lock_exclusive(&d->pool->lock);
    ASSERT(change > 0 || d->open_count > 0);
    d->open_count += (uint32_t)change;
    os_rwlock_unlock_exclusive(&d->pool->lock);
}

/* No journal record may name a volume that a power cut would undo, so nobody gets a handle before
 * its creation is durable. */
static enum status settle_creation(struct dataset *d) {
    struct lfsx_pool *pool = d->pool;
    os_mutex_lock(&pool->commit_lock);
    bool durable = pool->durable_generation >= d->created_in;
    os_mutex_unlock(&pool->commit_lock);
    return durable ? STATUS_OK : pool_checkpoint(pool);
}

static struct dataset *find_and_hold(struct lfsx_pool *pool, const char *name) {
    os_rwlock_lock_exclusive(&pool->lock);
    struct dataset *d = catalog_find(pool, name);
    if (d != NULL)
        d->open_count++;
    os_rwlock_unlock_exclusive(&pool->lock);
    return d;
}

enum status lfsx_volume_open(struct lfsx_pool *pool, const char *name,
                             struct lfsx_volume **volume) {
    *volume = NULL;
    struct dataset *d = find_and_hold(pool, name);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    struct lfsx_volume *v = os_alloc(sizeof *v);
    enum status status = v == NULL ? STATUS_NO_MEMORY : settle_creation(d);
    if (status != STATUS_OK) {
        os_free(v);
        change_open_count(d, -1);
        return status;
    }
    *v = (struct lfsx_volume){.dataset = d, .file = &d->file};
    *volume = v;
    return STATUS_OK;
}

void lfsx_volume_close(struct lfsx_volume *v) {
    change_open_count(v->dataset, -1);
    os_free(v);
}

static void fill_info(const struct dataset *d, struct lfsx_volume_info *info) {
    memset(info, 0, sizeof *info);
    memcpy(info->name, d->name, sizeof info->name);
    memcpy(info->uuid, d->uuid, sizeof info->uuid);
    info->id = d->id;
    info->size = d->file.size;
    info->used_bytes = d->data_blocks * LFSX_BLOCK_SIZE;
    info->created_ns = d->created_ns;
    info->open_count = d->open_count;
    info->read_only = pool_writable(d->pool) != STATUS_OK;
}

void lfsx_volume_info(struct lfsx_volume *v, struct lfsx_volume_info *info) {
    os_rwlock_lock_shared(&v->dataset->pool->lock);
    fill_info(v->dataset, info);
    os_rwlock_unlock_shared(&v->dataset->pool->lock);
}

/* The live volume with the lowest identifier that is at least `id`. */
static bool next_info(struct lfsx_pool *pool, uint64_t id, struct lfsx_volume_info *info) {
    struct dataset *next = NULL;
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (!d->deleting && d->id >= id && (next == NULL || d->id < next->id))
            next = d;
    }
    if (next != NULL)
        fill_info(next, info);
    os_rwlock_unlock_shared(&pool->lock);
    return next != NULL;
}

enum status lfsx_volume_list(struct lfsx_pool *pool,
                             bool (*visit)(void *context, const struct lfsx_volume_info *info),
                             void *context) {
    struct lfsx_volume_info *info = os_alloc(sizeof *info);
    if (info == NULL)
        return STATUS_NO_MEMORY;
    for (uint64_t id = 0; next_info(pool, id, info); id = info->id + 1)
        if (!visit(context, info))
            break;
    os_free(info);
    return STATUS_OK;
}

enum status lfsx_volume_read(struct lfsx_volume *v, struct lfsx_buffer *buffer) {
    return file_read(v->file, buffer);
}

enum status lfsx_volume_write(struct lfsx_volume *v, struct lfsx_buffer *buffer, uint32_t flags) {
    return file_write(v->file, buffer, flags);
}

enum status lfsx_volume_trim(struct lfsx_volume *v, uint64_t offset, uint64_t length,
                             uint32_t flags) {
    return file_trim(v->file, offset, length, flags);
}

enum status lfsx_volume_zero(struct lfsx_volume *v, uint64_t offset, uint64_t length,
                             uint32_t flags) {
    return file_zero(v->file, offset, length, flags);
}
