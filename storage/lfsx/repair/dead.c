/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead trees. One that is whole and fits its snapshots stays; else it is made anew: what a tree has
 * and the next younger one has not was dropped in between.
 */
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

enum step { STEP_VERIFY, STEP_CLAIM, STEP_RELEASE };

struct dead_walk {
    struct repair *repair;
    struct repair_tree *head;
    enum step step;
    uint64_t group, said, blocks;
    bool good;
    bool has_losses; /* a snapshot lost a part, and with it what it has of the dead blocks */
};

static void end_group(struct dead_walk *walk) {
    if (walk->group != 0 && walk->said != walk->blocks)
        walk->good = false;
}

/* Whether a snapshot that is live, or that is being deleted, has blocks of this birth and era. */
static bool is_held(const struct dead_walk *walk, uint64_t birth, uint64_t era, bool live) {
    const struct repair_tree *first = walk->repair->trees.items;
    for (const struct repair_tree *tree = walk->head; tree > first && tree[-1].id == tree->id;) {
        tree--;
        if (tree->epoch >= birth && tree->epoch <= era && repair_is_gone(tree) != live)
            return true;
    }
    return false;
}

static void verify_run(struct dead_walk *walk, uint64_t birth, uint64_t era, uint64_t block,
                       uint64_t count) {
    const struct repair *repair = walk->repair;
    bool live = is_held(walk, birth, era, true);
    if (era >= repair->super.epoch || birth <= le64_get(walk->head->disk.origin_epoch) ||
        (!live && !is_held(walk, birth, era, false)))
        walk->good = false;
    for (uint64_t i = block; i < block + count && walk->good; i++)
        if (repair_bit(repair->claimed, i) ? !live : live && !walk->has_losses)
            walk->good = false;
}

/* Claims or releases what only the dead tree has. */
static void take_run(struct dead_walk *walk, uint64_t birth, uint64_t era, uint64_t block,
                     uint64_t count) {
    if (is_held(walk, birth, era, true))
        return;
    for (uint64_t i = block; i < block + count; i++) {
        if (walk->step == STEP_CLAIM) {
            repair_set(walk->repair->claimed, i);
        } else {
            repair_clear(walk->repair->claimed, i);
            repair_set(walk->repair->keep, i);
        }
    }
}

static void take_item(struct dead_walk *walk, const struct item *item) {
    uint64_t era = item->key.inode >> 32;
    uint64_t birth = item->key.inode & DISK_EPOCH_MAX;
    uint64_t count = le64_get(*(const le64 *)item->value);
    if (item->key.inode != walk->group) {
        end_group(walk);
        walk->group = item->key.inode;
        walk->said = walk->blocks = 0;
    }
    if (item->key.type == DISK_TYPE_DEAD_SUM) {
        walk->said = count;
        return;
    }
    walk->blocks += count;
    if (walk->step == STEP_VERIFY)
        verify_run(walk, birth, era, item->key.offset, count);
    else
        take_run(walk, birth, era, item->key.offset, count);
}

/* Whether nothing of the node is younger than what names it. */
static bool is_of_age(const struct repair *repair, const struct pointer *pointer,
                      const struct node_bounds *bounds) {
    const struct disk_node *node = repair->path[pointer->level];
    const struct disk_node *parent = repair->path[pointer->level + 1u];
    uint64_t checkpoint = bounds->is_root ? repair->super.checkpoint : le64_get(parent->checkpoint);
    uint64_t birth = bounds->is_root ? repair->super.epoch : le64_get(parent->birth);
    return le64_get(node->checkpoint) <= checkpoint && le64_get(node->birth) <= birth;
}

