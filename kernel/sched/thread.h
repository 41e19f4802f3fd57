/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of threads and run queues, for the files of this room. */
#ifndef KERNEL_SCHED_THREAD_H
#define KERNEL_SCHED_THREAD_H

#include "base/list.h"
#include "base/os.h"
#include "kernel/cpu/percpu.h"
#include "kernel/sched/sched.h"
#include "kernel/time/timer.h"

/* How long a thread runs before another of its level has its turn. */
#define SCHED_SLICE_NS 5000000ull

enum thread_state { THREAD_RUNNING, THREAD_RUNNABLE, THREAD_BLOCKED, THREAD_EXITED };

/* A run queue's levels, most urgent first. */
enum sched_level {
    SCHED_LEVEL_REALTIME,
    SCHED_LEVEL_BOOSTED,
    SCHED_LEVEL_NORMAL,
    SCHED_LEVEL_BACKGROUND,
    SCHED_LEVEL_COUNT,
    SCHED_LEVEL_IDLE = SCHED_LEVEL_COUNT /* the idle thread's; never queued */
};

struct thread {
    void *stack_pointer; /* while it does not run; switch.S knows the offset */
    void *stack;         /* NULL: the CPU's first thread, on the stack it started on */
    uint64_t id;
    char name[THREAD_NAME_SIZE];
    void (*entry)(void *argument);
    void *argument;
    bool detached;
    uint32_t affinity;

    /* Guarded by the lock of the run queue of `cpu`; cpu itself changes only under the lock of the
     * queue that it leaves. */
    uint32_t cpu;
    enum thread_state state;
    enum thread_priority priority;
    enum sched_level level;
    bool timed_out;
    uint64_t slice_left; /* ns */
    uint64_t queued_at;  /* clock, when it became runnable */
    struct list_node run_link;
    uint64_t run_ns, switches, preemptions, wakeups;

    struct timer sleep_timer; /* the thread's own */
    struct os_completion exited;
    struct list_node all_link; /* guarded by thread.c's list lock */
};

struct run_queue {
    struct spinlock lock; /* guards all below and the threads of this CPU */
    struct list_node levels[SCHED_LEVEL_COUNT];
    uint32_t runnable; /* on the levels */
    struct thread *current;
    struct thread *idle;
    struct thread *previous; /* whom the switch going on came from */
    uint64_t since;          /* clock, when `current` was switched to or last accounted */
    bool switch_wanted;      /* atomic, also read without the lock */
    uint64_t switches, preemptions, steals, idle_ns;
};

/* switch.S: saves the callee-saved registers on the stack, stores its pointer, and continues on the
 * other stack. */
void sched_switch_stack(void **save, void *load);
/* switch.S: where a new thread starts; calls thread_main(). */
void sched_thread_start(void);

/* First code of a thread, interrupts off. */
_Noreturn void thread_main(void);
/* sched.c: completes the switch by which the calling thread came to run. Interrupts off. */
void sched_switch_finish(void);
/* sched.c: puts a new thread on a CPU's queue. */
void sched_add(struct thread *thread);
/* sched.c: leaves the CPU for ever. */
_Noreturn void sched_exit(void);
/* thread.c: the thread has left its stack for ever. Interrupts off. */
void thread_finished(struct thread *thread);
/* thread.c: the thread of a CPU's start, or its idle thread; NULL without memory. */
struct thread *thread_make(const char *name, const struct thread_options *options,
                           void (*entry)(void *argument), void *argument, bool with_stack);
/* thread.c: starts the thread that releases detached ones. */
enum status thread_reaper_start(void);
/* sched.c: what an idle thread does. */
void sched_idle(void *argument);
/* balance.c: takes a thread from a busier CPU and queues it here. Thread context of the idle
 * thread. */
bool sched_steal(void);
/* balance.c: there is a thread waiting for a busy CPU: tells an idle one, if any, to take it. */
void sched_call_idle_cpu(void);
/* balance.c: where a new thread should go. */
uint32_t sched_choose_cpu(const struct thread *thread);
/* sched.c: queues a thread that is on no queue; its queue's lock is held. */
void sched_enqueue(struct run_queue *queue, struct thread *thread, bool first);

static inline struct run_queue *sched_queue(uint32_t cpu) {
    return cpu_get(cpu)->sched;
}

#endif
