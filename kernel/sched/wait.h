/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a condition that a spinlock guards, without losing a wake-up. The object has a
 * spinlock and a list of waiters; whoever waits looks at the condition under the lock, and so does
 * whoever makes it true and wakes.
 */
#ifndef KERNEL_SCHED_WAIT_H
#define KERNEL_SCHED_WAIT_H

#include "base/list.h"
#include "kernel/cpu/spinlock.h"

#include <stdbool.h>
#include <stdint.h>

struct thread;

/* On the waiting thread's stack; guarded by the object's lock. */
struct waiter {
    struct list_node link;
    struct thread *thread;
    bool woken;
    bool exclusive; /* for the owner of the list */
};

/* Turns a timeout (OS_FOREVER: none) into a moment. */
uint64_t wait_deadline(uint64_t timeout_ns);

/*
 * Sleeps on the list until woken or until the deadline (UINT64_MAX: none). The object's lock is
 * held before and after, but not while asleep; interrupts stay off throughout from the caller's
 * point of view. Returns whether it was woken: a waiter that was taken off the list counts as
 * woken, even if its deadline passed in the same moment, so that no wake-up is lost. Thread
 * context.
 */
bool wait_sleep(struct list_node *waiters, struct spinlock *lock, struct waiter *waiter,
                uint64_t deadline);
/* Takes one waiter (the longest waiting) or a given one off the list and wakes it; the lock is
 * held. False if there is none. Any context. */
bool wait_wake_one(struct list_node *waiters);
void wait_wake(struct waiter *waiter);
void wait_wake_all(struct list_node *waiters);

#endif
