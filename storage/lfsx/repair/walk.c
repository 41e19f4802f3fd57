/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over what is readable. A node counts if it would count for an open pool too and if
 * nothing that it names was named before but by an older tree that it descends from; the keys of
 * one that does not are a lost range. One that is whole, but says what cannot be, is corrected
 * (correct.c). What was found whole in an older tree is not walked again where this tree says the
 * same of it.
 */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/format/trail.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/repair_internal.h"

struct walk {
    struct repair *repair;
    struct repair_tree *tree;           /* NULL: the catalog */
    struct repair_tree *older;          /* NULL: there is none */
    struct trail trail;                 /* in the older one */
    uint64_t above[DISK_LEVEL_MAX + 1]; /* the way down, by level */
    struct key floor;                   /* the tree has all keys before this one already */
    bool begun;                         /* it came to the first leaf */
};

bool repair_node(struct repair *repair, const struct pointer *pointer, uint64_t owner,
                 const struct node_bounds *bounds) {
    const struct geometry *g = &repair->label.geometry;
    if (pointer->level > DISK_LEVEL_MAX || !geometry_is_data(g, pointer->block, 1))
        return false;
    struct disk_node *node = repair->path[pointer->level];
    const char *why;
    return repair_read(repair, pointer->block, node) &&
           node_validate(node, pointer, owner, &why) == STATUS_OK &&
           node_bounds_validate(node, bounds, &why) == STATUS_OK &&
           node_values_validate(node, g, &why) == STATUS_OK;
}

bool repair_is_tainted(const struct repair *repair, uint64_t block) {
    return geometry_is_data(&repair->label.geometry, block, 1) &&
           repair_bit(repair->tainted, block);
}

static bool is_shared(const struct walk *walk, uint64_t birth) {
    return walk->tree != NULL && walk->tree->since != 0 && birth <= walk->tree->since;
}

/* Whether the blocks of an extent are free to be claimed, or an older tree's. */
static bool is_free(const struct walk *walk, const struct disk_extent *extent) {
    for (uint64_t i = 0; i < le32_get(extent->block_count); i++) {
        uint64_t block = le64_get(extent->block) + i;
        uint64_t birth = repair_true_birth(walk->repair, block, le64_get(extent->birth));
        if (!is_shared(walk, birth) && repair_bit(walk->repair->claimed, block))
            return false;
    }
    return true;
}

/* Whether all extents are in order, and their blocks free. */
static bool extents_are_free(struct walk *walk, const struct disk_node *leaf) {
    uint64_t file = walk->tree == NULL ? 0 : walk->tree->file;
    uint64_t end = walk->tree == NULL ? 0 : walk->tree->file_end;
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        const struct disk_extent *extent = item.value;
        if ((item.key.inode == file && item.key.offset < end) || !is_free(walk, extent))
            return false;
        file = item.key.inode;
        end = item.key.offset + le32_get(extent->block_count);
    }
    return true;
}

/* Whether a leaf has what one of a volume may have, and the first one what it must have. */
static bool fits_a_volume(const struct disk_node *leaf, bool is_first) {
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        const char *why;
        if (value_validate_volume(&item, &why) != STATUS_OK)
            return false;
    }
    if (!is_first)
        return true;
    if (node_count(leaf) == 0 || node_key(leaf, 0).type != DISK_TYPE_INODE)
        return false;
    const struct disk_inode *inode = node_item(leaf, 0).value;
    return le32_get(inode->links) == 1;
}

/* Whether what a leaf says can be; of the catalog's, the records are looked at one by one. */
static bool is_possible(struct walk *walk, const struct disk_node *leaf) {
    bool is_first = !walk->begun;
    walk->begun = true;
    return extents_are_free(walk, leaf) &&
           (walk->tree == NULL || walk->tree->in_share || fits_a_volume(leaf, is_first));
}

static void take_dataset(struct repair *repair, const struct disk_dataset *disk) {
    struct repair_tree *tree = repair_add_tree(repair, le64_get(disk->id), REPAIR_HEAD);
    if (tree == NULL)
        return;
    tree->disk = *disk;
    tree->root = pointer_load(&disk->root);
    memcpy(tree->name, disk->name, disk->name_length);
}

static void take_snapshot(struct repair *repair, const struct item *item) {
    const struct disk_snapshot *disk = item->value;
    struct repair_tree *tree = repair_add_tree(repair, item->key.inode, item->key.offset);
    if (tree == NULL)
        return;
    tree->snapshot = *disk;
    tree->root = pointer_load(&disk->root);
    memcpy(tree->name, disk->name, disk->name_length);
}

