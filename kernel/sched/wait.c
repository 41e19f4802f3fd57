/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: a waiter is on the list exactly while neither woken nor timed out has been settled
 * under the lock. The thread is woken under the object's lock, which it needs to get away: it
 * cannot end while the waker still holds it.
 */
#include "kernel/sched/wait.h"
#include "base/assert.h"
#include "base/os.h"
#include "kernel/cpu/percpu.h"
#include "kernel/sched/sched.h"
#include "kernel/time/clock.h"

uint64_t wait_deadline(uint64_t timeout_ns) {
    if (timeout_ns == OS_FOREVER)
        return UINT64_MAX;
    uint64_t now = clock_now_ns();
    return timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
}

bool wait_sleep(struct list_node *waiters, struct spinlock *lock, struct waiter *waiter,
                uint64_t deadline) {
    waiter->thread = cpu_current_thread();
    waiter->woken = false;
    list_push_back(waiters, &waiter->link);
    sched_block(lock, deadline);
    spinlock_lock(lock);
    if (!waiter->woken)
        list_remove(&waiter->link);
    return waiter->woken;
}

void wait_wake(struct waiter *waiter) {
    ASSERT(!waiter->woken);
    list_remove(&waiter->link);
    waiter->woken = true;
    sched_wake(waiter->thread);
}

bool wait_wake_one(struct list_node *waiters) {
    if (list_is_empty(waiters))
        return false;
    wait_wake(LIST_CONTAINER(waiters->next, struct waiter, link));
    return true;
}

void wait_wake_all(struct list_node *waiters) {
    while (wait_wake_one(waiters)) {
    }
}
