/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: circles of waiting end at once with one victim, the one that did least; a queue alone never
 * costs a victim; locks of all modes exclude whom they should, in order of arrival. */
#include "tests/storage/mvcc/memstore.h"

#define SECOND 1000000000ull
#define MANY 40u

static struct memstore store;

/* A thread that puts one value in a transaction that it was given, and ends it. */
struct worker {
    struct mvcc_transaction *transaction;
    uint64_t number;
    enum status status;
    struct os_thread *thread;
};

static void work(void *argument) {
    struct worker *worker = argument;
    worker->status = put(worker->transaction, worker->number, 1);
    if (worker->status == STATUS_OK) {
        enum status status = mvcc_commit(worker->transaction, NULL);
        ASSERT(status == STATUS_OK);
    } else {
        mvcc_abort(worker->transaction);
    }
}

static void start(struct worker *worker) {
    assert_int_equal(os_thread_start(&worker->thread, "mvcc-test", work, worker), STATUS_OK);
}

static struct mvcc_transaction *begin_patient(enum mvcc_isolation isolation) {
    return begin_waiting(&store, isolation, 100 * SECOND);
}

static uint64_t deadlocks(void) {
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    return info.deadlocks;
}

/* Each of n holds one record and wants the next one's. `idlest` has changed one record less than
 * the others; if there is none (n), all are equal, and the youngest is the victim. */
static void check_ring(unsigned n, unsigned idlest, unsigned victim) {
    struct worker workers[MANY] = {0};
    memstore_start(&store);
    for (unsigned i = 0; i < n; i++) {
        workers[i].transaction = begin_patient(MVCC_READ_COMMITTED);
        workers[i].number = (i + 1) % n;
        if (i != idlest)
            assert_int_equal(put(workers[i].transaction, i, 2), STATUS_OK);
        else /* as many locks as others have, but no change */
            assert_int_equal(get_for_update(workers[i].transaction, i, &(uint64_t){0}), STATUS_OK);
    }
    for (unsigned i = 0; i < n; i++) {
        start(&workers[i]);
        if (i < n - 1)
            await_waiting(&store, i + 1);
    }
    for (unsigned i = 0; i < n; i++)
        os_thread_join(workers[i].thread);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(workers[i].status, i == victim ? STATUS_DEADLOCK : STATUS_OK);
    assert_int_equal(deadlocks(), 1);
    memstore_stop(&store);
}

static void two_transactions(void **state) {
    (void)state;
    check_ring(2, 2, 1);
    check_ring(2, 0, 0);
    check_ring(2, 1, 1);
}

static void three_transactions(void **state) {
    (void)state;
    for (unsigned idlest = 0; idlest < 3; idlest++)
        check_ring(3, idlest, idlest);
}

static void many_transactions(void **state) {
    (void)state;
    check_ring(MANY, MANY, MANY - 1);
    check_ring(MANY, 17, 17);
}

/* Of two that changed as much, the one with fewer locks is the victim, though it is older. */
static void fewer_locks_are_cheaper(void **state) {
    (void)state;
    memstore_start(&store);
    struct worker one = {.transaction = begin_patient(MVCC_READ_COMMITTED), .number = 2};
    struct worker other = {.transaction = begin_patient(MVCC_READ_COMMITTED), .number = 1};
    struct mvcc_key key = key_of(9);
    assert_int_equal(put(one.transaction, 1, 5), STATUS_OK);
    assert_int_equal(put(other.transaction, 2, 5), STATUS_OK);
    assert_int_equal(mvcc_lock(other.transaction, &key, &key, MVCC_LOCK_SHARED), STATUS_OK);
    start(&one);
    await_waiting(&store, 1);
    start(&other);
    os_thread_join(one.thread);
    os_thread_join(other.thread);
    assert_int_equal(one.status, STATUS_DEADLOCK);
    assert_int_equal(other.status, STATUS_OK);
    memstore_stop(&store);
}

/* Two who read a record and both want to change it wait for each other's shared lock. */
static void upgrade(void **state) {
    (void)state;
    memstore_start(&store);
    struct worker one = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
    struct worker other = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
    uint64_t value = 0;
    assert_int_equal(get(one.transaction, 1, &value), STATUS_OK);
    assert_int_equal(get(other.transaction, 1, &value), STATUS_OK);
    start(&one);
    await_waiting(&store, 1);
    start(&other);
    os_thread_join(one.thread);
    os_thread_join(other.thread);
    assert_int_equal(one.status, STATUS_OK);
    assert_int_equal(other.status, STATUS_DEADLOCK);
    memstore_stop(&store);
}

