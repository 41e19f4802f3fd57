/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: while `signalled` is set, as many waiters as can take it (one) have been woken. */
#include "kernel/sched/event.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

void event_init(struct event *event) {
    event->lock = (struct spinlock){0};
    event->signalled = false;
    list_init(&event->waiters);
}

void event_signal(struct event *event) {
    uint64_t flags = spinlock_lock(&event->lock);
    event->signalled = true;
    wait_wake_one(&event->waiters);
    spinlock_unlock(&event->lock, flags);
    sched_preempt_point();
}

bool event_wait(struct event *event, uint64_t timeout_ns) {
    uint64_t deadline = wait_deadline(timeout_ns);
    struct waiter waiter;
    uint64_t flags = spinlock_lock(&event->lock);
    bool in_time = true;
    while (!event->signalled && in_time)
        in_time = wait_sleep(&event->waiters, &event->lock, &waiter, deadline);
    bool taken = event->signalled;
    event->signalled = false;
    spinlock_unlock(&event->lock, flags);
    return taken;
}
