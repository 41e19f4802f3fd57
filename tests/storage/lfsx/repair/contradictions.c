/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: trees that are whole and say what cannot be are corrected, and nothing of them is lost:
 * every volume and snapshot holds what it held, can be written, and lets go of its blocks when it
 * is deleted.
 */
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/fuzz/reseal.h"
#include "tests/storage/lfsx/snapshotpool.h"

#define SHORT_FILE (11ull * DISK_BLOCK_SIZE)

static struct disk_node *node_at(struct snapshotpool *pool, const struct pointer *pointer) {
    return (struct disk_node *)(pool->disk->content + pointer->block * DISK_BLOCK_SIZE);
}

static struct disk_extent *extent_at(struct snapshotpool *pool, const struct pointer *leaf,
                                     unsigned index) {
    return node_value(node_at(pool, leaf), index);
}

/* The clone's own leaf stands before its root. */
static struct pointer clone_leaf(const struct snapshotpool *pool) {
    return (struct pointer){.block = pool->root[3].block - 1};
}

static void set_key(struct snapshotpool *pool, unsigned index, uint64_t offset) {
    struct key key = {DISK_ROOT_INODE, offset, DISK_TYPE_EXTENT};
    node_set_key(node_at(pool, &pool->root[2]), index, &key);
}

static void set_birth(struct snapshotpool *pool, const struct pointer *parent, unsigned index,
                      uint64_t birth) {
    struct disk_pointer *pointer = node_value(node_at(pool, parent), index);
    struct pointer child = pointer_load(pointer);
    pointer->birth = node_at(pool, &child)->birth = le64_make(birth);
}

static void become_later(struct disk_node *node) {
    node->checkpoint = le64_make(le64_get(node->checkpoint) + 1);
}

/* ---- what is wrong ---- */

static void first_key(struct snapshotpool *pool) {
    set_key(pool, 0, 0);
}

static void last_key(struct snapshotpool *pool) {
    set_key(pool, 1, 0);
}

static void late_leaf(struct snapshotpool *pool) {
    become_later(node_at(pool, &pool->leaf[3]));
}

static void late_root(struct snapshotpool *pool) {
    become_later(node_at(pool, &pool->root[2]));
}

static void late_shared_leaf(struct snapshotpool *pool) {
    become_later(node_at(pool, &pool->leaf[2]));
}

static void leaf_to_come(struct snapshotpool *pool) {
    set_birth(pool, &pool->root[2], 1, 7);
}

/* The node and its block are not in the origin. */
static void leaf_of_the_origin(struct snapshotpool *pool) {
    struct pointer leaf = clone_leaf(pool);
    set_birth(pool, &pool->root[3], 1, 2);
    node_at(pool, &leaf)->owner = le64_make(SNAPSHOTPOOL_ALPHA);
    extent_at(pool, &leaf, 1)->birth = le64_make(2);
}

static void block_of_the_origin(struct snapshotpool *pool) {
    struct pointer leaf = clone_leaf(pool);
    extent_at(pool, &leaf, 1)->birth = le64_make(1);
}

/* Snapshot "two" and all that came from it have it; "one" has not. */
static void block_of_an_older_snapshot(struct snapshotpool *pool) {
    extent_at(pool, &pool->leaf[2], 1)->birth = le64_make(1);
}

static void block_to_come(struct snapshotpool *pool) {
    extent_at(pool, &pool->leaf[3], 0)->birth = le64_make(9);
}

static void shared_block_to_come(struct snapshotpool *pool) {
    extent_at(pool, &pool->leaf[2], 1)->birth = le64_make(9);
}

static void snapshot_block_to_come(struct snapshotpool *pool) {
    extent_at(pool, &pool->leaf[0], 1)->birth = le64_make(3);
}

/* Block 11 is behind the end of all but the oldest tree. */
static void behind_the_end(struct snapshotpool *pool) {
    struct disk_inode *inode = node_value(node_at(pool, &pool->leaf[2]), 0);
    inode->size = le64_make(SHORT_FILE);
}

