/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a staged write is acknowledged and read before it is on the device; a commit has all of
 * them written, of every volume, before its one flush; a write that fails later fails every commit;
 * and neither want of memory nor a busy volume gets in the way.
 */
#include "host/host.h"
#include "tests/storage/lfsx/gatedisk.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (32ull << 20)
#define VOLUME_SIZE (4ull << 20)
#define CACHE_BYTES (4ull << 20)
#define HEAVY_PAGES (CACHE_BYTES / LFSX_BLOCK_SIZE / 4 / 2) /* half of what may be staged */

struct fixture {
    struct ramdisk *disk;
    struct gatedisk gate;
    struct lfsx_pool *pool;
    struct lfsx_volume *alpha, *beta;
    unsigned char *content[2];
};

static void open_pool(struct fixture *f) {
    struct lfsx_open_options options = {.cache_bytes = CACHE_BYTES};
    assert_int_equal(lfsx_pool_open(&f->gate.device, &options, &f->pool), STATUS_OK);
    assert_int_equal(lfsx_volume_open(f->pool, "alpha", &f->alpha), STATUS_OK);
    assert_int_equal(lfsx_volume_open(f->pool, "beta", &f->beta), STATUS_OK);
}

static enum status close_pool(struct fixture *f) {
    lfsx_volume_close(f->alpha);
    lfsx_volume_close(f->beta);
    return lfsx_pool_close(f->pool);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(f->disk, 2, VOLUME_SIZE);
    gatedisk_init(&f->gate, f->disk);
    f->content[0] = calloc(1, VOLUME_SIZE);
    f->content[1] = calloc(1, VOLUME_SIZE);
    open_pool(f);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    free(f->content[0]);
    free(f->content[1]);
    gatedisk_destroy(&f->gate);
    ramdisk_destroy(f->disk);
    free(f);
    return 0;
}

static enum status write_block(struct fixture *f, unsigned volume, uint64_t block,
                               unsigned char byte, uint32_t flags) {
    unsigned char *data = f->content[volume] + block * LFSX_BLOCK_SIZE;
    memset(data, byte, LFSX_BLOCK_SIZE);
    return pooltest_write(volume == 0 ? f->alpha : f->beta, block * LFSX_BLOCK_SIZE, data,
                          LFSX_BLOCK_SIZE, flags);
}

/* The power goes, and nothing of what was not flushed has reached the medium. */
static void cut(struct fixture *f) {
    unsigned char *image = malloc(DISK_BYTES);
    memcpy(image, f->disk->durable, DISK_BYTES);
    f->disk->failing = false;
    (void)close_pool(f);
    gatedisk_destroy(&f->gate);
    ramdisk_destroy(f->disk);
    f->disk = ramdisk_from(image, DISK_BYTES);
    free(image);
    gatedisk_init(&f->gate, f->disk);
    pooltest_assert_clean(f->disk);
    open_pool(f);
}

static void assert_all(struct fixture *f) {
    assert_content(f->alpha, f->content[0], 0, VOLUME_SIZE);
    assert_content(f->beta, f->content[1], 0, VOLUME_SIZE);
}

/* With the gate closed, nothing can have been written; all can be read. */
static void acknowledged_before_written(void **state) {
    struct fixture *f = *state;
    gatedisk_close(&f->gate);
    uint64_t writes = f->disk->writes;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(write_block(f, 0, i * 13, (unsigned char)(i + 1), 0), STATUS_OK);
    assert_all(f);
    assert_int_equal(f->disk->writes, writes);
    struct lfsx_pool_statistics statistics;
    lfsx_pool_statistics(f->pool, &statistics);
    assert_int_equal(statistics.staged_bytes, 50 * LFSX_BLOCK_SIZE);
    gatedisk_open(&f->gate);
    assert_int_equal(lfsx_pool_commit(f->pool), STATUS_OK);
    lfsx_pool_statistics(f->pool, &statistics);
    assert_int_equal(statistics.staged_bytes, 0);
    assert_all(f);
    assert_int_equal(close_pool(f), STATUS_OK);
    pooltest_assert_clean(f->disk);
}

/* What 200 scattered writes and a commit cost the device: far fewer requests, and one flush. */
static void scattered_writes_leave_together(void **state) {
    struct fixture *f = *state;
    assert_int_equal(write_block(f, 0, 0, 1, LFSX_FUA), STATUS_OK);
    uint64_t best = UINT64_MAX;
    for (unsigned round = 0; round < 5; round++) { /* a checkpoint may come between some of them */
        gatedisk_close(&f->gate); /* so that the stager gets no further than its first batch */
        uint64_t writes = f->disk->writes;
        uint64_t flushes = f->disk->flushes;
        for (unsigned i = 0; i < 60; i++)
            assert_int_equal(write_block(f, i % 2, (i * 37 + round) % 1024, (unsigned char)i, 0),
                             STATUS_OK);
        gatedisk_open(&f->gate);
        assert_int_equal(lfsx_pool_commit(f->pool), STATUS_OK);
        if (f->disk->flushes - flushes == 1)
            best = MATH_MIN(best, f->disk->writes - writes);
    }
    assert_in_range(best, 2, 10);
    assert_all(f);
    assert_int_equal(close_pool(f), STATUS_OK);
}

