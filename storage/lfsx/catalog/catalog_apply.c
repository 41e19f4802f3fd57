/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instant in which a transaction over the catalog happens: its records, and what they say of
 * datasets in memory and of their trees.
 *
 * Invariants:
 * 1. Changes come in the catalog's order: a dataset's before those of its snapshots and of its
 *    schedule, and an origin's before its clone's, whose identifier is higher.
 * 2. A snapshot or schedule that goes with its dataset keeps its item, as the reaper's.
 *
 * A snapshot is taken in the instant in which a checkpoint gathers: all trees are sealed then, so
 * their roots are what a snapshot needs, and the epoch rises before anything else can change. That
 * makes it durable with the checkpoint, of several datasets as of one. So the checkpoint applies a
 * transaction that takes any, with all else that it does: when it changes the catalog, roots are
 * those of the dirty trees, and when trees are sealed, snapshots and their clones get the final
 * ones.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_load.h"
#include "storage/lfsx/catalog/catalog_records.h"
#include "storage/lfsx/catalog/transaction.h"
#include "storage/lfsx/file/space.h"

struct application {
    struct checkpoint_rider rider; /* if it takes snapshots */
    struct lfsx_pool *pool;
    struct lfsx_transaction *transaction;
    const struct mvcc_change *changes;
    size_t count;
    bool done; /* by a checkpoint */
};

/* A walk over the changes of items. */
struct walk {
    const struct application *application;
    size_t next;
    uint64_t given_up; /* dataset */
    const struct mvcc_change *change;
    struct key key;
};

static bool walk_next(struct walk *walk) {
    while (walk->next < walk->application->count) {
        walk->change = &walk->application->changes[walk->next++];
        walk->key = records_tree_key(&walk->change->key);
        bool goes = walk->change->kind == MVCC_DELETE;
        if (goes && walk->key.type == DISK_TYPE_DATASET)
            walk->given_up = walk->key.inode;
        else if (goes && walk->key.inode == walk->given_up && walk->key.type != DISK_TYPE_ENTRY)
            continue;
        return true;
    }
    return false;
}

/* ---- the look ---- */

/* What a new tree takes. */
static uint64_t new_nodes(const struct walk *walk) {
    if (walk->change->kind != MVCC_INSERT || walk->key.type != DISK_TYPE_DATASET)
        return 0;
    const struct disk_dataset *record = walk->change->value;
    return le64_get(record->origin) == 0;
}

/* Finds out what the changes use up: for each leaf once, since a bound for each change alone would
 * ask for more than a full pool has left. */
static enum status prefetch(const struct application *a, struct btree_cursor *cursor,
                            struct update_need *need) {
    struct btree *tree = &a->pool->catalog;
    struct walk walk = {.application = a};
    const struct cached_node *leaf = NULL;
    while (walk_next(&walk)) {
        uint64_t items = walk.change->kind != MVCC_DELETE;
        uint64_t leaves;
        enum status status = btree_prefetch(tree, &walk.key, &walk.key, cursor, &leaves);
        if (status != STATUS_OK)
            return status;
        (void)btree_find(tree, &walk.key, cursor);
        bool same = cursor->path[cursor->depth - 1].node == leaf;
        leaf = cursor->path[cursor->depth - 1].node;
        need->nodes += same ? 2 * items : btree_nodes_needed(tree, leaves, items);
        need->nodes += new_nodes(&walk);
    }
    return STATUS_OK;
}

static uint64_t count_snapshots(struct lfsx_pool *pool, uint64_t dataset) {
    uint64_t count = 0;
    struct dataset *d = dataset_find_id(pool, dataset);
    LIST_FOR_EACH(link, &d->snapshots)
    count += !snapshot_of(link)->deleting;
    return count;
}

/* A dataset goes with the snapshots that its transaction saw, or not at all. CONFLICT. */
static enum status check_snapshots(const struct application *a) {
    uint64_t given_up = 0;
    uint64_t left = 0;
    for (size_t i = 0; i < a->count; i++) {
        struct key key = records_tree_key(&a->changes[i].key);
        if (a->changes[i].kind != MVCC_DELETE)
            continue;
        if (key.type == DISK_TYPE_DATASET && left == 0) {
            given_up = key.inode;
            left = count_snapshots(a->pool, given_up);
        } else if (key.type == DISK_TYPE_SNAPSHOT && key.inode == given_up) {
            left--;
        }
    }
    return left == 0 ? STATUS_OK : STATUS_CONFLICT;
}

/* Data blocks that the dataset of a record has or, as a clone, will have. */
static uint64_t data_blocks(struct lfsx_pool *pool, const struct dataset *d,
                            const struct disk_dataset *record) {
    if (d != NULL)
        return d->data_blocks;
    struct dataset *origin = dataset_find_id(pool, le64_get(record->origin));
    if (origin == NULL)
        return 0;
    const struct snapshot *s = snapshot_find_epoch(origin, le64_get(record->origin_epoch));
    return s != NULL ? s->data_blocks : origin->data_blocks; /* it is about to be taken */
}

