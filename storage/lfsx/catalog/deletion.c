/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes and shares are deleted, brought back, and protected from it. One that can be brought back
 * keeps its record; of one that cannot, the transaction deletes the record with those of all its
 * snapshots, and what it held is freed by the reaper.
 */
#include "storage/lfsx/catalog/deletion.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_change.h"
#include "storage/lfsx/lfsx_share.h"

struct deletion {
    const char *name;
    uint8_t kind;
    uint32_t flags;
};

static enum status give_up(struct lfsx_transaction *t, uint64_t id, bool with_snapshots) {
    struct key schedule = catalog_schedule_key(id);
    struct key record = catalog_dataset_key(id);
    enum status status = catalog_snapshots_delete(t, id, !with_snapshots);
    if (status == STATUS_OK)
        status = transaction_note(t, &(struct note){.kind = NOTE_GIVEN_UP, .id = id});
    if (status == STATUS_OK)
        status = catalog_delete_if_there(t, &schedule);
    return status == STATUS_OK ? catalog_delete_if_there(t, &record) : status;
}

static enum status keep(struct lfsx_transaction *t, union catalog_item *record) {
    uint64_t id = le64_get(record->dataset.id);
    enum status status = transaction_note(t, &(struct note){.kind = NOTE_CLOSED, .id = id});
    record->dataset.state = DISK_DATASET_DELETED;
    record->dataset.deleted_ns = le64_make(os_wall_clock_ns());
    return status == STATUS_OK ? catalog_dataset_put(t, record) : status;
}

static enum status take_away(struct lfsx_transaction *t, void *context) {
    const struct deletion *wish = context;
    struct catalog_named named;
    struct disk_dataset *disk = &named.record.dataset;
    enum status status = catalog_name_present(t, wish->name, &named);
    if (status != STATUS_OK)
        return status;
    if (disk->kind != wish->kind)
        return STATUS_NOT_FOUND;
    if (le64_get(disk->flags) & DISK_DATASET_PROTECTED)
        return STATUS_PERMISSION;
    status = entry_remove(t->records, &named.entry);
    if (status != STATUS_OK)
        return status;
    if (le64_get(disk->keep_deleted_ns) > 0 && !(wish->flags & LFSX_DELETE_NOW))
        return keep(t, &named.record);
    return give_up(t, named.entry.target, (wish->flags & LFSX_DELETE_SNAPSHOTS) != 0);
}

static enum status do_delete(struct lfsx_transaction *t, void *context) {
    return transaction_do(t, take_away, context);
}

enum status lfsx_transaction_volume_delete(struct lfsx_transaction *t, const char *name,
                                           uint32_t flags) {
    struct deletion wish = {name, DISK_DATASET_VOLUME, flags};
    return do_delete(t, &wish);
}

enum status lfsx_volume_delete(struct lfsx_pool *pool, const char *name, uint32_t flags) {
    struct deletion wish = {name, DISK_DATASET_VOLUME, flags};
    return transaction_run(pool, false, do_delete, &wish);
}

enum status lfsx_transaction_share_delete(struct lfsx_transaction *t, const char *name,
                                          uint32_t flags) {
    struct deletion wish = {name, DISK_DATASET_SHARE, flags};
    return do_delete(t, &wish);
}

enum status lfsx_share_delete(struct lfsx_pool *pool, const char *name, uint32_t flags) {
    struct deletion wish = {name, DISK_DATASET_SHARE, flags};
    return transaction_run(pool, false, do_delete, &wish);
}

/* ---- bringing back ---- */

struct undeletion {
    uint64_t id;
    const char *name;
};

static enum status undelete(struct lfsx_transaction *t, void *context) {
    const struct undeletion *wish = context;
    union catalog_item record;
    struct catalog_named place;
    enum status status = catalog_dataset_change(t, wish->id, &record);
    if (status != STATUS_OK)
        return status;
    if (record.dataset.state != DISK_DATASET_DELETED)
        return STATUS_NOT_FOUND;
    char name[LFSX_NAME_MAX + 1] = {0};
    memcpy(name, record.dataset.name, record.dataset.name_length);
    if (wish->name != NULL)
        memcpy(name, wish->name, strlen(wish->name) + 1);
    status = catalog_name_absent(t, name, &place);
    if (status == STATUS_OK)
        status = catalog_name_put(t, &place, name, wish->id);
    record.dataset.state = DISK_DATASET_LIVE;
    record.dataset.deleted_ns = le64_make(0);
    catalog_dataset_rename(&record, name);
    return status == STATUS_OK ? catalog_dataset_put(t, &record) : status;
}

static enum status do_undelete(struct lfsx_transaction *t, void *context) {
    const struct undeletion *wish = context;
    if (wish->id < DISK_FIRST_DATASET)
        return STATUS_NOT_FOUND;
    if (wish->name != NULL && !lfsx_name_is_valid(wish->name, strlen(wish->name)))
        return STATUS_INVALID;
    return transaction_do(t, undelete, context);
}

