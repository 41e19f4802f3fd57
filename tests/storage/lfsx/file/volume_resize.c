/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a volume gets another size while it is in use, durably; what comes into being behind its
 * old end is zeros, what lay behind its new end is gone and gives its space back; after a power cut
 * at any moment the volume has one size or the other, and no journal record lies behind it.
 */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (24ull << 20)
#define SIZE_MAX_TESTED (3ull << 20)

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume; /* NULL: closed */
    uint64_t size;
    unsigned char content[SIZE_MAX_TESTED];
};
static struct model model;

static void open_all(void) {
    model.pool = pooltest_open(model.disk);
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.volume), STATUS_OK);
}

static void close_all(void) {
    if (model.volume != NULL)
        lfsx_volume_close(model.volume);
    model.volume = NULL;
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
}

static void start(uint64_t size) {
    if (model.random.state == 0)
        model.random = random_start("volume_resize");
    model.disk = ramdisk_create(DISK_BYTES);
    model.size = size;
    pooltest_format(model.disk, 1, size);
    memset(model.content, 0, sizeof model.content);
    open_all();
}

static void end(void) {
    close_all();
    pooltest_assert_clean(model.disk);
    ramdisk_destroy(model.disk);
}

static void write_some(unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        struct operation operation = operation_random(&model.random, model.size, 200000);
        assert_int_equal(operation_do(&operation, model.volume, 0), STATUS_OK);
        operation_apply(&operation, model.content, model.size);
    }
}

static void verify(void) {
    struct lfsx_volume_info info;
    lfsx_volume_info(model.volume, &info);
    assert_int_equal(info.size, model.size);
    assert_content(model.volume, model.content, 0, model.size);
    unsigned char byte;
    assert_int_equal(pooltest_read(model.volume, model.size, &byte, 1), STATUS_OUT_OF_RANGE);
}

static uint64_t random_size(void) {
    uint64_t unit = random_one_in(&model.random, 2) ? 512 : LFSX_BLOCK_SIZE;
    return (1 + random_below(&model.random, SIZE_MAX_TESTED / unit)) * unit;
}

static void resize(uint64_t size) {
    if (size < model.size) {
        assert_int_equal(lfsx_volume_resize(model.pool, "alpha", size, LFSX_RESIZE_SHRINK),
                         STATUS_BUSY);
        assert_int_equal(lfsx_volume_resize(model.pool, "alpha", size, 0), STATUS_INVALID);
        lfsx_volume_close(model.volume);
        assert_int_equal(lfsx_volume_resize(model.pool, "alpha", size, LFSX_RESIZE_SHRINK),
                         STATUS_OK);
        assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.volume), STATUS_OK);
        memset(model.content + size, 0, model.size - size);
    } else {
        assert_int_equal(lfsx_volume_resize(model.pool, "alpha", size, 0), STATUS_OK);
    }
    model.size = size;
}

static void any_size_after_any_other(void **state) {
    (void)state;
    start(1 << 20);
    for (unsigned round = 0; round < random_scale(60); round++) {
        write_some(6);
        resize(random_size());
        if (random_one_in(&model.random, 2))
            verify();
        if (random_one_in(&model.random, 4)) {
            close_all();
            pooltest_assert_clean(model.disk);
            open_all();
            verify();
        }
    }
    end();
}

static void space_comes_back(void **state) {
    (void)state;
    start(SIZE_MAX_TESTED);
    assert_int_equal(lfsx_volume_zero(model.volume, 0, SIZE_MAX_TESTED, LFSX_NO_HOLE), STATUS_OK);
    resize(3 * LFSX_BLOCK_SIZE + 512);
    struct lfsx_volume_info info;
    lfsx_volume_info(model.volume, &info);
    assert_int_equal(info.logical_bytes, 4 * LFSX_BLOCK_SIZE);
    end();
}

static void what_is_refused(void **state) {
    (void)state;
    start(1 << 20);
    static const uint64_t sizes[] = {0, 511, LFSX_VOLUME_SIZE_MAX + 512, UINT64_MAX};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++)
        assert_int_equal(lfsx_volume_resize(model.pool, "alpha", sizes[i], LFSX_RESIZE_SHRINK),
                         STATUS_INVALID);
    assert_int_equal(lfsx_volume_resize(model.pool, "nobody", 512, 0), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_resize(model.pool, "alpha", LFSX_VOLUME_SIZE_MAX, 0), STATUS_OK);
    assert_int_equal(lfsx_volume_resize(model.pool, "alpha", LFSX_VOLUME_SIZE_MAX, 0), STATUS_OK);
    end();
    start(1 << 20);
    close_all();
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY};
    assert_int_equal(lfsx_pool_open(&model.disk->device, &options, &model.pool), STATUS_OK);
    assert_int_equal(lfsx_volume_resize(model.pool, "alpha", 2 << 20, 0), STATUS_READ_ONLY);
    end();
}

