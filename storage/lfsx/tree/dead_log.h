/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree drops: free, held by a snapshot, or another tree's all along. What a snapshot holds
 * gathers in a log, from which it moves to dead trees (pool/dead.h). The pool's lock is held
 * exclusive.
 */
#ifndef STORAGE_LFSX_TREE_DEAD_LOG_H
#define STORAGE_LFSX_TREE_DEAD_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct btree;
struct dataset;

/* Dead blocks that are in no dead tree yet. */
struct dead_run {
    struct dataset *dataset;
    uint64_t era, birth;
    uint64_t block, count;
};

struct dead_log {
    struct dead_run *runs;
    uint64_t count, capacity;
    uint64_t leaked; /* blocks that were let go of since the pool was opened */
};

void dead_log_free(struct dead_log *log);

/* Sees to it that `count` calls of dead_release() cannot fail. NO_MEMORY. */
enum status dead_reserve(struct dead_log *log, uint64_t count);

/* The one way in which a tree lets go of blocks, in an update. True if they are on their way to be
 * free; false if somebody else has them still. */
bool dead_release(struct btree *tree, uint64_t block, uint64_t count, uint64_t birth);

#endif