static void take_schedule(struct repair *repair, const struct item *item) {
    struct repair_schedule *schedule = repair_add(repair, &repair->schedules, sizeof *schedule);
    if (schedule == NULL)
        return;
    schedule->id = item->key.inode;
    schedule->length = item->length;
    memcpy(schedule->value, item->value, item->length);
}

static void claim(struct walk *walk, uint64_t birth, uint64_t block) {
    if (walk->older != NULL && is_shared(walk, birth) && !repair_bit(walk->repair->claimed, block))
        walk->older->is_short = true;
    repair_set(walk->repair->claimed, block);
}

/* Whether what is as old as the older tree must be in it. */
static bool older_is_whole(const struct walk *walk) {
    const struct repair_tree *older = walk->older;
    return older != NULL && older->ranges == 0 && !older->found && !older->guessed;
}

/* Whether a block of this birth is this tree's although it says that it is not, or the reverse. */
static bool is_misdated(const struct walk *walk, uint64_t block, uint64_t birth) {
    return birth > repair_birth(walk->repair, walk->tree) ||
           (is_shared(walk, birth) && !repair_bit(walk->repair->claimed, block) &&
            older_is_whole(walk));
}

static void take_extent(struct walk *walk, const struct item *item) {
    struct repair *repair = walk->repair;
    const struct disk_extent *extent = item->value;
    uint64_t count = repair_extent_blocks(walk->tree, item);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t block = le64_get(extent->block) + i;
        uint64_t birth = repair_true_birth(repair, block, le64_get(extent->birth));
        if (is_misdated(walk, block, birth)) {
            birth = repair_birth(repair, walk->tree);
            repair_adopt(repair, block, birth);
        }
        claim(walk, birth, block);
    }
    walk->tree->file = item->key.inode;
    walk->tree->file_end = item->key.offset + count;
}

static void take_item(struct walk *walk, const struct item *item) {
    switch (item->key.type) {
    case DISK_TYPE_DATASET:
        take_dataset(walk->repair, item->value);
        break;
    case DISK_TYPE_SNAPSHOT:
        take_snapshot(walk->repair, item);
        break;
    case DISK_TYPE_SCHEDULE:
        take_schedule(walk->repair, item);
        break;
    case DISK_TYPE_INODE:
        if (!walk->tree->in_share)
            walk->tree->size = walk->tree->limit =
                le64_get(((const struct disk_inode *)item->value)->size);
        break;
    case DISK_TYPE_EXTENT:
        take_extent(walk, item);
        break;
    default:
        break; /* names are made anew from the records */
    }
}

/* Nodes from this level on up must be written anew. */
static void taint(struct walk *walk, unsigned level) {
    for (; level <= walk->tree->root.level; level++)
        repair_set(walk->repair->tainted, walk->above[level]);
}

static void lose(struct walk *walk, const struct pointer *pointer,
                 const struct node_bounds *bounds) {
    struct repair *repair = walk->repair;
    struct repair_range *range = repair_add(repair, &repair->ranges, sizeof *range);
    if (range == NULL)
        return;
    *range = (struct repair_range){DISK_OWNER_CATALOG, REPAIR_HEAD, *pointer, *bounds};
    if (walk->tree == NULL) {
        repair->catalog_lost = true;
        return;
    }
    range->id = walk->tree->id;
    range->epoch = walk->tree->epoch;
    walk->tree->ranges++;
    taint(walk, (unsigned)pointer->level + 1);
}

static void claim_node(struct walk *walk, const struct pointer *pointer) {
    struct repair *repair = walk->repair;
    claim(walk, pointer->birth, pointer->block);
    if (walk->tree != NULL)
        return;
    uint64_t *block = repair_add(repair, &repair->catalog_nodes, sizeof *block);
    if (block != NULL)
        *block = pointer->block;
}

/* Whether a node that the older tree has is right in this one, too: where that says the same of
 * it, or by its keys. */
static bool is_in_place(struct walk *walk, const struct pointer *pointer,
                        const struct node_bounds *bounds) {
    struct repair *repair = walk->repair;
    struct trail_step older;
    struct trail_step step = {*pointer, *bounds};
    enum status status = trail_look(&walk->trail, &bounds->low, pointer->level, &older);
    if (status == STATUS_NO_MEMORY || status == STATUS_GONE)
        repair_fail(repair, status);
    if (repair->failure != STATUS_OK || (status == STATUS_OK && trail_is_same(&older, &step)))
        return true;
    for (;;) {
        uint64_t owner = repair_owner(repair, walk->tree->id, step.pointer.birth);
        if (!repair_node(repair, &step.pointer, owner, &step.bounds))
            return false;
        const struct disk_node *node = repair->path[step.pointer.level];
        if (node->level == 0 || !step.bounds.has_high)
            return true;
        unsigned last = node_count(node) - 1;
        step.bounds = node_child_bounds(node, last, &step.bounds);
        step.pointer = node_child(node, last);
    }
}

