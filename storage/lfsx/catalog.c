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

static uint16_t record_make(const struct lfsx_volume *v, union record *record) {
    size_t name_length = v->deleting ? 0 : strlen(v->name);
    memset(record, 0, sizeof *record);
    record->disk.id = le64_make(v->id);
    memcpy(record->disk.uuid, v->uuid, sizeof v->uuid);
    record->disk.kind = DISK_DATASET_VOLUME;
    record->disk.state = v->deleting ? DISK_DATASET_DELETING : DISK_DATASET_LIVE;
    record->disk.name_length = (uint8_t)name_length;
    pointer_store(&record->disk.root, &v->tree.root);
    record->disk.node_blocks = le64_make(v->tree.nodes);
    record->disk.data_blocks = le64_make(v->data_blocks);
    record->disk.created_ns = le64_make(v->created_ns);
    record->disk.birth = le64_make(v->birth);
    memcpy(record->disk.name, v->name, name_length);
    return (uint16_t)(sizeof record->disk + name_length);
}

void catalog_touch(struct lfsx_volume *v) {
    union record record;
    uint16_t length = record_make(v, &record);
    struct key key = catalog_dataset_key(v->id);
    btree_replace(&v->pool->catalog, &key, record.bytes, length);
}

void catalog_store(struct lfsx_volume *v) {
    struct btree_cursor cursor;
    struct key key = catalog_dataset_key(v->id);
    enum status status = btree_find(&v->pool->catalog, &key, &cursor);
    ASSERT(status == STATUS_OK);
    struct cached_node *leaf = cursor.path[cursor.depth - 1].node;
    ASSERT(leaf->state == CACHED_DIRTY);
    union record record;
    uint16_t length = record_make(v, &record);
    ASSERT(btree_item(&cursor).length == length);
    memcpy(node_value(leaf->page, cursor.path[cursor.depth - 1].index), record.bytes, length);
}

static struct lfsx_volume *volume_new(struct lfsx_pool *pool) {
    struct lfsx_volume *v = os_alloc_zeroed(sizeof *v);
    if (v == NULL)
        return NULL;
    v->pool = pool;
    list_init(&v->link);
    rangelock_init(&v->ranges);
    return v;
}

void catalog_free(struct lfsx_volume *v) {
    rangelock_destroy(&v->ranges);
    os_free(v);
}

static void volume_from_record(struct lfsx_volume *v, const struct disk_dataset *disk) {
    v->id = le64_get(disk->id);
    memcpy(v->uuid, disk->uuid, sizeof v->uuid);
    memcpy(v->name, disk->name, disk->name_length);
    v->created_ns = le64_get(disk->created_ns);
    v->birth = le64_get(disk->birth);
    v->data_blocks = le64_get(disk->data_blocks);
    v->deleting = disk->state == DISK_DATASET_DELETING;
    v->tree = (struct btree){.pool = v->pool,
                             .owner = v->id,
                             .root = pointer_load(&disk->root),
                             .nodes = le64_get(disk->node_blocks)};
}

/* Fills the volume from the first record at or after its id. NOT_FOUND, AGAIN. */
static enum status look_record(void *context, struct btree_cursor *cursor) {
    struct lfsx_volume *v = context;
    struct key key = catalog_dataset_key(v->id);
    enum status status = btree_seek(&v->pool->catalog, &key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    ASSERT(item.key.type == DISK_TYPE_DATASET); /* values.c lets nothing else stand here */
    volume_from_record(v, item.value);
    return STATUS_OK;
}

static enum status look_size(void *context, struct btree_cursor *cursor) {
    struct lfsx_volume *v = context;
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    enum status status = btree_find(&v->tree, &key, cursor);
    if (status == STATUS_NOT_FOUND) /* a deletion may have come that far */
        return v->deleting ? STATUS_OK : STATUS_CORRUPT;
    if (status != STATUS_OK)
        return status;
    const struct disk_inode *inode = btree_item(cursor).value;
    v->size = le64_get(inode->size);
    return STATUS_OK;
}

enum status catalog_load(struct lfsx_pool *pool) {
    uint64_t id = DISK_FIRST_DATASET;
    for (;;) {
        struct lfsx_volume *v = volume_new(pool);
        if (v == NULL)
            return STATUS_NO_MEMORY;
        v->id = id;
        enum status status = pool_look(pool, look_record, v);
        if (status == STATUS_NOT_FOUND) {
            catalog_free(v);
            return STATUS_OK;
        }
        if (status == STATUS_OK)
            status = pool_look(pool, look_size, v);
        if (status != STATUS_OK) {
            catalog_free(v);
            return status;
        }
        list_push_back(&pool->datasets, &v->link);
        id = v->id + 1;
    }
}

struct lfsx_volume *catalog_find(struct lfsx_pool *pool, const char *name) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct lfsx_volume *v = LIST_CONTAINER(link, struct lfsx_volume, link);
        if (!v->deleting && strcmp(v->name, name) == 0)
            return v;
    }
    return NULL;
}

