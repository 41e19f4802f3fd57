/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: snapshots that were acknowledged are whole, and what was deleted is gone, whatever fails:
 * memory at any allocation, the device at any write, the power at any moment, and space.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (12ull << 20)
#define VOLUME_SIZE (1ull << 20)

/* One story, told with every failure: what each name reads as is known at each step. */
enum step {
    WRITE_ONE,
    SNAPSHOT_ONE,
    WRITE_TWO,
    SNAPSHOT_TWO,
    TRIM,
    CLONE,
    WRITE_CLONE,
    ROLL_BACK,
    DELETE_CLONE,
    DELETE_SNAPSHOT_TWO,
    SETTLE,
    STEPS
};

struct story {
    struct ramdisk *disk;
    struct lfsx_pool *pool;
};

static enum status fill(struct story *story, const char *name, unsigned char byte, uint64_t offset,
                        uint32_t length) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(story->pool, name, &volume);
    if (status != STATUS_OK)
        return status;
    unsigned char *data = malloc(length);
    memset(data, byte, length);
    status = pooltest_write(volume, offset, data, length, LFSX_FUA);
    free(data);
    lfsx_volume_close(volume);
    return status;
}

static enum status trim_half(struct story *story) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(story->pool, "alpha", &volume);
    if (status != STATUS_OK)
        return status;
    status = lfsx_volume_trim(volume, VOLUME_SIZE / 2, VOLUME_SIZE / 2, LFSX_FUA);
    lfsx_volume_close(volume);
    return status;
}

static enum status tell(struct story *story, enum step step) {
    static const char *const alpha[] = {"alpha"};
    switch (step) {
    case WRITE_ONE:
        return fill(story, "alpha", 1, 0, VOLUME_SIZE);
    case SNAPSHOT_ONE:
        return lfsx_snapshot_create(story->pool, alpha, 1, "one", 0);
    case WRITE_TWO:
        return fill(story, "alpha", 2, 4096, 300000);
    case SNAPSHOT_TWO:
        return lfsx_snapshot_create(story->pool, alpha, 1, "two", 0);
    case TRIM:
        return trim_half(story);
    case CLONE:
        return lfsx_clone_create(story->pool, "alpha", "two", "clone");
    case WRITE_CLONE:
        return fill(story, "clone", 3, 0, 4096);
    case ROLL_BACK:
        return lfsx_volume_rollback(story->pool, "alpha", "one", "kept");
    case DELETE_CLONE:
        return lfsx_volume_delete(story->pool, "clone", 0);
    case DELETE_SNAPSHOT_TWO:
        return lfsx_snapshot_delete(story->pool, "kept", "two");
    case SETTLE:
        return lfsx_pool_settle(story->pool);
    default:
        return STATUS_INVALID;
    }
}

/* The byte that a name has at an offset after the steps so far; -1: the name does not exist. */
static int expected(const char *name, enum step done, uint64_t offset) {
    bool rolled_back = done > ROLL_BACK;
    bool is_two = offset >= 4096 && offset < 304096;
    bool is_trimmed = done > TRIM && offset >= VOLUME_SIZE / 2;
    if (strcmp(name, "alpha") == 0)
        return done <= WRITE_ONE            ? 0
               : rolled_back                ? 1
               : is_trimmed                 ? 0
               : done > WRITE_TWO && is_two ? 2
                                            : 1;
    if (strcmp(name, "kept") == 0)
        return !rolled_back ? -1 : is_trimmed ? 0 : is_two ? 2 : 1;
    if (strcmp(name, "alpha@one") == 0)
        return done <= SNAPSHOT_ONE || rolled_back ? -1 : 1;
    if (strcmp(name, "kept@one") == 0)
        return !rolled_back ? -1 : 1;
    if (strcmp(name, "alpha@two") == 0)
        return done <= SNAPSHOT_TWO || rolled_back ? -1 : is_two ? 2 : 1;
    if (strcmp(name, "kept@two") == 0)
        return !rolled_back || done > DELETE_SNAPSHOT_TWO ? -1 : is_two ? 2 : 1;
    if (strcmp(name, "clone") == 0)
        return done <= CLONE || done > DELETE_CLONE  ? -1
               : done > WRITE_CLONE && offset < 4096 ? 3
               : is_two                              ? 2
                                                     : 1;
    fail_msg("no such name");
    return -1;
}

/* Whether a name reads as after the steps. */
static bool reads_as(struct story *story, const char *name, enum step done) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(story->pool, name, &volume);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND && expected(name, done, 0) == -1;
    unsigned char *data = malloc(VOLUME_SIZE);
    bool same = expected(name, done, 0) != -1;
    assert_int_equal(pooltest_read(volume, 0, data, VOLUME_SIZE), STATUS_OK);
    for (uint64_t at = 0; same && at < VOLUME_SIZE; at += 512)
        same = data[at] == expected(name, done, at);
    free(data);
    lfsx_volume_close(volume);
    return same;
}

static bool all_read_as(struct story *story, enum step done) {
    static const char *const names[] = {"alpha",     "kept",     "alpha@one", "kept@one",
                                        "alpha@two", "kept@two", "clone"};
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        if (!reads_as(story, names[i], done))
            return false;
    return true;
}

