/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: which datasets there are, by identifier and by name.
 *
 * Invariants:
 * 1. Every dataset has one record (id, DATASET, 0); every live one has one name entry, and the two
 *    agree. A deleting one has no name.
 * 2. pool->datasets has one element for each record, from catalog_load() on.
 */
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/pool.h"

/* A dataset record with its name. */
union record {
    struct disk_dataset disk;
    unsigned char bytes[sizeof(struct disk_dataset) + LFSX_NAME_MAX];
};

#define RECORD_MAX_ITEMS                                                                           \
    4u /* items that creating or deleting a dataset adds to a tree, at most                        \
        */

struct key catalog_dataset_key(uint64_t id) {
    return (struct key){.inode = id, .type = DISK_TYPE_DATASET};
}

static uint64_t name_hash(const struct lfsx_pool *pool, const char *name, size_t length) {
    le64 seed;
    memcpy(&seed, pool->label.pool_uuid, sizeof seed);
    return checksum_xxh64(name, length, le64_get(seed)) & ~(uint64_t)(DISK_ENTRY_SLOTS - 1);
}

static struct key name_key(uint64_t hash) {
    return (struct key){.inode = DISK_CATALOG_NAMES, .type = DISK_TYPE_ENTRY, .offset = hash};
}

static uint16_t record_make(const struct dataset *d, union record *record) {
    size_t name_length = d->deleting ? 0 : strlen(d->name);
    memset(record, 0, sizeof *record);
    record->disk.id = le64_make(d->id);
    memcpy(record->disk.uuid, d->uuid, sizeof d->uuid);
    record->disk.kind = DISK_DATASET_VOLUME;
    record->disk.state = d->deleting ? DISK_DATASET_DELETING : DISK_DATASET_LIVE;
    record->disk.name_length = (uint8_t)name_length;
    pointer_store(&record->disk.root, &d->tree.root);
    record->disk.node_blocks = le64_make(d->tree.nodes);
    record->disk.data_blocks = le64_make(d->data_blocks);
    record->disk.created_ns = le64_make(d->created_ns);
    record->disk.birth = le64_make(d->birth);
    memcpy(record->disk.name, d->name, name_length);
    return (uint16_t)(sizeof record->disk + name_length);
}

void catalog_touch(struct dataset *d) {
    union record record;
    uint16_t length = record_make(d, &record);
    struct key key = catalog_dataset_key(d->id);
    btree_replace(&d->pool->catalog, &key, record.bytes, length);
}

void catalog_store(struct dataset *d) {
    struct btree_cursor cursor;
    struct key key = catalog_dataset_key(d->id);
    enum status status = btree_find(&d->pool->catalog, &key, &cursor);
    ASSERT(status == STATUS_OK);
    struct cached_node *leaf = cursor.path[cursor.depth - 1].node;
    ASSERT(leaf->state == CACHED_DIRTY);
    union record record;
    uint16_t length = record_make(d, &record);
    ASSERT(btree_item(&cursor).length == length);
    memcpy(node_value(leaf->page, cursor.path[cursor.depth - 1].index), record.bytes, length);
}

static struct dataset *dataset_new(struct lfsx_pool *pool) {
    struct dataset *d = os_alloc_zeroed(sizeof *d);
    if (d == NULL)
        return NULL;
    d->pool = pool;
    list_init(&d->link);
    file_init(&d->file, d, &d->tree, DISK_ROOT_INODE);
    return d;
}

void catalog_free(struct dataset *d) {
    file_destroy(&d->file);
    os_free(d);
}

static void dataset_from_record(struct dataset *d, const struct disk_dataset *disk) {
    d->id = le64_get(disk->id);
    memcpy(d->uuid, disk->uuid, sizeof d->uuid);
    memcpy(d->name, disk->name, disk->name_length);
    d->created_ns = le64_get(disk->created_ns);
    d->birth = le64_get(disk->birth);
    d->data_blocks = le64_get(disk->data_blocks);
    d->deleting = disk->state == DISK_DATASET_DELETING;
    d->tree = (struct btree){.pool = d->pool,
                             .owner = d->id,
                             .root = pointer_load(&disk->root),
                             .nodes = le64_get(disk->node_blocks)};
}

