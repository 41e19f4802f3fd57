/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: changes of volumes, shares, snapshots and settings that a transaction makes are seen all at
 * once or never; what it undoes never was; and what must hold when it commits is checked then.
 */
#include "host/host.h"
#include "tests/storage/lfsx/transactiontest.h"

#define DISK_BYTES (16ull << 20)
#define VOLUME_SIZE (1ull << 20)

static struct ramdisk *disk;
static struct lfsx_pool *pool;

/* No schedule takes a snapshot behind the test's back. */
static void open_pool(void) {
    pool = pooltest_open(disk);
    keeper_stop(pool);
}

static void start(uint32_t volumes) {
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, volumes, VOLUME_SIZE);
    open_pool();
}

static void reopen(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    open_pool();
}

static void end(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

static void take(const char *volume, const char *name) {
    assert_int_equal(lfsx_snapshot_create(pool, &volume, 1, name, 0), STATUS_OK);
}

static const struct lfsx_schedule_rule hourly = {3600ull * 1000000000, 24};

/* One of each kind, most of them about what others of them made. */
static void do_everything(struct lfsx_transaction *t) {
    struct lfsx_dataset_info info;
    assert_int_equal(lfsx_transaction_volume_create(t, "new", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_schedule_set(t, "new", &hourly, 1), STATUS_OK);
    assert_int_equal(lfsx_transaction_share_create(t, "files"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "new", "newer"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "alpha", "new"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rollback(t, "new", "one", "kept"), STATUS_OK);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "kept", "two"), STATUS_OK);
    assert_int_equal(lfsx_transaction_protect(t, "newer", true, 5), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "newer", 0), STATUS_PERMISSION);
    assert_int_equal(lfsx_transaction_protect(t, "beta", false, UINT64_MAX), STATUS_OK);
    assert_int_equal(lfsx_transaction_find(t, "beta", &info), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "beta", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_create(t, "beta", 4096), STATUS_OK);
    assert_int_equal(lfsx_transaction_undelete(t, info.id, NULL), STATUS_EXISTS);
    assert_int_equal(lfsx_transaction_undelete(t, info.id, "old beta"), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "gamma", LFSX_DELETE_NOW), STATUS_OK);
    assert_int_equal(lfsx_transaction_share_create(t, "short"), STATUS_OK);
    assert_int_equal(lfsx_transaction_share_delete(t, "short", 0), STATUS_OK);
}

static void all_or_nothing(void **state) {
    (void)state;
    start(4);
    take("alpha", "one");
    take("alpha", "two");
    struct state before, seen, after;
    state_get(pool, &before);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    do_everything(t);
    state_get(pool, &seen);
    state_assert_equal(&before, &seen);
    lfsx_transaction_abort(t);
    state_get(pool, &seen);
    state_assert_equal(&before, &seen);
    reopen();
    t = begin_at(pool, LFSX_SERIALIZABLE);
    do_everything(t);
    lfsx_transaction_restart(t);
    do_everything(t);
    commit(t);
    state_get(pool, &after);
    static const char *const expected[] = {"clone", "kept",  "new",   "newer",
                                           "beta",  "delta", "files", "old beta"};
    for (unsigned i = 0; i < ARRAY_LENGTH(expected); i++)
        assert_true(exists(pool, expected[i]));
    assert_false(exists(pool, "alpha") || exists(pool, "gamma") || exists(pool, "short"));
    reopen();
    state_get(pool, &seen);
    state_assert_equal(&after, &seen);
    end();
}

/* What is created has content of its own, and a clone that of its snapshot. */
static void what_is_created_can_be_used(void **state) {
    (void)state;
    static unsigned char data[4096], read[4096];
    struct lfsx_volume *volume;
    start(1);
    memset(data, 7, sizeof data);
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 8192, data, sizeof data, 0), STATUS_OK);
    lfsx_volume_close(volume);
    take("alpha", "one");
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_create(t, "empty", 65536), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "clone", &volume), STATUS_NOT_FOUND);
    commit(t);
    assert_int_equal(lfsx_volume_open(pool, "clone", &volume), STATUS_OK);
    assert_int_equal(pooltest_read(volume, 8192, read, sizeof read), STATUS_OK);
    assert_memory_equal(data, read, sizeof data);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_volume_open(pool, "empty", &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, 65536 - 4096, data, sizeof data, LFSX_FUA), STATUS_OK);
    lfsx_volume_close(volume);
    end();
}

