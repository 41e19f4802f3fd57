/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_completion. Invariant: a signaller's last touch of the object is to release `lock`, and a
 * waiter returns only after it took the lock and saw nothing outstanding: so the object may go away
 * as soon as wait returns.
 */
#include "base/assert.h"
#include "base/os.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

struct completion {
    struct spinlock lock; /* guards both below */
    unsigned outstanding;
    struct list_node waiters;
};
_Static_assert(sizeof(struct completion) <= sizeof(struct os_completion),
               "os.h leaves too little room");

static struct completion *inside(struct os_completion *completion) {
    return (struct completion *)completion;
}

void os_completion_init(struct os_completion *opaque) {
    struct completion *completion = inside(opaque);
    *completion = (struct completion){.outstanding = 0};
    list_init(&completion->waiters);
}

void os_completion_destroy(struct os_completion *opaque) {
    ASSERT(list_is_empty(&inside(opaque)->waiters));
}

void os_completion_expect(struct os_completion *opaque, unsigned count) {
    struct completion *completion = inside(opaque);
    uint64_t flags = spinlock_lock(&completion->lock);
    ASSERT(count <= UINT32_MAX - completion->outstanding);
    completion->outstanding += count;
    spinlock_unlock(&completion->lock, flags);
}

void os_completion_signal(struct os_completion *opaque) {
    struct completion *completion = inside(opaque);
    uint64_t flags = spinlock_lock(&completion->lock);
    ASSERT(completion->outstanding > 0);
    if (--completion->outstanding == 0)
        wait_wake_all(&completion->waiters);
    spinlock_unlock(&completion->lock, flags);
    sched_preempt_point();
}

void os_completion_wait(struct os_completion *opaque) {
    os_completion_wait_timeout(opaque, OS_FOREVER);
}

bool os_completion_wait_timeout(struct os_completion *opaque, uint64_t timeout_ns) {
    struct completion *completion = inside(opaque);
    uint64_t deadline = UINT64_MAX;
    struct waiter waiter;
    uint64_t flags = spinlock_lock(&completion->lock);
    if (completion->outstanding > 0)
        deadline = wait_deadline(timeout_ns);
    bool in_time = true;
    while (completion->outstanding > 0 && in_time)
        in_time = wait_sleep(&completion->waiters, &completion->lock, &waiter, deadline);
    bool complete = completion->outstanding == 0;
    spinlock_unlock(&completion->lock, flags);
    return complete;
}
