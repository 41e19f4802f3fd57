/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a volume never references more than its quota and always gets what it reserved, exactly,
 * also with many writes on their way at once, after trims, overwrites and opening the pool again.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/lfsx_space.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (24ull << 20)
#define VOLUME_SIZE (64ull << 20)
#define BLOCK ((uint64_t)LFSX_BLOCK_SIZE)

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *alpha, *beta;
};
static struct model model;

static void open_all(void) {
    model.pool = pooltest_open(model.disk);
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.alpha), STATUS_OK);
    assert_int_equal(lfsx_volume_open(model.pool, "beta", &model.beta), STATUS_OK);
}

static void close_all(void) {
    lfsx_volume_close(model.alpha);
    lfsx_volume_close(model.beta);
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
}

static int set_up(void **state) {
    (void)state;
    model.disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model.disk, 2, VOLUME_SIZE);
    open_all();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_all();
    pooltest_assert_clean(model.disk);
    ramdisk_destroy(model.disk);
    return 0;
}

static enum status write_blocks(struct lfsx_volume *volume, uint64_t first, uint64_t count) {
    unsigned char *data = calloc(count, BLOCK);
    memcpy(data, &first, sizeof first);
    enum status status = pooltest_write(volume, first * BLOCK, data, (uint32_t)(count * BLOCK), 0);
    free(data);
    return status;
}

static uint64_t blocks_of(struct lfsx_volume *volume) {
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    return info.logical_bytes / BLOCK;
}

static uint64_t available(void) {
    struct lfsx_pool_info info;
    lfsx_pool_info(model.pool, &info);
    return info.available_bytes / BLOCK;
}

static enum status set_quota(const char *name, uint64_t blocks) {
    return lfsx_dataset_set_quota(model.pool, name, blocks * BLOCK);
}

static enum status reserve(const char *name, uint64_t blocks) {
    return lfsx_dataset_set_reservation(model.pool, name, blocks * BLOCK);
}

/* What the pool believes of promises and writes on their way is what can be counted. */
static void assert_books_are_right(void) {
    uint64_t promised = 0;
    os_rwlock_lock_exclusive(&model.pool->lock);
    LIST_FOR_EACH(link, &model.pool->datasets) {
        const struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        assert_int_equal(d->space.in_flight, 0);
        uint64_t missing =
            d->space.reserved > d->data_blocks ? d->space.reserved - d->data_blocks : 0;
        assert_int_equal(d->space.promised, missing + (missing + 15) / 16);
        promised += d->space.promised;
    }
    assert_int_equal(model.pool->space.promised, promised);
    os_rwlock_unlock_exclusive(&model.pool->lock);
}

/* One volume against a byte for each block: a write is refused if and only if it would grow the
 * volume beyond the quota. */
static void quotas_are_exact(void **state) {
    (void)state;
    enum { BLOCKS = 600, MOST = 40 };
    static bool there[BLOCKS];
    memset(there, 0, sizeof there);
    uint64_t quota = 100, count = 0;
    assert_int_equal(set_quota("alpha", quota), STATUS_OK);
    unsigned refused = 0;
    for (unsigned i = 0; i < random_scale(1500); i++) {
        uint64_t first = random_below(&model.random, BLOCKS - MOST);
        uint64_t length = 1 + random_below(&model.random, MOST);
        uint64_t holes = 0;
        for (uint64_t b = first; b < first + length; b++)
            holes += !there[b];
        bool trims = random_one_in(&model.random, 4);
        if (trims) {
            assert_int_equal(lfsx_volume_trim(model.alpha, first * BLOCK, length * BLOCK, 0),
                             STATUS_OK);
            count -= length - holes;
        } else {
            bool fits = holes == 0 || count + holes <= quota;
            assert_int_equal(write_blocks(model.alpha, first, length),
                             fits ? STATUS_OK : STATUS_NO_SPACE);
            refused += !fits;
            count += fits ? holes : 0;
            if (!fits)
                continue;
        }
        memset(&there[first], !trims, length);
        assert_int_equal(blocks_of(model.alpha), count);
        if (random_one_in(&model.random, 100)) {
            quota = 50 + random_below(&model.random, 200); /* maybe less than there is */
            assert_int_equal(set_quota("alpha", quota), STATUS_OK);
        }
        if (random_one_in(&model.random, 300)) {
            close_all();
            open_all();
            struct lfsx_volume_info info;
            lfsx_volume_info(model.alpha, &info);
            assert_int_equal(info.quota_bytes, quota * BLOCK);
        }
    }
    assert_true(refused > 50);
    assert_books_are_right();
    assert_int_equal(set_quota("alpha", 0), STATUS_OK);
    assert_int_equal(write_blocks(model.alpha, 0, 500), STATUS_OK);
}

