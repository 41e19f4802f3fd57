/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context switch. Interrupts are off on both sides, so that the flags need no saving; the
 * kernel's C code uses the general registers only (-mgeneral-regs-only).
 */
    .text

/* void sched_switch_stack(void **save (rdi), void *load (rsi)) */
    .globl sched_switch_stack
    .type sched_switch_stack, @function
sched_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size sched_switch_stack, . - sched_switch_stack

/* The return address that thread_make() puts on a new stack. A zero frame pointer ends backtraces.
 */
    .globl sched_thread_start
    .type sched_thread_start, @function
sched_thread_start:
    xorl %ebp, %ebp
    pushq $0
    jmp thread_main
    .size sched_thread_start, . - sched_thread_start

    .section .note.GNU-stack, "", @progbits
