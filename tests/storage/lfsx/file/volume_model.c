/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a volume reads as plain memory would after any writes, trims and zeros, by one thread and
 * by many, with commits and restarts in between; and the check finds nothing afterwards. */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (96ull << 20)
#define VOLUMES 3u
#define MAX_LENGTH (3u << 20)

struct volume_model {
    struct lfsx_volume *volume;
    uint64_t size;
    unsigned char *content;
};

struct model {
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct volume_model volumes[VOLUMES];
};

static const char *const names[VOLUMES] = {"one", "two", "a volume with a longer name"};
static const uint64_t sizes[VOLUMES] = {8u << 20, (6u << 20) + 512, 100 * 512};

static void open_pool(struct model *model) {
    model->pool = pooltest_open(model->disk);
    for (unsigned i = 0; i < VOLUMES; i++)
        assert_int_equal(lfsx_volume_open(model->pool, names[i], &model->volumes[i].volume),
                         STATUS_OK);
}

static void close_pool(struct model *model) {
    for (unsigned i = 0; i < VOLUMES; i++)
        lfsx_volume_close(model->volumes[i].volume);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
}

static void compare(const struct model *model) {
    for (unsigned i = 0; i < VOLUMES; i++)
        assert_content(model->volumes[i].volume, model->volumes[i].content, 0,
                       model->volumes[i].size);
}

static void start(struct model *model) {
    memset(model, 0, sizeof *model);
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, 0, 0);
    model->pool = pooltest_open(model->disk);
    for (unsigned i = 0; i < VOLUMES; i++) {
        assert_int_equal(lfsx_volume_create(model->pool, names[i], sizes[i]), STATUS_OK);
        model->volumes[i].size = sizes[i];
        model->volumes[i].content = calloc(1, sizes[i]);
    }
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    open_pool(model);
}

static void end(struct model *model) {
    compare(model);
    close_pool(model);
    pooltest_assert_clean(model->disk);
    for (unsigned i = 0; i < VOLUMES; i++)
        free(model->volumes[i].content);
    ramdisk_destroy(model->disk);
}

static void one_thread(void **state) {
    (void)state;
    struct random random = random_start("volume_model");
    struct model model;
    start(&model);
    for (unsigned i = 0; i < random_scale(6000); i++) {
        struct volume_model *v = &model.volumes[random_below(&random, VOLUMES)];
        struct operation operation = operation_random(&random, v->size, MAX_LENGTH);
        uint32_t flags = random_one_in(&random, 50) ? LFSX_FUA : 0;
        assert_int_equal(operation_do(&operation, v->volume, flags), STATUS_OK);
        operation_apply(&operation, v->content, v->size);
        struct operation range = operation_random(&random, v->size, MAX_LENGTH / 8);
        assert_content(v->volume, v->content, range.offset, range.length);
        if (random_one_in(&random, 60))
            assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
        if (random_one_in(&random, 100))
            pooltest_forget(model.pool, &random);
        if (random_one_in(&random, 1500)) {
            close_pool(&model);
            pooltest_assert_clean(model.disk);
            open_pool(&model);
            compare(&model);
        }
    }
    end(&model);
}

/* Each worker has stripes of every volume for itself, whose edges lie inside of blocks that it
 * shares with its neighbours. */
#define THREADS 4u
#define STRIPE 5000u
#define GROUPS 3u /* few, so that neighbours meet often */

struct worker {
    struct model *model;
    unsigned number;
    struct random random;
};

static void work(void *argument) {
    struct worker *worker = argument;
    struct random *random = &worker->random;
    for (unsigned i = 0; i < random_scale(1500); i++) {
        struct volume_model *v = &worker->model->volumes[random_below(random, 2)];
        uint64_t base = (random_below(random, GROUPS) * THREADS + worker->number) * STRIPE;
        struct operation operation = operation_random(random, STRIPE, STRIPE);
        if (operation.kind == OPERATION_TRIM) /* its model needs the place in the volume */
            operation.kind = OPERATION_ZERO;
        operation_apply(&operation, v->content + base, STRIPE);
        operation.offset += base;
        uint32_t flags = random_one_in(random, 60) ? LFSX_FUA : 0;
        assert_int_equal(operation_do(&operation, v->volume, flags), STATUS_OK);
        assert_content(v->volume, v->content, base, STRIPE);
        if (random_one_in(random, 100))
            assert_int_equal(lfsx_pool_commit(worker->model->pool), STATUS_OK);
        if (random_one_in(random, 50))
            pooltest_forget(worker->model->pool, random);
    }
}

static void many_threads(void **state) {
    (void)state;
    struct random random = random_start("volume_model");
    struct model model;
    start(&model);
    struct worker workers[THREADS];
    struct os_thread *threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&model, i, {random_next(&random)}};
        assert_int_equal(os_thread_start(&threads[i], "worker", work, &workers[i]), STATUS_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(threads[i]);
    end(&model);
}

/* Overlapping writes are atomic against each other: what is read in a range that writers fill, each
 * with its own byte, is of one byte. */
#define SHARED_BYTES (24u * 4096u)

struct painter {
    struct lfsx_volume *volume;
    unsigned char colour;
    _Atomic bool *stop;
    _Atomic unsigned *mixed;
};

static void paint(void *argument) {
    struct painter *painter = argument;
    unsigned char *data = malloc(SHARED_BYTES);
    memset(data, painter->colour, SHARED_BYTES);
    while (!*painter->stop)
        assert_int_equal(pooltest_write(painter->volume, 4096, data, SHARED_BYTES, 0), STATUS_OK);
    free(data);
}

static void look(void *argument) {
    struct painter *painter = argument;
    unsigned char *data = malloc(SHARED_BYTES);
    for (unsigned i = 0; i < random_scale(400); i++) {
        assert_int_equal(pooltest_read(painter->volume, 4096, data, SHARED_BYTES), STATUS_OK);
        for (unsigned j = 1; j < SHARED_BYTES; j++)
            if (data[j] != data[0])
                ++*painter->mixed;
    }
    free(data);
}

static void writes_are_atomic_for_readers(void **state) {
    (void)state;
    struct model model;
    start(&model);
    _Atomic bool stop = false;
    _Atomic unsigned mixed = 0;
    struct painter painters[4];
    struct os_thread *threads[4];
    for (unsigned i = 0; i < 4; i++) {
        painters[i] =
            (struct painter){model.volumes[0].volume, (unsigned char)('a' + i), &stop, &mixed};
        assert_int_equal(
            os_thread_start(&threads[i], "painter", i < 2 ? paint : look, &painters[i]), STATUS_OK);
    }
    os_thread_join(threads[2]);
    os_thread_join(threads[3]);
    stop = true;
    os_thread_join(threads[0]);
    os_thread_join(threads[1]);
    assert_int_equal(mixed, 0);
    assert_int_equal(pooltest_read(model.volumes[0].volume, 0, model.volumes[0].content,
                                   (uint32_t)model.volumes[0].size),
                     STATUS_OK);
    end(&model);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(writes_are_atomic_for_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