static unsigned quota_lines;

static void count_quota_lines(enum log_level level, const char *room, const char *line) {
    (void)level, (void)room;
    quota_lines += strstr(line, "volume alpha has reached its quota of 40 KiB") != NULL;
}

/* The log says that it is not the pool that is full: once, and again when that had changed. */
static void the_log_tells_which(void **state) {
    (void)state;
    assert_int_equal(set_quota("alpha", 10), STATUS_OK);
    assert_int_equal(write_blocks(model.alpha, 0, 10), STATUS_OK);
    quota_lines = 0;
    log_set_sink(count_quota_lines);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(write_blocks(model.alpha, 20, 1), STATUS_NO_SPACE);
    unsigned first = quota_lines;
    assert_int_equal(set_quota("alpha", 11), STATUS_OK);
    assert_int_equal(set_quota("alpha", 10), STATUS_OK);
    assert_int_equal(write_blocks(model.alpha, 20, 1), STATUS_NO_SPACE);
    unsigned second = quota_lines;
    log_set_sink(NULL);
    assert_int_equal(first, 1);
    assert_int_equal(second, 2);
    assert_int_equal(write_blocks(model.alpha, 0, 10), STATUS_OK); /* an overwrite takes nothing */
}

struct worker {
    struct os_thread *thread;
    struct random random;
};

static void write_and_trim(void *context) {
    struct worker *worker = context;
    for (unsigned i = 0; i < 400; i++) {
        uint64_t first = random_below(&worker->random, 400);
        uint64_t length = 1 + random_below(&worker->random, 30);
        if (random_one_in(&worker->random, 3)) {
            assert_int_equal(lfsx_volume_trim(model.alpha, first * BLOCK, length * BLOCK, 0),
                             STATUS_OK);
        } else {
            enum status status = write_blocks(model.alpha, first, length);
            assert_true(status == STATUS_OK || status == STATUS_NO_SPACE);
        }
        assert_true(blocks_of(model.alpha) <= 150);
    }
}

static void quotas_hold_under_load(void **state) {
    (void)state;
    assert_int_equal(set_quota("alpha", 150), STATUS_OK);
    assert_int_equal(reserve("alpha", 100), STATUS_OK);
    struct worker workers[6];
    for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++) {
        workers[i].random.state = random_next(&model.random);
        assert_int_equal(os_thread_start(&workers[i].thread, "worker", write_and_trim, &workers[i]),
                         STATUS_OK);
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++)
        os_thread_join(workers[i].thread);
    assert_books_are_right();
}

/* Until even one block is refused. */
static void fill(struct lfsx_volume *volume) {
    uint64_t count = 64;
    for (uint64_t at = 0; count > 0;) {
        if (write_blocks(volume, at, count) == STATUS_OK)
            at += count;
        else
            count /= 2;
    }
}

/* However full the others make the pool, and in whatever order the volume is written. */
static void reservations_are_kept(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 7, 100, 1000, 3500};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        uint64_t reserved = sizes[i];
        assert_int_equal(reserve("alpha", reserved), STATUS_OK);
        fill(model.beta);
        close_all();
        open_all();
        uint64_t step = random_one_in(&model.random, 2) ? 1 : 1009; /* one after the other, or far
                                                                       apart */
        for (uint64_t b = 0; b < reserved; b++) {
            if (write_blocks(model.alpha, b * step % 8192, 1) != STATUS_OK)
                fail_msg("block %llu of %llu that were reserved", (unsigned long long)b,
                         (unsigned long long)reserved);
        }
        assert_int_equal(blocks_of(model.alpha), reserved);
        for (uint64_t b = 0; b < 200; b++) /* and again, on the full pool */
            assert_int_equal(
                write_blocks(model.alpha, random_below(&model.random, reserved) * step % 8192, 1),
                STATUS_OK);
        assert_books_are_right();
        /* What is trimmed is kept for its owner. */
        assert_int_equal(lfsx_volume_trim(model.alpha, 0, VOLUME_SIZE, 0), STATUS_OK);
        fill(model.beta);
        for (uint64_t b = 0; b < reserved; b++)
            assert_int_equal(write_blocks(model.alpha, b, 1), STATUS_OK);
        assert_int_equal(lfsx_volume_trim(model.alpha, 0, VOLUME_SIZE, 0), STATUS_OK);
        assert_int_equal(lfsx_volume_trim(model.beta, 0, VOLUME_SIZE, 0), STATUS_OK);
        assert_books_are_right();
    }
}

