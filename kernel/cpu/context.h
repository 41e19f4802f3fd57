/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/cpu: the descriptor tables that each CPU loads. */
#ifndef KERNEL_CPU_CONTEXT_H
#define KERNEL_CPU_CONTEXT_H

#include "kernel/cpu/descriptor_regs.h"
#include "kernel/cpu/percpu.h"

#include <stdbool.h>

/* Exceptions that may come when the stack in use is bad, or at any instant at all. */
enum context_stack {
    CONTEXT_STACK_NONE,
    CONTEXT_STACK_NMI,
    CONTEXT_STACK_DOUBLE_FAULT,
    CONTEXT_STACK_MACHINE_CHECK,
    CONTEXT_STACK_COUNT
};
#define CONTEXT_STACK_SIZE 8192u

struct cpu_context {
    struct descriptor_table table;
    struct descriptor_task_state task;
    void *stacks[CONTEXT_STACK_COUNT]; /* lowest addresses */
};

/* Fills the tables; the stacks are set. */
void context_prepare(struct cpu_context *context);
/* Loads GDT, TSS, IDT and the GS base on the CPU that runs this, and lets it report its errors. */
void context_activate(struct cpu *cpu);

/* Fills the one interrupt descriptor table; once. */
void trap_prepare(void);
/* Loads it on the CPU that runs this. */
void trap_activate(void);

#endif
