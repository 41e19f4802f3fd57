/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: pools and volumes do what lfsx.h says of each call, its errors included. */
#include "base/checksum.h"
#include "base/format.h"
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (16ull << 20)
#define MIB (1ull << 20)

static struct ramdisk *disk;
static struct lfsx_pool *pool;

static int set_up(void **state) {
    (void)state;
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, 2, MIB);
    pool = pooltest_open(disk);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    enum status status = lfsx_pool_close(pool);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
    return status == STATUS_OK ? 0 : -1;
}

static void reopen(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    pool = pooltest_open(disk);
}

struct census {
    unsigned count, stop_after;
    uint64_t ids[8];
    char names[8][LFSX_NAME_MAX + 1];
};

static bool count_one(void *context, const struct lfsx_volume_info *info) {
    struct census *census = context;
    census->ids[census->count] = info->id;
    memcpy(census->names[census->count++], info->name, sizeof info->name);
    return census->count != census->stop_after;
}

static void volumes_come_and_go(void **state) {
    (void)state;
    assert_int_equal(lfsx_volume_create(pool, "new", MIB), STATUS_OK);
    assert_int_equal(lfsx_volume_create(pool, "new", MIB), STATUS_EXISTS);
    reopen();
    struct census census = {0};
    assert_int_equal(lfsx_volume_list(pool, count_one, &census), STATUS_OK);
    assert_int_equal(census.count, 3);
    census = (struct census){.stop_after = 1};
    assert_int_equal(lfsx_volume_list(pool, count_one, &census), STATUS_OK);
    assert_int_equal(census.count, 1);
    struct lfsx_volume *volume, *again;
    assert_int_equal(lfsx_volume_open(pool, "new", &volume), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "new", &again), STATUS_OK);
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    assert_string_equal(info.name, "new");
    assert_int_equal(info.size, MIB);
    assert_int_equal(info.logical_bytes, 0);
    assert_int_equal(info.open_count, 2);
    lfsx_volume_close(again);
    assert_int_equal(lfsx_volume_delete(pool, "new", 0), STATUS_BUSY);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_volume_delete(pool, "new", 0), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "new", 0), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_open(pool, "new", &volume), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_create(pool, "new", 2 * MIB), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "new", &volume), STATUS_OK);
    struct lfsx_volume_info newer;
    lfsx_volume_info(volume, &newer);
    assert_true(newer.id > info.id); /* never used again */
    assert_memory_not_equal(newer.uuid, info.uuid, sizeof info.uuid);
    lfsx_volume_close(volume);
    reopen();
}

static void bad_arguments(void **state) {
    (void)state;
    assert_int_equal(lfsx_volume_create(pool, "", MIB), STATUS_INVALID);
    assert_int_equal(lfsx_volume_create(pool, "a/b", MIB), STATUS_INVALID);
    assert_int_equal(lfsx_volume_create(pool, "odd", 513), STATUS_INVALID);
    assert_int_equal(lfsx_volume_create(pool, "none", 0), STATUS_INVALID);
    assert_int_equal(lfsx_volume_create(pool, "huge", LFSX_VOLUME_SIZE_MAX + 512), STATUS_INVALID);
    struct lfsx_volume *volume;
    struct lfsx_buffer *buffer;
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    assert_int_equal(lfsx_buffer_alloc(0, 0, &buffer), STATUS_INVALID);
    assert_int_equal(lfsx_buffer_alloc(0, LFSX_MAX_IO + 1, &buffer), STATUS_INVALID);
    assert_int_equal(lfsx_buffer_alloc(LFSX_VOLUME_SIZE_MAX, 1, &buffer), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_buffer_alloc(UINT64_MAX, 1, &buffer), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_buffer_alloc(MIB - 1, 2, &buffer), STATUS_OK);
    assert_int_equal(lfsx_volume_read(volume, buffer), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_volume_write(volume, buffer, 0), STATUS_OUT_OF_RANGE);
    lfsx_buffer_free(buffer);
    lfsx_buffer_free(NULL);
    assert_int_equal(lfsx_volume_trim(volume, MIB, 1, 0), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_volume_trim(volume, 1, UINT64_MAX, 0), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_volume_zero(volume, MIB + 1, 0, 0), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_volume_trim(volume, MIB, 0, 0), STATUS_OK);
    assert_int_equal(lfsx_volume_zero(volume, 0, 0, 0), STATUS_OK);
    lfsx_volume_close(volume);
}

