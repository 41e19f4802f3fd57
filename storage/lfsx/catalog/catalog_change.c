/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/catalog/catalog_change.h"
#include "base/assert.h"
#include "base/mem.h"

static struct lfsx_name name_of(const char *text) {
    return (struct lfsx_name){text, strlen(text)};
}

/* ---- datasets ---- */

typedef enum status record_reader(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                                  void *value, size_t size, size_t *length);

static enum status read_dataset(struct lfsx_transaction *t, uint64_t id, record_reader *read,
                                union catalog_item *record) {
    struct key tree_key = catalog_dataset_key(id);
    struct mvcc_key key = records_key(&tree_key);
    size_t length;
    return read(t->records, &key, record, sizeof *record, &length);
}

enum status catalog_dataset_look(struct lfsx_transaction *t, uint64_t id,
                                 union catalog_item *record) {
    return read_dataset(t, id, mvcc_read, record);
}

enum status catalog_dataset_change(struct lfsx_transaction *t, uint64_t id,
                                   union catalog_item *record) {
    return read_dataset(t, id, mvcc_read_for_update, record);
}

enum status catalog_dataset_put(struct lfsx_transaction *t, const union catalog_item *record) {
    struct key tree_key = catalog_dataset_key(le64_get(record->dataset.id));
    struct mvcc_key key = records_key(&tree_key);
    return mvcc_write(t->records, &key, record,
                      sizeof record->dataset + record->dataset.name_length);
}

void catalog_dataset_rename(union catalog_item *record, const char *name) {
    size_t length = strlen(name);
    record->dataset.name_length = (uint8_t)length;
    memcpy(record->dataset.name, name, length);
}

/* ---- names ---- */

/* A name without its dataset is damage. */
static enum status read_named(struct lfsx_transaction *t, record_reader *read,
                              struct catalog_named *named) {
    if (!named->entry.exists)
        return STATUS_NOT_FOUND;
    enum status status = read_dataset(t, named->entry.target, read, &named->record);
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}

enum status catalog_name_present(struct lfsx_transaction *t, const char *name,
                                 struct catalog_named *named) {
    enum status status =
        entry_find(t->records, t->pool, DISK_CATALOG_NAMES, name_of(name), &named->entry);
    if (status == STATUS_NO_SPACE)
        return STATUS_NOT_FOUND;
    return status == STATUS_OK ? read_named(t, mvcc_read_for_update, named) : status;
}

enum status catalog_name_absent(struct lfsx_transaction *t, const char *name,
                                struct catalog_named *named) {
    enum status status =
        entry_find(t->records, t->pool, DISK_CATALOG_NAMES, name_of(name), &named->entry);
    return status == STATUS_OK && named->entry.exists ? STATUS_EXISTS : status;
}

enum status catalog_name_look(struct lfsx_transaction *t, const char *name,
                              struct catalog_named *named) {
    enum status status =
        entry_look(t->records, t->pool, DISK_CATALOG_NAMES, name_of(name), &named->entry);
    if (status == STATUS_OK)
        status = read_named(t, mvcc_read, named);
    /* At READ_COMMITTED it may have gone between the two reads. */
    return status == STATUS_CORRUPT ? STATUS_NOT_FOUND : status;
}

enum status catalog_name_put(struct lfsx_transaction *t, const struct catalog_named *place,
                             const char *name, uint64_t id) {
    return entry_put(t->records, &place->entry, name_of(name), id, DISK_ENTRY_DATASET);
}

/* ---- snapshots ---- */

static bool has_name(const union catalog_item *record, const char *name) {
    size_t length = strlen(name);
    return record->snapshot.name_length == length &&
           memcmp(record->snapshot.name, name, length) == 0;
}

static enum status read_snapshot(struct lfsx_transaction *t, uint64_t dataset, uint64_t epoch,
                                 union catalog_item *record) {
    struct key tree_key = catalog_snapshot_key(dataset, epoch);
    struct mvcc_key key = records_key(&tree_key);
    size_t length;
    return mvcc_read(t->records, &key, record, sizeof *record, &length);
}

/* Which epoch the snapshot probably has; 0: unknown. */
static uint64_t guess_epoch(struct lfsx_pool *pool, uint64_t dataset, const char *name) {
    os_rwlock_lock_shared(&pool->lock);
    struct dataset *d = dataset_find_id(pool, dataset);
    const struct snapshot *s = d == NULL ? NULL : snapshot_find(d, name);
    uint64_t epoch = s == NULL ? 0 : s->epoch;
    os_rwlock_unlock_shared(&pool->lock);
    return epoch;
}

