/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy-on-write B+tree.
 *
 * Everything is called with the pool's lock held: shared to look, exclusive (inside of an update,
 * see pool.h) to change. Nothing here does I/O. What needs a node that is not in memory returns
 * AGAIN and names it in cursor->miss; the caller releases the lock, calls pool_load(), and starts
 * over. Changes never need to: before the first one, btree_prefetch() made sure that all they walk
 * over is there.
 *
 * Invariants:
 * 1. Every node below an inner node's child pointer i has keys >= the item's key i, and < key i
 * + 1.
 * 2. Key 0 of an inner node equals the key of its parent's item for it.
 * 3. Only the root may be empty, and only as a leaf.
 * 4. The ancestors of a dirty node are dirty: a checkpoint finds every dirty node from the root.
 */
#ifndef STORAGE_LFSX_TREE_BTREE_H
#define STORAGE_LFSX_TREE_BTREE_H

#include "base/status.h"
#include "storage/lfsx/format/node.h"
#include "storage/lfsx/tree/cache.h"

#include <stdbool.h>
#include <stdint.h>

struct dataset;
struct forest;

struct btree {
    struct forest *forest;
    uint64_t owner;      /* in every node that is not the origin's */
    struct pointer root; /* its checksum is that of the last checkpoint while the root is dirty */
    uint64_t nodes;      /* in the tree, shared ones too */
    bool dirty;          /* changed since the last checkpoint */

    /* For dead_release(). Of trees that nothing takes snapshots of all are zero. */
    struct dataset *dataset;
    uint64_t kept; /* epoch of its newest snapshot: what was born by then is held. 0: none */

    /* A clone's tree: what was born in the epoch or before belongs to the origin. */
    uint64_t origin_epoch;      /* 0: it is no clone's */
    const struct btree *origin; /* NULL while the clone is being freed: it may be gone */
    uint64_t shared;            /* nodes and data blocks that do */
};

/* Whether what was born in an epoch belongs to another tree. */
static inline bool btree_is_foreign(const struct btree *tree, uint64_t birth) {
    return birth <= tree->origin_epoch;
}

/* What the owner number of a node of the tree is that was born in an epoch. */
static inline uint64_t btree_owner(const struct btree *tree, uint64_t birth) {
    while (btree_is_foreign(tree, birth) && tree->origin != NULL)
        tree = tree->origin;
    return tree->owner;
}

/* A node that an operation needs and that is not in memory. */
struct btree_miss {
    struct pointer pointer;
    uint64_t owner;
    struct node_bounds bounds;
};

/* The way from the root (0) to a leaf (depth - 1). Valid until the lock is released or the tree
 * changes. */
struct btree_cursor {
    struct btree *tree;
    unsigned depth;
    struct {
        struct cached_node *node;
        unsigned index;
    } path[DISK_LEVEL_MAX + 1];
    struct btree_miss miss;
};

/* Gives the tree one leaf, empty. In an update with one node to spare. */
void btree_create(struct btree *tree, struct forest *forest, uint64_t owner);

/* Puts the cursor on the first item whose key is at least `key`. NOT_FOUND if there is none, AGAIN.
 */
enum status btree_seek(struct btree *tree, const struct key *key, struct btree_cursor *cursor);
/* Puts the cursor on the last item whose key is at most `key`. NOT_FOUND, AGAIN. */
enum status btree_seek_floor(struct btree *tree, const struct key *key,
                             struct btree_cursor *cursor);
/* Puts the cursor on the item with this key. NOT_FOUND, AGAIN. */
enum status btree_find(struct btree *tree, const struct key *key, struct btree_cursor *cursor);
/* Puts the cursor on the leaf that covers `key`, at the first item that is at least `key`: maybe
 * behind the leaf's last. AGAIN. */
enum status btree_descend(struct btree *tree, const struct key *key, struct btree_cursor *cursor);
/* Moves to the next item. NOT_FOUND, AGAIN. */
enum status btree_next(struct btree_cursor *cursor);
/* The item under the cursor. */
struct item btree_item(const struct btree_cursor *cursor);

/* Makes sure that every node is in memory which changes to keys in [first, last] walk over, with
 * one leaf to the left; *leaves says how many leaves that are. AGAIN. */
enum status btree_prefetch(struct btree *tree, const struct key *first, const struct key *last,
                           struct btree_cursor *cursor, uint64_t *leaves);

/* How many nodes an update must have to spare for changes in `leaves` leaves that add `items`. */
uint64_t btree_nodes_needed(const struct btree *tree, uint64_t leaves, uint64_t items);

/* In an update, prefetched. Insert: the key is not there; if it is, the tree is damaged, and the
 * pool latched (forest_contradiction). Replace and remove: it is (asserted). */
void btree_insert(struct btree *tree, const struct key *key, const void *value, uint16_t length);
void btree_replace(struct btree *tree, const struct key *key, const void *value, uint16_t length);
void btree_remove(struct btree *tree, const struct key *key);

/* Releases the root of an empty tree. In an update. */
void btree_destroy(struct btree *tree);

/*
 * Takes a tree apart from the left without looking at what belongs to others. In one step: looks at
 * what comes next. STATUS_OK: a leaf, *leaf, whose items the caller lets go of; *leaf NULL: a part
 * that is the origin's. NOT_FOUND: the tree is empty or the origin's as a whole. Needs
 * btree_prune_nodes() in the update. AGAIN.
 */
enum status btree_prune_next(struct btree *tree, struct btree_cursor *cursor,
                             const struct disk_node **leaf);
uint64_t btree_prune_nodes(const struct btree *tree);
/* In the update: drops what btree_prune_next() found. */
void btree_prune(struct btree_cursor *cursor);

/* The checkpoint: seals every dirty node from the leaves up, moves them to `writing`, and leaves
 * the final pointer in tree->root. Lock exclusive. */
void btree_freeze(struct btree *tree, struct list_node *writing);

#endif