/* Grows, writes to the new end, commits by the journal alone, until the power is cut; then the same
 * with shrinking. False: there was no cut. */
static bool cut_once(uint64_t cut_after, uint64_t from, uint64_t to) {
    start(from);
    write_some(8);
    assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
    if (to < from) {
        lfsx_volume_close(model.volume);
        model.volume = NULL;
    }
    ramdisk_record(model.disk);
    model.disk->cut_random.state = random_next(&model.random);
    model.disk->cut_after = cut_after;
    assert_int_equal(lfsx_volume_resize(model.pool, "alpha", to, LFSX_RESIZE_SHRINK), STATUS_OK);
    bool durable = model.disk->left_over == NULL;
    if (model.volume == NULL)
        assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.volume), STATUS_OK);
    unsigned char last[512] = {1};
    assert_int_equal(pooltest_write(model.volume, to - 512, last, sizeof last, LFSX_FUA),
                     STATUS_OK);
    bool written = model.disk->left_over == NULL;
    model.disk->cut_after = 0;
    close_all();
    if (!written) {
        struct ramdisk *after = ramdisk_from(model.disk->left_over, DISK_BYTES);
        ramdisk_destroy(model.disk);
        model.disk = after;
    }
    pooltest_assert_clean(model.disk);
    open_all();
    struct lfsx_volume_info info;
    lfsx_volume_info(model.volume, &info);
    assert_true(info.size == to || (!durable && info.size == from));
    uint64_t same = MATH_MIN(from, to) - 512;
    assert_content(model.volume, model.content, 0, same);
    if (written) {
        unsigned char found[512];
        assert_int_equal(pooltest_read(model.volume, to - 512, found, sizeof found), STATUS_OK);
        assert_memory_equal(found, last, sizeof last);
    }
    end();
    return !written;
}

static void power_cuts(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(3); round++) {
        uint64_t cut_after = 1;
        while (cut_once(cut_after, 600 << 10, 1 << 20))
            cut_after++;
        assert_true(cut_after > 5);
        cut_after = 1;
        while (cut_once(cut_after, 1 << 20, (300 << 10) + 512))
            cut_after++;
        assert_true(cut_after > 5);
    }
}

static void failing_memory(void **state) {
    (void)state;
    enum status status = STATUS_NO_MEMORY;
    for (uint64_t after = 0; status != STATUS_OK; after++) {
        start(1 << 20);
        write_some(5);
        host_memory_fail(after, false);
        status = lfsx_volume_resize(model.pool, "alpha", 2 << 20, 0);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        if (status != STATUS_OK)
            verify();
        assert_int_equal(lfsx_volume_resize(model.pool, "alpha", 2 << 20, 0), STATUS_OK);
        model.size = 2 << 20;
        verify();
        write_some(5);
        end();
    }
}

struct follower {
    struct os_thread *thread;
    bool stop;
};

/* Writes to whatever is the end, durably. */
static void write_to_the_end(void *context) {
    struct follower *follower = context;
    unsigned char sector[512] = {7};
    while (!__atomic_load_n(&follower->stop, __ATOMIC_RELAXED)) {
        struct lfsx_volume_info info;
        lfsx_volume_info(model.volume, &info);
        assert_int_equal(pooltest_write(model.volume, info.size - 512, sector, 512, LFSX_FUA),
                         STATUS_OK);
    }
}

/* Volumes grow under the hands of those who write to them, and a cut finds nothing behind the end
 * that it finds. */
static void grows_under_load(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(20); round++) {
        start(4096);
        ramdisk_record(model.disk);
        model.disk->cut_random.state = random_next(&model.random);
        model.disk->cut_after = 1 + random_below(&model.random, 200);
        struct follower followers[2] = {{NULL, false}, {NULL, false}};
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(
                os_thread_start(&followers[i].thread, "follower", write_to_the_end, &followers[i]),
                STATUS_OK);
        uint64_t size = 4096;
        while (model.disk->left_over == NULL) {
            size += 512 * (1 + random_below(&model.random, 20));
            assert_int_equal(lfsx_volume_resize(model.pool, "alpha", size, 0), STATUS_OK);
        }
        for (unsigned i = 0; i < 2; i++) {
            __atomic_store_n(&followers[i].stop, true, __ATOMIC_RELAXED);
            os_thread_join(followers[i].thread);
        }
        close_all();
        struct ramdisk *after = ramdisk_from(model.disk->left_over, DISK_BYTES);
        ramdisk_destroy(model.disk);
        model.disk = after;
        pooltest_assert_clean(model.disk);
        open_all();
        end();
    }
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_after_any_other), cmocka_unit_test(space_comes_back),
        cmocka_unit_test(what_is_refused),          cmocka_unit_test(power_cuts),
        cmocka_unit_test(failing_memory),           cmocka_unit_test(grows_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
