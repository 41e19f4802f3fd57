/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selftest=locks`: os.h's mutex, condition, read-write lock and completion under many threads with
 * preemption. The cases run one after another; `shared` is what their threads fight over, guarded
 * as each case says.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/selftest/selftest.h"

#define MS 1000000ull
#define THREADS 12u
#define MUTEX_ROUNDS 20000u
#define QUEUE_ITEMS 20000u
#define QUEUE_SIZE 7u
#define LOCK_ROUNDS 3000u
#define COMPLETION_ROUNDS 3000u

static struct {
    struct os_mutex mutex;
    struct os_condition not_empty, not_full;
    struct os_rwlock rwlock;
    uint64_t sum;    /* mutex, or the exclusive lock */
    uint64_t twin;   /* the same */
    unsigned queued; /* mutex */
    unsigned queue[QUEUE_SIZE];
    unsigned taken;   /* mutex */
    bool broken;      /* atomic: an exclusion did not hold */
    unsigned readers; /* atomic */
    unsigned most_readers;
} shared;

/* Runs `entry` in THREADS threads with their number as argument, to the end of all. */
static bool run_threads(void (*entry)(void *argument)) {
    struct os_thread *threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        SELFTEST_CHECK(os_thread_start(&threads[i], "worker", entry, (void *)i) == STATUS_OK);
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(threads[i]);
    return true;
}

/* Two counters that only exclusion keeps equal; a yield in the middle makes preemption sure. */
static void change_twins(uint64_t round) {
    if (shared.sum != shared.twin)
        __atomic_store_n(&shared.broken, true, __ATOMIC_RELAXED);
    shared.sum++;
    if (round % 97 == 0)
        os_thread_yield();
    shared.twin++;
}

static void mutex_worker(void *argument) {
    uintptr_t self = (uintptr_t)argument;
    for (unsigned i = 0; i < MUTEX_ROUNDS; i++) {
        if ((i + self) % 5 != 0 || !os_mutex_try_lock(&shared.mutex))
            os_mutex_lock(&shared.mutex);
        change_twins(i);
        os_mutex_unlock(&shared.mutex);
    }
}

static bool mutex_excludes(void) {
    memset(&shared, 0, sizeof shared);
    os_mutex_init(&shared.mutex);
    if (!run_threads(mutex_worker))
        return false;
    SELFTEST_CHECK(!shared.broken);
    SELFTEST_CHECK(shared.sum == (uint64_t)THREADS * MUTEX_ROUNDS);
    SELFTEST_CHECK(!os_mutex_is_held(&shared.mutex));
    os_mutex_destroy(&shared.mutex);
    return true;
}

static void produce(void) {
    for (unsigned i = 0; i < QUEUE_ITEMS; i++) {
        os_mutex_lock(&shared.mutex);
        while (shared.queued == QUEUE_SIZE)
            os_condition_wait(&shared.not_full, &shared.mutex, OS_FOREVER);
        shared.queue[shared.queued++] = i;
        os_condition_signal(&shared.not_empty);
        os_mutex_unlock(&shared.mutex);
    }
}

static void consume(void) {
    for (unsigned i = 0; i < QUEUE_ITEMS; i++) {
        os_mutex_lock(&shared.mutex);
        while (shared.queued == 0)
            os_condition_wait(&shared.not_empty, &shared.mutex, OS_FOREVER);
        shared.sum += shared.queue[--shared.queued];
        shared.taken++;
        os_condition_signal(&shared.not_full);
        os_mutex_unlock(&shared.mutex);
    }
}

static void queue_worker(void *argument) {
    if ((uintptr_t)argument % 2 == 0)
        produce();
    else
        consume();
}

/* A lost wake-up would leave a producer or consumer asleep for ever. */
static bool conditions_lose_nothing(void) {
    memset(&shared, 0, sizeof shared);
    os_mutex_init(&shared.mutex);
    os_condition_init(&shared.not_empty);
    os_condition_init(&shared.not_full);
    if (!run_threads(queue_worker))
        return false;
    SELFTEST_CHECK(shared.taken == THREADS / 2 * QUEUE_ITEMS);
    SELFTEST_CHECK(shared.sum == (uint64_t)THREADS / 2 * QUEUE_ITEMS * (QUEUE_ITEMS - 1) / 2);
    os_condition_destroy(&shared.not_full);
    os_condition_destroy(&shared.not_empty);
    os_mutex_destroy(&shared.mutex);
    return true;
}

static bool conditions_time_out(void) {
    struct os_mutex mutex;
    struct os_condition condition;
    os_mutex_init(&mutex);
    os_condition_init(&condition);
    os_mutex_lock(&mutex);
    uint64_t start = os_now_ns();
    bool woken = os_condition_wait(&condition, &mutex, 20 * MS);
    uint64_t waited = os_now_ns() - start;
    SELFTEST_CHECK(os_mutex_is_held(&mutex));
    os_mutex_unlock(&mutex);
    SELFTEST_CHECK(!woken);
    SELFTEST_CHECK(waited >= 20 * MS);
    os_condition_destroy(&condition);
    os_mutex_destroy(&mutex);
    return true;
}

static void read_twins(unsigned round) {
    os_rwlock_lock_shared(&shared.rwlock);
    unsigned readers = __atomic_add_fetch(&shared.readers, 1, __ATOMIC_RELAXED);
    if (readers > __atomic_load_n(&shared.most_readers, __ATOMIC_RELAXED))
        __atomic_store_n(&shared.most_readers, readers, __ATOMIC_RELAXED);
    if (shared.sum != shared.twin)
        __atomic_store_n(&shared.broken, true, __ATOMIC_RELAXED);
    if (round % 31 == 0)
        os_thread_yield();
    __atomic_fetch_sub(&shared.readers, 1, __ATOMIC_RELAXED);
    os_rwlock_unlock_shared(&shared.rwlock);
}

static void rwlock_worker(void *argument) {
    uintptr_t self = (uintptr_t)argument;
    for (unsigned i = 0; i < LOCK_ROUNDS; i++) {
        if ((i + self) % 4 != 0) {
            read_twins(i);
            continue;
        }
        os_rwlock_lock_exclusive(&shared.rwlock);
        if (__atomic_load_n(&shared.readers, __ATOMIC_RELAXED) != 0)
            __atomic_store_n(&shared.broken, true, __ATOMIC_RELAXED);
        change_twins(i);
        os_rwlock_unlock_exclusive(&shared.rwlock);
    }
}

static bool rwlock_excludes(void) {
    memset(&shared, 0, sizeof shared);
    os_rwlock_init(&shared.rwlock);
    if (!run_threads(rwlock_worker))
        return false;
    SELFTEST_CHECK(!shared.broken);
    SELFTEST_CHECK(shared.sum == (uint64_t)THREADS * LOCK_ROUNDS / 4);
    SELFTEST_CHECK(shared.most_readers > 1);
    os_rwlock_destroy(&shared.rwlock);
    return true;
}

static void take_exclusive(void *argument) {
    (void)argument;
    os_rwlock_lock_exclusive(&shared.rwlock);
    shared.sum = 1;
    os_rwlock_unlock_exclusive(&shared.rwlock);
}

static void take_shared(void *argument) {
    (void)argument;
    os_rwlock_lock_shared(&shared.rwlock);
    __atomic_store_n(&shared.taken, (unsigned)shared.sum + 1, __ATOMIC_RELAXED);
    os_rwlock_unlock_shared(&shared.rwlock);
}

/* A reader that comes while a writer waits gets in after it. */
static bool waiting_writer_holds_readers_back(void) {
    struct os_thread *writer, *reader;
    memset(&shared, 0, sizeof shared);
    os_rwlock_init(&shared.rwlock);
    os_rwlock_lock_shared(&shared.rwlock);
    SELFTEST_CHECK(os_thread_start(&writer, "writer", take_exclusive, NULL) == STATUS_OK);
    os_sleep_ns(20 * MS);
    SELFTEST_CHECK(os_thread_start(&reader, "reader", take_shared, NULL) == STATUS_OK);
    os_sleep_ns(20 * MS);
    SELFTEST_CHECK(__atomic_load_n(&shared.taken, __ATOMIC_RELAXED) == 0);
    os_rwlock_unlock_shared(&shared.rwlock);
    os_thread_join(writer);
    os_thread_join(reader);
    SELFTEST_CHECK(shared.taken == 2);
    os_rwlock_destroy(&shared.rwlock);
    return true;
}

static void signal_twice(void *argument) {
    os_completion_signal(argument);
    os_completion_signal(argument);
}

/* Completions that live on the waiter's stack: a late touch would be seen as a broken lock. */
static bool completions_may_go_away(void) {
    for (unsigned i = 0; i < COMPLETION_ROUNDS; i++) {
        struct os_completion completion;
        os_completion_init(&completion);
        os_completion_expect(&completion, 2);
        SELFTEST_CHECK(os_thread_start(NULL, "signaller", signal_twice, &completion) == STATUS_OK);
        os_completion_wait(&completion);
        os_completion_destroy(&completion);
        memset(&completion, 0xa5, sizeof completion);
    }
    struct os_completion never;
    os_completion_init(&never);
    os_completion_expect(&never, 1);
    SELFTEST_CHECK(!os_completion_wait_timeout(&never, 5 * MS));
    os_completion_signal(&never);
    SELFTEST_CHECK(os_completion_wait_timeout(&never, 0));
    os_completion_destroy(&never);
    return true;
}

bool selftest_locks(void) {
    static const struct selftest_case cases[] = {
        {"mutex excludes", mutex_excludes},
        {"conditions lose nothing", conditions_lose_nothing},
        {"conditions time out", conditions_time_out},
        {"rwlock excludes", rwlock_excludes},
        {"a waiting writer holds readers back", waiting_writer_holds_readers_back},
        {"completions may go away", completions_may_go_away}};
    return selftest_cases("locks", cases, ARRAY_LENGTH(cases));
}
