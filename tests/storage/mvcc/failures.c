/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a call that fails, for want of memory at whatever allocation or because the store cannot do
 * it, has changed no record, and the transaction goes on: the same call succeeds later. To abort or
 * to start over needs no memory, and leaves none behind.
 */
#include "host/host.h"
#include "tests/storage/mvcc/memstore.h"

#define RECORDS 10u

static struct memstore store;

/* A transaction that uses every kind of call, step by step. */
struct script {
    struct mvcc_transaction *transaction; /* NULL: not begun, or committed */
    uint64_t savepoint;
    uint64_t expected[RECORDS]; /* what it sees */
};

static enum status begin_step(struct script *script) {
    struct mvcc_options options = {.isolation = MVCC_SERIALIZABLE};
    return mvcc_begin(store.mvcc, &options, &script->transaction);
}

static enum status read_step(struct script *script) {
    uint64_t value = 0;
    enum status status = get(script->transaction, 1, &value);
    assert_true(status != STATUS_OK || value == 100);
    return status;
}

static enum status scan_step(struct script *script) {
    uint64_t values[4];
    return scan(script->transaction, 2, 5, values);
}

static enum status change(struct script *script, uint64_t number, uint64_t value) {
    enum status status = put(script->transaction, number, value);
    if (status == STATUS_OK)
        script->expected[number] = value;
    return status;
}

static enum status replace_step(struct script *script) {
    return change(script, 1, 150);
}

static enum status savepoint_step(struct script *script) {
    return mvcc_savepoint(script->transaction, &script->savepoint);
}

static enum status shadow_step(struct script *script) {
    return change(script, 1, 160);
}

static enum status insert_step(struct script *script) {
    return change(script, 5, 500);
}

static enum status delete_step(struct script *script) {
    return change(script, 2, ABSENT);
}

static enum status for_update_step(struct script *script) {
    uint64_t value = 0;
    return get_for_update(script->transaction, 7, &value);
}

static enum status lock_step(struct script *script) {
    struct mvcc_key first = key_of(20);
    struct mvcc_key last = key_of(29);
    return mvcc_lock(script->transaction, &first, &last, MVCC_LOCK_EXCLUSIVE);
}

static enum status rollback_step(struct script *script) {
    enum status status = mvcc_rollback_to(script->transaction, script->savepoint);
    assert_int_equal(status, STATUS_OK);
    for (unsigned i = 0; i < RECORDS; i++)
        script->expected[i] = store.values[i];
    script->expected[1] = 150;
    return status;
}

static enum status release_step(struct script *script) {
    enum status status = mvcc_release(script->transaction, script->savepoint);
    assert_int_equal(status, STATUS_OK);
    return status;
}

static enum status commit_step(struct script *script) {
    enum status status = mvcc_commit(script->transaction, NULL);
    if (status == STATUS_OK)
        script->transaction = NULL;
    return status;
}

typedef enum status step(struct script *script);
static step *const steps[] = {begin_step,      read_step,   scan_step,     replace_step,
                              savepoint_step,  shadow_step, insert_step,   delete_step,
                              for_update_step, lock_step,   rollback_step, shadow_step,
                              release_step,    insert_step, delete_step,   commit_step};
#define STEPS (sizeof steps / sizeof steps[0])

static void start(struct script *script) {
    memstore_start(&store);
    *script = (struct script){.transaction = NULL};
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(commit_one(&store, i, 100 * i), STATUS_OK);
    memcpy(script->expected, store.values, sizeof script->expected);
}

/* What the transaction sees is what it should, and others see what was committed. */
static void check(const struct script *script) {
    uint64_t value = 0;
    for (uint64_t i = 0; i < RECORDS; i++) {
        if (script->transaction != NULL) {
            assert_int_equal(get(script->transaction, i, &value), STATUS_OK);
            assert_true(value == script->expected[i]);
        }
        assert_true(committed(&store, i) == store.values[i]);
    }
}

static void check_outcome(void) {
    static const uint64_t outcome[RECORDS] = {0,   160,    ABSENT, 300,    ABSENT,
                                              500, ABSENT, ABSENT, ABSENT, ABSENT};
    assert_memory_equal(store.values, outcome, sizeof outcome);
}

/* Each allocation of the script fails once, and is overcome. */
static void every_allocation_once(void **state) {
    (void)state;
    unsigned failures = 0;
    for (uint64_t k = 0; failures == k; k++) {
        struct script script;
        start(&script);
        host_memory_fail(k, false);
        for (unsigned i = 0; i < STEPS; i++) {
            enum status status = steps[i](&script);
            if (status == STATUS_OK)
                continue;
            assert_int_equal(status, STATUS_NO_MEMORY);
            failures++;
            check(&script);
            assert_int_equal(steps[i](&script), STATUS_OK);
        }
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        check_outcome();
        memstore_stop(&store);
    }
    print_message("%u allocations\n", failures);
    assert_true(failures >= STEPS);
}

