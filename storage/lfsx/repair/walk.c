/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over what is readable. A node counts if it would count for an open pool too and if
 * nothing that it names was named before but by an older tree that it descends from; the keys of
 * one that does not are a lost range. What was found whole in an older tree is not walked again.
 */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/repair_internal.h"

struct walk {
    struct repair *repair;
    struct repair_tree *tree;           /* NULL: the catalog */
    struct repair_tree *older;          /* NULL: there is none */
    uint64_t above[DISK_LEVEL_MAX + 1]; /* the way down, by level */
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

/* Whether all extents are in order, and their blocks free to be claimed or an older tree's. */
static bool extents_are_free(struct walk *walk, const struct disk_node *leaf) {
    uint64_t file = walk->tree == NULL ? 0 : walk->tree->file;
    uint64_t end = walk->tree == NULL ? 0 : walk->tree->file_end;
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        const struct disk_extent *extent = item.value;
        if (item.key.inode == file && item.key.offset < end)
            return false;
        file = item.key.inode;
        end = item.key.offset + le32_get(extent->block_count);
        for (uint64_t j = 0;
             !is_shared(walk, le64_get(extent->birth)) && j < le32_get(extent->block_count); j++)
            if (repair_bit(walk->repair->claimed, le64_get(extent->block) + j))
                return false;
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

static void take_extent(struct walk *walk, const struct item *item) {
    const struct disk_extent *extent = item->value;
    uint64_t count = le32_get(extent->block_count);
    for (uint64_t i = 0; i < count; i++)
        claim(walk, le64_get(extent->birth), le64_get(extent->block) + i);
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
            walk->tree->size = le64_get(((const struct disk_inode *)item->value)->size);
        break;
    case DISK_TYPE_EXTENT:
        take_extent(walk, item);
        break;
    default:
        break; /* names are made anew from the records */
    }
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
    for (unsigned level = (unsigned)pointer->level + 1; level <= walk->tree->root.level; level++)
        repair_set(repair->tainted, walk->above[level]);
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

static void walk_node(struct walk *walk, const struct pointer *pointer,
                      const struct node_bounds *bounds) {
    struct repair *repair = walk->repair;
    bool claimed = geometry_is_data(&repair->label.geometry, pointer->block, 1) &&
                   repair_bit(repair->claimed, pointer->block);
    bool shared = is_shared(walk, pointer->birth);
    if (claimed && shared && !repair_is_tainted(repair, pointer->block)) {
        walk->begun = true;
        return;
    }
    uint64_t owner = walk->tree == NULL ? DISK_OWNER_CATALOG
                                        : repair_owner(repair, walk->tree->id, pointer->birth);
    bool good = (!claimed || shared) && repair_node(repair, pointer, owner, bounds);
    const struct disk_node *node = good ? repair->path[pointer->level] : NULL;
    if (repair->failure != STATUS_OK)
        return;
    if (!good || (node->level == 0 && !is_possible(walk, node))) {
        walk->begun = true;
        lose(walk, pointer, bounds);
        return;
    }
    claim_node(walk, pointer);
    walk->above[pointer->level] = pointer->block;
    for (unsigned i = 0; repair->failure == STATUS_OK && i < node_count(node); i++) {
        if (node->level == 0) {
            struct item item = node_item(node, i);
            take_item(walk, &item);
            continue;
        }
        struct pointer child = node_child(node, i);
        struct node_bounds below = node_child_bounds(node, i, bounds);
        walk_node(walk, &child, &below);
    }
}

void repair_walk_catalog(struct repair *repair) {
    struct walk walk = {.repair = repair};
    struct node_bounds everything = {.is_root = true};
    walk_node(&walk, &repair->super.catalog, &everything);
}

/* What an older tree has whole is not looked into, so its size may be all that is known. */
void repair_walk_tree(struct repair *repair, struct repair_tree *tree) {
    struct walk walk = {.repair = repair, .tree = tree};
    struct node_bounds everything = {.is_root = true};
    if (repair_is_gone(tree))
        return;
    struct repair_tree *older = walk.older = repair_older(repair, tree);
    walk_node(&walk, &tree->root, &everything);
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
