/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: where the device cannot read a node of a dead tree, the pool goes on, and says so: what the
 * volume drops stays in use, nothing is freed that anybody has, not after a power cut either, and
 * a repair finds all of it. An error that passes costs nothing, nor does want of memory.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/mount/keeper.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (16ull << 20)
#define SIZE (256u << 10)
#define VOLUMES 2u
#define SNAPSHOTS 2u

static const char *const volumes[VOLUMES] = {"alpha", "beta"};
static const char *const snapshots[SNAPSHOTS] = {"one", "two"};
static unsigned lines; /* of the log that tell of it */

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    unsigned char content[VOLUMES][1 + SNAPSHOTS][SIZE]; /* live, then the snapshots */
    uint64_t root;                                       /* of alpha's dead tree */
};
static struct model model;

static void count_lines(enum log_level level, const char *room, const char *line) {
    lines += level == LOG_LEVEL_ERROR && strcmp(room, "lfsx") == 0 &&
             strstr(line, "what it drops stays in use") != NULL;
}

static void change(unsigned volume, unsigned times, uint32_t flags) {
    struct lfsx_volume *handle;
    assert_int_equal(lfsx_volume_open(model.pool, volumes[volume], &handle), STATUS_OK);
    for (unsigned i = 0; i < times; i++) {
        struct operation operation = operation_random(&model.random, SIZE, 20000);
        assert_int_equal(operation_do(&operation, handle, flags), STATUS_OK);
        operation_apply(&operation, model.content[volume][0], SIZE);
    }
    lfsx_volume_close(handle);
}

/* All of the volume has data then, up to this length. */
static void overwrite(unsigned volume, uint32_t length) {
    struct lfsx_volume *handle;
    struct operation operation = {
        .kind = OPERATION_WRITE, .length = length, .seed = random_next(&model.random)};
    assert_int_equal(lfsx_volume_open(model.pool, volumes[volume], &handle), STATUS_OK);
    assert_int_equal(operation_do(&operation, handle, 0), STATUS_OK);
    operation_apply(&operation, model.content[volume][0], SIZE);
    lfsx_volume_close(handle);
}

static void take(unsigned snapshot) {
    assert_int_equal(lfsx_snapshot_create(model.pool, volumes, VOLUMES, snapshots[snapshot], 0),
                     STATUS_OK);
    for (unsigned i = 0; i < VOLUMES; i++)
        memcpy(model.content[i][1 + snapshot], model.content[i][0], SIZE);
}

static uint64_t root_of_dead_tree(void) {
    assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    os_rwlock_lock_shared(&model.pool->lock);
    uint64_t block = dataset_find(model.pool, "alpha")->dead.root.block;
    os_rwlock_unlock_shared(&model.pool->lock);
    assert_true(block != 0);
    return block;
}

static void close_pool(void) {
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
    model.pool = NULL;
}

/* Two volumes with two snapshots, and something in the dead trees. */
static void start(void) {
    struct random random = model.random;
    memset(&model, 0, sizeof model);
    model.random = random.state == 0 ? random_start("unreadable") : random;
    model.disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model.disk, VOLUMES, SIZE);
    model.pool = pooltest_open(model.disk);
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        for (unsigned j = 0; j < VOLUMES; j++) {
            overwrite(j, SIZE); /* whoever writes into it drops what the snapshot has */
            change(j, 12, 0);
        }
        take(i);
    }
    for (unsigned j = 0; j < VOLUMES; j++)
        change(j, 6, 0);
    model.root = root_of_dead_tree();
    close_pool();
    pooltest_assert_clean(model.disk);
    lines = 0;
}

static void end(void) {
    if (model.pool != NULL)
        close_pool();
    pooltest_assert_clean(model.disk);
    ramdisk_destroy(model.disk);
}

static void break_root(void) {
    model.disk->unreadable[0] = model.root;
}

static void mend_root(void) {
    model.disk->unreadable[0] = 0;
}

static void open_pool(void) {
    model.pool = pooltest_open(model.disk);
    keeper_stop(model.pool);
}

static void open_broken(void) {
    break_root();
    open_pool();
}

static void verify_one(const char *name, const unsigned char *content) {
    struct lfsx_volume *handle;
    enum status status = lfsx_volume_open(model.pool, name, &handle);
    if (status == STATUS_NOT_FOUND)
        return; /* a snapshot that was deleted */
    assert_int_equal(status, STATUS_OK);
    assert_content(handle, content, 0, SIZE);
    lfsx_volume_close(handle);
}

static void verify(void) {
    for (unsigned i = 0; i < VOLUMES; i++) {
        verify_one(volumes[i], model.content[i][0]);
        for (unsigned j = 0; j < SNAPSHOTS; j++) {
            char name[32];
            snprintf(name, sizeof name, "%s@%s", volumes[i], snapshots[j]);
            verify_one(name, model.content[i][1 + j]);
        }
    }
}