/* From some allocation on all fail: the transaction can still be undone, or start over, which frees
 * all that it had but itself. */
static void no_memory_from_then_on(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t k = 0; failed; k++) {
        struct script script;
        struct mvcc_info info;
        start(&script);
        enum status status = STATUS_OK;
        host_memory_fail(k, true);
        for (unsigned i = 0; i < STEPS && status == STATUS_OK; i++)
            status = steps[i](&script);
        failed = status != STATUS_OK;
        assert_true(!failed || status == STATUS_NO_MEMORY);
        if (script.transaction != NULL && k % 2 == 0)
            mvcc_restart(script.transaction);
        mvcc_info(store.mvcc, &info);
        assert_true(k % 2 == 1 || info.locks + info.records + info.versions == 0);
        if (script.transaction != NULL)
            mvcc_abort(script.transaction);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        for (uint64_t i = 0; failed && i < RECORDS; i++)
            assert_true(committed(&store, i) == (i < 4 ? 100 * i : ABSENT));
        memstore_stop(&store);
    }
}

static void no_memory_to_create(void **state) {
    (void)state;
    struct mvcc_store nothing = {.value_max = 1};
    struct mvcc *mvcc = NULL;
    host_memory_fail(0, false);
    assert_int_equal(mvcc_create(&nothing, &mvcc), STATUS_NO_MEMORY);
    assert_int_equal(mvcc_create(&nothing, &mvcc), STATUS_OK);
    mvcc_destroy(mvcc);
    mvcc_destroy(NULL);
}

/* The store cannot read: whoever needs it gets its status, at each call that asks it. What is in
 * memory needs no store. */
static void the_store_cannot_read(void **state) {
    (void)state;
    for (unsigned isolation = 0; isolation < 3; isolation++) {
        struct script script;
        uint64_t value = 0;
        uint64_t number = 0;
        start(&script);
        struct mvcc_transaction *one = begin(&store, (enum mvcc_isolation)isolation);
        assert_int_equal(put(one, 1, 5), STATUS_OK);
        store.fail_read = STATUS_CHECKSUM;
        store.fail_next = STATUS_IO;
        assert_int_equal(get(one, 2, &value), STATUS_CHECKSUM);
        assert_int_equal(get_for_update(one, 2, &value), STATUS_CHECKSUM);
        assert_int_equal(get_next(one, &number, 9, &value), STATUS_IO);
        assert_int_equal(put(one, 2, 7), STATUS_CHECKSUM);
        assert_int_equal(put(one, 2, ABSENT), STATUS_CHECKSUM);
        assert_int_equal(get(one, 1, &value), STATUS_OK);
        assert_int_equal(value, 5);
        store.fail_read = store.fail_next = STATUS_OK;
        assert_int_equal(get(one, 2, &value), STATUS_OK);
        assert_int_equal(value, 200);
        assert_int_equal(put(one, 2, 7), STATUS_OK);
        assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
        assert_true(committed(&store, 1) == 5 && committed(&store, 2) == 7);
        memstore_stop(&store);
    }
}

/* The store refuses a commit: nobody sees anything of it, the transaction has its changes and locks
 * still, and may commit again, go on, or abort. */
static void the_store_refuses(void **state) {
    (void)state;
    for (unsigned outcome = 0; outcome < 3; outcome++) {
        struct script script;
        start(&script);
        struct mvcc_transaction *watcher = begin(&store, MVCC_SNAPSHOT);
        struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
        uint64_t value = 0;
        assert_int_equal(put(one, 1, 5), STATUS_OK);
        assert_int_equal(put(one, 4, 6), STATUS_OK);
        assert_int_equal(put(one, 2, ABSENT), STATUS_OK);
        store.fail_apply = STATUS_NO_SPACE;
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(mvcc_commit(one, NULL), STATUS_NO_SPACE);
        for (uint64_t i = 0; i < RECORDS; i++) {
            assert_true(committed(&store, i) == script.expected[i]);
            assert_int_equal(get(watcher, i, &value), STATUS_OK);
            assert_true(value == script.expected[i]);
        }
        assert_int_equal(commit_one(&store, 4, 7), STATUS_TIMEOUT);
        assert_int_equal(get(one, 4, &value), STATUS_OK);
        assert_int_equal(value, 6);
        store.fail_apply = STATUS_OK;
        if (outcome == 1) /* it needs less space */
            assert_int_equal(put(one, 4, ABSENT), STATUS_OK);
        if (outcome == 2)
            mvcc_abort(one);
        else
            assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
        assert_true(committed(&store, 1) == (outcome == 2 ? 100 : 5));
        assert_true(committed(&store, 4) == (outcome == 0 ? 6 : ABSENT));
        assert_true(committed(&store, 2) == (outcome == 2 ? 200 : ABSENT));
        assert_int_equal(get(watcher, 1, &value), STATUS_OK);
        assert_int_equal(value, 100);
        mvcc_abort(watcher);
        memstore_stop(&store);
    }
}

