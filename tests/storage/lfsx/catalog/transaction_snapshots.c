/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a transaction takes snapshots and resizes volumes together with whatever else it does: all
 * in one instant, with what was written up to it, or not at all.
 */
#include "host/host.h"
#include "tests/storage/lfsx/transactiontest.h"

#define DISK_BYTES (24ull << 20)
#define SIZE (1ull << 20)
#define BLOCK LFSX_BLOCK_SIZE

static struct ramdisk *disk;
static struct lfsx_pool *pool;

static void open_pool(void) {
    pool = pooltest_open(disk);
    keeper_stop(pool);
}

static void start(uint32_t volumes) {
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, volumes, SIZE);
    open_pool();
}

static void reopen(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    open_pool();
}

static void end(void) {
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

static void fill(const char *name, uint64_t offset, unsigned char byte) {
    struct lfsx_volume *volume;
    unsigned char data[3 * BLOCK];
    memset(data, byte, sizeof data);
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_write(volume, offset, data, sizeof data, 0), STATUS_OK);
    lfsx_volume_close(volume);
}

static void assert_reads(const char *name, uint64_t offset, unsigned char byte) {
    struct lfsx_volume *volume;
    unsigned char data[3 * BLOCK];
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    assert_int_equal(pooltest_read(volume, offset, data, sizeof data), STATUS_OK);
    for (size_t i = 0; i < sizeof data; i++)
        assert_int_equal(data[i], byte);
    lfsx_volume_close(volume);
}

static enum status opens(const char *name) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(pool, name, &volume);
    if (status == STATUS_OK)
        lfsx_volume_close(volume);
    return status;
}

static uint64_t size_of(const char *name) {
    struct lfsx_volume *volume;
    struct lfsx_volume_info info;
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    lfsx_volume_info(volume, &info);
    lfsx_volume_close(volume);
    return info.size;
}

static bool note_epoch(void *context, const struct lfsx_snapshot_info *info) {
    *(uint64_t *)context = info->epoch;
    return true;
}

static uint64_t newest_epoch(const char *volume) {
    uint64_t epoch = 0;
    assert_int_equal(lfsx_snapshot_list(pool, volume, note_epoch, &epoch), STATUS_OK);
    return epoch;
}

static enum status take_in(struct lfsx_transaction *t, const char *volume, const char *name) {
    return lfsx_transaction_snapshot_create(t, &volume, 1, name, 0);
}

/* What was written after the call and before the commit is in it, and in the clone. */
static void a_snapshot_and_its_clone(void **state) {
    (void)state;
    start(2);
    fill("alpha", 0, 1);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(take_in(t, "clone", "two"), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "third"), STATUS_OK);
    assert_int_equal(take_in(t, "beta", "two"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "alpha", "first"), STATUS_OK);
    assert_int_equal(lfsx_transaction_set_reservation(t, "third", 64 * BLOCK), STATUS_OK);
    fill("alpha", 0, 2);
    assert_int_equal(opens("alpha@one"), STATUS_NOT_FOUND);
    commit(t);
    static const char *const names[] = {"first@one", "clone", "third", "first"};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
            assert_reads(names[i], 0, 2);
        assert_int_equal(newest_epoch("first"), newest_epoch("beta"));
        reopen();
    }
    fill("first", 0, 3);
    fill("third", 0, 4);
    assert_reads("clone", 0, 2);
    assert_int_equal(lfsx_snapshot_create(pool, (const char *const[]){"clone"}, 1, "two", 0),
                     STATUS_OK);
    assert_reads("clone@two", 0, 2);
    assert_int_equal(lfsx_volume_delete(pool, "first", LFSX_DELETE_SNAPSHOTS), STATUS_BUSY);
    assert_int_equal(lfsx_volume_delete(pool, "third", 0), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "clone", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    assert_int_equal(lfsx_snapshot_delete(pool, "first", "one"), STATUS_OK);
    end();
}

/* Of volumes that the transaction makes, too; and back to a snapshot that it takes. */
static void of_what_is_new(void **state) {
    (void)state;
    start(2);
    fill("beta", 0, 5);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_volume_create(t, "new", SIZE), STATUS_OK);
    assert_int_equal(take_in(t, "new", "empty"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "new", "empty", "newer"), STATUS_OK);
    assert_int_equal(lfsx_transaction_share_create(t, "files"), STATUS_OK);
    assert_int_equal(take_in(t, "files", "empty"), STATUS_OK);
    assert_int_equal(take_in(t, "beta", "now"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rollback(t, "beta", "now", "before"), STATUS_OK);
    commit(t);
    reopen();
    assert_reads("new@empty", 0, 0);
    assert_reads("newer", 0, 0);
    assert_reads("beta", 0, 5);
    assert_reads("before@now", 0, 5);
    fill("new", 0, 1);
    fill("newer", 0, 2);
    assert_reads("new@empty", 0, 0);
    end();
}

