/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: damage costs what it is in. A volume, share or snapshot whose first node cannot be read is
 * refused with the reason, all others are served, what is done with its record can be done, and
 * nothing of it gets worse: after a repair all space is accounted for.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/snapshot/schedule.h"
#include "tests/storage/lfsx/sharetest.h"

#define SIZE (1ull << 20)
#define BLOCK ((uint64_t)LFSX_BLOCK_SIZE)
#define SECOND 1000000000ull
#define START (1795269600ull * SECOND)

static struct ramdisk *disk;
static struct lfsx_pool *pool;

static void fill(const char *name, unsigned char byte, uint32_t flags) {
    struct lfsx_volume *volume;
    unsigned char data[4 * LFSX_BLOCK_SIZE];
    memset(data, byte, sizeof data);
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, data, sizeof data, flags), STATUS_OK);
    lfsx_volume_close(volume);
}

static void assert_reads(const char *name, unsigned char byte) {
    struct lfsx_volume *volume;
    unsigned char data[4 * LFSX_BLOCK_SIZE];
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_read(volume, 0, data, sizeof data), STATUS_OK);
    for (size_t i = 0; i < sizeof data; i++)
        assert_int_equal(data[i], byte);
    lfsx_volume_close(volume);
}

static enum status opens(const char *name) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(pool, name, &volume);
    if (status == STATUS_OK)
        lfsx_volume_close(volume);
    return status;
}

static enum status take(const char *volume, const char *name) {
    return lfsx_snapshot_create(pool, &volume, 1, name, 0);
}

/* "alpha" and "beta", of both a snapshot "one" with 1s in it; now they are 2s. */
static void setup(void) {
    static const char *const volumes[] = {"alpha", "beta"};
    disk = ramdisk_create(24ull << 20);
    pooltest_format(disk, 2, SIZE);
    pool = pooltest_open(disk);
    fill("alpha", 1, 0);
    fill("beta", 1, 0);
    assert_int_equal(lfsx_snapshot_create(pool, volumes, 2, "one", 0), STATUS_OK);
    fill("alpha", 2, 0);
    fill("beta", 2, 0);
}

enum which { LIVE, DEAD, SNAPSHOT };

/* Where the root of a tree of the dataset is, after a checkpoint. */
static uint64_t root_of(const char *name, enum which which) {
    assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    os_rwlock_lock_shared(&pool->lock);
    struct dataset *d = dataset_find(pool, name);
    uint64_t block = which == LIVE   ? d->tree.root.block
                     : which == DEAD ? d->dead.root.block
                                     : snapshot_of(d->snapshots.next)->tree.root.block;
    os_rwlock_unlock_shared(&pool->lock);
    assert_true(block != 0);
    return block;
}

static void flip(uint64_t block) {
    disk->content[block * BLOCK + 100] ^= 1;
}

static void close_pool(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
}

static void open_damaged(uint64_t block) {
    close_pool();
    flip(block);
    pool = pooltest_open(disk);
    keeper_stop(pool);
}

static void on_finding(void *context, const struct lfsx_finding *finding) {
    (void)context, (void)finding;
}

static void on_action(void *context, const char *text) {
    (void)context, (void)text;
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    (void)context, (void)loss;
}

/* Everything that can be told is well again. */
static void repair(void) {
    struct lfsx_repair_options options = {
        .level = LFSX_REPAIR_ALL, .finding = on_finding, .action = on_action, .loss = on_loss};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&disk->device, &options, &summary), STATUS_OK);
    assert_true(summary.check.findings > 0);
    if (summary.remaining > 0)
        pooltest_assert_clean(disk); /* says what */
}

