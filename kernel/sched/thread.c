/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of threads. Invariants: every thread is on `all` from thread_make() until it is
 * released; a thread is released after it left its stack for ever, by its joiner or, if detached,
 * by the reaper. Lock order: list_lock, then a run queue's lock.
 */
#include "kernel/sched/thread.h"
#include "base/assert.h"
#include "base/mem.h"
#include "kernel/console/console.h"
#include "kernel/mm/memory.h"
#include "kernel/sched/event.h"

static struct spinlock list_lock; /* guards the three below */
static struct list_node all = {&all, &all};
static struct list_node dead = {&dead, &dead}; /* detached and finished; by run_link */
static uint64_t next_id;

static struct event reaper_event;

/* The registers that sched_switch_stack() pops, and where it returns to. */
static void *initial_stack(void *stack) {
    uint64_t *top = (uint64_t *)((char *)stack + THREAD_STACK_SIZE);
    *--top = 0; /* keeps the stack aligned as at a function's entry */
    *--top = (uint64_t)(uintptr_t)sched_thread_start;
    for (unsigned i = 0; i < 6; i++)
        *--top = 0;
    return top;
}

struct thread *thread_make(const char *name, const struct thread_options *options,
                           void (*entry)(void *argument), void *argument, bool with_stack) {
    struct thread *thread = kmalloc(sizeof *thread);
    void *stack = thread != NULL && with_stack ? memory_stack_alloc(THREAD_STACK_SIZE) : NULL;
    if (thread == NULL || (with_stack && stack == NULL)) {
        kfree(thread);
        return NULL;
    }
    memset(thread, 0, sizeof *thread);
    thread->stack = stack;
    thread->stack_pointer = stack != NULL ? initial_stack(stack) : NULL;
    thread->entry = entry;
    thread->argument = argument;
    thread->detached = options->detached;
    thread->affinity = options->affinity;
    thread->priority = options->priority;
    memcpy(thread->name, name, strnlen(name, THREAD_NAME_SIZE - 1));
    list_init(&thread->run_link);
    os_completion_init(&thread->exited);
    os_completion_expect(&thread->exited, 1);
    uint64_t flags = spinlock_lock(&list_lock);
    thread->id = next_id++;
    list_push_back(&all, &thread->all_link);
    spinlock_unlock(&list_lock, flags);
    return thread;
}

static void thread_release(struct thread *thread) {
    uint64_t flags = spinlock_lock(&list_lock);
    list_remove(&thread->all_link);
    spinlock_unlock(&list_lock, flags);
    memory_stack_free(thread->stack, THREAD_STACK_SIZE);
    kfree(thread);
}

_Noreturn void thread_main(void) {
    sched_switch_finish();
    struct thread *thread = cpu_current_thread();
    cpu_interrupts_enable();
    sched_preempt_point(); /* finishing the switch may have woken a joiner */
    thread->entry(thread->argument);
    sched_exit();
}

void thread_finished(struct thread *thread) {
    if (!thread->detached) {
        os_completion_signal(&thread->exited);
        return;
    }
    uint64_t flags = spinlock_lock(&list_lock);
    list_push_back(&dead, &thread->run_link);
    spinlock_unlock(&list_lock, flags);
    event_signal(&reaper_event);
}

static void reaper(void *argument) {
    (void)argument;
    for (;;) {
        event_wait(&reaper_event, OS_FOREVER);
        struct list_node *node;
        do {
            uint64_t flags = spinlock_lock(&list_lock);
            node = list_pop_front(&dead);
            spinlock_unlock(&list_lock, flags);
            if (node != NULL)
                thread_release(LIST_CONTAINER(node, struct thread, run_link));
        } while (node != NULL);
    }
}

enum status thread_reaper_start(void) {
    static const struct thread_options options = {
        .priority = THREAD_REALTIME, .affinity = THREAD_ANY_CPU, .detached = true};
    event_init(&reaper_event);
    return thread_start(NULL, "reaper", &options, reaper, NULL);
}

enum status thread_start(struct thread **thread, const char *name,
                         const struct thread_options *options, void (*entry)(void *argument),
                         void *argument) {
    ASSERT(thread != NULL || options->detached);
    struct thread *made = thread_make(name, options, entry, argument, true);
    if (made == NULL)
        return STATUS_NO_MEMORY;
    if (thread != NULL)
        *thread = made;
    sched_add(made);
    sched_preempt_point();
    return STATUS_OK;
}

void thread_join(struct thread *thread) {
    ASSERT(!thread->detached);
    os_completion_wait(&thread->exited);
    thread_release(thread);
}

const char *thread_name(void) {
    struct thread *thread = cpu_current_thread();
    return thread != NULL ? thread->name : "start";
}

static const char *state_name(enum thread_state state) {
    static const char *const names[] = {[THREAD_RUNNING] = "running",
                                        [THREAD_RUNNABLE] = "runnable",
                                        [THREAD_BLOCKED] = "blocked",
                                        [THREAD_EXITED] = "exited"};
    return names[state];
}

void thread_for_each(void (*visit)(const struct thread_statistics *statistics, void *context),
                     void *context) {
    uint64_t flags = spinlock_lock(&list_lock);
    LIST_FOR_EACH(node, &all) {
        const struct thread *thread = LIST_CONTAINER(node, struct thread, all_link);
        struct thread_statistics statistics = {.id = thread->id,
                                               .state = state_name(thread->state),
                                               .priority = thread->priority,
                                               .cpu = thread->cpu,
                                               .run_ns = thread->run_ns,
                                               .switches = thread->switches,
                                               .preemptions = thread->preemptions,
                                               .wakeups = thread->wakeups};
        memcpy(statistics.name, thread->name, sizeof statistics.name);
        visit(&statistics, context);
    }
    spinlock_unlock(&list_lock, flags);
}

static void print_thread(const struct thread_statistics *thread, void *context) {
    static const char *const priorities[] = {[THREAD_REALTIME] = "real-time",
                                             [THREAD_NORMAL] = "normal",
                                             [THREAD_BACKGROUND] = "background"};
    (void)context;
    console_print("thread %llu %-20s %-8s %-10s cpu %u run %llu us switches %llu preempted %llu "
                  "woken %llu\n",
                  (unsigned long long)thread->id, thread->name, thread->state,
                  priorities[thread->priority], thread->cpu,
                  (unsigned long long)(thread->run_ns / 1000), (unsigned long long)thread->switches,
                  (unsigned long long)thread->preemptions, (unsigned long long)thread->wakeups);
}

void sched_print(void) {
    for (uint32_t cpu = 0; cpu < cpu_count(); cpu++) {
        if (sched_queue(cpu) == NULL)
            continue;
        struct sched_cpu_statistics cpu_statistics;
        sched_cpu_statistics(cpu, &cpu_statistics);
        console_print("cpu %u: switches %llu preemptions %llu steals %llu idle %llu ms runnable %u "
                      "timer interrupts %llu\n",
                      cpu, (unsigned long long)cpu_statistics.switches,
                      (unsigned long long)cpu_statistics.preemptions,
                      (unsigned long long)cpu_statistics.steals,
                      (unsigned long long)(cpu_statistics.idle_ns / 1000000),
                      cpu_statistics.runnable, (unsigned long long)timer_interrupts(cpu));
    }
    thread_for_each(print_thread, NULL);
}