/* Calls of one transaction share the instant. A name that it gives up can be used again. */
static void several_calls(void **state) {
    (void)state;
    static const char *const both[] = {"alpha", "beta"};
    start(3);
    fill("alpha", 0, 1);
    assert_int_equal(lfsx_snapshot_create(pool, both, 2, "daily", 0), STATUS_OK);
    fill("alpha", 0, 2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "alpha", "daily"), STATUS_EXISTS);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "alpha", "daily"), STATUS_OK);
    assert_int_equal(take_in(t, "alpha", "daily"), STATUS_OK);
    assert_int_equal(lfsx_transaction_snapshot_create(t, both + 1, 1, "other", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_schedule_set(t, "gamma", NULL, 0), STATUS_OK);
    commit(t);
    assert_reads("alpha@daily", 0, 2);
    assert_int_equal(newest_epoch("alpha"), newest_epoch("beta"));
    assert_int_equal(opens("beta@daily"), STATUS_OK);
    /* Taken, given up and taken again: the last one counts. */
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "gamma", "a"), STATUS_OK);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "gamma", "a"), STATUS_OK);
    assert_int_equal(take_in(t, "gamma", "b"), STATUS_OK);
    commit(t);
    assert_int_equal(opens("gamma@a"), STATUS_NOT_FOUND);
    assert_int_equal(opens("gamma@b"), STATUS_OK);
    end();
}

/* Nothing comes of what is undone, and an epoch is not wasted. */
static void undone(void **state) {
    (void)state;
    uint64_t savepoint;
    struct lfsx_pool_info before, after;
    start(2);
    lfsx_pool_info(pool, &before);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    lfsx_transaction_abort(t);
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_savepoint(t, &savepoint), STATUS_OK);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "beta", 2 * SIZE, 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_rollback_to(t, savepoint), STATUS_OK);
    assert_int_equal(take_in(t, "beta", "two"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rollback_to(t, savepoint), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "beta", 0), STATUS_OK);
    commit(t);
    lfsx_pool_info(pool, &after);
    assert_int_equal(before.epoch, after.epoch);
    assert_int_equal(opens("alpha@one"), STATUS_NOT_FOUND);
    /* Taken of what goes in the same transaction: there is none. */
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", LFSX_DELETE_SNAPSHOTS), STATUS_OK);
    commit(t);
    assert_int_equal(opens("alpha"), STATUS_NOT_FOUND);
    end();
}

static void what_cannot_be(void **state) {
    (void)state;
    static const char *const twice[] = {"alpha", "alpha"};
    start(2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_snapshot_create(t, twice, 2, "one", 0), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_snapshot_create(t, twice, 0, "one", 0), STATUS_INVALID);
    assert_int_equal(take_in(t, "alpha", "a/b"), STATUS_INVALID);
    assert_int_equal(take_in(t, "nobody", "one"), STATUS_NOT_FOUND);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(take_in(t, "alpha", "two"), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_resize(t, "alpha", 2 * SIZE, 0), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "clone", 2 * SIZE, 0), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_snapshot_delete(t, "alpha", "one"), STATUS_BUSY);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", LFSX_DELETE_SNAPSHOTS),
                     STATUS_BUSY);
    assert_int_equal(lfsx_transaction_resize(t, "beta", 2 * SIZE, 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "beta", 3 * SIZE, 0), STATUS_INVALID);
    assert_int_equal(take_in(t, "beta", "one"), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_resize(t, "nobody", SIZE, 0), STATUS_NOT_FOUND);
    commit(t);
    assert_int_equal(opens("clone"), STATUS_OK);
    assert_int_equal(size_of("beta"), 2 * SIZE);
    end();
}

