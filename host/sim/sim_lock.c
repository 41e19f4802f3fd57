/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world's locks. Who is woken tries again, so that the seed also decides who gets a lock.
 *
 * Invariant: a lock's fields are changed by threads only, one at a time, without a switch between.
 */
#include "base/assert.h"
#include "host/sim/sim_internal.h"

struct sim_mutex {
    struct os_thread *owner;
    struct list_node waiters;
};
struct sim_condition {
    struct list_node waiters;
};
struct sim_rwlock {
    uint64_t readers;
    struct os_thread *writer;
    uint64_t waiting_writers;
    struct list_node waiters;
};
struct sim_completion {
    uint64_t outstanding;
    struct list_node waiters;
};
_Static_assert(sizeof(struct sim_mutex) <= sizeof(struct os_mutex), "os_mutex is too small");
_Static_assert(sizeof(struct sim_condition) <= sizeof(struct os_condition), "too small");
_Static_assert(sizeof(struct sim_rwlock) <= sizeof(struct os_rwlock), "os_rwlock is too small");
_Static_assert(sizeof(struct sim_completion) <= sizeof(struct os_completion), "too small");

static struct sim_mutex *mutex_of(struct os_mutex *mutex) {
    return (struct sim_mutex *)mutex->opaque;
}

static struct sim_condition *condition_of(struct os_condition *condition) {
    return (struct sim_condition *)condition->opaque;
}

static struct sim_rwlock *rwlock_of(struct os_rwlock *lock) {
    return (struct sim_rwlock *)lock->opaque;
}

static struct sim_completion *completion_of(struct os_completion *completion) {
    return (struct sim_completion *)completion->opaque;
}

void os_mutex_init(struct os_mutex *mutex) {
    mutex_of(mutex)->owner = NULL;
    list_init(&mutex_of(mutex)->waiters);
}

void os_mutex_destroy(struct os_mutex *mutex) {
    ASSERT(mutex_of(mutex)->owner == NULL && list_is_empty(&mutex_of(mutex)->waiters));
}

void os_mutex_lock(struct os_mutex *mutex) {
    struct sim_mutex *own = mutex_of(mutex);
    ASSERT(sim_current() != NULL && own->owner != sim_current());
    sim_preempt();
    while (own->owner != NULL)
        sim_wait(&own->waiters, OS_FOREVER);
    own->owner = sim_current();
}

bool os_mutex_try_lock(struct os_mutex *mutex) {
    struct sim_mutex *own = mutex_of(mutex);
    if (own->owner != NULL)
        return false;
    own->owner = sim_current();
    return true;
}

static void release(struct sim_mutex *own) {
    ASSERT(own->owner == sim_current());
    own->owner = NULL;
    sim_wake_all(&own->waiters);
}

void os_mutex_unlock(struct os_mutex *mutex) {
    release(mutex_of(mutex));
    sim_preempt();
}

bool os_mutex_is_held(const struct os_mutex *mutex) {
    return ((const struct sim_mutex *)mutex->opaque)->owner == sim_current();
}

void os_condition_init(struct os_condition *condition) {
    list_init(&condition_of(condition)->waiters);
}

void os_condition_destroy(struct os_condition *condition) {
    ASSERT(list_is_empty(&condition_of(condition)->waiters));
}

bool os_condition_wait(struct os_condition *condition, struct os_mutex *mutex,
                       uint64_t timeout_ns) {
    struct sim_mutex *own = mutex_of(mutex);
    release(own);
    bool woken = sim_wait(&condition_of(condition)->waiters, sim_deadline(timeout_ns));
    while (own->owner != NULL)
        sim_wait(&own->waiters, OS_FOREVER);
    own->owner = sim_current();
    return woken;
}

void os_condition_signal(struct os_condition *condition) {
    sim_wake_one(&condition_of(condition)->waiters);
}

void os_condition_broadcast(struct os_condition *condition) {
    sim_wake_all(&condition_of(condition)->waiters);
}

void os_rwlock_init(struct os_rwlock *lock) {
    *rwlock_of(lock) = (struct sim_rwlock){0};
    list_init(&rwlock_of(lock)->waiters);
}

void os_rwlock_destroy(struct os_rwlock *lock) {
    const struct sim_rwlock *own = rwlock_of(lock);
    ASSERT(own->readers == 0 && own->writer == NULL && list_is_empty(&own->waiters));
}

void os_rwlock_lock_shared(struct os_rwlock *lock) {
    struct sim_rwlock *own = rwlock_of(lock);
    ASSERT(own->writer != sim_current());
    sim_preempt();
    while (own->writer != NULL || own->waiting_writers > 0)
        sim_wait(&own->waiters, OS_FOREVER);
    own->readers++;
}

void os_rwlock_unlock_shared(struct os_rwlock *lock) {
    struct sim_rwlock *own = rwlock_of(lock);
    ASSERT(own->readers > 0);
    if (--own->readers == 0)
        sim_wake_all(&own->waiters);
    sim_preempt();
}

void os_rwlock_lock_exclusive(struct os_rwlock *lock) {
    struct sim_rwlock *own = rwlock_of(lock);
    ASSERT(own->writer != sim_current());
    sim_preempt();
    own->waiting_writers++;
    while (own->writer != NULL || own->readers > 0)
        sim_wait(&own->waiters, OS_FOREVER);
    own->waiting_writers--;
    own->writer = sim_current();
}

bool os_rwlock_try_lock_exclusive(struct os_rwlock *lock) {
    struct sim_rwlock *own = rwlock_of(lock);
    if (own->writer != NULL || own->readers > 0)
        return false;
    own->writer = sim_current();
    return true;
}

void os_rwlock_unlock_exclusive(struct os_rwlock *lock) {
    struct sim_rwlock *own = rwlock_of(lock);
    ASSERT(own->writer == sim_current());
    own->writer = NULL;
    sim_wake_all(&own->waiters);
    sim_preempt();
}

void os_completion_init(struct os_completion *completion) {
    completion_of(completion)->outstanding = 0;
    list_init(&completion_of(completion)->waiters);
}

void os_completion_destroy(struct os_completion *completion) {
    ASSERT(list_is_empty(&completion_of(completion)->waiters));
}

void os_completion_expect(struct os_completion *completion, unsigned count) {
    completion_of(completion)->outstanding += count;
}

void os_completion_signal(struct os_completion *completion) {
    struct sim_completion *own = completion_of(completion);
    ASSERT(own->outstanding > 0);
    if (--own->outstanding == 0)
        sim_wake_all(&own->waiters);
}

void os_completion_wait(struct os_completion *completion) {
    bool done = os_completion_wait_timeout(completion, OS_FOREVER);
    ASSERT(done);
}

bool os_completion_wait_timeout(struct os_completion *completion, uint64_t timeout_ns) {
    struct sim_completion *own = completion_of(completion);
    uint64_t deadline = sim_deadline(timeout_ns);
    while (own->outstanding > 0)
        if (!sim_wait(&own->waiters, deadline) && own->outstanding > 0)
            return false;
    return true;
}
