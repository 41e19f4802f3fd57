/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: transactions over the catalog that run at the same time see of each other what their levels
 * say, wait for each other where they must, and get through deadlocks. Nothing here depends on
 * time: who must not wait is told to give up at once.
 */
#include "base/assert.h"
#include "host/host.h"
#include "storage/mvcc/mvcc.h"
#include "tests/storage/lfsx/transactiontest.h"

#include <stdatomic.h>

#define DISK_BYTES (16ull << 20)
#define VOLUME_SIZE (64ull << 10)

static struct ramdisk *disk;
static struct lfsx_pool *pool;

static void start(uint32_t volumes) {
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, volumes, VOLUME_SIZE);
    pool = pooltest_open(disk);
}

static void end(void) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

static bool count(void *context, const struct lfsx_dataset_info *info) {
    (void)info;
    ++*(unsigned *)context;
    return true;
}

static unsigned count_names(struct lfsx_transaction *t) {
    unsigned names = 0;
    assert_int_equal(lfsx_transaction_list(t, count, &names), STATUS_OK);
    return names;
}

/* ---- what is seen ---- */

static void read_committed(void **state) {
    (void)state;
    start(2);
    struct lfsx_transaction *reader = begin_at(pool, LFSX_READ_COMMITTED);
    struct lfsx_transaction *writer = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(count_names(reader), 2);
    assert_int_equal(lfsx_transaction_volume_create(writer, "new", 512), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(writer, "alpha", 0), STATUS_OK);
    assert_true(!finds(reader, "new") && finds(reader, "alpha"));
    assert_true(finds(writer, "new") && !finds(writer, "alpha"));
    commit(writer);
    assert_true(finds(reader, "new") && !finds(reader, "alpha"));
    lfsx_transaction_abort(reader);
    end();
}

static void a_snapshot_stays(void **state) {
    (void)state;
    static const char *const beta[] = {"beta"};
    start(2);
    struct lfsx_transaction *reader = begin_at(pool, LFSX_SNAPSHOT);
    assert_int_equal(lfsx_volume_create(pool, "new", 512), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "alpha", 0), STATUS_OK);
    assert_int_equal(lfsx_snapshot_create(pool, beta, 1, "late", 0), STATUS_OK);
    assert_int_equal(lfsx_pool_settle(pool), STATUS_OK); /* all of alpha is gone */
    assert_true(!finds(reader, "new") && finds(reader, "alpha"));
    assert_int_equal(count_names(reader), 2);
    assert_int_equal(lfsx_transaction_clone_create(reader, "beta", "late", "x"), STATUS_NOT_FOUND);
    lfsx_transaction_restart(reader);
    assert_true(finds(reader, "new") && !finds(reader, "alpha"));
    assert_int_equal(lfsx_transaction_clone_create(reader, "beta", "late", "x"), STATUS_OK);
    commit(reader);
    assert_true(exists(pool, "x"));
    end();
}

/* A name that was read stays as it was, there or not. */
static void what_a_serializable_one_read_stays(void **state) {
    (void)state;
    start(2);
    struct lfsx_transaction *reader = begin_at(pool, LFSX_SERIALIZABLE);
    struct lfsx_transaction *writer = begin_at(pool, LFSX_READ_COMMITTED);
    assert_true(finds(reader, "alpha") && !finds(reader, "new"));
    assert_int_equal(lfsx_transaction_volume_create(writer, "new", 512), STATUS_TIMEOUT);
    assert_int_equal(lfsx_transaction_rename(writer, "beta", "new"), STATUS_TIMEOUT);
    assert_int_equal(lfsx_transaction_volume_delete(writer, "alpha", 0), STATUS_TIMEOUT);
    assert_int_equal(lfsx_transaction_volume_create(writer, "other", 512), STATUS_OK);
    commit(reader);
    assert_int_equal(lfsx_transaction_rename(writer, "beta", "new"), STATUS_OK);
    commit(writer);
    assert_true(exists(pool, "other") && exists(pool, "new") && !exists(pool, "beta"));
    end();
}

/* A list has no phantoms, either. */
static void a_serializable_list_stays(void **state) {
    (void)state;
    start(2);
    struct lfsx_transaction *reader = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(count_names(reader), 2);
    struct lfsx_transaction *writer = begin_at(pool, LFSX_SNAPSHOT);
    assert_int_equal(lfsx_transaction_volume_create(writer, "new", 512), STATUS_TIMEOUT);
    assert_int_equal(lfsx_transaction_protect(writer, "alpha", true, 0), STATUS_TIMEOUT);
    assert_int_equal(count_names(reader), 2);
    lfsx_transaction_abort(writer);
    lfsx_transaction_abort(reader);
    end();
}