static void walk_node(struct dead_walk *walk, const struct pointer *pointer,
                      const struct node_bounds *bounds) {
    struct repair *repair = walk->repair;
    if (!repair_node(repair, pointer, walk->head->id | DISK_OWNER_DEAD, bounds) ||
        !is_of_age(repair, pointer, bounds) ||
        (walk->step == STEP_VERIFY && repair_bit(repair->claimed, pointer->block))) {
        walk->good = false;
        return;
    }
    if (walk->step == STEP_CLAIM)
        repair_set(repair->claimed, pointer->block);
    if (walk->step == STEP_RELEASE) {
        repair_clear(repair->claimed, pointer->block);
        repair_set(repair->keep, pointer->block);
    }
    const struct disk_node *node = repair->path[pointer->level];
    for (unsigned i = 0; walk->good && i < node_count(node); i++) {
        struct item item = node_item(node, i);
        if (node->level == 0) {
            take_item(walk, &item);
            continue;
        }
        struct pointer child = node_child(node, i);
        struct node_bounds below = node_child_bounds(node, i, bounds);
        walk_node(walk, &child, &below);
    }
}

static bool has_losses(const struct repair *repair, const struct repair_tree *head) {
    const struct repair_tree *first = repair->trees.items;
    bool losses = head->ranges > 0;
    for (const struct repair_tree *tree = head; tree > first && tree[-1].id == tree->id; tree--)
        losses |= tree[-1].ranges > 0;
    return losses;
}

static bool walk_all(struct repair *repair, struct repair_tree *head, enum step step) {
    struct dead_walk walk = {.repair = repair,
                             .head = head,
                             .step = step,
                             .good = true,
                             .has_losses = has_losses(repair, head)};
    struct node_bounds everything = {.is_root = true};
    struct pointer root = pointer_load(&head->disk.dead);
    if (root.block == 0)
        return true;
    walk_node(&walk, &root, &everything);
    end_group(&walk);
    return walk.good;
}

void repair_walk_dead(struct repair *repair, struct repair_tree *head) {
    head->dead_is_bad = !walk_all(repair, head, STEP_VERIFY);
    if (!head->dead_is_bad && repair->failure == STATUS_OK)
        walk_all(repair, head, STEP_CLAIM);
}

/* ---- when candidates were dropped ---- */

/* Where a candidate stands. */
struct dated {
    uint64_t block, index;
};

static bool dated_before(const void *a, const void *b) {
    return ((const struct dated *)a)->block < ((const struct dated *)b)->block;
}

static void date_block(struct repair *repair, struct spill_array *dated, uint64_t block,
                       uint64_t era) {
    struct dated found = {.block = block};
    uint64_t at = spill_array_search(dated, &found, dated_before);
    if (at == spill_array_count(dated))
        return; /* a failure */
    spill_array_get(dated, at, &found);
    struct repair_candidate candidate = repair_candidate(repair, found.index);
    candidate.era = era;
    spill_array_put(repair->candidates, found.index, &candidate);
}

static void date_run(struct repair_visitor *visitor, const struct item *item) {
    struct repair *repair = visitor->repair;
    if (item->key.type != DISK_TYPE_DEAD)
        return;
    uint64_t block = item->key.offset;
    uint64_t end = block + le64_get(((const struct disk_dead *)item->value)->count);
    for (; block < end && repair->failure == STATUS_OK; block++)
        if (repair_bit(repair->other, block))
            date_block(repair, visitor->context, block, item->key.inode >> 32);
}

static void date_all(struct repair *repair, struct spill_array *dated) {
    for (uint64_t i = 0; i < repair_candidate_count(repair); i++) {
        struct dated candidate = {repair_candidate(repair, i).pointer.block, i};
        spill_array_add(dated, &candidate);
        repair_set(repair->other, candidate.block);
    }
    spill_array_sort(dated, dated_before);
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count && repair->failure == STATUS_OK; i++) {
        struct pointer root = pointer_load(&trees[i].disk.dead);
        struct repair_visitor visitor = {.repair = repair,
                                         .id = trees[i].id | DISK_OWNER_DEAD,
                                         .item = date_run,
                                         .range = {.is_root = true},
                                         .context = dated};
        if (repair_is_head(&trees[i]) && root.block != 0 && !trees[i].dead_is_bad)
            repair_visit(&visitor, &root);
    }
}

void repair_date_candidates(struct repair *repair) {
    struct spill_array *dated = spill_array_open(repair->spill, sizeof(struct dated));
    if (dated != NULL && repair_other(repair))
        date_all(repair, dated);
    spill_array_close(dated);
}

