/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets that cannot be served because a node cannot be read that everything of theirs needs. The
 * pool serves all others.
 *
 * Invariants:
 * 1. A damaged dataset has no handles on its live tree, and nothing changes that tree: it stays for
 *    fsck.lfsx as it was found. It can be renamed, set, rolled back and deleted, which only its
 *    record knows of. Its snapshots have trees of their own.
 * 2. What is not the device's fault (NO_MEMORY and so on) is no damage.
 */
#include "storage/lfsx/file/damage.h"
#include "base/log.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

struct look {
    struct lfsx_pool *pool;
    uint64_t id, epoch; /* dataset; snapshot, or 0: the live tree */
    struct dataset *dataset;
    uint64_t size;
};

bool damage_is(enum status status) {
    return status == STATUS_CHECKSUM || status == STATUS_CORRUPT || status == STATUS_IO;
}

static enum status look_root(struct look *look, struct btree *tree, struct btree_cursor *cursor) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    enum status status = btree_find(tree, &key, cursor);
    bool mended = look->dataset->kind == DISK_DATASET_SHARE && look->dataset->pool->mending;
    if (mended && (status == STATUS_OK || status == STATUS_NOT_FOUND))
        return STATUS_OK;
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    struct item item = btree_item(cursor);
    const struct disk_inode *inode = item.value;
    const char *why;
    bool is_directory = (le32_get(inode->mode) & DISK_MODE_KIND) == DISK_MODE_DIRECTORY;
    if (look->dataset->kind == DISK_DATASET_SHARE)
        return is_directory ? STATUS_OK : STATUS_CORRUPT;
    look->size = le64_get(inode->size);
    return value_validate_volume(&item, &why);
}

static enum status look_live(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    return look_root(look, &look->dataset->tree, cursor);
}

enum status damage_look(struct dataset *d, uint64_t *size) {
    struct look look = {.dataset = d};
    enum status status = pool_look(d->pool, look_live, &look);
    *size = look.size;
    return status;
}

static enum status look_snapshot(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    look->dataset = dataset_find_id(look->pool, look->id);
    struct snapshot *s =
        look->dataset == NULL ? NULL : snapshot_find_epoch(look->dataset, look->epoch);
    if (s == NULL || s->deleting)
        return STATUS_OK; /* it is gone, which others find out */
    return look_root(look, &s->tree, cursor);
}

static enum status told(enum status cause) {
    return cause == STATUS_IO ? STATUS_IO : STATUS_CORRUPT;
}

enum status damage_check_snapshot(struct lfsx_pool *pool, uint64_t id, uint64_t epoch) {
    struct look look = {.pool = pool, .id = id, .epoch = epoch};
    enum status status = pool_look(pool, look_snapshot, &look);
    if (!damage_is(status))
        return status;
    log_error(
        "lfsx",
        "%s: dataset %llu, snapshot of epoch %llu: the way to its content cannot be read (%s); "
        "run fsck.lfsx",
        pool->device->name, (unsigned long long)id, (unsigned long long)epoch, status_text(status));
    return told(status);
}

void damage_set(struct dataset *d, enum status cause, bool for_good) {
    d->damage = cause;
    d->damaged_for_good |= for_good;
    log_error("lfsx",
              "%s: %s %s (dataset %llu) is damaged and cannot be opened (%s); everything else is "
              "served; run fsck.lfsx",
              d->pool->device->name, d->kind == DISK_DATASET_SHARE ? "share" : "volume", d->name,
              (unsigned long long)d->id, status_text(cause));
}

/* A device that could not read then may be able to read now. */
static void try_again(struct dataset *d) {
    uint64_t size;
    enum status status = damage_look(d, &size);
    os_rwlock_lock_exclusive(&d->pool->lock);
    if (status == STATUS_OK && d->damage != STATUS_OK) {
        d->file.size = size;
        d->damage = STATUS_OK;
    }
    os_rwlock_unlock_exclusive(&d->pool->lock);
}

enum status damage_status(const struct dataset *d) {
    return d->damage == STATUS_OK ? STATUS_OK : told(d->damage);
}

enum status damage_check(struct dataset *d) {
    os_rwlock_lock_shared(&d->pool->lock);
    enum status damage = damage_status(d);
    bool for_good = d->damaged_for_good;
    os_rwlock_unlock_shared(&d->pool->lock);
    if (damage == STATUS_OK || for_good)
        return damage;
    try_again(d);
    os_rwlock_lock_shared(&d->pool->lock);
    damage = damage_status(d);
    os_rwlock_unlock_shared(&d->pool->lock);
    return damage;
}