/* ---- conflicts ---- */

static void the_first_to_commit_wins(void **state) {
    (void)state;
    start(2);
    struct lfsx_transaction *loser = begin_at(pool, LFSX_SNAPSHOT);
    assert_true(finds(loser, "alpha"));
    assert_int_equal(lfsx_volume_create(pool, "new", 512), STATUS_OK);
    assert_int_equal(lfsx_volume_protect(pool, "alpha", true, 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_create(loser, "new", 512), STATUS_CONFLICT);
    assert_int_equal(lfsx_transaction_rename(loser, "beta", "new"), STATUS_CONFLICT);
    assert_int_equal(lfsx_transaction_volume_delete(loser, "alpha", 0), STATUS_CONFLICT);
    assert_int_equal(lfsx_transaction_volume_create(loser, "mine", 512), STATUS_OK);
    lfsx_transaction_restart(loser);
    assert_false(finds(loser, "mine"));
    assert_int_equal(lfsx_transaction_volume_create(loser, "new", 512), STATUS_EXISTS);
    assert_int_equal(lfsx_transaction_volume_delete(loser, "alpha", 0), STATUS_PERMISSION);
    commit(loser);
    end();
}

/* What an old view still has, but is gone, cannot be built upon; a dataset does not go with a
 * snapshot that was not seen. */
static void an_old_view_is_no_ground(void **state) {
    (void)state;
    static const char *const both[] = {"alpha", "beta"};
    start(2);
    assert_int_equal(lfsx_snapshot_create(pool, both, 1, "one", 0), STATUS_OK);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SNAPSHOT);
    assert_int_equal(lfsx_snapshot_delete(pool, "alpha", "one"), STATUS_OK);
    assert_int_equal(lfsx_transaction_clone_create(t, "alpha", "one", "x"), STATUS_CONFLICT);
    assert_int_equal(lfsx_snapshot_create(pool, &both[1], 1, "late", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_volume_delete(t, "beta", 0), STATUS_OK);
    bool done;
    assert_int_equal(lfsx_transaction_commit(t, &done), STATUS_CONFLICT);
    assert_false(done);
    lfsx_transaction_restart(t);
    assert_int_equal(lfsx_transaction_volume_delete(t, "beta", 0), STATUS_BUSY);
    lfsx_transaction_abort(t);
    end();
}

/* Two that each take a name because the other's is free: one of them sees the other's. */
static enum status claim(struct lfsx_transaction *t, const char *mine, const char *others) {
    struct lfsx_dataset_info info;
    enum status status = lfsx_transaction_find(t, others, &info);
    if (status != STATUS_NOT_FOUND)
        return status;
    return lfsx_transaction_volume_create(t, mine, 512);
}

static void no_write_skew(void **state) {
    (void)state;
    start(0);
    struct lfsx_transaction *one = begin_at(pool, LFSX_SERIALIZABLE);
    struct lfsx_transaction *two = begin_at(pool, LFSX_SERIALIZABLE);
    assert_false(finds(one, "b") || finds(two, "a"));
    assert_int_equal(claim(one, "a", "b"), STATUS_TIMEOUT);
    assert_int_equal(claim(two, "b", "a"), STATUS_TIMEOUT);
    lfsx_transaction_restart(two);
    assert_int_equal(claim(one, "a", "b"), STATUS_OK);
    commit(one);
    assert_int_equal(claim(two, "b", "a"), STATUS_OK);
    assert_true(finds(two, "a") && !finds(two, "b"));
    commit(two);
    end();
}

/* ---- waiting ---- */

/* A call of one change, made by another thread. */
struct call {
    struct os_thread *thread;
    enum status (*make)(void);
    enum status status;
    atomic_bool returned;
};

static void be_caller(void *argument) {
    struct call *call = argument;
    call->status = call->make();
    call->returned = true;
}

static void start_call(struct call *call, enum status (*make)(void)) {
    struct mvcc_info info;
    *call = (struct call){.make = make};
    assert_int_equal(os_thread_start(&call->thread, "caller", be_caller, call), STATUS_OK);
    do {
        mvcc_info(pool->catalog_records, &info);
        os_sleep_ns(1000000);
    } while (info.waiting == 0 && !call->returned);
    assert_false(call->returned);
}

static enum status end_call(struct call *call) {
    os_thread_join(call->thread);
    return call->status;
}

static enum status create_new(void) {
    return lfsx_volume_create(pool, "new", 512);
}

static enum status take_snapshot(void) {
    static const char *const alpha[] = {"alpha"};
    return lfsx_snapshot_create(pool, alpha, 1, "one", 0);
}

/* A name is locked from the call that makes or takes it to the end. */
static void names_are_locked(void **state) {
    (void)state;
    struct call call;
    start(2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_READ_COMMITTED);
    assert_int_equal(lfsx_transaction_volume_create(t, "new", 512), STATUS_OK);
    start_call(&call, create_new);
    lfsx_transaction_abort(t);
    assert_int_equal(end_call(&call), STATUS_OK);
    t = begin_at(pool, LFSX_READ_COMMITTED);
    assert_int_equal(lfsx_transaction_volume_delete(t, "new", 0), STATUS_OK);
    assert_int_equal(lfsx_transaction_rename(t, "alpha", "new"), STATUS_OK);
    start_call(&call, create_new);
    commit(t);
    assert_int_equal(end_call(&call), STATUS_EXISTS);
    end();
}

/* A snapshot is of what was committed. */
static void a_snapshot_waits(void **state) {
    (void)state;
    struct call call;
    start(2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_volume_delete(t, "alpha", 0), STATUS_OK);
    start_call(&call, take_snapshot);
    lfsx_transaction_abort(t);
    assert_int_equal(end_call(&call), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(pool, "alpha", 0), STATUS_BUSY);
    t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(lfsx_transaction_rename(t, "alpha", "other"), STATUS_OK);
    start_call(&call, take_snapshot);
    commit(t);
    assert_int_equal(end_call(&call), STATUS_NOT_FOUND);
    end();
}

/* Two that take "alpha" and "beta" away in either order; the body counts how often it began. */
struct taker {
    struct os_thread *thread;
    const char *first, *second;
    unsigned attempts;
    atomic_bool has_first;
    struct taker *other;
    enum status status;
};

static enum status take_both(struct lfsx_transaction *t, void *context) {
    struct taker *taker = context;
    taker->attempts++;
    enum status status = lfsx_transaction_volume_create(t, taker->first, 512);
    taker->has_first = true;
    while (taker->attempts == 1 && !taker->other->has_first)
        os_sleep_ns(1000000);
    return status == STATUS_OK ? lfsx_transaction_volume_create(t, taker->second, 512) : status;
}

static void be_taker(void *argument) {
    struct taker *taker = argument;
    taker->status = lfsx_transaction_run(pool, NULL, take_both, taker);
}

/* One is the victim, gives way, and then sees what the other did. */
static void a_deadlock_ends(void **state) {
    (void)state;
    start(0);
    struct taker takers[2] = {{.first = "a", .second = "b"}, {.first = "b", .second = "a"}};
    takers[0].other = &takers[1];
    takers[1].other = &takers[0];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(os_thread_start(&takers[i].thread, "taker", be_taker, &takers[i]),
                         STATUS_OK);
    for (unsigned i = 0; i < 2; i++)
        os_thread_join(takers[i].thread);
    unsigned loser = takers[0].status == STATUS_OK;
    assert_int_equal(takers[1 - loser].status, STATUS_OK);
    assert_int_equal(takers[loser].status, STATUS_EXISTS);
    assert_int_equal(takers[1 - loser].attempts, 1);
    assert_int_equal(takers[loser].attempts, 2);
    struct lfsx_transaction *t = begin_at(pool, LFSX_SERIALIZABLE);
    assert_int_equal(count_names(t), 2);
    lfsx_transaction_abort(t);
    end();
}

/* ---- a crowd ---- */

#define VOLUMES 6u
#define MOVERS 3u
#define MOVES 60u

static atomic_uint movers_left;

struct worker {
    struct random random;
    struct os_thread *thread;
};

static void name_of(uint64_t number, char name[static 16]) {
    snprintf(name, 16, "volume %u", (unsigned)number);
}

struct swap {
    char a[16], b[16], between[24];
};

/* Two volumes exchange their names; a third comes, and goes again. */
static enum status swap(struct lfsx_transaction *t, void *context) {
    const struct swap *wish = context;
    enum status status = lfsx_transaction_rename(t, wish->a, wish->between);
    if (status == STATUS_OK)
        status = lfsx_transaction_rename(t, wish->b, wish->a);
    if (status == STATUS_OK)
        status = lfsx_transaction_volume_create(t, wish->b, 512);
    if (status == STATUS_OK)
        status = lfsx_transaction_volume_delete(t, wish->b, 0);
    if (status == STATUS_OK)
        status = lfsx_transaction_rename(t, wish->between, wish->b);
    return status;
}

static void be_mover(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < MOVES; i++) {
        struct lfsx_transaction_options options = {
            (enum lfsx_isolation)random_below(&worker->random, 3), OS_FOREVER};
        struct swap wish;
        uint64_t a = random_below(&worker->random, VOLUMES);
        uint64_t b = (a + 1 + random_below(&worker->random, VOLUMES - 1)) % VOLUMES;
        name_of(a, wish.a);
        name_of(b, wish.b);
        snprintf(wish.between, sizeof wish.between, "%s again", wish.a);
        enum status status = lfsx_transaction_run(pool, &options, swap, &wish);
        ASSERT(status == STATUS_OK);
    }
    atomic_fetch_sub(&movers_left, 1);
}

