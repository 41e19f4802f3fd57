/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a volume with a schedule can be taken back to any of the intervals that its rules keep, and
 * no snapshot is taken of what did not change, or kept that no rule keeps.
 */
#include "storage/lfsx/snapshot/schedule.h"
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/pooltest.h"

#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)
#define START (1795269600ull * SECOND) /* 2026-11-21, a full hour */
#define DISK_BYTES (24ull << 20)

static struct ramdisk *disk;
static struct lfsx_pool *pool;

/* The schedule is run by the test, at times of its own. */
static void open_pool(void) {
    pool = pooltest_open(disk);
    keeper_stop(pool);
}

static void setup(uint32_t volumes) {
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, volumes, 1 << 20);
    open_pool();
}

static void teardown(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

/* What the volume says at a time is the time. */
static void write_time(const char *name, uint64_t now) {
    struct lfsx_volume *volume;
    unsigned char block[LFSX_BLOCK_SIZE] = {0};
    memcpy(block, &now, sizeof now);
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, block, sizeof block, 0), STATUS_OK);
    lfsx_volume_close(volume);
}

static uint64_t read_time(const char *name) {
    struct lfsx_volume *volume;
    unsigned char block[LFSX_BLOCK_SIZE];
    uint64_t time;
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_read(volume, 0, block, sizeof block), STATUS_OK);
    lfsx_volume_close(volume);
    memcpy(&time, block, sizeof time);
    return time;
}

static bool count(void *context, const struct lfsx_snapshot_info *info) {
    assert_true(info->automatic || strcmp(info->name, "by-hand") == 0);
    ++*(unsigned *)context;
    return true;
}

static unsigned snapshots(const char *volume) {
    unsigned number = 0;
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    assert_int_equal(lfsx_snapshot_list(pool, volume, count, &number), STATUS_OK);
    return number;
}

static void rewind_goes_to_every_kept_interval(void **state) {
    (void)state;
    static const struct lfsx_schedule_rule rules[] = {{MINUTE, 5}, {SECOND, 10}};
    static const char *const volumes[] = {"alpha"};
    setup(1);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", rules, 2), STATUS_OK);
    uint64_t end = START + 10 * MINUTE;
    for (uint64_t now = START; now <= end; now += SECOND) {
        write_time("alpha", now);
        if (now == START + MINUTE)
            assert_int_equal(lfsx_snapshot_create(pool, volumes, 1, "by-hand", 0), STATUS_OK);
        schedule_run(pool, now);
    }
    assert_int_equal(snapshots("alpha"), 10 + 4 + 1); /* the newest minute is a second's, too */
    for (uint64_t back = 0; back < 10; back++) {
        struct lfsx_snapshot_info info;
        char name[2 * LFSX_NAME_MAX];
        assert_int_equal(lfsx_snapshot_at(pool, "alpha", end - back * SECOND, &info), STATUS_OK);
        snprintf(name, sizeof name, "alpha@%s", info.name);
        assert_int_equal(read_time(name), end - back * SECOND);
    }
    for (uint64_t back = 1; back < 5; back++) {
        struct lfsx_snapshot_info info;
        assert_int_equal(lfsx_snapshot_at(pool, "alpha", end - back * MINUTE, &info), STATUS_OK);
        assert_int_equal(lfsx_volume_rollback(pool, "alpha", info.name, "kept"), STATUS_OK);
        assert_int_equal(read_time("alpha"), end - back * MINUTE);
        assert_int_equal(read_time("kept"), end);
        assert_int_equal(lfsx_volume_delete(pool, "alpha", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
        assert_int_equal(lfsx_volume_rename(pool, "kept", "alpha"), STATUS_OK);
    }
    teardown();
}

static void what_did_not_change_is_not_taken(void **state) {
    (void)state;
    static const struct lfsx_schedule_rule rule = {SECOND, 100};
    setup(1);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &rule, 1), STATUS_OK);
    for (uint64_t now = START; now < START + 20 * SECOND; now += SECOND / 4) {
        if (now % (5 * SECOND) == 0)
            write_time("alpha", now);
        schedule_run(pool, now);
    }
    assert_int_equal(snapshots("alpha"), 4);
    teardown();
}

