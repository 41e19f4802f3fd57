/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a rollback to a savepoint brings back exactly what was there when it was set, to whatever
 * depth savepoints are nested, and releasing one changes nothing but that. */
#include "tests/storage/lfsx/random.h"
#include "tests/storage/mvcc/memstore.h"

static struct memstore store;

static uint64_t see(struct mvcc_transaction *transaction, uint64_t number) {
    uint64_t value = 0;
    assert_int_equal(get(transaction, number, &value), STATUS_OK);
    return value;
}

static uint64_t set_savepoint(struct mvcc_transaction *transaction) {
    uint64_t savepoint = 0;
    assert_int_equal(mvcc_savepoint(transaction, &savepoint), STATUS_OK);
    return savepoint;
}

static uint64_t version_count(void) {
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    return info.versions;
}

static void rollback_undoes_what_came_after(void **state) {
    (void)state;
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 10), STATUS_OK);
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    assert_int_equal(put(one, 1, 11), STATUS_OK);
    uint64_t savepoint = set_savepoint(one);
    assert_int_equal(put(one, 1, 12), STATUS_OK);
    assert_int_equal(put(one, 1, 13), STATUS_OK);
    assert_int_equal(put(one, 2, 20), STATUS_OK);
    assert_int_equal(mvcc_rollback_to(one, savepoint), STATUS_OK);
    assert_true(see(one, 1) == 11 && see(one, 2) == ABSENT);
    assert_int_equal(put(one, 1, ABSENT), STATUS_OK); /* the savepoint stays */
    assert_int_equal(mvcc_rollback_to(one, savepoint), STATUS_OK);
    assert_true(see(one, 1) == 11);
    assert_int_equal(put(one, 3, 30), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_true(committed(&store, 1) == 11 && committed(&store, 2) == ABSENT &&
                committed(&store, 3) == 30);
    memstore_stop(&store);
}

/* Rolling back to an outer savepoint ends the inner ones; releasing one ends it and the inner ones.
 * What was never a savepoint is none either. */
static void savepoints_nest(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    uint64_t points[4];
    for (uint64_t i = 0; i < 4; i++) {
        points[i] = set_savepoint(one);
        assert_int_equal(put(one, 1, i), STATUS_OK);
    }
    assert_int_equal(mvcc_rollback_to(one, points[2]), STATUS_OK);
    assert_int_equal(see(one, 1), 1);
    assert_int_equal(mvcc_rollback_to(one, points[3]), STATUS_INVALID);
    assert_int_equal(mvcc_release(one, points[1]), STATUS_OK);
    assert_int_equal(see(one, 1), 1);
    assert_int_equal(mvcc_rollback_to(one, points[2]), STATUS_INVALID);
    assert_int_equal(mvcc_release(one, points[1]), STATUS_INVALID);
    assert_int_equal(mvcc_release(one, 0), STATUS_INVALID);
    assert_int_equal(mvcc_rollback_to(one, points[0]), STATUS_OK);
    assert_true(see(one, 1) == ABSENT);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(store.applies, 0);
    memstore_stop(&store);
}

/* The lock of a change that was rolled back stays: what was seen under it may have been told. */
static void rollback_keeps_locks(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    uint64_t savepoint = set_savepoint(one);
    assert_int_equal(put(one, 1, 5), STATUS_OK);
    assert_int_equal(mvcc_rollback_to(one, savepoint), STATUS_OK);
    assert_int_equal(commit_one(&store, 1, 6), STATUS_TIMEOUT);
    mvcc_abort(one);
    assert_int_equal(commit_one(&store, 1, 6), STATUS_OK);
    memstore_stop(&store);
}

/* A call in a loop with a savepoint each, released when it went well: no version piles up. */
static void released_savepoints_cost_nothing(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    uint64_t outer = set_savepoint(one);
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t savepoint = set_savepoint(one);
        assert_int_equal(put(one, i % 3, i), STATUS_OK);
        assert_int_equal(put(one, 3, i), STATUS_OK);
        assert_int_equal(mvcc_release(one, savepoint), STATUS_OK);
        assert_true(version_count() <= 8); /* of four records, the absence and the change */
    }
    assert_int_equal(see(one, 3), 99);
    assert_int_equal(mvcc_rollback_to(one, outer), STATUS_OK);
    assert_int_equal(version_count(), 0);
    mvcc_abort(one);
    memstore_stop(&store);
}

