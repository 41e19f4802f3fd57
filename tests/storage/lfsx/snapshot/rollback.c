/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a rollback leaves nothing less guarded than it was. What takes the volume's place has all
 * of its settings; what the volume was keeps its schedule, its protection and its snapshots.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/lfsx_space.h"
#include "storage/lfsx/snapshot/schedule.h"
#include "tests/storage/lfsx/pooltest.h"

#define SECOND 1000000000ull
#define START (1795269600ull * SECOND)
#define KEEP_NS (60 * SECOND)

static const struct lfsx_schedule_rule every_second = {SECOND, 10};

static struct ramdisk *disk;
static struct lfsx_pool *pool;

static void setup(void) {
    disk = ramdisk_create(24ull << 20);
    pooltest_format(disk, 1, 1 << 20);
    pool = pooltest_open(disk);
    keeper_stop(pool);
}

static void teardown(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

static void open_again(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pool = pooltest_open(disk);
    keeper_stop(pool);
}

static void write_one(const char *name, unsigned char byte) {
    struct lfsx_volume *volume;
    unsigned char block[LFSX_BLOCK_SIZE];
    memset(block, byte, sizeof block);
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, block, sizeof block, 0), STATUS_OK);
    lfsx_volume_close(volume);
}

static struct lfsx_volume_info info_of(const char *name) {
    struct lfsx_volume *volume;
    struct lfsx_volume_info info;
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    lfsx_volume_info(volume, &info);
    lfsx_volume_close(volume);
    return info;
}

static bool has_schedule(const char *name) {
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count;
    assert_int_equal(lfsx_schedule_get(pool, name, rules, &count), STATUS_OK);
    return count == 1 && rules[0].interval_ns == SECOND && rules[0].keep == 10;
}

/* Three automatic snapshots, then back to the second. */
static void roll_back(const char *name, const char *keep_as) {
    struct lfsx_snapshot_info snapshot;
    for (uint64_t i = 0; i < 3; i++) {
        write_one(name, (unsigned char)(i + 1));
        schedule_run(pool, START + i * SECOND);
    }
    assert_int_equal(lfsx_snapshot_at(pool, name, START + SECOND, &snapshot), STATUS_OK);
    assert_int_equal(lfsx_volume_rollback(pool, name, snapshot.name, keep_as), STATUS_OK);
}

static void both_are_guarded(void **state) {
    (void)state;
    setup();
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &every_second, 1), STATUS_OK);
    assert_int_equal(lfsx_volume_protect(pool, "alpha", true, KEEP_NS), STATUS_OK);
    assert_int_equal(lfsx_dataset_set_quota(pool, "alpha", 1 << 20), STATUS_OK);
    assert_int_equal(lfsx_dataset_set_reservation(pool, "alpha", 1 << 19), STATUS_OK);
    roll_back("alpha", "before");
    for (int again = 0; again < 2; again++) {
        static const char *const names[] = {"alpha", "before"};
        for (int i = 0; i < 2; i++) {
            struct lfsx_volume_info info = info_of(names[i]);
            assert_true(info.is_protected && info.keep_deleted_ns == KEEP_NS);
            assert_true(has_schedule(names[i]));
            assert_int_equal(info.quota_bytes, i == 0 ? 1 << 20 : 0);
            assert_int_equal(info.reserved_bytes, i == 0 ? 1 << 19 : 0);
            assert_int_equal(lfsx_volume_delete(pool, names[i], LFSX_DELETE_SNAPSHOTS),
                             STATUS_PERMISSION);
        }
        open_again();
    }
    teardown();
}

/* What the schedule took before is not lost with the rollback, and what is new is guarded. */
static void automatic_snapshots_stay_for_their_time(void **state) {
    (void)state;
    struct lfsx_snapshot_info snapshot;
    setup();
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &every_second, 1), STATUS_OK);
    roll_back("alpha", "before");
    write_one("alpha", 9);
    schedule_run(pool, START + 3 * SECOND);
    assert_int_equal(info_of("before").snapshot_count, 3);
    assert_int_equal(lfsx_snapshot_at(pool, "alpha", START + 3 * SECOND, &snapshot), STATUS_OK);
    assert_int_equal(info_of("alpha").snapshot_count, 1);
    /* What nobody made a clone of is too old now. */
    schedule_run(pool, START + 20 * SECOND);
    assert_int_equal(info_of("before").snapshot_count, 1);
    teardown();
}

/* Nothing is made up for a volume that had no settings, nor for a share. */
static void what_was_not_set_is_not_set(void **state) {
    (void)state;
    static const char *const names[] = {"alpha", "files"};
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count;
    setup();
    assert_int_equal(lfsx_share_create(pool, "files"), STATUS_OK);
    assert_int_equal(lfsx_snapshot_create(pool, names, 2, "one", 0), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lfsx_volume_rollback(pool, names[i], "one", i == 0 ? "b" : "c"),
                         STATUS_OK);
        assert_int_equal(lfsx_schedule_get(pool, names[i], rules, &count), STATUS_OK);
        assert_int_equal(count, 0);
    }
    struct lfsx_volume_info info = info_of("alpha");
    assert_true(!info.is_protected && info.keep_deleted_ns == 0);
    teardown();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_guarded),
        cmocka_unit_test(automatic_snapshots_stay_for_their_time),
        cmocka_unit_test(what_was_not_set_is_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