static void no_more_is_promised_than_there_is(void **state) {
    (void)state;
    uint64_t all = available();
    assert_int_equal(reserve("alpha", all), STATUS_NO_SPACE); /* nodes take some */
    assert_int_equal(reserve("alpha", all / 2), STATUS_OK);
    uint64_t left = available();
    assert_int_equal(left, all - all / 2 - (all / 2 + 15) / 16);
    assert_int_equal(reserve("beta", left), STATUS_NO_SPACE);
    assert_int_equal(reserve("beta", left / 17 * 16), STATUS_OK);
    assert_true(available() < 20);
    assert_int_equal(reserve("beta", 0), STATUS_OK);
    assert_int_equal(available(), left);
    close_all();
    open_all();
    assert_int_equal(available(), left);
    /* What a volume has counts. */
    assert_int_equal(write_blocks(model.alpha, 0, 1000), STATUS_OK);
    assert_int_equal(reserve("alpha", 1000), STATUS_OK);
    assert_true(available() > all - 1100);
    lfsx_volume_close(model.alpha);
    assert_int_equal(lfsx_volume_delete(model.pool, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(model.pool), STATUS_OK);
    assert_int_equal(available(), all + 1); /* with its root */
    assert_books_are_right();
    assert_int_equal(lfsx_volume_create(model.pool, "alpha", VOLUME_SIZE), STATUS_OK);
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.alpha), STATUS_OK);
}

static void what_is_refused(void **state) {
    (void)state;
    static const uint64_t bad[] = {1, LFSX_BLOCK_SIZE - 1, LFSX_VOLUME_SIZE_MAX + LFSX_BLOCK_SIZE};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(lfsx_dataset_set_quota(model.pool, "alpha", bad[i]), STATUS_INVALID);
        assert_int_equal(lfsx_dataset_set_reservation(model.pool, "alpha", bad[i]), STATUS_INVALID);
    }
    assert_int_equal(set_quota("nobody", 1), STATUS_NOT_FOUND);
    assert_int_equal(reserve("nobody", 1), STATUS_NOT_FOUND);
    assert_int_equal(set_quota("alpha", 10), STATUS_OK);
    assert_int_equal(reserve("alpha", 11), STATUS_INVALID);
    assert_int_equal(reserve("alpha", 10), STATUS_OK);
    assert_int_equal(set_quota("alpha", 9), STATUS_INVALID);
    struct lfsx_volume_info info;
    lfsx_volume_info(model.alpha, &info);
    assert_int_equal(info.quota_bytes, 10 * BLOCK);
    assert_int_equal(info.reserved_bytes, 10 * BLOCK);
}

/* A volume that is taken back keeps its bounds; as what it was kept, it has none. */
static void rollback_keeps_them(void **state) {
    (void)state;
    const char *names[] = {"alpha"};
    assert_int_equal(write_blocks(model.alpha, 0, 50), STATUS_OK);
    assert_int_equal(set_quota("alpha", 100), STATUS_OK);
    assert_int_equal(reserve("alpha", 80), STATUS_OK);
    assert_int_equal(lfsx_snapshot_create(model.pool, names, 1, "one", 0), STATUS_OK);
    assert_int_equal(write_blocks(model.alpha, 50, 20), STATUS_OK);
    lfsx_volume_close(model.alpha);
    assert_int_equal(lfsx_volume_rollback(model.pool, "alpha", "one", "before"), STATUS_OK);
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.alpha), STATUS_OK);
    struct lfsx_volume_info info;
    lfsx_volume_info(model.alpha, &info);
    assert_int_equal(info.quota_bytes, 100 * BLOCK);
    assert_int_equal(info.reserved_bytes, 80 * BLOCK);
    assert_books_are_right();
    assert_int_equal(write_blocks(model.alpha, 50, 51), STATUS_NO_SPACE);
    assert_int_equal(write_blocks(model.alpha, 50, 50), STATUS_OK);
    struct lfsx_volume *before;
    assert_int_equal(lfsx_volume_open(model.pool, "before", &before), STATUS_OK);
    lfsx_volume_info(before, &info);
    assert_int_equal(info.quota_bytes, 0);
    assert_int_equal(info.reserved_bytes, 0);
    lfsx_volume_close(before);
    close_all();
    open_all();
    assert_books_are_right();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    model.random = random_start("space");
    const struct CMUnitTest tests[] = {
        TEST(quotas_are_exact),       TEST(the_log_tells_which),
        TEST(quotas_hold_under_load), TEST(reservations_are_kept),
        TEST(what_is_refused),        TEST(no_more_is_promised_than_there_is),
        TEST(rollback_keeps_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
