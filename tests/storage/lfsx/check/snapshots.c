/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the check knows a sound pool with snapshots, a clone and dead blocks, and finds whatever in
 * their records is not so.
 */
#include "tests/storage/lfsx/snapshotpool.h"

#define FINDINGS_MAX 16u

struct seen {
    unsigned count;
    uint32_t numbers[FINDINGS_MAX];
    struct lfsx_check_summary summary;
};

static void on_finding(void *context, const struct lfsx_finding *finding) {
    struct seen *seen = context;
    assert_true(seen->count < FINDINGS_MAX);
    seen->numbers[seen->count++] = finding->number;
    printf("%u %s: %s\n", finding->number, finding->name, finding->text);
}

static struct seen check(struct snapshotpool *pool) {
    struct seen seen = {0};
    struct lfsx_check_options options = {.data = true, .finding = on_finding, .context = &seen};
    assert_int_equal(lfsx_check(&pool->disk->device, &options, &seen.summary), STATUS_OK);
    ramdisk_destroy(pool->disk);
    return seen;
}

static void expect_clean(struct snapshotpool *pool) {
    snapshotpool_finish(pool);
    assert_int_equal(check(pool).count, 0);
}

/* The only finding. */
static void expect(struct snapshotpool *pool, enum check_finding number) {
    snapshotpool_finish(pool);
    struct seen seen = check(pool);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.numbers[0], number);
}

/* One of the findings. */
static void expect_among(struct snapshotpool *pool, enum check_finding number) {
    snapshotpool_finish(pool);
    struct seen seen = check(pool);
    bool found = false;
    for (unsigned i = 0; i < seen.count; i++)
        found = found || seen.numbers[i] == (uint32_t)number;
    assert_true(found);
}

static void sound(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    snapshotpool_finish(&pool);
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.summary.snapshots, 2);
    assert_int_equal(seen.summary.datasets, 2);
    assert_int_equal(seen.summary.data_blocks, 6);
    assert_int_equal(seen.summary.nodes, 9 + 1 + 1); /* with a dead tree and the catalog */
    assert_int_equal(seen.summary.dead_blocks, 0);
    assert_int_equal(seen.summary.used_blocks, 17);
}

/* Of snapshots that are being deleted, only what younger ones do not have waits to be freed. */
static void deleting(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    snapshotpool_delete(&pool, ITEM_ONE);
    snapshotpool_finish(&pool);
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.summary.snapshots, 1);
    assert_int_equal(seen.summary.dead_blocks, 3);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_CLONE].length = 0;
    pool.next -= 3;
    snapshotpool_delete(&pool, ITEM_TWO);
    snapshotpool_finish(&pool);
    seen = check(&pool);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.summary.dead_blocks, 1); /* the root: what is of epoch 1 has "one" */
}

/* Half of what only the snapshot had is free already. */
static void deleted_by_half(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    snapshotpool_delete(&pool, ITEM_ONE);
    pool.skip = pool.block0.block;
    pool.dead[DEAD_1_1_BLOCK].length = 0;
    pool.dead[DEAD_SUM_1_1].value.sum.blocks = le64_make(2);
    expect_clean(&pool);
}

static void snapshot_records(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    memcpy(pool.catalog[ITEM_TWO].value.snapshot.name, "one", 3);
    expect(&pool, CHECK_SNAPSHOT_NAME);

    snapshotpool_begin(&pool);
    pool.super.epoch = 2;
    expect_among(&pool, CHECK_SNAPSHOT_AGE);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_ALPHA].value.dataset.birth = le64_make(2);
    expect(&pool, CHECK_SNAPSHOT_AGE);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_TWO].value.snapshot.size = le64_make(SNAPSHOTPOOL_FILE + 512);
    expect(&pool, CHECK_SNAPSHOT_SIZE);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_SCHEDULE].key.inode = 99;
    expect(&pool, CHECK_SNAPSHOT_DATASET);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_ONE].key.inode = 99;
    expect_among(&pool, CHECK_SNAPSHOT_DATASET);
}

/* Every count of blocks is known, from the first tree on. */
static void counts(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    pool.catalog[ITEM_ONE].value.snapshot.node_blocks = le64_make(4);
    pool.catalog[ITEM_ONE].value.snapshot.data_blocks = le64_make(2);
    snapshotpool_finish(&pool);
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 2); /* of the oldest one each is known by itself */
    assert_int_equal(seen.numbers[0], CHECK_SNAPSHOT_BLOCKS);
    assert_int_equal(seen.numbers[1], CHECK_SNAPSHOT_BLOCKS);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_TWO].value.snapshot.data_blocks = le64_make(4);
    expect_among(&pool, CHECK_SNAPSHOT_BLOCKS);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_ALPHA].value.dataset.node_blocks = le64_make(2);
    expect(&pool, CHECK_DATASET_BLOCKS);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_CLONE].value.dataset.shared_blocks = le64_make(2);
    expect(&pool, CHECK_DATASET_BLOCKS);
}

