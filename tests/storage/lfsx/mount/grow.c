/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a pool grows with its device, on line and as often as one likes, by little and by much; a
 * power cut at any moment of it leaves the old pool or the new one, and the check finds nothing in
 * either; a failure on the way harms nothing.
 */
#include "host/host.h"
#include "tests/storage/lfsx/volumemodel.h"

#include <fcntl.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define SMALL (8 * MIB)
#define LARGE (10 * MIB)
#define VOLUME_SIZE (2 * MIB)

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    unsigned char content[VOLUME_SIZE];
};
static struct model model;

static void open_pool(void) {
    model.pool = pooltest_open(model.disk);
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &model.volume), STATUS_OK);
}

static void close_pool(void) {
    lfsx_volume_close(model.volume);
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
}

/* Of a device of `capacity` bytes the first `size` are there. */
static void start(uint64_t size, uint64_t capacity) {
    if (model.random.state == 0)
        model.random = random_start("pool_grow");
    model.disk = ramdisk_create(capacity);
    model.disk->device.size = size;
    pooltest_format(model.disk, 1, VOLUME_SIZE);
    memset(model.content, 0, VOLUME_SIZE);
    open_pool();
}

static void write_some(unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        struct operation operation = operation_random(&model.random, VOLUME_SIZE, 200000);
        assert_int_equal(operation_do(&operation, model.volume, 0), STATUS_OK);
        operation_apply(&operation, model.content, VOLUME_SIZE);
    }
}

static void verify(void) {
    assert_content(model.volume, model.content, 0, VOLUME_SIZE);
}

static uint64_t pool_blocks(void) {
    return model.pool->label.geometry.device_blocks;
}

static void end(void) {
    verify();
    close_pool();
    pooltest_assert_clean(model.disk);
    ramdisk_destroy(model.disk);
}

/* Puts into place what a cut left of the disk, which has `capacity` bytes of memory. */
static void come_back(uint64_t capacity) {
    struct ramdisk *after = ramdisk_create(capacity);
    after->device.size = model.disk->device.size;
    memcpy(after->content, model.disk->left_over, after->device.size);
    ramdisk_destroy(model.disk);
    model.disk = after;
}

static void grows_many_times(void **state) {
    (void)state;
    uint64_t capacity = 40 * MIB;
    start(8 * MIB, capacity);
    unsigned grown = 0;
    while (model.disk->device.size < capacity) {
        write_some(20);
        uint64_t step = random_one_in(&model.random, 3) ? 3000 : 300;
        uint64_t added = (1 + random_below(&model.random, step)) * LFSX_BLOCK_SIZE;
        uint64_t before = pool_blocks();
        model.disk->device.size = MATH_MIN(model.disk->device.size + added, capacity);
        struct geometry expected;
        bool grows =
            geometry_grow(&model.pool->label.geometry, model.disk->device.size / LFSX_BLOCK_SIZE,
                          &expected) == STATUS_OK;
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        assert_int_equal(pool_blocks(), grows ? expected.device_blocks : before);
        grown += grows;
        if (random_one_in(&model.random, 3)) {
            verify();
            close_pool();
            pooltest_assert_clean(model.disk);
            open_pool();
            assert_int_equal(pool_blocks(), grows ? expected.device_blocks : before);
        }
    }
    assert_true(grown >= 2); /* steps are at most 3,000 of 8,192 blocks */
    /* The pool gained regions, and all of its space can be used. */
    struct lfsx_pool_info info;
    lfsx_pool_info(model.pool, &info);
    assert_int_equal(lfsx_volume_create(model.pool, "large", 2 * capacity), STATUS_OK);
    struct lfsx_volume *large;
    assert_int_equal(lfsx_volume_open(model.pool, "large", &large), STATUS_OK);
    uint64_t written = 0;
    while (lfsx_volume_zero(large, written, MIB / 2, LFSX_NO_HOLE) == STATUS_OK)
        written += MIB / 2;
    assert_true(written > info.available_bytes - 3 * MIB);
    lfsx_volume_close(large);
    end();
}

