/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a serializable scan locks what it has seen, present or not, from the start of the range up
 * to what it found, and nothing behind; and every level finds in a range what it sees there, from
 * memory and from the store, whatever happens meanwhile.
 */
#include "tests/storage/lfsx/random.h"
#include "tests/storage/mvcc/memstore.h"

static struct memstore store;

static uint64_t lock_count(void) {
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    return info.locks;
}

/* Records 10, 20 and 30 are there. */
static void start(void) {
    memstore_start(&store);
    for (uint64_t i = 10; i <= 30; i += 10)
        assert_int_equal(commit_one(&store, i, i), STATUS_OK);
}

/* What another transaction may still make, change and delete after the first record in [5, 40] was
 * looked for: all but what comes up to 10, and that itself. */
static void locks_reach_to_what_was_found(void **state) {
    (void)state;
    start();
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    uint64_t number = 5;
    uint64_t value = 0;
    assert_int_equal(get_next(one, &number, 40, &value), STATUS_OK);
    assert_true(number == 10 && value == 10);
    for (uint64_t i = 0; i < 45; i++)
        assert_int_equal(commit_one(&store, i, 1), i < 5 || i > 10 ? STATUS_OK : STATUS_TIMEOUT);
    assert_int_equal(commit_one(&store, 10, ABSENT), STATUS_TIMEOUT);
    mvcc_abort(one);
    memstore_stop(&store);
}

/* Nothing found: nobody may put something anywhere in the range, at its ends neither. */
static void emptiness_is_locked(void **state) {
    (void)state;
    start();
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    uint64_t number = 12;
    uint64_t value = 0;
    assert_int_equal(get_next(one, &number, 18, &value), STATUS_NOT_FOUND);
    for (uint64_t i = 9; i < 22; i++)
        assert_int_equal(commit_one(&store, i, 1), i < 12 || i > 18 ? STATUS_OK : STATUS_TIMEOUT);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(commit_one(&store, 15, 1), STATUS_OK);
    memstore_stop(&store);
}

