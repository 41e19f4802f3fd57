/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selftest=sched`: threads, time slices, classes, sleep and timers on the real machine. The cases
 * run one after another in one thread; what they share with their threads lives in the statics
 * below and is atomic.
 */
#include "base/math.h"
#include "base/os.h"
#include "kernel/cpu/percpu.h"
#include "kernel/sched/event.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/thread.h"
#include "kernel/selftest/selftest.h"
#include "kernel/time/timer.h"

#define MS 1000000ull
#define THREADS_IN_TURN 4000u
#define THREADS_AT_ONCE 500u
#define BATCH 50u
#define TIMERS 1000u
#define INTERRUPT_ROUNDS 2000u

static unsigned counter;
static bool stop;

static void count_one(void *argument) {
    (void)argument;
    __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
}

/* Thousands of threads, started and joined, leave nothing behind. */
static bool threads_come_and_go(void) {
    struct os_thread *threads[BATCH];
    struct os_memory_info before = {0}, after;
    counter = 0;
    for (unsigned done = 0; done < THREADS_IN_TURN; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            SELFTEST_CHECK(os_thread_start(&threads[i], "counter", count_one, NULL) == STATUS_OK);
        for (unsigned i = 0; i < BATCH; i++)
            os_thread_join(threads[i]);
        if (done == 0)
            os_memory_info(&before); /* stacks and slabs are warm from here on */
    }
    SELFTEST_CHECK(counter == THREADS_IN_TURN);
    os_memory_info(&after);
    SELFTEST_CHECK(after.free_bytes + 64 * OS_PAGE_SIZE >= before.free_bytes);
    return true;
}

/* Starts thousands of detached threads, few at a time, and waits until all are gone. */
static bool run_detached(void) {
    counter = 0;
    for (unsigned started = 0; started < THREADS_IN_TURN; started++) {
        SELFTEST_CHECK(os_thread_start(NULL, "detached", count_one, NULL) == STATUS_OK);
        while (__atomic_load_n(&counter, __ATOMIC_RELAXED) + BATCH < started)
            os_thread_yield();
    }
    for (unsigned i = 0; i < 1000 && __atomic_load_n(&counter, __ATOMIC_RELAXED) < THREADS_IN_TURN;
         i++)
        os_sleep_ns(5 * MS);
    os_sleep_ns(50 * MS);
    SELFTEST_CHECK(counter == THREADS_IN_TURN);
    return true;
}

/* Detached threads are released by the reaper: their stacks serve again and again. How many stacks
 * there are at the peak depends on how far the reaper falls behind; had they leaked, a second time
 * would cost a stack for each thread. */
static bool detached_threads_are_released(void) {
    struct os_memory_info before, after;
    SELFTEST_CHECK(run_detached());
    os_memory_info(&before);
    SELFTEST_CHECK(run_detached());
    os_memory_info(&after);
    uint64_t all_stacks = (uint64_t)THREADS_IN_TURN * THREAD_STACK_SIZE;
    SELFTEST_CHECK(after.free_bytes + all_stacks / 2 >= before.free_bytes);
    return true;
}

static void sleep_a_little(void *argument) {
    os_sleep_ns((uintptr_t)argument);
    count_one(NULL);
}

/* Hundreds of threads asleep at once all wake up. */
static bool many_threads_sleep_at_once(void) {
    struct os_thread **threads = os_alloc(THREADS_AT_ONCE * sizeof *threads);
    SELFTEST_CHECK(threads != NULL);
    counter = 0;
    for (uintptr_t i = 0; i < THREADS_AT_ONCE; i++)
        SELFTEST_CHECK(os_thread_start(&threads[i], "sleeper", sleep_a_little,
                                       (void *)(i * 7919 % 50 * MS)) == STATUS_OK);
    for (unsigned i = 0; i < THREADS_AT_ONCE; i++)
        os_thread_join(threads[i]);
    os_free(threads);
    SELFTEST_CHECK(counter == THREADS_AT_ONCE);
    return true;
}

static void spin(void *argument) {
    uint64_t *turns = argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        __atomic_fetch_add(turns, 1, __ATOMIC_RELAXED);
}

/* Starts a thread that never gives way, bound to the caller's CPU. */
static enum status start_spinner(struct thread **thread, enum thread_priority priority,
                                 uint64_t *turns) {
    struct thread_options options = {.priority = priority, .affinity = cpu_index()};
    return thread_start(thread, "spinner", &options, spin, turns);
}

/* Threads that never give way share a CPU about evenly, and do not keep others from it. */
static bool spinners_share_the_cpu(void) {
    struct thread *threads[2 * 3];
    uint64_t turns[ARRAY_LENGTH(threads)] = {0}, least = UINT64_MAX, most = 0;
    unsigned count = ARRAY_LENGTH(threads);
    stop = false;
    for (unsigned i = 0; i < count; i++)
        SELFTEST_CHECK(start_spinner(&threads[i], THREAD_NORMAL, &turns[i]) == STATUS_OK);
    uint64_t start = os_now_ns();
    os_sleep_ns(600 * MS);
    uint64_t slept = os_now_ns() - start;
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        thread_join(threads[i]);
        least = MATH_MIN(least, turns[i]);
        most = MATH_MAX(most, turns[i]);
    }
    log_info("selftest", "spinners: least %llu, most %llu turns; slept %llu ms beside them",
             (unsigned long long)least, (unsigned long long)most, (unsigned long long)(slept / MS));
    SELFTEST_CHECK(least > 0);
    SELFTEST_CHECK(least * 4 > most);
    return true;
}

/* A normal spinner keeps a background thread nearly, but not wholly, off the CPU; a real-time
 * thread runs at once. */
static bool classes_take_precedence(void) {
    struct thread *normal, *background, *real_time;
    uint64_t normal_turns = 0, background_turns = 0;
    stop = false;
    counter = 0;
    SELFTEST_CHECK(start_spinner(&background, THREAD_BACKGROUND, &background_turns) == STATUS_OK);
    SELFTEST_CHECK(start_spinner(&normal, THREAD_NORMAL, &normal_turns) == STATUS_OK);
    os_sleep_ns(1500 * MS);
    struct thread_options options = {.priority = THREAD_REALTIME, .affinity = cpu_index()};
    SELFTEST_CHECK(thread_start(&real_time, "real-time", &options, count_one, NULL) == STATUS_OK);
    unsigned at_once = counter; /* starting it gave it the CPU */
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    thread_join(real_time);
    thread_join(normal);
    thread_join(background);
    SELFTEST_CHECK(at_once == 1);
    SELFTEST_CHECK(background_turns > 0);
    SELFTEST_CHECK(normal_turns > 4 * background_turns);
    return true;
}

/* Sleep is never short; on an idle machine it is not long either. */
static bool sleep_is_accurate(void) {
    uint64_t worst = 0;
    for (uint64_t wanted = 0; wanted <= 20 * MS; wanted += MS / 2) {
        uint64_t start = os_now_ns();
        os_sleep_ns(wanted);
        uint64_t slept = os_now_ns() - start;
        SELFTEST_CHECK(slept >= wanted);
        worst = MATH_MAX(worst, slept - wanted);
    }
    log_info("selftest", "sleep: at most %llu us too long", (unsigned long long)(worst / 1000));
    SELFTEST_CHECK(worst < 500 * MS); /* the host may be busy */
    return true;
}

static uint64_t last_deadline;
static bool in_order;

static void note_order(struct timer *timer) {
    in_order = in_order && timer->deadline >= last_deadline;
    last_deadline = timer->deadline;
    os_completion_signal(timer->context);
}

/* A thousand timers on one CPU run in the order of their deadlines; cancelled ones do not run. */
static bool timers_run_in_order(void) {
    struct timer *timers = os_alloc(TIMERS * sizeof *timers);
    SELFTEST_CHECK(timers != NULL);
    struct os_completion done;
    os_completion_init(&done);
    in_order = true;
    last_deadline = 0;
    sched_preempt_disable(); /* all on one CPU */
    uint64_t start = os_now_ns();
    for (unsigned i = 0; i < TIMERS; i++) {
        timer_init(&timers[i], note_order, &done);
        os_completion_expect(&done, 1);
        timer_start(&timers[i], start + 100 * MS + (uint64_t)i * 7919 % TIMERS * (MS / 20));
    }
    unsigned cancelled = 0;
    for (unsigned i = 0; i < TIMERS; i += 3)
        cancelled += timer_cancel(&timers[i]);
    sched_preempt_enable();
    for (unsigned i = 0; i < cancelled; i++)
        os_completion_signal(&done);
    os_completion_wait(&done);
    os_completion_destroy(&done);
    os_free(timers);
    SELFTEST_CHECK(cancelled == (TIMERS + 2) / 3);
    SELFTEST_CHECK(in_order);
    return true;
}

static void complete(struct timer *timer) {
    os_completion_signal(timer->context);
}

/* A completion on the stack, signalled from the timer interrupt, thousands of times. */
static bool interrupts_complete(void) {
    for (unsigned i = 0; i < INTERRUPT_ROUNDS; i++) {
        struct os_completion completion;
        struct timer timer;
        os_completion_init(&completion);
        os_completion_expect(&completion, 1);
        timer_init(&timer, complete, &completion);
        timer_start(&timer, os_now_ns() + i % 40 * 1000);
        os_completion_wait(&completion);
        os_completion_destroy(&completion);
        timer_cancel(&timer);
    }
    return true;
}

static void signal_event(struct timer *timer) {
    event_signal(timer->context);
}

/* An event is remembered, collapses, wakes from interrupt and times out. */
static bool events_are_remembered(void) {
    struct event event;
    struct timer timer;
    event_init(&event);
    SELFTEST_CHECK(!event_wait(&event, MS));
    event_signal(&event);
    event_signal(&event);
    SELFTEST_CHECK(event_wait(&event, OS_FOREVER));
    SELFTEST_CHECK(!event_wait(&event, 0));
    timer_init(&timer, signal_event, &event);
    for (unsigned i = 0; i < INTERRUPT_ROUNDS; i++) {
        timer_start(&timer, os_now_ns() + i % 40 * 1000);
        SELFTEST_CHECK(event_wait(&event, 10000 * MS));
    }
    timer_cancel(&timer);
    return true;
}

bool selftest_sched(void) {
    static const struct selftest_case cases[] = {
        {"threads come and go", threads_come_and_go},
        {"detached threads are released", detached_threads_are_released},
        {"many threads sleep at once", many_threads_sleep_at_once},
        {"spinners share the CPU", spinners_share_the_cpu},
        {"classes take precedence", classes_take_precedence},
        {"sleep is accurate", sleep_is_accurate},
        {"timers run in order", timers_run_in_order},
        {"interrupts complete", interrupts_complete},
        {"events are remembered", events_are_remembered}};
    return selftest_cases("sched", cases, ARRAY_LENGTH(cases));
}
