/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h's locks over pthreads.
 *
 * Invariants:
 * 1. host_mutex.owner is the holder's token, or 0 while nobody holds it. Only the holder changes
 *    it, so that a thread that finds its own token there does hold the mutex.
 * 2. A completion's count is changed only under its mutex, and a signaller touches nothing after
 *    its unlock: the waiter, which left with the mutex, may then free the object.
 */
#include "base/assert.h"
#include "base/os.h"
#include "host/host_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

struct host_mutex {
    pthread_mutex_t mutex;
    _Atomic(uintptr_t) owner;
};
struct host_completion {
    pthread_mutex_t mutex; /* guards outstanding */
    pthread_cond_t condition;
    uint64_t outstanding;
};

_Static_assert(sizeof(struct host_mutex) <= sizeof(struct os_mutex), "os_mutex is too small");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct os_condition), "os_condition is too small");
_Static_assert(sizeof(pthread_rwlock_t) <= sizeof(struct os_rwlock), "os_rwlock is too small");
_Static_assert(sizeof(struct host_completion) <= sizeof(struct os_completion),
               "os_completion is too small");
_Static_assert(_Alignof(struct host_mutex) <= _Alignof(struct os_mutex), "alignment");
_Static_assert(_Alignof(pthread_cond_t) <= _Alignof(struct os_condition), "alignment");
_Static_assert(_Alignof(pthread_rwlock_t) <= _Alignof(struct os_rwlock), "alignment");
_Static_assert(_Alignof(struct host_completion) <= _Alignof(struct os_completion), "alignment");

/* The address of a thread-local variable names the thread: unique while it lives, never 0. */
static uintptr_t thread_token(void) {
    static __thread char token;
    return (uintptr_t)&token;
}

static void must(int error) {
    ASSERT(error == 0);
}

static struct host_mutex *mutex_of(struct os_mutex *mutex) {
    return (struct host_mutex *)mutex->opaque;
}

static pthread_cond_t *condition_of(struct os_condition *condition) {
    return (pthread_cond_t *)condition->opaque;
}

static pthread_rwlock_t *rwlock_of(struct os_rwlock *lock) {
    return (pthread_rwlock_t *)lock->opaque;
}

static struct host_completion *completion_of(struct os_completion *completion) {
    return (struct host_completion *)completion->opaque;
}

void os_mutex_init(struct os_mutex *mutex) {
    must(pthread_mutex_init(&mutex_of(mutex)->mutex, NULL));
    mutex_of(mutex)->owner = 0;
}

void os_mutex_destroy(struct os_mutex *mutex) {
    ASSERT(mutex_of(mutex)->owner == 0);
    must(pthread_mutex_destroy(&mutex_of(mutex)->mutex));
}

void os_mutex_lock(struct os_mutex *mutex) {
    struct host_mutex *own = mutex_of(mutex);
    ASSERT(!os_mutex_is_held(mutex));
    must(pthread_mutex_lock(&own->mutex));
    atomic_store_explicit(&own->owner, thread_token(), memory_order_relaxed);
}

bool os_mutex_try_lock(struct os_mutex *mutex) {
    struct host_mutex *own = mutex_of(mutex);
    int error = pthread_mutex_trylock(&own->mutex);
    if (error == EBUSY)
        return false;
    must(error);
    atomic_store_explicit(&own->owner, thread_token(), memory_order_relaxed);
    return true;
}

void os_mutex_unlock(struct os_mutex *mutex) {
    struct host_mutex *own = mutex_of(mutex);
    ASSERT(os_mutex_is_held(mutex));
    atomic_store_explicit(&own->owner, 0, memory_order_relaxed);
    must(pthread_mutex_unlock(&own->mutex));
}

bool os_mutex_is_held(const struct os_mutex *mutex) {
    const struct host_mutex *own = (const struct host_mutex *)mutex->opaque;
    return atomic_load_explicit(&own->owner, memory_order_relaxed) == thread_token();
}

void os_condition_init(struct os_condition *condition) {
    must(pthread_cond_init(condition_of(condition), NULL));
}

