/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An intrusive balanced binary tree (AVL) whose nodes may carry a summary of what is below them.
 * Nothing allocates; every operation but the walk takes O(log n). The owner of the tree guards it.
 *
 * Invariants:
 * 1. The nodes are in ascending order, no two of them equal.
 * 2. The heights of a node's two sides differ by at most one.
 * 3. `summarize` has been called on every node since anything below it last changed.
 */
#ifndef STORAGE_MVCC_TREE_H
#define STORAGE_MVCC_TREE_H

struct mvcc_tree_node {
    struct mvcc_tree_node *left, *right;
    unsigned height; /* 1 for a leaf */
};

struct mvcc_tree {
    struct mvcc_tree_node *root;
    int (*compare)(const struct mvcc_tree_node *a, const struct mvcc_tree_node *b);
    /* Makes the node's summary from its own content and its children's summaries; NULL: none. */
    void (*summarize)(struct mvcc_tree_node *node);
};

/* The tree has no node that is equal to this one. */
void mvcc_tree_insert(struct mvcc_tree *tree, struct mvcc_tree_node *node);
/* The node is in the tree. */
void mvcc_tree_remove(struct mvcc_tree *tree, struct mvcc_tree_node *node);

#endif