/* Readers share ranges; one who wants to write into a range that two have read waits for both. */
static void ranges_are_shared(void **state) {
    (void)state;
    start();
    uint64_t values[41];
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    struct mvcc_transaction *other = begin(&store, MVCC_SERIALIZABLE);
    assert_int_equal(scan(one, 0, 40, values), STATUS_OK);
    assert_int_equal(scan(other, 15, 35, values), STATUS_OK);
    assert_int_equal(put(one, 25, 1), STATUS_TIMEOUT);
    assert_int_equal(put(one, 5, 1), STATUS_OK);
    assert_int_equal(put(other, 25, 1), STATUS_TIMEOUT);
    mvcc_abort(other);
    assert_int_equal(put(one, 25, 1), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    memstore_stop(&store);
}

/* The range of a name's slots is locked before one is chosen: two who make the same name meet. */
static void a_range_locked_for_a_change(void **state) {
    (void)state;
    start();
    struct mvcc_key first = key_of(40);
    struct mvcc_key last = key_of(47);
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    struct mvcc_transaction *other = begin(&store, MVCC_SERIALIZABLE);
    assert_int_equal(mvcc_lock(one, &first, &last, MVCC_LOCK_EXCLUSIVE), STATUS_OK);
    assert_int_equal(mvcc_lock(other, &first, &last, MVCC_LOCK_EXCLUSIVE), STATUS_TIMEOUT);
    uint64_t values[8];
    assert_int_equal(scan(one, 40, 47, values), STATUS_OK);
    assert_int_equal(put(one, 40, 1), STATUS_OK);
    assert_int_equal(lock_count(), 1); /* it covers what came after */
    assert_int_equal(put(other, 48, 1), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(mvcc_lock(other, &first, &last, MVCC_LOCK_EXCLUSIVE), STATUS_OK);
    assert_int_equal(scan(other, 40, 47, values), STATUS_OK);
    assert_true(values[0] == 1 && values[1] == ABSENT);
    mvcc_abort(other);
    memstore_stop(&store);
}

/* ---- something is committed while the store is asked ---- */

static void (*interrupt)(void);

static void interrupt_once(void *context) {
    (void)context;
    if (interrupt == NULL)
        return;
    void (*now)(void) = interrupt;
    interrupt = NULL;
    now();
}

static void make_12(void) {
    assert_int_equal(commit_one(&store, 12, 12), STATUS_OK);
}

static void delete_20(void) {
    assert_int_equal(commit_one(&store, 20, ABSENT), STATUS_OK);
}

static void delete_20_and_30(void) {
    assert_int_equal(commit_one(&store, 20, ABSENT), STATUS_OK);
    assert_int_equal(commit_one(&store, 30, ABSENT), STATUS_OK);
}

static void change_20(void) {
    assert_int_equal(commit_one(&store, 20, 99), STATUS_OK);
}

/* From 11 on, where 20 is the first: a snapshot and a read-committed call see what was there when
 * they began, a serializable one, which did not have the lock yet, what is there now. */
static void what_comes_between_is_told_apart(void **state) {
    (void)state;
    static const struct {
        void (*between)(void);
        uint64_t number, value; /* as a serializable transaction finds it; 0: nothing */
    } cases[] = {
        {make_12, 12, 12}, {delete_20, 30, 30}, {delete_20_and_30, 0, 0}, {change_20, 20, 99}};
    for (unsigned i = 0; i < 3 * sizeof cases / sizeof cases[0]; i++) {
        enum mvcc_isolation isolation = (enum mvcc_isolation)(i % 3);
        start();
        struct mvcc_transaction *one = begin(&store, isolation);
        store.before_read = interrupt_once;
        interrupt = cases[i / 3].between;
        uint64_t number = 11;
        uint64_t value = 0;
        enum status status = get_next(one, &number, 35, &value);
        assert_null(interrupt);
        bool locks = isolation == MVCC_SERIALIZABLE;
        uint64_t expected = locks ? cases[i / 3].number : 20;
        assert_int_equal(status, expected == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        if (expected != 0)
            assert_true(number == expected && value == (locks ? cases[i / 3].value : 20));
        /* What it saw stays so. */
        if (locks)
            assert_int_equal(commit_one(&store, 15, 1), STATUS_TIMEOUT);
        mvcc_abort(one);
        memstore_stop(&store);
    }
}

/* The same for one record. */
static void a_record_that_changes_meanwhile(void **state) {
    (void)state;
    for (unsigned isolation = 0; isolation < 2; isolation++) {
        start();
        struct mvcc_transaction *one = begin(&store, (enum mvcc_isolation)isolation);
        store.before_read = interrupt_once;
        interrupt = change_20;
        uint64_t value = 0;
        assert_int_equal(get(one, 20, &value), STATUS_OK);
        assert_int_equal(value, 20); /* when the call began */
        interrupt = make_12;
        assert_int_equal(get(one, 12, &value), STATUS_OK);
        assert_true(value == ABSENT);
        mvcc_abort(one);
        memstore_stop(&store);
    }
}

/* Own changes are found among others', also where the store has nothing, and deleted ones not. */
static void scans_see_own_changes(void **state) {
    (void)state;
    for (unsigned isolation = 0; isolation < 3; isolation++) {
        start();
        uint64_t values[64];
        struct mvcc_transaction *one = begin(&store, (enum mvcc_isolation)isolation);
        assert_int_equal(put(one, 5, 1), STATUS_OK);
        assert_int_equal(put(one, 10, ABSENT), STATUS_OK);
        assert_int_equal(put(one, 20, 2), STATUS_OK);
        assert_int_equal(put(one, 63, 3), STATUS_OK);
        assert_int_equal(scan(one, 0, 63, values), STATUS_OK);
        for (uint64_t i = 0; i < 64; i++) {
            uint64_t expected = i == 5 ? 1 : i == 20 ? 2 : i == 30 ? 30 : i == 63 ? 3 : ABSENT;
            assert_true(values[i] == expected);
        }
        assert_int_equal(put(one, 63, ABSENT), STATUS_OK); /* the range's last key */
        assert_int_equal(scan(one, 31, 63, values), STATUS_OK);
        assert_true(values[32] == ABSENT);
        mvcc_abort(one);
        memstore_stop(&store);
    }
}

/* The usual loop over a range: each record of it, the first and the last included, and it ends. */
static void the_usual_loop(void **state) {
    (void)state;
    start();
    struct mvcc_key at = key_of(10);
    struct mvcc_key last = key_of(30);
    size_t length = 0;
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    uint64_t count = 0;
    enum status status = mvcc_next(one, &at, &last, &at, NULL, 0, &length);
    while (status == STATUS_OK && mvcc_key_advance(&at)) {
        count++;
        status = mvcc_next(one, &at, &last, &at, NULL, 0, &length);
    }
    assert_int_equal(status, STATUS_NOT_FOUND);
    assert_int_equal(count, 3);
    assert_int_equal(lock_count(), 1); /* its locks became one */
    mvcc_abort(one);
    memstore_stop(&store);
}

/* The greatest key there is has no successor: a scan that reaches it, deleted, ends. */
static void the_last_key_ends_a_scan(void **state) {
    (void)state;
    start();
    struct mvcc_key last = {.length = MVCC_KEY_SIZE};
    struct mvcc_key first = key_of(31);
    struct mvcc_key found;
    size_t length = 0;
    memset(last.bytes, 0xff, sizeof last.bytes);
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    assert_int_equal(mvcc_write(one, &last, "12345678", 8), STATUS_OK);
    assert_int_equal(mvcc_next(one, &first, &last, &found, NULL, 0, &length), STATUS_OK);
    assert_int_equal(mvcc_key_compare(&found, &last), 0);
    assert_int_equal(mvcc_delete(one, &last), STATUS_OK);
    assert_int_equal(mvcc_next(one, &first, &last, &found, NULL, 0, &length), STATUS_NOT_FOUND);
    mvcc_abort(one);
    memstore_stop(&store);
}

/* Copies as much as there is room for, and says how long the value is. */
static void values_are_cut_to_the_room(void **state) {
    (void)state;
    start();
    struct mvcc_key key = key_of(30);
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    size_t length = 0;
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(mvcc_read(one, &key, bytes, 3, &length), STATUS_OK);
    assert_int_equal(length, value_length(30));
    assert_true(bytes[0] == 30 && bytes[3] == 0);
    assert_int_equal(mvcc_read_for_update(one, &key, NULL, 0, &length), STATUS_OK);
    assert_int_equal(length, value_length(30));
    mvcc_abort(one);
    memstore_stop(&store);
}

/* Locks of many ranges by many transactions against a plain table of who holds what. Every second
 * point is the next one possible after that before it, so that ranges adjoin and become one. */
#define HOLDERS 6u
#define POINTS 40u

static struct mvcc_key point(uint64_t number) {
    struct mvcc_key key = key_of(number / 2);
    if (number % 2 == 1)
        assert_true(mvcc_key_advance(&key));
    return key;
}

static void locks_match_a_table(void **state) {
    (void)state;
    struct random random = random_start("ranges");
    struct mvcc_transaction *holders[HOLDERS];
    unsigned char table[HOLDERS][POINTS] = {{0}}; /* 0 nothing, 1 shared, 2 exclusive */
    uint64_t ends[HOLDERS] = {0};                 /* where the newest range ended */
    start();
    for (unsigned i = 0; i < HOLDERS; i++)
        holders[i] = begin(&store, MVCC_READ_COMMITTED);
    for (unsigned i = 0; i < 4000; i++) {
        unsigned who = (unsigned)random_below(&random, HOLDERS);
        if (random_one_in(&random, 12)) {
            mvcc_restart(holders[who]);
            memset(table[who], 0, POINTS);
            continue;
        }
        uint64_t first = random_below(&random, POINTS);
        if (random_one_in(&random, 3) && ends[who] + 1 < POINTS)
            first = ends[who] + 1;
        uint64_t last = first + random_below(&random, POINTS - first) / 4;
        unsigned char want = random_one_in(&random, 3) ? 2 : 1;
        bool free = true;
        for (unsigned other = 0; other < HOLDERS; other++)
            for (uint64_t at = first; at <= last; at++)
                free &= other == who || want + table[other][at] < 3 || table[other][at] == 0;
        struct mvcc_key from = point(first);
        struct mvcc_key to = point(last);
        enum mvcc_lock_mode mode = want == 2 ? MVCC_LOCK_EXCLUSIVE : MVCC_LOCK_SHARED;
        assert_int_equal(mvcc_lock(holders[who], &from, &to, mode),
                         free ? STATUS_OK : STATUS_TIMEOUT);
        if (free)
            ends[who] = last;
        for (uint64_t at = first; free && at <= last; at++)
            table[who][at] = want > table[who][at] ? want : table[who][at];
    }
    for (unsigned i = 0; i < HOLDERS; i++)
        mvcc_abort(holders[i]);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_reach_to_what_was_found),
        cmocka_unit_test(emptiness_is_locked),
        cmocka_unit_test(ranges_are_shared),
        cmocka_unit_test(a_range_locked_for_a_change),
        cmocka_unit_test(what_comes_between_is_told_apart),
        cmocka_unit_test(a_record_that_changes_meanwhile),
        cmocka_unit_test(scans_see_own_changes),
        cmocka_unit_test(the_usual_loop),
        cmocka_unit_test(the_last_key_ends_a_scan),
        cmocka_unit_test(values_are_cut_to_the_room),
        cmocka_unit_test(locks_match_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
