/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead trees: what only snapshots of a dataset hold.
 *
 * Blocks that a snapshot holds gather in memory (tree/dead_log.h) and move, some at a time, to the
 * dead tree of their dataset (docs/FORMAT.md, "Births, snapshots and clones"). A checkpoint moves
 * all of them. Everything here but dead_drain and dead_sum is called with pool->lock held
 * exclusive.
 */
#ifndef STORAGE_LFSX_POOL_DEAD_H
#define STORAGE_LFSX_POOL_DEAD_H

#include "base/status.h"
#include "storage/lfsx/tree/btree.h"

#include <stdbool.h>
#include <stdint.h>

struct dataset;
struct lfsx_pool;

/* A node of the owner's tree is damaged or cannot be read, for `cause`. If that is a dead tree
 * which waiting runs belong into, they are let go of from now on until the pool is opened again, so
 * that a step that failed for want of the node can go on: what they name stays in use. True if it
 * is a dead tree, so that another attempt makes sense: others may have given it up, or moved what
 * waited. No lock held. */
bool dead_give_up(struct lfsx_pool *pool, uint64_t owner, enum status cause);

/* Moves everything to the dead trees, in as many updates as it takes. AGAIN with cursor->miss set
 * (what was moved stays moved), NO_SPACE, NO_MEMORY, READ_ONLY. */
enum status dead_drain_locked(struct lfsx_pool *pool, struct btree_cursor *cursor);
/* The same with no lock held, if there is more than some. */
enum status dead_drain(struct lfsx_pool *pool);

/* Dead blocks of a dataset with first_era <= era < end_era and first_birth <= birth <= last_birth:
 * what one snapshot alone holds, or several. */
struct dead_box {
    uint64_t first_era, end_era;
    uint64_t first_birth, last_birth;
};

/* In one step (pool_change): frees some of the box; *done if there is nothing left in it. Drained
 * before. AGAIN, NO_MEMORY, NO_SPACE, READ_ONLY. */
enum status dead_free_some(struct dataset *dataset, const struct dead_box *box,
                           struct btree_cursor *cursor, bool *done);

/* How many blocks are in the box. The reason if nobody can tell, since some were let go of. No lock
 * held. */
enum status dead_sum(struct dataset *dataset, const struct dead_box *box, uint64_t *blocks);

#endif