/* Whether the node says what cannot be, for all that is above it; `parent` is NULL for the root. */
static bool is_wrong(const struct walk *walk, const struct disk_node *node,
                     const struct node_bounds *bounds, const struct disk_node *parent,
                     bool is_missing) {
    const struct repair *repair = walk->repair;
    const char *why;
    uint64_t checkpoint = parent == NULL ? repair->super.checkpoint : le64_get(parent->checkpoint);
    uint64_t birth = parent == NULL ? repair_birth(repair, walk->tree) : le64_get(parent->birth);
    return is_missing || le64_get(node->checkpoint) > checkpoint || le64_get(node->birth) > birth ||
           node_bounds_validate(node, bounds, &why) != STATUS_OK;
}

/* Whether an item of a leaf cannot be as it is. */
static bool is_item_wrong(const struct walk *walk, const struct node_bounds *bounds,
                          const struct item *item) {
    const struct disk_extent *extent = item->value;
    if (repair_is_astray(bounds, &walk->floor, &item->key))
        return true;
    if (item->key.type != DISK_TYPE_EXTENT)
        return false;
    uint64_t said = le64_get(extent->birth);
    bool wrong = repair_extent_blocks(walk->tree, item) < le32_get(extent->block_count);
    for (uint64_t i = 0; i < le32_get(extent->block_count) && !wrong; i++) {
        uint64_t block = le64_get(extent->block) + i;
        wrong =
            repair_true_birth(walk->repair, block, said) != said || is_misdated(walk, block, said);
    }
    return wrong;
}

/* What stands where nothing of its key can be is given up. */
static void lose_astray(struct walk *walk, const struct item *item) {
    struct repair_tree *tree = walk->tree;
    if (item->key.type != DISK_TYPE_EXTENT || tree->in_share)
        repair_lose(walk->repair, tree, 0, UINT64_MAX, true);
    else
        repair_lose(walk->repair, tree, item->key.offset,
                    item->key.offset + repair_extent_blocks(tree, item), false);
}

static void walk_leaf(struct walk *walk, const struct pointer *pointer,
                      const struct node_bounds *bounds, bool is_wrong) {
    struct repair *repair = walk->repair;
    const struct disk_node *leaf = repair->path[0];
    struct key floor = walk->floor;
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        bool astray = walk->tree != NULL && repair_is_astray(bounds, &floor, &item.key);
        if (walk->tree != NULL && !is_wrong)
            is_wrong = is_item_wrong(walk, bounds, &item);
        if (astray) {
            lose_astray(walk, &item);
            continue;
        }
        take_item(walk, &item);
        walk->floor = repair_key_after(item.key);
    }
    if (!is_wrong) {
        claim_node(walk, pointer);
        return;
    }
    struct repair_correction *correction =
        repair_add(repair, &repair->corrections, sizeof *correction);
    if (correction == NULL)
        return;
    *correction =
        (struct repair_correction){{walk->tree->id, walk->tree->epoch, *pointer, *bounds}, floor};
    walk->tree->corrections++;
    taint(walk, 0);
}

static void walk_node(struct walk *walk, const struct pointer *pointer,
                      const struct node_bounds *bounds, const struct disk_node *parent);

static void walk_children(struct walk *walk, const struct disk_node *node,
                          const struct node_bounds *bounds) {
    for (unsigned i = 0; walk->repair->failure == STATUS_OK && i < node_count(node); i++) {
        struct pointer child = node_child(node, i);
        struct node_bounds below;
        if (repair_child_bounds(node, i, bounds, &below))
            walk_node(walk, &child, &below, node);
        else
            repair_lose(walk->repair, walk->tree, 0, UINT64_MAX, true);
    }
}

static void pass(struct walk *walk, const struct node_bounds *bounds) {
    walk->begun = true;
    if (bounds->has_high)
        walk->floor = bounds->high;
}