/* One handle's commit makes durable what others wrote through theirs, large and small. */
static void a_commit_covers_all_volumes(void **state) {
    struct fixture *f = *state;
    struct lfsx_volume *other;
    assert_int_equal(lfsx_volume_open(f->pool, "beta", &other), STATUS_OK);
    ramdisk_record(f->disk);
    assert_int_equal(write_block(f, 0, 7, 1, 0), STATUS_OK);
    memset(f->content[1], 2, 1u << 20);
    assert_int_equal(pooltest_write(other, 0, f->content[1], 1u << 20, 0), STATUS_OK);
    assert_int_equal(write_block(f, 1, 300, 3, 0), STATUS_OK);
    assert_int_equal(write_block(f, 0, 9, 4, LFSX_FUA), STATUS_OK);
    lfsx_volume_close(other);
    cut(f);
    assert_all(f);
    assert_int_equal(close_pool(f), STATUS_OK);
}

static void commit_main(void *argument) {
    struct fixture *f = argument;
    assert_int_equal(lfsx_pool_commit(f->pool), STATUS_OK);
}

/* While data or journal entry stand before the gate, the flush has not been sent. */
static void the_flush_comes_last(void **state) {
    struct fixture *f = *state;
    struct os_thread *thread;
    assert_int_equal(lfsx_pool_commit(f->pool), STATUS_OK);
    gatedisk_close(&f->gate);
    assert_int_equal(write_block(f, 0, 5, 9, 0), STATUS_OK);
    uint64_t flushes = f->disk->flushes;
    assert_int_equal(os_thread_start(&thread, "commit", commit_main, f), STATUS_OK);
    gatedisk_await(&f->gate);
    assert_int_equal(f->disk->flushes, flushes);
    gatedisk_open(&f->gate);
    os_thread_join(thread);
    assert_true(f->disk->flushes > flushes);
    assert_int_equal(close_pool(f), STATUS_OK);
}

static void assert_failed(struct fixture *f) {
    struct lfsx_pool_info info;
    lfsx_pool_info(f->pool, &info);
    assert_true(info.read_only);
    assert_int_equal(info.failure, STATUS_IO);
    assert_int_not_equal(lfsx_pool_commit(f->pool), STATUS_OK);
    assert_int_equal(pooltest_write(f->alpha, 0, f->content[0], 1, LFSX_FUA), STATUS_READ_ONLY);
}

/* The error comes long after the acknowledgement: no commit says OK from then on, even when the
 * device works again; what was staged can still be read; the next open has what was durable. */
static void an_error_behind_fails_the_commit(void **state) {
    struct fixture *f = *state;
    for (unsigned by_stager = 0; by_stager < 2; by_stager++) {
        assert_int_equal(write_block(f, 0, 3, 1, LFSX_FUA), STATUS_OK);
        f->disk->failing = true;
        assert_int_equal(write_block(f, 0, 3, 2, 0), STATUS_OK);
        if (by_stager) {
            struct lfsx_pool_info info = {0};
            for (; !info.read_only; os_sleep_ns(1000000))
                lfsx_pool_info(f->pool, &info);
        }
        assert_int_not_equal(lfsx_pool_commit(f->pool), STATUS_OK);
        f->disk->failing = false;
        assert_failed(f);
        assert_all(f);
        assert_int_not_equal(close_pool(f), STATUS_OK);
        pooltest_assert_clean(f->disk);
        memset(f->content[0] + 3 * LFSX_BLOCK_SIZE, 1, LFSX_BLOCK_SIZE);
        open_pool(f);
        assert_all(f);
    }
    assert_int_equal(close_pool(f), STATUS_OK);
}

/* Whichever write to the device fails, a commit that says OK tells the truth. */
static void each_write_fails_in_turn(void **state) {
    struct fixture *f = *state;
    unsigned failures = 0;
    for (unsigned k = 1; k < 12; k++) {
        assert_int_equal(lfsx_pool_commit(f->pool), STATUS_OK);
        f->disk->fail_write_after = k;
        enum status status = STATUS_OK;
        for (unsigned i = 0; i < 100 && status == STATUS_OK; i++)
            status = write_block(f, i % 2, i * 7, (unsigned char)(k + i), 0);
        if (status == STATUS_OK)
            status = lfsx_pool_commit(f->pool);
        failures += status != STATUS_OK;
        (void)close_pool(f);
        f->disk->failing = false;
        f->disk->fail_write_after = 0;
        pooltest_assert_clean(f->disk);
        open_pool(f);
        if (status == STATUS_OK)
            assert_all(f);
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(write_block(f, i % 2, i * 7, 0, 0), STATUS_OK);
        assert_all(f);
    }
    assert_true(failures > 0);
    assert_int_equal(close_pool(f), STATUS_OK);
}

