/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. A block is in at most one place: a dead run in memory, or an item of one dead tree.
 * 2. An item's era is the epoch of a snapshot that was live when the blocks were dropped, its birth
 *    is not above it, and every dead sum is that of the items of its group.
 * 3. After a checkpoint nothing is left in pool->forest.dead.
 * 4. What is let go of is used, and named by nothing: a leak, of which no other block is a part.
 */
#include "storage/lfsx/pool/dead.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

#define BATCH 32u      /* runs moved in one update */
#define FREE_ITEMS 64u /* freed in one update */
#define LOG_MAX 256u   /* runs that wait in memory before somebody moves them */

static struct key group_key(uint64_t era, uint64_t birth, uint8_t type, uint64_t offset) {
    return (struct key){.inode = era << 32 | birth, .type = type, .offset = offset};
}

static struct key run_key(const struct dead_run *run) {
    return group_key(run->era, run->birth, DISK_TYPE_DEAD, run->block);
}

static struct key sum_key(const struct dead_run *run) {
    return group_key(run->era, run->birth, DISK_TYPE_DEAD_SUM, 0);
}

static bool run_is_less(const struct dead_run *a, const struct dead_run *b) {
    if (a->dataset != b->dataset)
        return a->dataset->id < b->dataset->id;
    struct key key_a = run_key(a);
    struct key key_b = run_key(b);
    return key_compare(&key_a, &key_b) < 0;
}

/* Neighbours in the tree become neighbours in the batch, which is small. */
static void sort_runs(struct dead_run *runs, uint64_t count) {
    for (uint64_t i = 1; i < count; i++) {
        struct dead_run run = runs[i];
        uint64_t at = i;
        for (; at > 0 && run_is_less(&run, &runs[at - 1]); at--)
            runs[at] = runs[at - 1];
        runs[at] = run;
    }
}

/* Adds what a change at the key needs: copies and splits of a leaf and what is above it, unless it
 * is the leaf of the key before. */
static enum status prefetch_key(struct btree *tree, const struct key *key, uint64_t *leaf,
                                struct btree_cursor *cursor, struct update_need *need) {
    uint64_t leaves;
    enum status status = btree_prefetch(tree, key, key, cursor, &leaves);
    if (status == STATUS_OK)
        status = btree_descend(tree, key, cursor);
    if (status != STATUS_OK)
        return status;
    uint64_t block = cursor->path[cursor->depth - 1].node->block;
    if (block != *leaf)
        need->nodes += 2 * cursor->depth + 2u;
    *leaf = block;
    return STATUS_OK;
}

