/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for kernel/cpu/cpu.h where kernel code runs in a Linux process: no interrupts there, so
 * that a spinlock is only a spinlock. "Interrupts" are threads.
 */
#ifndef KERNEL_CPU_CPU_H
#define KERNEL_CPU_CPU_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

static inline uint64_t cpu_interrupts_disable(void) {
    return 0;
}
static inline void cpu_interrupts_restore(uint64_t flags) {
    (void)flags;
}
/* The holder of a ticket lock may have lost its CPU. */
static inline void cpu_pause(void) {
    sched_yield();
}

#endif
