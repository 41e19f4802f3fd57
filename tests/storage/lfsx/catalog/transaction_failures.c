/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a transaction of several changes is there as a whole or not at all, whatever fails: the
 * power at any write, the device, memory at any allocation. What was acknowledged is there.
 */
#include "host/host.h"
#include "tests/storage/lfsx/transactiontest.h"

#define DISK_BYTES (10ull << 20)
#define VOLUME_SIZE (64ull << 10)

/* ---- a story of transactions ---- */

static const struct lfsx_schedule_rule yearly = {365 * 86400ull * 1000000000, 1};

static enum status make_things(struct lfsx_transaction *t, void *context) {
    (void)context;
    enum status status = lfsx_transaction_volume_create(t, "one", 512);
    if (status == STATUS_OK)
        status = lfsx_transaction_share_create(t, "files");
    if (status == STATUS_OK)
        status = lfsx_transaction_clone_create(t, "alpha", "first", "clone");
    if (status == STATUS_OK)
        status = lfsx_transaction_protect(t, "beta", false, UINT64_MAX);
    return status;
}

static enum status move_things(struct lfsx_transaction *t, void *context) {
    (void)context;
    enum status status = lfsx_transaction_rename(t, "one", "two");
    if (status == STATUS_OK)
        status = lfsx_transaction_rename(t, "beta", "one");
    if (status == STATUS_OK)
        status = lfsx_transaction_rollback(t, "alpha", "first", "beta");
    if (status == STATUS_OK)
        status = lfsx_transaction_schedule_set(t, "files", &yearly, 1);
    return status;
}

