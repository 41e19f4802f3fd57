/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of host/sim share with each other. */
#ifndef HOST_SIM_SIM_INTERNAL_H
#define HOST_SIM_SIM_INTERNAL_H

#include "base/list.h"
#include "base/os.h"
#include "host/sim/sim.h"

/* ---- sim_memory.c ---- */

/* Forgets all that the last world allocated. */
void sim_memory_reset(void);
uint64_t sim_memory_live(void);
/* True if this allocation is the one that has to fail. */
bool sim_memory_should_fail(void);

/* ---- sim_task.c ---- */

/* The running thread; NULL outside of threads (timers). */
struct os_thread *sim_current(void);
/* Sleeps on the list until woken, or the clock reaches the deadline (then false). */
bool sim_wait(struct list_node *waiters, uint64_t deadline);
/* Makes one thread, drawn, or all that wait on the list runnable. Any context. */
void sim_wake_one(struct list_node *waiters);
void sim_wake_all(struct list_node *waiters);
/* A moment at which the seed may let another thread run. */
void sim_preempt(void);
/* now + timeout, OS_FOREVER if that never comes. */
uint64_t sim_deadline(uint64_t timeout_ns);
struct sim_random *sim_world_random(void);

#endif
