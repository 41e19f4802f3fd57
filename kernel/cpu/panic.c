/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first CPU to panic owns the consoles; another one that panics meanwhile stops silently, and
 * the same one panicking again (its report found more damage) stops after one line.
 */
#include "kernel/cpu/panic.h"

#include "base/assert.h"
#include "base/format.h"
#include "base/mem.h"
#include "kernel/boot/command_line.h"
#include "kernel/boot/image.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/cpu/percpu.h"
#include "kernel/cpu/symbols.h"
#include "kernel/mm/memory.h"

#define BACKTRACE_DEPTH 32
#define NOBODY UINT32_MAX

static uint32_t owner = NOBODY; /* index of the CPU that reports */
static void (*stop_others)(void);

void panic_set_stop_others(void (*stop)(void)) {
    __atomic_store_n(&stop_others, stop, __ATOMIC_RELEASE);
}

void panic_debug_exit(uint32_t value) {
    cpu_out32(PANIC_EXIT_PORT, value);
}

static _Noreturn void stop(void) {
    for (;;)
        __asm__ volatile("cli; hlt");
}

void panic_stop_if_reported(void) {
    uint32_t reporter = __atomic_load_n(&owner, __ATOMIC_ACQUIRE);
    if (reporter != NOBODY && reporter != cpu_index())
        stop();
}

static void take_over(void) {
    cpu_interrupts_disable();
    uint32_t nobody = NOBODY;
    uint32_t me = cpu_index();
    if (!__atomic_compare_exchange_n(&owner, &nobody, me, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        if (nobody == me)
            console_print("\nPANIC while reporting a panic\n");
        stop();
    }
    void (*others)(void) = __atomic_load_n(&stop_others, __ATOMIC_ACQUIRE);
    if (others != NULL)
        others();
    console_enter_panic();
}

static _Noreturn void finish(void) {
    console_print("Holdfast has stopped on CPU %u.\n", cpu_index());
    const char *how = command_line_get("panic");
    if (how != NULL && strcmp(how, "exit") == 0)
        panic_debug_exit(PANIC_EXIT_VALUE);
    stop();
}

static void print_address(unsigned depth, uint64_t address) {
    uint64_t offset = 0;
    const char *name = symbols_find(address, &offset);
    if (name != NULL)
        console_print("  #%-2u 0x%016lx %s+0x%lx\n", depth, address, name, offset);
    else
        console_print("  #%-2u 0x%016lx\n", depth, address);
}

void panic_backtrace(uint64_t rip, uint64_t rbp) {
    console_print("backtrace:\n");
    print_address(0, rip);
    for (unsigned depth = 1; depth < BACKTRACE_DEPTH; depth++) {
        const uint64_t *frame = (const uint64_t *)rbp;
        if (rbp % 8 != 0 || !memory_is_mapped(frame) || !memory_is_mapped(frame + 1))
            break;
        if (frame[1] == 0)
            break;
        /* The call is before its return address, maybe in another function. */
        print_address(depth, frame[1] - 1);
        if (frame[0] <= rbp)
            break;
        rbp = frame[0];
    }
}

static void print_registers(const struct cpu_trap_frame *frame) {
    uint64_t cr0, cr3, cr4;
    __asm__ volatile("movq %%cr0, %0; movq %%cr3, %1; movq %%cr4, %2"
                     : "=r"(cr0), "=r"(cr3), "=r"(cr4));
    console_print("rip %016lx  rsp %016lx  flags %016lx\n", frame->rip, frame->rsp, frame->rflags);
    console_print("rax %016lx  rbx %016lx  rcx   %016lx\n", frame->rax, frame->rbx, frame->rcx);
    console_print("rdx %016lx  rsi %016lx  rdi   %016lx\n", frame->rdx, frame->rsi, frame->rdi);
    console_print("rbp %016lx  r8  %016lx  r9    %016lx\n", frame->rbp, frame->r8, frame->r9);
    console_print("r10 %016lx  r11 %016lx  r12   %016lx\n", frame->r10, frame->r11, frame->r12);
    console_print("r13 %016lx  r14 %016lx  r15   %016lx\n", frame->r13, frame->r14, frame->r15);
    console_print("cs %lx ss %lx  cr0 %lx cr3 %lx cr4 %lx  gs %p\n", frame->cs, frame->ss, cr0, cr3,
                  cr4, (void *)cpu_current());
}

static void print_message(const char *format, va_list arguments) {
    char text[LOG_LINE_SIZE];
    format_text_v(text, sizeof text, format, arguments);
    console_print("\nPANIC on CPU %u: %s\n", cpu_index(), text);
}

void panic(const char *format, ...) {
    take_over();
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    const uint64_t *frame = __builtin_frame_address(0);
    panic_backtrace((uint64_t)__builtin_return_address(0) - 1, frame[0]);
    finish();
}

void panic_trap(struct cpu_trap_frame *frame, const char *format, ...) {
    take_over();
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    print_registers(frame);
    panic_backtrace(frame->rip, frame->rbp);
    finish();
}

void assert_failed(const char *file, int line, const char *expression) {
    panic("%s:%d: assertion failed: %s", file, line, expression);
}