void os_condition_destroy(struct os_condition *condition) {
    must(pthread_cond_destroy(condition_of(condition)));
}

bool os_condition_wait(struct os_condition *condition, struct os_mutex *mutex,
                       uint64_t timeout_ns) {
    struct host_mutex *own = mutex_of(mutex);
    ASSERT(os_mutex_is_held(mutex));
    atomic_store_explicit(&own->owner, 0, memory_order_relaxed);
    int error =
        host_condition_wait(condition_of(condition), &own->mutex, host_deadline_after(timeout_ns));
    atomic_store_explicit(&own->owner, thread_token(), memory_order_relaxed);
    if (error == ETIMEDOUT)
        return false;
    must(error);
    return true;
}

void os_condition_signal(struct os_condition *condition) {
    must(pthread_cond_signal(condition_of(condition)));
}

void os_condition_broadcast(struct os_condition *condition) {
    must(pthread_cond_broadcast(condition_of(condition)));
}

void os_rwlock_init(struct os_rwlock *lock) {
    pthread_rwlockattr_t attributes;
    must(pthread_rwlockattr_init(&attributes));
    must(pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
    must(pthread_rwlock_init(rwlock_of(lock), &attributes));
    must(pthread_rwlockattr_destroy(&attributes));
}

void os_rwlock_destroy(struct os_rwlock *lock) {
    must(pthread_rwlock_destroy(rwlock_of(lock)));
}

void os_rwlock_lock_shared(struct os_rwlock *lock) {
    must(pthread_rwlock_rdlock(rwlock_of(lock)));
}

void os_rwlock_unlock_shared(struct os_rwlock *lock) {
    must(pthread_rwlock_unlock(rwlock_of(lock)));
}

void os_rwlock_lock_exclusive(struct os_rwlock *lock) {
    must(pthread_rwlock_wrlock(rwlock_of(lock)));
}

bool os_rwlock_try_lock_exclusive(struct os_rwlock *lock) {
    return pthread_rwlock_trywrlock(rwlock_of(lock)) == 0;
}

void os_rwlock_unlock_exclusive(struct os_rwlock *lock) {
    must(pthread_rwlock_unlock(rwlock_of(lock)));
}

void os_completion_init(struct os_completion *completion) {
    struct host_completion *own = completion_of(completion);
    must(pthread_mutex_init(&own->mutex, NULL));
    must(pthread_cond_init(&own->condition, NULL));
    own->outstanding = 0;
}

void os_completion_destroy(struct os_completion *completion) {
    struct host_completion *own = completion_of(completion);
    must(pthread_cond_destroy(&own->condition));
    must(pthread_mutex_destroy(&own->mutex));
}

void os_completion_expect(struct os_completion *completion, unsigned count) {
    struct host_completion *own = completion_of(completion);
    must(pthread_mutex_lock(&own->mutex));
    own->outstanding += count;
    must(pthread_mutex_unlock(&own->mutex));
}

void os_completion_signal(struct os_completion *completion) {
    struct host_completion *own = completion_of(completion);
    must(pthread_mutex_lock(&own->mutex));
    ASSERT(own->outstanding > 0);
    own->outstanding--;
    if (own->outstanding == 0)
        must(pthread_cond_broadcast(&own->condition));
    must(pthread_mutex_unlock(&own->mutex));
}

void os_completion_wait(struct os_completion *completion) {
    bool done = os_completion_wait_timeout(completion, OS_FOREVER);
    ASSERT(done);
}

bool os_completion_wait_timeout(struct os_completion *completion, uint64_t timeout_ns) {
    struct host_completion *own = completion_of(completion);
    uint64_t deadline = host_deadline_after(timeout_ns);
    must(pthread_mutex_lock(&own->mutex));
    int error = 0;
    while (own->outstanding > 0 && error == 0)
        error = host_condition_wait(&own->condition, &own->mutex, deadline);
    bool done = own->outstanding == 0;
    must(pthread_mutex_unlock(&own->mutex));
    return done;
}
