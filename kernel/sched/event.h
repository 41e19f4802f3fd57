/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wake-up that is remembered: how an interrupt handler tells a driver's thread that there is
 * work. Signals that come while nobody waits collapse into one.
 */
#ifndef KERNEL_SCHED_EVENT_H
#define KERNEL_SCHED_EVENT_H

#include "base/list.h"
#include "kernel/cpu/spinlock.h"

#include <stdbool.h>
#include <stdint.h>

struct event {
    struct spinlock lock; /* guards both below */
    bool signalled;
    struct list_node waiters;
};

void event_init(struct event *event);
/* Any context. */
void event_signal(struct event *event);
/* Waits for a signal and takes it; false if timeout_ns (OS_FOREVER: none) passed first. Thread. */
bool event_wait(struct event *event, uint64_t timeout_ns);

#endif