/* From too little to enough, block by block. */
static void every_small_step(void **state) {
    (void)state;
    for (uint64_t added = 0; added < 80; added += added % 64 < 5 ? 1 : 9) {
        start(SMALL, LARGE);
        uint64_t before = pool_blocks();
        write_some(3);
        model.disk->device.size += added * LFSX_BLOCK_SIZE + random_below(&model.random, 8) * 512;
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        bool enough = added >= DISK_AREA_BLOCKS + 4;
        assert_int_equal(pool_blocks(), enough ? before + added : before);
        write_some(3);
        end();
    }
}

/* What is gained can be written at once, and survives a cut by the journal alone. */
static void gained_space_is_used(void **state) {
    (void)state;
    start(8 * MIB, 40 * MIB);
    struct lfsx_volume *large;
    assert_int_equal(lfsx_volume_create(model.pool, "large", 40 * MIB), STATUS_OK);
    assert_int_equal(lfsx_volume_open(model.pool, "large", &large), STATUS_OK);
    model.disk->device.size = 40 * MIB;
    ramdisk_record(model.disk);
    assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
    static unsigned char data[24 * MIB];
    random_fill(&model.random, data, sizeof data);
    for (uint64_t at = 0; at < sizeof data; at += 8 * MIB)
        assert_int_equal(pooltest_write(large, at, data + at, 8 * MIB, 0), STATUS_OK);
    assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
    model.disk->left_over = malloc(model.disk->device.size);
    struct random nothing = {0};
    os_mutex_lock(&model.disk->lock);
    ramdisk_leave(model.disk, &nothing, model.disk->left_over);
    os_mutex_unlock(&model.disk->lock);
    lfsx_volume_close(large);
    close_pool();
    come_back(40 * MIB);
    pooltest_assert_clean(model.disk);
    open_pool();
    assert_int_equal(lfsx_volume_open(model.pool, "large", &large), STATUS_OK);
    assert_content(large, data, 0, sizeof data);
    lfsx_volume_close(large);
    end();
}

/* One growth with a cut after so many writes and flushes. False: it was over before. */
static bool cut_once(uint64_t cut_after, bool busy) {
    start(SMALL, LARGE);
    write_some(10);
    assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
    uint64_t before = pool_blocks();
    model.disk->device.size = LARGE;
    ramdisk_record(model.disk);
    model.disk->cut_random.state = random_next(&model.random);
    if (busy) { /* something for the checkpoints of the growth to write; not acknowledged */
        static unsigned char same[64 * LFSX_BLOCK_SIZE];
        memcpy(same, model.content, sizeof same);
        assert_int_equal(pooltest_write(model.volume, 0, same, sizeof same, 0), STATUS_OK);
    }
    model.disk->cut_after = cut_after;
    assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
    bool cut = model.disk->left_over != NULL;
    model.disk->cut_after = 0;
    close_pool();
    if (cut)
        come_back(LARGE);
    pooltest_assert_clean(model.disk);
    struct lfsx_open_options read_only = {.flags = LFSX_OPEN_READ_ONLY};
    struct lfsx_pool *pool;
    assert_int_equal(lfsx_pool_open(&model.disk->device, &read_only, &pool), STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(model.disk);
    open_pool();
    bool grown = pool_blocks() == LARGE / LFSX_BLOCK_SIZE;
    assert_true(grown || pool_blocks() == before);
    if (!cut)
        assert_true(grown);
    verify();
    write_some(10);
    assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
    assert_int_equal(pool_blocks(), LARGE / LFSX_BLOCK_SIZE);
    write_some(10);
    end();
    return cut;
}

static void power_cuts(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(2); round++) {
        uint64_t cut_after = 1;
        while (cut_once(cut_after, round % 2 == 1))
            cut_after++;
        assert_true(cut_after > 12);
    }
}

/* A cut while a pool recovers from a cut. */
static void cuts_of_the_recovery(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(12); round++) {
        start(SMALL, LARGE);
        write_some(10);
        assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
        model.disk->device.size = LARGE;
        ramdisk_record(model.disk);
        model.disk->cut_random.state = random_next(&model.random);
        model.disk->cut_after = 1 + random_below(&model.random, 30);
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        for (unsigned again = 0; again < 3 && model.disk->left_over != NULL; again++) {
            close_pool();
            come_back(LARGE);
            ramdisk_record(model.disk);
            model.disk->cut_random.state = random_next(&model.random);
            model.disk->cut_after = 1 + random_below(&model.random, 12);
            open_pool();
            verify();
            assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        }
        close_pool();
        if (model.disk->left_over != NULL)
            come_back(LARGE);
        pooltest_assert_clean(model.disk);
        open_pool();
        end();
    }
}

