/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions end here with a precise report; interrupts go on to kernel/irq. */
#include "kernel/cpu/trap.h"

#include "base/log.h"
#include "base/math.h"
#include "kernel/cpu/context.h"
#include "kernel/cpu/machine_check.h"
#include "kernel/cpu/panic.h"
#include "kernel/mm/memory.h"

#define VECTOR_NMI 2u
#define VECTOR_DOUBLE_FAULT 8u
#define VECTOR_PAGE_FAULT 14u
#define VECTOR_MACHINE_CHECK 18u

/* Page-fault error code: Intel SDM volume 3, 4.7. */
#define FAULT_PRESENT 0x01u
#define FAULT_WRITE 0x02u
#define FAULT_RESERVED_BIT 0x08u
#define FAULT_INSTRUCTION 0x10u

#define VECTOR_STRIDE 16u

extern char vectors_start[];
void trap_handle(struct cpu_trap_frame *frame);

static struct descriptor_gate gates[TRAP_VECTOR_COUNT];
static bool (*nmi_handler)(struct cpu_trap_frame *frame);

static const char *const exception_names[] = {
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack-segment fault",
    "general protection fault",
    "page fault",
    "reserved exception",
    "x87 floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection exception",
};

void trap_set_nmi_handler(bool (*handler)(struct cpu_trap_frame *frame)) {
    __atomic_store_n(&nmi_handler, handler, __ATOMIC_RELEASE);
}

static uint64_t fault_address(void) {
    uint64_t address;
    __asm__ volatile("movq %%cr2, %0" : "=r"(address));
    return address;
}

static _Noreturn void page_fault(struct cpu_trap_frame *frame) {
    uint64_t address = fault_address();
    const char *access = frame->error & FAULT_INSTRUCTION ? "execution of"
                         : frame->error & FAULT_WRITE     ? "write to"
                                                          : "read of";
    const char *why = frame->error & FAULT_RESERVED_BIT ? "damaged page table"
                      : frame->error & FAULT_PRESENT    ? "forbidden"
                                                        : "not mapped";
    panic_trap(frame, "page fault: %s 0x%016lx, %s: %s", access, address, why,
               memory_describe(address));
}

static _Noreturn void double_fault(struct cpu_trap_frame *frame) {
    uint64_t address = fault_address();
    panic_trap(frame, "double fault: stack pointer 0x%016lx; last page fault at 0x%016lx: %s",
               frame->rsp, address, memory_describe(address));
}

static _Noreturn void machine_check(struct cpu_trap_frame *frame) {
    char banks[256];
    machine_check_describe(banks, sizeof banks);
    panic_trap(frame, "machine check: the processor or memory is faulty%s", banks);
}

static void exception(struct cpu_trap_frame *frame) {
    if (frame->vector == VECTOR_NMI) {
        panic_stop_if_reported();
        bool (*handler)(struct cpu_trap_frame *) = __atomic_load_n(&nmi_handler, __ATOMIC_ACQUIRE);
        if (handler == NULL || !handler(frame))
            log_warning("cpu", "non-maskable interrupt at 0x%lx: the hardware reports a fault",
                        frame->rip);
        return;
    }
    if (frame->vector == VECTOR_PAGE_FAULT)
        page_fault(frame);
    if (frame->vector == VECTOR_DOUBLE_FAULT)
        double_fault(frame);
    if (frame->vector == VECTOR_MACHINE_CHECK)
        machine_check(frame);
    const char *name = frame->vector < ARRAY_LENGTH(exception_names)
                           ? exception_names[frame->vector]
                           : "reserved exception";
    panic_trap(frame, "exception %lu: %s, error code 0x%lx", frame->vector, name, frame->error);
}

/* Called by vectors.S. */
void trap_handle(struct cpu_trap_frame *frame) {
    if (frame->vector < TRAP_EXCEPTION_COUNT)
        exception(frame);
    else
        irq_dispatch((uint8_t)frame->vector, frame);
}

static uint8_t stack_of(unsigned vector) {
    switch (vector) {
    case VECTOR_NMI:
        return CONTEXT_STACK_NMI;
    case VECTOR_DOUBLE_FAULT:
        return CONTEXT_STACK_DOUBLE_FAULT;
    case VECTOR_MACHINE_CHECK:
        return CONTEXT_STACK_MACHINE_CHECK;
    default:
        return CONTEXT_STACK_NONE;
    }
}

void trap_prepare(void) {
    for (unsigned i = 0; i < TRAP_VECTOR_COUNT; i++) {
        uint64_t entry = (uint64_t)vectors_start + (uint64_t)i * VECTOR_STRIDE;
        gates[i] = (struct descriptor_gate){
            .offset_low = (uint16_t)entry,
            .selector = DESCRIPTOR_CODE_SELECTOR,
            .stack = stack_of(i),
            .type = DESCRIPTOR_INTERRUPT_GATE,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
}

void trap_activate(void) {
    struct descriptor_pointer pointer = {sizeof gates - 1, (uint64_t)gates};
    __asm__ volatile("lidt %0" ::"m"(pointer));
}
