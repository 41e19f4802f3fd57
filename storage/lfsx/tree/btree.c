/* SPDX-License-Identifier: Apache-2.0 */
/* The invariants stand in btree.h. This file looks; btree_change.c changes. */
#include "storage/lfsx/tree/btree.h"
#include "base/assert.h"
#include "storage/lfsx/tree/btree_internal.h"
#include "storage/lfsx/tree/forest.h"

/* What the path says about the node that its end points to. */
static struct node_bounds bounds_below(const struct btree_cursor *cursor) {
    struct node_bounds bounds = {.is_root = true};
    for (unsigned depth = 0; depth < cursor->depth; depth++)
        bounds =
            node_child_bounds(cursor->path[depth].node->page, cursor->path[depth].index, &bounds);
    return bounds;
}

/* Whether a node in memory may be at this place of this tree. It was validated when it was loaded,
 * but maybe on the way from another parent: in a damaged pool two may name one node. */
static bool belongs(const struct btree_cursor *cursor, const struct pointer *pointer,
                    const struct node_bounds *bounds, const struct disk_node *node) {
    const char *why;
    return node->level == pointer->level &&
           le64_get(node->owner) == btree_owner(cursor->tree, pointer->birth) &&
           node_bounds_validate(node, bounds, &why) == STATUS_OK;
}

enum status btree_enter(struct btree_cursor *cursor, const struct pointer *pointer) {
    ASSERT(cursor->depth <= DISK_LEVEL_MAX);
    struct cached_node *node = cache_find(&cursor->tree->forest->cache, pointer);
    struct node_bounds bounds = bounds_below(cursor);
    if (node == NULL || !belongs(cursor, pointer, &bounds, node->page)) {
        cursor->miss = (struct btree_miss){.pointer = *pointer,
                                           .owner = btree_owner(cursor->tree, pointer->birth),
                                           .bounds = bounds};
        return STATUS_AGAIN;
    }
    cursor->path[cursor->depth].node = node;
    cursor->path[cursor->depth].index = 0;
    cursor->depth++;
    return STATUS_OK;
}

static struct disk_node *leaf(const struct btree_cursor *cursor) {
    return cursor->path[cursor->depth - 1].node->page;
}

enum status btree_descend(struct btree *tree, const struct key *key, struct btree_cursor *cursor) {
    cursor->tree = tree;
    cursor->depth = 0;
    enum status status = btree_enter(cursor, &tree->root);
    while (status == STATUS_OK && leaf(cursor)->level > 0) {
        const struct disk_node *node = leaf(cursor);
        unsigned index = node_child_index(node, key);
        cursor->path[cursor->depth - 1].index = index;
        struct pointer child = node_child(node, index);
        status = btree_enter(cursor, &child);
    }
    if (status == STATUS_OK)
        cursor->path[cursor->depth - 1].index = node_lower_bound(leaf(cursor), key);
    return status;
}

/* Goes up to the next ancestor with a child on that side, then down to that child's near edge. */
static enum status step_leaf(struct btree_cursor *cursor, bool forward) {
    unsigned level = cursor->depth - 1;
    for (;;) {
        if (level == 0)
            return STATUS_NOT_FOUND;
        level--;
        unsigned index = cursor->path[level].index;
        if (forward ? index + 1 < node_count(cursor->path[level].node->page) : index > 0)
            break;
    }
    unsigned old_depth = cursor->depth;
    cursor->path[level].index += forward ? 1 : -1;
    cursor->depth = level + 1;
    while (cursor->depth < old_depth) {
        struct disk_node *node = leaf(cursor);
        struct pointer child = node_child(node, cursor->path[cursor->depth - 1].index);
        enum status status = btree_enter(cursor, &child);
        if (status != STATUS_OK)
            return status;
        unsigned count = node_count(leaf(cursor));
        cursor->path[cursor->depth - 1].index = forward ? 0 : count - 1;
    }
    ASSERT(leaf(cursor)->level == 0);
    return STATUS_OK;
}

/* A cursor behind the last item of its leaf moves to the next leaf's first one. */
static enum status settle(struct btree_cursor *cursor) {
    if (cursor->path[cursor->depth - 1].index < node_count(leaf(cursor)))
        return STATUS_OK;
    return step_leaf(cursor, true);
}

enum status btree_seek(struct btree *tree, const struct key *key, struct btree_cursor *cursor) {
    enum status status = btree_descend(tree, key, cursor);
    return status == STATUS_OK ? settle(cursor) : status;
}

static bool at_key(const struct btree_cursor *cursor, const struct key *key) {
    unsigned index = cursor->path[cursor->depth - 1].index;
    if (index >= node_count(leaf(cursor)))
        return false;
    struct key found = node_key(leaf(cursor), index);
    return key_compare(&found, key) == 0;
}

enum status btree_seek_floor(struct btree *tree, const struct key *key,
                             struct btree_cursor *cursor) {
    enum status status = btree_descend(tree, key, cursor);
    if (status != STATUS_OK || at_key(cursor, key))
        return status;
    if (cursor->path[cursor->depth - 1].index == 0)
        return step_leaf(cursor, false);
    cursor->path[cursor->depth - 1].index--;
    return STATUS_OK;
}

enum status btree_find(struct btree *tree, const struct key *key, struct btree_cursor *cursor) {
    enum status status = btree_descend(tree, key, cursor);
    if (status == STATUS_OK && !at_key(cursor, key))
        status = STATUS_NOT_FOUND;
    return status;
}

enum status btree_next(struct btree_cursor *cursor) {
    cursor->path[cursor->depth - 1].index++;
    return settle(cursor);
}

struct item btree_item(const struct btree_cursor *cursor) {
    return node_item(leaf(cursor), cursor->path[cursor->depth - 1].index);
}

enum status btree_prefetch(struct btree *tree, const struct key *first, const struct key *last,
                           struct btree_cursor *cursor, uint64_t *leaves) {
    *leaves = 1;
    enum status status = btree_descend(tree, first, cursor);
    if (status != STATUS_OK)
        return status;
    struct btree_cursor left = *cursor;
    status = step_leaf(&left, false);
    if (status == STATUS_AGAIN) {
        cursor->miss = left.miss;
        return status;
    }
    *leaves += status == STATUS_OK;
    for (;;) {
        unsigned count = node_count(leaf(cursor));
        if (count > 0) {
            struct key key = node_key(leaf(cursor), count - 1);
            if (key_compare(&key, last) > 0)
                return STATUS_OK;
        }
        status = step_leaf(cursor, true);
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        ++*leaves;
    }
}

uint64_t btree_nodes_needed(const struct btree *tree, uint64_t leaves, uint64_t items) {
    uint64_t height = tree->root.level + 1u;
    /* Every leaf walked over and one more on each side is copied, with at most as many inner nodes
     * and the path; every item added splits at most one leaf and, now and then, what is above. */
    return 2 * (leaves + 2) + 3 * height + 2 * items + 4;
}
