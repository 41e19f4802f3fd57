/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes and shares come into being and change their names: new, as clones of a snapshot, and in
 * the place of one that is taken back to a snapshot. Each of these is one update, and durable on
 * return.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/catalog.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/pool.h"

/* A volume on its way into the catalog. */
struct creation {
    struct lfsx_pool *pool;
    struct dataset *dataset;
    const char *volume, *snapshot; /* what it is a clone of; NULL: of nothing */
};

static bool is_valid(const char *name) {
    return lfsx_name_is_valid(name, strlen(name));
}

static enum status new_dataset(struct lfsx_pool *pool, const char *name, struct dataset **out) {
    if (!is_valid(name))
        return STATUS_INVALID;
    struct dataset *d = dataset_new(pool);
    if (d == NULL)
        return STATUS_NO_MEMORY;
    memcpy(d->name, name, strlen(name) + 1);
    d->state = DISK_DATASET_LIVE;
    d->created_ns = os_wall_clock_ns();
    os_random(d->uuid, sizeof d->uuid);
    *out = d;
    return STATUS_OK;
}

/* Runs the step, and makes what it did durable. */
static enum status complete(struct creation *creation, pool_step *step) {
    enum status status = pool_change(creation->pool, step, creation);
    if (status != STATUS_OK) {
        dataset_free(creation->dataset);
        return status;
    }
    return pool_commit(creation->pool);
}

static void insert_inode(struct dataset *d) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    bool share = d->kind == DISK_DATASET_SHARE;
    uint32_t mode = share ? DISK_MODE_DIRECTORY | 0755u : DISK_MODE_REGULAR | 0600u;
    struct disk_inode inode = {.mode = le32_make(mode),
                               .parent = le64_make(share ? DISK_ROOT_INODE : 0),
                               .links = le32_make(1),
                               .size = le64_make(d->file.size),
                               .modified_ns = le64_make(d->created_ns),
                               .changed_ns = le64_make(d->created_ns),
                               .accessed_ns = le64_make(d->created_ns),
                               .created_ns = le64_make(d->created_ns)};
    btree_insert(&d->tree, &key, &inode, sizeof inode);
}

/* What a new dataset needs: its name's slot is free. EXISTS. */
static enum status prefetch_new(struct dataset *d, struct key *slot, struct btree_cursor *cursor,
                                struct update_need *need) {
    struct lfsx_pool *pool = d->pool;
    d->id = pool->next_dataset;
    d->birth = pool->epoch;
    enum status status = catalog_prefetch_name(pool, d->name, slot, cursor, need);
    if (status == STATUS_OK)
        return STATUS_EXISTS;
    if (status != STATUS_NOT_FOUND)
        return status;
    return catalog_prefetch_dataset(pool, d->id, cursor, need);
}

/* In an update: the dataset, with its tree, is the pool's. */
static void adopt(struct dataset *d) {
    struct lfsx_pool *pool = d->pool;
    ASSERT(d->id == pool->next_dataset);
    pool->next_dataset++;
    catalog_insert_dataset(d);
    d->created_in = pool->generation;
    list_push_back(&pool->datasets, &d->link);
}