/* Every length and alignment gives spans that are the payload and blocks that cover it. */
static void buffers_cover_their_range(void **state) {
    (void)state;
    struct random random = random_start("pool_api");
    for (unsigned i = 0; i < 300; i++) {
        uint64_t offset = random_next(&random) >> (2 + random_below(&random, 60));
        uint32_t length = 1 + (uint32_t)(random_next(&random) % (1u << random_below(&random, 23)));
        struct lfsx_buffer *buffer;
        if (lfsx_buffer_alloc(offset, length, &buffer) != STATUS_OK)
            continue;
        uint64_t sum = 0;
        for (uint32_t j = 0; j < buffer->span_count; j++)
            sum += buffer->spans[j].length;
        assert_int_equal(sum, length);
        uint64_t first = offset / LFSX_BLOCK_SIZE;
        uint64_t last = (offset + length - 1) / LFSX_BLOCK_SIZE;
        assert_int_equal(buffer->block_count, last - first + 1);
        assert_ptr_equal(buffer->spans[0].base,
                         (char *)buffer->blocks[0] + offset % LFSX_BLOCK_SIZE);
        for (uint32_t j = 0; j < buffer->block_count; j++) {
            assert_int_equal((uintptr_t)buffer->blocks[j] % OS_PAGE_SIZE, 0);
            memset(buffer->blocks[j], 1, LFSX_BLOCK_SIZE);
        }
        lfsx_buffer_free(buffer);
    }
}

/* The largest request there is; holes read as zeros; used bytes are what was written. */
static void space_is_counted(void **state) {
    (void)state;
    struct lfsx_volume *volume;
    struct lfsx_volume_info info;
    struct lfsx_pool_info before, after;
    lfsx_pool_info(pool, &before);
    assert_int_equal(before.volume_count, 2);
    assert_string_equal(before.label, "test");
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    unsigned char *zeros = calloc(1, MIB);
    assert_content(volume, zeros, 0, MIB);
    assert_int_equal(pooltest_write(volume, 0, zeros, MIB, LFSX_FUA), STATUS_OK);
    lfsx_volume_info(volume, &info);
    lfsx_pool_info(pool, &after);
    assert_int_equal(info.logical_bytes, MIB);
    assert_true(after.checkpoint >= before.checkpoint);
    assert_in_range(after.used_bytes - before.used_bytes, MIB, MIB + 20 * LFSX_BLOCK_SIZE);
    assert_int_equal(lfsx_volume_zero(volume, 0, MIB, LFSX_NO_HOLE), STATUS_OK);
    lfsx_volume_info(volume, &info);
    assert_int_equal(info.logical_bytes, MIB);
    assert_int_equal(lfsx_volume_zero(volume, 100, MIB - 100, 0), STATUS_OK);
    lfsx_volume_info(volume, &info);
    assert_int_equal(info.logical_bytes, LFSX_BLOCK_SIZE);
    assert_content(volume, zeros, 0, MIB);
    free(zeros);
    lfsx_volume_close(volume);
}

/* A synchronous write of one block costs the device one write for the data, one for the journal,
 * and one flush. */
static void a_synchronous_write_costs_one_flush(void **state) {
    (void)state;
    struct lfsx_volume *volume;
    unsigned char data[LFSX_BLOCK_SIZE] = {1};
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, data, sizeof data, LFSX_FUA), STATUS_OK);
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < 20; i++) { /* a checkpoint may come between some of them */
        uint64_t flushes = disk->flushes;
        uint64_t writes = disk->writes;
        assert_int_equal(pooltest_write(volume, i * LFSX_BLOCK_SIZE, data, sizeof data, LFSX_FUA),
                         STATUS_OK);
        assert_true(disk->flushes - flushes >= 1);
        assert_true(disk->writes - writes >= 2);
        uint64_t cost = (disk->flushes - flushes) * 100 + (disk->writes - writes);
        best = cost < best ? cost : best;
    }
    assert_int_equal(best, 102);
    lfsx_volume_close(volume);
}

/* With nothing new, a commit writes and flushes nothing. */
static void an_empty_commit_is_free(void **state) {
    (void)state;
    assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
    uint64_t flushes = disk->flushes;
    uint64_t writes = disk->writes;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
    assert_int_equal(disk->flushes, flushes);
    assert_int_equal(disk->writes, writes);
}

static void read_only_never_writes(void **state) {
    (void)state;
    unsigned char byte = 1;
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    uint64_t writes = disk->writes;
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY};
    assert_int_equal(lfsx_pool_open(&disk->device, &options, &pool), STATUS_OK);
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 0, &byte, 1, 0), STATUS_READ_ONLY);
    assert_int_equal(lfsx_volume_trim(volume, 0, MIB, 0), STATUS_READ_ONLY);
    assert_int_equal(lfsx_volume_zero(volume, 0, MIB, 0), STATUS_READ_ONLY);
    assert_int_equal(lfsx_volume_create(pool, "new", MIB), STATUS_READ_ONLY);
    assert_int_equal(pooltest_read(volume, 0, &byte, 1), STATUS_OK);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_volume_delete(pool, "alpha", 0), STATUS_READ_ONLY);
    assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    assert_true(info.read_only);
    assert_int_equal(info.failure, STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    assert_int_equal(disk->writes, writes);
    disk->device.limits.read_only = true;
    assert_int_equal(lfsx_pool_open(&disk->device, NULL, &pool), STATUS_READ_ONLY);
    disk->device.limits.read_only = false;
    pool = pooltest_open(disk);
}

