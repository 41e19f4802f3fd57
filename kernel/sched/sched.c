/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run queues and the switch between threads. Invariants:
 * 1. A thread that is RUNNABLE is on one level of the queue of its `cpu` (but for the moment in
 *    which balance.c moves it); RUNNING: it is that queue's `current`; BLOCKED or EXITED: on none.
 * 2. A queue's lock is held from before `current` changes until the switch is complete, by the old
 *    thread before and the new one after it. So nobody takes a thread whose registers are not saved
 *    yet, and a waker sees a thread either still `current` (then it just runs on) or fully asleep.
 * 3. Between the moment a thread counts as BLOCKED and its switch, interrupts stay off.
 * 4. The idle thread is never queued and never blocks.
 * 5. Lock order: the lock of an object that is waited on, then a timer queue's, then one run
 *    queue's. Two run queues' locks are never held together.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/irq/irq.h"
#include "kernel/mm/memory.h"
#include "kernel/sched/thread.h"
#include "kernel/time/clock.h"

/* A background thread that waited this long runs before normal ones, for one slice. */
#define BACKGROUND_WAIT_NS 500000000ull

static struct run_queue *local_queue(void) {
    return cpu_current()->sched;
}

/* Takes the lock of the queue that the thread is on; it may move while we wait. */
static struct run_queue *lock_queue_of(struct thread *thread, uint64_t *flags) {
    for (;;) {
        uint32_t cpu = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED);
        struct run_queue *queue = sched_queue(cpu);
        *flags = spinlock_lock(&queue->lock);
        if (__atomic_load_n(&thread->cpu, __ATOMIC_RELAXED) == cpu)
            return queue;
        spinlock_unlock(&queue->lock, *flags);
    }
}

static enum sched_level base_level(const struct thread *thread) {
    switch (thread->priority) {
    case THREAD_REALTIME:
        return SCHED_LEVEL_REALTIME;
    case THREAD_NORMAL:
        return SCHED_LEVEL_NORMAL;
    case THREAD_BACKGROUND:
        return SCHED_LEVEL_BACKGROUND;
    }
    ASSERT_UNREACHABLE();
}

/* Makes the CPU of a queue look at it; the queue's lock is held. */
static void want_switch(struct run_queue *queue, uint32_t cpu) {
    __atomic_store_n(&queue->switch_wanted, true, __ATOMIC_RELAXED);
    if (cpu != cpu_index())
        irq_send(cpu, IRQ_VECTOR_RESCHEDULE);
}

void sched_enqueue(struct run_queue *queue, struct thread *thread, bool first) {
    thread->state = THREAD_RUNNABLE;
    if (first)
        list_push_front(&queue->levels[thread->level], &thread->run_link);
    else
        list_push_back(&queue->levels[thread->level], &thread->run_link);
    queue->runnable++;
    if (thread->level < queue->current->level)
        want_switch(queue, thread->cpu);
}

/* The thread was queued on a CPU that is busy: an idle one may take it. */
static void call_helper(const struct run_queue *queue, const struct thread *thread) {
    if (queue->current != queue->idle && thread->affinity == THREAD_ANY_CPU)
        sched_call_idle_cpu();
}

static struct thread *first_of(struct run_queue *queue, enum sched_level level) {
    if (list_is_empty(&queue->levels[level]))
        return NULL;
    return LIST_CONTAINER(queue->levels[level].next, struct thread, run_link);
}

/* Takes the thread to run next off the queue. */
static struct thread *pick(struct run_queue *queue, uint64_t now) {
    struct thread *thread = first_of(queue, SCHED_LEVEL_REALTIME);
    struct thread *patient = first_of(queue, SCHED_LEVEL_BACKGROUND);
    if (thread == NULL && patient != NULL && now - patient->queued_at > BACKGROUND_WAIT_NS)
        thread = patient;
    for (unsigned level = SCHED_LEVEL_BOOSTED; thread == NULL && level < SCHED_LEVEL_COUNT; level++)
        thread = first_of(queue, level);
    if (thread == NULL)
        return queue->idle;
    list_remove(&thread->run_link);
    queue->runnable--;
    return thread;
}

/* Charges the current thread for the time since it was last charged. */
static void account(struct run_queue *queue, uint64_t now) {
    struct thread *thread = queue->current;
    uint64_t ran = now - queue->since;
    queue->since = now;
    thread->run_ns += ran;
    if (thread == queue->idle)
        queue->idle_ns += ran;
    else
        thread->slice_left -= MATH_MIN(ran, thread->slice_left);
}

/* Puts the thread that was running, and could go on, back on the queue. */
static void requeue_current(struct run_queue *queue, bool yields, uint64_t now) {
    struct thread *thread = queue->current;
    bool spent = thread->slice_left == 0;
    if (spent || yields) {
        thread->slice_left = SCHED_SLICE_NS;
        thread->level = base_level(thread);
    }
    thread->queued_at = now;
    sched_enqueue(queue, thread, !spent && !yields);
}

