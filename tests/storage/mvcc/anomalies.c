/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each isolation level prevents exactly the anomalies that the table in mvcc.h says; the ones
 * that a level allows are shown to happen. Two transactions take turns in one thread; one that
 * would wait gives up (TIMEOUT), which prevents an anomaly as well as waiting does.
 */
#include "tests/storage/mvcc/memstore.h"

static struct memstore store;

/* Whether the anomaly can happen to a transaction of this level. */
typedef bool anomaly(enum mvcc_isolation isolation);

/* Another's uncommitted change, which is undone later, is seen. */
static bool dirty_read(enum mvcc_isolation isolation) {
    struct mvcc_transaction *one = begin(&store, isolation);
    struct mvcc_transaction *other = begin(&store, isolation);
    uint64_t value = 10;
    assert_int_equal(put(other, 1, 666), STATUS_OK);
    enum status status = get(one, 1, &value);
    mvcc_abort(other);
    mvcc_abort(one);
    return status == STATUS_OK && value == 666;
}

/* Two read, both write what they read plus something; one of the two sums is gone. */
static bool lost_update(enum mvcc_isolation isolation) {
    struct mvcc_transaction *one = begin(&store, isolation);
    struct mvcc_transaction *other = begin(&store, isolation);
    uint64_t a = 0;
    uint64_t b = 0;
    assert_int_equal(get(one, 1, &a), STATUS_OK);
    assert_int_equal(get(other, 1, &b), STATUS_OK);
    bool other_done = put(other, 1, b + 5) == STATUS_OK && mvcc_commit(other, NULL) == STATUS_OK;
    bool one_done = put(one, 1, a + 7) == STATUS_OK && mvcc_commit(one, NULL) == STATUS_OK;
    if (!other_done)
        mvcc_abort(other);
    if (!one_done)
        mvcc_abort(one);
    return one_done && other_done && committed(&store, 1) != 22;
}

