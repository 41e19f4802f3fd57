/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_rwlock: first come, first served, so that neither side starves. Invariants:
 * - `writer` and `readers` > 0 exclude each other.
 * - Who waits is given the lock by the one that wakes it, in the order of the list: one writer, or
 *   all readers up to the next writer. While anybody waits, nobody who comes later gets in.
 */
#include "base/assert.h"
#include "base/os.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

struct rwlock {
    struct spinlock lock; /* guards all below */
    struct list_node waiters;
    uint32_t readers;
    bool writer;
};
_Static_assert(sizeof(struct rwlock) <= sizeof(struct os_rwlock), "os.h leaves too little room");

static struct rwlock *inside(struct os_rwlock *lock) {
    return (struct rwlock *)lock;
}

void os_rwlock_init(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    *lock = (struct rwlock){.readers = 0};
    list_init(&lock->waiters);
}

void os_rwlock_destroy(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    ASSERT(!lock->writer);
    ASSERT(lock->readers == 0);
    ASSERT(list_is_empty(&lock->waiters));
}

/* The lock was just given up: passes it on. */
static void pass_on(struct rwlock *lock) {
    while (!list_is_empty(&lock->waiters)) {
        struct waiter *first = LIST_CONTAINER(lock->waiters.next, struct waiter, link);
        if (lock->writer || (first->exclusive && lock->readers > 0))
            return;
        if (first->exclusive)
            lock->writer = true;
        else
            lock->readers++;
        wait_wake(first);
    }
}

static void wait_turn(struct rwlock *lock, bool exclusive) {
    struct waiter waiter = {.exclusive = exclusive};
    bool woken = wait_sleep(&lock->waiters, &lock->lock, &waiter, UINT64_MAX);
    ASSERT(woken); /* and so the lock is ours */
}

void os_rwlock_lock_shared(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    uint64_t flags = spinlock_lock(&lock->lock);
    if (lock->writer || !list_is_empty(&lock->waiters))
        wait_turn(lock, false);
    else
        lock->readers++;
    spinlock_unlock(&lock->lock, flags);
}

void os_rwlock_unlock_shared(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    uint64_t flags = spinlock_lock(&lock->lock);
    ASSERT(lock->readers > 0);
    lock->readers--;
    pass_on(lock);
    spinlock_unlock(&lock->lock, flags);
    sched_preempt_point();
}

void os_rwlock_lock_exclusive(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    uint64_t flags = spinlock_lock(&lock->lock);
    if (lock->writer || lock->readers > 0 || !list_is_empty(&lock->waiters))
        wait_turn(lock, true);
    else
        lock->writer = true;
    spinlock_unlock(&lock->lock, flags);
}

bool os_rwlock_try_lock_exclusive(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    uint64_t flags = spinlock_lock(&lock->lock);
    bool taken = !lock->writer && lock->readers == 0 && list_is_empty(&lock->waiters);
    if (taken)
        lock->writer = true;
    spinlock_unlock(&lock->lock, flags);
    return taken;
}

void os_rwlock_unlock_exclusive(struct os_rwlock *opaque) {
    struct rwlock *lock = inside(opaque);
    uint64_t flags = spinlock_lock(&lock->lock);
    ASSERT(lock->writer);
    lock->writer = false;
    pass_on(lock);
    spinlock_unlock(&lock->lock, flags);
    sched_preempt_point();
}
