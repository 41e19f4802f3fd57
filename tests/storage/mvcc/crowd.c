/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: many threads at once, of all levels, with savepoints, range locks, time limits, deadlocks,
 * a store that refuses commits and memory that fails now and then, keep what they must keep: every
 * file is in exactly one directory, whoever looks. A thread that reads one snapshot all the time
 * never sees it change. In the end nothing is left behind.
 */
#include "host/host.h"
#include "tests/storage/lfsx/random.h"
#include "tests/storage/mvcc/memstore.h"

#include <stdatomic.h>

#define MOVERS 5u
#define MOVES random_scale(400)
#define DIRECTORIES 4u
#define SLOTS 16u /* of a directory; key: directory times this, plus the slot; value: the file */
#define FILES 24u

static struct memstore store;
static atomic_uint movers_left;
static atomic_uint moved, given_up;

struct worker {
    struct random random;
    struct os_thread *thread;
};

static bool may_happen(enum status status) {
    switch (status) {
    case STATUS_OK:
    case STATUS_NO_MEMORY:
    case STATUS_NO_SPACE:
    case STATUS_TIMEOUT:
    case STATUS_DEADLOCK:
    case STATUS_CONFLICT:
        return true;
    default:
        return false;
    }
}

static struct mvcc_transaction *start(enum mvcc_isolation isolation, uint64_t timeout_ns) {
    struct mvcc_options options = {.isolation = isolation, .timeout_ns = timeout_ns};
    struct mvcc_transaction *transaction = NULL;
    enum status status = mvcc_begin(store.mvcc, &options, &transaction);
    while (status == STATUS_NO_MEMORY)
        status = mvcc_begin(store.mvcc, &options, &transaction);
    ASSERT(status == STATUS_OK);
    return transaction;
}

/* The first slot in the range that holds the file; NOT_FOUND. */
static enum status find_file(struct mvcc_transaction *transaction, uint64_t file, uint64_t first,
                             uint64_t last, uint64_t *found) {
    for (uint64_t at = first; at <= last; at++) {
        uint64_t value = 0;
        enum status status = get_next(transaction, &at, last, &value);
        if (status != STATUS_OK)
            return status;
        *found = at;
        if (value == file)
            return STATUS_OK;
    }
    return STATUS_NOT_FOUND;
}

static enum status insert_file(struct mvcc_transaction *transaction, uint64_t file,
                               uint64_t number) {
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    struct mvcc_key key = key_of(number);
    return mvcc_insert(transaction, &key, bytes, value_make(file, bytes));
}

/* Puts the file into the first free slot of a directory. EXISTS: there is none. */
static enum status add_to(struct mvcc_transaction *transaction, uint64_t file, uint64_t directory) {
    struct mvcc_key first = key_of(directory * SLOTS);
    struct mvcc_key last = key_of(directory * SLOTS + SLOTS - 1);
    enum status status = mvcc_lock(transaction, &first, &last, MVCC_LOCK_EXCLUSIVE);
    uint64_t slots[SLOTS];
    if (status == STATUS_OK)
        status = scan(transaction, directory * SLOTS, directory * SLOTS + SLOTS - 1, slots);
    if (status != STATUS_OK)
        return status;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (slots[slot] == ABSENT)
            return insert_file(transaction, file, directory * SLOTS + slot);
    return STATUS_EXISTS;
}

/* Takes the file from wherever it is; AGAIN: it moved while a read-committed one looked. */
static enum status take_away(struct mvcc_transaction *transaction, uint64_t file) {
    uint64_t at = 0;
    uint64_t value = 0;
    enum status status = find_file(transaction, file, 0, (uint64_t)DIRECTORIES * SLOTS - 1, &at);
    if (status == STATUS_OK)
        status = get_for_update(transaction, at, &value);
    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && value != file))
        return STATUS_AGAIN;
    return status == STATUS_OK ? put(transaction, at, ABSENT) : status;
}

/* Moves a file; where the first directory has no room, or at random, thinks again. */
static enum status move(struct mvcc_transaction *transaction, struct random *random) {
    uint64_t file = random_below(random, FILES);
    uint64_t directory = random_below(random, DIRECTORIES);
    uint64_t savepoint = 0;
    enum status status = take_away(transaction, file);
    if (status == STATUS_OK)
        status = mvcc_savepoint(transaction, &savepoint);
    if (status == STATUS_OK)
        status = add_to(transaction, file, directory);
    if (status == STATUS_EXISTS || (status == STATUS_OK && random_one_in(random, 3))) {
        status = mvcc_rollback_to(transaction, savepoint);
        if (status == STATUS_OK)
            status = add_to(transaction, file, (directory + 1) % DIRECTORIES);
    }
    if (status == STATUS_OK && random_one_in(random, 2))
        status = mvcc_release(transaction, savepoint);
    return status;
}