/* A reader who comes back for more goes before a writer who waits for it, instead of into a circle
 * with it; also when it does not want to wait. */
static void queues_cost_no_victim(void **state) {
    (void)state;
    for (unsigned patient = 0; patient < 2; patient++) {
        memstore_start(&store);
        struct mvcc_transaction *reader =
            begin_waiting(&store, MVCC_SERIALIZABLE, patient ? 100 * SECOND : 0);
        struct worker writer = {.transaction = begin_patient(MVCC_READ_COMMITTED), .number = 1};
        uint64_t value = 0;
        assert_int_equal(get(reader, 1, &value), STATUS_OK);
        start(&writer);
        await_waiting(&store, 1);
        assert_int_equal(put(reader, 1, 8), STATUS_OK);
        assert_int_equal(mvcc_commit(reader, NULL), STATUS_OK);
        os_thread_join(writer.thread);
        assert_int_equal(writer.status, STATUS_OK);
        assert_int_equal(deadlocks(), 0);
        memstore_stop(&store);
    }
}

/* The same through a third: A comes behind D, who waits for C, who waits for A. */
static void longer_queues_cost_no_victim(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *a = begin_patient(MVCC_SERIALIZABLE);
    struct mvcc_transaction *b = begin_patient(MVCC_SERIALIZABLE);
    struct worker c = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
    struct worker d = {.transaction = b, .number = 2};
    uint64_t value = 0;
    assert_int_equal(get(a, 1, &value), STATUS_OK);
    assert_int_equal(get(c.transaction, 2, &value), STATUS_OK);
    start(&c); /* waits for a */
    await_waiting(&store, 1);
    start(&d); /* waits for c */
    await_waiting(&store, 2);
    assert_int_equal(get(a, 2, &value), STATUS_OK);
    assert_int_equal(mvcc_commit(a, NULL), STATUS_OK);
    os_thread_join(c.thread);
    os_thread_join(d.thread);
    assert_int_equal(c.status, STATUS_OK);
    assert_int_equal(d.status, STATUS_OK);
    assert_int_equal(deadlocks(), 0);
    memstore_stop(&store);
}

/* A reader that comes after a waiting writer does not pass it. */
static void first_come_first_served(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *reader = begin(&store, MVCC_SERIALIZABLE);
    struct mvcc_transaction *late = begin(&store, MVCC_SERIALIZABLE);
    struct worker writer = {.transaction = begin_patient(MVCC_READ_COMMITTED), .number = 1};
    uint64_t value = 0;
    assert_int_equal(get(reader, 1, &value), STATUS_OK);
    start(&writer);
    await_waiting(&store, 1);
    assert_int_equal(get(late, 1, &value), STATUS_TIMEOUT);
    mvcc_abort(reader);
    os_thread_join(writer.thread);
    assert_int_equal(writer.status, STATUS_OK);
    assert_int_equal(get(late, 1, &value), STATUS_OK);
    assert_int_equal(value, 1);
    mvcc_abort(late);
    memstore_stop(&store);
}

/* Who does not want to wait for a circle to be ended gives up by itself: nobody is a victim. */
static void the_impatient_make_no_victim(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *hasty = begin(&store, MVCC_SERIALIZABLE);
    struct worker other = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
    assert_int_equal(put(hasty, 1, 5), STATUS_OK);
    assert_int_equal(put(hasty, 3, 5), STATUS_OK); /* the other one would be the victim */
    assert_int_equal(put(other.transaction, 2, 6), STATUS_OK);
    start(&other);
    await_waiting(&store, 1);
    assert_int_equal(put(hasty, 2, 7), STATUS_TIMEOUT);
    assert_int_equal(deadlocks(), 0);
    assert_int_equal(mvcc_commit(hasty, NULL), STATUS_OK);
    os_thread_join(other.thread);
    assert_int_equal(other.status, STATUS_OK);
    assert_true(committed(&store, 1) == 1 && committed(&store, 2) == 6);
    memstore_stop(&store);
}

/* After a timeout the transaction goes on, and who queued behind it is served. */
static void timeout(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *holder = begin(&store, MVCC_SERIALIZABLE);
    struct mvcc_transaction *hasty = begin_waiting(&store, MVCC_SERIALIZABLE, SECOND / 50);
    uint64_t value = 0;
    assert_int_equal(get(holder, 1, &value), STATUS_OK);
    uint64_t before = os_now_ns();
    assert_int_equal(put(hasty, 1, 5), STATUS_TIMEOUT);
    assert_true(os_now_ns() - before >= SECOND / 50);
    assert_int_equal(put(hasty, 2, 5), STATUS_OK);
    assert_int_equal(mvcc_commit(hasty, NULL), STATUS_OK);
    mvcc_abort(holder);
    assert_true(committed(&store, 1) == ABSENT && committed(&store, 2) == 5);
    memstore_stop(&store);
}

