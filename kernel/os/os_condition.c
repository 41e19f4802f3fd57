/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_condition. Invariants: a waiter is on the list before it gives up the mutex, so that no signal
 * sent under the mutex is missed. `inside` counts threads that still touch the condition: destroy
 * waits for those that were woken and are on their way out.
 */
#include "base/assert.h"
#include "base/os.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

struct condition {
    struct spinlock lock; /* guards both below; taken before the mutex's */
    struct list_node waiters;
    unsigned inside;
};
_Static_assert(sizeof(struct condition) <= sizeof(struct os_condition),
               "os.h leaves too little room");

static struct condition *inside(struct os_condition *condition) {
    return (struct condition *)condition;
}

void os_condition_init(struct os_condition *opaque) {
    struct condition *condition = inside(opaque);
    *condition = (struct condition){.inside = 0};
    list_init(&condition->waiters);
}

void os_condition_destroy(struct os_condition *opaque) {
    struct condition *condition = inside(opaque);
    for (;;) {
        uint64_t flags = spinlock_lock(&condition->lock);
        ASSERT(list_is_empty(&condition->waiters));
        unsigned count = condition->inside;
        spinlock_unlock(&condition->lock, flags);
        if (count == 0)
            return;
        os_thread_yield();
    }
}

bool os_condition_wait(struct os_condition *opaque, struct os_mutex *mutex, uint64_t timeout_ns) {
    struct condition *condition = inside(opaque);
    uint64_t deadline = wait_deadline(timeout_ns);
    struct waiter waiter;
    uint64_t flags = spinlock_lock(&condition->lock);
    condition->inside++;
    os_mutex_unlock(mutex); /* wakes at most; interrupts are off, so nothing switches here */
    bool woken = wait_sleep(&condition->waiters, &condition->lock, &waiter, deadline);
    condition->inside--;
    spinlock_unlock(&condition->lock, flags);
    os_mutex_lock(mutex);
    return woken;
}

void os_condition_signal(struct os_condition *opaque) {
    struct condition *condition = inside(opaque);
    uint64_t flags = spinlock_lock(&condition->lock);
    wait_wake_one(&condition->waiters);
    spinlock_unlock(&condition->lock, flags);
    sched_preempt_point();
}

void os_condition_broadcast(struct os_condition *opaque) {
    struct condition *condition = inside(opaque);
    uint64_t flags = spinlock_lock(&condition->lock);
    wait_wake_all(&condition->waiters);
    spinlock_unlock(&condition->lock, flags);
    sched_preempt_point();
}