static void savepoints(void **state) {
    (void)state;
    uint64_t one, two;
    start(2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_volume_create(t, "a", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_savepoint(t, &one), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_create(t, "b", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_savepoint(t, &two), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "a", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    assert_true(finds(t, "b") && !finds(t, "a") && !finds(t, "alpha"));
    assert_int_equal(lfsx_transaction_rollback_to(t, two), STATUS_OK);
    assert_true(finds(t, "b") && finds(t, "a") && finds(t, "alpha"));
    assert_int_equal(lfsx_transaction_rename(t, "alpha", "c"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rollback_to(t, one), STATUS_OK);
    assert_true(!finds(t, "b") && finds(t, "a") && finds(t, "alpha"));
    assert_int_equal(lfsx_transaction_rollback_to(t, two), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_volume_create(t, "d", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_release(t, one), STATUS_OK);
    assert_int_equal(lfsx_transaction_release(t, one), STATUS_INVALID);
    commit(t);
    assert_true(exists(pool, "a") && exists(pool, "d") && exists(pool, "alpha"));
    assert_false(exists(pool, "b") || exists(pool, "c"));
    end();
}

/* A call that fails after some of its work leaves none of it. */
static void a_call_that_fails_changes_nothing(void **state) {
    (void)state;
    start(2);
    take("alpha", "one");
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_volume_create(t, "new", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_create(t, "alpha", 512), STATUS_EXISTS);
    assert_int_equal(lfsx_transaction_rename(t, "new", "beta"), STATUS_EXISTS);
    assert_int_equal(lfsx_transaction_rename(t, "none", "other"), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_BUSY);
    assert_int_equal(lfsx_transaction_share_delete(t, "alpha", 0), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "two", "x"), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_transaction_rollback(t, "alpha", "one", "beta"), STATUS_EXISTS);
    assert_int_equal(lfsx_transaction_volume_create(t, "a/b", 512), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_volume_create(t, "odd", 513), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_undelete(t, 3, NULL), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_transaction_schedule_set(t, "alpha", &hourly, 99), STATUS_INVALID);
    commit(t);
    assert_true(exists(pool, "alpha") && exists(pool, "beta") && exists(pool, "new"));
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    assert_int_equal(info.volume_count, 3);
    end();
}

/* ---- what must hold at the commit ---- */

/* Who opens a volume before the commit keeps it. */
static void an_open_volume_stays(void **state) {
    (void)state;
    struct lfsx_volume *volume;
    bool done;
    start(2);
    take("beta", "one");
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_volume_create(t, "new", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "beta", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_BUSY);
    assert_false(done);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_volume_open(pool, "beta@one", &volume), STATUS_OK);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_BUSY);
    assert_true(!exists(pool, "new") && exists(pool, "alpha"));
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_OK);
    assert_true(done && exists(pool, "new") && !exists(pool, "alpha") && !exists(pool, "beta"));
    assert_int_equal(lfsx_volume_open(pool, "new", &volume), STATUS_OK);
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_volume_delete(t, "new", 0), STATUS_BUSY);
    lfsx_transaction_abort(t);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    end();
}

/* Clones count when the transaction commits: its own too, made or given up. */
static void clones_hold_their_snapshot(void **state) {
    (void)state;
    start(1);
    take("alpha", "one");
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "alpha", "one"), STATUS_BUSY);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", LFSX_DELETE_SNAPSHOTS),
                     STATUS_BUSY);
    struct lfsx_transaction *other = begin_at(pool, LFSX_READ_COMMITTED);
    assert_int_equal(lfsx_transaction_snapshot_delete(other, "alpha", "one"), STATUS_TIMEOUT);
    lfsx_transaction_abort(other);
    commit(t);
    assert_int_equal(lfsx_snapshot_delete(pool, "alpha", "one"), STATUS_BUSY);
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "second"), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "clone", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "alpha", "one"), STATUS_BUSY);
    assert_int_equal(lfsx_transaction_volume_delete(t, "second", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "third"), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    commit(t);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    struct state seen;
    state_get(pool, &seen);
    assert_int_equal(seen.count, 0);
    end();
}

/* Until even one block finds no place, several times. */
static void fill(struct lfsx_volume *volume) {
    static unsigned char data[1u << 17];
    uint64_t at = 0;
    for (unsigned refused = 0; refused < 20; at += sizeof data) {
        uint32_t length = refused > 0 ? LFSX_BLOCK_SIZE : sizeof data;
        if (pooltest_write(volume, at, data, length, LFSX_FUA) == STATUS_OK)
            continue;
        refused++;
        assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    }
}

/* In a full pool a transaction that only deletes is not refused. */
static void a_full_pool(void **state) {
    (void)state;
    struct lfsx_volume *volume;
    start(2);
    assert_int_equal(lfsx_volume_create(pool, "large", 1ull << 30), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "large", &volume), STATUS_OK);
    fill(volume);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    bool done;
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    uint64_t savepoint;
    assert_int_equal(lfsx_transaction_savepoint(t, &savepoint), STATUS_OK);
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "new %u", i);
        assert_int_equal(lfsx_transaction_volume_create(t, name, 512), STATUS_OK);
    }
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_NO_SPACE);
    assert_true(!done && exists(pool, "alpha"));
    assert_int_equal(lfsx_transaction_rollback_to(t, savepoint), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "beta", 0), STATUS_OK);
    commit(t);
    assert_true(!exists(pool, "alpha") && !exists(pool, "beta"));
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_volume_delete(pool, "large", 0), STATUS_OK);
    assert_int_equal(lfsx_volume_create(pool, "new", 512), STATUS_OK);
    end();
}

