/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world's threads, clock and randomness.
 *
 * Invariants:
 * 1. A thread is in `runnable`, or waits (on a list of somebody, for a timer, or both), or is the
 *    current one, or has ended.
 * 2. A thread's wait number changes with every wait: a timer that carries another one is stale.
 * 3. Thread structures and stacks are the process's, and are used again by later worlds; only
 *    their contents belong to a world.
 */
#include "base/assert.h"
#include "base/math.h"
#include "host/sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (512u << 10)
#else
#define STACK_BYTES (128u << 10)
#endif

#define STEP_NS 50u        /* what it costs to run a thread */
#define PAUSE_NS 500000ull /* at most, of a thread that gives way: several requests take less */

struct os_thread {
    struct list_node link; /* of the list that it waits on */
    void *stack;
    void *context; /* stack pointer while it does not run */
    void *fake_stack;
    void (*entry)(void *argument);
    void *argument;
    uint64_t wait;
    bool waiting, timed_out, done, detached;
    struct list_node joiners;
    struct os_thread *next_free;
};

struct timer {
    uint64_t time, number;
    struct os_thread *thread; /* NULL: function */
    uint64_t wait;
    void (*function)(void *argument);
    void *argument;
};

/* The world. */
static struct sim_random world_random;
static unsigned preempt, pause_one_in;
static int64_t later_ns;
static uint64_t now_ns;
static struct os_thread *current, *first;
static bool stopping;
static uint64_t next_wait, next_timer;
static struct os_thread **runnable;
static uint64_t runnable_count, runnable_capacity;
static struct timer *timers; /* a heap, the earliest at 0 */
static uint64_t timer_count, timer_capacity;

/* The process. */
static struct os_thread **threads;
static uint64_t thread_count;
static struct os_thread *free_threads;
static void *scheduler_context;
static uint64_t leaked;
static const char *replay;

/* ---- switching: callee-saved registers and the stack pointer ---- */

void sim_switch(void **save, void *load);
__asm__(".text\n"
        ".globl sim_switch\n"
        ".type sim_switch, @function\n"
        "sim_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n"
        "    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n"
        "    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size sim_switch, .-sim_switch\n");

#ifdef __SANITIZE_ADDRESS__
static void *scheduler_fake_stack;
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;

static void switch_to_thread(struct os_thread *thread) {
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, thread->stack, STACK_BYTES);
    sim_switch(&scheduler_context, thread->context);
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, NULL, NULL);
}

static void switch_to_scheduler(struct os_thread *thread) {
    __sanitizer_start_switch_fiber(thread->done ? NULL : &thread->fake_stack, scheduler_stack,
                                   scheduler_stack_bytes);
    sim_switch(&thread->context, scheduler_context);
    __sanitizer_finish_switch_fiber(thread->fake_stack, NULL, NULL);
}

static void arrived(void) {
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_bytes);
}

static void clean_stack(struct os_thread *thread) {
    __asan_unpoison_memory_region(thread->stack, STACK_BYTES);
}
#else
static void switch_to_thread(struct os_thread *thread) {
    sim_switch(&scheduler_context, thread->context);
}

static void switch_to_scheduler(struct os_thread *thread) {
    sim_switch(&thread->context, scheduler_context);
}

static void arrived(void) {
}

static void clean_stack(struct os_thread *thread) {
    (void)thread;
}
#endif

static void *grow(void *array, uint64_t count, uint64_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = 2 * *capacity + 64;
    array = realloc(array, *capacity * size);
    ASSERT(array != NULL);
    return array;
}

static void make_runnable(struct os_thread *thread) {
    runnable = grow(runnable, runnable_count, &runnable_capacity, sizeof *runnable);
    runnable[runnable_count++] = thread;
}

static void thread_main(void) {
    arrived();
    struct os_thread *self = current;
    self->entry(self->argument);
    self->done = true;
    sim_wake_all(&self->joiners);
    if (self->detached) {
        self->next_free = free_threads;
        free_threads = self;
    }
    switch_to_scheduler(self);
    ASSERT_UNREACHABLE();
}

