/* SPDX-License-Identifier: Apache-2.0 */
/* From records in the catalog to datasets and snapshots in memory. */
#include "storage/lfsx/catalog/catalog_load.h"
#include "base/log.h"
#include "base/mem.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/dataset_life.h"
#include "storage/lfsx/file/space.h"
#include "storage/lfsx/pool/catalog.h"
#include "storage/lfsx/pool/pool.h"

void catalog_take_settings(struct dataset *d, const struct disk_dataset *disk) {
    memset(d->name, 0, sizeof d->name);
    memcpy(d->name, disk->name, disk->name_length);
    d->state = disk->state;
    d->flags = le64_get(disk->flags);
    d->keep_deleted_ns = le64_get(disk->keep_deleted_ns);
    d->deleted_ns = le64_get(disk->deleted_ns);
    d->space.quota = le64_get(disk->quota_blocks);
    d->space.reserved = le64_get(disk->reserved_blocks);
}

void catalog_take_record(struct dataset *d, const struct disk_dataset *disk) {
    catalog_take_settings(d, disk);
    d->id = le64_get(disk->id);
    memcpy(d->uuid, disk->uuid, sizeof d->uuid);
    d->kind = disk->kind;
    d->created_ns = le64_get(disk->created_ns);
    d->origin_id = le64_get(disk->origin);
    d->tree.origin_epoch = le64_get(disk->origin_epoch);
}

static void dataset_from_item(struct dataset *d, const struct disk_dataset *disk) {
    catalog_take_record(d, disk);
    d->birth = le64_get(disk->birth);
    d->data_blocks = le64_get(disk->data_blocks);
    d->next_inode = le64_get(disk->next_inode);
    d->tree.owner = d->id;
    d->tree.root = pointer_load(&disk->root);
    d->tree.nodes = le64_get(disk->node_blocks);
    d->tree.shared = le64_get(disk->shared_blocks);
    d->dead.owner = d->id | DISK_OWNER_DEAD;
    d->dead.root = pointer_load(&disk->dead);
    d->dead.nodes = le64_get(disk->dead_nodes);
}

void catalog_take_schedule(struct dataset *d, const void *value, size_t length) {
    const struct disk_schedule_rule *rules = value;
    d->schedule.count = (uint32_t)(length / sizeof *rules);
    for (uint32_t i = 0; i < d->schedule.count; i++)
        d->schedule.rules[i] =
            (struct lfsx_schedule_rule){le64_get(rules[i].interval_ns), le64_get(rules[i].keep)};
}

static void snapshot_from_record(struct snapshot *s, const struct disk_snapshot *disk) {
    memcpy(s->uuid, disk->uuid, sizeof s->uuid);
    memcpy(s->name, disk->name, disk->name_length);
    s->created_ns = le64_get(disk->created_ns);
    s->data_blocks = le64_get(disk->data_blocks);
    s->deleting =
        disk->state == DISK_SNAPSHOT_DELETING || s->dataset->state == DISK_DATASET_DELETING;
    s->automatic = disk->flags & DISK_SNAPSHOT_AUTOMATIC;
    s->file.size = le64_get(disk->size);
    s->tree = s->dataset->tree;
    s->tree.dataset = NULL;
    s->tree.kept = 0;
    s->tree.root = pointer_load(&disk->root);
    s->tree.nodes = le64_get(disk->node_blocks);
    s->tree.shared = le64_get(disk->shared_blocks);
}

/* Fills the dataset from the first record at or after its id. NOT_FOUND, AGAIN. */
static enum status look_dataset(void *context, struct btree_cursor *cursor) {
    struct dataset *d = context;
    struct key key = catalog_dataset_key(d->id);
    enum status status = btree_seek(&d->pool->catalog, &key, cursor);
    while (status == STATUS_OK && btree_item(cursor).key.type != DISK_TYPE_DATASET) {
        key = catalog_dataset_key(btree_item(cursor).key.inode + 1);
        status = btree_seek(&d->pool->catalog, &key, cursor);
    }
    if (status != STATUS_OK)
        return status;
    dataset_from_item(d, btree_item(cursor).value);
    return STATUS_OK;
}