/* The attachment reaches the store with the changes, and alone; without either the store is not
 * asked. */
static void attachments_reach_the_store(void **state) {
    (void)state;
    int attachment = 0;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(store.applies, 0);
    one = begin(&store, MVCC_READ_COMMITTED);
    store.fail_apply = STATUS_BUSY;
    assert_int_equal(mvcc_commit(one, &attachment), STATUS_BUSY);
    store.fail_apply = STATUS_OK;
    assert_int_equal(mvcc_commit(one, &attachment), STATUS_OK);
    assert_true(store.applies == 1 && store.attachment == &attachment);
    assert_int_equal(commit_one(&store, 1, 1), STATUS_OK);
    assert_true(store.applies == 2 && store.attachment == NULL);
    memstore_stop(&store);
}

/* What the caller may get wrong is an error, and changes nothing. */
static void nonsense_is_refused(void **state) {
    (void)state;
    static const unsigned char long_value[MEMSTORE_VALUE_MAX + 1];
    struct mvcc_key key = key_of(1);
    struct mvcc_key low = key_of(0);
    struct mvcc_key broken = {.length = MVCC_KEY_SIZE + 1};
    struct mvcc_options options = {.isolation = (enum mvcc_isolation)3};
    struct mvcc_transaction *one = NULL;
    size_t length = 0;
    memstore_start(&store);
    assert_int_equal(mvcc_begin(store.mvcc, &options, &one), STATUS_INVALID);
    one = begin(&store, MVCC_SERIALIZABLE);
    assert_int_equal(mvcc_write(one, &key, long_value, sizeof long_value), STATUS_INVALID);
    assert_int_equal(mvcc_insert(one, &broken, long_value, 1), STATUS_INVALID);
    assert_int_equal(mvcc_delete(one, &broken), STATUS_INVALID);
    assert_int_equal(mvcc_read(one, &broken, NULL, 0, &length), STATUS_INVALID);
    assert_int_equal(mvcc_read_for_update(one, &broken, NULL, 0, &length), STATUS_INVALID);
    assert_int_equal(mvcc_lock(one, &key, &low, MVCC_LOCK_SHARED), STATUS_INVALID);
    assert_int_equal(mvcc_next(one, &broken, &key, &key, NULL, 0, &length), STATUS_INVALID);
    assert_int_equal(mvcc_next(one, &key, &broken, &key, NULL, 0, &length), STATUS_INVALID);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_int_equal(store.applies, 0);
    memstore_stop(&store);
}

/* Insert wants no record, replace and delete want one: the committed one, or the own change. */
static void changes_say_what_they_need(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_key key = key_of(1);
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    size_t length = value_make(5, bytes);
    struct mvcc_transaction *one = begin(&store, MVCC_SNAPSHOT);
    assert_int_equal(mvcc_replace(one, &key, bytes, length), STATUS_NOT_FOUND);
    assert_int_equal(mvcc_delete(one, &key), STATUS_NOT_FOUND);
    assert_int_equal(mvcc_insert(one, &key, bytes, length), STATUS_OK);
    assert_int_equal(mvcc_insert(one, &key, bytes, length), STATUS_EXISTS);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    one = begin(&store, MVCC_SNAPSHOT);
    assert_int_equal(mvcc_insert(one, &key, bytes, length), STATUS_EXISTS);
    assert_int_equal(mvcc_replace(one, &key, bytes, value_make(6, bytes)), STATUS_OK);
    assert_int_equal(mvcc_delete(one, &key), STATUS_OK);
    assert_int_equal(mvcc_replace(one, &key, bytes, length), STATUS_NOT_FOUND);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_OK);
    assert_true(committed(&store, 1) == ABSENT);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_once), cmocka_unit_test(no_memory_from_then_on),
        cmocka_unit_test(no_memory_to_create),   cmocka_unit_test(the_store_cannot_read),
        cmocka_unit_test(the_store_refuses),     cmocka_unit_test(attachments_reach_the_store),
        cmocka_unit_test(nonsense_is_refused),   cmocka_unit_test(changes_say_what_they_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
