/* SPDX-License-Identifier: Apache-2.0 */
/* Recursion is as deep as the tree is high: below 1.45 * log2(n). The invariants stand in tree.h.
 */
#include "storage/mvcc/tree.h"
#include "base/assert.h"
#include "base/math.h"

#include <stddef.h>

static unsigned height_of(const struct mvcc_tree_node *node) {
    return node == NULL ? 0 : node->height;
}

static void refresh(const struct mvcc_tree *tree, struct mvcc_tree_node *node) {
    node->height = 1 + MATH_MAX(height_of(node->left), height_of(node->right));
    if (tree->summarize != NULL)
        tree->summarize(node);
}

static struct mvcc_tree_node *rotate_left(const struct mvcc_tree *tree,
                                          struct mvcc_tree_node *node) {
    struct mvcc_tree_node *top = node->right;
    node->right = top->left;
    top->left = node;
    refresh(tree, node);
    refresh(tree, top);
    return top;
}

static struct mvcc_tree_node *rotate_right(const struct mvcc_tree *tree,
                                           struct mvcc_tree_node *node) {
    struct mvcc_tree_node *top = node->left;
    node->left = top->right;
    top->right = node;
    refresh(tree, node);
    refresh(tree, top);
    return top;
}

/* Both sides are balanced and differ by at most two; returns who stands in the node's place. */
static struct mvcc_tree_node *balance(const struct mvcc_tree *tree, struct mvcc_tree_node *node) {
    unsigned left = height_of(node->left);
    unsigned right = height_of(node->right);
    if (left > right + 1) {
        if (height_of(node->left->left) < height_of(node->left->right))
            node->left = rotate_left(tree, node->left);
        return rotate_right(tree, node);
    }
    if (right > left + 1) {
        if (height_of(node->right->right) < height_of(node->right->left))
            node->right = rotate_right(tree, node->right);
        return rotate_left(tree, node);
    }
    refresh(tree, node);
    return node;
}

static struct mvcc_tree_node *insert_below(const struct mvcc_tree *tree, struct mvcc_tree_node *top,
                                           struct mvcc_tree_node *node) {
    if (top == NULL)
        return node;
    int order = tree->compare(node, top);
    ASSERT(order != 0);
    if (order < 0)
        top->left = insert_below(tree, top->left, node);
    else
        top->right = insert_below(tree, top->right, node);
    return balance(tree, top);
}

void mvcc_tree_insert(struct mvcc_tree *tree, struct mvcc_tree_node *node) {
    node->left = NULL;
    node->right = NULL;
    refresh(tree, node);
    tree->root = insert_below(tree, tree->root, node);
}

/* Takes the first node out; returns who stands in top's place. */
static struct mvcc_tree_node *take_first(const struct mvcc_tree *tree, struct mvcc_tree_node *top,
                                         struct mvcc_tree_node **first) {
    if (top->left == NULL) {
        *first = top;
        return top->right;
    }
    top->left = take_first(tree, top->left, first);
    return balance(tree, top);
}

static struct mvcc_tree_node *remove_below(const struct mvcc_tree *tree, struct mvcc_tree_node *top,
                                           struct mvcc_tree_node *node) {
    ASSERT(top != NULL);
    if (top != node) {
        if (tree->compare(node, top) < 0)
            top->left = remove_below(tree, top->left, node);
        else
            top->right = remove_below(tree, top->right, node);
        return balance(tree, top);
    }
    if (node->right == NULL)
        return node->left;
    struct mvcc_tree_node *heir = NULL;
    struct mvcc_tree_node *right = take_first(tree, node->right, &heir);
    heir->left = node->left;
    heir->right = right;
    return balance(tree, heir);
}

void mvcc_tree_remove(struct mvcc_tree *tree, struct mvcc_tree_node *node) {
    tree->root = remove_below(tree, tree->root, node);
}