/* The heart: interrupts off. Comes back when the calling thread runs again, maybe on another CPU.
 */
static void reschedule(bool yields) {
    struct run_queue *queue = local_queue();
    spinlock_lock(&queue->lock);
    uint64_t now = clock_now_ns();
    struct thread *old = queue->current;
    account(queue, now);
    if (old->state == THREAD_RUNNING && old != queue->idle)
        requeue_current(queue, yields, now);
    struct thread *next = pick(queue, now);
    __atomic_store_n(&queue->switch_wanted, false, __ATOMIC_RELAXED);
    next->state = THREAD_RUNNING;
    if (next->slice_left == 0)
        next->slice_left = SCHED_SLICE_NS;
    timer_set_slice(next == queue->idle ? UINT64_MAX : now + next->slice_left);
    if (next == old) {
        spinlock_unlock(&queue->lock, 0);
        return;
    }
    if (old->state == THREAD_RUNNABLE) {
        old->preemptions += !yields;
        queue->preemptions += !yields;
        call_helper(queue, old);
    }
    queue->switches++;
    next->switches++;
    queue->previous = old;
    queue->current = next;
    cpu_current()->current_thread = next;
    sched_switch_stack(&old->stack_pointer, next->stack_pointer);
    sched_switch_finish();
}

void sched_switch_finish(void) {
    struct run_queue *queue = local_queue();
    struct thread *previous = queue->previous;
    bool exited = previous->state == THREAD_EXITED;
    spinlock_unlock(&queue->lock, 0);
    if (exited)
        thread_finished(previous);
}

static bool may_switch(const struct cpu *cpu) {
    const struct run_queue *queue = cpu->sched;
    return queue != NULL && __atomic_load_n(&queue->switch_wanted, __ATOMIC_RELAXED) &&
           cpu->preempt_depth == 0 && cpu->interrupt_depth == 0;
}

void sched_preempt_from_interrupt(void) {
    if (may_switch(cpu_current()))
        reschedule(false);
}

void sched_preempt_point(void) {
    if (!cpu_interrupts_enabled())
        return;
    uint64_t flags = cpu_interrupts_disable();
    if (may_switch(cpu_current()))
        reschedule(false);
    cpu_interrupts_restore(flags);
}

void sched_preempt_disable(void) {
    uint64_t flags = cpu_interrupts_disable();
    cpu_current()->preempt_depth++;
    cpu_interrupts_restore(flags);
}

void sched_preempt_enable(void) {
    uint64_t flags = cpu_interrupts_disable();
    ASSERT(cpu_current()->preempt_depth > 0);
    cpu_current()->preempt_depth--;
    cpu_interrupts_restore(flags);
    sched_preempt_point();
}

void sched_slice_check(uint64_t now) {
    struct run_queue *queue = local_queue();
    spinlock_lock(&queue->lock);
    account(queue, now);
    struct thread *thread = queue->current;
    if (thread != queue->idle) {
        if (thread->slice_left == 0)
            __atomic_store_n(&queue->switch_wanted, true, __ATOMIC_RELAXED);
        else
            timer_set_slice(now + thread->slice_left);
    }
    spinlock_unlock(&queue->lock, 0);
}

void sched_yield(void) {
    uint64_t flags = cpu_interrupts_disable();
    ASSERT(flags & CPU_FLAG_INTERRUPT);
    reschedule(true);
    cpu_interrupts_restore(flags);
}

/* Marks the thread runnable, or running if it has not left the CPU yet. */
static void wake(struct thread *thread, bool timed_out) {
    uint64_t flags;
    struct run_queue *queue = lock_queue_of(thread, &flags);
    if (thread->state == THREAD_BLOCKED) {
        thread->timed_out = timed_out;
        thread->wakeups++;
        if (queue->current == thread) {
            thread->state = THREAD_RUNNING;
        } else {
            thread->level = base_level(thread);
            if (thread->level == SCHED_LEVEL_NORMAL && thread->slice_left > 0)
                thread->level = SCHED_LEVEL_BOOSTED;
            thread->queued_at = thread->level == SCHED_LEVEL_BACKGROUND ? clock_now_ns() : 0;
            sched_enqueue(queue, thread, false);
            call_helper(queue, thread);
        }
    }
    spinlock_unlock(&queue->lock, flags);
}

void sched_wake(struct thread *thread) {
    wake(thread, false);
}

static void sleep_over(struct timer *timer) {
    wake(timer->context, true);
}

bool sched_block(struct spinlock *lock, uint64_t deadline) {
    struct thread *thread = cpu_current_thread();
    struct run_queue *queue = local_queue();
    ASSERT(cpu_current()->interrupt_depth == 0);
    ASSERT(cpu_current()->preempt_depth == 0);
    ASSERT(thread != queue->idle);
    spinlock_lock(&queue->lock);
    thread->state = THREAD_BLOCKED;
    thread->timed_out = false;
    spinlock_unlock(&queue->lock, 0);
    if (deadline != UINT64_MAX) {
        timer_init(&thread->sleep_timer, sleep_over, thread);
        timer_start(&thread->sleep_timer, deadline);
    }
    spinlock_unlock(lock, 0);
    reschedule(false);
    if (deadline != UINT64_MAX)
        timer_cancel(&thread->sleep_timer);
    return !thread->timed_out;
}

