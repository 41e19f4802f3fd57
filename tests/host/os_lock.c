/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: os.h's locks exclude, wake, time out and know their holder. */
#include "base/os.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define THREADS 8
#define ROUNDS 2000
#define MS 1000000ull

struct counter {
    struct os_mutex mutex;
    uint64_t value; /* guarded by the mutex */
};

static void count_up(void *argument) {
    struct counter *counter = argument;
    for (int i = 0; i < ROUNDS; i++) {
        os_mutex_lock(&counter->mutex);
        counter->value++;
        os_mutex_unlock(&counter->mutex);
    }
}

/* No increment of eight threads is lost. */
static void mutex_excludes(void **state) {
    (void)state;
    struct counter counter = {.value = 0};
    os_mutex_init(&counter.mutex);
    struct os_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(os_thread_start(&threads[i], "count", count_up, &counter), STATUS_OK);
    for (int i = 0; i < THREADS; i++)
        os_thread_join(threads[i]);
    assert_int_equal(counter.value, THREADS * ROUNDS);
    os_mutex_destroy(&counter.mutex);
}

struct seen {
    struct os_mutex *mutex;
    bool held;
    bool locked;
};

static void look(void *argument) {
    struct seen *seen = argument;
    seen->held = os_mutex_is_held(seen->mutex);
    seen->locked = os_mutex_try_lock(seen->mutex);
    if (seen->locked)
        os_mutex_unlock(seen->mutex);
}

static struct seen look_from_elsewhere(struct os_mutex *mutex) {
    struct seen seen = {.mutex = mutex};
    struct os_thread *thread;
    assert_int_equal(os_thread_start(&thread, "look", look, &seen), STATUS_OK);
    os_thread_join(thread);
    return seen;
}

/* is_held is true for the holder only; try_lock fails for others only while it is held. */
static void mutex_knows_its_holder(void **state) {
    (void)state;
    struct os_mutex mutex;
    os_mutex_init(&mutex);
    assert_false(os_mutex_is_held(&mutex));
    os_mutex_lock(&mutex);
    assert_true(os_mutex_is_held(&mutex));
    struct seen seen = look_from_elsewhere(&mutex);
    assert_false(seen.held);
    assert_false(seen.locked);
    os_mutex_unlock(&mutex);
    assert_false(os_mutex_is_held(&mutex));
    assert_true(look_from_elsewhere(&mutex).locked);
    os_mutex_destroy(&mutex);
}

/* A wait without a signal ends after its time, with the mutex held again. */
static void condition_times_out(void **state) {
    (void)state;
    struct os_mutex mutex;
    struct os_condition condition;
    os_mutex_init(&mutex);
    os_condition_init(&condition);
    os_mutex_lock(&mutex);
    uint64_t start = os_now_ns();
    while (os_condition_wait(&condition, &mutex, 20 * MS))
        continue;
    assert_true(os_now_ns() - start >= 20 * MS);
    assert_true(os_mutex_is_held(&mutex));
    os_mutex_unlock(&mutex);
    os_condition_destroy(&condition);
    os_mutex_destroy(&mutex);
}

struct rendezvous {
    struct os_mutex mutex; /* guards the counts */
    struct os_condition condition;
    unsigned waiting, woken;
    bool go;
};

static void wait_for_go(void *argument) {
    struct rendezvous *meeting = argument;
    os_mutex_lock(&meeting->mutex);
    meeting->waiting++;
    while (!meeting->go)
        assert_true(os_condition_wait(&meeting->condition, &meeting->mutex, OS_FOREVER));
    meeting->woken++;
    os_mutex_unlock(&meeting->mutex);
}

