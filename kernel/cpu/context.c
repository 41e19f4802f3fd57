/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cpu/context.h"

#include "kernel/cpu/cpu.h"
#include "kernel/cpu/machine_check.h"

#define MSR_GS_BASE 0xc0000101u

void vectors_load_segments(void);

void context_prepare(struct cpu_context *context) {
    context->task.port_map = DESCRIPTOR_NO_PORT_MAP;
    for (unsigned i = CONTEXT_STACK_NONE + 1; i < CONTEXT_STACK_COUNT; i++)
        context->task.interrupt_stacks[i - 1] = (uint64_t)context->stacks[i] + CONTEXT_STACK_SIZE;

    uint64_t task = (uint64_t)&context->task;
    uint64_t *entries = context->table.entries;
    entries[DESCRIPTOR_CODE_SELECTOR / 8] = DESCRIPTOR_CODE_64;
    entries[DESCRIPTOR_DATA_SELECTOR / 8] = DESCRIPTOR_DATA;
    entries[DESCRIPTOR_TASK_SELECTOR / 8] = (sizeof(context->task) - 1) | (task & 0xffffff) << 16 |
                                            DESCRIPTOR_TASK_TYPE << 40 | (task >> 24 & 0xff) << 56;
    entries[DESCRIPTOR_TASK_SELECTOR / 8 + 1] = task >> 32;
}

void context_activate(struct cpu *cpu) {
    struct cpu_context *context = cpu->context;
    struct descriptor_pointer pointer = {sizeof(context->table) - 1, (uint64_t)&context->table};
    __asm__ volatile("lgdt %0" ::"m"(pointer));
    vectors_load_segments();
    __asm__ volatile("ltr %w0" ::"r"(DESCRIPTOR_TASK_SELECTOR));
    trap_activate();
    cpu_write_msr(MSR_GS_BASE, (uint64_t)cpu);
    machine_check_enable();
}
