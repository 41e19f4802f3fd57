/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: running out of memory is an error of one call, which then has changed nothing; a full pool
 * says NO_SPACE and harms nothing, and removing works in it; a device that fails leaves what was
 * acknowledged.
 */
#include "host/host.h"
#include "tests/storage/lfsx/sharemodel.h"

#define DISK_BYTES (24ull << 20)

struct model {
    struct random random;
    struct sharetest test;
    struct sharemodel now;
};

static void start(struct model *model) {
    model->random = random_start("share_failures");
    sharetest_start(&model->test, DISK_BYTES);
    sharemodel_init(&model->now);
}

static void assert_same(struct model *model) {
    uint64_t used;
    assert_true(sharemodel_same(model->test.share, &model->now, &used));
}

/* Until nothing is in use but what has a name. */
static void settle(struct model *model) {
    uint64_t used;
    struct lfsx_share_info info;
    assert_true(sharemodel_same(model->test.share, &model->now, &used));
    do {
        lfsx_share_info(model->test.share, &info);
        os_thread_yield();
    } while (info.used_bytes != used);
}

/* Some allocation of the call fails, or all from some on. Pages that the pool has in spare hide
 * failures; so sometimes it has none. */
static enum status starve(struct model *model, struct sharemodel_operation *operation) {
    host_memory_fail((unsigned)random_below(&model->random, 90), random_one_in(&model->random, 3));
    enum status status = sharemodel_do(&model->test, &model->now, operation, 0);
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    return status;
}

static void no_memory(void **state) {
    (void)state;
    static struct model model;
    start(&model);
    unsigned failed = 0;
    for (unsigned i = 0; i < random_scale(2500); i++) {
        struct sharemodel_operation operation;
        if (random_one_in(&model.random, 10))
            pooltest_forget(model.test.pool, &model.random);
        if (!sharemodel_random(&model.now, &model.random, &operation))
            continue;
        enum status status = starve(&model, &operation);
        if (status == STATUS_NO_MEMORY) {
            failed++;
            if (operation.kind != SHAREMODEL_ZERO && random_one_in(&model.random, 10))
                assert_same(&model);
            status = sharemodel_do(&model.test, &model.now, &operation, 0);
        }
        assert_int_equal(sharemodel_apply(&model.now, &operation), status);
        sharemodel_collect(&model.now);
    }
    assert_true(failed > 100);
    struct lfsx_pool_info info;
    lfsx_pool_info(model.test.pool, &info);
    assert_false(info.read_only);
    sharetest_close(&model.test);
    pooltest_assert_clean(model.test.disk);
    sharetest_open(&model.test); /* carries out what there was no memory for */
    settle(&model);
    sharetest_end(&model.test);
    sharemodel_destroy(&model.now);
}

static void no_memory_to_open(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode = sharetest_create(&test, LFSX_ROOT, "f");
    lfsx_share_close(test.share);
    for (unsigned after = 0, opened = 0; opened < 20; after++) {
        struct lfsx_file *file = NULL;
        host_memory_fail(after, false);
        enum status status = lfsx_share_open(test.pool, SHARETEST_NAME, &test.share);
        if (status == STATUS_OK) {
            status = lfsx_file_open(test.share, inode, &file);
            opened += status == STATUS_OK;
            if (status == STATUS_OK)
                lfsx_file_close(file);
            lfsx_share_close(test.share);
        }
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
    }
    assert_int_equal(lfsx_share_open(test.pool, SHARETEST_NAME, &test.share), STATUS_OK);
    sharetest_end(&test);
}

static void name_of(unsigned number, char name[static 16]) {
    snprintf(name, 16, "file %u", number);
}