static void late_dead_tree(struct snapshotpool *pool) {
    struct pointer dead = pointer_load(&pool->catalog[ITEM_ALPHA].value.dataset.dead);
    become_later(node_at(pool, &dead));
}

static void two_at_once(struct snapshotpool *pool) {
    first_key(pool);
    block_of_an_older_snapshot(pool);
    snapshot_block_to_come(pool);
    late_leaf(pool);
}

static const struct contradiction {
    const char *name;
    void (*make)(struct snapshotpool *pool);
    enum check_finding finding;
    uint64_t file;   /* bytes of all but the oldest tree; 0: as many */
    unsigned losses; /* of block 0 of the live tree, which no key leads to */
} contradictions[] = {
    {"first key", first_key, CHECK_NODE_ORDER, 0, 0},
    {"last key", last_key, CHECK_NODE_ORDER, 0, 1},
    {"leaf of a later checkpoint", late_leaf, CHECK_NODE_AGE, 0, 0},
    {"root of a later checkpoint", late_root, CHECK_NODE_AGE, 0, 0},
    {"shared leaf of a later checkpoint", late_shared_leaf, CHECK_NODE_AGE, 0, 0},
    {"leaf of an epoch to come", leaf_to_come, CHECK_NODE_AGE, 0, 0},
    {"leaf of the origin", leaf_of_the_origin, CHECK_SHARED_MISSING, 0, 0},
    {"block of the origin", block_of_the_origin, CHECK_SHARED_MISSING, 0, 0},
    {"block of an older snapshot", block_of_an_older_snapshot, CHECK_SHARED_MISSING, 0, 0},
    {"block of an epoch to come", block_to_come, CHECK_EXTENT_AGE, 0, 0},
    {"shared block of an epoch to come", shared_block_to_come, CHECK_EXTENT_AGE, 0, 0},
    {"snapshot's block of an epoch to come", snapshot_block_to_come, CHECK_EXTENT_AGE, 0, 0},
    {"blocks behind the end", behind_the_end, CHECK_EXTENT_BEHIND_END, SHORT_FILE, 0},
    {"dead tree of a later checkpoint", late_dead_tree, CHECK_NODE_AGE, 0, 0},
    {"several at once", two_at_once, CHECK_NODE_ORDER, 0, 0},
};

/* ---- what must be so ---- */

struct seen {
    enum check_finding wanted;
    bool found;
    unsigned losses;
};

static void on_finding(void *context, const struct lfsx_finding *finding) {
    struct seen *seen = context;
    seen->found = seen->found || finding->number == (uint32_t)seen->wanted;
    printf("  %u %s: %s\n", finding->number, finding->name, finding->text);
}

static void on_action(void *context, const char *text) {
    (void)context;
    printf("  %s\n", text);
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    struct seen *seen = context;
    seen->losses++;
    printf("  loss: %s\n", loss->volume);
    assert_string_equal(loss->volume, "alpha");
    assert_true(loss->offset == 0 && loss->length == DISK_BLOCK_SIZE && !loss->doubtful);
}

static void repair(struct ramdisk *disk, enum check_finding wanted, unsigned losses) {
    struct seen seen = {.wanted = wanted};
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = &seen};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&disk->device, &options, &summary), STATUS_OK);
    assert_true(seen.found);
    assert_int_equal(seen.losses, losses);
    pooltest_assert_clean(disk);
    assert_int_equal(summary.remaining, 0);
}

/* A thing's blocks 0, 10 and 11. */
static void assert_holds(struct lfsx_pool *pool, const char *name, uint64_t file,
                         const struct snapshotpool_block *const blocks[3]) {
    static const uint64_t at[3] = {0, 10, 11};
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    for (unsigned i = 0; i < 3; i++) {
        unsigned char read[DISK_BLOCK_SIZE], expected[DISK_BLOCK_SIZE];
        uint64_t offset = at[i] * DISK_BLOCK_SIZE;
        if (offset >= file)
            continue;
        memset(expected, (int)(blocks[i]->block & 0xff), sizeof expected);
        assert_int_equal(pooltest_read(volume, offset, read, sizeof read), STATUS_OK);
        assert_memory_equal(read, expected, sizeof read);
    }
    lfsx_volume_close(volume);
}

