/* SPDX-License-Identifier: Apache-2.0 */
/* Names the self-tests, and holds those that must end in a panic: each breaks one rule that the
 * processor or the kernel enforces, and would be caught returning. */
#include "kernel/selftest/selftest.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/acpi/acpi.h"
#include "kernel/boot/command_line.h"
#include "kernel/boot/image.h"
#include "kernel/console/console.h"
#include "kernel/cpu/panic.h"
#include "kernel/mm/memory.h"
#include "kernel/selftest/selftest_net.h"

#include <stddef.h>

struct selftest {
    const char *name;
    bool (*run)(void);
    void (*must_panic)(void); /* instead */
};

static bool selftest_network(void) {
    return selftest_net() == STATUS_OK;
}

static void fault_null(void) {
    volatile uint32_t *volatile nowhere = (volatile uint32_t *)8;
    *nowhere = 1;
}

static void fault_write_text(void) {
    *(volatile uint8_t *)kernel_text_start = 0xcc;
}

static void fault_write_text_alias(void) {
    *(volatile uint8_t *)memory_virtual(image_physical(kernel_text_start)) = 0xcc;
}

static void fault_write_rodata(void) {
    *(volatile uint8_t *)kernel_text_end = 0;
}

static uint8_t return_instruction = 0xc3;

static void fault_execute_data(void) {
    ((void (*)(void))(uintptr_t)&return_instruction)();
}

static void fault_execute_heap(void) {
    uint8_t *code = kmalloc(16);
    ASSERT(code != NULL);
    code[0] = 0xc3;
    ((void (*)(void))(uintptr_t)code)();
}

static __attribute__((noinline)) uint64_t recurse(volatile uint64_t depth) {
    volatile uint8_t frame[256];
    frame[depth % sizeof frame] = 1;
    return depth == UINT64_MAX ? frame[0] : recurse(depth + 1) + frame[depth % sizeof frame];
}

static void fault_stack(void) {
    recurse(0);
}

static void fault_thread_stack(void) {
    volatile char *stack = memory_stack_alloc(MEMORY_PAGE_SIZE);
    ASSERT(stack != NULL);
    stack[0] = 1;
    stack[-1] = 1;
}

static void fault_assert(void) {
    ASSERT(command_line_get("selftest") == NULL);
}

/* The same pointer, for misuse that neither compiler nor analyser is to see through. */
static void *hide(void *pointer) {
    __asm__ volatile("" : "+r"(pointer));
    return pointer;
}

static void fault_double_free(void) {
    void *memory = kmalloc(100);
    void *again = hide(memory);
    kfree(memory);
    kfree(again);
}

static void fault_double_free_pages(void) {
    void *volatile pages = page_alloc(3);
    page_free(pages, 3);
    page_free(pages, 3);
}

static void fault_free_inside(void) {
    char *memory = kmalloc(1000);
    ASSERT(memory != NULL);
    kfree(memory + 16);
}

/* Found by builds with MEMORY_DEBUG only. */
static void fault_write_behind(void) {
    char *memory = kmalloc(100);
    ASSERT(memory != NULL);
    *(volatile char *)(memory + 100) = 1;
    kfree(memory);
}

/* The same. Objects of a size come again soon, though not at once. */
static void fault_write_freed(void) {
    char *memory = kmalloc(100);
    char *again = hide(memory);
    kfree(memory);
    *(volatile char *)(again + 50) = 1;
    for (unsigned i = 0; i < 1000; i++)
        (void)!kmalloc(100);
}

static void fault_write_freed_page(void) {
    char *volatile memory = page_alloc(0);
    page_free(memory, 0);
    *(volatile char *)(memory + 2000) = 1;
    for (unsigned i = 0; i < 1000; i++)
        (void)!page_alloc(0);
}

static void fault_divide(void) {
    __asm__ volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; divl %%ecx" ::: "rax", "rcx", "rdx");
}

static const struct selftest selftests[] = {
    {"memory", selftest_memory, NULL},
    {"leaks", selftest_leaks, NULL},
    {"sched", selftest_sched, NULL},
    {"locks", selftest_locks, NULL},
    {"os", selftest_os, NULL},
    {"irq", selftest_irq, NULL},
    {"reset", selftest_reset, NULL},
    {"library", selftest_library, NULL},
    {"command-line", selftest_command_line, NULL},
    {"net", selftest_network, NULL},
    {"fault-null", NULL, fault_null},
    {"fault-write-text", NULL, fault_write_text},
    {"fault-write-text-alias", NULL, fault_write_text_alias},
    {"fault-write-rodata", NULL, fault_write_rodata},
    {"fault-execute-data", NULL, fault_execute_data},
    {"fault-execute-heap", NULL, fault_execute_heap},
    {"fault-stack", NULL, fault_stack},
    {"fault-thread-stack", NULL, fault_thread_stack},
    {"fault-assert", NULL, fault_assert},
    {"fault-double-free", NULL, fault_double_free},
    {"fault-double-free-pages", NULL, fault_double_free_pages},
    {"fault-free-inside", NULL, fault_free_inside},
    {"fault-write-behind", NULL, fault_write_behind},
    {"fault-write-freed", NULL, fault_write_freed},
    {"fault-write-freed-page", NULL, fault_write_freed_page},
    {"fault-divide", NULL, fault_divide},
};

bool selftest_cases(const char *group, const struct selftest_case *cases, size_t count) {
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        bool passed = cases[i].run();
        log_info("selftest", "%s: %s: %s", group, cases[i].name, passed ? "ok" : "FAILED");
        all = all && passed;
    }
    return all;
}

static bool run(const struct selftest *test) {
    if (test->run != NULL)
        return test->run();
    test->must_panic();
    log_error("selftest", "%s went on without a panic", test->name);
    return false;
}

void selftest_run(void) {
    const char *wanted = command_line_get("selftest");
    for (size_t i = 0; wanted != NULL && i < ARRAY_LENGTH(selftests); i++) {
        if (strcmp(selftests[i].name, wanted) != 0)
            continue;
        bool passed = run(&selftests[i]);
        log_info("selftest", "selftest %s: %s", wanted, passed ? "passed" : "failed");
        panic_debug_exit(passed ? SELFTEST_EXIT_PASSED : SELFTEST_EXIT_FAILED);
        acpi_power_off();
    }
}
