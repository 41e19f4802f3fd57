/* SPDX-License-Identifier: Apache-2.0 */
/* os.h's threads, sleep and clock, over kernel/sched and kernel/time. No state of its own. */
#include "base/os.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"
#include "kernel/time/clock.h"

enum status os_thread_start(struct os_thread **thread, const char *name,
                            void (*entry)(void *argument), void *argument) {
    struct thread_options options = {
        .priority = THREAD_NORMAL, .affinity = THREAD_ANY_CPU, .detached = thread == NULL};
    return thread_start((struct thread **)thread, name, &options, entry, argument);
}

void os_thread_join(struct os_thread *thread) {
    thread_join((struct thread *)thread);
}

void os_thread_yield(void) {
    sched_yield();
}

void os_sleep_ns(uint64_t nanoseconds) {
    struct spinlock lock = {0};
    uint64_t deadline = wait_deadline(nanoseconds);
    while (clock_now_ns() < deadline) {
        uint64_t flags = spinlock_lock(&lock);
        sched_block(&lock, deadline);
        cpu_interrupts_restore(flags);
    }
}

uint64_t os_now_ns(void) {
    return clock_now_ns();
}

uint64_t os_wall_clock_ns(void) {
    return clock_wall_ns();
}