/* The device refuses a write: nothing that was acknowledged is lost, and opening the pool again
 * finds the old one or the new one. */
static void failing_writes(void **state) {
    (void)state;
    for (uint64_t fail_after = 1;; fail_after++) {
        start(SMALL, LARGE);
        write_some(5);
        assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
        model.disk->device.size = LARGE;
        model.disk->fail_write_after = fail_after;
        enum status status = lfsx_pool_grow(model.pool);
        bool failed = model.disk->failing;
        model.disk->fail_write_after = 0;
        model.disk->failing = false;
        verify();
        lfsx_volume_close(model.volume);
        (void)lfsx_pool_close(model.pool);
        pooltest_assert_clean(model.disk);
        open_pool();
        if (status == STATUS_OK)
            assert_int_equal(pool_blocks(), LARGE / LFSX_BLOCK_SIZE);
        end();
        if (!failed)
            break;
    }
}

static void failing_memory(void **state) {
    (void)state;
    enum status status = STATUS_NO_MEMORY;
    for (uint64_t after = 0; status != STATUS_OK; after++) {
        start(SMALL, LARGE);
        write_some(5);
        model.disk->device.size = LARGE;
        host_memory_fail(after, false);
        status = lfsx_pool_grow(model.pool);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        write_some(5);
        assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        assert_int_equal(pool_blocks(), LARGE / LFSX_BLOCK_SIZE);
        end();
    }
}

static void flip(uint64_t block) {
    model.disk->content[block * LFSX_BLOCK_SIZE + 100] ^= 0x40;
}

static void ignore_action(void *context, const char *text) {
    (void)context, (void)text;
}

static void ignore_loss(void *context, const struct lfsx_loss *loss) {
    (void)context, (void)loss;
}

/* Cuts the power when the pool has just grown and its labels say so; closes the pool. */
static struct geometry stop_after_growth(struct superblock *newest) {
    for (uint64_t cut_after = 1;; cut_after++) {
        start(SMALL, LARGE);
        write_some(10);
        model.disk->device.size = LARGE;
        ramdisk_record(model.disk);
        model.disk->cut_random.state = random_next(&model.random);
        model.disk->cut_after = cut_after;
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        close_pool();
        come_back(LARGE);
        struct label label;
        struct ring *ring = malloc(sizeof *ring);
        assert_int_equal(label_read(&model.disk->device, &label), STATUS_OK);
        bool grown = label.written_blocks == LARGE / LFSX_BLOCK_SIZE;
        assert_int_equal(ring_read(&model.disk->device, &label, ring), STATUS_OK);
        assert_int_equal(ring_newest(ring, newest), STATUS_OK);
        free(ring);
        if (grown)
            return label.geometry;
        ramdisk_destroy(model.disk);
    }
}

/* Then the newest superblock stands in two places and no other is of the new size, both labels
 * speak of it, and either of each can be lost. */
static void either_copy_is_enough(void **state) {
    (void)state;
    for (unsigned lost = 0; lost < 4; lost++) {
        struct superblock newest;
        struct geometry geometry = stop_after_growth(&newest);
        unsigned slot = (unsigned)(newest.checkpoint % DISK_RING_SLOTS);
        flip(lost < 2 ? geometry_slot_address(&geometry, lost, slot)
                      : geometry_label_address(&geometry, lost - 2));
        struct pooltest_findings findings = {.quiet = true};
        pooltest_check(model.disk, &findings);
        if (lost != 1) /* which a power cut may leave */
            assert_true(findings.count > 0);
        open_pool();
        assert_int_equal(pool_blocks(), LARGE / LFSX_BLOCK_SIZE);
        verify();
        close_pool();
        ramdisk_destroy(model.disk);
    }
}

/* With both copies lost it is refused, and does not go back in time by itself; fsck does, to the
 * pool that had not grown. */
