/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over one tree. It needs no recursion and cannot go round in circles: the level falls by
 * one with each step down, and a node that was claimed before is not entered.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/check/check_internal.h"
#include "storage/lfsx/format/values.h"

/* One inner node that the walk stands in; its page is check->path[level]. */
struct step {
    struct node_bounds bounds;
    unsigned next; /* child */
};

static void skip(struct check_tree *tree) {
    tree->incomplete = true;
    tree->check->incomplete = true;
}

static void report_node(struct check_tree *tree, enum check_finding finding, uint64_t block,
                        const char *what) {
    check_report(tree->check, finding, block, "node at block %llu: %s (tree of %s)",
                 (unsigned long long)block, what, tree->name);
}

/* Whose nodes of this age are in the tree: what a clone had from the beginning is its origin's. */
static uint64_t owner_of(const struct check_tree *tree, uint64_t birth) {
    const struct check_dataset *dataset = tree->dataset;
    struct check_dataset origin;
    uint64_t owner = tree->owner;
    while (dataset != NULL && dataset->origin != 0 && birth <= dataset->origin_epoch) {
        owner = dataset->origin;
        dataset = check_find_dataset(tree->check, owner, &origin) ? &origin : NULL;
    }
    return owner;
}

bool check_tree_shares(struct check_tree *tree, uint64_t birth, uint64_t block, uint64_t count) {
    if (tree->since == 0 || birth > tree->since)
        return false;
    if (tree->dataset->state == DISK_DATASET_DELETING)
        return true; /* it will not be looked at any more, and its owner may have freed it */
    uint64_t missing = check_unclaimed(tree->check, block, count);
    if (missing == 0)
        return true;
    tree->doubtful = true;
    if (!tree->dataset->incomplete)
        check_report(tree->check, CHECK_SHARED_MISSING, block,
                     "%llu of the blocks %llu..%llu are of epoch %llu, but not in the older tree "
                     "that should have them (tree of %s)",
                     (unsigned long long)missing, (unsigned long long)block,
                     (unsigned long long)(block + count - 1), (unsigned long long)birth,
                     tree->name);
    return false;
}

/* Reads a node into the page of its level; false if it cannot be looked into. */
static bool read_node(struct check_tree *tree, const struct pointer *pointer) {
    struct check *check = tree->check;
    struct disk_node *node = check->path[pointer->level];
    enum status status =
        blockdev_read(check->device, pointer->block * DISK_BLOCK_SIZE, node, DISK_BLOCK_SIZE);
    if (!check_is_damage(check, status))
        return false;
    if (status != STATUS_OK) {
        report_node(tree, CHECK_NODE_UNREADABLE, pointer->block, status_text(status));
        return false;
    }
    const char *why = "";
    status = node_validate(node, pointer, owner_of(tree, pointer->birth), &why);
    if (status != STATUS_OK)
        report_node(tree, status == STATUS_CHECKSUM ? CHECK_NODE_CHECKSUM : CHECK_NODE_CORRUPT,
                    pointer->block, why);
    return status == STATUS_OK;
}

static void check_bounds(struct check_tree *tree, const struct disk_node *node,
                         const struct node_bounds *bounds) {
    const char *why = "";
    if (node_bounds_validate(node, bounds, &why) == STATUS_OK)
        return;
    report_node(tree, CHECK_NODE_ORDER, le64_get(node->block), why);
    tree->disordered = true;
}

static void check_age(struct check_tree *tree, const struct disk_node *node,
                      const struct disk_node *parent) {
    const struct superblock *super = &tree->check->super;
    uint64_t checkpoint = parent == NULL ? super->checkpoint : le64_get(parent->checkpoint);
    uint64_t birth = parent == NULL ? tree->epoch : le64_get(parent->birth);
    uint64_t block = le64_get(node->block);
    if (le64_get(node->checkpoint) > checkpoint)
        report_node(tree, CHECK_NODE_AGE, block, "it is of a later checkpoint than its parent");
    if (le64_get(node->birth) > birth)
        report_node(tree, CHECK_NODE_AGE, block, "it is of a later epoch than its parent");
}

