/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the volumes and shares of a pool take, each with its snapshots, adds up to what is in
 * use, to the block; and it is what deleting one with its snapshots gives back. So it is for what a
 * deleted volume held when it is purged.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/volumemodel.h"

#define VOLUME_SIZE (1ull << 20)

static struct ramdisk *disk;
static struct lfsx_pool *pool;

static uint64_t total_of(const char *name) {
    uint64_t bytes;
    assert_int_equal(lfsx_volume_total(pool, name, &bytes), STATUS_OK);
    return bytes;
}

static bool add_volume(void *context, const struct lfsx_volume_info *info) {
    *(uint64_t *)context += total_of(info->name);
    return true;
}

static bool add_share(void *context, const struct lfsx_share_info *info) {
    *(uint64_t *)context += total_of(info->name);
    return true;
}

/* Of the data area, in bytes; what the catalog takes is added. */
static uint64_t sum_of_all(void) {
    uint64_t sum = pool->catalog.nodes * LFSX_BLOCK_SIZE;
    assert_int_equal(lfsx_volume_list(pool, add_volume, &sum), STATUS_OK);
    assert_int_equal(lfsx_share_list(pool, add_share, &sum), STATUS_OK);
    return sum;
}

static uint64_t in_use(void) {
    struct lfsx_pool_info info;
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    lfsx_pool_info(pool, &info);
    return info.used_bytes;
}

static void change(const char *name, struct random *random) {
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    for (unsigned i = 0; i < 20; i++) {
        struct operation operation = operation_random(random, info.size, 100000);
        assert_int_equal(operation_do(&operation, volume, 0), STATUS_OK);
    }
    lfsx_volume_close(volume);
}

static void take(const char *name, const char *snapshot) {
    assert_int_equal(lfsx_snapshot_create(pool, &name, 1, snapshot, 0), STATUS_OK);
}

static void everything_adds_up(void **state) {
    (void)state;
    struct random random = random_start("accounting");
    disk = ramdisk_create(48ull << 20);
    pooltest_format(disk, 2, VOLUME_SIZE);
    pool = pooltest_open(disk);
    assert_int_equal(lfsx_share_create(pool, "files"), STATUS_OK);
    for (unsigned i = 0; i < 6; i++) {
        char snapshot[16];
        snprintf(snapshot, sizeof snapshot, "s%u", i);
        change("alpha", &random);
        change("beta", &random);
        take("alpha", snapshot);
        if (i == 2)
            assert_int_equal(lfsx_clone_create(pool, "alpha", "s2", "clone"), STATUS_OK);
        if (i == 4)
            assert_int_equal(lfsx_snapshot_delete(pool, "alpha", "s1"), STATUS_OK);
        if (i > 2) {
            change("clone", &random);
            take("clone", snapshot);
        }
        assert_int_equal(sum_of_all(), in_use());
    }
    uint64_t unique;
    assert_int_equal(lfsx_volume_unique(pool, "clone", &unique), STATUS_OK);
    assert_true(unique < total_of("clone"));
    assert_int_equal(lfsx_volume_total(pool, "nobody", &unique), STATUS_NOT_FOUND);

    uint64_t before = in_use() - pool->catalog.nodes * LFSX_BLOCK_SIZE;
    uint64_t clone = total_of("clone");
    assert_int_equal(lfsx_volume_delete(pool, "clone", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    uint64_t after = in_use() - pool->catalog.nodes * LFSX_BLOCK_SIZE;
    assert_int_equal(before - after, clone);
    assert_int_equal(sum_of_all(), in_use());
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

static bool note_id(void *context, const struct lfsx_volume_info *info) {
    *(uint64_t *)context = info->id;
    return true;
}

static void purging_gives_back_all(void **state) {
    (void)state;
    struct random random = random_start("purge");
    uint64_t id = 0;
    disk = ramdisk_create(24ull << 20);
    pooltest_format(disk, 2, VOLUME_SIZE);
    pool = pooltest_open(disk);
    change("alpha", &random);
    take("alpha", "one");
    change("alpha", &random);
    uint64_t alpha = total_of("alpha");
    assert_int_equal(lfsx_volume_protect(pool, "alpha", false, UINT64_MAX), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_deleted_list(pool, note_id, &id), STATUS_OK);
    assert_int_equal(lfsx_deleted_purge(pool, 0), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_deleted_purge(pool, id + 1), STATUS_NOT_FOUND); /* that one lives */

    assert_int_equal(lfsx_volume_undelete(pool, id, NULL), STATUS_OK);
    assert_int_equal(lfsx_clone_create(pool, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "clone", 0), STATUS_OK);
    assert_int_equal(lfsx_clone_create(pool, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_deleted_purge(pool, id), STATUS_BUSY);
    assert_int_equal(lfsx_volume_delete(pool, "clone", 0), STATUS_OK);
    uint64_t before = in_use();
    assert_int_equal(lfsx_deleted_purge(pool, id), STATUS_OK);
    assert_int_equal(before - in_use(), alpha);
    assert_int_equal(lfsx_deleted_purge(pool, id), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_undelete(pool, id, NULL), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_adds_up),
        cmocka_unit_test(purging_gives_back_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