/* What inserting the runs needs. */
static enum status prefetch_runs(const struct dead_run *runs, uint64_t count,
                                 struct btree_cursor *cursor, struct update_need *need) {
    *need = (struct update_need){
        .nodes = 4 + count / 8, /* splits that more than one item in a leaf may cause */
        .frees = true,
        .checkpoint = true,
        .background = true};
    uint64_t leaves[2] = {0};
    for (uint64_t i = 0; i < count; i++) {
        struct btree *tree = &runs[i].dataset->dead;
        if (tree->root.block == 0) {
            need->nodes += 3;
            continue;
        }
        struct key keys[] = {run_key(&runs[i]), sum_key(&runs[i])};
        for (unsigned j = 0; j < ARRAY_LENGTH(keys); j++) {
            enum status status = prefetch_key(tree, &keys[j], &leaves[j], cursor, need);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

/* Adds to the sum of the run's group, or takes away from it. */
static void change_sum(struct btree *tree, const struct key *key, uint64_t add, uint64_t take) {
    struct btree_cursor cursor;
    struct disk_dead_sum sum = {0};
    bool found = btree_find(tree, key, &cursor) == STATUS_OK;
    if (found)
        memcpy(&sum, btree_item(&cursor).value, sizeof sum);
    uint64_t blocks = le64_get(sum.blocks) + add;
    if (blocks < take)
        forest_contradiction(tree->forest);
    blocks -= MATH_MIN(blocks, take);
    sum.blocks = le64_make(blocks);
    if (!found)
        btree_insert(tree, key, &sum, sizeof sum);
    else if (blocks > 0)
        btree_replace(tree, key, &sum, sizeof sum);
    else
        btree_remove(tree, key);
}

static void insert_run(const struct dead_run *run) {
    struct dataset *dataset = run->dataset;
    struct btree *tree = &dataset->dead;
    if (tree->root.block == 0)
        btree_create(tree, &dataset->pool->forest, dataset->id | DISK_OWNER_DEAD);
    struct key key = run_key(run);
    struct disk_dead dead = {le64_make(run->count)};
    btree_insert(tree, &key, &dead, sizeof dead);
    struct key sum = sum_key(run);
    change_sum(tree, &sum, run->count, 0);
}

/* Moves the last `count` runs of the log. */
static enum status move_runs(struct lfsx_pool *pool, uint64_t count, struct btree_cursor *cursor) {
    struct dead_log *log = &pool->forest.dead;
    struct dead_run *runs = log->runs + (log->count - count);
    struct update_need need;
    sort_runs(runs, count);
    enum status status = prefetch_runs(runs, count, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    runs = log->runs + (log->count - count); /* the log may have moved */
    uint64_t moved = log->count;
    for (uint64_t i = 0; i < count; i++)
        insert_run(&runs[i]);
    ASSERT(log->count == moved); /* dead trees drop nothing that anybody holds */
    log->count -= count;
    pool_update_end(pool);
    return STATUS_OK;
}

/* What no dead tree can take any more stays in use: nobody can tell who has it but fsck.lfsx. */
static void forget_lost(struct dead_log *log) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < log->count; i++)
        if (log->runs[i].dataset->dead_damage == STATUS_OK)
            log->runs[kept++] = log->runs[i];
        else
            log->leaked += log->runs[i].count;
    log->count = kept;
}

/* True if it is news. */
static bool set_damage(struct lfsx_pool *pool, uint64_t id, enum status cause) {
    bool waits = false;
    os_rwlock_lock_exclusive(&pool->lock);
    struct dataset *d = dataset_find_id(pool, id);
    for (uint64_t i = 0; i < pool->forest.dead.count; i++)
        waits |= pool->forest.dead.runs[i].dataset == d;
    bool news = waits && d->dead_damage == STATUS_OK;
    if (news)
        d->dead_damage = cause;
    os_rwlock_unlock_exclusive(&pool->lock);
    return news;
}

bool dead_give_up(struct lfsx_pool *pool, uint64_t owner, enum status cause) {
    bool is_damage = cause == STATUS_CHECKSUM || cause == STATUS_CORRUPT || cause == STATUS_IO;
    if ((owner & DISK_OWNER_DEAD) == 0 || !is_damage)
        return false;
    uint64_t id = owner & ~DISK_OWNER_DEAD;
    if (set_damage(pool, id, cause))
        log_error("lfsx",
                  "%s: dataset %llu: the record of what only its snapshots hold %s (%s): what it "
                  "drops stays in use until fsck.lfsx repaired it",
                  pool->device->name, (unsigned long long)id,
                  cause == STATUS_IO ? "cannot be read" : "is damaged", status_text(cause));
    return true;
}

enum status dead_drain_locked(struct lfsx_pool *pool, struct btree_cursor *cursor) {
    uint64_t batch = BATCH;
    forget_lost(&pool->forest.dead);
    while (pool->forest.dead.count > 0) {
        uint64_t count = MATH_MIN(batch, pool->forest.dead.count);
        enum status status = move_runs(pool, count, cursor);
        if (status == STATUS_NO_SPACE && count > 1) {
            batch = count / 2;
            continue;
        }
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status drain_step(void *context, struct btree_cursor *cursor) {
    return dead_drain_locked(context, cursor);
}

enum status dead_drain(struct lfsx_pool *pool) {
    os_rwlock_lock_shared(&pool->lock);
    uint64_t reserve = reserve_blocks(pool);
    uint64_t limit = MATH_MIN(LOG_MAX, reserve / 16);
    bool enough = pool->forest.dead.count <= limit;
    os_rwlock_unlock_shared(&pool->lock);
    return enough ? STATUS_OK : pool_change(pool, drain_step, pool);
}

/* The first group of the box whose key's inode is at least *group. NOT_FOUND, AGAIN. */
static enum status next_group(struct btree *tree, const struct dead_box *box, uint64_t *group,
                              struct btree_cursor *cursor) {
    for (;;) {
        struct key key = {.inode = *group, .type = DISK_TYPE_DEAD_SUM};
        enum status status =
            tree->root.block == 0 ? STATUS_NOT_FOUND : btree_seek(tree, &key, cursor);
        if (status != STATUS_OK)
            return status;
        *group = btree_item(cursor).key.inode;
        uint64_t era = *group >> 32;
        uint64_t birth = *group & DISK_EPOCH_MAX;
        if (era >= box->end_era)
            return STATUS_NOT_FOUND;
        if (birth >= box->first_birth && birth <= box->last_birth)
            return STATUS_OK;
        *group = (birth > box->last_birth ? era + 1 : era) << 32 | box->first_birth;
    }
}

static uint64_t first_group(const struct dead_box *box) {
    return box->first_era << 32 | box->first_birth;
}

/* Some runs of one group, in memory. */
struct group_part {
    uint64_t group;
    uint64_t count;
    uint64_t blocks[FREE_ITEMS], counts[FREE_ITEMS];
};

/* The cursor stands at the group's first item. AGAIN. */
static enum status read_part(struct group_part *part, struct btree_cursor *cursor) {
    part->count = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && part->count < FREE_ITEMS) {
        struct item item = btree_item(cursor);
        if (item.key.inode != part->group)
            break;
        if (item.key.type == DISK_TYPE_DEAD) {
            const struct disk_dead *dead = item.value;
            part->blocks[part->count] = item.key.offset;
            part->counts[part->count++] = le64_get(dead->count);
        }
        status = btree_next(cursor);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status prefetch_part(struct btree *tree, const struct group_part *part,
                                 struct btree_cursor *cursor, struct update_need *need) {
    struct key first = {.inode = part->group, .type = DISK_TYPE_DEAD_SUM};
    struct key last = {.inode = part->group, .type = DISK_TYPE_DEAD, .offset = UINT64_MAX};
    if (part->count > 0)
        last.offset = part->blocks[part->count - 1];
    uint64_t leaves;
    enum status status = btree_prefetch(tree, &first, &last, cursor, &leaves);
    if (status != STATUS_OK)
        return status;
    *need = (struct update_need){.nodes = btree_nodes_needed(tree, leaves, 0),
                                 .releases = part->count,
                                 .frees = true,
                                 .background = true};
    return STATUS_OK;
}

static void free_part(struct btree *tree, const struct group_part *part) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < part->count; i++) {
        if (!alloc_release(tree->forest->allocator, part->blocks[i], part->counts[i]))
            forest_contradiction(tree->forest);
        sum += part->counts[i];
        struct key key = {.inode = part->group, .type = DISK_TYPE_DEAD, .offset = part->blocks[i]};
        btree_remove(tree, &key);
    }
    struct key key = {.inode = part->group, .type = DISK_TYPE_DEAD_SUM};
    change_sum(tree, &key, 0, sum);
}

enum status dead_free_some(struct dataset *dataset, const struct dead_box *box,
                           struct btree_cursor *cursor, bool *done) {
    struct btree *tree = &dataset->dead;
    struct group_part part = {.group = first_group(box)};
    enum status status = next_group(tree, box, &part.group, cursor);
    *done = status == STATUS_NOT_FOUND;
    if (*done)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = read_part(&part, cursor);
    if (status != STATUS_OK)
        return status;
    if (part.count == 0) { /* a sum of nothing */
        pool_contradiction(dataset->pool);
        return STATUS_READ_ONLY;
    }
    struct update_need need;
    status = prefetch_part(tree, &part, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(dataset->pool, &need);
    if (status != STATUS_OK)
        return status;
    free_part(tree, &part);
    pool_update_end(dataset->pool);
    return STATUS_OK;
}

struct summing {
    struct dataset *dataset;
    const struct dead_box *box;
    uint64_t group;
    uint64_t blocks;
};

/* Goes on where a missing node stopped it. */
static enum status sum_step(void *context, struct btree_cursor *cursor) {
    struct summing *s = context;
    for (;;) {
        enum status status = next_group(&s->dataset->dead, s->box, &s->group, cursor);
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        struct item item = btree_item(cursor);
        if (item.key.type == DISK_TYPE_DEAD_SUM)
            s->blocks += le64_get(((const struct disk_dead_sum *)item.value)->blocks);
        s->group++;
    }
}

enum status dead_sum(struct dataset *dataset, const struct dead_box *box, uint64_t *blocks) {
    struct summing summing = {dataset, box, first_group(box), 0};
    enum status status = pool_change(dataset->pool, drain_step, dataset->pool);
    if (status == STATUS_OK)
        status = pool_look(dataset->pool, sum_step, &summing);
    *blocks = summing.blocks;
    os_rwlock_lock_shared(&dataset->pool->lock);
    if (status == STATUS_OK)
        status = dataset->dead_damage;
    os_rwlock_unlock_shared(&dataset->pool->lock);
    return status;
}
