/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 *  1. cpus[i]->index == i for i < count, and the structures never move or go away;
 *  2. cpus[0] is static, because it must exist before there is memory.
 * CPUs are created one at a time by the boot CPU; readers need no lock, because the table is
 * complete before the count says so.
 */
#include "kernel/cpu/percpu.h"

#include "base/assert.h"
#include "kernel/boot/image.h"
#include "kernel/cpu/context.h"

static struct cpu boot_cpu;
static struct cpu_context boot_context;
static _Alignas(16) unsigned char boot_stacks[CONTEXT_STACK_COUNT][CONTEXT_STACK_SIZE];

static struct cpu *boot_table[1] = {&boot_cpu};
static struct cpu **cpus = boot_table;
static uint32_t count = 1;

void cpu_initialize(void) {
    for (unsigned i = 0; i < CONTEXT_STACK_COUNT; i++)
        boot_context.stacks[i] = boot_stacks[i];
    boot_cpu.self = &boot_cpu;
    boot_cpu.context = &boot_context;
    boot_cpu.stack = boot_stack;
    boot_cpu.stack_size = (size_t)(boot_stack_top - boot_stack);
    context_prepare(&boot_context);
    trap_prepare();
    context_activate(&boot_cpu);
}

uint32_t cpu_count(void) {
    return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

struct cpu *cpu_get(uint32_t index) {
    ASSERT(index < cpu_count());
    return __atomic_load_n(&cpus, __ATOMIC_ACQUIRE)[index];
}
