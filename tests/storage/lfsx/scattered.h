/* SPDX-License-Identifier: Apache-2.0 */
/* Pools that lie everywhere on a large device, so that little of what a program keeps about blocks
 * is about blocks that are near each other. */
#ifndef TESTS_STORAGE_LFSX_SCATTERED_H
#define TESTS_STORAGE_LFSX_SCATTERED_H

#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/pooltest.h"

#define SCATTERED_VOLUME_SIZE (1ull << 30)
#define SCATTERED_SNAPSHOTS 60u

/* What is written next goes elsewhere. */
static inline void scattered_move_on(struct lfsx_pool *pool, struct random *random) {
    struct allocator *allocator = &pool->allocator;
    os_mutex_lock(&allocator->lock);
    const struct geometry *g = &allocator->geometry;
    uint64_t blocks = g->data_end - g->data_start;
    allocator->data_cursor = g->data_start + random_below(random, blocks);
    allocator->node_cursor = g->data_start + random_below(random, blocks);
    os_mutex_unlock(&allocator->lock);
}

static inline void scattered_write(struct lfsx_pool *pool, struct random *random, const char *name,
                                   unsigned count) {
    struct lfsx_volume *volume;
    unsigned char data[2 * LFSX_BLOCK_SIZE];
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    for (unsigned i = 0; i < count; i++) {
        random_fill(random, data, 16);
        uint32_t length = LFSX_BLOCK_SIZE * (1 + i % 2);
        uint64_t block = random_below(random, SCATTERED_VOLUME_SIZE / LFSX_BLOCK_SIZE - 1);
        scattered_move_on(pool, random);
        assert_int_equal(pooltest_write(volume, block * LFSX_BLOCK_SIZE, data, length, 0),
                         STATUS_OK);
        if (i % 8 == 0)
            assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    }
    lfsx_volume_close(volume);
}

/* alpha, of which there are many snapshots, and beta, a clone of one. */
static inline void scattered_make_volumes(struct lfsx_pool *pool, struct random *random,
                                          unsigned writes) {
    static const char *const alpha[] = {"alpha"};
    assert_int_equal(lfsx_volume_create(pool, "alpha", SCATTERED_VOLUME_SIZE), STATUS_OK);
    scattered_write(pool, random, "alpha", writes);
    for (unsigned i = 0; i < SCATTERED_SNAPSHOTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "number %u", i);
        assert_int_equal(lfsx_snapshot_create(pool, alpha, 1, name, 0), STATUS_OK);
        scattered_write(pool, random, "alpha", 2);
    }
    assert_int_equal(lfsx_clone_create(pool, "alpha", "number 7", "beta"), STATUS_OK);
    scattered_write(pool, random, "beta", writes / 4);
}

#endif