static void neither_copy_is_too_little(void **state) {
    (void)state;
    struct superblock newest;
    struct geometry geometry = stop_after_growth(&newest);
    unsigned slot = (unsigned)(newest.checkpoint % DISK_RING_SLOTS);
    flip(geometry_slot_address(&geometry, 0, slot));
    flip(geometry_slot_address(&geometry, 1, slot));
    struct lfsx_pool *pool;
    assert_int_equal(lfsx_pool_open(&model.disk->device, NULL, &pool), STATUS_CORRUPT);
    struct pooltest_findings findings = {.quiet = true};
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .data = true,
                                          .finding = pooltest_finding,
                                          .action = ignore_action,
                                          .loss = ignore_loss,
                                          .context = &findings};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&model.disk->device, &options, &summary), STATUS_OK);
    assert_int_equal(summary.remaining, 0);
    open_pool();
    assert_int_equal(pool_blocks(), SMALL / LFSX_BLOCK_SIZE);
    assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
    assert_int_equal(pool_blocks(), LARGE / LFSX_BLOCK_SIZE);
    close_pool();
    pooltest_assert_clean(model.disk);
    ramdisk_destroy(model.disk);
}

static void repair(enum lfsx_repair_level level) {
    struct pooltest_findings findings = {.quiet = true};
    struct lfsx_repair_options options = {.level = level,
                                          .data = true,
                                          .finding = pooltest_finding,
                                          .action = ignore_action,
                                          .loss = ignore_loss,
                                          .context = &findings};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&model.disk->device, &options, &summary), STATUS_OK);
    assert_true(findings.count > 0);
    assert_int_equal(summary.remaining, 0);
    assert_int_equal(summary.losses, 0);
}

/* Whatever stands in a new place is repaired there; a slot of the new tail whose checkpoint was one
 * of before the growth is cleared, and nothing is written to where the old tail was. */
static void grown_pools_are_repaired(void **state) {
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        start(SMALL, LARGE);
        for (unsigned i = 0; i < 4; i++) {
            write_some(2);
            assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
        }
        model.disk->device.size = LARGE;
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        write_some(10);
        struct geometry geometry = model.pool->label.geometry;
        close_pool();
        flip(geometry_slot_address(&geometry, 1, 3)); /* checkpoint 3 was of the old pool */
        flip(geometry_label_address(&geometry, round % 2));
        if (round >= 4)
            for (uint64_t i = 0; i < geometry.map_blocks; i++)
                flip(geometry.map_start + i);
        static unsigned char old_tail[DISK_AREA_BLOCKS * LFSX_BLOCK_SIZE];
        uint64_t old_tail_at = SMALL - sizeof old_tail;
        memcpy(old_tail, model.disk->content + old_tail_at, sizeof old_tail);
        repair(round >= 4 ? LFSX_REPAIR_ALL : LFSX_REPAIR_PREEN);
        assert_memory_equal(old_tail, model.disk->content + old_tail_at, sizeof old_tail);
        pooltest_assert_clean(model.disk);
        open_pool();
        end();
    }
}

/* The tail of a pool that is smaller than its device is found by the head's superblocks. */
static void a_label_in_the_middle(void **state) {
    (void)state;
    start(SMALL, LARGE);
    write_some(5);
    struct geometry geometry = model.pool->label.geometry;
    close_pool();
    model.disk->device.size = LARGE;
    flip(geometry_label_address(&geometry, 0));
    open_pool();
    assert_int_equal(pool_blocks(), SMALL / LFSX_BLOCK_SIZE);
    assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
    end(); /* which wrote both labels */
}

static void smaller_devices_are_refused(void **state) {
    (void)state;
    start(SMALL, LARGE);
    model.disk->device.size = LARGE;
    assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
    close_pool();
    model.disk->device.size = LARGE - LFSX_BLOCK_SIZE;
    struct lfsx_pool *pool;
    assert_int_equal(lfsx_pool_open(&model.disk->device, NULL, &pool), STATUS_TOO_SMALL);
    struct pooltest_findings findings = {.quiet = true};
    pooltest_check(model.disk, &findings);
    assert_int_equal(findings.count, 1);
    model.disk->device.size = LARGE;
    open_pool();
    end();
}