/* Whether the pool can keep all that it promises. NO_SPACE. */
static enum status check_promises(const struct application *a) {
    static const struct dataset nobody;
    struct space_plan plan = {0};
    for (size_t i = 0; i < a->count; i++) {
        const struct mvcc_change *change = &a->changes[i];
        struct key key = records_tree_key(&change->key);
        if (key.type != DISK_TYPE_DATASET)
            continue;
        const struct dataset *d = dataset_find_id(a->pool, key.inode);
        const struct disk_dataset *record = change->value;
        if (record == NULL) /* it goes */
            space_plan_change(&plan, d, 0, 0);
        else
            space_plan_change(&plan, d != NULL ? d : &nobody, data_blocks(a->pool, d, record),
                              le64_get(record->reserved_blocks));
    }
    return space_plan_fits(&plan, a->pool) ? STATUS_OK : STATUS_NO_SPACE;
}

/* ---- in the update ---- */

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

static void share_root(struct dataset *d, const struct snapshot *s) {
    d->file.size = s->file.size;
    d->data_blocks = s->data_blocks;
    d->tree.root = s->tree.root;
    d->tree.nodes = s->tree.nodes;
    d->tree.shared = s->tree.nodes + s->data_blocks;
}

/* The clone's tree is the snapshot's. All of it belongs to the snapshot's dataset, or to what that
 * was cloned from. */
static void share_tree(struct dataset *d) {
    struct dataset *origin = dataset_find_id(d->pool, d->origin_id);
    struct snapshot *s = snapshot_find_epoch(origin, d->tree.origin_epoch);
    ASSERT(s != NULL && !s->deleting);
    d->next_inode = __atomic_load_n(&origin->next_inode, __ATOMIC_RELAXED);
    d->origin = s;
    s->clone_count++;
    d->tree.owner = d->id;
    d->tree.origin = &origin->tree;
    d->birth = MATH_MAX(d->birth, s->epoch + 1); /* it may be of the epoch that ends now */
    share_root(d, s);
}

/* The dataset, with its tree, becomes the pool's. */
static void create(struct lfsx_transaction *t, uint64_t id, const struct disk_dataset *record) {
    struct dataset *d = transaction_take_object(t, id);
    struct lfsx_pool *pool = d->pool;
    ASSERT(id < pool->next_dataset && dataset_find_id(pool, id) == NULL);
    catalog_take_record(d, record);
    d->birth = pool->forest.epoch;
    d->created_in = pool->forest.generation;
    if (d->origin_id != 0) {
        share_tree(d);
    } else {
        btree_create(&d->tree, &pool->forest, d->id);
        insert_inode(d);
    }
    resizing_create(t, d);
    catalog_insert_dataset(d);
    list_push_back(&pool->datasets, &d->link);
    space_update(d);
}

/* From now on the reaper may free it, and its snapshots. What it shares with its origin is not
 * looked at any more. */
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

static void change_dataset(struct lfsx_transaction *t, const struct walk *walk) {
    struct dataset *d;
    switch (walk->change->kind) {
    case MVCC_INSERT:
        create(t, walk->key.inode, walk->change->value);
        return;
    case MVCC_REPLACE:
        d = dataset_find_id(t->pool, walk->key.inode);
        catalog_take_settings(d, walk->change->value);
        space_update(d);
        catalog_replace_dataset(d);
        return;
    case MVCC_DELETE:
        give_up(dataset_find_id(t->pool, walk->key.inode));
        t->is_giving_up = true;
    }
}

/* The snapshot is what its dataset is. */
static void picture(struct snapshot *s) {
    const struct dataset *d = s->dataset;
    ASSERT(s->epoch == d->pool->forest.epoch);
    s->tree = d->tree;
    s->tree.dataset = NULL;
    s->tree.kept = 0;
    s->tree.dirty = false;
    s->data_blocks = d->data_blocks;
    s->file.size = d->file.size;
}

static void take_snapshot(struct lfsx_transaction *t, const struct walk *walk) {
    struct snapshot *s = transaction_take_snapshot(t, walk->key.inode, walk->key.offset);
    s->dataset = s->file.dataset = dataset_find_id(t->pool, walk->key.inode);
    picture(s);
    catalog_insert_snapshot(s);
    dataset_add_snapshot(s->dataset, s);
}

/* Takes the name away and marks the record: the reaper frees what nobody else has. */
static void give_up_snapshot(struct lfsx_transaction *t, const struct walk *walk) {
    struct dataset *d = dataset_find_id(t->pool, walk->key.inode);
    struct snapshot *s = snapshot_find_epoch(d, walk->key.offset);
    ASSERT(walk->change->kind == MVCC_DELETE && s->open_count == 0);
    s->deleting = true;
    catalog_replace_snapshot(s);
    dataset_update_kept(d);
    t->is_giving_up = true;
}

