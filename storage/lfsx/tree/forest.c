/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/tree/forest.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/space/alloc.h"

static struct cached_node *take_node(struct forest *forest) {
    ASSERT(forest->updating);
    ASSERT(forest->update_nodes > 0); /* so there is a block, too */
    forest->update_nodes--;
    return cache_add_dirty(&forest->cache, alloc_node(forest->allocator));
}

struct cached_node *forest_node_new(struct btree *tree, uint8_t level) {
    struct forest *forest = tree->forest;
    struct cached_node *node = take_node(forest);
    node_init(node->page, level, tree->owner);
    node->page->block = le64_make(node->block);
    node->page->birth = le64_make(forest->epoch);
    return node;
}

struct cached_node *forest_node_copy(struct btree *tree, struct cached_node *node) {
    struct forest *forest = tree->forest;
    ASSERT(node->state != CACHED_DIRTY);
    struct cached_node *copy = take_node(forest);
    ASSERT(copy->block != node->block);
    memcpy(copy->page, node->page, DISK_BLOCK_SIZE);
    copy->page->block = le64_make(copy->block);
    copy->page->owner = le64_make(tree->owner);
    copy->page->birth = le64_make(forest->epoch);
    forest_node_release(tree, node);
    return copy;
}

void forest_node_release(struct btree *tree, struct cached_node *node) {
    uint64_t birth = le64_get(node->page->birth);
    ASSERT(node->state != CACHED_DIRTY || birth == tree->forest->epoch);
    if (dead_release(tree, node->block, 1, birth))
        cache_drop(&tree->forest->cache, node);
}

void forest_contradiction(struct forest *forest) {
    latch_set(forest->latch, STATUS_CORRUPT,
              "its trees and its allocation maps contradict each other");
}