static enum status create_step(void *context, struct btree_cursor *cursor) {
    struct creation *creation = context;
    struct dataset *d = creation->dataset;
    struct update_need need = {.nodes = 1}; /* the new tree's root */
    struct key slot;
    enum status status = prefetch_new(d, &slot, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    btree_create(&d->tree, d->pool, d->id);
    insert_inode(d);
    adopt(d);
    catalog_insert_name(d, &slot);
    pool_update_end(d->pool);
    return STATUS_OK;
}

enum status lfsx_volume_create(struct lfsx_pool *pool, const char *name, uint64_t size) {
    if (size == 0 || size % 512 != 0 || size > LFSX_VOLUME_SIZE_MAX)
        return STATUS_INVALID;
    struct creation creation = {.pool = pool};
    enum status status = new_dataset(pool, name, &creation.dataset);
    if (status != STATUS_OK)
        return status;
    creation.dataset->kind = DISK_DATASET_VOLUME;
    creation.dataset->file.size = size;
    return complete(&creation, create_step);
}

enum status lfsx_share_create(struct lfsx_pool *pool, const char *name) {
    struct creation creation = {.pool = pool};
    enum status status = new_dataset(pool, name, &creation.dataset);
    if (status != STATUS_OK)
        return status;
    creation.dataset->kind = DISK_DATASET_SHARE;
    creation.dataset->next_inode = DISK_ROOT_INODE + 1;
    return complete(&creation, create_step);
}

static struct snapshot *find_source(const struct creation *creation) {
    struct dataset *source = dataset_find(creation->pool, creation->volume);
    return source == NULL ? NULL : snapshot_find(source, creation->snapshot);
}

/* The clone's tree is the snapshot's. All of it belongs to the snapshot's dataset, or to what that
 * was cloned from. */
static void share_tree(struct dataset *d, struct snapshot *s) {
    d->kind = s->dataset->kind;
    d->next_inode = __atomic_load_n(&s->dataset->next_inode, __ATOMIC_RELAXED);
    d->origin_id = s->dataset->id;
    d->origin = s;
    s->clone_count++;
    d->file.size = s->file.size;
    d->data_blocks = s->data_blocks;
    d->tree.owner = d->id;
    d->tree.root = s->tree.root;
    d->tree.nodes = s->tree.nodes;
    d->tree.origin = &s->dataset->tree;
    d->tree.origin_epoch = s->epoch;
    d->tree.shared = s->tree.nodes + s->data_blocks;
}

static enum status clone_step(void *context, struct btree_cursor *cursor) {
    struct creation *creation = context;
    struct dataset *d = creation->dataset;
    struct snapshot *s = find_source(creation);
    if (s == NULL)
        return STATUS_NOT_FOUND;
    struct update_need need = {0};
    struct key slot;
    enum status status = prefetch_new(d, &slot, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    share_tree(d, s);
    adopt(d);
    catalog_insert_name(d, &slot);
    pool_update_end(d->pool);
    return STATUS_OK;
}

enum status lfsx_clone_create(struct lfsx_pool *pool, const char *volume, const char *snapshot,
                              const char *name) {
    struct creation creation = {.pool = pool, .volume = volume, .snapshot = snapshot};
    enum status status = new_dataset(pool, name, &creation.dataset);
    return status == STATUS_OK ? complete(&creation, clone_step) : status;
}

/* The present dataset's entry and record, and a free slot for its new name. */
static enum status prefetch_exchange(struct dataset *present, struct dataset *new,
                                     struct key slots[2], struct btree_cursor *cursor,
                                     struct update_need *need) {
    enum status status = prefetch_new(new, &slots[1], cursor, need);
    if (status == STATUS_OK)
        status = catalog_prefetch_entry(present, &slots[0], cursor, need);
    if (status == STATUS_OK)
        status = catalog_prefetch_dataset(new->pool, present->id, cursor, need);
    return status;
}

static void exchange_names(struct dataset *a, struct dataset *b) {
    char name[sizeof a->name];
    memcpy(name, a->name, sizeof name);
    memcpy(a->name, b->name, sizeof name);
    memcpy(b->name, name, sizeof name);
}

/* The new dataset comes with the name that the present one shall get. */
static enum status rollback_step(void *context, struct btree_cursor *cursor) {
    struct creation *creation = context;
    struct dataset *new = creation->dataset;
    struct snapshot *s = find_source(creation);
    if (s == NULL)
        return STATUS_NOT_FOUND;
    struct dataset *present = s->dataset;
    if (present->open_count > 0)
        return STATUS_BUSY;
    if (!space_can_promise(present, s->data_blocks, present->space.reserved))
        return STATUS_NO_SPACE;
    struct update_need need = {0};
    struct key slots[2]; /* of the volume's name, of the name that it is kept as */
    enum status status = prefetch_exchange(present, new, slots, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(new->pool, &need);
    if (status != STATUS_OK)
        return status;
    catalog_remove_name(new->pool, &slots[0]);
    exchange_names(present, new);
    share_tree(new, s);
    space_hand_over(present, new);
    catalog_replace_dataset(present);
    adopt(new);
    catalog_insert_name(new, &slots[0]);
    catalog_insert_name(present, &slots[1]);
    pool_update_end(new->pool);
    return STATUS_OK;
}

enum status lfsx_volume_rollback(struct lfsx_pool *pool, const char *volume, const char *snapshot,
                                 const char *keep_as) {
    struct creation creation = {.pool = pool, .volume = volume, .snapshot = snapshot};
    enum status status = new_dataset(pool, keep_as, &creation.dataset);
    return status == STATUS_OK ? complete(&creation, rollback_step) : status;
}

struct renaming {
    struct lfsx_pool *pool;
    const char *from, *to;
};

static enum status rename_step(void *context, struct btree_cursor *cursor) {
    const struct renaming *renaming = context;
    struct lfsx_pool *pool = renaming->pool;
    struct dataset *d = dataset_find(pool, renaming->from);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    struct update_need need = {0};
    struct key old_slot;
    struct key new_slot;
    enum status status = catalog_prefetch_name(pool, renaming->to, &new_slot, cursor, &need);
    if (status == STATUS_OK)
        return STATUS_EXISTS;
    if (status != STATUS_NOT_FOUND)
        return status;
    status = catalog_prefetch_entry(d, &old_slot, cursor, &need);
    if (status == STATUS_OK)
        status = catalog_prefetch_dataset(pool, d->id, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    catalog_remove_name(pool, &old_slot);
    memcpy(d->name, renaming->to, strlen(renaming->to) + 1);
    catalog_replace_dataset(d);
    catalog_insert_name(d, &new_slot);
    pool_update_end(pool);
    return STATUS_OK;
}

enum status lfsx_volume_rename(struct lfsx_pool *pool, const char *from, const char *to) {
    if (!is_valid(to))
        return STATUS_INVALID;
    struct renaming renaming = {pool, from, to};
    enum status status = pool_change(pool, rename_step, &renaming);
    return status == STATUS_OK ? pool_commit(pool) : status;
}
