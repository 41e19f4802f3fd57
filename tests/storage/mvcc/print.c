/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what is going on can be read: who waits, for what, who holds it, and what is in memory. */
#include "base/log.h"
#include "storage/mvcc/mvcc.h"
#include "tests/storage/mvcc/memstore.h"

#define LINES 64u

static struct memstore store;

static struct text {
    char lines[LINES][LOG_LINE_SIZE];
    unsigned count;
} text;

static void keep_line(void *context, const char *line) {
    struct text *kept = context;
    ASSERT(kept->count < LINES && strlen(line) < LOG_LINE_SIZE);
    memcpy(kept->lines[kept->count++], line, strlen(line) + 1);
}

static void assert_lines(const char *const *expected, unsigned count) {
    for (unsigned i = 0; i < count && i < text.count; i++)
        assert_string_equal(text.lines[i], expected[i]);
    assert_int_equal(text.count, count);
}
#define ASSERT_LINES(...)                                                                          \
    do {                                                                                           \
        static const char *const expected[] = {__VA_ARGS__};                                       \
        assert_lines(expected, sizeof expected / sizeof expected[0]);                              \
    } while (0)

#define KEY(digits) "0700000000000000" digits

static void an_idle_manager(void **state) {
    (void)state;
    memstore_start(&store);
    text.count = 0;
    mvcc_print(store.mvcc, keep_line, &text);
    ASSERT_LINES("commit 0; 0 transactions (0 waiting), 0 locks, 0 records, 0 versions; so far "
                 "0 commits, 0 aborts, 0 restarts, 0 deadlocks, 0 conflicts");
    memstore_stop(&store);
}

/* A transaction with every kind of lock, changes before and after a savepoint, and a view. */
static void one_transaction(void **state) {
    (void)state;
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 4), STATUS_OK);
    struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
    uint64_t savepoint = 0;
    assert_int_equal(put(one, 1, 7), STATUS_OK);
    assert_int_equal(mvcc_savepoint(one, &savepoint), STATUS_OK);
    assert_int_equal(put(one, 1, ABSENT), STATUS_OK);
    for (unsigned mode = 0; mode < 4; mode++) {
        struct mvcc_key first = key_of(16 + 16 * mode);
        struct mvcc_key last = key_of(16 + 16 * mode + 2);
        assert_int_equal(mvcc_lock(one, &first, &last, (enum mvcc_lock_mode)mode), STATUS_OK);
    }
    struct mvcc_key none = {.length = 0};
    assert_int_equal(mvcc_lock(one, &none, &none, MVCC_LOCK_EXCLUSIVE), STATUS_OK);
    text.count = 0;
    mvcc_transaction_print(one, keep_line, &text);
    ASSERT_LINES("transaction 2: snapshot, running, 0 restarts, 1 records changed, 6 locks",
                 "  view of commit 1", "  lock exclusive from " KEY("01") " to " KEY("01") ": held",
                 "  lock intention shared from " KEY("10") " to " KEY("12") ": held",
                 "  lock intention exclusive from " KEY("20") " to " KEY("22") ": held",
                 "  lock shared from " KEY("30") " to " KEY("32") ": held",
                 "  lock shared and intention exclusive from " KEY("40") " to " KEY("42") ": held",
                 "  lock exclusive from '' to '': held",
                 "  change 1 of " KEY("01") ": written, 15 bytes, shadowed",
                 "  change 3 of " KEY("01") ": deleted, 0 bytes", "  savepoint 2");
    mvcc_abort(one);
    memstore_stop(&store);
}

static void wait_for_it(void *argument) {
    enum status status = put(argument, 1, 9);
    ASSERT(status == STATUS_OK);
    mvcc_abort(argument);
}