enum status lfsx_transaction_undelete(struct lfsx_transaction *t, uint64_t id, const char *name) {
    struct undeletion wish = {id, name};
    return do_undelete(t, &wish);
}

enum status lfsx_volume_undelete(struct lfsx_pool *pool, uint64_t id, const char *name) {
    struct undeletion wish = {id, name};
    return transaction_run(pool, false, do_undelete, &wish);
}

/* ---- giving up at once ---- */

static enum status purge(struct lfsx_transaction *t, void *context) {
    const uint64_t *id = context;
    union catalog_item record;
    enum status status = catalog_dataset_change(t, *id, &record);
    if (status == STATUS_OK && record.dataset.state != DISK_DATASET_DELETED)
        status = STATUS_NOT_FOUND;
    return status == STATUS_OK ? give_up(t, *id, true) : status;
}

static enum status do_purge(struct lfsx_transaction *t, void *context) {
    const uint64_t *id = context;
    return *id < DISK_FIRST_DATASET ? STATUS_NOT_FOUND : transaction_do(t, purge, context);
}

enum status lfsx_transaction_purge(struct lfsx_transaction *t, uint64_t id) {
    return do_purge(t, &id);
}

enum status lfsx_deleted_purge(struct lfsx_pool *pool, uint64_t id) {
    return transaction_run(pool, false, do_purge, &id);
}

/* ---- protecting ---- */

struct protection {
    const char *name;
    bool is_protected;
    uint64_t keep_deleted_ns;
};

static enum status protect(struct lfsx_transaction *t, void *context) {
    const struct protection *wish = context;
    struct catalog_named named;
    struct disk_dataset *disk = &named.record.dataset;
    enum status status = catalog_name_present(t, wish->name, &named);
    if (status != STATUS_OK)
        return status;
    uint64_t flags = le64_get(disk->flags) & ~(uint64_t)DISK_DATASET_PROTECTED;
    disk->flags = le64_make(flags | (wish->is_protected ? DISK_DATASET_PROTECTED : 0));
    disk->keep_deleted_ns = le64_make(wish->keep_deleted_ns);
    return catalog_dataset_put(t, &named.record);
}

enum status lfsx_transaction_protect(struct lfsx_transaction *t, const char *name,
                                     bool is_protected, uint64_t keep_deleted_ns) {
    struct protection wish = {name, is_protected, keep_deleted_ns};
    return transaction_do(t, protect, &wish);
}

static enum status do_protect(struct lfsx_transaction *t, void *context) {
    return transaction_do(t, protect, context);
}

enum status lfsx_volume_protect(struct lfsx_pool *pool, const char *name, bool is_protected,
                                uint64_t keep_deleted_ns) {
    struct protection wish = {name, is_protected, keep_deleted_ns};
    return transaction_run(pool, false, do_protect, &wish);
}

/* ---- giving up what nobody brought back ---- */

struct expiry {
    uint64_t id;
    uint64_t now_ns;
};

static bool has_expired(const struct expiry *expiry, uint64_t deleted_ns, uint64_t keep_ns) {
    return expiry->now_ns >= deleted_ns && expiry->now_ns - deleted_ns >= keep_ns;
}

static enum status expire(struct lfsx_transaction *t, void *context) {
    const struct expiry *expiry = context;
    union catalog_item record;
    const struct disk_dataset *disk = &record.dataset;
    enum status status = catalog_dataset_change(t, expiry->id, &record);
    if (status != STATUS_OK)
        return status;
    if (disk->state != DISK_DATASET_DELETED ||
        !has_expired(expiry, le64_get(disk->deleted_ns), le64_get(disk->keep_deleted_ns)))
        return STATUS_NOT_FOUND;
    return give_up(t, expiry->id, true);
}

/* The dataset that is over with the lowest identifier from expiry->id on; 0: there is none. */
static uint64_t next_expired(struct lfsx_pool *pool, const struct expiry *expiry) {
    uint64_t next = 0;
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        const struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->state == DISK_DATASET_DELETED && d->id >= expiry->id &&
            has_expired(expiry, d->deleted_ns, d->keep_deleted_ns) && (next == 0 || d->id < next))
            next = d->id;
    }
    os_rwlock_unlock_shared(&pool->lock);
    return next;
}

/* What cannot be given up now waits for the next time. */
void deletion_expire(struct lfsx_pool *pool) {
    struct expiry expiry = {.now_ns = os_wall_clock_ns()};
    while ((expiry.id = next_expired(pool, &expiry)) != 0) {
        (void)transaction_run(pool, true, expire, &expiry);
        expiry.id++;
    }
}
