/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: preemptive kernel threads on per-CPU run queues.
 *
 * A thread is real-time, normal or background. On a CPU the highest class that has a runnable
 * thread runs; threads of a class take turns by time slice. A normal thread that wakes up with part
 * of its slice unused (it waited for I/O) runs before other normal threads until that slice is
 * gone. Background threads get a slice now and then even on a busy CPU, because they may hold a
 * lock that others need. A CPU without work takes some from the one with most.
 *
 * Code is preempted only while interrupts are on and preemption is not switched off.
 */
#ifndef KERNEL_SCHED_SCHED_H
#define KERNEL_SCHED_SCHED_H

#include "base/status.h"
#include "kernel/cpu/spinlock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread;

enum thread_priority { THREAD_REALTIME, THREAD_NORMAL, THREAD_BACKGROUND };

#define THREAD_ANY_CPU UINT32_MAX
#define THREAD_NAME_SIZE 32u
#define THREAD_STACK_SIZE 32768u

struct thread_options {
    enum thread_priority priority;
    uint32_t affinity; /* index of the only CPU that may run it, or THREAD_ANY_CPU */
    bool detached;     /* releases itself at its end; else it must be joined */
};

/* ---- the machine's start ---- */

/* Makes the caller the boot CPU's first thread, "boot". After memory; interrupts are off. From then
 * on everything of os.h that needs no clock works; threads take turns once the timer runs. */
enum status sched_initialize(void);

/* Starts the other processors that the MADT lists; they take threads at once. Boot thread, once,
 * after everything else of the machine's start, interrupts on. An error leaves those that run. */
enum status sched_start_cpus(void);

/* Turns a CPU that was started later into one that runs threads, and never returns. Interrupts off,
 * local APIC and timer ready. */
_Noreturn void sched_run_cpu(void);

/* ---- threads ---- */

/* Starts a thread. `thread` may be NULL if it is detached. The name is copied. NO_MEMORY. Thread
 * context. */
enum status thread_start(struct thread **thread, const char *name,
                         const struct thread_options *options, void (*entry)(void *argument),
                         void *argument);
/* Waits for the end of a thread that is not detached, and releases it. */
void thread_join(struct thread *thread);
/* The calling thread's name; any context (then the interrupted thread's). */
const char *thread_name(void);
/* Changes the calling thread's class. */
void thread_set_priority(enum thread_priority priority);

/* ---- blocking: the ground on which wait.h stands ---- */

/*
 * Blocks the calling thread until sched_wake(), or the deadline (UINT64_MAX: none). `lock` is held
 * by the caller, and is released, with interrupts still off, once the thread counts as blocked: a
 * waker that takes the lock cannot be missed. Returns with interrupts off and the lock not held;
 * false if the deadline passed first. Thread context.
 */
bool sched_block(struct spinlock *lock, uint64_t deadline);
/* Makes a blocked thread runnable; no effect on one that is not blocked. Any context. The caller
 * makes sure that the thread still exists. */
void sched_wake(struct thread *thread);
/* Gives way to another thread of the same or a higher class. */
void sched_yield(void);

/* ---- preemption ---- */

/* Nest. The thread stays on its CPU between the two. */
void sched_preempt_disable(void);
void sched_preempt_enable(void);
/* Switches now if a thread that should run was woken and nothing forbids it: called after a lock
 * under which threads are woken was released. Any context. */
void sched_preempt_point(void);
/* The end of an interrupt; interrupts off. For kernel/irq. */
void sched_preempt_from_interrupt(void);
/* The running thread's slice may be used up; interrupts off. For kernel/time. */
void sched_slice_check(uint64_t now);

/* ---- statistics ---- */

struct sched_cpu_statistics {
    uint64_t switches, preemptions, steals, idle_ns;
    uint32_t runnable;
};
void sched_cpu_statistics(uint32_t cpu, struct sched_cpu_statistics *out);

struct thread_statistics {
    uint64_t id;
    char name[THREAD_NAME_SIZE];
    const char *state;
    enum thread_priority priority;
    uint32_t cpu;
    uint64_t run_ns, switches, preemptions, wakeups;
};
/* Calls visit for every thread. It must not sleep. Thread context. */
void thread_for_each(void (*visit)(const struct thread_statistics *statistics, void *context),
                     void *context);

/* Writes all CPUs and threads to the console. Thread context. */
void sched_print(void);

#endif
