/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/tree/dead_log.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/space/alloc.h"
#include "storage/lfsx/tree/btree.h"
#include "storage/lfsx/tree/forest.h"

void dead_log_free(struct dead_log *log) {
    os_free(log->runs);
    *log = (struct dead_log){0};
}

enum status dead_reserve(struct dead_log *log, uint64_t count) {
    if (log->capacity - log->count >= count)
        return STATUS_OK;
    uint64_t capacity = MATH_MAX(2 * log->capacity, log->count + count);
    struct dead_run *runs = os_alloc(capacity * sizeof *runs);
    if (runs == NULL)
        return STATUS_NO_MEMORY;
    if (log->count > 0)
        memcpy(runs, log->runs, log->count * sizeof *runs);
    os_free(log->runs);
    log->runs = runs;
    log->capacity = capacity;
    return STATUS_OK;
}

/* Sequential overwrites drop neighbours one after the other. */
static bool extends(const struct dead_run *last, const struct dead_run *run) {
    return last->dataset == run->dataset && last->era == run->era && last->birth == run->birth &&
           last->block + last->count == run->block;
}

static void log_add(struct dead_log *log, const struct dead_run *run) {
    if (log->count > 0 && extends(&log->runs[log->count - 1], run)) {
        log->runs[log->count - 1].count += run->count;
        return;
    }
    ASSERT(log->count < log->capacity);
    log->runs[log->count++] = *run;
}

bool dead_release(struct btree *tree, uint64_t block, uint64_t count, uint64_t birth) {
    struct forest *forest = tree->forest;
    ASSERT(forest->updating);
    if (btree_is_foreign(tree, birth)) {
        if (tree->shared < count)
            forest_contradiction(forest);
        tree->shared -= MATH_MIN(tree->shared, count);
        return false;
    }
    if (birth <= tree->kept && birth > 0) {
        struct dead_run run = {tree->dataset, tree->kept, birth, block, count};
        log_add(&forest->dead, &run);
        return false;
    }
    if (!alloc_release(forest->allocator, block, count))
        forest_contradiction(forest);
    return true;
}