static void change_item(struct btree *tree, const struct walk *walk) {
    const struct mvcc_change *change = walk->change;
    switch (change->kind) {
    case MVCC_INSERT:
        btree_insert(tree, &walk->key, change->value, (uint16_t)change->length);
        return;
    case MVCC_REPLACE:
        btree_replace(tree, &walk->key, change->value, (uint16_t)change->length);
        return;
    case MVCC_DELETE:
        btree_remove(tree, &walk->key);
    }
}

static void change_schedule(struct lfsx_transaction *t, const struct walk *walk) {
    struct dataset *d = dataset_find_id(t->pool, walk->key.inode);
    catalog_take_schedule(d, walk->change->value, walk->change->length);
    change_item(&t->pool->catalog, walk);
    t->is_rescheduled = true;
}

static void change(struct lfsx_transaction *t, const struct walk *walk) {
    switch (walk->key.type) {
    case DISK_TYPE_DATASET:
        change_dataset(t, walk);
        return;
    case DISK_TYPE_SNAPSHOT:
        if (walk->change->kind == MVCC_INSERT)
            take_snapshot(t, walk);
        else
            give_up_snapshot(t, walk);
        return;
    case DISK_TYPE_SCHEDULE:
        change_schedule(t, walk);
        return;
    default:
        ASSERT(walk->key.type == DISK_TYPE_ENTRY);
        change_item(&t->pool->catalog, walk);
    }
}

/* Finds out whether it can be done and what it takes. */
static enum status look(const struct application *a, struct btree_cursor *cursor,
                        struct update_need *need) {
    enum status status = transaction_check(a->transaction);
    if (status == STATUS_OK)
        status = check_snapshots(a);
    if (status == STATUS_OK)
        status = check_promises(a);
    if (status == STATUS_OK)
        status = resizing_prepare(a->transaction, cursor, need);
    return status == STATUS_OK ? prefetch(a, cursor, need) : status;
}

static void change_all(const struct application *a) {
    struct walk walk = {.application = a};
    while (walk_next(&walk))
        change(a->transaction, &walk);
    resizing_apply(a->transaction);
}

static enum status apply_step(void *context, struct btree_cursor *cursor) {
    const struct application *a = context;
    struct lfsx_transaction *t = a->transaction;
    struct update_need need = {.frees = !t->takes_space, .background = t->quiet};
    enum status status = look(a, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(a->pool, &need);
    if (status != STATUS_OK)
        return status;
    change_all(a);
    t->is_changed = true;
    pool_update_end(a->pool);
    return STATUS_OK;
}

/* ---- by a checkpoint ---- */

static struct application *application_of(struct checkpoint_rider *rider) {
    return LIST_CONTAINER(rider, struct application, rider);
}

static enum status ride_prepare(struct checkpoint_rider *rider, struct btree_cursor *cursor,
                                struct update_need *need) {
    need->frees = false;
    return look(application_of(rider), cursor, need);
}

static void ride_change(struct checkpoint_rider *rider) {
    change_all(application_of(rider));
}

/* Where a root was that of a dirty tree. An origin comes before its clones, whose snapshots come
 * after them. */
static void seal(struct lfsx_pool *pool, const struct walk *walk) {
    struct dataset *d = dataset_find_id(pool, walk->key.inode);
    if (walk->change->kind != MVCC_INSERT)
        return;
    if (walk->key.type == DISK_TYPE_DATASET && d->origin != NULL &&
        d->origin->epoch == pool->forest.epoch) {
        share_root(d, d->origin);
        catalog_store_dataset(d);
    }
    if (walk->key.type == DISK_TYPE_SNAPSHOT) {
        struct snapshot *s = snapshot_find_epoch(d, walk->key.offset);
        picture(s);
        catalog_store_snapshot(s);
    }
}

static void ride_seal(struct checkpoint_rider *rider) {
    struct application *a = application_of(rider);
    struct walk walk = {.application = a};
    while (walk_next(&walk))
        seal(a->pool, &walk);
    a->pool->forest.epoch++;
    a->done = true;
}

static bool takes_snapshots(const struct application *a) {
    for (size_t i = 0; i < a->count; i++)
        if (a->changes[i].kind == MVCC_INSERT &&
            records_tree_key(&a->changes[i].key).type == DISK_TYPE_SNAPSHOT)
            return true;
    return false;
}

/* What happened in memory happened, durable or not: the commit finds out. */
static enum status ride(struct application *a) {
    enum status status = pool_checkpoint_with(a->pool, &a->rider);
    a->transaction->is_changed = a->done && status != STATUS_OK;
    return a->done ? STATUS_OK : status;
}

enum status catalog_apply(void *context, const struct mvcc_change *changes, size_t count,
                          void *attachment) {
    struct application a = {
        .rider = {.prepare = ride_prepare, .change = ride_change, .seal = ride_seal},
        .pool = context,
        .transaction = attachment,
        .changes = changes,
        .count = count};
    if (takes_snapshots(&a))
        return ride(&a);
    if (count == 0)
        return STATUS_OK;
    /* Not pool_change(): record locks are held, so it does not wait for the reaper. */
    return pool_change_background(a.pool, apply_step, &a);
}