static void formats_only_what_can_be(void **state) {
    (void)state;
    struct ramdisk *other = ramdisk_create(DISK_BYTES);
    struct lfsx_label label;
    struct lfsx_pool *no_pool;
    assert_int_equal(lfsx_probe(&other->device, &label), STATUS_NOT_LFSX);
    assert_int_equal(lfsx_pool_open(&other->device, NULL, &no_pool), STATUS_NOT_LFSX);
    struct lfsx_new_volume twice[] = {{"a", MIB}, {"a", MIB}};
    struct lfsx_new_volume odd[] = {{"a", 1}};
    struct lfsx_format_options options[] = {
        {.label = "line\nbreak"},
        {.label = "0123456789012345678901234567890123456789012345678901234567890123"},
        {.label = "", .volumes = twice, .volume_count = 2},
        {.label = "", .volumes = odd, .volume_count = 1},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(options); i++)
        assert_int_equal(lfsx_format(&other->device, &options[i]), STATUS_INVALID);
    assert_int_equal(lfsx_probe(&other->device, &label), STATUS_NOT_LFSX);
    struct lfsx_format_options good = {.label = "pool \xc3\xa9"};
    other->device.size = (uint64_t)(DISK_MIN_DEVICE_BLOCKS - 1) * DISK_BLOCK_SIZE;
    assert_int_equal(lfsx_format(&other->device, &good), STATUS_TOO_SMALL);
    other->device.size = DISK_BYTES - 512; /* not whole blocks */
    assert_int_equal(lfsx_format(&other->device, &good), STATUS_OK);
    assert_int_equal(lfsx_probe(&other->device, &label), STATUS_OK);
    assert_string_equal(label.label, "pool \xc3\xa9");
    assert_int_equal(label.version, DISK_VERSION);
    pooltest_assert_clean(other);
    other->device.size = DISK_BYTES / 2; /* it shrank */
    assert_int_equal(lfsx_pool_open(&other->device, NULL, &no_pool), STATUS_TOO_SMALL);
    other->device.size = DISK_BYTES;
    ramdisk_destroy(other);
}

/* A pool of a version to come is not touched. */
static void newer_formats_are_refused(void **state) {
    (void)state;
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    struct geometry geometry;
    assert_int_equal(geometry_plan(DISK_BYTES / DISK_BLOCK_SIZE, &geometry), STATUS_OK);
    for (unsigned area = 0; area < 2; area++) {
        struct disk_label *label =
            (struct disk_label *)(disk->content +
                                  geometry_label_address(&geometry, area) * DISK_BLOCK_SIZE);
        label->incompat = le64_make(1);
        label->checksum =
            le64_make(checksum_xxh64((const char *)label + 8, DISK_BLOCK_SIZE - 8, 0));
    }
    struct lfsx_label label;
    struct lfsx_check_summary summary;
    struct pooltest_findings findings = {0};
    struct lfsx_check_options options = {.finding = pooltest_finding, .context = &findings};
    assert_int_equal(lfsx_probe(&disk->device, &label), STATUS_VERSION);
    assert_int_equal(lfsx_pool_open(&disk->device, NULL, &pool), STATUS_VERSION);
    assert_int_equal(lfsx_check(&disk->device, &options, &summary), STATUS_VERSION);
    pooltest_format(disk, 1, MIB);
    pool = pooltest_open(disk);
}

/* Hundreds of volumes with names of all lengths: a catalog of several levels. */
static void many_volumes(void **state) {
    (void)state;
    char name[LFSX_NAME_MAX + 1];
    for (unsigned i = 0; i < 120; i++) {
        memset(name, 'a' + i % 26, sizeof name);
        size_t length = 4 + (i * 37) % (LFSX_NAME_MAX - 3);
        format_text(name, 4, "%03u", i);
        name[3] = '-';
        name[length] = '\0';
        assert_int_equal(lfsx_volume_create(pool, name, MIB), STATUS_OK);
    }
    reopen();
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    assert_int_equal(info.volume_count, 122);
    for (unsigned i = 0; i < 120; i += 2) {
        memset(name, 'a' + i % 26, sizeof name);
        size_t length = 4 + (i * 37) % (LFSX_NAME_MAX - 3);
        format_text(name, 4, "%03u", i);
        name[3] = '-';
        name[length] = '\0';
        assert_int_equal(lfsx_volume_delete(pool, name, 0), STATUS_OK);
    }
    reopen();
    lfsx_pool_info(pool, &info);
    assert_int_equal(info.volume_count, 62);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(volumes_come_and_go),
        TEST(bad_arguments),
        TEST(buffers_cover_their_range),
        TEST(space_is_counted),
        TEST(a_synchronous_write_costs_one_flush),
        TEST(an_empty_commit_is_free),
        TEST(read_only_never_writes),
        TEST(formats_only_what_can_be),
        TEST(newer_formats_are_refused),
        TEST(many_volumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
