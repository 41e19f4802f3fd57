/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: after a power cut at any moment, whatever part of the unflushed writes reached the medium,
 * the pool opens, the check finds nothing, and the volumes hold what one moment held that is not
 * before the last acknowledged commit: no call is there in part, none without those before it.
 */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (24ull << 20)
#define VOLUMES 2u
#define VOLUME_SIZE ((1ull << 20) + 512)
#define MAX_LENGTH (192u << 10)
#define HISTORY_MAX 400u

static const char *const names[VOLUMES] = {"alpha", "beta"};

struct step {
    unsigned volume;
    struct operation operation;
};

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volumes[VOLUMES];
    unsigned char *durable[VOLUMES];  /* at the last acknowledged commit */
    struct step history[HISTORY_MAX]; /* since then */
    unsigned count;
};

/* Without a cache for data all is written through; with a small one writers wait for room. */
static void open_pool(struct model *model) {
    static const uint64_t cache_bytes[] = {1, 384u << 10, 1u << 20, 16u << 20};
    struct lfsx_open_options options = {
        .cache_bytes = cache_bytes[random_below(&model->random, ARRAY_LENGTH(cache_bytes))]};
    assert_int_equal(lfsx_pool_open(&model->disk->device, &options, &model->pool), STATUS_OK);
    for (unsigned i = 0; i < VOLUMES; i++)
        assert_int_equal(lfsx_volume_open(model->pool, names[i], &model->volumes[i]), STATUS_OK);
}

/* After a cut the status says nothing: the device went on in vain. */
static void close_pool(struct model *model) {
    for (unsigned i = 0; i < VOLUMES; i++)
        lfsx_volume_close(model->volumes[i]);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
}

static void apply(const struct step *step, unsigned char *const *contents) {
    operation_apply(&step->operation, contents[step->volume], VOLUME_SIZE);
}

static void acknowledge(struct model *model) {
    for (unsigned i = 0; i < model->count; i++)
        apply(&model->history[i], model->durable);
    model->count = 0;
}

/* Works until the power is cut. */
static void work(struct model *model) {
    struct random *random = &model->random;
    while (model->disk->left_over == NULL) {
        struct step *step = &model->history[model->count++];
        step->volume = (unsigned)random_below(random, VOLUMES);
        step->operation = operation_random(random, VOLUME_SIZE, MAX_LENGTH);
        bool fua = random_one_in(random, 12);
        enum status status =
            operation_do(&step->operation, model->volumes[step->volume], fua ? LFSX_FUA : 0);
        assert_int_equal(status, STATUS_OK);
        bool commit = random_one_in(random, 15) || model->count == HISTORY_MAX;
        if (commit)
            assert_int_equal(lfsx_pool_commit(model->pool), STATUS_OK);
        if ((fua || commit) && model->disk->left_over == NULL)
            acknowledge(model);
    }
}

static bool same(struct model *model, unsigned char *const *contents) {
    for (unsigned i = 0; i < VOLUMES; i++) {
        unsigned char *data = malloc(VOLUME_SIZE);
        assert_int_equal(pooltest_read(model->volumes[i], 0, data, VOLUME_SIZE), STATUS_OK);
        bool equal = memcmp(data, contents[i], VOLUME_SIZE) == 0;
        free(data);
        if (!equal)
            return false;
    }
    return true;
}

/* Finds the moment that the pool came back to, which is the acknowledged one from here on. */
static void find_moment(struct model *model) {
    unsigned applied = 0;
    while (!same(model, model->durable)) {
        if (applied == model->count)
            fail_msg("the content is that of no moment since the last acknowledged commit");
        apply(&model->history[applied++], model->durable);
    }
    model->count = 0;
}

static void cut_and_come_back(struct model *model) {
    unsigned char *image = model->disk->left_over;
    model->disk->left_over = NULL;
    close_pool(model);
    ramdisk_destroy(model->disk);
    model->disk = ramdisk_from(image, DISK_BYTES);
    free(image);
    pooltest_assert_clean(model->disk);
    open_pool(model);
    find_moment(model);
}

static void start(struct model *model) {
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, VOLUMES, VOLUME_SIZE);
    for (unsigned i = 0; i < VOLUMES; i++)
        model->durable[i] = calloc(1, VOLUME_SIZE);
    open_pool(model);
}

static void power_cuts(void **state) {
    (void)state;
    static struct model model;
    model.random = random_start("pool_crash");
    start(&model);
    for (unsigned round = 0; round < random_scale(60); round++) {
        ramdisk_record(model.disk);
        model.disk->cut_random.state = random_next(&model.random);
        model.disk->cut_after = 1 + random_below(&model.random, 300);
        work(&model);
        cut_and_come_back(&model);
    }
    close_pool(&model);
    pooltest_assert_clean(model.disk);
    for (unsigned i = 0; i < VOLUMES; i++)
        free(model.durable[i]);
    ramdisk_destroy(model.disk);
}

/* The same for what changes the catalog: a volume whose creation was acknowledged is there, one
 * whose deletion was is not, and the check agrees whatever happened in between. */
static void cuts_while_volumes_come_and_go(void **state) {
    (void)state;
    struct random random = random_start("pool_crash");
    struct ramdisk *disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, 1, VOLUME_SIZE);
    unsigned char *data = calloc(1, MAX_LENGTH);
    for (unsigned round = 0; round < random_scale(40); round++) {
        struct lfsx_pool *pool = pooltest_open(disk);
        ramdisk_record(disk);
        disk->cut_random.state = random_next(&random);
        disk->cut_after = 1 + random_below(&random, 60);
        enum { UNKNOWN, THERE, GONE } expected = UNKNOWN;
        for (unsigned i = 0; disk->left_over == NULL; i++) {
            expected = UNKNOWN;
            struct lfsx_volume *volume;
            enum status status = lfsx_volume_create(pool, "guest", VOLUME_SIZE);
            assert_true(status == STATUS_OK || status == STATUS_EXISTS);
            if (disk->left_over != NULL)
                break;
            expected = THERE;
            assert_int_equal(lfsx_volume_open(pool, "guest", &volume), STATUS_OK);
            assert_int_equal(pooltest_write(volume, 0, data, MAX_LENGTH, 0), STATUS_OK);
            lfsx_volume_close(volume);
            if (disk->left_over != NULL)
                break;
            expected = UNKNOWN;
            assert_int_equal(lfsx_volume_delete(pool, "guest", 0), STATUS_OK);
            if (disk->left_over == NULL)
                expected = GONE;
        }
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
        struct ramdisk *after = ramdisk_from(disk->left_over, DISK_BYTES);
        ramdisk_destroy(disk);
        disk = after;
        pooltest_assert_clean(disk);
        pool = pooltest_open(disk);
        struct lfsx_volume *volume;
        enum status status = lfsx_volume_open(pool, "guest", &volume);
        if (expected != UNKNOWN)
            assert_int_equal(status, expected == THERE ? STATUS_OK : STATUS_NOT_FOUND);
        if (status == STATUS_OK)
            lfsx_volume_close(volume);
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
        pooltest_assert_clean(disk);
    }
    free(data);
    ramdisk_destroy(disk);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(cuts_while_volumes_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
