/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all trees of a pool have in common: their nodes in memory, where their blocks come from, and
 * the update that is under way. Guarded by the pool's lock; what changes it needs that exclusive.
 */
#ifndef STORAGE_LFSX_TREE_FOREST_H
#define STORAGE_LFSX_TREE_FOREST_H

#include "storage/lfsx/tree/btree.h"
#include "storage/lfsx/tree/cache.h"
#include "storage/lfsx/tree/dead_log.h"
#include "storage/lfsx/tree/latch.h"

#include <stdbool.h>
#include <stdint.h>

struct allocator;

struct forest {
    struct node_cache cache;
    struct allocator *allocator; /* has its own lock */
    struct latch *latch;         /* the same */
    uint64_t epoch;              /* what is made now is born in it */
    uint64_t generation;         /* number of the checkpoint that is being gathered */
    bool updating;               /* an update is under way: the lock is held exclusive */
    uint64_t update_nodes;       /* that it may still make */
    struct dead_log dead;        /* what snapshots hold and no dead tree has yet */
};

/* Blocks and pages of nodes, in an update. */
struct cached_node *forest_node_new(struct btree *tree, uint8_t level);
struct cached_node *forest_node_copy(struct btree *tree, struct cached_node *node);
void forest_node_release(struct btree *tree, struct cached_node *node);

/* In an update: what is on the device contradicts itself, though all checksums are right. Latches
 * the pool, so that nothing of this update becomes durable; the update goes on to its end in
 * memory. */
void forest_contradiction(struct forest *forest);

#endif