static void check_leaf(struct check_tree *tree, const struct disk_node *leaf) {
    uint64_t block = le64_get(leaf->block);
    for (unsigned i = 0; tree->check->failure == STATUS_OK && i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        const char *why = "";
        if (value_validate(&item, &tree->check->label.geometry, tree->owner, &why) == STATUS_OK) {
            tree->visit(tree, &item, block);
            continue;
        }
        check_report(tree->check, CHECK_ITEM_INVALID, block,
                     "item %u of the node at block %llu %s (tree of %s)", i,
                     (unsigned long long)block, why, tree->name);
        skip(tree);
    }
}

/* Whether the older tree says of the node what this one does; it was found right there. */
static bool is_in_older(struct check_tree *tree, const struct trail_step *step) {
    struct check *check = tree->check;
    struct trail_step older;
    enum status status = trail_look(&check->trail, &step->bounds.low, step->pointer.level, &older);
    return check_is_damage(check, status) && status == STATUS_OK && trail_is_same(&older, step);
}

/* A node that an older tree has is looked into again only where this tree says something else of
 * it: then it, and the last nodes below it, which its keys end with. */
static void check_shared_node(struct check_tree *tree, const struct pointer *pointer,
                              const struct node_bounds *bounds) {
    struct check *check = tree->check;
    struct trail_step step = {*pointer, *bounds};
    if (tree->dataset->state == DISK_DATASET_DELETING || is_in_older(tree, &step))
        return;
    while (check->failure == STATUS_OK) {
        if (!geometry_is_data(&check->label.geometry, step.pointer.block, 1) ||
            !read_node(tree, &step.pointer)) {
            skip(tree);
            return;
        }
        const struct disk_node *node = check->path[step.pointer.level];
        check_bounds(tree, node, &step.bounds);
        if (node->level == 0 || !step.bounds.has_high)
            return;
        unsigned last = node_count(node) - 1;
        step.bounds = node_child_bounds(node, last, &step.bounds);
        step.pointer = node_child(node, last);
    }
}

/* Looks at one node; true if it is an inner one to go down into. */
static bool enter(struct check_tree *tree, const struct pointer *pointer,
                  const struct node_bounds *bounds, const struct disk_node *parent) {
    struct check *check = tree->check;
    if (pointer->level > DISK_LEVEL_MAX ||
        !geometry_is_data(&check->label.geometry, pointer->block, 1)) {
        report_node(tree, CHECK_NODE_LOCATION, pointer->block,
                    "a pointer names it, but no node can be there");
        skip(tree);
        return false;
    }
    if (check_tree_shares(tree, pointer->birth, pointer->block, 1)) {
        tree->is_alike |= !tree->begun;
        tree->begun = true;
        check_shared_node(tree, pointer, bounds);
        return false;
    }
    bool is_new = tree->again || check_claim(check, pointer->block, 1, tree->name) > 0;
    if (!is_new || !read_node(tree, pointer)) {
        skip(tree);
        return false;
    }
    const struct disk_node *node = check->path[pointer->level];
    tree->nodes++;
    check->summary->nodes += !tree->again;
    check_bounds(tree, node, bounds);
    check_age(tree, node, parent);
    if (node->level > 0)
        return true;
    tree->begun = true;
    check_leaf(tree, node);
    return false;
}

void check_tree_walk(struct check_tree *tree) {
    struct check *check = tree->check;
    struct step steps[DISK_LEVEL_MAX + 1];
    struct node_bounds everything = {.is_root = true};
    unsigned top = tree->root.level;
    unsigned level = top;
    trail_follow(&check->trail, check->device, &tree->older);
    if (!enter(tree, &tree->root, &everything, NULL))
        return;
    steps[level] = (struct step){.bounds = everything};
    while (check->failure == STATUS_OK) {
        struct step *step = &steps[level];
        const struct disk_node *node = check->path[level];
        if (step->next == node_count(node)) {
            if (level == top)
                return;
            level++;
            continue;
        }
        unsigned index = step->next++;
        struct pointer child = node_child(node, index);
        struct node_bounds bounds = node_child_bounds(node, index, &step->bounds);
        ASSERT(child.level == level - 1);
        if (enter(tree, &child, &bounds, node))
            steps[--level] = (struct step){.bounds = bounds};
    }
}