static void start(struct story *story) {
    story->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(story->disk, 1, VOLUME_SIZE);
    story->pool = pooltest_open(story->disk);
}

static void end(struct story *story) {
    assert_int_equal(lfsx_pool_close(story->pool), STATUS_OK);
    pooltest_assert_clean(story->disk);
    ramdisk_destroy(story->disk);
}

/* Only the first failing allocation counts: the call is made again, without. */
static void no_memory(void **state) {
    (void)state;
    for (unsigned after = 0; after < 150; after += after < 40 ? 1 : 9) {
        struct story story;
        start(&story);
        for (enum step step = 0; step < STEPS; step++) {
            host_memory_fail(after, false);
            enum status status = tell(&story, step);
            host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
            if (status == STATUS_NO_MEMORY)
                status = tell(&story, step);
            /* The change was made, what failed was to make it durable. */
            bool again = status == STATUS_EXISTS || status == STATUS_NOT_FOUND;
            if (status != STATUS_OK && !again)
                fail_msg("allocation %u, step %d: %s", after, (int)step, status_name(status));
            assert_true(all_read_as(&story, step + 1));
        }
        end(&story);
    }
}

static void devices_that_fail(void **state) {
    (void)state;
    for (unsigned after = 1; after < 150; after += 2) {
        struct story story;
        start(&story);
        story.disk->fail_write_after = after;
        enum step step = 0;
        enum status status = STATUS_OK;
        while (step < STEPS && (status = tell(&story, step)) == STATUS_OK)
            step++;
        assert_true(step == STEPS || status == STATUS_IO || status == STATUS_READ_ONLY);
        (void)lfsx_pool_close(story.pool);
        story.disk->failing = false;
        story.disk->fail_write_after = 0;
        pooltest_assert_clean(story.disk);
        story.pool = pooltest_open(story.disk);
        assert_true(all_read_as(&story, step) || all_read_as(&story, step + 1));
        end(&story);
    }
}

/* Once cut, the disk goes on in vain; what it left is looked at. */
static void power_cuts(void **state) {
    (void)state;
    struct random random = random_start("snapshot_failures");
    uint64_t rounds = random_scale(120);
    for (uint64_t round = 0; round < rounds; round++) {
        struct story story;
        start(&story);
        ramdisk_record(story.disk);
        story.disk->cut_random = (struct random){random_next(&random)};
        story.disk->cut_after = 1 + random_below(&random, 150);
        enum step step = 0;
        while (step < STEPS && story.disk->left_over == NULL) {
            assert_int_equal(tell(&story, step), STATUS_OK);
            step += story.disk->left_over == NULL;
        }
        unsigned char *image = story.disk->left_over;
        story.disk->left_over = NULL;
        story.disk->cut_after = 0;
        if (image != NULL) {
            assert_int_equal(lfsx_pool_close(story.pool), STATUS_OK);
            ramdisk_destroy(story.disk);
            story.disk = ramdisk_from(image, DISK_BYTES);
            free(image);
            pooltest_assert_clean(story.disk);
            story.pool = pooltest_open(story.disk);
        }
        assert_true(all_read_as(&story, step) || all_read_as(&story, step + 1));
        end(&story);
    }
}

/* A pool that snapshots fill says so; deleting them works, and gives the space back. */
static void a_full_pool(void **state) {
    (void)state;
    struct story story;
    struct lfsx_pool_info info;
    static const char *const alpha[] = {"alpha"};
    unsigned taken = 0;
    enum status status = STATUS_OK;
    start(&story);
    for (unsigned round = 0; status == STATUS_OK; round++) {
        char name[32];
        snprintf(name, sizeof name, "%u", round);
        status = lfsx_snapshot_create(story.pool, alpha, 1, name, 0);
        if (status != STATUS_OK)
            break;
        taken++;
        for (uint64_t at = 0; at < VOLUME_SIZE && status == STATUS_OK; at += 3 * 4096)
            status = fill(&story, "alpha", (unsigned char)round, at, 4096);
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    for (unsigned i = 0; i < 50; i++) {
        enum status trimmed = trim_half(&story);
        assert_true(trimmed == STATUS_OK || trimmed == STATUS_NO_SPACE);
        status = fill(&story, "alpha", 7, i * 8192, 4096);
        assert_true(status == STATUS_OK || status == STATUS_NO_SPACE);
        assert_int_equal(lfsx_pool_commit(story.pool), STATUS_OK);
    }
    for (unsigned i = 0; i < taken; i++) {
        char name[32];
        snprintf(name, sizeof name, "%u", i * 7 % taken);
        enum status gone = lfsx_snapshot_delete(story.pool, "alpha", name);
        assert_true(gone == STATUS_OK || (gone == STATUS_NOT_FOUND && taken % 7 == 0));
    }
    assert_int_equal(lfsx_pool_settle(story.pool), STATUS_OK);
    assert_int_equal(fill(&story, "alpha", 9, 0, VOLUME_SIZE), STATUS_OK);
    lfsx_pool_info(story.pool, &info);
    assert_false(info.read_only);
    end(&story);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory),
        cmocka_unit_test(devices_that_fail),
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(a_full_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