/* A transaction that only reads makes nothing durable, and changes nothing. */
static void reading_alone(void **state) {
    (void)state;
    struct lfsx_pool_statistics before, after;
    start(2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    lfsx_pool_statistics(pool, &before);
    assert_true(finds(t, "alpha") && !finds(t, "gamma"));
    commit(t);
    lfsx_pool_statistics(pool, &after);
    assert_int_equal(before.commits, after.commits);
    end();
}

/* ---- a model ---- */

#define NAMES 6u
#define DEPTH 3u

/* Sizes of volumes by their names; 0: there is none. A size is never used twice. */
struct model {
    uint64_t sizes[NAMES];
};

static const char *const names[NAMES] = {"u", "v", "w", "x", "y", "z"};

static enum status change(struct lfsx_transaction *t, struct model *model, struct random *random) {
    static uint64_t next_size = 0;
    uint64_t a = random_below(random, NAMES);
    uint64_t b = random_below(random, NAMES);
    enum status status;
    switch (random_below(random, 3)) {
    case 0:
        next_size += 512;
        status = lfsx_transaction_volume_create(t, names[a], next_size);
        assert_int_equal(status, model->sizes[a] != 0 ? STATUS_EXISTS : STATUS_OK);
        model->sizes[a] = status == STATUS_OK ? next_size : model->sizes[a];
        return status;
    case 1:
        status = lfsx_transaction_volume_delete(t, names[a], 0);
        assert_int_equal(status, model->sizes[a] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        model->sizes[a] = 0;
        return status;
    default:
        status = lfsx_transaction_rename(t, names[a], names[b]);
        assert_int_equal(status, model->sizes[a] == 0   ? STATUS_NOT_FOUND
                                 : model->sizes[b] != 0 ? STATUS_EXISTS
                                                        : STATUS_OK);
        if (status != STATUS_OK)
            return status;
        model->sizes[b] = model->sizes[a];
        model->sizes[a] = 0;
        return status;
    }
}

static void assert_seen(struct lfsx_transaction *t, const struct model *model) {
    for (unsigned i = 0; i < NAMES; i++)
        assert_true(finds(t, names[i]) == (model->sizes[i] != 0));
}

static void assert_committed(const struct model *model) {
    for (unsigned i = 0; i < NAMES; i++) {
        struct lfsx_volume *volume;
        struct lfsx_volume_info info;
        enum status status = lfsx_volume_open(pool, names[i], &volume);
        assert_int_equal(status, model->sizes[i] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        if (status != STATUS_OK)
            continue;
        lfsx_volume_info(volume, &info);
        assert_int_equal(info.size, model->sizes[i]);
        lfsx_volume_close(volume);
    }
}

/* One transaction, with savepoints; *model is what it leaves. */
static void transact(struct model *model, struct random *random) {
    struct model now = *model;
    struct model kept[DEPTH];
    uint64_t savepoints_of[DEPTH];
    unsigned depth = 0;
    struct lfsx_transaction *t = begin_at(pool, (enum lfsx_isolation)random_below(random, 3));
    for (uint64_t i = random_below(random, 12); i > 0; i--) {
        (void)change(t, &now, random);
        if (depth < DEPTH && random_one_in(random, 4)) {
            assert_int_equal(lfsx_transaction_savepoint(t, &savepoints_of[depth]), STATUS_OK);
            kept[depth++] = now;
        } else if (depth > 0 && random_one_in(random, 4)) {
            depth = 1 + (unsigned)random_below(random, depth);
            assert_int_equal(lfsx_transaction_rollback_to(t, savepoints_of[depth - 1]), STATUS_OK);
            now = kept[depth - 1];
        } else if (depth > 0 && random_one_in(random, 4)) {
            depth = (unsigned)random_below(random, depth);
            assert_int_equal(lfsx_transaction_release(t, savepoints_of[depth]), STATUS_OK);
        }
        assert_seen(t, &now);
    }
    assert_committed(model);
    if (random_one_in(random, 3)) {
        lfsx_transaction_abort(t);
        return;
    }
    commit(t);
    *model = now;
}

static void as_a_model(void **state) {
    (void)state;
    struct random random = random_start("transaction");
    struct model model = {0};
    start(0);
    for (uint64_t i = 0; i < random_scale(150); i++) {
        transact(&model, &random);
        assert_committed(&model);
        pooltest_forget(pool, &random);
        if (random_one_in(&random, 20))
            reopen();
    }
    end();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_or_nothing),       cmocka_unit_test(what_is_created_can_be_used),
        cmocka_unit_test(savepoints),           cmocka_unit_test(a_call_that_fails_changes_nothing),
        cmocka_unit_test(an_open_volume_stays), cmocka_unit_test(clones_hold_their_snapshot),
        cmocka_unit_test(a_full_pool),          cmocka_unit_test(reading_alone),
        cmocka_unit_test(as_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