struct lfsx_volume *catalog_find_id(struct lfsx_pool *pool, uint64_t id) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct lfsx_volume *v = LIST_CONTAINER(link, struct lfsx_volume, link);
        if (v->id == id)
            return v;
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

static void insert_entry(struct lfsx_volume *v, const struct key *slot) {
    union {
        struct disk_entry disk;
        unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
    } entry;
    size_t length = strlen(v->name);
    entry.disk = (struct disk_entry){
        .target = le64_make(v->id), .kind = DISK_ENTRY_DATASET, .name_length = (uint8_t)length};
    memcpy(entry.disk.name, v->name, length);
    btree_insert(&v->pool->catalog, slot, entry.bytes, (uint16_t)(sizeof entry.disk + length));
}

static void insert_inode(struct lfsx_volume *v) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    struct disk_inode inode = {.mode = le32_make(DISK_MODE_REGULAR | 0600u),
                               .links = le32_make(1),
                               .size = le64_make(v->size),
                               .modified_ns = le64_make(v->created_ns),
                               .changed_ns = le64_make(v->created_ns),
                               .accessed_ns = le64_make(v->created_ns),
                               .created_ns = le64_make(v->created_ns)};
    btree_insert(&v->tree, &key, &inode, sizeof inode);
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
    struct lfsx_volume *v = context;
    struct lfsx_pool *pool = v->pool;
    struct update_need need = {0};
    struct key slot;
    v->id = pool->next_dataset;
    v->birth = pool->epoch;
    enum status status = prefetch_dataset(pool, v->id, v->name, &slot, &need, cursor);
    if (status == STATUS_OK)
        return STATUS_EXISTS;
    if (status != STATUS_NOT_FOUND)
        return status;
    need.nodes++; /* the new tree's root */
    status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    pool->next_dataset++;
    btree_create(&v->tree, pool, v->id);
    insert_inode(v);
    union record record;
    uint16_t length = record_make(v, &record);
    struct key key = catalog_dataset_key(v->id);
    btree_insert(&pool->catalog, &key, record.bytes, length);
    insert_entry(v, &slot);
    v->created_in = pool->generation;
    list_push_back(&pool->datasets, &v->link);
    pool_update_end(pool);
    return STATUS_OK;
}

enum status lfsx_volume_create(struct lfsx_pool *pool, const char *name, uint64_t size) {
    if (!lfsx_name_is_valid(name, strlen(name)) || size == 0 || size % 512 != 0 ||
        size > LFSX_VOLUME_SIZE_MAX)
        return STATUS_INVALID;
    struct lfsx_volume *v = volume_new(pool);
    if (v == NULL)
        return STATUS_NO_MEMORY;
    memcpy(v->name, name, strlen(name) + 1);
    v->size = size;
    v->created_ns = os_wall_clock_ns();
    os_random(v->uuid, sizeof v->uuid);
    enum status status = pool_change(pool, create_step, v);
    if (status != STATUS_OK) {
        catalog_free(v);
        return status;
    }
    return pool_commit(pool);
}

struct deletion {
    struct lfsx_pool *pool;
    const char *name;
    struct lfsx_volume *volume; /* that had the name */
};