/* Fills the snapshot from the dataset's first record at or after its epoch. NOT_FOUND, AGAIN. */
static enum status look_snapshot(void *context, struct btree_cursor *cursor) {
    struct snapshot *s = context;
    struct key key = catalog_snapshot_key(s->dataset->id, s->epoch);
    enum status status = btree_seek(&s->dataset->pool->catalog, &key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    if (item.key.inode != key.inode || item.key.type != key.type)
        return STATUS_NOT_FOUND;
    s->epoch = item.key.offset;
    snapshot_from_record(s, item.value);
    return STATUS_OK;
}

static enum status look_schedule(void *context, struct btree_cursor *cursor) {
    struct dataset *d = context;
    struct key key = catalog_schedule_key(d->id);
    enum status status = btree_find(&d->pool->catalog, &key, cursor);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    struct item item = btree_item(cursor);
    catalog_take_schedule(d, item.value, item.length);
    return STATUS_OK;
}

/* Datasets are loaded by rising identifier, so the origin is there. */
static enum status find_origin(struct dataset *d) {
    if (d->origin_id == 0 || d->state == DISK_DATASET_DELETING)
        return STATUS_OK;
    struct dataset *origin = dataset_find_id(d->pool, d->origin_id);
    d->origin = origin == NULL ? NULL : snapshot_find_epoch(origin, d->tree.origin_epoch);
    if (d->origin == NULL || d->origin->deleting) {
        log_error("lfsx",
                  "%s: dataset %llu is a clone of a snapshot that is not there; run fsck.lfsx",
                  d->pool->device->name, (unsigned long long)d->id);
        return STATUS_CORRUPT;
    }
    d->origin->clone_count++;
    d->tree.origin = &origin->tree;
    return STATUS_OK;
}

static enum status load_snapshots(struct dataset *d) {
    uint64_t epoch = 0;
    for (;;) {
        struct snapshot *s = snapshot_new(d);
        if (s == NULL)
            return STATUS_NO_MEMORY;
        s->epoch = epoch;
        enum status status = pool_look(d->pool, look_snapshot, s);
        if (status == STATUS_OK && s->epoch >= d->pool->forest.epoch)
            status = STATUS_CORRUPT;
        if (status != STATUS_OK) {
            snapshot_free(s);
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        }
        dataset_add_snapshot(d, s);
        epoch = s->epoch + 1;
    }
}

/* A volume's size. What cannot be read costs the dataset, not the pool. */
static enum status load_size(struct dataset *d) {
    if (d->state == DISK_DATASET_DELETING)
        return STATUS_OK;
    enum status status = damage_look(d, &d->file.size);
    if (!damage_is(status))
        return status;
    d->file.size = 0;
    damage_set(d, status, false);
    return STATUS_OK;
}

/* The next dataset from `id` on. NOT_FOUND: there is none. */
static enum status load_dataset(struct lfsx_pool *pool, uint64_t id, struct dataset **out) {
    struct dataset *d = dataset_new(pool);
    if (d == NULL)
        return STATUS_NO_MEMORY;
    d->id = id;
    enum status status = pool_look(pool, look_dataset, d);
    if (status == STATUS_OK && (d->id >= pool->next_dataset || d->birth > pool->forest.epoch))
        status = STATUS_CORRUPT; /* the next one to be created would meet it */
    if (status == STATUS_OK)
        status = find_origin(d);
    if (status == STATUS_OK)
        status = load_size(d);
    if (status == STATUS_OK)
        status = load_snapshots(d);
    if (status == STATUS_OK)
        status = pool_look(pool, look_schedule, d);
    if (status != STATUS_OK) {
        dataset_free(d);
        return status;
    }
    list_push_back(&pool->datasets, &d->link);
    space_update(d);
    *out = d;
    return STATUS_OK;
}

enum status catalog_load(struct lfsx_pool *pool) {
    uint64_t id = DISK_FIRST_DATASET;
    for (;;) {
        struct dataset *d = NULL;
        enum status status = load_dataset(pool, id, &d);
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        id = d->id + 1;
    }
}
