/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each processor has of its own, found through the GS base. The kernel has no user mode, so
 * that GS never changes after cpu_activate().
 *
 * A thread that may be preempted can find itself on another CPU right after cpu_current(): turn
 * interrupts (or preemption) off for as long as the answer matters.
 */
#ifndef KERNEL_CPU_PERCPU_H
#define KERNEL_CPU_PERCPU_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct thread;      /* kernel/sched */
struct cpu_context; /* kernel/cpu: descriptor tables and exception stacks */

struct cpu {
    struct cpu *self;              /* at GS:0 */
    uint32_t index;                /* 0 is the boot CPU; dense */
    uint32_t apic_id;              /* set by whoever finds the CPUs */
    struct thread *current_thread; /* kernel/sched's; changed only on this CPU, interrupts off */
    void *sched;                   /* kernel/sched's: run queue */
    void *irq;                     /* kernel/irq's: local APIC, statistics */
    void *time;                    /* kernel/time's: timer queue */
    void *memory;                  /* kernel/mm's: page lists and magazines */
    void *spare[4];                /* for rooms to come */
    uint32_t interrupt_depth;      /* kernel/irq's: > 0 while a handler runs */
    uint32_t preempt_depth;        /* kernel/sched's: > 0 forbids preemption */
    uint64_t counters[4];          /* kernel/irq's and kernel/sched's */
    struct cpu_context *context;   /* kernel/cpu's */
    void *stack;                   /* lowest address of the stack that the CPU started on */
    size_t stack_size;             /* bytes */
};

#define CPU_OFFSET_SELF 0
_Static_assert(offsetof(struct cpu, self) == CPU_OFFSET_SELF, "read through GS");

/* Any context. */
static inline struct cpu *cpu_current(void) {
    struct cpu *cpu;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}
static inline uint32_t cpu_index(void) {
    uint32_t index;
    __asm__ volatile("movl %%gs:%c1, %0" : "=r"(index) : "i"(offsetof(struct cpu, index)));
    return index;
}
static inline struct thread *cpu_current_thread(void) {
    struct thread *thread;
    __asm__ volatile("movq %%gs:%c1, %0"
                     : "=r"(thread)
                     : "i"(offsetof(struct cpu, current_thread)));
    return thread;
}

/* CPUs that exist for cpu_get(); any context. */
uint32_t cpu_count(void);
struct cpu *cpu_get(uint32_t index);

/* The boot CPU's descriptor tables, exception stacks and GS base. First thing at boot. */
void cpu_initialize(void);

/* Makes the structure of one more CPU, with its stack. Boot CPU, thread context. NO_MEMORY. */
enum status cpu_create(uint32_t apic_id, struct cpu **cpu);

/*
 * Readies the start-up page for one CPU, which then runs entry() on its own stack with its tables
 * loaded and interrupts off. *vector is what the start-up IPI carries (the page's number below
 * 1 MiB). One CPU at a time: not again before the last one runs entry(). UNSUPPORTED if the machine
 * has no conventional memory for the page.
 */
enum status cpu_start_prepare(struct cpu *cpu, void (*entry)(void), uint8_t *vector);

#endif
