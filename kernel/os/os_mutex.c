/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_mutex. The word `owner` is the owning thread, plus HAS_WAITERS. Invariants:
 * - Without contention it goes 0 -> thread -> 0 by one atomic instruction each way.
 * - While HAS_WAITERS is set, the word changes only under `lock`. The bit is set whenever someone
 *   is on the list, and stays on while the slow unlock runs: nobody can take, release and free the
 *   mutex before the slow unlock is done with it.
 * - A freed mutex may be taken by a thread that comes along before the one that was woken (that
 *   keeps the CPU busy); a waiter that lost this way asks for `hand_over`, and gets it at the next
 *   unlock.
 */
#include "base/assert.h"
#include "base/os.h"
#include "kernel/cpu/percpu.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

#define HAS_WAITERS ((uintptr_t)1)

struct mutex {
    uintptr_t owner;      /* atomic */
    struct spinlock lock; /* guards both below, and the owner while HAS_WAITERS */
    struct list_node waiters;
    bool hand_over;
};
_Static_assert(sizeof(struct mutex) <= sizeof(struct os_mutex), "os.h leaves too little room");

static struct mutex *inside(struct os_mutex *mutex) {
    return (struct mutex *)mutex;
}

static uintptr_t self(void) {
    uintptr_t thread = (uintptr_t)cpu_current_thread();
    ASSERT(thread != 0);
    return thread;
}

void os_mutex_init(struct os_mutex *opaque) {
    struct mutex *mutex = inside(opaque);
    *mutex = (struct mutex){.owner = 0};
    list_init(&mutex->waiters);
}

void os_mutex_destroy(struct os_mutex *opaque) {
    ASSERT((inside(opaque)->owner & ~HAS_WAITERS) == 0);
    ASSERT(list_is_empty(&inside(opaque)->waiters));
}

static bool exchange(struct mutex *mutex, uintptr_t from, uintptr_t to, int order) {
    return __atomic_compare_exchange_n(&mutex->owner, &from, to, false, order, __ATOMIC_RELAXED);
}

/* The lock is held. Takes the mutex if it is free, else makes sure that its owner will see us. */
static bool take_or_mark(struct mutex *mutex, uintptr_t me) {
    uintptr_t waiters = list_is_empty(&mutex->waiters) ? 0 : HAS_WAITERS;
    uintptr_t owner = __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED);
    for (;;) {
        uintptr_t wanted = (owner & ~HAS_WAITERS) == 0 ? me | waiters : owner | HAS_WAITERS;
        if (__atomic_compare_exchange_n(&mutex->owner, &owner, wanted, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return (owner & ~HAS_WAITERS) == 0;
    }
}

bool os_mutex_try_lock(struct os_mutex *opaque) {
    struct mutex *mutex = inside(opaque);
    if (exchange(mutex, 0, self(), __ATOMIC_ACQUIRE))
        return true;
    if (__atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) != HAS_WAITERS)
        return false;
    uint64_t flags = spinlock_lock(&mutex->lock);
    bool taken = __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == HAS_WAITERS &&
                 take_or_mark(mutex, self());
    spinlock_unlock(&mutex->lock, flags);
    return taken;
}

static void lock_slowly(struct mutex *mutex, uintptr_t me) {
    struct waiter waiter;
    uint64_t flags = spinlock_lock(&mutex->lock);
    bool woken = false;
    while (!take_or_mark(mutex, me)) {
        if (woken)
            mutex->hand_over = true;
        woken = wait_sleep(&mutex->waiters, &mutex->lock, &waiter, UINT64_MAX);
        if ((__atomic_load_n(&mutex->owner, __ATOMIC_ACQUIRE) & ~HAS_WAITERS) == me)
            break; /* it was handed over */
    }
    spinlock_unlock(&mutex->lock, flags);
}

void os_mutex_lock(struct os_mutex *opaque) {
    struct mutex *mutex = inside(opaque);
    uintptr_t me = self();
    if (exchange(mutex, 0, me, __ATOMIC_ACQUIRE))
        return;
    ASSERT(!os_mutex_is_held(opaque));
    lock_slowly(mutex, me);
}

static void unlock_slowly(struct mutex *mutex) {
    uint64_t flags = spinlock_lock(&mutex->lock);
    uintptr_t next = 0;
    if (!list_is_empty(&mutex->waiters)) {
        struct waiter *waiter = LIST_CONTAINER(mutex->waiters.next, struct waiter, link);
        next = mutex->hand_over ? (uintptr_t)waiter->thread : 0;
        mutex->hand_over = false;
        wait_wake(waiter);
    }
    if (next != 0 && list_is_empty(&mutex->waiters))
        __atomic_store_n(&mutex->owner, next, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&mutex->owner, next | HAS_WAITERS, __ATOMIC_RELEASE);
    spinlock_unlock(&mutex->lock, flags);
    sched_preempt_point();
}

void os_mutex_unlock(struct os_mutex *opaque) {
    struct mutex *mutex = inside(opaque);
    uintptr_t me = self();
    if (exchange(mutex, me, 0, __ATOMIC_RELEASE))
        return;
    ASSERT(os_mutex_is_held(opaque));
    unlock_slowly(mutex);
}

bool os_mutex_is_held(const struct os_mutex *opaque) {
    const struct mutex *mutex = (const struct mutex *)opaque;
    return (__atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) & ~HAS_WAITERS) == self();
}