static void move_one(struct random *random) {
    static const uint64_t patience[] = {OS_FOREVER, 0, 1000000};
    struct mvcc_transaction *transaction =
        start((enum mvcc_isolation)random_below(random, 3), patience[random_below(random, 3)]);
    for (unsigned attempts = 1;; attempts++) {
        enum status status = move(transaction, random);
        if (random_one_in(random, 4))
            os_thread_yield();
        if (status == STATUS_OK)
            status = mvcc_commit(transaction, NULL);
        if (status == STATUS_OK) {
            atomic_fetch_add(&moved, 1);
            return;
        }
        ASSERT(may_happen(status) || status == STATUS_AGAIN || status == STATUS_EXISTS);
        if (attempts == 8)
            break;
        mvcc_restart(transaction);
    }
    atomic_fetch_add(&given_up, 1);
    mvcc_abort(transaction);
}

static void be_mover(void *argument) {
    struct worker *worker = argument;
    for (uint64_t i = MOVES; i > 0; i--)
        move_one(&worker->random);
    atomic_fetch_sub(&movers_left, 1);
}

static void assert_all_there(const uint64_t *values) {
    bool seen[FILES] = {false};
    unsigned count = 0;
    for (unsigned i = 0; i < DIRECTORIES * SLOTS; i++) {
        if (values[i] == ABSENT)
            continue;
        ASSERT(values[i] < FILES && !seen[values[i]]);
        seen[values[i]] = true;
        count++;
    }
    ASSERT(count == FILES);
}

static void be_auditor(void *argument) {
    struct worker *worker = argument;
    uint64_t values[DIRECTORIES * SLOTS];
    uint64_t again[DIRECTORIES * SLOTS];
    while (movers_left > 0) {
        bool snapshot = random_one_in(&worker->random, 2);
        struct mvcc_transaction *transaction =
            start(snapshot ? MVCC_SNAPSHOT : MVCC_SERIALIZABLE, OS_FOREVER);
        enum status status = scan(transaction, 0, DIRECTORIES * SLOTS - 1, values);
        for (unsigned i = 0; i < 5 && status == STATUS_OK; i++) {
            assert_all_there(values);
            os_thread_yield();
            status = scan(transaction, 0, DIRECTORIES * SLOTS - 1, again);
            ASSERT(status != STATUS_OK || memcmp(values, again, sizeof values) == 0);
        }
        ASSERT(may_happen(status) && (!snapshot || status == STATUS_OK));
        mvcc_abort(transaction);
    }
}

static void drop_line(void *context, const char *line) {
    (void)context;
    ASSERT(line[0] != '\0');
}

/* Looks at everything, and lets an allocation fail now and then. */
static void be_nuisance(void *argument) {
    struct worker *worker = argument;
    while (movers_left > 0) {
        host_memory_fail(random_below(&worker->random, 200), false);
        mvcc_print(store.mvcc, drop_line, NULL);
        os_sleep_ns(200000);
    }
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
}

static void files_are_in_one_place(void **state) {
    (void)state;
    struct random random = random_start("crowd");
    void (*const roles[])(void *argument) = {be_auditor, be_auditor, be_nuisance};
    struct worker workers[MOVERS + 3];
    memstore_start(&store);
    for (uint64_t i = 0; i < FILES; i++)
        assert_int_equal(commit_one(&store, i * 2, i), STATUS_OK);
    store.refuse_every = 9;
    movers_left = MOVERS;
    for (unsigned i = 0; i < MOVERS + 3; i++)
        workers[i].random = (struct random){random_next(&random)};
    for (unsigned i = 0; i < MOVERS; i++)
        assert_int_equal(os_thread_start(&workers[i].thread, "mover", be_mover, &workers[i]),
                         STATUS_OK);
    for (unsigned i = MOVERS; i < MOVERS + 3; i++) {
        enum status status = STATUS_NO_MEMORY;
        while (status == STATUS_NO_MEMORY)
            status = os_thread_start(&workers[i].thread, "watcher", roles[i - MOVERS], &workers[i]);
        assert_int_equal(status, STATUS_OK);
    }
    for (unsigned i = 0; i < MOVERS + 3; i++)
        os_thread_join(workers[i].thread);
    assert_all_there(store.values);
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    print_message("%u moved, %u given up, %llu restarts, %llu deadlocks, %llu conflicts\n", moved,
                  given_up, (unsigned long long)info.restarts, (unsigned long long)info.deadlocks,
                  (unsigned long long)info.conflicts);
    assert_int_equal(moved + given_up, MOVERS * MOVES);
    assert_true(moved > 0);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_are_in_one_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