/* All that a victim can do is abort; what it did is gone already. */
static void a_victim_is_done(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *victim = begin_patient(MVCC_SERIALIZABLE);
    struct worker other = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
    uint64_t value = 0;
    uint64_t savepoint = 0;
    assert_int_equal(mvcc_savepoint(victim, &savepoint), STATUS_OK);
    assert_int_equal(put(victim, 1, 5), STATUS_OK);
    assert_int_equal(put(other.transaction, 2, 6), STATUS_OK);
    assert_int_equal(put(other.transaction, 3, 6), STATUS_OK);
    start(&other);
    await_waiting(&store, 1);
    assert_int_equal(put(victim, 2, 7), STATUS_DEADLOCK);
    os_thread_join(other.thread); /* does not need the victim's abort */
    assert_int_equal(other.status, STATUS_OK);
    struct mvcc_key key = key_of(1);
    uint64_t number = 0;
    assert_int_equal(get(victim, 1, &value), STATUS_DEADLOCK);
    assert_int_equal(get_next(victim, &number, 5, &value), STATUS_DEADLOCK);
    assert_int_equal(put(victim, 1, 5), STATUS_DEADLOCK);
    assert_int_equal(mvcc_lock(victim, &key, &key, MVCC_LOCK_SHARED), STATUS_DEADLOCK);
    assert_int_equal(mvcc_savepoint(victim, &savepoint), STATUS_DEADLOCK);
    assert_int_equal(mvcc_rollback_to(victim, savepoint), STATUS_DEADLOCK);
    assert_int_equal(mvcc_release(victim, savepoint), STATUS_DEADLOCK);
    assert_int_equal(mvcc_commit(victim, NULL), STATUS_DEADLOCK);
    mvcc_abort(victim);
    assert_int_equal(committed(&store, 1), 1);
    memstore_stop(&store);
}

/* One that was a victim starts over as heavy as if it had changed twice as much, and so on: in the
 * end it outweighs one that changed many records. */
static void who_started_over_is_spared(void **state) {
    (void)state;
    for (unsigned restarts = 1; restarts < 6; restarts++) {
        memstore_start(&store);
        struct worker older = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
        struct mvcc_transaction *younger = begin_patient(MVCC_SERIALIZABLE);
        assert_int_equal(put(younger, 60, 1), STATUS_OK);
        for (unsigned i = 0; i < restarts; i++)
            mvcc_restart(younger);
        assert_int_equal(put(younger, 1, 5), STATUS_OK);
        for (unsigned i = 0; i < 1u << restarts; i++)
            assert_int_equal(put(older.transaction, 2 + i, 6), STATUS_OK);
        start(&older);
        await_waiting(&store, 1);
        assert_int_equal(put(younger, 2, 7), STATUS_OK);
        os_thread_join(older.thread);
        assert_int_equal(older.status, STATUS_DEADLOCK);
        assert_int_equal(mvcc_commit(younger, NULL), STATUS_OK);
        assert_true(committed(&store, 1) == 5 && committed(&store, 2) == 7);
        assert_true(committed(&store, 60) == ABSENT);
        memstore_stop(&store);
    }
}

/* A victim that starts over has no lock, change or savepoint of its former life, and sees what was
 * committed meanwhile. */
static void a_victim_starts_over(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *victim = begin_patient(MVCC_SNAPSHOT);
    struct worker other = {.transaction = begin_patient(MVCC_SERIALIZABLE), .number = 1};
    uint64_t value = 0;
    uint64_t savepoint = 0;
    assert_int_equal(mvcc_savepoint(victim, &savepoint), STATUS_OK);
    assert_int_equal(put(victim, 1, 5), STATUS_OK);
    for (uint64_t i = 2; i < 4; i++)
        assert_int_equal(put(other.transaction, i, 6), STATUS_OK);
    start(&other);
    await_waiting(&store, 1);
    assert_int_equal(put(victim, 2, 7), STATUS_DEADLOCK);
    os_thread_join(other.thread);
    mvcc_restart(victim);
    assert_int_equal(mvcc_rollback_to(victim, savepoint), STATUS_INVALID);
    for (uint64_t i = 1; i < 4; i++) {
        assert_int_equal(get(victim, i, &value), STATUS_OK);
        assert_int_equal(value, i == 1 ? 1 : 6);
    }
    assert_int_equal(put(victim, 2, 8), STATUS_OK);
    assert_int_equal(mvcc_commit(victim, NULL), STATUS_OK);
    assert_int_equal(committed(&store, 2), 8);
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_int_equal(info.restarts, 1);
    memstore_stop(&store);
}