/* Only the newest change of a record reaches the store, and none that another undid. */
static void the_store_gets_the_outcome(void **state) {
    (void)state;
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 10), STATUS_OK);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    for (uint64_t i = 0; i < 3; i++) {
        (void)set_savepoint(one);
        assert_int_equal(put(one, 1, i == 1 ? ABSENT : 20 + i), STATUS_OK);
        assert_int_equal(put(one, 2, i == 2 ? ABSENT : i), STATUS_OK);
    }
    unsigned before = store.applies;
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(store.applies, before + 1);
    assert_true(committed(&store, 1) == 22 && committed(&store, 2) == ABSENT);
    memstore_stop(&store);
}

/* ---- a model: states at savepoints are kept as plain copies ---- */

#define RECORDS 6u
#define DEPTH 12u

struct model {
    struct mvcc_transaction *transaction;
    uint64_t now[RECORDS];
    struct {
        uint64_t name;
        uint64_t values[RECORDS];
    } points[DEPTH];
    unsigned depth;
};

static void model_begin(struct model *model) {
    model->transaction = begin(&store, MVCC_SERIALIZABLE);
    model->depth = 0;
    memcpy(model->now, store.values, sizeof model->now);
}

static void model_step(struct model *model, struct random *random) {
    unsigned place = (unsigned)random_below(random, model->depth + 1);
    uint64_t number = random_below(random, RECORDS);
    switch (random_below(random, 8)) {
    case 0:
        if (model->depth == DEPTH)
            return;
        model->points[model->depth].name = set_savepoint(model->transaction);
        memcpy(model->points[model->depth++].values, model->now, sizeof model->now);
        return;
    case 1:
        if (place == model->depth)
            return;
        assert_int_equal(mvcc_rollback_to(model->transaction, model->points[place].name),
                         STATUS_OK);
        memcpy(model->now, model->points[place].values, sizeof model->now);
        model->depth = place + 1;
        return;
    case 2:
        if (place == model->depth)
            return;
        assert_int_equal(mvcc_release(model->transaction, model->points[place].name), STATUS_OK);
        model->depth = place;
        return;
    default: {
        uint64_t value = random_one_in(random, 3) ? ABSENT : random_below(random, 500);
        enum status expected =
            value == ABSENT && model->now[number] == ABSENT ? STATUS_NOT_FOUND : STATUS_OK;
        assert_int_equal(put(model->transaction, number, value), expected);
        model->now[number] = value;
    }
    }
}

static void model_check(struct model *model) {
    uint64_t seen[RECORDS];
    assert_int_equal(scan(model->transaction, 0, RECORDS - 1, seen), STATUS_OK);
    assert_memory_equal(seen, model->now, sizeof seen);
    for (uint64_t i = 0; i < RECORDS; i++)
        assert_true(see(model->transaction, i) == model->now[i]);
    /* Of each record: the committed state, and a change after each savepoint and before all. */
    assert_true(version_count() <= RECORDS * (model->depth + 2));
}

static void any_order_is_right(void **state) {
    (void)state;
    struct random random = random_start("savepoints");
    struct model model;
    memstore_start(&store);
    for (unsigned round = 0; round < 150; round++) {
        uint64_t before[RECORDS];
        memcpy(before, store.values, sizeof before);
        model_begin(&model);
        for (uint64_t steps = random_below(&random, 60); steps > 0; steps--) {
            model_step(&model, &random);
            model_check(&model);
        }
        if (random_one_in(&random, 3)) {
            mvcc_abort(model.transaction);
            assert_memory_equal(store.values, before, sizeof before);
        } else {
            assert_int_equal(mvcc_commit(model.transaction, NULL), STATUS_OK);
            assert_memory_equal(store.values, model.now, sizeof model.now);
        }
        assert_int_equal(version_count(), 0);
    }
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollback_undoes_what_came_after),
        cmocka_unit_test(savepoints_nest),
        cmocka_unit_test(rollback_keeps_locks),
        cmocka_unit_test(released_savepoints_cost_nothing),
        cmocka_unit_test(the_store_gets_the_outcome),
        cmocka_unit_test(any_order_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