/* Holder, waiter and a record with two versions and a change. */
static void all_of_it(void **state) {
    (void)state;
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 4), STATUS_OK);
    struct mvcc_transaction *viewer = begin(&store, MVCC_SNAPSHOT);
    assert_int_equal(commit_one(&store, 1, 5), STATUS_OK);
    struct mvcc_transaction *holder = begin(&store, MVCC_SERIALIZABLE);
    struct mvcc_transaction *waiter = begin_waiting(&store, MVCC_READ_COMMITTED, OS_FOREVER);
    mvcc_restart(waiter);
    assert_int_equal(put(holder, 1, ABSENT), STATUS_OK);
    struct os_thread *thread;
    assert_int_equal(os_thread_start(&thread, "waiter", wait_for_it, waiter), STATUS_OK);
    await_waiting(&store, 1);
    text.count = 0;
    mvcc_print(store.mvcc, keep_line, &text);
    ASSERT_LINES("commit 2; 3 transactions (1 waiting), 2 locks, 1 records, 3 versions; so far "
                 "2 commits, 0 aborts, 1 restarts, 0 deadlocks, 0 conflicts",
                 "transaction 2: snapshot, running, 0 restarts, 0 records changed, 0 locks",
                 "  view of commit 1",
                 "transaction 4: serializable, running, 0 restarts, 1 records changed, 1 locks",
                 "  lock exclusive from " KEY("01") " to " KEY("01") ": held",
                 "  change 1 of " KEY("01") ": deleted, 0 bytes",
                 "transaction 5: read committed, waiting, 1 restarts, 0 records changed, 1 locks",
                 "  lock exclusive from " KEY("01") " to " KEY("01") ": waiting",
                 "record " KEY("01"), "  being changed by transaction 4",
                 "  version of commit 2: present, 13 bytes",
                 "  version of commit 0: present, 12 bytes");
    mvcc_abort(holder);
    os_thread_join(thread);
    mvcc_abort(viewer);
    memstore_stop(&store);
}

/* A victim says what it is, as long as it is there. */
static void a_victim(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *victim = begin_waiting(&store, MVCC_SERIALIZABLE, OS_FOREVER);
    struct mvcc_transaction *waiter = begin_waiting(&store, MVCC_SERIALIZABLE, OS_FOREVER);
    struct os_thread *thread;
    assert_int_equal(put(victim, 1, 5), STATUS_OK);
    assert_int_equal(put(waiter, 2, 6), STATUS_OK);
    assert_int_equal(put(waiter, 3, 6), STATUS_OK);
    assert_int_equal(os_thread_start(&thread, "waiter", wait_for_it, waiter), STATUS_OK);
    await_waiting(&store, 1);
    assert_int_equal(put(victim, 2, 7), STATUS_DEADLOCK);
    os_thread_join(thread);
    text.count = 0;
    mvcc_transaction_print(victim, keep_line, &text);
    ASSERT_LINES("transaction 1: serializable, ended by a deadlock, 0 restarts, 0 records changed, "
                 "0 locks");
    mvcc_abort(victim);
    memstore_stop(&store);
}

static void log_line(enum log_level level, const char *room, const char *line) {
    assert_int_equal(level, LOG_LEVEL_INFO);
    assert_string_equal(room, "mvcc");
    keep_line(&text, line);
}

/* Several records come in the order of their keys; without a receiver it all goes into the log. */
static void into_the_log(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    for (uint64_t i = 3; i > 0; i--)
        assert_int_equal(put(one, i, i), STATUS_OK);
    text.count = 0;
    mvcc_print(store.mvcc, keep_line, &text);
    struct text direct = text;
    log_set_sink(log_line);
    text.count = 0;
    mvcc_print(store.mvcc, NULL, NULL);
    log_set_sink(NULL);
    assert_int_equal(text.count, direct.count);
    assert_memory_equal(text.lines, direct.lines, sizeof text.lines);
    assert_string_equal(text.lines[8], "record " KEY("01"));
    assert_string_equal(text.lines[10], "  version of commit 0: deleted, 0 bytes");
    assert_string_equal(text.lines[11], "record " KEY("02"));
    assert_string_equal(text.lines[14], "record " KEY("03"));
    assert_int_equal(text.count, 17);
    mvcc_abort(one);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_manager), cmocka_unit_test(one_transaction),
        cmocka_unit_test(all_of_it),       cmocka_unit_test(a_victim),
        cmocka_unit_test(into_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