static void assert_all_hold(const struct snapshotpool *p, struct lfsx_pool *pool, uint64_t file,
                            bool is_lost) {
    assert_holds(pool, "alpha@one", SNAPSHOTPOOL_FILE,
                 (const struct snapshotpool_block *const[]){&p->block0, &p->block10, &p->block11});
    assert_holds(
        pool, "alpha@two", file,
        (const struct snapshotpool_block *const[]){&p->block0_new, &p->block10, &p->block11});
    if (!is_lost)
        assert_holds(pool, "alpha", file,
                     (const struct snapshotpool_block *const[]){&p->block0_new, &p->block10_new,
                                                                &p->block11});
    assert_holds(
        pool, "clone", file,
        (const struct snapshotpool_block *const[]){&p->block0_new, &p->block10, &p->block11_clone});
}

static void overwrite(struct lfsx_pool *pool, const char *name) {
    static const unsigned char data[DISK_BLOCK_SIZE];
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, data, sizeof data, LFSX_FUA), STATUS_OK);
    lfsx_volume_close(volume);
}

static void close_and_check(struct ramdisk *disk, struct lfsx_pool *pool) {
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
}

/* What is dropped and deleted goes as if nothing had ever been wrong. */
static void use_up(struct ramdisk *disk, bool newest_first) {
    struct lfsx_pool *pool = pooltest_open(disk);
    overwrite(pool, "alpha");
    overwrite(pool, "clone");
    close_and_check(disk, pool);
    pool = pooltest_open(disk);
    assert_int_equal(lfsx_volume_delete(pool, "clone", 0), STATUS_OK);
    close_and_check(disk, pool);
    for (unsigned i = 0; i < 2; i++) {
        pool = pooltest_open(disk);
        assert_int_equal(lfsx_snapshot_delete(pool, "alpha", i == newest_first ? "one" : "two"),
                         STATUS_OK);
        close_and_check(disk, pool);
    }
    struct lfsx_check_options options = {.finding = pooltest_finding};
    struct lfsx_check_summary summary;
    assert_int_equal(lfsx_check(&disk->device, &options, &summary), STATUS_OK);
    assert_int_equal(summary.dead_blocks, 0);
    assert_true(summary.data_blocks <= 3 && summary.nodes <= 5); /* a dead tree may be left */
}

static void correct(const struct contradiction *contradiction, bool newest_first) {
    struct snapshotpool p;
    printf("%s\n", contradiction->name);
    snapshotpool_begin(&p);
    uint64_t file = contradiction->file == 0 ? SNAPSHOTPOOL_FILE : contradiction->file;
    p.catalog[ITEM_SCHEDULE].length = 0; /* no more snapshots */
    p.catalog[ITEM_TWO].value.snapshot.size = le64_make(file);
    snapshotpool_finish(&p);
    contradiction->make(&p);
    reseal_pool(p.disk->content, &p.label.geometry, p.super.checkpoint);
    repair(p.disk, contradiction->finding, contradiction->losses);
    struct lfsx_pool *pool = pooltest_open(p.disk);
    assert_all_hold(&p, pool, file, contradiction->losses > 0);
    close_and_check(p.disk, pool);
    use_up(p.disk, newest_first);
    ramdisk_destroy(p.disk);
}

static void all(void **state) {
    (void)state;
    for (unsigned i = 0; i < ARRAY_LENGTH(contradictions); i++) {
        correct(&contradictions[i], true);
        if (contradictions[i].file == 0) /* what the oldest one has is behind the next one's end */
            correct(&contradictions[i], false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