static void end(void) {
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    close_pool();
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

struct seen {
    const char *name;
    struct lfsx_volume_info info;
};

static bool note(void *context, const struct lfsx_volume_info *info) {
    struct seen *seen = context;
    if (strcmp(info->name, seen->name) == 0)
        seen->info = *info;
    return true;
}

static struct lfsx_volume_info listed(const char *name) {
    struct seen seen = {.name = name};
    assert_int_equal(lfsx_volume_list(pool, note, &seen), STATUS_OK);
    assert_string_equal(seen.info.name, name);
    return seen.info;
}

static void the_pool_opens_and_serves_the_others(void **state) {
    (void)state;
    static const char *const both[] = {"beta", "alpha"};
    setup();
    open_damaged(root_of("alpha", LIVE));
    assert_int_equal(listed("alpha").damage, STATUS_CHECKSUM);
    assert_int_equal(listed("beta").damage, STATUS_OK);
    assert_int_equal(opens("alpha"), STATUS_CORRUPT);
    assert_int_equal(lfsx_volume_resize(pool, "alpha", 2 * SIZE, 0), STATUS_CORRUPT);
    assert_int_equal(take("alpha", "two"), STATUS_CORRUPT);
    assert_int_equal(lfsx_snapshot_create(pool, both, 2, "two", 0), STATUS_CORRUPT);
    assert_int_equal(opens("beta@two"), STATUS_NOT_FOUND); /* none was taken */
    fill("beta", 3, LFSX_FUA);
    assert_reads("beta", 3);
    assert_reads("beta@one", 1);
    assert_int_equal(take("beta", "two"), STATUS_OK);
    close_pool();
    repair();
    pool = pooltest_open(disk);
    assert_int_equal(listed("alpha").damage, STATUS_OK);
    assert_reads("beta", 3);
    end();
}

/* What needs its record only, or its snapshots, works: above all the way back. */
static void the_way_back_is_open(void **state) {
    (void)state;
    setup();
    open_damaged(root_of("alpha", LIVE));
    assert_reads("alpha@one", 1);
    assert_int_equal(lfsx_clone_create(pool, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_volume_rename(pool, "alpha", "ill"), STATUS_OK);
    assert_int_equal(lfsx_volume_protect(pool, "ill", true, 5), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "ill", LFSX_DELETE_SNAPSHOTS), STATUS_PERMISSION);
    assert_int_equal(lfsx_volume_rollback(pool, "ill", "one", "kept"), STATUS_OK);
    assert_reads("ill", 1);
    assert_reads("clone", 1);
    assert_int_equal(opens("kept"), STATUS_CORRUPT);
    fill("ill", 4, LFSX_FUA);
    close_pool();
    repair();
    pool = pooltest_open(disk);
    assert_reads("ill", 4);
    assert_int_equal(opens("kept"), STATUS_OK);
    end();
}

static void a_share_too(void **state) {
    (void)state;
    struct lfsx_share *share;
    static const char *const name = "files";
    setup();
    assert_int_equal(lfsx_share_create(pool, name), STATUS_OK);
    assert_int_equal(lfsx_snapshot_create(pool, &name, 1, "one", 0), STATUS_OK);
    struct sharetest test = {.disk = disk, .pool = pool};
    assert_int_equal(lfsx_share_open(pool, name, &test.share), STATUS_OK);
    (void)sharetest_create(&test, LFSX_ROOT, "file");
    lfsx_share_close(test.share);
    uint64_t block = root_of(name, LIVE);
    open_damaged(block);
    assert_int_equal(lfsx_share_open(pool, name, &share), STATUS_CORRUPT);
    assert_int_equal(lfsx_share_open(pool, "files@one", &share), STATUS_OK);
    lfsx_share_close(share);
    assert_reads("alpha", 2);
    close_pool();
    flip(block);
    pool = pooltest_open(disk);
    assert_int_equal(lfsx_share_open(pool, name, &share), STATUS_OK);
    lfsx_share_close(share);
    end();
}

/* A damaged snapshot is refused as such, and deleted like any other: its tree is not read. */
static void a_snapshot_alone(void **state) {
    (void)state;
    setup();
    open_damaged(root_of("alpha", SNAPSHOT));
    assert_reads("alpha", 2);
    assert_int_equal(opens("alpha@one"), STATUS_CORRUPT);
    assert_int_equal(lfsx_clone_create(pool, "alpha", "one", "clone"), STATUS_CORRUPT);
    assert_int_equal(lfsx_volume_rollback(pool, "alpha", "one", "kept"), STATUS_CORRUPT);
    assert_reads("beta@one", 1);
    assert_int_equal(lfsx_snapshot_delete(pool, "alpha", "one"), STATUS_OK);
    end();
}

/* It is gone at once, and its space after the repair; what else is deleted does not wait for it. */
static void deleting_it(void **state) {
    (void)state;
    struct lfsx_pool_info info;
    setup();
    open_damaged(root_of("alpha", LIVE));
    assert_int_equal(lfsx_volume_delete(pool, "alpha", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    assert_int_equal(opens("alpha"), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_create(pool, "alpha", SIZE), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "beta", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    lfsx_pool_info(pool, &info);
    uint64_t left = info.used_bytes;
    assert_true(left > 2 * BLOCK && left < 12 * BLOCK);
    close_pool();
    pool = pooltest_open(disk);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    close_pool();
    repair();
    pool = pooltest_open(disk);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    lfsx_pool_info(pool, &info);
    assert_int_equal(info.used_bytes, BLOCK); /* the catalog */
    end();
}

static bool count(void *context, const struct lfsx_snapshot_info *info) {
    assert_int_equal(info->unique_bytes, LFSX_BYTES_UNKNOWN);
    ++*(unsigned *)context;
    return true;
}

/* What only snapshots hold is written down nowhere any more: it stays, and the pool goes on. */
static void a_dead_tree(void **state) {
    (void)state;
    unsigned snapshots = 0;
    uint64_t bytes;
    setup();
    assert_int_equal(take("alpha", "two"), STATUS_OK);
    open_damaged(root_of("alpha", DEAD));
    fill("alpha", 3, LFSX_FUA);
    assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    fill("beta", 3, LFSX_FUA);
    assert_int_equal(lfsx_snapshot_list(pool, "alpha", count, &snapshots), STATUS_OK);
    assert_int_equal(snapshots, 2);
    assert_int_equal(lfsx_volume_total(pool, "alpha", &bytes), STATUS_OK);
    assert_int_equal(bytes, LFSX_BYTES_UNKNOWN);
    assert_int_equal(take("alpha", "three"), STATUS_OK);
    fill("alpha", 4, 0);
    assert_int_equal(lfsx_snapshot_delete(pool, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_snapshot_delete(pool, "beta", "one"), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    close_pool();
    pool = pooltest_open(disk);
    assert_reads("alpha", 4);
    assert_reads("alpha@two", 2);
    assert_reads("alpha@three", 3);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    close_pool();
    repair();
    pool = pooltest_open(disk);
    assert_reads("alpha@two", 2);
    assert_int_equal(lfsx_volume_total(pool, "alpha", &bytes), STATUS_OK);
    assert_true(bytes != LFSX_BYTES_UNKNOWN);
    end();
}

/* The schedule takes none of what is damaged, and lets none of it go: they may be all that is
 * left. */
static void a_schedule_leaves_it_alone(void **state) {
    (void)state;
    static const struct lfsx_schedule_rule rule = {SECOND, 2};
    setup();
    keeper_stop(pool);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &rule, 1), STATUS_OK);
    assert_int_equal(lfsx_schedule_set(pool, "beta", &rule, 1), STATUS_OK);
    for (uint64_t i = 0; i < 2; i++) {
        fill("alpha", (unsigned char)(i + 3), 0);
        fill("beta", (unsigned char)(i + 3), 0);
        schedule_run(pool, START + i * SECOND);
    }
    fill("alpha", 9, 0);
    open_damaged(root_of("alpha", LIVE));
    for (uint64_t i = 2; i < 6; i++) {
        fill("beta", (unsigned char)(i + 3), 0);
        schedule_run(pool, START + i * SECOND);
    }
    assert_int_equal(listed("alpha").snapshot_count, 1 + 2);
    assert_int_equal(listed("beta").snapshot_count, 1 + 2);
    assert_reads("alpha@auto-20261121-140001", 4);
    assert_reads("beta@auto-20261121-140005", 8);
    assert_int_equal(lfsx_volume_rollback(pool, "alpha", "one", "kept"), STATUS_OK);
    close_pool();
    repair();
    pool = pooltest_open(disk);
    keeper_stop(pool);
    assert_reads("alpha", 1);
    end();
}

/* Acknowledged writes that wait in the journal for a volume that cannot take them are not dropped:
 * nobody writes, who reads has the rest, and a repair brings everything together. */
static void its_journal_is_not_dropped(void **state) {
    (void)state;
    struct lfsx_open_options read_only = {.flags = LFSX_OPEN_READ_ONLY};
    setup();
    uint64_t block = root_of("alpha", LIVE);
    fill("alpha", 5, LFSX_FUA);
    fill("beta", 5, LFSX_FUA);
    struct ramdisk *left = ramdisk_from(disk->content, disk->device.size);
    close_pool();
    ramdisk_destroy(disk);
    disk = left;
    flip(block);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(lfsx_pool_open(&disk->device, NULL, &pool), STATUS_CORRUPT);
    assert_int_equal(lfsx_pool_open(&disk->device, &read_only, &pool), STATUS_OK);
    assert_reads("beta", 5);
    assert_reads("alpha@one", 1);
    assert_int_equal(opens("alpha"), STATUS_CORRUPT);
    flip(block); /* it is too late: what the journal said was left out */
    assert_int_equal(opens("alpha"), STATUS_CORRUPT);
    close_pool();
    flip(block);
    repair();
    pool = pooltest_open(disk);
    assert_reads("alpha", 5);
    assert_reads("beta", 5);
    end();
}

/* A read that failed once is tried again by who comes next. */
static void a_device_that_recovers(void **state) {
    (void)state;
    setup();
    uint64_t block = root_of("alpha", LIVE);
    close_pool();
    disk->unreadable[0] = block;
    pool = pooltest_open(disk);
    assert_int_equal(listed("alpha").damage, STATUS_IO);
    assert_int_equal(opens("alpha"), STATUS_IO);
    assert_int_equal(take("alpha", "two"), STATUS_IO);
    disk->unreadable[0] = 0;
    assert_reads("alpha", 2);
    assert_int_equal(listed("alpha").size, SIZE);
    assert_int_equal(listed("alpha").damage, STATUS_OK);
    assert_int_equal(take("alpha", "two"), STATUS_OK);
    end();
}

static void forget_clean_nodes(void) {
    os_rwlock_lock_exclusive(&pool->lock);
    LIST_FOR_EACH_SAFE(link, &pool->forest.cache.clean)
    cache_drop(&pool->forest.cache, LIST_CONTAINER(link, struct cached_node, link));
    os_rwlock_unlock_exclusive(&pool->lock);
}

/* A checkpoint that cannot read a node of the catalog is no failure of what was written: the pool
 * stays writable, and the next one makes durable what this one could not. */
static void a_checkpoint_that_cannot_read(void **state) {
    (void)state;
    struct lfsx_pool_info info;
    setup();
    assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    keeper_stop(pool);
    fill("alpha", 3, 0);
    os_rwlock_lock_exclusive(&pool->lock);
    uint64_t block = pool->catalog.root.block;
    pool->unjournaled_generation = pool->forest.generation; /* a commit needs a checkpoint */
    os_rwlock_unlock_exclusive(&pool->lock);
    forget_clean_nodes();
    disk->unreadable[0] = block;
    assert_int_equal(lfsx_volume_create(pool, "gamma", SIZE), STATUS_IO);
    assert_int_equal(lfsx_pool_commit(pool), STATUS_IO);
    lfsx_pool_info(pool, &info);
    assert_false(info.read_only);
    disk->unreadable[0] = 0;
    assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
    assert_int_equal(lfsx_volume_create(pool, "gamma", SIZE), STATUS_OK);
    fill("alpha", 4, LFSX_FUA);
    close_pool();
    pool = pooltest_open(disk);
    assert_reads("alpha", 4);
    assert_reads("alpha@one", 1);
    assert_int_equal(opens("gamma"), STATUS_OK);
    end();
}

/* Who only reads needs no maps, not even to see what the journal says. */
static void allocation_maps(void **state) {
    (void)state;
    struct lfsx_open_options read_only = {.flags = LFSX_OPEN_READ_ONLY};
    struct lfsx_pool_info before, after;
    setup();
    fill("alpha", 5, LFSX_FUA);
    lfsx_pool_info(pool, &before);
    struct ramdisk *left = ramdisk_from(disk->content, disk->device.size);
    const struct geometry g = pool->label.geometry;
    close_pool();
    ramdisk_destroy(disk);
    disk = left;
    for (unsigned level = 0; level < 2; level++)
        for (unsigned copy = 0; copy < 2; copy++)
            flip(geometry_map_address(&g, level, 0, copy));
    assert_int_equal(lfsx_pool_open(&disk->device, NULL, &pool), STATUS_CHECKSUM);
    assert_int_equal(lfsx_pool_open(&disk->device, &read_only, &pool), STATUS_OK);
    assert_reads("alpha", 5);
    assert_reads("alpha@one", 1);
    assert_reads("beta", 2);
    lfsx_pool_info(pool, &after);
    assert_int_equal(before.size_bytes, after.size_bytes);
    assert_true(after.used_bytes > 0 && after.used_bytes <= before.used_bytes);
    assert_int_equal(take("alpha", "two"), STATUS_READ_ONLY);
    close_pool();
    repair();
    pool = pooltest_open(disk);
    assert_reads("alpha", 5);
    end();
}

/* What cannot be read may be whole: that is said, and not that it is damaged. */
static void unreadable_superblocks(void **state) {
    (void)state;
    setup();
    close_pool();
    static struct ring ring;
    struct label label;
    struct superblock super;
    assert_int_equal(label_read(&disk->device, &label), STATUS_OK);
    assert_int_equal(ring_read(&disk->device, &label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    for (unsigned next = 0; next < 2; next++) {
        unsigned slot = (unsigned)((super.checkpoint + next) % DISK_RING_SLOTS);
        for (unsigned area = 0; area < 2; area++)
            disk->unreadable[area] = geometry_slot_address(&label.geometry, area, slot);
        assert_int_equal(lfsx_pool_open(&disk->device, NULL, &pool), STATUS_IO);
        disk->unreadable[0] = 0;
        pool = NULL;
        struct lfsx_open_options read_only = {.flags = LFSX_OPEN_READ_ONLY};
        assert_int_equal(lfsx_pool_open(&disk->device, &read_only, &pool), STATUS_OK);
        close_pool();
        disk->unreadable[1] = 0;
    }
    pool = pooltest_open(disk);
    end();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pool_opens_and_serves_the_others),
        cmocka_unit_test(the_way_back_is_open),
        cmocka_unit_test(a_share_too),
        cmocka_unit_test(a_snapshot_alone),
        cmocka_unit_test(deleting_it),
        cmocka_unit_test(a_dead_tree),
        cmocka_unit_test(a_schedule_leaves_it_alone),
        cmocka_unit_test(its_journal_is_not_dropped),
        cmocka_unit_test(a_device_that_recovers),
        cmocka_unit_test(allocation_maps),
        cmocka_unit_test(a_checkpoint_that_cannot_read),
        cmocka_unit_test(unreadable_superblocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
