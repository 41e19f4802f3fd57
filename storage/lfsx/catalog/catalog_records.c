/* SPDX-License-Identifier: Apache-2.0 */
/* Reading records of the catalog. */
#include "storage/lfsx/catalog/catalog_records.h"
#include "base/mem.h"
#include "storage/lfsx/pool/pool.h"

struct look {
    struct lfsx_pool *pool;
    struct key key, last;
    void *value;
    size_t *length;
};

static void strip_dataset(struct disk_dataset *item) {
    memset(&item->root, 0, sizeof item->root);
    memset(&item->dead, 0, sizeof item->dead);
    item->node_blocks = item->data_blocks = item->shared_blocks = item->dead_nodes = le64_make(0);
    item->birth = item->next_inode = le64_make(0);
}

static void strip_snapshot(struct disk_snapshot *item) {
    memset(&item->root, 0, sizeof item->root);
    item->node_blocks = item->data_blocks = item->shared_blocks = item->size = le64_make(0);
}

size_t catalog_new_snapshot(const struct snapshot *s, union catalog_item *record) {
    size_t length = catalog_snapshot_item(s, record);
    strip_snapshot(&record->snapshot);
    return length;
}

static bool is_record(struct lfsx_pool *pool, const struct item *item) {
    if (item->key.type == DISK_TYPE_ENTRY)
        return true;
    const struct dataset *d = dataset_find_id(pool, item->key.inode);
    if (d == NULL || d->state == DISK_DATASET_DELETING)
        return false;
    const struct disk_snapshot *snapshot = item->value;
    return item->key.type != DISK_TYPE_SNAPSHOT || snapshot->state == DISK_SNAPSHOT_LIVE;
}

static void copy_record(const struct item *item, const struct look *look) {
    memcpy(look->value, item->value, item->length);
    if (item->key.type == DISK_TYPE_DATASET)
        strip_dataset(look->value);
    if (item->key.type == DISK_TYPE_SNAPSHOT)
        strip_snapshot(look->value);
    *look->length = item->length;
}

/* The first record from look->key on; leaves its key there. */
static enum status look_next(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    enum status status = btree_seek(&look->pool->catalog, &look->key, cursor);
    while (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        if (key_compare(&item.key, &look->last) > 0)
            return STATUS_NOT_FOUND;
        if (is_record(look->pool, &item)) {
            copy_record(&item, look);
            look->key = item.key;
            return STATUS_OK;
        }
        status = btree_next(cursor);
    }
    return status;
}

static enum status store_next(void *context, const struct mvcc_key *from,
                              const struct mvcc_key *last, struct mvcc_key *found, void *value,
                              size_t *length) {
    struct look look = {
        .pool = context, .last = records_tree_key(last), .value = value, .length = length};
    if (!records_key_at_least(from, &look.key))
        return STATUS_NOT_FOUND;
    enum status status = pool_look(look.pool, look_next, &look);
    if (status == STATUS_OK)
        *found = records_key(&look.key);
    return status;
}

static enum status store_read(void *context, const struct mvcc_key *key, void *value,
                              size_t *length) {
    struct mvcc_key found;
    return store_next(context, key, key, &found, value, length);
}

struct mvcc_store catalog_store(struct lfsx_pool *pool) {
    return (struct mvcc_store){.read = store_read,
                               .next = store_next,
                               .apply = catalog_apply,
                               .context = pool,
                               .value_max = DISK_VALUE_MAX};
}