static struct os_thread *thread_take(void) {
    struct os_thread *thread = free_threads;
    if (thread != NULL) {
        free_threads = thread->next_free;
        return thread;
    }
    thread = calloc(1, sizeof *thread);
    threads = realloc(threads, (thread_count + 1) * sizeof(void *));
    ASSERT(thread != NULL && threads != NULL);
    char *memory = mmap(NULL, STACK_BYTES + OS_PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(memory != MAP_FAILED && mprotect(memory, OS_PAGE_SIZE, PROT_NONE) == 0);
    thread->stack = memory + OS_PAGE_SIZE;
    threads[thread_count++] = thread;
    return thread;
}

static struct os_thread *thread_make(void (*entry)(void *), void *argument, bool detached) {
    struct os_thread *thread = thread_take();
    clean_stack(thread);
    void *stack = thread->stack;
    *thread = (struct os_thread){
        .stack = stack, .entry = entry, .argument = argument, .detached = detached};
    list_init(&thread->link);
    list_init(&thread->joiners);
    uint64_t *top = (uint64_t *)((char *)stack + STACK_BYTES);
    *--top = 0; /* a return address for thread_main, which never returns: keeps it aligned */
    *--top = (uint64_t)(uintptr_t)thread_main;
    for (unsigned i = 0; i < 6; i++)
        *--top = 0;
    thread->context = top;
    make_runnable(thread);
    return thread;
}

/* ---- timers ---- */

static bool earlier(const struct timer *a, const struct timer *b) {
    return a->time != b->time ? a->time < b->time : a->number < b->number;
}

static void timer_add(struct timer timer) {
    timers = grow(timers, timer_count, &timer_capacity, sizeof *timers);
    timer.number = next_timer++;
    uint64_t at = timer_count++;
    while (at > 0 && earlier(&timer, &timers[(at - 1) / 2])) {
        timers[at] = timers[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    timers[at] = timer;
}

static struct timer timer_pop(void) {
    struct timer top = timers[0];
    struct timer last = timers[--timer_count];
    uint64_t at = 0;
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= timer_count)
            break;
        if (child + 1 < timer_count && earlier(&timers[child + 1], &timers[child]))
            child++;
        if (!earlier(&timers[child], &last))
            break;
        timers[at] = timers[child];
        at = child;
    }
    timers[at] = last;
    return top;
}

static bool timer_is_stale(const struct timer *timer) {
    return timer->thread != NULL && (!timer->thread->waiting || timer->thread->wait != timer->wait);
}

/* ---- waiting ---- */

static void wake(struct os_thread *thread, bool timed_out) {
    ASSERT(thread->waiting);
    list_remove(&thread->link);
    thread->waiting = false;
    thread->timed_out = timed_out;
    make_runnable(thread);
}

static void fire(struct timer timer) {
    if (timer_is_stale(&timer))
        return;
    now_ns = MATH_MAX(now_ns, timer.time);
    if (timer.thread != NULL)
        wake(timer.thread, true);
    else
        timer.function(timer.argument);
}

struct os_thread *sim_current(void) {
    return current;
}

struct sim_random *sim_world_random(void) {
    return &world_random;
}

uint64_t sim_deadline(uint64_t timeout_ns) {
    uint64_t deadline;
    return timeout_ns != OS_FOREVER && math_add(now_ns, timeout_ns, &deadline) ? deadline
                                                                               : OS_FOREVER;
}

bool sim_wait(struct list_node *waiters, uint64_t deadline) {
    struct os_thread *self = current;
    ASSERT(self != NULL); /* only threads may sleep */
    self->waiting = true;
    self->timed_out = false;
    self->wait = next_wait++;
    if (waiters != NULL)
        list_push_back(waiters, &self->link);
    if (deadline != OS_FOREVER)
        timer_add((struct timer){.time = deadline, .thread = self, .wait = self->wait});
    switch_to_scheduler(self);
    return !self->timed_out;
}

void sim_wake_all(struct list_node *waiters) {
    while (!list_is_empty(waiters))
        wake(LIST_CONTAINER(waiters->next, struct os_thread, link), false);
}

void sim_wake_one(struct list_node *waiters) {
    uint64_t count = 0;
    LIST_FOR_EACH(link, waiters)
    count++;
    if (count == 0)
        return;
    struct list_node *link = waiters->next;
    for (uint64_t skip = count == 1 ? 0 : sim_random_below(&world_random, count); skip > 0; skip--)
        link = link->next;
    wake(LIST_CONTAINER(link, struct os_thread, link), false);
}

void sim_preempt(void) {
    if (current == NULL || preempt == 0 || !sim_random_one_in(&world_random, preempt))
        return;
    if (pause_one_in > 0 && sim_random_one_in(&world_random, pause_one_in))
        os_sleep_ns(sim_random_below(&world_random, PAUSE_NS));
    else
        os_thread_yield();
}

/* ---- the scheduler ---- */

static void run_one(void) {
    uint64_t i = runnable_count == 1 ? 0 : sim_random_below(&world_random, runnable_count);
    current = runnable[i];
    runnable[i] = runnable[--runnable_count];
    now_ns += STEP_NS;
    switch_to_thread(current);
    current = NULL;
}

static enum sim_end schedule(void) {
    while (!stopping && !first->done) {
        while (timer_count > 0 && (timers[0].time <= now_ns || runnable_count == 0)) {
            bool last = runnable_count == 0;
            fire(timer_pop());
            if (last && runnable_count > 0)
                break;
        }
        if (runnable_count == 0 || now_ns > SIM_TIME_LIMIT_NS)
            return SIM_STUCK;
        run_one();
    }
    return stopping ? SIM_STOPPED : SIM_DONE;
}

static void drop_threads(void) {
    free_threads = NULL;
    for (uint64_t i = 0; i < thread_count; i++) {
        threads[i]->next_free = free_threads;
        free_threads = threads[i];
    }
}

enum sim_end sim_run(const struct sim_options *options, void (*entry)(void *argument),
                     void *argument) {
    ASSERT(current == NULL);
    sim_memory_reset();
    drop_threads();
    world_random.state = options->seed * 0x2545f4914f6cdd1dull + 1;
    preempt = options->preempt;
    pause_one_in = options->pause;
    now_ns = 1000000000;
    later_ns = options->later_ns;
    stopping = false;
    runnable_count = timer_count = next_timer = next_wait = 0;
    first = thread_make(entry, argument, false);
    enum sim_end end = schedule();
    leaked = sim_memory_live();
    sim_memory_reset();
    return end;
}

void sim_stop(void) {
    ASSERT(current != NULL);
    stopping = true;
    switch_to_scheduler(current);
    ASSERT_UNREACHABLE();
}

uint64_t sim_leaked(void) {
    return leaked;
}

void sim_after(uint64_t nanoseconds, void (*function)(void *argument), void *argument) {
    timer_add(
        (struct timer){.time = now_ns + nanoseconds, .function = function, .argument = argument});
}

void sim_set_replay(const char *text) {
    replay = text;
}

_Noreturn void assert_failed(const char *file, int line, const char *expression) {
    fprintf(stderr, "%s:%d: assertion failed: %s\n%s\n", file, line, expression,
            replay == NULL ? "" : replay);
    fflush(NULL);
    abort();
}

/* ---- os.h ---- */

enum status os_thread_start(struct os_thread **thread, const char *name,
                            void (*entry)(void *argument), void *argument) {
    (void)name;
    if (sim_memory_should_fail())
        return STATUS_NO_MEMORY;
    struct os_thread *new = thread_make(entry, argument, thread == NULL);
    if (thread != NULL)
        *thread = new;
    return STATUS_OK;
}

void os_thread_join(struct os_thread *thread) {
    ASSERT(!thread->detached);
    while (!thread->done)
        sim_wait(&thread->joiners, OS_FOREVER);
    thread->next_free = free_threads;
    free_threads = thread;
}

void os_thread_yield(void) {
    make_runnable(current);
    switch_to_scheduler(current);
}

void os_sleep_ns(uint64_t nanoseconds) {
    sim_wait(NULL, sim_deadline(nanoseconds));
}

uint64_t os_now_ns(void) {
    return now_ns;
}

uint64_t os_wall_clock_ns(void) {
    return SIM_START_NS + (uint64_t)later_ns + now_ns;
}

void os_random(void *out, size_t length) {
    unsigned char *bytes = out;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)sim_random_next(&world_random);
}

uint64_t sim_random_next(struct sim_random *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint64_t sim_random_below(struct sim_random *random, uint64_t limit) {
    return sim_random_next(random) % limit;
}

bool sim_random_one_in(struct sim_random *random, uint64_t n) {
    return sim_random_below(random, n) == 0;
}
