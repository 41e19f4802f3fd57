/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a full pool says NO_SPACE and harms nothing; reading, trimming, deleting and committing go
 * on in it, and what they give back can be written again.
 */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (20ull << 20)
#define VOLUME_SIZE (32ull << 20) /* more than the pool holds */
#define VOLUME_BLOCKS (VOLUME_SIZE / LFSX_BLOCK_SIZE)

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    unsigned char *content;
};

static void start(struct model *model) {
    model->random = random_start("volume_full");
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, 1, VOLUME_SIZE);
    model->pool = pooltest_open(model->disk);
    assert_int_equal(lfsx_volume_open(model->pool, "alpha", &model->volume), STATUS_OK);
    model->content = calloc(1, VOLUME_SIZE);
}

static void end(struct model *model) {
    assert_content(model->volume, model->content, 0, VOLUME_SIZE);
    lfsx_volume_close(model->volume);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    pooltest_assert_clean(model->disk);
    free(model->content);
    ramdisk_destroy(model->disk);
}

static enum status write_at(struct model *model, uint64_t offset, uint32_t length) {
    struct operation operation = {.kind = OPERATION_WRITE,
                                  .offset = offset,
                                  .length = length,
                                  .seed = random_next(&model->random)};
    enum status status = operation_do(&operation, model->volume, 0);
    if (status == STATUS_OK)
        operation_apply(&operation, model->content, VOLUME_SIZE);
    else
        assert_int_equal(status, STATUS_NO_SPACE);
    return status;
}

static enum status write_randomly(struct model *model, uint32_t blocks) {
    uint64_t block = random_below(&model->random, VOLUME_BLOCKS - blocks);
    return write_at(model, block * LFSX_BLOCK_SIZE, blocks * LFSX_BLOCK_SIZE);
}

/* Until even one block finds no place, several times. */
static void fill(struct model *model) {
    for (unsigned refused = 0; refused < 20;) {
        uint32_t blocks = refused > 0 || random_one_in(&model->random, 3)
                              ? 1
                              : 1 + (uint32_t)random_below(&model->random, 30);
        refused += write_randomly(model, blocks) != STATUS_OK;
    }
    struct lfsx_pool_info info;
    lfsx_pool_info(model->pool, &info);
    assert_true(info.available_bytes < info.size_bytes / 20);
    assert_false(info.read_only);
}

static void trim(struct model *model, uint64_t offset, uint64_t length) {
    struct operation operation = {
        .kind = OPERATION_TRIM, .offset = offset, .length = (uint32_t)length};
    assert_int_equal(operation_do(&operation, model->volume, 0), STATUS_OK);
    operation_apply(&operation, model->content, VOLUME_SIZE);
}

static void full_and_useful_again(void **state) {
    (void)state;
    struct model model;
    start(&model);
    for (unsigned round = 0; round < 4; round++) {
        fill(&model);
        assert_content(model.volume, model.content, 0, VOLUME_SIZE);
        assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
        /* Blocks here and there, which takes copies of many nodes before it gives much back. */
        for (unsigned i = 0; i < 1500; i++)
            trim(&model, random_below(&model.random, VOLUME_BLOCKS) * LFSX_BLOCK_SIZE,
                 LFSX_BLOCK_SIZE);
        for (unsigned i = 0; i < 50; i++)
            assert_int_equal(write_randomly(&model, 4), STATUS_OK);
    }
    end(&model);
}

/* Without a commit, block by block in random order, until nothing is left. */
static void everything_can_be_trimmed(void **state) {
    (void)state;
    struct model model;
    start(&model);
    fill(&model);
    uint64_t step = 1021; /* a prime: every block, far apart */
    for (uint64_t i = 0; i < VOLUME_BLOCKS; i++)
        trim(&model, i * step % VOLUME_BLOCKS * LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE);
    struct lfsx_volume_info info;
    lfsx_volume_info(model.volume, &info);
    assert_int_equal(info.logical_bytes, 0);
    fill(&model);
    end(&model);
}

/* Overwriting what is there needs space for a moment only. */
static void overwriting_goes_on(void **state) {
    (void)state;
    struct model model;
    start(&model);
    fill(&model);
    trim(&model, 0, VOLUME_SIZE / 8);
    unsigned written = 0;
    for (unsigned i = 0; i < 1500; i++) {
        uint64_t block = random_below(&model.random, VOLUME_BLOCKS / 8);
        written += write_at(&model, block * LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE) == STATUS_OK;
    }
    assert_true(written > 300);
    for (unsigned i = 0; i < 3; i++) /* the same block over and over */
        assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
    trim(&model, VOLUME_SIZE / 2, VOLUME_SIZE / 8);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(write_at(&model, 0, LFSX_BLOCK_SIZE), STATUS_OK);
    end(&model);
}

static void volumes_can_be_deleted(void **state) {
    (void)state;
    struct model model;
    start(&model);
    fill(&model);
    /* Small things may still fit into what the reserve leaves; a hundred of them do not. */
    enum status status = STATUS_OK;
    for (unsigned i = 0; status == STATUS_OK && i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof name, "one too many %u", i);
        status = lfsx_volume_create(model.pool, name, 1 << 20);
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    lfsx_volume_close(model.volume);
    assert_int_equal(lfsx_volume_delete(model.pool, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_volume_create(model.pool, "alpha", VOLUME_SIZE), STATUS_OK);
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.volume), STATUS_OK);
    memset(model.content, 0, VOLUME_SIZE);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(write_randomly(&model, 8), STATUS_OK);
    end(&model);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_and_useful_again),
        cmocka_unit_test(everything_can_be_trimmed),
        cmocka_unit_test(overwriting_goes_on),
        cmocka_unit_test(volumes_can_be_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