struct snapshots {
    struct mvcc_key from, last;
};

static struct snapshots snapshots_of(uint64_t dataset) {
    struct key first = catalog_snapshot_key(dataset, 0);
    struct key last = catalog_snapshot_key(dataset, UINT64_MAX);
    return (struct snapshots){records_key(&first), records_key(&last)};
}

/* The next one, and its key. NOT_FOUND. */
static enum status next_snapshot(struct lfsx_transaction *t, struct snapshots *all,
                                 struct mvcc_key *key, union catalog_item *record) {
    size_t length;
    enum status status =
        mvcc_next(t->records, &all->from, &all->last, key, record, sizeof *record, &length);
    if (status != STATUS_OK)
        return status;
    all->from = *key;
    bool more = mvcc_key_advance(&all->from);
    ASSERT(more);
    return STATUS_OK;
}

/* Looks at one after the other: what is not in memory under this name may be in the transaction's
 * view, and what is not there at all is so until its end. */
static enum status search(struct lfsx_transaction *t, uint64_t dataset, const char *name,
                          uint64_t *epoch) {
    struct snapshots all = snapshots_of(dataset);
    struct mvcc_key key;
    union catalog_item record;
    enum status status;
    do
        status = next_snapshot(t, &all, &key, &record);
    while (status == STATUS_OK && !has_name(&record, name));
    if (status == STATUS_OK)
        *epoch = records_tree_key(&key).offset;
    return status;
}

enum status catalog_snapshot_find(struct lfsx_transaction *t, uint64_t dataset, const char *name,
                                  enum mvcc_lock_mode mode, uint64_t *epoch) {
    union catalog_item record;
    *epoch = guess_epoch(t->pool, dataset, name);
    enum status status = STATUS_NOT_FOUND;
    if (*epoch != 0)
        status = read_snapshot(t, dataset, *epoch, &record);
    if (status == STATUS_NOT_FOUND)
        status = search(t, dataset, name, epoch);
    if (status != STATUS_OK)
        return status;
    struct key tree_key = catalog_snapshot_key(dataset, *epoch);
    struct mvcc_key key = records_key(&tree_key);
    status = mvcc_lock(t->records, &key, &key, mode);
    return status == STATUS_OK ? read_snapshot(t, dataset, *epoch, &record) : status;
}

enum status catalog_snapshots_lock(struct lfsx_transaction *t, uint64_t dataset) {
    struct snapshots all = snapshots_of(dataset);
    return mvcc_lock(t->records, &all.from, &all.last, MVCC_LOCK_EXCLUSIVE);
}

/* With all of them locked, what is in memory is the newest state. One that is not can only be the
 * transaction's own, of which there is one at most. */
enum status catalog_snapshot_absent(struct lfsx_transaction *t, uint64_t dataset,
                                    const char *name) {
    enum status status = catalog_snapshots_lock(t, dataset);
    uint64_t epoch = status == STATUS_OK ? guess_epoch(t->pool, dataset, name) : 0;
    if (epoch == 0)
        return status;
    union catalog_item record;
    struct key tree_key = catalog_snapshot_key(dataset, epoch);
    struct mvcc_key key = records_key(&tree_key);
    size_t length;
    status = mvcc_read_for_update(t->records, &key, &record, sizeof record, &length);
    if (status == STATUS_OK)
        return STATUS_EXISTS;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status; /* the transaction deletes it */
}

enum status catalog_snapshots_delete(struct lfsx_transaction *t, uint64_t dataset,
                                     bool none_may_be) {
    struct snapshots all = snapshots_of(dataset);
    enum status status = catalog_snapshots_lock(t, dataset);
    while (status == STATUS_OK) {
        struct mvcc_key key;
        union catalog_item record;
        status = next_snapshot(t, &all, &key, &record);
        if (status == STATUS_OK)
            status = none_may_be ? STATUS_BUSY : mvcc_delete(t->records, &key);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status catalog_delete_if_there(struct lfsx_transaction *t, const struct key *tree_key) {
    struct mvcc_key key = records_key(tree_key);
    enum status status = mvcc_delete(t->records, &key);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