struct census {
    unsigned names;
    uint64_t ids; /* their sum */
};

static bool take_census(void *context, const struct lfsx_dataset_info *info) {
    struct census *census = context;
    ASSERT(strstr(info->name, "again") == NULL);
    census->names++;
    census->ids += info->id;
    return true;
}

static void assert_all_there(enum lfsx_isolation isolation) {
    struct lfsx_transaction_options options = {isolation, OS_FOREVER};
    struct lfsx_transaction *t;
    struct census census;
    enum status status = lfsx_transaction_begin(pool, &options, &t);
    ASSERT(status == STATUS_OK);
    do {
        census = (struct census){0};
        status = lfsx_transaction_list(t, take_census, &census);
        if (status != STATUS_OK)
            lfsx_transaction_restart(t);
    } while (status == STATUS_DEADLOCK);
    ASSERT(status == STATUS_OK);
    ASSERT(census.names == VOLUMES);
    ASSERT(census.ids == VOLUMES * DISK_FIRST_DATASET + VOLUMES * (VOLUMES - 1) / 2);
    lfsx_transaction_abort(t);
}

/* Sees all of a swap or nothing, while snapshots are taken, nodes forgotten and checkpoints made.
 */
static void be_watcher(void *argument) {
    struct worker *worker = argument;
    unsigned round = 0;
    while (movers_left > 0) {
        char volume[16], name[32];
        const char *const volumes[] = {volume};
        assert_all_there(LFSX_SNAPSHOT);
        assert_all_there(LFSX_SERIALIZABLE);
        name_of(random_below(&worker->random, VOLUMES), volume);
        snprintf(name, sizeof name, "%u", round++);
        enum status status = lfsx_snapshot_create(pool, volumes, 1, name, 0);
        ASSERT(status == STATUS_OK);
        status = lfsx_snapshot_delete(pool, volume, name); /* maybe it is another's by now */
        ASSERT(status == STATUS_OK || status == STATUS_NOT_FOUND);
        pooltest_forget(pool, &worker->random);
    }
}