/* Which mode another transaction can get beside one that is held: the well-known table on one
 * range; "parts": held on 0 to 9, wanted on 3; "whole": held on 3, wanted on 0 to 9. */
static void modes_exclude(void **state) {
    (void)state;
    static const char *const same[] = {"++++-", "++---", "+-+--", "+----", "-----"};
    static const char *const parts[] = {"+++++", "+++++", "+-+--", "+-+--", "-----"};
    const struct {
        uint64_t held[2], wanted[2];
    } cases[] = {{{0, 9}, {0, 9}}, {{0, 9}, {3, 3}}, {{3, 3}, {0, 9}}};
    for (unsigned i = 0; i < 3 * 25; i++) {
        unsigned held = i / 5 % 5;
        unsigned wanted = i % 5;
        char expected = i / 25 == 0   ? same[held][wanted]
                        : i / 25 == 1 ? parts[held][wanted]
                                      : parts[wanted][held];
        memstore_start(&store);
        struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
        struct mvcc_transaction *other = begin(&store, MVCC_READ_COMMITTED);
        struct mvcc_key keys[4] = {key_of(cases[i / 25].held[0]), key_of(cases[i / 25].held[1]),
                                   key_of(cases[i / 25].wanted[0]),
                                   key_of(cases[i / 25].wanted[1])};
        assert_int_equal(mvcc_lock(one, &keys[0], &keys[1], (enum mvcc_lock_mode)held), STATUS_OK);
        enum status status = mvcc_lock(other, &keys[2], &keys[3], (enum mvcc_lock_mode)wanted);
        if ((status == STATUS_OK ? '+' : '-') != expected)
            fail_msg("case %u: held %u, wanted %u: %s", i / 25, held, wanted, status_name(status));
        mvcc_abort(one);
        mvcc_abort(other);
        memstore_stop(&store);
    }
}

static void lock_count_is(uint64_t count) {
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_int_equal(info.locks, count);
}

/* A held mode makes a second request needless exactly if it is as strong in both respects: in what
 * it takes of the range, and in what it says of its parts. */
static void modes_cover(void **state) {
    (void)state;
    static const char *const covers[] = {"+----", "++---", "+-+--", "++++-", "+++++"};
    struct mvcc_key outer[2] = {key_of(0), key_of(9)};
    struct mvcc_key inner[2] = {key_of(2), key_of(5)};
    for (unsigned held = 0; held < 5; held++) {
        for (unsigned wanted = 0; wanted < 5; wanted++) {
            memstore_start(&store);
            struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
            assert_int_equal(mvcc_lock(one, &outer[0], &outer[1], (enum mvcc_lock_mode)held),
                             STATUS_OK);
            assert_int_equal(mvcc_lock(one, &inner[0], &inner[1], (enum mvcc_lock_mode)wanted),
                             STATUS_OK);
            lock_count_is(covers[held][wanted] == '+' ? 1 : 2);
            mvcc_abort(one);
            memstore_stop(&store);
        }
    }
}

/* What is covered by a lock that one holds is not waited for, though somebody queues for it. */
static void what_is_covered_does_not_queue(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_key keys[] = {key_of(1), key_of(9), key_of(3)};
    struct mvcc_transaction *one = begin(&store, MVCC_SERIALIZABLE);
    struct worker writer = {.transaction = begin_patient(MVCC_READ_COMMITTED), .number = 1};
    assert_int_equal(mvcc_lock(one, &keys[0], &keys[1], MVCC_LOCK_SHARED), STATUS_OK);
    assert_int_equal(mvcc_lock(one, &keys[2], &keys[2], MVCC_LOCK_SHARED), STATUS_OK);
    lock_count_is(1);
    start(&writer);
    await_waiting(&store, 1);
    assert_int_equal(mvcc_lock(one, &keys[0], &keys[2], MVCC_LOCK_SHARED), STATUS_OK);
    lock_count_is(2); /* one held, one waited for */
    mvcc_abort(one);
    os_thread_join(writer.thread);
    assert_int_equal(writer.status, STATUS_OK);
    memstore_stop(&store);
}

