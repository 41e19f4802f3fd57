/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of datasets and snapshots in the catalog.
 *
 * Invariants:
 * 1. Every dataset and every snapshot in memory has one record, and the other way round.
 * 2. Every live dataset has one name entry, and the two agree; no other dataset has one.
 */
#include "storage/lfsx/pool/catalog.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/pool/pool.h"

struct key catalog_dataset_key(uint64_t id) {
    return (struct key){.inode = id, .type = DISK_TYPE_DATASET};
}

struct key catalog_snapshot_key(uint64_t dataset, uint64_t epoch) {
    return (struct key){.inode = dataset, .type = DISK_TYPE_SNAPSHOT, .offset = epoch};
}

struct key catalog_schedule_key(uint64_t dataset) {
    return (struct key){.inode = dataset, .type = DISK_TYPE_SCHEDULE};
}

static uint16_t dataset_item(const struct dataset *d, union catalog_item *record) {
    size_t name_length = d->state == DISK_DATASET_DELETING ? 0 : strlen(d->name);
    memset(record, 0, sizeof *record);
    struct disk_dataset *disk = &record->dataset;
    disk->id = le64_make(d->id);
    memcpy(disk->uuid, d->uuid, sizeof d->uuid);
    disk->kind = d->kind;
    disk->state = d->state;
    disk->name_length = (uint8_t)name_length;
    pointer_store(&disk->root, &d->tree.root);
    disk->node_blocks = le64_make(d->tree.nodes);
    disk->data_blocks = le64_make(d->data_blocks);
    disk->created_ns = le64_make(d->created_ns);
    disk->birth = le64_make(d->birth);
    if (d->dead.root.block != 0)
        pointer_store(&disk->dead, &d->dead.root);
    disk->dead_nodes = le64_make(d->dead.nodes);
    disk->origin = le64_make(d->origin_id);
    disk->origin_epoch = le64_make(d->tree.origin_epoch);
    disk->shared_blocks = le64_make(d->tree.shared);
    disk->flags = le64_make(d->flags);
    disk->keep_deleted_ns = le64_make(d->keep_deleted_ns);
    disk->deleted_ns = le64_make(d->deleted_ns);
    disk->next_inode = le64_make(__atomic_load_n(&d->next_inode, __ATOMIC_RELAXED));
    disk->quota_blocks = le64_make(d->space.quota);
    disk->reserved_blocks = le64_make(d->space.reserved);
    memcpy(disk->name, d->name, name_length);
    return (uint16_t)(sizeof *disk + name_length);
}

uint16_t catalog_snapshot_item(const struct snapshot *s, union catalog_item *record) {
    size_t name_length = s->deleting ? 0 : strlen(s->name);
    memset(record, 0, sizeof *record);
    struct disk_snapshot *disk = &record->snapshot;
    memcpy(disk->uuid, s->uuid, sizeof s->uuid);
    pointer_store(&disk->root, &s->tree.root);
    disk->node_blocks = le64_make(s->tree.nodes);
    disk->data_blocks = le64_make(s->data_blocks);
    disk->shared_blocks = le64_make(s->tree.shared);
    disk->size = le64_make(s->file.size);
    disk->created_ns = le64_make(s->created_ns);
    disk->state = s->deleting ? DISK_SNAPSHOT_DELETING : DISK_SNAPSHOT_LIVE;
    disk->flags = s->automatic ? DISK_SNAPSHOT_AUTOMATIC : 0;
    disk->name_length = (uint8_t)name_length;
    memcpy(disk->name, s->name, name_length);
    return (uint16_t)(sizeof *disk + name_length);
}

static enum status prefetch(struct lfsx_pool *pool, const struct key *key,
                            struct btree_cursor *cursor, struct update_need *need) {
    uint64_t leaves;
    enum status status = btree_prefetch(&pool->catalog, key, key, cursor, &leaves);
    if (status == STATUS_OK)
        need->nodes += btree_nodes_needed(&pool->catalog, leaves, 1);
    return status;
}