/* Fills the pool with files of this size; returns how many there are. */
static unsigned fill(struct sharetest *test, uint64_t directory, uint32_t size) {
    unsigned char *data = calloc(1, size + 1);
    enum status status = STATUS_OK;
    unsigned count = 0;
    while (status == STATUS_OK) {
        char name[16];
        uint64_t inode;
        name_of(count, name);
        status = lfsx_share_create_file(test->share, directory, sharetest_name(name),
                                        &sharetest_owner, &inode, 0);
        if (status != STATUS_OK)
            break;
        count++;
        if (size == 0)
            continue;
        struct lfsx_file *file = sharetest_file(test, inode);
        status = sharetest_write(file, 0, data, size, 0);
        lfsx_file_close(file);
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    free(data);
    return count;
}

static void empty(struct sharetest *test, uint64_t directory, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        name_of(i, name);
        assert_int_equal(sharetest_unlink(test, directory, name), STATUS_OK);
    }
}

static void full(void **state) {
    (void)state;
    static const uint32_t sizes[] = {300000, 5000, 0};
    struct sharetest test;
    sharetest_start(&test, 9ull << 20);
    uint64_t directory = sharetest_mkdir(&test, LFSX_ROOT, "d");
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        unsigned first = fill(&test, directory, sizes[i]);
        sharetest_close(&test);
        pooltest_assert_clean(test.disk);
        sharetest_open(&test);
        if (sizes[i] > 0) {
            struct lfsx_file *file =
                sharetest_file(&test, sharetest_lookup(&test, directory, "file 0"));
            assert_int_equal(lfsx_file_truncate(file, 1, 0), STATUS_OK);
            assert_int_equal(lfsx_file_truncate(file, 0, 0), STATUS_OK);
            lfsx_file_close(file);
        }
        empty(&test, directory, first);
        unsigned second = fill(&test, directory, sizes[i]);
        assert_true(second > first - first / 8 - 2);
        empty(&test, directory, second);
    }
    sharetest_end(&test);
}

/* Makes numbered files until the device fails; *acknowledged of them are durable for certain. */
static enum status make_files(struct sharetest *test, unsigned *acknowledged) {
    enum status status = STATUS_OK;
    *acknowledged = 0;
    for (unsigned i = 0; status == STATUS_OK; i++) {
        char name[16];
        uint64_t inode;
        bool fua = i % 3 == 0;
        name_of(i, name);
        status = lfsx_share_create_file(test->share, LFSX_ROOT, sharetest_name(name),
                                        &sharetest_owner, &inode, fua ? LFSX_FUA : 0);
        if (status == STATUS_OK && fua)
            *acknowledged = i + 1;
    }
    return status;
}

static void devices_that_fail(void **state) {
    (void)state;
    struct random random = random_start("share_failures");
    for (unsigned round = 0; round < 25; round++) {
        struct sharetest test;
        unsigned acknowledged;
        sharetest_start(&test, DISK_BYTES);
        test.disk->fail_write_after = 1 + random_below(&random, 60);
        enum status status = make_files(&test, &acknowledged);
        assert_true(status == STATUS_IO || status == STATUS_READ_ONLY);
        struct lfsx_pool_info info;
        lfsx_pool_info(test.pool, &info);
        assert_true(info.read_only);
        test.disk->failing = false; /* also once the device works again */
        test.disk->fail_write_after = 0;
        assert_int_equal(sharetest_unlink(&test, LFSX_ROOT, "file 0"), STATUS_READ_ONLY);
        assert_int_not_equal(lfsx_share_sync(test.share), STATUS_OK);
        lfsx_share_close(test.share);
        assert_int_not_equal(lfsx_pool_close(test.pool), STATUS_OK);
        pooltest_assert_clean(test.disk);
        sharetest_open(&test);
        for (unsigned i = 0; i < acknowledged; i++) {
            char name[16];
            name_of(i, name);
            assert_true(sharetest_lookup(&test, LFSX_ROOT, name) > 0);
        }
        sharetest_end(&test);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory),
        cmocka_unit_test(no_memory_to_open),
        cmocka_unit_test(full),
        cmocka_unit_test(devices_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
