/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as clients use them: handles on the file of a dataset. */
#include "base/format.h"
#include "base/mem.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/file/holding.h"
#include "storage/lfsx/pool/pool.h"

enum status lfsx_volume_open(struct lfsx_pool *pool, const char *name,
                             struct lfsx_volume **volume) {
    *volume = NULL;
    struct lfsx_volume *v = os_alloc_zeroed(sizeof *v);
    if (v == NULL)
        return STATUS_NO_MEMORY;
    enum status status = holding_open(pool, name, DISK_DATASET_VOLUME, &v->holding);
    if (status != STATUS_OK) {
        os_free(v);
        return status;
    }
    v->file = v->holding.snapshot != NULL ? &v->holding.snapshot->file : &v->holding.dataset->file;
    *volume = v;
    return STATUS_OK;
}

void lfsx_volume_close(struct lfsx_volume *v) {
    holding_close(&v->holding);
    os_free(v);
}

static uint32_t count_snapshots(const struct dataset *d) {
    uint32_t count = 0;
    LIST_FOR_EACH(link, &d->snapshots)
    count += !snapshot_of(link)->deleting;
    return count;
}

static void fill_info(const struct dataset *d, struct lfsx_volume_info *info) {
    memset(info, 0, sizeof *info);
    memcpy(info->name, d->name, sizeof d->name);
    memcpy(info->uuid, d->uuid, sizeof info->uuid);
    info->id = d->id;
    info->size = file_end(&d->file);
    info->logical_bytes = d->data_blocks * LFSX_BLOCK_SIZE;
    info->referenced_bytes = (d->data_blocks + d->tree.nodes) * LFSX_BLOCK_SIZE;
    info->quota_bytes = d->space.quota * LFSX_BLOCK_SIZE;
    info->reserved_bytes = d->space.reserved * LFSX_BLOCK_SIZE;
    info->created_ns = d->created_ns;
    info->deleted_ns = d->deleted_ns;
    info->keep_deleted_ns = d->keep_deleted_ns;
    info->open_count = d->open_count;
    info->snapshot_count = count_snapshots(d);
    info->is_protected = d->flags & DISK_DATASET_PROTECTED;
    info->read_only = pool_writable(d->pool) != STATUS_OK;
    info->damage = d->damage;
    info->dead_damage = d->dead_damage;
    if (d->origin != NULL)
        format_text(info->origin, sizeof info->origin, "%s@%s", d->origin->dataset->name,
                    d->origin->name);
}

static void fill_snapshot_info(const struct snapshot *s, struct lfsx_volume_info *info) {
    format_text(info->name, sizeof info->name, "%s@%s", s->dataset->name, s->name);
    memcpy(info->uuid, s->uuid, sizeof info->uuid);
    info->size = s->file.size;
    info->logical_bytes = s->data_blocks * LFSX_BLOCK_SIZE;
    info->referenced_bytes = (s->data_blocks + s->tree.nodes) * LFSX_BLOCK_SIZE;
    info->created_ns = s->created_ns;
    info->open_count = s->open_count;
    info->read_only = true;
    info->damage = STATUS_OK;
}

void lfsx_volume_info(struct lfsx_volume *v, struct lfsx_volume_info *info) {
    os_rwlock_lock_shared(&v->holding.dataset->pool->lock);
    fill_info(v->holding.dataset, info);
    if (v->holding.snapshot != NULL)
        fill_snapshot_info(v->holding.snapshot, info);
    os_rwlock_unlock_shared(&v->holding.dataset->pool->lock);
}

/* The volume, or of deleted ones also the share, with the lowest identifier that is at least `id`.
 */
static bool next_info(struct lfsx_pool *pool, uint64_t id, uint8_t state,
                      struct lfsx_volume_info *info) {
    struct dataset *next = NULL;
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        bool wanted =
            d->state == state && (d->kind == DISK_DATASET_VOLUME || state != DISK_DATASET_LIVE);
        if (wanted && d->id >= id && (next == NULL || d->id < next->id))
            next = d;
    }
    if (next != NULL)
        fill_info(next, info);
    os_rwlock_unlock_shared(&pool->lock);
    return next != NULL;
}

static enum status list(struct lfsx_pool *pool, uint8_t state,
                        bool (*visit)(void *context, const struct lfsx_volume_info *info),
                        void *context) {
    struct lfsx_volume_info *info = os_alloc(sizeof *info);
    if (info == NULL)
        return STATUS_NO_MEMORY;
    for (uint64_t id = 0; next_info(pool, id, state, info); id = info->id + 1)
        if (!visit(context, info))
            break;
    os_free(info);
    return STATUS_OK;
}

enum status lfsx_volume_list(struct lfsx_pool *pool,
                             bool (*visit)(void *context, const struct lfsx_volume_info *info),
                             void *context) {
    return list(pool, DISK_DATASET_LIVE, visit, context);
}

enum status lfsx_deleted_list(struct lfsx_pool *pool,
                              bool (*visit)(void *context, const struct lfsx_volume_info *info),
                              void *context) {
    return list(pool, DISK_DATASET_DELETED, visit, context);
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
