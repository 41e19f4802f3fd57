/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a repair of what is around a share leaves the share as it was; and one of nodes above its
 * leaves loses nothing of it. */
#include "tests/storage/lfsx/sharetest.h"

#define DISK_BYTES (24ull << 20)
#define FILES 300u

static void ignore_finding(void *context, const struct lfsx_finding *finding) {
    (void)context, (void)finding;
}

static void ignore_text(void *context, const char *text) {
    (void)context, (void)text;
}

static void ignore_loss(void *context, const struct lfsx_loss *loss) {
    (void)context, (void)loss;
}

static void repair(struct ramdisk *disk, struct lfsx_repair_summary *summary) {
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .data = true,
                                          .finding = ignore_finding,
                                          .action = ignore_text,
                                          .loss = ignore_loss};
    assert_int_equal(lfsx_repair(&disk->device, &options, summary), STATUS_OK);
}

static void name_of(unsigned i, char name[static 16]) {
    snprintf(name, 16, "file %u", i);
}

/* A share with files, and a volume with data. */
static void fill(struct sharetest *test) {
    unsigned char data[9000];
    memset(data, 'd', sizeof data);
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        name_of(i, name);
        struct lfsx_file *file = sharetest_file(test, sharetest_create(test, LFSX_ROOT, name));
        assert_int_equal(sharetest_write(file, i * 100, data, sizeof data, 0), STATUS_OK);
        lfsx_file_close(file);
    }
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_create(test->pool, "volume", 1 << 20), STATUS_OK);
    assert_int_equal(lfsx_volume_open(test->pool, "volume", &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, data, sizeof data, 0), STATUS_OK);
    lfsx_volume_close(volume);
}

static void assert_files(struct sharetest *test) {
    unsigned char data[FILES * 100 + 9000];
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        name_of(i, name);
        memset(data, 0, sizeof data);
        memset(data + i * 100, 'd', 9000);
        struct lfsx_file *file = sharetest_file(test, sharetest_lookup(test, LFSX_ROOT, name));
        sharetest_assert_content(file, data, i * 100 + 9000);
        lfsx_file_close(file);
    }
}

/* Where the root of a dataset's tree stands. */
static uint64_t root_of(struct sharetest *test, const char *name) {
    assert_int_equal(pool_checkpoint_force(test->pool), STATUS_OK);
    return dataset_find(test->pool, name)->tree.root.block;
}

static void damage(struct ramdisk *disk, uint64_t block) {
    disk->content[block * LFSX_BLOCK_SIZE + 100] ^= 0x55;
}

static void around_it(void **state) {
    (void)state;
    struct sharetest test;
    struct lfsx_repair_summary summary;
    sharetest_start(&test, DISK_BYTES);
    fill(&test);
    uint64_t block = root_of(&test, "volume");
    sharetest_close(&test);
    damage(test.disk, block);
    repair(test.disk, &summary);
    assert_true(summary.actions > 0);
    assert_int_equal(summary.remaining, 0);
    sharetest_open(&test);
    assert_files(&test);
    sharetest_end(&test);
}

static void its_own_tree(void **state) {
    (void)state;
    struct sharetest test;
    struct lfsx_repair_summary summary;
    sharetest_start(&test, DISK_BYTES);
    fill(&test);
    uint64_t block = root_of(&test, SHARETEST_NAME);
    sharetest_close(&test);
    damage(test.disk, block);
    repair(test.disk, &summary);
    assert_int_equal(summary.remaining, 0);
    assert_int_equal(summary.losses, 0);
    sharetest_open(&test);
    assert_files(&test);
    sharetest_end(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(around_it),
        cmocka_unit_test(its_own_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
