/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: a function to be called at a moment. Each CPU has a queue of its own, a pairing heap of
 * the timers themselves, so that starting one needs no memory and there can be any number.
 */
#ifndef KERNEL_TIME_TIMER_H
#define KERNEL_TIME_TIMER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct timer_queue;
struct timer;

/* Called with interrupts off; must not sleep. May start the timer again. */
typedef void timer_function(struct timer *timer);

/* The owner makes one call at a time on a timer. */
struct timer {
    timer_function *function;
    void *context;                            /* the owner's */
    uint64_t deadline;                        /* os_now_ns() time; the heap's key */
    struct timer_queue *queue;                /* where it was last started; NULL: never */
    struct timer *child, *sibling, *previous; /* guarded by the queue's lock */
    bool queued;                              /* guarded by the queue's lock */
};

void timer_init(struct timer *timer, timer_function *function, void *context);
/* Calls the function once, at or soon after the deadline, on this CPU. A timer that is running
 * already moves. Any context. */
void timer_start(struct timer *timer, uint64_t deadline);
/* After return the function does not run and will not. True if it was still to come. Any context
 * but the function itself. */
bool timer_cancel(struct timer *timer);

/* The queue and timer hardware of the calling CPU. At boot, after irq_initialize_cpu(). */
enum status timer_initialize_cpu(void);

/* The scheduler wants sched_slice_check() called at this moment; UINT64_MAX: not at all. Interrupts
 * off; for the calling CPU. */
void timer_set_slice(uint64_t deadline);

/* How many timer interrupts this CPU has had. */
uint64_t timer_interrupts(uint32_t cpu);

#endif
