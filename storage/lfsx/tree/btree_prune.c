/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a tree apart, at the cost of what is freed: what belongs to the origin is cut off unread,
 * and no neighbours are filled up on the way. The invariants stand in btree.h. */
#include "base/assert.h"
#include "storage/lfsx/tree/btree_internal.h"

enum status btree_prune_next(struct btree *tree, struct btree_cursor *cursor,
                             const struct disk_node **leaf) {
    cursor->tree = tree;
    cursor->depth = 0;
    *leaf = NULL;
    struct pointer next = tree->root;
    while (!btree_is_foreign(tree, next.birth)) {
        enum status status = btree_enter(cursor, &next);
        if (status != STATUS_OK)
            return status;
        const struct disk_node *node = cursor->path[cursor->depth - 1].node->page;
        if (node->level == 0) {
            *leaf = node;
            return node_count(node) == 0 ? STATUS_NOT_FOUND : STATUS_OK;
        }
        next = node_child(node, 0);
    }
    return cursor->depth == 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

uint64_t btree_prune_nodes(const struct btree *tree) {
    return tree->root.level + 1u;
}

/* The root lost its last child. */
static void make_empty(struct btree *tree, struct cached_node *root) {
    root->page->level = 0;
    tree->root = (struct pointer){.block = root->block, .birth = le64_get(root->page->birth)};
}

/* The node at the path's end loses its first item, and goes with its last. */
static void drop_first(struct btree_cursor *cursor) {
    struct cached_node *node = cursor->path[cursor->depth - 1].node;
    node_remove(node->page, 0);
    if (node_count(node->page) > 0) {
        btree_raise_keys(cursor, cursor->depth - 1);
    } else if (cursor->depth == 1) {
        make_empty(cursor->tree, node);
    } else {
        btree_release_node(cursor->tree, node);
        cursor->depth--;
        drop_first(cursor);
    }
}

void btree_prune(struct btree_cursor *cursor) {
    btree_touch_path(cursor);
    struct cached_node *node = cursor->path[cursor->depth - 1].node;
    if (node->page->level == 0 && cursor->depth == 1) {
        while (node_count(node->page) > 0)
            node_remove(node->page, node_count(node->page) - 1);
        return;
    }
    if (node->page->level == 0) {
        btree_release_node(cursor->tree, node);
        cursor->depth--;
    }
    drop_first(cursor);
}