/* From the moment of the acknowledgement on, no memory is needed to make a write durable. */
static void no_memory_loses_nothing(void **state) {
    struct fixture *f = *state;
    ramdisk_record(f->disk);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(write_block(f, i % 2, i, (unsigned char)(i + 1), 0), STATUS_OK);
    host_memory_fail(0, true);
    enum status status = lfsx_pool_commit(f->pool);
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    assert_int_equal(status, STATUS_OK);
    cut(f);
    assert_all(f);
    assert_int_equal(close_pool(f), STATUS_OK);
}

/* Without memory for staging, a write is written through: it costs the device a write at once. */
static void no_memory_writes_through(void **state) {
    struct fixture *f = *state;
    unsigned through = 0;
    for (unsigned k = 0; k < 20; k++) {
        struct lfsx_buffer *buffer;
        memset(f->content[0] + (uint64_t)k * LFSX_BLOCK_SIZE, (int)k, LFSX_BLOCK_SIZE);
        assert_int_equal(lfsx_buffer_alloc((uint64_t)k * LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE, &buffer),
                         STATUS_OK);
        pooltest_put(buffer, f->content[0] + (uint64_t)k * LFSX_BLOCK_SIZE);
        host_memory_fail(k, false);
        uint64_t writes = f->disk->writes;
        enum status status = lfsx_volume_write(f->alpha, buffer, 0);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        through += status == STATUS_OK && f->disk->writes > writes;
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_int_equal(lfsx_volume_write(f->alpha, buffer, 0), STATUS_OK);
        }
        lfsx_buffer_free(buffer);
    }
    assert_true(through > 0);
    assert_all(f);
    assert_int_equal(close_pool(f), STATUS_OK);
    pooltest_assert_clean(f->disk);
}

static void heavy_main(void *argument) {
    struct fixture *f = argument;
    for (unsigned i = 0; i < HEAVY_PAGES + 50; i++)
        assert_int_equal(write_block(f, 0, i % 1024, (unsigned char)i, 0), STATUS_OK);
}

/* The device takes nothing, a volume has staged all that it may and waits: another one goes on. */
static void a_busy_volume_leaves_room(void **state) {
    struct fixture *f = *state;
    struct os_thread *thread;
    struct lfsx_pool_statistics statistics;
    gatedisk_close(&f->gate);
    assert_int_equal(os_thread_start(&thread, "heavy", heavy_main, f), STATUS_OK);
    do {
        os_sleep_ns(1000000);
        lfsx_pool_statistics(f->pool, &statistics);
    } while (statistics.staged_bytes < HEAVY_PAGES * LFSX_BLOCK_SIZE);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(write_block(f, 1, i, (unsigned char)(i + 1), 0), STATUS_OK);
    lfsx_pool_statistics(f->pool, &statistics);
    assert_int_equal(statistics.staged_bytes, (HEAVY_PAGES + 20) * LFSX_BLOCK_SIZE);
    gatedisk_open(&f->gate);
    os_thread_join(thread);
    assert_all(f);
    lfsx_pool_statistics(f->pool, &statistics);
    assert_true(statistics.held_back_ns > 0);
    assert_int_equal(close_pool(f), STATUS_OK);
    pooltest_assert_clean(f->disk);
}

/* Read-only, there is nothing to stage. */
static void read_only_stages_nothing(void **state) {
    struct fixture *f = *state;
    assert_int_equal(write_block(f, 0, 1, 1, 0), STATUS_OK);
    assert_int_equal(close_pool(f), STATUS_OK);
    uint64_t writes = f->disk->writes;
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY, .cache_bytes = CACHE_BYTES};
    assert_int_equal(lfsx_pool_open(&f->gate.device, &options, &f->pool), STATUS_OK);
    assert_int_equal(lfsx_volume_open(f->pool, "alpha", &f->alpha), STATUS_OK);
    assert_int_equal(lfsx_volume_open(f->pool, "beta", &f->beta), STATUS_OK);
    assert_ptr_equal(f->pool->data.staging, NULL);
    assert_all(f);
    assert_int_equal(close_pool(f), STATUS_OK);
    assert_int_equal(f->disk->writes, writes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(acknowledged_before_written),      TEST(scattered_writes_leave_together),
        TEST(a_commit_covers_all_volumes),      TEST(the_flush_comes_last),
        TEST(an_error_behind_fails_the_commit), TEST(each_write_fails_in_turn),
        TEST(no_memory_loses_nothing),          TEST(no_memory_writes_through),
        TEST(a_busy_volume_leaves_room),        TEST(read_only_stages_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