_Noreturn void sched_exit(void) {
    cpu_interrupts_disable();
    struct run_queue *queue = local_queue();
    spinlock_lock(&queue->lock);
    queue->current->state = THREAD_EXITED;
    spinlock_unlock(&queue->lock, 0);
    reschedule(false);
    ASSERT_UNREACHABLE();
}

void sched_add(struct thread *thread) {
    thread->cpu = sched_choose_cpu(thread);
    struct run_queue *queue = sched_queue(thread->cpu);
    uint64_t flags = spinlock_lock(&queue->lock);
    thread->level = base_level(thread);
    thread->slice_left = SCHED_SLICE_NS;
    thread->queued_at = clock_now_ns();
    sched_enqueue(queue, thread, false);
    call_helper(queue, thread);
    spinlock_unlock(&queue->lock, flags);
}

void thread_set_priority(enum thread_priority priority) {
    uint64_t flags;
    struct thread *thread = cpu_current_thread();
    struct run_queue *queue = lock_queue_of(thread, &flags);
    thread->priority = priority;
    thread->level = base_level(thread);
    __atomic_store_n(&queue->switch_wanted, true, __ATOMIC_RELAXED);
    spinlock_unlock(&queue->lock, flags);
    sched_preempt_point();
}

void sched_idle(void *argument) {
    (void)argument;
    struct run_queue *queue = local_queue();
    for (;;) {
        cpu_interrupts_disable();
        bool work = __atomic_load_n(&queue->switch_wanted, __ATOMIC_RELAXED) ||
                    __atomic_load_n(&queue->runnable, __ATOMIC_RELAXED) > 0 || sched_steal();
        if (work)
            reschedule(false);
        else
            cpu_wait_for_interrupt();
    }
}

static struct thread_options per_cpu_options(uint32_t cpu) {
    return (struct thread_options){.priority = THREAD_NORMAL, .affinity = cpu};
}

/* The run queue of the calling CPU, with the given thread as the one that runs. */
static enum status queue_make(struct thread *current, struct thread *idle) {
    struct run_queue *queue = kmalloc(sizeof *queue);
    if (queue == NULL)
        return STATUS_NO_MEMORY;
    *queue = (struct run_queue){.current = current, .idle = idle, .since = clock_now_ns()};
    for (unsigned i = 0; i < SCHED_LEVEL_COUNT; i++)
        list_init(&queue->levels[i]);
    current->state = THREAD_RUNNING;
    current->slice_left = SCHED_SLICE_NS;
    idle->level = SCHED_LEVEL_IDLE;
    cpu_current()->current_thread = current;
    /* From here on other CPUs may give threads to this one. */
    __atomic_store_n(&cpu_current()->sched, queue, __ATOMIC_RELEASE);
    return STATUS_OK;
}

enum status sched_initialize(void) {
    struct thread_options any = {.priority = THREAD_NORMAL, .affinity = THREAD_ANY_CPU};
    struct thread_options here = per_cpu_options(cpu_index());
    struct thread *boot = thread_make("boot", &any, NULL, NULL, false);
    struct thread *idle = thread_make("idle", &here, sched_idle, NULL, true);
    if (boot == NULL || idle == NULL)
        return STATUS_NO_MEMORY;
    boot->cpu = idle->cpu = cpu_index();
    boot->level = SCHED_LEVEL_NORMAL;
    enum status status = queue_make(boot, idle);
    return status == STATUS_OK ? thread_reaper_start() : status;
}

_Noreturn void sched_run_cpu(void) {
    struct thread_options here = per_cpu_options(cpu_index());
    struct thread *idle = thread_make("idle", &here, sched_idle, NULL, false);
    if (idle != NULL)
        idle->cpu = cpu_index();
    if (idle == NULL || queue_make(idle, idle) != STATUS_OK) {
        log_error("sched", "no memory for CPU %u: it stays unused", cpu_index());
        for (;;)
            __asm__ volatile("cli; hlt");
    }
    sched_idle(NULL);
    ASSERT_UNREACHABLE();
}

void sched_cpu_statistics(uint32_t cpu, struct sched_cpu_statistics *out) {
    struct run_queue *queue = sched_queue(cpu);
    uint64_t flags = spinlock_lock(&queue->lock);
    *out = (struct sched_cpu_statistics){.switches = queue->switches,
                                         .preemptions = queue->preemptions,
                                         .steals = queue->steals,
                                         .idle_ns = queue->idle_ns,
                                         .runnable = queue->runnable};
    spinlock_unlock(&queue->lock, flags);
}