/* ---- making it anew ---- */

struct dead_block {
    uint64_t birth, block;
};

struct making {
    struct repair_tree *tree;
    uint64_t origin_epoch;
    struct spill_array *dropped; /* struct dead_block */
};

static void count_block(struct making *making, uint64_t birth, uint64_t count) {
    if (birth <= making->origin_epoch)
        making->tree->shared += count;
}

static bool count_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    struct making *making = visitor->context;
    making->tree->nodes++;
    count_block(making, pointer->birth, 1);
    return true;
}

static void count_item(struct repair_visitor *visitor, const struct item *item) {
    struct making *making = visitor->context;
    if (item->key.type != DISK_TYPE_EXTENT)
        return;
    const struct disk_extent *extent = item->value;
    making->tree->data += le32_get(extent->block_count);
    count_block(making, le64_get(extent->birth), le32_get(extent->block_count));
}

static bool mark_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    repair_set(visitor->repair->other, pointer->block);
    return true;
}

static void mark_item(struct repair_visitor *visitor, const struct item *item) {
    const struct disk_extent *extent = item->value;
    if (item->key.type == DISK_TYPE_EXTENT)
        for (uint64_t i = 0; i < le32_get(extent->block_count); i++)
            repair_set(visitor->repair->other, le64_get(extent->block) + i);
}

static void add_dropped(struct repair_visitor *visitor, uint64_t birth, uint64_t block) {
    struct making *making = visitor->context;
    if (birth <= making->origin_epoch || repair_bit(visitor->repair->other, block))
        return;
    struct dead_block dead = {birth, block};
    spill_array_add(making->dropped, &dead);
}

/* What is below a node that the younger tree has, it has too. */
static bool drop_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    add_dropped(visitor, pointer->birth, pointer->block);
    return !repair_bit(visitor->repair->other, pointer->block);
}

static void drop_item(struct repair_visitor *visitor, const struct item *item) {
    const struct disk_extent *extent = item->value;
    if (item->key.type == DISK_TYPE_EXTENT)
        for (uint64_t i = 0; i < le32_get(extent->block_count); i++)
            add_dropped(visitor, le64_get(extent->birth), le64_get(extent->block) + i);
}

static bool dead_before(const void *one, const void *two) {
    const struct dead_block *a = one;
    const struct dead_block *b = two;
    return a->birth != b->birth ? a->birth < b->birth : a->block < b->block;
}

static void put_number(struct repair_loader *loader, uint64_t era, uint64_t birth, uint64_t block,
                       uint64_t number) {
    struct key key = {era << 32 | birth, block, block == 0 ? DISK_TYPE_DEAD_SUM : DISK_TYPE_DEAD};
    le64 value = le64_make(number);
    repair_loader_item(loader, &key, &value, sizeof value);
}

static struct dead_block dead_at(struct spill_array *dropped, uint64_t index) {
    struct dead_block dead;
    spill_array_get(dropped, index, &dead);
    return dead;
}

/* The blocks [at, end) of one birth, as runs. */
static void put_runs(struct repair_loader *loader, uint64_t era, struct spill_array *dropped,
                     uint64_t at, uint64_t end) {
    while (at < end) {
        struct dead_block first = dead_at(dropped, at);
        uint64_t run = 1;
        while (at + run < end && dead_at(dropped, at + run).block == first.block + run)
            run++;
        put_number(loader, era, first.birth, first.block, run);
        at += run;
    }
}

/* The blocks in their order, as sums and runs. */
static void put_dropped(struct repair_loader *loader, uint64_t era, struct spill_array *dropped) {
    uint64_t count = spill_array_count(dropped);
    for (uint64_t i = 0; i < count && loader->repair->failure == STATUS_OK;) {
        uint64_t birth = dead_at(dropped, i).birth;
        uint64_t end = i + 1;
        while (end < count && dead_at(dropped, end).birth == birth)
            end++;
        put_number(loader, era, birth, 0, end - i);
        put_runs(loader, era, dropped, i, end);
        i = end;
    }
}