/* A broadcast wakes every waiter. */
static void broadcast_wakes_all(void **state) {
    (void)state;
    struct rendezvous meeting = {.go = false};
    os_mutex_init(&meeting.mutex);
    os_condition_init(&meeting.condition);
    struct os_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(os_thread_start(&threads[i], "wait", wait_for_go, &meeting), STATUS_OK);
    os_mutex_lock(&meeting.mutex);
    while (meeting.waiting < THREADS) {
        os_mutex_unlock(&meeting.mutex);
        os_thread_yield();
        os_mutex_lock(&meeting.mutex);
    }
    assert_int_equal(meeting.woken, 0);
    meeting.go = true;
    os_condition_broadcast(&meeting.condition);
    os_mutex_unlock(&meeting.mutex);
    for (int i = 0; i < THREADS; i++)
        os_thread_join(threads[i]);
    assert_int_equal(meeting.woken, THREADS);
    os_condition_destroy(&meeting.condition);
    os_mutex_destroy(&meeting.mutex);
}

struct shared {
    struct os_rwlock lock;
    uint64_t a, b; /* guarded by the lock; equal whenever it is free */
    _Atomic unsigned torn;
};

static void write_pairs(void *argument) {
    struct shared *shared = argument;
    for (int i = 0; i < ROUNDS; i++) {
        os_rwlock_lock_exclusive(&shared->lock);
        shared->a++;
        shared->b++;
        os_rwlock_unlock_exclusive(&shared->lock);
    }
}

static void read_pairs(void *argument) {
    struct shared *shared = argument;
    for (int i = 0; i < ROUNDS; i++) {
        os_rwlock_lock_shared(&shared->lock);
        if (shared->a != shared->b)
            shared->torn++;
        os_rwlock_unlock_shared(&shared->lock);
    }
}

/* Readers never see a writer's half-done change. */
static void rwlock_excludes_writers(void **state) {
    (void)state;
    struct shared shared = {.a = 0};
    os_rwlock_init(&shared.lock);
    struct os_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            os_thread_start(&threads[i], "rw", i % 4 == 0 ? write_pairs : read_pairs, &shared),
            STATUS_OK);
    for (int i = 0; i < THREADS; i++)
        os_thread_join(threads[i]);
    assert_int_equal(shared.torn, 0);
    assert_int_equal(shared.a, THREADS / 4 * ROUNDS);
    os_rwlock_destroy(&shared.lock);
}

static void signal_later(void *argument) {
    os_sleep_ns(2 * MS);
    os_completion_signal(argument);
}

/* wait returns only after as many signals as were expected; the object may die right after. */
static void completion_counts(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct os_completion *completion = malloc(sizeof *completion);
        os_completion_init(completion);
        assert_true(os_completion_wait_timeout(completion, 0));
        os_completion_expect(completion, 3);
        assert_false(os_completion_wait_timeout(completion, 0));
        for (int i = 0; i < 3; i++)
            assert_int_equal(os_thread_start(NULL, "signal", signal_later, completion), STATUS_OK);
        os_completion_wait(completion);
        os_completion_destroy(completion);
        free(completion);
    }
}

/* A timed wait gives up while a signal is outstanding. */
static void completion_times_out(void **state) {
    (void)state;
    struct os_completion completion;
    os_completion_init(&completion);
    os_completion_expect(&completion, 1);
    uint64_t start = os_now_ns();
    assert_false(os_completion_wait_timeout(&completion, 10 * MS));
    assert_true(os_now_ns() - start >= 10 * MS);
    os_completion_signal(&completion);
    assert_true(os_completion_wait_timeout(&completion, 10 * MS));
    os_completion_destroy(&completion);
}

/* Sleeping takes at least as long as asked; the clocks go forward and know the century. */
static void clocks_advance(void **state) {
    (void)state;
    uint64_t start = os_now_ns();
    os_sleep_ns(5 * MS);
    assert_true(os_now_ns() - start >= 5 * MS);
    assert_true(os_wall_clock_ns() > 1700000000ull * 1000000000ull);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex_excludes),          cmocka_unit_test(mutex_knows_its_holder),
        cmocka_unit_test(condition_times_out),     cmocka_unit_test(broadcast_wakes_all),
        cmocka_unit_test(rwlock_excludes_writers), cmocka_unit_test(completion_counts),
        cmocka_unit_test(completion_times_out),    cmocka_unit_test(clocks_advance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
