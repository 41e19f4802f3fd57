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
#include "base/mem.h"
#include "kernel/boot/image.h"
#include "kernel/cpu/context.h"
#include "kernel/mm/memory.h"

#define STACK_SIZE 32768u

static struct cpu boot_cpu;
static struct cpu_context boot_context;
static _Alignas(16) unsigned char boot_stacks[CONTEXT_STACK_COUNT][CONTEXT_STACK_SIZE];

static struct cpu *boot_table[1] = {&boot_cpu};
static struct cpu **cpus = boot_table;
static uint32_t count = 1;
static uint32_t capacity = 1;

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

/* Readers may still look at the former table: it is left to them, and the sum of all is less than
 * the last one's size. */
static enum status make_room(void) {
    if (count < capacity)
        return STATUS_OK;
    struct cpu **larger = kmalloc(2 * (size_t)capacity * sizeof(struct cpu *));
    if (larger == NULL)
        return STATUS_NO_MEMORY;
    memcpy(larger, cpus, count * sizeof(struct cpu *));
    __atomic_store_n(&cpus, larger, __ATOMIC_RELEASE);
    capacity *= 2;
    return STATUS_OK;
}

static enum status create_context(struct cpu *cpu) {
    struct cpu_context *context = kmalloc(sizeof *context);
    if (context == NULL)
        return STATUS_NO_MEMORY;
    memset(context, 0, sizeof *context);
    cpu->context = context;
    for (unsigned i = CONTEXT_STACK_NONE + 1; i < CONTEXT_STACK_COUNT; i++) {
        context->stacks[i] = memory_stack_alloc(CONTEXT_STACK_SIZE);
        if (context->stacks[i] == NULL)
            return STATUS_NO_MEMORY;
    }
    context_prepare(context);
    return STATUS_OK;
}

static void release(struct cpu *cpu) {
    struct cpu_context *context = cpu->context;
    for (unsigned i = 0; context != NULL && i < CONTEXT_STACK_COUNT; i++)
        if (context->stacks[i] != NULL)
            memory_stack_free(context->stacks[i], CONTEXT_STACK_SIZE);
    if (cpu->stack != NULL)
        memory_stack_free(cpu->stack, STACK_SIZE);
    kfree(context);
    kfree(cpu->memory);
    kfree(cpu);
}

enum status cpu_create(uint32_t apic_id, struct cpu **out) {
    struct cpu *cpu = kmalloc(sizeof *cpu);
    if (cpu == NULL)
        return STATUS_NO_MEMORY;
    memset(cpu, 0, sizeof *cpu);
    cpu->self = cpu;
    cpu->index = count;
    cpu->apic_id = apic_id;
    cpu->stack_size = STACK_SIZE;
    cpu->stack = memory_stack_alloc(STACK_SIZE);
    enum status status = cpu->stack == NULL ? STATUS_NO_MEMORY : make_room();
    if (status == STATUS_OK)
        status = create_context(cpu);
    if (status == STATUS_OK)
        status = memory_cpu_create(cpu);
    if (status != STATUS_OK) {
        release(cpu);
        return status;
    }
    cpus[count] = cpu;
    __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
    *out = cpu;
    return STATUS_OK;
}