static enum status picture_things(struct lfsx_transaction *t, void *context) {
    (void)context;
    static const char *const names[] = {"beta", "two"};
    enum status status = lfsx_transaction_resize(t, "gamma", 2 * VOLUME_SIZE, 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_snapshot_create(t, names, 2, "third", 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_clone_create(t, "beta", "third", "copy");
    if (status == STATUS_OK)
        status = lfsx_transaction_rename(t, "gamma", "large");
    return status;
}

static enum status shrink_things(struct lfsx_transaction *t, void *context) {
    (void)context;
    enum status status = lfsx_transaction_resize(t, "large", VOLUME_SIZE / 2, LFSX_RESIZE_SHRINK);
    if (status == STATUS_OK)
        status = lfsx_transaction_snapshot_delete(t, "two", "third");
    return status;
}

static enum status remove_things(struct lfsx_transaction *t, void *context) {
    (void)context;
    enum status status = lfsx_transaction_volume_delete(t, "one", 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_snapshot_delete(t, "beta", "second");
    if (status == STATUS_OK)
        status = lfsx_transaction_volume_delete(t, "clone", 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_share_delete(t, "files", 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_volume_create(t, "files", 1024);
    return status;
}

static lfsx_transaction_body *const story[] = {make_things, move_things, picture_things,
                                               shrink_things, remove_things};
#define STEPS ARRAY_LENGTH(story)

static struct state told[STEPS + 1]; /* what is there after so many steps */
static struct ramdisk *disk;
static struct lfsx_pool *pool;

static void open_pool(void) {
    pool = pooltest_open(disk);
    keeper_stop(pool); /* nothing happens that the test does not ask for */
}

static void start(void) {
    static const char *const alpha[] = {"alpha"};
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, 3, VOLUME_SIZE);
    open_pool();
    assert_int_equal(lfsx_snapshot_create(pool, alpha, 1, "first", 0), STATUS_OK);
    assert_int_equal(lfsx_snapshot_create(pool, alpha, 1, "second", 0), STATUS_OK);
    struct lfsx_volume *volume;
    unsigned char block[LFSX_BLOCK_SIZE] = {1};
    assert_int_equal(lfsx_volume_open(pool, "gamma", &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, VOLUME_SIZE - sizeof block, block, sizeof block, 0),
                     STATUS_OK);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
}

static void end(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

static enum status tell(unsigned step) {
    return lfsx_transaction_run(pool, NULL, story[step], NULL);
}

static bool is_told(unsigned steps) {
    struct state seen;
    state_get(pool, &seen);
    return steps <= STEPS && state_equals(&seen, &told[steps]);
}

static int tell_all(void **state) {
    (void)state;
    start();
    for (unsigned step = 0; step < STEPS; step++) {
        state_get(pool, &told[step]);
        assert_int_equal(tell(step), STATUS_OK);
    }
    state_get(pool, &told[STEPS]);
    end();
    return 0;
}

/* ---- failures ---- */

/* Cuts the power after so many writes and flushes; false: there are not so many. */
static bool cut_after(uint64_t writes, struct random *random) {
    unsigned step = 0;
    start();
    ramdisk_record(disk);
    disk->cut_random = (struct random){random_next(random)};
    disk->cut_after = writes;
    while (step < STEPS && disk->left_over == NULL) {
        assert_int_equal(tell(step), STATUS_OK);
        step += disk->left_over == NULL; /* acknowledged before the cut */
    }
    unsigned char *image = disk->left_over;
    disk->left_over = NULL;
    disk->cut_after = 0;
    if (image != NULL) {
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
        ramdisk_destroy(disk);
        disk = ramdisk_from(image, DISK_BYTES);
        free(image);
        pooltest_assert_clean(disk);
        open_pool();
        assert_true(is_told(step) || is_told(step + 1));
    }
    end();
    return image != NULL;
}

static void power_cuts(void **state) {
    (void)state;
    struct random random = random_start("transaction_failures");
    uint64_t writes = 1;
    for (; cut_after(writes, &random); writes++)
        for (uint64_t again = random_scale(3); again > 0; again--)
            (void)cut_after(writes, &random);
    assert_true(writes > 3 * STEPS);
}

static void devices_that_fail(void **state) {
    (void)state;
    unsigned step = 0;
    for (uint64_t after = 1; step < STEPS; after++) {
        start();
        disk->fail_write_after = after;
        enum status status = STATUS_OK;
        for (step = 0; step < STEPS && (status = tell(step)) == STATUS_OK;)
            step++;
        assert_true(step == STEPS || status == STATUS_IO || status == STATUS_READ_ONLY);
        (void)lfsx_pool_close(pool);
        disk->failing = false;
        disk->fail_write_after = 0;
        pooltest_assert_clean(disk);
        open_pool();
        assert_true(is_told(step) || is_told(step + 1));
        end();
    }
}

/* A step with its savepoints and locks fails at each allocation; it is told again until it
 * succeeds. If what failed was to make it durable, it is there. */
static unsigned starve(unsigned step, struct random *random) {
    for (unsigned failures = 0;; failures++) {
        pooltest_forget(pool, random);
        host_memory_fail(failures, false);
        enum status status = tell(step);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        if (status == STATUS_OK)
            return failures;
        assert_int_equal(status, STATUS_NO_MEMORY);
        if (is_told(step + 1))
            return failures;
        assert_true(is_told(step));
    }
}

static void no_memory(void **state) {
    (void)state;
    struct random random = random_start("transaction_failures");
    start();
    for (unsigned step = 0; step < STEPS; step++) {
        assert_true(starve(step, &random) > 10);
        assert_true(is_told(step + 1));
    }
    end();
}

/* A call that finds no memory leaves the transaction as it was. */
static void no_memory_for_a_call(void **state) {
    (void)state;
    struct random random = random_start("transaction_failures");
    start();
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(make_things(t, NULL), STATUS_OK);
    enum status status = STATUS_NO_MEMORY;
    for (unsigned failures = 0; status != STATUS_OK; failures++) {
        pooltest_forget(pool, &random);
        host_memory_fail(failures, false);
        status = lfsx_transaction_rollback(t, "alpha", "first", "kept");
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        assert_true(finds(t, "kept") == (status == STATUS_OK) && finds(t, "clone"));
    }
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "kept", "alpha"), STATUS_OK);
    commit(t);
    assert_true(is_told(1));
    end();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(devices_that_fail),

        cmocka_unit_test(no_memory),
        cmocka_unit_test(no_memory_for_a_call),
    };
    return cmocka_run_group_tests(tests, tell_all, NULL);
}