static void walk_node(struct walk *walk, const struct pointer *pointer,
                      const struct node_bounds *bounds, const struct disk_node *parent) {
    static const struct node_bounds anything = {.is_root = true};
    struct repair *repair = walk->repair;
    bool claimed = geometry_is_data(&repair->label.geometry, pointer->block, 1) &&
                   repair_bit(repair->claimed, pointer->block);
    bool shared = is_shared(walk, pointer->birth);
    bool whole = claimed && shared && !repair_is_tainted(repair, pointer->block);
    if (whole && is_in_place(walk, pointer, bounds)) {
        if (!walk->begun)
            walk->tree->limit = walk->older->limit;
        pass(walk, bounds);
        return;
    }
    uint64_t owner = walk->tree == NULL ? DISK_OWNER_CATALOG
                                        : repair_owner(repair, walk->tree->id, pointer->birth);
    bool good = (!claimed || shared) &&
                repair_node(repair, pointer, owner, walk->tree == NULL ? bounds : &anything);
    const struct disk_node *node = good ? repair->path[pointer->level] : NULL;
    if (repair->failure != STATUS_OK)
        return;
    if (!good || (node->level == 0 && !is_possible(walk, node))) {
        pass(walk, bounds);
        lose(walk, pointer, bounds);
        return;
    }
    walk->above[pointer->level] = pointer->block;
    bool missing = shared && !claimed && older_is_whole(walk);
    bool wrong = walk->tree != NULL && is_wrong(walk, node, bounds, parent, missing);
    if (whole)
        repair_set(repair->disputed, pointer->block);
    if (node->level == 0) {
        walk_leaf(walk, pointer, bounds, wrong || whole);
        return;
    }
    if (wrong) {
        walk->tree->corrections++;
        taint(walk, pointer->level);
    } else {
        claim_node(walk, pointer);
    }
    walk_children(walk, node, bounds);
}

void repair_walk_catalog(struct repair *repair) {
    struct walk walk = {.repair = repair};
    struct node_bounds everything = {.is_root = true};
    walk_node(&walk, &repair->super.catalog, &everything, NULL);
}

/* What an older tree has whole is not looked into, so its size may be all that is known. */
void repair_walk_tree(struct repair *repair, struct repair_tree *tree) {
    struct walk walk = {.repair = repair, .tree = tree};
    struct node_bounds everything = {.is_root = true};
    if (repair_is_gone(tree))
        return;
    struct repair_tree *older = walk.older = repair_older(repair, tree);
    struct pointer nothing = {0};
    trail_follow(&walk.trail, repair->device, older == NULL ? &nothing : &older->root);
    walk_node(&walk, &tree->root, &everything, NULL);
    trail_release(&walk.trail);
    if (tree->in_share)
        return;
    if (tree->size == 0 && !repair_is_head(tree))
        tree->size = le64_get(tree->snapshot.size);
    if (tree->size == 0 && tree->ranges == 0 && older != NULL)
        tree->size = older->size;
}

static bool is_inside(const struct node_bounds *range, const struct key *key) {
    return range->is_root || (key_compare(key, &range->low) >= 0 &&
                              (!range->has_high || key_compare(key, &range->high) < 0));
}

/* Whether keys of the bounds may be inside of the range. */
static bool may_meet(const struct node_bounds *range, const struct node_bounds *bounds) {
    if (range->is_root || bounds->is_root)
        return true;
    return (!range->has_high || key_compare(&bounds->low, &range->high) < 0) &&
           (!bounds->has_high || key_compare(&range->low, &bounds->high) < 0);
}

static void visit_node(struct repair_visitor *visitor, const struct pointer *pointer,
                       const struct node_bounds *bounds) {
    struct repair *repair = visitor->repair;
    if (visitor->ended || !may_meet(&visitor->range, bounds) ||
        !repair_node(repair, pointer, repair_owner(repair, visitor->id, pointer->birth), bounds) ||
        (visitor->node != NULL && !visitor->node(visitor, pointer)))
        return;
    const struct disk_node *node = repair->path[pointer->level];
    for (unsigned i = 0; repair->failure == STATUS_OK && !visitor->ended && i < node_count(node);
         i++) {
        struct item item = node_item(node, i);
        if (node->level > 0) {
            struct pointer child = node_child(node, i);
            struct node_bounds below = node_child_bounds(node, i, bounds);
            visit_node(visitor, &child, &below);
        } else if (visitor->item != NULL && is_inside(&visitor->range, &item.key)) {
            visitor->item(visitor, &item);
        }
    }
}

void repair_visit(struct repair_visitor *visitor, const struct pointer *root) {
    struct node_bounds everything = {.is_root = true};
    visit_node(visitor, root, &everything);
}