static void all_volumes_that_are_due_share_the_instant(void **state) {
    (void)state;
    static const struct lfsx_schedule_rule rule = {SECOND, 3};
    struct lfsx_snapshot_info alpha;
    struct lfsx_snapshot_info beta;
    setup(2);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &rule, 1), STATUS_OK);
    assert_int_equal(lfsx_schedule_set(pool, "beta", &rule, 1), STATUS_OK);
    schedule_run(pool, START);
    assert_int_equal(lfsx_snapshot_at(pool, "alpha", START, &alpha), STATUS_OK);
    assert_int_equal(lfsx_snapshot_at(pool, "beta", START, &beta), STATUS_OK);
    assert_int_equal(alpha.epoch, beta.epoch);
    assert_string_equal(alpha.name, "auto-20261121-140000");
    teardown();
}

static void used_ones_stay_and_without_rules_the_others_go(void **state) {
    (void)state;
    static const struct lfsx_schedule_rule rule = {SECOND, 2};
    struct lfsx_snapshot_info info;
    setup(1);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &rule, 1), STATUS_OK);
    for (uint64_t now = START; now < START + 4 * SECOND; now += SECOND) {
        write_time("alpha", now);
        schedule_run(pool, now);
        if (now == START + SECOND) {
            assert_int_equal(lfsx_snapshot_at(pool, "alpha", now, &info), STATUS_OK);
            assert_int_equal(lfsx_clone_create(pool, "alpha", info.name, "clone"), STATUS_OK);
        }
    }
    assert_int_equal(snapshots("alpha"), 3);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", NULL, 0), STATUS_OK);
    schedule_run(pool, START + 4 * SECOND);
    assert_int_equal(snapshots("alpha"), 1);
    assert_int_equal(read_time("clone"), START + SECOND);
    teardown();
}

static void rules_stay_and_are_validated(void **state) {
    (void)state;
    static const struct lfsx_schedule_rule good[] = {{MINUTE, 7}, {SECOND, 2}};
    static const struct lfsx_schedule_rule short_one = {SECOND - 1, 1};
    static const struct lfsx_schedule_rule none = {SECOND, 0};
    static const struct lfsx_schedule_rule twice[] = {{SECOND, 1}, {MINUTE, 1}, {SECOND, 2}};
    static const struct lfsx_schedule_rule many[LFSX_SCHEDULE_RULES_MAX + 1];
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t number;
    setup(1);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &short_one, 1), STATUS_INVALID);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", &none, 1), STATUS_INVALID);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", twice, 3), STATUS_INVALID);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", many, LFSX_SCHEDULE_RULES_MAX + 1),
                     STATUS_INVALID);
    assert_int_equal(lfsx_schedule_set(pool, "nobody", good, 2), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_schedule_set(pool, "alpha", good, 2), STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    open_pool();
    assert_int_equal(lfsx_schedule_get(pool, "alpha", rules, &number), STATUS_OK);
    assert_int_equal(number, 2);
    assert_int_equal(rules[0].interval_ns, SECOND);
    assert_int_equal(rules[0].keep, 2);
    assert_int_equal(rules[1].interval_ns, MINUTE);
    assert_int_equal(rules[1].keep, 7);
    assert_int_equal(lfsx_schedule_get(pool, "nobody", rules, &number), STATUS_NOT_FOUND);
    teardown();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewind_goes_to_every_kept_interval),
        cmocka_unit_test(what_did_not_change_is_not_taken),
        cmocka_unit_test(all_volumes_that_are_due_share_the_instant),
        cmocka_unit_test(used_ones_stay_and_without_rules_the_others_go),
        cmocka_unit_test(rules_stay_and_are_validated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