/* The same record read twice differs. */
static bool non_repeatable_read(enum mvcc_isolation isolation) {
    struct mvcc_transaction *one = begin(&store, isolation);
    uint64_t before = 0;
    uint64_t after = 0;
    assert_int_equal(get(one, 1, &before), STATUS_OK);
    (void)commit_one(&store, 1, 11);
    assert_int_equal(get(one, 1, &after), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    return before != after;
}

/* Two records that always change together are seen one before and one after a change. */
static bool read_skew(enum mvcc_isolation isolation) {
    struct mvcc_transaction *one = begin(&store, isolation);
    struct mvcc_transaction *other = begin(&store, MVCC_READ_COMMITTED);
    uint64_t first = 0;
    uint64_t second = 0;
    assert_int_equal(get(one, 1, &first), STATUS_OK);
    if (put(other, 2, 30) == STATUS_OK && put(other, 1, 0) == STATUS_OK)
        assert_int_equal(mvcc_commit(other, NULL), STATUS_OK);
    else
        mvcc_abort(other);
    assert_int_equal(get(one, 2, &second), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    return first + second != 30;
}

/* A range read twice has a record more. */
static bool phantom(enum mvcc_isolation isolation) {
    struct mvcc_transaction *one = begin(&store, isolation);
    uint64_t before[10];
    uint64_t after[10];
    assert_int_equal(scan(one, 0, 9, before), STATUS_OK);
    (void)commit_one(&store, 5, 50);
    assert_int_equal(scan(one, 0, 9, after), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    return memcmp(before, after, sizeof before) != 0;
}

/* A range read twice has a record less. */
static bool vanishing(enum mvcc_isolation isolation) {
    struct mvcc_transaction *one = begin(&store, isolation);
    uint64_t before[10];
    uint64_t after[10];
    assert_int_equal(scan(one, 0, 9, before), STATUS_OK);
    (void)commit_one(&store, 2, ABSENT);
    assert_int_equal(scan(one, 0, 9, after), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    return memcmp(before, after, sizeof before) != 0;
}

/* Each takes 25 from one account because both together hold 30; now they hold less than zero. */
static bool write_skew(enum mvcc_isolation isolation) {
    struct mvcc_transaction *transactions[] = {begin(&store, isolation), begin(&store, isolation)};
    bool done[] = {false, false};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t a = 0;
        uint64_t b = 0;
        assert_int_equal(get(transactions[i], 1, &a), STATUS_OK);
        assert_int_equal(get(transactions[i], 2, &b), STATUS_OK);
        assert_int_equal(a + b, 30);
    }
    for (unsigned i = 0; i < 2; i++)
        done[i] = put(transactions[i], 1 + i, 1000 + i) == STATUS_OK;
    for (unsigned i = 0; i < 2; i++) {
        if (done[i])
            assert_int_equal(mvcc_commit(transactions[i], NULL), STATUS_OK);
        else
            mvcc_abort(transactions[i]);
    }
    return done[0] && done[1];
}

/* Write skew by a range: each looks that nobody is on duty and goes on duty. */
static bool write_skew_by_phantom(enum mvcc_isolation isolation) {
    struct mvcc_transaction *transactions[] = {begin(&store, isolation), begin(&store, isolation)};
    bool done[] = {false, false};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t values[10];
        assert_int_equal(scan(transactions[i], 20, 29, values), STATUS_OK);
        assert_true(values[3] == ABSENT && values[6] == ABSENT);
    }
    for (unsigned i = 0; i < 2; i++)
        done[i] = put(transactions[i], 23 + 3 * i, 1) == STATUS_OK;
    for (unsigned i = 0; i < 2; i++) {
        if (done[i])
            assert_int_equal(mvcc_commit(transactions[i], NULL), STATUS_OK);
        else
            mvcc_abort(transactions[i]);
    }
    return done[0] && done[1];
}

static const struct {
    const char *name;
    anomaly *happens;
    bool expected[3]; /* read committed, snapshot, serializable */
} table[] = {
    {"dirty read", dirty_read, {false, false, false}},
    {"lost update", lost_update, {true, false, false}},
    {"non-repeatable read", non_repeatable_read, {true, false, false}},
    {"read skew", read_skew, {true, false, false}},
    {"phantom", phantom, {true, false, false}},
    {"phantom that vanishes", vanishing, {true, false, false}},
    {"write skew", write_skew, {true, true, false}},
    {"write skew by phantom", write_skew_by_phantom, {true, true, false}},
};

static void each_level_prevents_what_the_table_says(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (unsigned isolation = 0; isolation < 3; isolation++) {
            memstore_start(&store);
            assert_int_equal(commit_one(&store, 1, 10), STATUS_OK);
            assert_int_equal(commit_one(&store, 2, 20), STATUS_OK);
            bool happened = table[i].happens((enum mvcc_isolation)isolation);
            if (happened != table[i].expected[isolation])
                fail_msg("%s at level %u: %s", table[i].name, isolation,
                         happened ? "happened" : "did not happen");
            memstore_stop(&store);
        }
    }
}

/* First committer wins: of two snapshots that change one record, the second gets CONFLICT, and can
 * still commit what else it did. */
static void snapshots_conflict(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
    assert_int_equal(commit_one(&store, 1, 5), STATUS_OK);
    uint64_t value = 0;
    assert_int_equal(put(one, 1, 6), STATUS_CONFLICT);
    assert_int_equal(get_for_update(one, 1, &value), STATUS_CONFLICT);
    assert_int_equal(get(one, 1, &value), STATUS_OK);
    assert_true(value == ABSENT);
    assert_int_equal(put(one, 2, 7), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_true(committed(&store, 1) == 5 && committed(&store, 2) == 7);
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_int_equal(info.conflicts, 2);
    memstore_stop(&store);
}

/* A snapshot that cannot succeed does not wait to learn it. */
static void a_conflict_does_not_wait(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
    struct mvcc_transaction *holder = begin(&store, MVCC_READ_COMMITTED);
    assert_int_equal(commit_one(&store, 1, 5), STATUS_OK);
    assert_int_equal(put(holder, 1, 6), STATUS_OK);
    assert_int_equal(put(one, 1, 7), STATUS_CONFLICT);
    mvcc_abort(one);
    mvcc_abort(holder);
    memstore_stop(&store);
}

struct waiting {
    struct mvcc_transaction *transaction;
    enum status status;
};

static void put_and_end(void *argument) {
    struct waiting *waiting = argument;
    waiting->status = put(waiting->transaction, 1, 7);
    if (waiting->status != STATUS_OK || mvcc_commit(waiting->transaction, NULL) != STATUS_OK)
        mvcc_abort(waiting->transaction);
}

/* A snapshot that waits for another's change: that is committed, which is a conflict, or undone. */
static void the_outcome_decides(void **state) {
    (void)state;
    for (unsigned commits = 0; commits < 2; commits++) {
        memstore_start(&store);
        struct mvcc_transaction *holder = begin(&store, MVCC_READ_COMMITTED);
        struct waiting waiting = {begin_waiting(&store, MVCC_SNAPSHOT, OS_FOREVER), STATUS_OK};
        struct os_thread *thread;
        assert_int_equal(put(holder, 1, 6), STATUS_OK);
        assert_int_equal(os_thread_start(&thread, "waiting", put_and_end, &waiting), STATUS_OK);
        await_waiting(&store, 1);
        if (commits)
            assert_int_equal(mvcc_commit(holder, NULL), STATUS_OK);
        else
            mvcc_abort(holder);
        os_thread_join(thread);
        assert_int_equal(waiting.status, commits ? STATUS_CONFLICT : STATUS_OK);
        assert_int_equal(committed(&store, 1), commits ? 6 : 7);
        memstore_stop(&store);
    }
}

/* A snapshot that starts over sees what is committed then, neither less nor, later, more. */
static void starting_over_takes_a_new_view(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
    uint64_t value = 0;
    assert_int_equal(commit_one(&store, 1, 5), STATUS_OK);
    assert_int_equal(put(one, 1, 6), STATUS_CONFLICT);
    mvcc_restart(one);
    assert_int_equal(commit_one(&store, 2, 5), STATUS_OK);
    assert_int_equal(get(one, 2, &value), STATUS_OK);
    assert_true(value == ABSENT);
    assert_int_equal(put(one, 2, 6), STATUS_CONFLICT);
    assert_int_equal(put(one, 1, 6), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(committed(&store, 1), 6);
    memstore_stop(&store);
}

/* A change that was undone is no reason for a conflict. */
static void aborted_changes_do_not_conflict(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
    struct mvcc_transaction *other = begin(&store, MVCC_SNAPSHOT);
    assert_int_equal(put(other, 1, 5), STATUS_OK);
    assert_int_equal(put(one, 1, 6), STATUS_TIMEOUT);
    mvcc_abort(other);
    assert_int_equal(put(one, 1, 6), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    memstore_stop(&store);
}

/* read_for_update keeps read-committed transactions from losing updates. */
static void reading_for_update_loses_nothing(void **state) {
    (void)state;
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 10), STATUS_OK);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    struct mvcc_transaction *other = begin(&store, MVCC_READ_COMMITTED);
    uint64_t value = 0;
    assert_int_equal(get_for_update(one, 1, &value), STATUS_OK);
    assert_int_equal(value, 10);
    assert_int_equal(get_for_update(other, 1, &value), STATUS_TIMEOUT);
    assert_int_equal(put(one, 1, 15), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(get_for_update(other, 1, &value), STATUS_OK);
    assert_int_equal(value, 15);
    mvcc_abort(other);
    memstore_stop(&store);
}

/* A serializable transaction is safe from writers of any level, also in what it did not find. */
static void serializable_holds_off_every_level(void **state) {
    (void)state;
    for (unsigned isolation = 0; isolation < 3; isolation++) {
        memstore_start(&store);
        struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
        struct mvcc_transaction *other = begin(&store, (enum mvcc_isolation)isolation);
        uint64_t value = 0;
        uint64_t values[10];
        assert_int_equal(get(one, 1, &value), STATUS_OK);
        assert_int_equal(scan(one, 10, 19, values), STATUS_OK);
        assert_int_equal(put(other, 1, 5), STATUS_TIMEOUT);
        assert_int_equal(put(other, 15, 5), STATUS_TIMEOUT);
        assert_int_equal(put(other, 20, 5), STATUS_OK);
        assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
        assert_int_equal(put(other, 1, 5), STATUS_OK);
        assert_int_equal(mvcc_commit(other, NULL), STATUS_OK);
        memstore_stop(&store);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_level_prevents_what_the_table_says),
        cmocka_unit_test(snapshots_conflict),
        cmocka_unit_test(a_conflict_does_not_wait),
        cmocka_unit_test(the_outcome_decides),
        cmocka_unit_test(starting_over_takes_a_new_view),
        cmocka_unit_test(aborted_changes_do_not_conflict),
        cmocka_unit_test(reading_for_update_loses_nothing),
        cmocka_unit_test(serializable_holds_off_every_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