static struct lfsx_volume_info volume_info(const char *name) {
    struct lfsx_volume *handle;
    struct lfsx_volume_info info;
    assert_int_equal(lfsx_volume_open(model.pool, name, &handle), STATUS_OK);
    lfsx_volume_info(handle, &info);
    lfsx_volume_close(handle);
    return info;
}

static uint64_t leaked(void) {
    struct lfsx_pool_info info;
    lfsx_pool_info(model.pool, &info);
    assert_false(info.read_only);
    assert_int_equal(info.failure, STATUS_OK);
    return info.leaked_bytes;
}

static void on_finding(void *context, const struct lfsx_finding *finding) {
    (void)context, (void)finding;
}

static void on_action(void *context, const char *text) {
    (void)context, (void)text;
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    (void)context;
    (void)loss;
    fail_msg("something is lost");
}

/* Everything is well again, and nothing is lost. */
static void repair(void) {
    struct lfsx_repair_options options = {
        .level = LFSX_REPAIR_ALL, .finding = on_finding, .action = on_action, .loss = on_loss};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&model.disk->device, &options, &summary), STATUS_OK);
    pooltest_assert_clean(model.disk);
    open_pool();
    verify();
    close_pool();
    pooltest_assert_clean(model.disk);
}

/* What a leak is called: lost space, counts that do not add up. Nothing else is wrong. */
static const uint32_t leak_findings[] = {41, 58, 93, 0};

static void assert_only_leaks(void) {
    struct pooltest_findings findings = {.allowed = leak_findings};
    pooltest_check(model.disk, &findings);
    assert_int_equal(findings.count, 0);
}

static void the_pool_goes_on_and_says_so(void **state) {
    (void)state;
    start();
    open_broken();
    log_set_sink(count_lines);
    assert_int_equal(volume_info("alpha").dead_damage, STATUS_OK);
    for (unsigned i = 0; i < 4; i++) {
        change(0, 6, LFSX_FUA);
        change(1, 6, LFSX_FUA);
        assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    }
    log_set_sink(NULL);
    assert_int_equal(lines, 1);
    assert_int_equal(volume_info("alpha").dead_damage, STATUS_IO);
    assert_int_equal(volume_info("alpha").damage, STATUS_OK);
    assert_int_equal(volume_info("beta").dead_damage, STATUS_OK);
    assert_true(leaked() > 0);
    verify();
    uint64_t bytes;
    assert_int_equal(lfsx_volume_total(model.pool, "alpha", &bytes), STATUS_OK);
    assert_int_equal(bytes, LFSX_BYTES_UNKNOWN);
    assert_int_equal(lfsx_volume_total(model.pool, "beta", &bytes), STATUS_OK);
    assert_true(bytes != LFSX_BYTES_UNKNOWN);
    close_pool();
    repair(); /* it still cannot be read */
    mend_root();
    end();
}

/* The device recovers while the pool is open: what is in the dead tree can be freed, and is the
 * same as before; what is not in it stays. */
static void snapshots_can_be_deleted_when_it_can_be_read_again(void **state) {
    (void)state;
    start();
    open_broken();
    overwrite(0, SIZE / 2);
    assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    uint64_t before = leaked();
    assert_true(before > 0);
    mend_root();
    uint64_t bytes;
    assert_int_equal(lfsx_volume_total(model.pool, "alpha", &bytes), STATUS_OK);
    assert_int_equal(bytes, LFSX_BYTES_UNKNOWN); /* some are nowhere */
    overwrite(0, SIZE);
    assert_int_equal(lfsx_snapshot_delete(model.pool, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(model.pool), STATUS_OK);
    assert_true(leaked() > before); /* not before it is opened again */
    verify();
    close_pool();
    assert_only_leaks();
    open_pool();
    assert_int_equal(volume_info("alpha").dead_damage, STATUS_OK);
    change(0, 8, 0);
    assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    assert_int_equal(leaked(), 0);
    assert_int_equal(lfsx_snapshot_delete(model.pool, "alpha", "two"), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(model.pool, "beta", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(model.pool), STATUS_OK);
    verify_one("alpha", model.content[0][0]);
    close_pool();
    assert_only_leaks();
    repair();
    end();
}

/* A volume that leaked is deleted: what it leaked is left, and a repair finds it. */
static void the_volume_can_be_deleted(void **state) {
    (void)state;
    struct lfsx_pool_info info;
    start();
    open_broken();
    change(0, 8, 0);
    assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    mend_root();
    for (unsigned i = 0; i < VOLUMES; i++)
        assert_int_equal(lfsx_volume_delete(model.pool, volumes[i], LFSX_DELETE_SNAPSHOTS),
                         STATUS_OK);
    assert_int_equal(lfsx_pool_settle(model.pool), STATUS_OK);
    lfsx_pool_info(model.pool, &info);
    assert_int_equal(info.used_bytes, leaked() + LFSX_BLOCK_SIZE); /* and the catalog */
    close_pool();
    assert_only_leaks();
    struct lfsx_repair_options options = {
        .level = LFSX_REPAIR_ALL, .finding = on_finding, .action = on_action, .loss = on_loss};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&model.disk->device, &options, &summary), STATUS_OK);
    open_pool();
    lfsx_pool_info(model.pool, &info);
    assert_int_equal(info.used_bytes, LFSX_BLOCK_SIZE);
    end();
}