static void write_on(void *context) {
    struct random random = {*(uint64_t *)context};
    for (unsigned i = 0; i < 400; i++) {
        unsigned char data[LFSX_BLOCK_SIZE * 4];
        random_fill(&random, data, sizeof data);
        uint64_t block = random_below(&random, VOLUME_SIZE / 2 / LFSX_BLOCK_SIZE - 4);
        enum status status = pooltest_write(model.volume, VOLUME_SIZE / 2 + block * LFSX_BLOCK_SIZE,
                                            data, sizeof data, i % 8 == 0 ? LFSX_FUA : 0);
        assert_int_equal(status, STATUS_OK);
    }
}

static void grows_under_load(void **state) {
    (void)state;
    start(SMALL, 24 * MIB);
    struct os_thread *threads[3];
    uint64_t seeds[3];
    for (unsigned i = 0; i < 3; i++) {
        seeds[i] = random_next(&model.random);
        assert_int_equal(os_thread_start(&threads[i], "writer", write_on, &seeds[i]), STATUS_OK);
    }
    while (model.disk->device.size < 24 * MIB) {
        model.disk->device.size += 2 * MIB;
        assert_int_equal(lfsx_pool_grow(model.pool), STATUS_OK);
        assert_content(model.volume, model.content, 0, VOLUME_SIZE / 4);
    }
    for (unsigned i = 0; i < 3; i++)
        os_thread_join(threads[i]);
    assert_int_equal(pooltest_read(model.volume, 0, model.content, VOLUME_SIZE), STATUS_OK);
    end();
}

/* From the smallest pool to one of a terabyte, in a sparse file. */
static void to_a_terabyte(void **state) {
    (void)state;
    const char *folder = getenv("TEST_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/terabyte.img", folder == NULL ? "/tmp" : folder);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    struct blockdev *device;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    struct lfsx_new_volume list = {"alpha", VOLUME_SIZE};
    struct lfsx_format_options options = {.label = "", .volumes = &list, .volume_count = 1};
    static unsigned char data[3 * LFSX_BLOCK_SIZE];
    random_fill(&model.random, data, sizeof data);
    static const uint64_t sizes[] = {8 * MIB, 1ull << 30, (1ull << 40) + 12345 * 512};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        assert_int_equal(ftruncate(file, (off_t)sizes[i]), 0);
        assert_int_equal(host_blockdev_open(path, 0, &device), STATUS_OK);
        if (i == 0)
            assert_int_equal(lfsx_format(device, &options), STATUS_OK);
        assert_int_equal(lfsx_pool_open(device, NULL, &pool), STATUS_OK);
        assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
        if (i > 0)
            assert_content(volume, data, 0, i * LFSX_BLOCK_SIZE);
        assert_int_equal(lfsx_pool_grow(pool), STATUS_OK);
        assert_int_equal(pool->label.geometry.device_blocks, sizes[i] / LFSX_BLOCK_SIZE);
        assert_int_equal(pooltest_write(volume, i * LFSX_BLOCK_SIZE, data + i * LFSX_BLOCK_SIZE,
                                        LFSX_BLOCK_SIZE, 0),
                         STATUS_OK);
        lfsx_volume_close(volume);
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
        struct pooltest_findings findings = {0};
        struct lfsx_check_options check = {
            .data = true, .finding = pooltest_finding, .context = &findings};
        struct lfsx_check_summary summary;
        assert_int_equal(lfsx_check(device, &check, &summary), STATUS_OK);
        assert_int_equal(findings.count, 0);
        blockdev_close(device);
    }
    close(file);
    unlink(path);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_many_times),
        cmocka_unit_test(every_small_step),
        cmocka_unit_test(gained_space_is_used),
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(cuts_of_the_recovery),
        cmocka_unit_test(failing_writes),
        cmocka_unit_test(failing_memory),
        cmocka_unit_test(either_copy_is_enough),
        cmocka_unit_test(a_label_in_the_middle),
        cmocka_unit_test(smaller_devices_are_refused),
        cmocka_unit_test(neither_copy_is_too_little),
        cmocka_unit_test(grown_pools_are_repaired),
        cmocka_unit_test(grows_under_load),
        cmocka_unit_test(to_a_terabyte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