static void a_crowd(void **state) {
    (void)state;
    struct random random = random_start("transaction_isolation");
    struct worker workers[MOVERS + 1];
    start(0);
    for (unsigned i = 0; i < VOLUMES; i++) {
        char name[16];
        name_of(i, name);
        assert_int_equal(lfsx_volume_create(pool, name, VOLUME_SIZE), STATUS_OK);
    }
    movers_left = MOVERS;
    for (unsigned i = 0; i <= MOVERS; i++) {
        workers[i].random = (struct random){random_next(&random)};
        assert_int_equal(os_thread_start(&workers[i].thread, "crowd",
                                         i < MOVERS ? be_mover : be_watcher, &workers[i]),
                         STATUS_OK);
    }
    for (unsigned i = 0; i <= MOVERS; i++)
        os_thread_join(workers[i].thread);
    assert_all_there(LFSX_READ_COMMITTED);
    end();
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_committed),
        cmocka_unit_test(a_snapshot_stays),
        cmocka_unit_test(what_a_serializable_one_read_stays),
        cmocka_unit_test(a_serializable_list_stays),
        cmocka_unit_test(the_first_to_commit_wins),
        cmocka_unit_test(an_old_view_is_no_ground),
        cmocka_unit_test(no_write_skew),
        cmocka_unit_test(names_are_locked),
        cmocka_unit_test(a_snapshot_waits),
        cmocka_unit_test(a_deadlock_ends),
        cmocka_unit_test(a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