/* Fills the volume from the first record at or after its id. NOT_FOUND, AGAIN. */
static enum status look_record(void *context, struct btree_cursor *cursor) {
    struct dataset *d = context;
    struct key key = catalog_dataset_key(d->id);
    enum status status = btree_seek(&d->pool->catalog, &key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    ASSERT(item.key.type == DISK_TYPE_DATASET); /* values.c lets nothing else stand here */
    dataset_from_record(d, item.value);
    return STATUS_OK;
}

static enum status look_size(void *context, struct btree_cursor *cursor) {
    struct dataset *d = context;
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    enum status status = btree_find(&d->tree, &key, cursor);
    if (status == STATUS_NOT_FOUND) /* a deletion may have come that far */
        return d->deleting ? STATUS_OK : STATUS_CORRUPT;
    if (status != STATUS_OK)
        return status;
    const struct disk_inode *inode = btree_item(cursor).value;
    d->file.size = le64_get(inode->size);
    return STATUS_OK;
}

enum status catalog_load(struct lfsx_pool *pool) {
    uint64_t id = DISK_FIRST_DATASET;
    for (;;) {
        struct dataset *d = dataset_new(pool);
        if (d == NULL)
            return STATUS_NO_MEMORY;
        d->id = id;
        enum status status = pool_look(pool, look_record, d);
        if (status == STATUS_NOT_FOUND) {
            catalog_free(d);
            return STATUS_OK;
        }
        if (status == STATUS_OK)
            status = pool_look(pool, look_size, d);
        if (status != STATUS_OK) {
            catalog_free(d);
            return status;
        }
        list_push_back(&pool->datasets, &d->link);
        id = d->id + 1;
    }
}

struct dataset *catalog_find(struct lfsx_pool *pool, const char *name) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (!d->deleting && strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

struct dataset *catalog_find_id(struct lfsx_pool *pool, uint64_t id) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->id == id)
            return d;
    }
    return NULL;
}

/* Prefetches the slots of a name's hash and finds the name's own, or else the first free one. The
 * slot is in *key. NOT_FOUND: it is free; NO_SPACE: it is not there and no slot is free; AGAIN. */
static enum status find_slot(struct lfsx_pool *pool, const char *name, struct key *key,
                             uint64_t *leaves, struct btree_cursor *cursor) {
    size_t length = strlen(name);
    uint64_t hash = name_hash(pool, name, length);
    struct key first = name_key(hash);
    struct key last = name_key(hash + DISK_ENTRY_SLOTS - 1);
    enum status status = btree_prefetch(&pool->catalog, &first, &last, cursor, leaves);
    if (status != STATUS_OK)
        return status;
    bool free_found = false;
    for (unsigned slot = 0; slot < DISK_ENTRY_SLOTS; slot++) {
        struct key candidate = name_key(hash + slot);
        status = btree_find(&pool->catalog, &candidate, cursor);
        if (status == STATUS_NOT_FOUND) {
            if (!free_found)
                *key = candidate;
            free_found = true;
            continue;
        }
        ASSERT(status == STATUS_OK); /* prefetched */
        const struct disk_entry *entry = btree_item(cursor).value;
        if (entry->name_length == length && memcmp(entry->name, name, length) == 0) {
            *key = candidate;
            return STATUS_OK;
        }
    }
    return free_found ? STATUS_NOT_FOUND : STATUS_NO_SPACE;
}

static void insert_entry(struct dataset *d, const struct key *slot) {
    union {
        struct disk_entry disk;
        unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
    } entry;
    size_t length = strlen(d->name);
    entry.disk = (struct disk_entry){
        .target = le64_make(d->id), .kind = DISK_ENTRY_DATASET, .name_length = (uint8_t)length};
    memcpy(entry.disk.name, d->name, length);
    btree_insert(&d->pool->catalog, slot, entry.bytes, (uint16_t)(sizeof entry.disk + length));
}

static void insert_inode(struct dataset *d) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    struct disk_inode inode = {.mode = le32_make(DISK_MODE_REGULAR | 0600u),
                               .links = le32_make(1),
                               .size = le64_make(d->file.size),
                               .modified_ns = le64_make(d->created_ns),
                               .changed_ns = le64_make(d->created_ns),
                               .accessed_ns = le64_make(d->created_ns),
                               .created_ns = le64_make(d->created_ns)};
    btree_insert(&d->tree, &key, &inode, sizeof inode);
}

/* Prefetches for a change of the dataset's record and name; *slot as find_slot. */
static enum status prefetch_dataset(struct lfsx_pool *pool, uint64_t id, const char *name,
                                    struct key *slot, struct update_need *need,
                                    struct btree_cursor *cursor) {
    uint64_t name_leaves;
    uint64_t record_leaves;
    struct key key = catalog_dataset_key(id);
    enum status status = btree_prefetch(&pool->catalog, &key, &key, cursor, &record_leaves);
    if (status != STATUS_OK)
        return status;
    status = find_slot(pool, name, slot, &name_leaves, cursor);
    need->nodes = btree_nodes_needed(&pool->catalog, name_leaves + record_leaves, RECORD_MAX_ITEMS);
    return status;
}

static enum status create_step(void *context, struct btree_cursor *cursor) {
    struct dataset *d = context;
    struct lfsx_pool *pool = d->pool;
    struct update_need need = {0};
    struct key slot;
    d->id = pool->next_dataset;
    d->birth = pool->epoch;
    enum status status = prefetch_dataset(pool, d->id, d->name, &slot, &need, cursor);
    if (status == STATUS_OK)
        return STATUS_EXISTS;
    if (status != STATUS_NOT_FOUND)
        return status;
    need.nodes++; /* the new tree's root */
    status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    pool->next_dataset++;
    btree_create(&d->tree, pool, d->id);
    insert_inode(d);
    union record record;
    uint16_t length = record_make(d, &record);
    struct key key = catalog_dataset_key(d->id);
    btree_insert(&pool->catalog, &key, record.bytes, length);
    insert_entry(d, &slot);
    d->created_in = pool->generation;
    list_push_back(&pool->datasets, &d->link);
    pool_update_end(pool);
    return STATUS_OK;
}

