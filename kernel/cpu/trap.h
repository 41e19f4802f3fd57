/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and interrupts at their entry: the saved registers, and the one function that each
 * vector above the exceptions is handed to.
 */
#ifndef KERNEL_CPU_TRAP_H
#define KERNEL_CPU_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/* Vectors 0 to 31 are exceptions (Intel SDM volume 3, section 6.3.1) and handled in this room. */
#define TRAP_EXCEPTION_COUNT 32u
#define TRAP_VECTOR_COUNT 256u

/* On the interrupted thread's stack (NMI, double fault and machine check: on stacks of their own).
 * The order is what kernel/cpu/entry.S pushes; changed values take effect on return. */
struct cpu_trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector;
    uint64_t error; /* 0 where the processor gives none */
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct cpu_trap_frame) == 22 * 8, "entry.S pushes 22 quadwords");

/* Every vector from TRAP_EXCEPTION_COUNT on, with interrupts off. The room kernel/irq provides it.
 * It may switch threads: the frame stays on the stack of the thread that was interrupted. */
void irq_dispatch(uint8_t vector, struct cpu_trap_frame *frame);

/* A non-maskable interrupt calls this if it is set, with everything stopped on this CPU only; true
 * means that it was expected. An unexpected one is logged. */
void trap_set_nmi_handler(bool (*handler)(struct cpu_trap_frame *frame));

#endif