static void origins(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    pool.catalog[ITEM_CLONE].value.dataset.origin_epoch = le64_make(1);
    snapshotpool_delete(&pool, ITEM_ONE);
    expect_among(&pool, CHECK_DATASET_ORIGIN);

    snapshotpool_begin(&pool);
    snapshotpool_delete(&pool, ITEM_TWO);
    expect_among(&pool, CHECK_DATASET_ORIGIN);

    snapshotpool_begin(&pool);
    pool.catalog[ITEM_CLONE].value.dataset.node_blocks = le64_make(10);
    pool.catalog[ITEM_CLONE].value.dataset.shared_blocks = le64_make(10);
    expect(&pool, CHECK_DATASET_ORIGIN);
}

/* A clone has what its origin's snapshot does not: it is reported once, and looked at. */
static void shared(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    pool.block11_clone.birth = 1;
    struct pointer leaf =
        snapshotpool_tail_leaf(&pool, SNAPSHOTPOOL_CLONE, &pool.block10, &pool.block11_clone, 3);
    pool.root[3] = snapshotpool_root(&pool, SNAPSHOTPOOL_CLONE, &pool.leaf[2], &leaf, 3);
    pointer_store(&pool.catalog[ITEM_CLONE].value.dataset.root, &pool.root[3]);
    expect_among(&pool, CHECK_SHARED_MISSING);

    /* Without snapshots, nothing but the clone has what was the origin's. */
    snapshotpool_begin(&pool);
    pool.catalog[ITEM_TWO].length = 0;
    expect_among(&pool, CHECK_DATASET_ORIGIN);
}

static void dead_trees(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    pool.catalog[ITEM_ALPHA].value.dataset.dead_nodes = le64_make(1);
    expect(&pool, CHECK_DEAD_NODES);

    snapshotpool_begin(&pool);
    pool.dead[DEAD_SUM_1_1].value.sum.blocks = le64_make(2);
    expect(&pool, CHECK_DEAD_SUM);

    snapshotpool_begin(&pool);
    pool.dead[DEAD_SUM_2_2].length = 0;
    expect(&pool, CHECK_DEAD_SUM);

    snapshotpool_begin(&pool);
    pool.dead[DEAD_2_2_ROOT].length = 0;
    expect_among(&pool, CHECK_DEAD_SUM);

    /* One that is dropped in silence makes the head's count wrong. */
    snapshotpool_begin(&pool);
    pool.dead[DEAD_SUM_2_2].length = 0;
    pool.dead[DEAD_2_2_ROOT].length = 0;
    expect(&pool, CHECK_DATASET_BLOCKS);

    snapshotpool_begin(&pool);
    pool.dead[DEAD_1_1_BLOCK].value.dead.count = le64_make(9);
    expect_among(&pool, CHECK_BLOCK_SHARED);

    snapshotpool_begin(&pool);
    pool.dead[DEAD_2_2_ROOT].key.offset = pool.next + 50;
    expect_among(&pool, CHECK_DEAD_UNNAMED);

    snapshotpool_begin(&pool);
    pool.dead[DEAD_SUM_2_2].key.inode = pool.dead[DEAD_2_2_ROOT].key.inode = 3ull << 32 | 2;
    expect_among(&pool, CHECK_DEAD_NOWHERE);

    /* The snapshot that had them is gone. */
    snapshotpool_begin(&pool);
    pool.catalog[ITEM_ONE].length = 0;
    expect_among(&pool, CHECK_DEAD_NOWHERE);

    snapshotpool_begin(&pool);
    pool.dead_count = 0;
    snapshotpool_finish(&pool);
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.numbers[0], CHECK_SNAPSHOT_BLOCKS);
    assert_int_equal(seen.numbers[1], CHECK_DATASET_BLOCKS);
}

/* A part of an older tree that cannot be read is looked for in the younger ones. */
static void damage(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    snapshotpool_finish(&pool);
    pool.disk->content[pool.root[0].block * DISK_BLOCK_SIZE + 9] ^= 1;
    pool.disk->content[pool.block11.block * DISK_BLOCK_SIZE + 9] ^= 1;
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.numbers[0], CHECK_NODE_CHECKSUM);
    assert_int_equal(seen.numbers[1], CHECK_DATA_CHECKSUM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound),           cmocka_unit_test(deleting),
        cmocka_unit_test(deleted_by_half), cmocka_unit_test(snapshot_records),
        cmocka_unit_test(counts),          cmocka_unit_test(origins),
        cmocka_unit_test(shared),          cmocka_unit_test(dead_trees),
        cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