enum status lfsx_volume_create(struct lfsx_pool *pool, const char *name, uint64_t size) {
    if (!lfsx_name_is_valid(name, strlen(name)) || size == 0 || size % 512 != 0 ||
        size > LFSX_VOLUME_SIZE_MAX)
        return STATUS_INVALID;
    struct dataset *d = dataset_new(pool);
    if (d == NULL)
        return STATUS_NO_MEMORY;
    memcpy(d->name, name, strlen(name) + 1);
    d->file.size = size;
    d->created_ns = os_wall_clock_ns();
    os_random(d->uuid, sizeof d->uuid);
    enum status status = pool_change(pool, create_step, d);
    if (status != STATUS_OK) {
        catalog_free(d);
        return status;
    }
    return pool_commit(pool);
}

struct deletion {
    struct lfsx_pool *pool;
    const char *name;
    struct dataset *dataset; /* that had the name */
};

/* Takes the name away and marks the record; what it holds is freed afterwards. */
static enum status unname_step(void *context, struct btree_cursor *cursor) {
    struct deletion *deletion = context;
    struct lfsx_pool *pool = deletion->pool;
    struct dataset *d = catalog_find(pool, deletion->name);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    if (d->open_count > 0)
        return STATUS_BUSY;
    struct update_need need = {.frees = true};
    struct key slot;
    enum status status = prefetch_dataset(pool, d->id, d->name, &slot, &need, cursor);
    if (status == STATUS_NOT_FOUND || status == STATUS_NO_SPACE)
        return STATUS_CORRUPT; /* a dataset without its name entry */
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    btree_remove(&pool->catalog, &slot);
    d->deleting = true;
    d->reaped = true;
    union record record;
    uint16_t length = record_make(d, &record);
    struct key key = catalog_dataset_key(d->id);
    btree_replace(&pool->catalog, &key, record.bytes, length);
    pool_update_end(pool);
    deletion->dataset = d;
    return STATUS_OK;
}

/* Frees the emptied tree and the record. */
static enum status forget_step(void *context, struct btree_cursor *cursor) {
    struct dataset *d = context;
    struct lfsx_pool *pool = d->pool;
    struct key record = catalog_dataset_key(d->id);
    struct key inode = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    uint64_t leaves;
    uint64_t catalog_leaves;
    enum status status = btree_prefetch(&d->tree, &inode, &inode, cursor, &leaves);
    if (status == STATUS_OK)
        status = btree_prefetch(&pool->catalog, &record, &record, cursor, &catalog_leaves);
    if (status != STATUS_OK)
        return status;
    struct update_need need = {.frees = true};
    need.nodes = btree_nodes_needed(&d->tree, leaves, 0) +
                 btree_nodes_needed(&pool->catalog, catalog_leaves, 0);
    status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    if (btree_find(&d->tree, &inode, cursor) == STATUS_OK) /* a repair may have given it up */
        btree_remove(&d->tree, &inode);
    btree_destroy(&d->tree);
    btree_remove(&pool->catalog, &record);
    list_remove(&d->link);
    pool_update_end(pool);
    return STATUS_OK;
}

/* Frees all that a deleting dataset holds, step by step, and the dataset. */
static enum status reap(struct dataset *d) {
    enum status status = file_punch(&d->file, 0, UINT64_MAX / LFSX_BLOCK_SIZE);
    if (status == STATUS_OK)
        status = pool_change(d->pool, forget_step, d);
    if (status == STATUS_OK)
        catalog_free(d);
    return status;
}

enum status lfsx_volume_delete(struct lfsx_pool *pool, const char *name) {
    struct deletion deletion = {.pool = pool, .name = name};
    enum status status = pool_change(pool, unname_step, &deletion);
    if (status == STATUS_OK)
        status = pool_commit(pool);
    if (status != STATUS_OK)
        return status;
    status = reap(deletion.dataset);
    if (status != STATUS_OK)
        log_warning("lfsx",
                    "%s: volume %s is deleted, but not all of its space is free yet (%s); the "
                    "rest follows when the pool is opened again",
                    pool->device->name, name, status_text(status));
    return pool_commit(pool);
}

/* A deleting dataset that nobody frees yet; from now on the caller does. NULL: none. */
static struct dataset *claim_deleting(struct lfsx_pool *pool) {
    struct dataset *claimed = NULL;
    os_rwlock_lock_exclusive(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->deleting && !d->reaped)
            claimed = d;
    }
    if (claimed != NULL)
        claimed->reaped = true;
    os_rwlock_unlock_exclusive(&pool->lock);
    return claimed;
}

void catalog_reap(struct lfsx_pool *pool) {
    struct dataset *d = claim_deleting(pool);
    while (d != NULL && reap(d) == STATUS_OK)
        d = claim_deleting(pool);
}
