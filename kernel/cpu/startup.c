/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: the variables that start_page.S and startup_main() read belong to one CPU's start at a
 * time; startup_busy is true from cpu_start_prepare() until that CPU has read them.
 */
#include "kernel/cpu/startup.h"

#include "base/assert.h"
#include "base/mem.h"
#include "kernel/boot/memory_map.h"
#include "kernel/cpu/context.h"
#include "kernel/cpu/cpu.h"
#include "kernel/mm/memory.h"

extern const char startup_page_code[], startup_page_code_end[];

/* Read by start_page.S. */
uint64_t startup_root;
uint64_t startup_stack_top;
_Noreturn void startup_main(void);

static uint64_t page; /* physical; 0: none */
static bool startup_busy;
static struct cpu *startup_cpu;
static void (*startup_entry)(void);

void startup_reserve_page(void) {
    page = memory_map_allocate(MEMORY_PAGE_SIZE, MEMORY_PAGE_SIZE, MEMORY_MAP_LOW);
}

enum status cpu_start_prepare(struct cpu *cpu, void (*entry)(void), uint8_t *vector) {
    ASSERT(!__atomic_load_n(&startup_busy, __ATOMIC_ACQUIRE));
    if (page == 0)
        return STATUS_UNSUPPORTED;
    memcpy(memory_virtual(page), startup_page_code,
           (size_t)(startup_page_code_end - startup_page_code));
    startup_root = memory_page_table_root();
    startup_stack_top = (uint64_t)cpu->stack + cpu->stack_size;
    startup_cpu = cpu;
    startup_entry = entry;
    *vector = (uint8_t)(page / MEMORY_PAGE_SIZE);
    __atomic_store_n(&startup_busy, true, __ATOMIC_RELEASE);
    return STATUS_OK;
}

/* Called by start_page.S on the new CPU's own stack. */
void startup_main(void) {
    void (*entry)(void) = startup_entry;
    struct cpu *cpu = startup_cpu;
    memory_cpu_activate();
    context_activate(cpu);
    __atomic_store_n(&startup_busy, false, __ATOMIC_RELEASE);
    entry();
    for (;;)
        __asm__ volatile("cli; hlt");
}