/* A size with other changes: seen at once, and by nobody before. */
static void sizes(void **state) {
    (void)state;
    start(4);
    fill("beta", SIZE - 3 * BLOCK, 7);
    assert_int_equal(lfsx_snapshot_create(pool, (const char *const[]){"beta"}, 1, "one", 0),
                     STATUS_OK);
    struct lfsx_volume *open;
    assert_int_equal(lfsx_volume_open(pool, "alpha", &open), STATUS_OK);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_resize(t, "alpha", 2 * SIZE, 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "beta", SIZE / 2, 0), STATUS_INVALID);
    assert_int_equal(lfsx_transaction_resize(t, "beta", SIZE / 2, LFSX_RESIZE_SHRINK), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "beta", "small"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "small", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "clone", 3 * SIZE, 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_create(t, "new", SIZE), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "new", 4 * SIZE, 0), STATUS_OK);
    assert_int_equal(take_in(t, "gamma", "with"), STATUS_OK);
    assert_int_equal(size_of("alpha"), SIZE);
    commit(t);
    lfsx_volume_close(open);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(size_of("alpha"), 2 * SIZE);
        assert_int_equal(size_of("small"), SIZE / 2);
        assert_int_equal(size_of("small@one"), SIZE);
        assert_int_equal(size_of("clone"), 3 * SIZE);
        assert_int_equal(size_of("new"), 4 * SIZE);
        assert_reads("small@one", SIZE - 3 * BLOCK, 7);
        assert_reads("clone", SIZE - 3 * BLOCK, 7);
        reopen();
    }
    fill("alpha", 2 * SIZE - 3 * BLOCK, 1);
    fill("clone", 3 * SIZE - 3 * BLOCK, 2);
    assert_int_equal(lfsx_volume_resize(pool, "small", SIZE, 0), STATUS_OK);
    assert_reads("small", SIZE - 3 * BLOCK, 0); /* it was given up */
    end();
}

/* Who opens a volume meanwhile keeps it as large as it is; who gives it up need not care. */
static void sizes_and_handles(void **state) {
    (void)state;
    bool done;
    struct lfsx_volume *volume;
    start(2);
    fill("alpha", SIZE / 2, 9);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_resize(t, "alpha", SIZE / 2, LFSX_RESIZE_SHRINK), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "beta", "other"), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_BUSY);
    assert_true(!done && exists(pool, "beta"));
    assert_reads("alpha", SIZE / 2, 9);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_OK);
    assert_true(done && exists(pool, "other"));
    assert_int_equal(size_of("alpha"), SIZE / 2);

    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_resize(t, "alpha", BLOCK, LFSX_RESIZE_SHRINK), STATUS_BUSY);
    assert_int_equal(lfsx_transaction_resize(t, "alpha", SIZE, 0), STATUS_OK);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    commit(t);
    assert_int_equal(opens("alpha"), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_protect(pool, "other", false, UINT64_MAX), STATUS_OK);
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_resize(t, "other", 2 * SIZE, 0), STATUS_OK);
    struct lfsx_dataset_info info;
    assert_int_equal(lfsx_transaction_find(t, "other", &info), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "other", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_undelete(t, info.id, "back"), STATUS_OK);
    commit(t);
    assert_int_equal(size_of("back"), 2 * SIZE);
    end();
}

/* On a full pool nothing of it happens, and everything when there is space. */
static void a_full_pool(void **state) {
    (void)state;
    bool done;
    start(2);
    struct lfsx_volume *volume;
    unsigned char *data = calloc(1, SIZE);
    assert_int_equal(lfsx_volume_create(pool, "filler", 64 * SIZE), STATUS_OK);
    assert_int_equal(lfsx_volume_open(pool, "filler", &volume), STATUS_OK);
    for (uint64_t at = 0; pooltest_write(volume, at, data, SIZE, 0) == STATUS_OK;)
        at += SIZE;
    for (uint64_t at = 32 * SIZE; pooltest_write(volume, at, data, BLOCK, 0) == STATUS_OK;)
        at += BLOCK;
    free(data);
    char name[32];
    enum status status = STATUS_OK;
    for (unsigned i = 0; status == STATUS_OK; i++) {
        snprintf(name, sizeof name, "small%u", i);
        status = lfsx_volume_create(pool, name, BLOCK);
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "beta", "other"), STATUS_OK);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_NO_SPACE);
    assert_true(!done && exists(pool, "beta"));
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_volume_delete(pool, "filler", 0), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_OK);
    assert_int_equal(opens("alpha@one"), STATUS_OK);
    assert_true(exists(pool, "other"));
    end();
}

/* A pool that is found to contradict itself in the very instant: nothing of it lasts, and nothing
 * breaks. */