/* Takes the name away and marks the record; what it holds is freed afterwards. */
static enum status unname_step(void *context, struct btree_cursor *cursor) {
    struct deletion *deletion = context;
    struct lfsx_pool *pool = deletion->pool;
    struct lfsx_volume *v = catalog_find(pool, deletion->name);
    if (v == NULL)
        return STATUS_NOT_FOUND;
    if (v->open_count > 0)
        return STATUS_BUSY;
    struct update_need need = {.frees = true};
    struct key slot;
    enum status status = prefetch_dataset(pool, v->id, v->name, &slot, &need, cursor);
    if (status == STATUS_NOT_FOUND || status == STATUS_NO_SPACE)
        return STATUS_CORRUPT; /* a dataset without its name entry */
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    btree_remove(&pool->catalog, &slot);
    v->deleting = true;
    v->reaped = true;
    union record record;
    uint16_t length = record_make(v, &record);
    struct key key = catalog_dataset_key(v->id);
    btree_replace(&pool->catalog, &key, record.bytes, length);
    pool_update_end(pool);
    deletion->volume = v;
    return STATUS_OK;
}

/* Frees the emptied tree and the record. */
static enum status forget_step(void *context, struct btree_cursor *cursor) {
    struct lfsx_volume *v = context;
    struct lfsx_pool *pool = v->pool;
    struct key record = catalog_dataset_key(v->id);
    struct key inode = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    uint64_t leaves;
    uint64_t catalog_leaves;
    enum status status = btree_prefetch(&v->tree, &inode, &inode, cursor, &leaves);
    if (status == STATUS_OK)
        status = btree_prefetch(&pool->catalog, &record, &record, cursor, &catalog_leaves);
    if (status != STATUS_OK)
        return status;
    struct update_need need = {.frees = true};
    need.nodes = btree_nodes_needed(&v->tree, leaves, 0) +
                 btree_nodes_needed(&pool->catalog, catalog_leaves, 0);
    status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    if (btree_find(&v->tree, &inode, cursor) == STATUS_OK) /* a repair may have given it up */
        btree_remove(&v->tree, &inode);
    btree_destroy(&v->tree);
    btree_remove(&pool->catalog, &record);
    list_remove(&v->link);
    pool_update_end(pool);
    return STATUS_OK;
}

/* Frees all that a deleting dataset holds, step by step, and the dataset. */
static enum status reap(struct lfsx_volume *v) {
    enum status status = volume_punch(v, 0, UINT64_MAX / LFSX_BLOCK_SIZE);
    if (status == STATUS_OK)
        status = pool_change(v->pool, forget_step, v);
    if (status == STATUS_OK)
        catalog_free(v);
    return status;
}

enum status lfsx_volume_delete(struct lfsx_pool *pool, const char *name) {
    struct deletion deletion = {.pool = pool, .name = name};
    enum status status = pool_change(pool, unname_step, &deletion);
    if (status == STATUS_OK)
        status = pool_commit(pool);
    if (status != STATUS_OK)
        return status;
    status = reap(deletion.volume);
    if (status != STATUS_OK)
        log_warning("lfsx",
                    "%s: volume %s is deleted, but not all of its space is free yet (%s); the "
                    "rest follows when the pool is opened again",
                    pool->device->name, name, status_text(status));
    return pool_commit(pool);
}

/* A deleting dataset that nobody frees yet; from now on the caller does. NULL: none. */
static struct lfsx_volume *claim_deleting(struct lfsx_pool *pool) {
    struct lfsx_volume *claimed = NULL;
    os_rwlock_lock_exclusive(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct lfsx_volume *v = LIST_CONTAINER(link, struct lfsx_volume, link);
        if (v->deleting && !v->reaped)
            claimed = v;
    }
    if (claimed != NULL)
        claimed->reaped = true;
    os_rwlock_unlock_exclusive(&pool->lock);
    return claimed;
}

void catalog_reap(struct lfsx_pool *pool) {
    struct lfsx_volume *v = claim_deleting(pool);
    while (v != NULL && reap(v) == STATUS_OK)
        v = claim_deleting(pool);
}