static void visit_tree(struct repair *repair, struct making *making, struct repair_tree *tree,
                       bool (*node)(struct repair_visitor *, const struct pointer *),
                       void (*item)(struct repair_visitor *, const struct item *)) {
    struct repair_visitor visitor = {.repair = repair,
                                     .id = tree->id,
                                     .node = node,
                                     .item = item,
                                     .range = {.is_root = true},
                                     .context = making};
    if (repair->failure == STATUS_OK)
        repair_visit(&visitor, &tree->root);
}

static void count_tree(struct repair *repair, struct making *making, struct repair_tree *tree) {
    making->tree = tree;
    tree->nodes = tree->data = tree->shared = 0;
    visit_tree(repair, making, tree, count_node, count_item);
}

/* What the snapshot has and the next younger tree has not. */
static void drop(struct repair *repair, struct making *making, struct repair_tree *snapshot,
                 struct repair_loader *loader) {
    if (!repair_other(repair))
        return;
    visit_tree(repair, making, repair_younger(repair, snapshot), mark_node, mark_item);
    visit_tree(repair, making, snapshot, drop_node, drop_item);
    spill_array_sort(making->dropped, dead_before);
    put_dropped(loader, snapshot->epoch, making->dropped);
    spill_array_cut(making->dropped, 0);
}

static void drop_all(struct repair *repair, struct making *making, struct repair_tree *head,
                     struct repair_loader *loader) {
    struct repair_tree *tree = head;
    while (tree > (struct repair_tree *)repair->trees.items && tree[-1].id == head->id)
        tree--;
    for (; tree < head && repair->failure == STATUS_OK; tree++) {
        count_tree(repair, making, tree);
        drop(repair, making, tree, loader);
    }
}

static bool count_dead_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    (void)pointer;
    ++*(uint64_t *)visitor->context;
    return true;
}

static void count_dead(struct repair *repair, struct repair_tree *head) {
    uint64_t nodes = 0;
    struct pointer root = pointer_load(&head->disk.dead);
    struct repair_visitor visitor = {.repair = repair,
                                     .id = head->id | DISK_OWNER_DEAD,
                                     .node = count_dead_node,
                                     .range = {.is_root = true},
                                     .context = &nodes};
    if (repair->failure == STATUS_OK)
        repair_visit(&visitor, &root);
    head->disk.dead_nodes = le64_make(nodes);
}

/* Snapshots that are being deleted are so at once: nothing names any more what only they had. */
static void forget_gone(struct repair *repair, uint64_t id) {
    struct repair_tree *trees = repair->trees.items;
    uint64_t count = 0;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        if (trees[i].id == id && repair_is_gone(&trees[i]))
            repair_forget_losses(&trees[i]);
        else
            trees[count++] = trees[i];
    }
    repair->trees.count = count;
}

void repair_rebuild_dead(struct repair *repair, uint64_t id) {
    struct repair_loader loader;
    struct repair_tree *head = repair_find_tree(repair, id, REPAIR_HEAD);
    if (!head->dead_is_bad)
        walk_all(repair, head, STEP_RELEASE);
    forget_gone(repair, id);
    head = repair_find_tree(repair, id, REPAIR_HEAD);
    struct making making = {.origin_epoch = le64_get(head->disk.origin_epoch)};
    count_tree(repair, &making, head);
    head->disk.dead = (struct disk_pointer){0};
    head->disk.dead_nodes = le64_make(0);
    if (repair->failure != STATUS_OK || repair_loader_start(&loader, repair, id | DISK_OWNER_DEAD,
                                                            repair->super.epoch) != STATUS_OK)
        return;
    making.dropped = spill_array_open(repair->spill, sizeof(struct dead_block));
    drop_all(repair, &making, head, &loader);
    spill_array_close(making.dropped);
    bool empty = repair_loader_is_empty(&loader);
    struct pointer root = repair_loader_end(&loader);
    if (empty) {
        repair_clear(repair->claimed, root.block);
        return;
    }
    pointer_store(&head->disk.dead, &root);
    count_dead(repair, head);
}
