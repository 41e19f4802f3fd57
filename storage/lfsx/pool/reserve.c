/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be left free, from the top:
 *   reserve and promises   by what grows a volume, or the catalog
 *   3/4 of the reserve     by the data of a write that is entitled to it: it gives back as many
 *                          blocks as it takes, or takes what its volume was promised
 *   half of the reserve    by the nodes of such a write, and by a trim of what snapshots may hold
 *   checkpoint_blocks      by what surely frees: trim, deletion, and what follows it
 *   nothing                by a checkpoint, without which nothing that was freed can be used
 */
#include "storage/lfsx/pool/reserve.h"
#include "base/math.h"
#include "storage/lfsx/pool/pool.h"

#define RESERVE_SHARE 64u /* of the device is kept for checkpoint, delete and trim */
#define RESERVE_MIN 96u
#define RESERVE_MAX 16384u
#define DRAIN_BLOCKS 24u /* to move dead runs, one by one, to their trees */

uint64_t reserve_blocks(const struct lfsx_pool *pool) {
    const struct geometry *geometry = &pool->allocator.geometry;
    uint64_t share = (geometry->data_end - geometry->data_start) / RESERVE_SHARE;
    uint64_t base = MATH_MIN(MATH_MAX(share, RESERVE_MIN), RESERVE_MAX);
    return base + 2 * pool->catalog.nodes;
}

/* What a checkpoint may need: a copy of each node of the catalog. */
static uint64_t checkpoint_blocks(const struct lfsx_pool *pool) {
    return pool->catalog.nodes + (pool->forest.dead.count > 0 ? DRAIN_BLOCKS : 0);
}

uint64_t reserve_keep(const struct lfsx_pool *pool, const struct update_need *need) {
    if (pool->recovering || (need->frees && need->checkpoint))
        return 0;
    if (need->frees && !need->held)
        return checkpoint_blocks(pool);
    uint64_t reserve = reserve_blocks(pool);
    return need->frees || need->entitled ? reserve / 2 : reserve + pool->space.promised;
}