/* One error is tried again, and costs nothing. */
static void an_error_that_passes(void **state) {
    (void)state;
    start();
    model.disk->errors_max = 1;
    open_broken();
    change(0, 8, LFSX_FUA);
    assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    assert_int_equal(model.disk->errors, 1);
    assert_int_equal(volume_info("alpha").dead_damage, STATUS_OK);
    assert_int_equal(leaked(), 0);
    verify();
    end();
}

/* Want of memory is no damage: whatever fails for it can be done later, in full. */
static void no_memory_is_no_damage(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t after = 0; failed; after++) {
        start();
        open_pool();
        change(0, 4, 0);
        host_memory_fail(after, true);
        enum status status = pool_checkpoint_force(model.pool);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        failed = status != STATUS_OK;
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        assert_int_equal(volume_info("alpha").dead_damage, STATUS_OK);
        assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
        assert_int_equal(leaked(), 0);
        verify();
        end();
    }
}

/* Also when the node cannot be read at the same time: the one is told from the other. */
static void no_memory_for_what_cannot_be_read(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t after = 0; failed; after++) {
        start();
        open_broken();
        change(0, 1, 0); /* fewer than somebody moves before the checkpoint */
        assert_int_equal(volume_info("alpha").dead_damage, STATUS_OK);
        host_memory_fail(after, true);
        enum status status = pool_checkpoint_force(model.pool);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        failed = status != STATUS_OK;
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
        verify();
        close_pool();
        repair();
        mend_root();
        end();
    }
}

/* Changes alpha durably, again and again, until the power is cut. What alpha held before the last
 * change is left in `before`. False: there was no cut. */
static bool change_until_cut(unsigned char *before) {
    for (unsigned i = 0; i < 12 && model.disk->left_over == NULL; i++) {
        memcpy(before, model.content[0][0], SIZE);
        change(0, 1, LFSX_FUA);
        if (i % 5 == 3)
            assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
    }
    return model.disk->left_over != NULL;
}

/* The machine starts again with what the cut left. */
static void go_on_after_cut(void) {
    struct ramdisk *after = ramdisk_from(model.disk->left_over, DISK_BYTES);
    model.disk->cut_after = 0;
    close_pool();
    ramdisk_destroy(model.disk);
    model.disk = after;
}

/* Of what was under way, some is there. */
static void learn_content(const unsigned char *before) {
    unsigned char *after = model.content[0][0];
    unsigned char *found = malloc(SIZE);
    struct lfsx_volume *handle;
    assert_int_equal(lfsx_volume_open(model.pool, "alpha", &handle), STATUS_OK);
    assert_int_equal(pooltest_read(handle, 0, found, SIZE), STATUS_OK);
    lfsx_volume_close(handle);
    for (uint64_t i = 0; i < SIZE; i++)
        assert_true(found[i] == before[i] || found[i] == after[i]);
    memcpy(after, found, SIZE);
    free(found);
}

/* A power cut while the pool leaks. What comes after it finds the node readable, or not. False:
 * there was no cut. */
static bool cut_once(uint64_t cut_after, bool readable) {
    static unsigned char before[SIZE];
    start();
    open_broken();
    ramdisk_record(model.disk);
    model.disk->cut_random.state = random_next(&model.random);
    model.disk->cut_after = cut_after;
    bool cut = change_until_cut(before);
    if (!cut) {
        mend_root();
        close_pool();
        repair();
        end();
        return false;
    }
    go_on_after_cut();
    if (!readable)
        break_root();
    open_pool();
    learn_content(before);
    change(0, 4, LFSX_FUA);
    change(1, 4, LFSX_FUA);
    assert_int_equal(lfsx_snapshot_delete(model.pool, "beta", "one"), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(model.pool), STATUS_OK);
    verify();
    close_pool();
    if (readable)
        assert_only_leaks();
    repair();
    mend_root();
    end();
    return true;
}

static void power_cuts(void **state) {
    (void)state;
    for (unsigned readable = 0; readable < 2; readable++) {
        uint64_t cut_after = 1;
        while (cut_once(cut_after, readable))
            cut_after++;
        assert_true(cut_after > 20);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pool_goes_on_and_says_so),
        cmocka_unit_test(snapshots_can_be_deleted_when_it_can_be_read_again),
        cmocka_unit_test(the_volume_can_be_deleted),
        cmocka_unit_test(an_error_that_passes),
        cmocka_unit_test(no_memory_is_no_damage),
        cmocka_unit_test(no_memory_for_what_cannot_be_read),
        cmocka_unit_test(power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
