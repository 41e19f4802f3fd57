/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: running out of memory is an error of one call and nothing else; a device that fails a write
 * makes the pool read-only with its cause, and what was acknowledged before stays.
 */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (24ull << 20)
#define VOLUME_SIZE (2ull << 20)

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    unsigned char *content, *durable;
};

static void start(struct model *model) {
    model->random = random_start("pool_failures");
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, 1, VOLUME_SIZE);
    model->content = calloc(1, VOLUME_SIZE);
    model->durable = calloc(1, VOLUME_SIZE);
    model->pool = pooltest_open(model->disk);
    assert_int_equal(lfsx_volume_open(model->pool, "alpha", &model->volume), STATUS_OK);
}

static void end(struct model *model) {
    free(model->content);
    free(model->durable);
    ramdisk_destroy(model->disk);
}

/* Fails allocation after allocation of one call until it succeeds. What several updates make up may
 * be there in part after a failure, so the call is repeated, which completes it. */
static unsigned starve(struct model *model, const struct operation *operation, uint32_t flags) {
    unsigned failures = 0;
    for (;; failures++) {
        host_memory_fail(failures, false);
        enum status status = operation_do(operation, model->volume, flags);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        if (status == STATUS_OK && failures > 60)
            return failures;
        if (status != STATUS_OK)
            assert_int_equal(status, STATUS_NO_MEMORY);
    }
}

/* Every block is free, used or pending: none stays in flight when no call is under way. */
static void assert_nothing_in_flight(struct model *model) {
    struct allocator *a = &model->pool->allocator;
    assert_int_equal(alloc_free_blocks(a) + alloc_used_blocks(a) + alloc_pending_blocks(a),
                     a->geometry.regions * DISK_REGION_BLOCKS);
}

static void no_memory(void **state) {
    (void)state;
    struct model model;
    start(&model);
    for (unsigned i = 0; i < 40; i++) {
        struct operation operation = operation_random(&model.random, VOLUME_SIZE, 30000);
        starve(&model, &operation, i % 3 == 0 ? LFSX_FUA : 0);
        operation_apply(&operation, model.content, VOLUME_SIZE);
        assert_content(model.volume, model.content, 0, VOLUME_SIZE);
        assert_nothing_in_flight(&model);
        pooltest_forget(model.pool, &model.random);
    }
    struct lfsx_pool_info info;
    lfsx_pool_info(model.pool, &info);
    assert_false(info.read_only);
    lfsx_volume_close(model.volume);
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
    pooltest_assert_clean(model.disk);
    end(&model);
}

/* Opening, creating, deleting and checking without memory: nothing leaks, nothing is half there. */
static void no_memory_for_the_rest(void **state) {
    (void)state;
    struct model model;
    start(&model);
    lfsx_volume_close(model.volume);
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
    bool opened = false;
    for (unsigned after = 0; !opened || after < 120; after++) {
        host_memory_fail(after, false);
        enum status status = lfsx_pool_open(&model.disk->device, NULL, &model.pool);
        if (status == STATUS_OK) {
            status = lfsx_volume_create(model.pool, "guest", VOLUME_SIZE);
            assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY ||
                        status == STATUS_EXISTS);
            status = lfsx_volume_delete(model.pool, "guest", 0);
            assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY ||
                        status == STATUS_NOT_FOUND);
            opened = status == STATUS_OK;
            host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
            assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
        } else {
            host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
            assert_int_equal(status, STATUS_NO_MEMORY);
        }
        host_memory_fail(after, false);
        struct pooltest_findings findings = {.without_data = true};
        struct lfsx_check_options options = {.finding = pooltest_finding, .context = &findings};
        struct lfsx_check_summary summary;
        status = lfsx_check(&model.disk->device, &options, &summary);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        assert_int_equal(findings.count, 0);
    }
    pooltest_assert_clean(model.disk);
    end(&model);
}

static void devices_that_fail(void **state) {
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        struct model model;
        start(&model);
        model.disk->fail_write_after = 1 + random_below(&model.random, 150);
        enum status status = STATUS_OK;
        bool in_doubt = false;
        while (status == STATUS_OK) {
            struct operation operation = operation_random(&model.random, VOLUME_SIZE, 30000);
            bool fua = random_one_in(&model.random, 5);
            status = operation_do(&operation, model.volume, fua ? LFSX_FUA : 0);
            in_doubt = fua;
            operation_apply(&operation, model.content, VOLUME_SIZE);
            if (status == STATUS_OK && fua)
                memcpy(model.durable, model.content, VOLUME_SIZE);
        }
        assert_true(status == STATUS_IO || status == STATUS_READ_ONLY);
        struct lfsx_pool_info info;
        lfsx_pool_info(model.pool, &info);
        assert_true(info.read_only);
        assert_int_equal(info.failure, STATUS_IO);
        unsigned char byte = 7;
        model.disk->failing = false; /* also once the device works again */
        model.disk->fail_write_after = 0;
        assert_int_equal(pooltest_write(model.volume, 0, &byte, 1, 0), STATUS_READ_ONLY);
        assert_int_equal(lfsx_volume_create(model.pool, "new", VOLUME_SIZE), STATUS_READ_ONLY);
        assert_int_not_equal(lfsx_pool_commit(model.pool), STATUS_OK);
        assert_int_equal(pooltest_read(model.volume, 0, &byte, 1), STATUS_OK); /* reads go on */
        lfsx_volume_close(model.volume);
        assert_int_not_equal(lfsx_pool_close(model.pool), STATUS_OK);
        pooltest_assert_clean(model.disk);
        model.pool = pooltest_open(model.disk);
        assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.volume), STATUS_OK);
        if (!in_doubt) /* the failed superblock may or may not count */
            assert_content(model.volume, model.durable, 0, VOLUME_SIZE);
        lfsx_volume_close(model.volume);
        assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
        pooltest_assert_clean(model.disk);
        end(&model);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory),
        cmocka_unit_test(no_memory_for_the_rest),
        cmocka_unit_test(devices_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