static void a_contradiction(void **state) {
    (void)state;
    bool done;
    start(2);
    fill("alpha", 0, 1);
    assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    os_rwlock_lock_exclusive(&pool->lock);
    assert_int_equal(alloc_reserve_releases(&pool->allocator, 1), STATUS_OK);
    assert_true(alloc_release(&pool->allocator, pool->catalog.root.block, 1));
    os_rwlock_unlock_exclusive(&pool->lock);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(take_in(t, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "clone"), STATUS_OK);
    assert_int_equal(lfsx_transaction_resize(t, "beta", 2 * SIZE, 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_IO);
    assert_true(done);
    assert_reads("alpha@one", 0, 1);
    assert_int_equal(size_of("beta"), SIZE); /* its new end stays closed */
    assert_int_equal(lfsx_volume_create(pool, "new", SIZE), STATUS_READ_ONLY);
    assert_int_equal(lfsx_pool_close(pool), STATUS_IO);
    pooltest_assert_clean(disk);
    open_pool();
    assert_int_equal(opens("alpha@one"), STATUS_NOT_FOUND);
    assert_int_equal(opens("clone"), STATUS_NOT_FOUND);
    assert_reads("alpha", 0, 1);
    end();
}

/* ---- with many at once ---- */

struct writer {
    const char *name;
    struct os_thread *thread;
    struct random random;
    bool stop; /* atomic */
};

/* Each write puts the same number into two places: a snapshot has both or none. */
static void write_pairs(void *argument) {
    struct writer *writer = argument;
    struct lfsx_volume *volume;
    static const uint32_t length = 40 * BLOCK;
    unsigned char *data = calloc(1, length);
    assert_int_equal(lfsx_volume_open(pool, writer->name, &volume), STATUS_OK);
    for (uint64_t number = 1; !__atomic_load_n(&writer->stop, __ATOMIC_RELAXED); number++) {
        memcpy(data, &number, sizeof number);
        memcpy(data + length - BLOCK, &number, sizeof number);
        uint32_t flags = random_one_in(&writer->random, 8) ? LFSX_FUA : 0;
        assert_int_equal(pooltest_write(volume, 0, data, length, flags), STATUS_OK);
    }
    lfsx_volume_close(volume);
    free(data);
}

static uint64_t read_pair(const char *name) {
    struct lfsx_volume *volume;
    unsigned char block[BLOCK];
    uint64_t numbers[2];
    assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pooltest_read(volume, i * 39 * BLOCK, block, sizeof block), STATUS_OK);
        memcpy(&numbers[i], block, sizeof numbers[i]);
    }
    lfsx_volume_close(volume);
    assert_int_equal(numbers[0], numbers[1]);
    return numbers[0];
}

struct round {
    uint64_t size;
};

static enum status picture(struct lfsx_transaction *t, void *context) {
    static const char *const both[] = {"alpha", "beta"};
    const struct round *round = context;
    enum status status = lfsx_transaction_snapshot_create(t, both, 2, "now", 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_clone_create(t, "alpha", "now", "clone");
    if (status == STATUS_OK)
        status = lfsx_transaction_resize(t, "gamma", round->size, LFSX_RESIZE_SHRINK);
    return status;
}

static enum status clear_away(struct lfsx_transaction *t, void *context) {
    (void)context;
    enum status status = lfsx_transaction_volume_delete(t, "clone", 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_snapshot_delete(t, "alpha", "now");
    if (status == STATUS_OK)
        status = lfsx_transaction_snapshot_delete(t, "beta", "now");
    return status;
}

static void among_writers(void **state) {
    (void)state;
    struct random random = random_start("transaction_snapshots");
    struct writer writers[] = {{.name = "alpha"}, {.name = "beta"}};
    start(3);
    for (unsigned i = 0; i < 2; i++) {
        writers[i].random = (struct random){random_next(&random)};
        assert_int_equal(os_thread_start(&writers[i].thread, "writer", write_pairs, &writers[i]),
                         STATUS_OK);
    }
    for (uint64_t rounds = random_scale(40); rounds > 0; rounds--) {
        struct round round = {.size = BLOCK * (3 + random_below(&random, 300))};
        assert_int_equal(lfsx_transaction_run(pool, NULL, picture, &round), STATUS_OK);
        assert_int_equal(read_pair("clone"), read_pair("alpha@now"));
        (void)read_pair("beta@now");
        assert_int_equal(newest_epoch("alpha"), newest_epoch("beta"));
        assert_int_equal(size_of("gamma"), round.size);
        fill("gamma", 0, (unsigned char)rounds);
        assert_int_equal(lfsx_transaction_run(pool, NULL, clear_away, NULL), STATUS_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        __atomic_store_n(&writers[i].stop, true, __ATOMIC_RELAXED);
        os_thread_join(writers[i].thread);
    }
    end();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_and_its_clone),
        cmocka_unit_test(of_what_is_new),
        cmocka_unit_test(several_calls),
        cmocka_unit_test(undone),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(sizes),
        cmocka_unit_test(sizes_and_handles),
        cmocka_unit_test(a_full_pool),
        cmocka_unit_test(a_contradiction),
        cmocka_unit_test(among_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