/* Intentions on neighbouring ranges stay two: somebody may want all of one and part of the other.
 */
static void intentions_do_not_merge(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_key keys[] = {key_of(0), key_of(4), key_of(4), key_of(9), key_of(6)};
    assert_true(mvcc_key_advance(&keys[2]));
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    struct mvcc_transaction *other = begin(&store, MVCC_READ_COMMITTED);
    for (unsigned i = 0; i < 4; i += 2)
        assert_int_equal(mvcc_lock(one, &keys[i], &keys[i + 1], MVCC_LOCK_INTENTION_EXCLUSIVE),
                         STATUS_OK);
    lock_count_is(2);
    assert_int_equal(mvcc_lock(other, &keys[0], &keys[4], MVCC_LOCK_SHARED), STATUS_TIMEOUT);
    assert_int_equal(mvcc_lock(other, &keys[2], &keys[4], MVCC_LOCK_SHARED), STATUS_OK);
    mvcc_abort(one);
    mvcc_abort(other);
    memstore_stop(&store);
}

/* Reading a range step by step ends with one lock, not with one for each record; but locks do not
 * grow over a range of which somebody else intends to lock parts. */
static void locks_of_neighbours_merge(void **state) {
    (void)state;
    memstore_start(&store);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(commit_one(&store, i, i), STATUS_OK);
    struct mvcc_transaction *reader = begin(&store, MVCC_SERIALIZABLE);
    for (struct mvcc_key at = key_of(0); number_from(&at) < 20;) {
        struct mvcc_key end = key_of(30);
        size_t length = 0;
        assert_int_equal(mvcc_next(reader, &at, &end, &at, NULL, 0, &length), STATUS_OK);
        assert_true(mvcc_key_advance(&at));
    }
    lock_count_is(1);
    assert_int_equal(commit_one(&store, 7, 1), STATUS_TIMEOUT);
    mvcc_abort(reader);

    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    struct mvcc_transaction *other = begin(&store, MVCC_READ_COMMITTED);
    struct mvcc_key keys[] = {key_of(0), key_of(9), key_of(9), key_of(19), key_of(5), key_of(15)};
    assert_true(mvcc_key_advance(&keys[2]));
    assert_int_equal(mvcc_lock(other, &keys[4], &keys[5], MVCC_LOCK_INTENTION_EXCLUSIVE),
                     STATUS_OK);
    assert_int_equal(mvcc_lock(one, &keys[0], &keys[1], MVCC_LOCK_SHARED), STATUS_OK);
    assert_int_equal(mvcc_lock(one, &keys[2], &keys[3], MVCC_LOCK_SHARED), STATUS_OK);
    lock_count_is(3);
    mvcc_abort(one);
    mvcc_abort(other);
    memstore_stop(&store);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    memstore_start(&store);
    struct mvcc_transaction *one = begin(&store, MVCC_READ_COMMITTED);
    struct mvcc_key low = key_of(1);
    struct mvcc_key high = key_of(2);
    struct mvcc_key broken = {.length = MVCC_KEY_SIZE + 1};
    assert_int_equal(mvcc_lock(one, &high, &low, MVCC_LOCK_SHARED), STATUS_INVALID);
    assert_int_equal(mvcc_lock(one, &low, &broken, MVCC_LOCK_SHARED), STATUS_INVALID);
    assert_int_equal(mvcc_lock(one, &broken, &high, MVCC_LOCK_SHARED), STATUS_INVALID);
    assert_int_equal(mvcc_lock(one, &low, &high, (enum mvcc_lock_mode)5), STATUS_INVALID);
    mvcc_abort(one);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_transactions),
        cmocka_unit_test(three_transactions),
        cmocka_unit_test(many_transactions),
        cmocka_unit_test(fewer_locks_are_cheaper),
        cmocka_unit_test(upgrade),
        cmocka_unit_test(queues_cost_no_victim),
        cmocka_unit_test(longer_queues_cost_no_victim),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(the_impatient_make_no_victim),
        cmocka_unit_test(timeout),
        cmocka_unit_test(a_victim_is_done),
        cmocka_unit_test(who_started_over_is_spared),
        cmocka_unit_test(a_victim_starts_over),
        cmocka_unit_test(modes_exclude),
        cmocka_unit_test(modes_cover),
        cmocka_unit_test(what_is_covered_does_not_queue),
        cmocka_unit_test(intentions_do_not_merge),
        cmocka_unit_test(locks_of_neighbours_merge),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
