/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes are deleted, brought back, and protected from it. Deleting is a change of the record and
 * of the name; what a volume held is freed by the reaper, at once or when it cannot be brought back
 * any more.
 */
#include "base/mem.h"
#include "storage/lfsx/catalog.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/pool.h"

struct deletion {
    struct lfsx_pool *pool;
    const char *name;
    uint8_t kind;
    uint32_t flags;
    uint64_t now_ns;
};

/* Whether anything stands in the way of freeing the dataset with all that it has. */
static bool is_in_use(const struct dataset *d, uint32_t flags) {
    if (d->open_count > 0)
        return true;
    LIST_FOR_EACH(link, &d->snapshots) {
        const struct snapshot *s = snapshot_of(link);
        if (s->open_count > 0 || s->clone_count > 0 ||
            (!s->deleting && !(flags & LFSX_DELETE_SNAPSHOTS)))
            return true;
    }
    return false;
}

/* From now on the reaper may free it, and its snapshots. What it shares with its origin is not
 * looked at any more. In an update. */
static void give_up(struct dataset *d) {
    d->state = DISK_DATASET_DELETING;
    d->deleted_ns = 0;
    if (d->origin != NULL)
        d->origin->clone_count--;
    d->origin = NULL;
    d->tree.origin = NULL;
    LIST_FOR_EACH(link, &d->snapshots)
    snapshot_of(link)->deleting = true;
    dataset_update_kept(d);
    space_update(d);
    catalog_replace_dataset(d);
}

static enum status delete_step(void *context, struct btree_cursor *cursor) {
    const struct deletion *deletion = context;
    struct lfsx_pool *pool = deletion->pool;
    struct dataset *d = dataset_find(pool, deletion->name);
    if (d == NULL || d->kind != deletion->kind)
        return STATUS_NOT_FOUND;
    if (d->flags & DISK_DATASET_PROTECTED)
        return STATUS_PERMISSION;
    bool keep = d->keep_deleted_ns > 0 && !(deletion->flags & LFSX_DELETE_NOW);
    if (keep ? d->open_count > 0 : is_in_use(d, deletion->flags))
        return STATUS_BUSY;
    struct update_need need = {.frees = true};
    struct key slot;
    enum status status = catalog_prefetch_entry(d, &slot, cursor, &need);
    if (status == STATUS_OK)
        status = catalog_prefetch_dataset(pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    catalog_remove_name(pool, &slot);
    if (keep) {
        d->state = DISK_DATASET_DELETED;
        d->deleted_ns = deletion->now_ns;
        catalog_replace_dataset(d);
    } else {
        give_up(d);
    }
    pool_update_end(pool);
    return STATUS_OK;
}

static enum status delete_dataset(struct lfsx_pool *pool, const char *name, uint8_t kind,
                                  uint32_t flags) {
    struct deletion deletion = {pool, name, kind, flags, os_wall_clock_ns()};
    enum status status = pool_change(pool, delete_step, &deletion);
    if (status == STATUS_OK)
        status = pool_commit(pool);
    if (status == STATUS_OK)
        reaper_wake(pool);
    return status;
}

enum status lfsx_volume_delete(struct lfsx_pool *pool, const char *name, uint32_t flags) {
    return delete_dataset(pool, name, DISK_DATASET_VOLUME, flags);
}

enum status lfsx_share_delete(struct lfsx_pool *pool, const char *name, uint32_t flags) {
    return delete_dataset(pool, name, DISK_DATASET_SHARE, flags);
}

struct undeletion {
    struct lfsx_pool *pool;
    uint64_t id;
    const char *name;
};

static enum status undelete_step(void *context, struct btree_cursor *cursor) {
    const struct undeletion *wish = context;
    struct lfsx_pool *pool = wish->pool;
    struct dataset *d = dataset_find_id(pool, wish->id);
    if (d == NULL || d->state != DISK_DATASET_DELETED)
        return STATUS_NOT_FOUND;
    const char *name = wish->name == NULL ? d->name : wish->name;
    struct update_need need = {.frees = true};
    struct key slot;
    enum status status = catalog_prefetch_name(pool, name, &slot, cursor, &need);
    if (status == STATUS_OK)
        return STATUS_EXISTS;
    if (status != STATUS_NOT_FOUND)
        return status;
    status = catalog_prefetch_dataset(pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    if (name != d->name)
        memcpy(d->name, name, strlen(name) + 1);
    d->state = DISK_DATASET_LIVE;
    d->deleted_ns = 0;
    catalog_replace_dataset(d);
    catalog_insert_name(d, &slot);
    pool_update_end(pool);
    return STATUS_OK;
}

enum status lfsx_volume_undelete(struct lfsx_pool *pool, uint64_t id, const char *name) {
    if (name != NULL && !lfsx_name_is_valid(name, strlen(name)))
        return STATUS_INVALID;
    struct undeletion wish = {pool, id, name};
    enum status status = pool_change(pool, undelete_step, &wish);
    return status == STATUS_OK ? pool_commit(pool) : status;
}

struct protection {
    struct lfsx_pool *pool;
    const char *name;
    bool is_protected;
    uint64_t keep_deleted_ns;
};

static enum status protect_step(void *context, struct btree_cursor *cursor) {
    const struct protection *wish = context;
    struct dataset *d = dataset_find(wish->pool, wish->name);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    struct update_need need = {.frees = true};
    enum status status = catalog_prefetch_dataset(d->pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    d->flags = wish->is_protected ? d->flags | DISK_DATASET_PROTECTED
                                  : d->flags & ~(uint64_t)DISK_DATASET_PROTECTED;
    d->keep_deleted_ns = wish->keep_deleted_ns;
    catalog_replace_dataset(d);
    pool_update_end(d->pool);
    return STATUS_OK;
}

enum status lfsx_volume_protect(struct lfsx_pool *pool, const char *name, bool is_protected,
                                uint64_t keep_deleted_ns) {
    struct protection wish = {pool, name, is_protected, keep_deleted_ns};
    enum status status = pool_change(pool, protect_step, &wish);
    return status == STATUS_OK ? pool_commit(pool) : status;
}

struct expiry {
    struct lfsx_pool *pool;
    uint64_t now_ns;
    bool found;
};

static bool has_expired(const struct dataset *d, uint64_t now_ns) {
    return d->state == DISK_DATASET_DELETED && now_ns >= d->deleted_ns &&
           now_ns - d->deleted_ns >= d->keep_deleted_ns && !is_in_use(d, LFSX_DELETE_SNAPSHOTS);
}

/* Gives up one dataset whose time is over. */
static enum status expire_step(void *context, struct btree_cursor *cursor) {
    struct expiry *expiry = context;
    struct dataset *d = NULL;
    LIST_FOR_EACH(link, &expiry->pool->datasets)
    if (has_expired(LIST_CONTAINER(link, struct dataset, link), expiry->now_ns))
        d = LIST_CONTAINER(link, struct dataset, link);
    expiry->found = d != NULL;
    if (d == NULL)
        return STATUS_OK;
    struct update_need need = {.frees = true, .background = true};
    enum status status = catalog_prefetch_dataset(d->pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    give_up(d);
    pool_update_end(d->pool);
    return STATUS_OK;
}

void deletion_expire(struct lfsx_pool *pool) {
    struct expiry expiry = {.pool = pool, .now_ns = os_wall_clock_ns(), .found = true};
    bool any = false;
    while (expiry.found && pool_change(pool, expire_step, &expiry) == STATUS_OK)
        any = any || expiry.found;
    if (any)
        reaper_wake(pool);
}