enum status catalog_prefetch_dataset(struct lfsx_pool *pool, uint64_t id,
                                     struct btree_cursor *cursor, struct update_need *need) {
    struct key key = catalog_dataset_key(id);
    return prefetch(pool, &key, cursor, need);
}

enum status catalog_prefetch_snapshot(struct lfsx_pool *pool, uint64_t dataset, uint64_t epoch,
                                      struct btree_cursor *cursor, struct update_need *need) {
    struct key key = catalog_snapshot_key(dataset, epoch);
    return prefetch(pool, &key, cursor, need);
}

enum status catalog_prefetch_schedule(struct lfsx_pool *pool, uint64_t dataset,
                                      struct btree_cursor *cursor, struct update_need *need) {
    struct key key = catalog_schedule_key(dataset);
    return prefetch(pool, &key, cursor, need);
}

/* Puts the record in the place of its placeholder, of the same length. */
static void store(struct lfsx_pool *pool, const struct key *key, const union catalog_item *record,
                  uint16_t length) {
    struct btree_cursor cursor;
    enum status status = btree_find(&pool->catalog, key, &cursor);
    ASSERT(status == STATUS_OK);
    struct cached_node *leaf = cursor.path[cursor.depth - 1].node;
    ASSERT(leaf->state == CACHED_DIRTY);
    ASSERT(btree_item(&cursor).length == length);
    memcpy(node_value(leaf->page, cursor.path[cursor.depth - 1].index), record->bytes, length);
}

void catalog_insert_dataset(struct dataset *d) {
    union catalog_item record;
    uint16_t length = dataset_item(d, &record);
    struct key key = catalog_dataset_key(d->id);
    btree_insert(&d->pool->catalog, &key, record.bytes, length);
}

void catalog_replace_dataset(struct dataset *d) {
    union catalog_item record;
    uint16_t length = dataset_item(d, &record);
    struct key key = catalog_dataset_key(d->id);
    btree_replace(&d->pool->catalog, &key, record.bytes, length);
}

void catalog_remove_dataset(struct dataset *d) {
    struct key key = catalog_dataset_key(d->id);
    btree_remove(&d->pool->catalog, &key);
}

void catalog_store_dataset(struct dataset *d) {
    union catalog_item record;
    uint16_t length = dataset_item(d, &record);
    struct key key = catalog_dataset_key(d->id);
    store(d->pool, &key, &record, length);
}

void catalog_insert_snapshot(struct snapshot *s) {
    union catalog_item record;
    uint16_t length = catalog_snapshot_item(s, &record);
    struct key key = catalog_snapshot_key(s->dataset->id, s->epoch);
    btree_insert(&s->dataset->pool->catalog, &key, record.bytes, length);
}

void catalog_replace_snapshot(struct snapshot *s) {
    union catalog_item record;
    uint16_t length = catalog_snapshot_item(s, &record);
    struct key key = catalog_snapshot_key(s->dataset->id, s->epoch);
    btree_replace(&s->dataset->pool->catalog, &key, record.bytes, length);
}

void catalog_remove_snapshot(struct snapshot *s) {
    struct key key = catalog_snapshot_key(s->dataset->id, s->epoch);
    btree_remove(&s->dataset->pool->catalog, &key);
}

void catalog_store_snapshot(struct snapshot *s) {
    union catalog_item record;
    uint16_t length = catalog_snapshot_item(s, &record);
    struct key key = catalog_snapshot_key(s->dataset->id, s->epoch);
    store(s->dataset->pool, &key, &record, length);
}

void catalog_remove_schedule(struct dataset *d) {
    struct btree *catalog = &d->pool->catalog;
    struct btree_cursor cursor;
    struct key key = catalog_schedule_key(d->id);
    if (btree_find(catalog, &key, &cursor) == STATUS_OK)
        btree_remove(catalog, &key);
}
