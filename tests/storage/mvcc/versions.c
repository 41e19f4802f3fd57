/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a version is in memory exactly as long as somebody can see it. An old view costs one
 * version of each record that was changed since, not one for each change. */
#include "tests/storage/lfsx/random.h"
#include "tests/storage/mvcc/memstore.h"

#define MANY 1000u

static struct memstore store;

static void in_memory(uint64_t records, uint64_t versions) {
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_int_equal(info.records, records);
    assert_int_equal(info.versions, versions);
}

static void assert_sees(struct mvcc_transaction *transaction, uint64_t number, uint64_t expected) {
    uint64_t value = 0;
    assert_int_equal(get(transaction, number, &value), STATUS_OK);
    assert_true(value == expected);
}

/* Without a view nothing stays, whatever was committed or undone. */
static void nothing_stays_unseen(void **state) {
    (void)state;
    memstore_start(&store);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(commit_one(&store, i, i), STATUS_OK);
    in_memory(0, 0);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    assert_int_equal(put(one, 3, 33), STATUS_OK);
    assert_int_equal(put(one, 11, 11), STATUS_OK);
    in_memory(2, 4); /* each the committed state and the change */
    mvcc_abort(one);
    in_memory(0, 0);
    memstore_stop(&store);
}

/* A thousand changes of one record under an old view: its version and the newest stay. */
static void an_old_view_costs_little(void **state) {
    (void)state;
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 5), STATUS_OK);
    struct mvcc_transaction *old = begin(&store, MVCC_SNAPSHOT);
    for (uint64_t i = 0; i < MANY; i++) {
        assert_int_equal(commit_one(&store, 1, i % 7 == 0 ? ABSENT : i), STATUS_OK);
        in_memory(1, 2);
    }
    assert_sees(old, 1, 5);
    mvcc_abort(old);
    in_memory(0, 0);
    memstore_stop(&store);
}

/* Each view keeps its own; one that ends hands down what an older one sees too. */
static void each_view_keeps_its_own(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *views[3];
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(commit_one(&store, 1, 10 + i), STATUS_OK);
        assert_int_equal(commit_one(&store, 2, 20), STATUS_OK);
        views[i] = begin(&store, MVCC_SNAPSHOT);
    }
    in_memory(2, 6);
    assert_int_equal(commit_one(&store, 1, 99), STATUS_OK);
    assert_int_equal(commit_one(&store, 3, 30), STATUS_OK);
    in_memory(3, 9); /* record 3: its absence, which all three see, and its presence */
    mvcc_abort(views[1]);
    in_memory(3, 7);
    assert_sees(views[0], 1, 10);
    assert_sees(views[2], 1, 12);
    assert_sees(views[0], 3, ABSENT);
    mvcc_abort(views[2]);
    in_memory(3, 6); /* record 3's absence was handed down */
    assert_sees(views[0], 1, 10);
    assert_sees(views[0], 3, ABSENT);
    mvcc_abort(views[0]);
    in_memory(0, 0);
    memstore_stop(&store);
}

/* A model: views come and go at random while records change; each sees its own state to its end,
 * and no more versions are in memory than views can tell apart. */
#define VIEWS 8u
#define RECORDS 6u

struct frozen {
    struct mvcc_transaction *transaction; /* NULL: none */
    uint64_t values[RECORDS];
};

static void check_all(const struct frozen *views) {
    for (unsigned i = 0; i < VIEWS; i++)
        for (unsigned number = 0; views[i].transaction != NULL && number < RECORDS; number++)
            assert_sees(views[i].transaction, number, views[i].values[number]);
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_true(info.versions <= (info.transactions + 1) * RECORDS);
}

static void toggle(struct frozen *view) {
    if (view->transaction != NULL) {
        mvcc_abort(view->transaction);
        view->transaction = NULL;
        return;
    }
    view->transaction = begin(&store, MVCC_SNAPSHOT);
    memcpy(view->values, store.values, sizeof view->values);
}

static void views_never_change(void **state) {
    (void)state;
    struct random random = random_start("versions");
    struct frozen views[VIEWS] = {0};
    memstore_start(&store);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t number = random_below(&random, RECORDS);
        if (random_one_in(&random, 4))
            toggle(&views[random_below(&random, VIEWS)]);
        else if (random_one_in(&random, 4) && store.values[number] != ABSENT)
            assert_int_equal(commit_one(&store, number, ABSENT), STATUS_OK);
        else
            assert_int_equal(commit_one(&store, number, i), STATUS_OK);
        if (i % 16 == 0)
            check_all(views);
    }
    for (unsigned i = 0; i < VIEWS; i++)
        if (views[i].transaction != NULL)
            toggle(&views[i]);
    in_memory(0, 0);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_stays_unseen),
        cmocka_unit_test(an_old_view_costs_little),
        cmocka_unit_test(each_view_keeps_its_own),
        cmocka_unit_test(views_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
