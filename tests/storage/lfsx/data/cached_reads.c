/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what was read or written lately is read from memory, by the device's own count; a scan does
 * not change that; streams are read ahead, other reads are not; and whatever is overwritten, freed
 * and reused, a read returns what was written last.
 */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (48ull << 20)
#define VOLUME_SIZE (16ull << 20)
#define CACHE_BYTES (4ull << 20)
#define BLOCK ((uint64_t)LFSX_BLOCK_SIZE)

static struct ramdisk *disk;
static struct lfsx_pool *pool;
static struct lfsx_volume *volume;
static unsigned char *content;

static void open_pool(uint64_t cache_bytes) {
    struct lfsx_open_options options = {.cache_bytes = cache_bytes};
    assert_int_equal(lfsx_pool_open(&disk->device, &options, &pool), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
}

static void close_pool(void) {
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
}

static int set_up(void **state) {
    (void)state;
    struct random random = {1};
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, 1, VOLUME_SIZE);
    content = malloc(VOLUME_SIZE);
    random_fill(&random, content, VOLUME_SIZE);
    open_pool(CACHE_BYTES);
    for (uint64_t at = 0; at < VOLUME_SIZE; at += 1u << 20) /* large: not kept in memory */
        assert_int_equal(pooltest_write(volume, at, content + at, 1u << 20, 0), STATUS_OK);
    close_pool();
    open_pool(CACHE_BYTES);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_pool();
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
    free(content);
    return 0;
}

static struct lfsx_pool_statistics statistics(void) {
    struct lfsx_pool_statistics now;
    lfsx_pool_statistics(pool, &now);
    return now;
}

static uint64_t device_reads(void) {
    os_mutex_lock(&disk->lock);
    uint64_t reads = disk->reads;
    os_mutex_unlock(&disk->lock);
    return reads;
}

/* Reads a block and compares it; how many requests the device got. */
static uint64_t read_block(uint64_t block) {
    uint64_t before = device_reads();
    assert_content(volume, content, block * BLOCK, BLOCK);
    return device_reads() - before;
}

/* So far apart that no two make a stream. */
static uint64_t scattered(uint64_t i) {
    return i * 997 % (VOLUME_SIZE / BLOCK);
}

static void twice_costs_once(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 200; i++)
        (void)read_block(scattered(i));
    uint64_t again = 0;
    for (uint64_t i = 0; i < 200; i++)
        again += read_block(scattered(i));
    assert_int_equal(again, 0);
    assert_true(statistics().data_hits >= 200);
    assert_true(statistics().data_bytes >= 200 * BLOCK);
    close_pool();
    open_pool(1); /* without room for a cache the device is asked each time */
    assert_true(read_block(5) > 0);
    assert_true(read_block(5) > 0);
    assert_int_equal(statistics().data_bytes, 0);
}

static void what_was_written_is_there(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 50; i++) {
        memset(content + scattered(i) * BLOCK, (int)i, BLOCK);
        assert_int_equal(pooltest_write(volume, scattered(i) * BLOCK,
                                        content + scattered(i) * BLOCK, LFSX_BLOCK_SIZE, 0),
                         STATUS_OK);
    }
    assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
    uint64_t reads = 0;
    for (uint64_t i = 0; i < 50; i++)
        reads += read_block(scattered(i));
    assert_int_equal(reads, 0);
}

/* A working set, then all of the volume, four times the cache, then the working set. */
static void a_scan_leaves_the_working_set(void **state) {
    (void)state;
    for (unsigned round = 0; round < 4; round++)
        for (uint64_t i = 0; i < 300; i++)
            (void)read_block(scattered(i));
    for (uint64_t at = 0; at < VOLUME_SIZE; at += 64u << 10)
        assert_content(volume, content, at, 64u << 10);
    /* The device's count would have what is still being read ahead of the scan, too. */
    uint64_t misses = statistics().data_misses;
    for (uint64_t i = 0; i < 300; i++)
        (void)read_block(scattered(i));
    assert_in_range(statistics().data_misses - misses, 0, 30);
}

/* Once a stream is seen, what follows comes into memory without being asked for. */
static void a_stream_is_read_ahead(void **state) {
    (void)state;
    for (uint64_t block = 1000; block < 1008; block++)
        (void)read_block(block);
    while (statistics().readahead_bytes < 16 * BLOCK)
        os_sleep_ns(1000000);
    uint64_t misses = statistics().data_misses; /* the device's count has what is read ahead, too */
    for (uint64_t block = 1008; block < 1016; block++)
        (void)read_block(block);
    assert_int_equal(statistics().data_misses, misses);
}

static void no_stream_nothing_ahead(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 3000; i++)
        (void)read_block(scattered(i));
    assert_int_equal(statistics().readahead_bytes, 0);
}

/* Blocks are reused soon in a pool that is nearly full; reads ahead are under way all the time. */
static void nothing_stale(void **state) {
    (void)state;
    struct random random = random_start("cached_reads");
    assert_int_equal(lfsx_volume_create(pool, "ballast", VOLUME_SIZE), STATUS_OK);
    struct lfsx_volume *ballast;
    assert_int_equal(lfsx_volume_open(pool, "ballast", &ballast), STATUS_OK);
    for (uint64_t at = 0; at < VOLUME_SIZE; at += 1u << 20)
        assert_int_equal(pooltest_write(ballast, at, content, 1u << 20, 0), STATUS_OK);
    for (unsigned round = 0; round < random_scale(300); round++) {
        for (unsigned i = 0; i < 6; i++) {
            struct operation operation = operation_random(&random, VOLUME_SIZE, 400000);
            bool fua = random_one_in(&random, 6);
            enum status status = operation_do(&operation, volume, fua ? LFSX_FUA : 0);
            assert_int_equal(status, STATUS_OK);
            operation_apply(&operation, content, VOLUME_SIZE);
        }
        uint64_t first = random_below(&random, VOLUME_SIZE / BLOCK - 64);
        for (uint64_t block = first; block < first + 64; block++)
            (void)read_block(block);
    }
    lfsx_volume_close(ballast);
    for (uint64_t block = 0; statistics().readahead_bytes == 0; block++) /* in case none kept up */
        (void)read_block(block % (VOLUME_SIZE / BLOCK));
    assert_content(volume, content, 0, VOLUME_SIZE);
}

/* A block that rots on the device while it is not in memory is an error, read ahead or not. */
static void damage_is_found(void **state) {
    (void)state;
    for (uint64_t at = 0; at < disk->device.size; at += BLOCK)
        if (memcmp(disk->content + at, content + 2040 * BLOCK, BLOCK) == 0)
            disk->content[at + 77] ^= 1;
    unsigned char data[LFSX_BLOCK_SIZE];
    for (uint64_t block = 2030; block < 2050; block++) {
        enum status status = pooltest_read(volume, block * BLOCK, data, LFSX_BLOCK_SIZE);
        assert_int_equal(status, block == 2040 ? STATUS_CHECKSUM : STATUS_OK);
    }
    assert_int_equal(statistics().checksum_errors, 1);
    assert_int_equal(
        pooltest_write(volume, 2040 * BLOCK, content + 2040 * BLOCK, LFSX_BLOCK_SIZE, LFSX_FUA),
        STATUS_OK);
    (void)read_block(2040);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(twice_costs_once),
        TEST(what_was_written_is_there),
        TEST(a_scan_leaves_the_working_set),
        TEST(a_stream_is_read_ahead),
        TEST(no_stream_nothing_ahead),
        TEST(nothing_stale),
        TEST(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
