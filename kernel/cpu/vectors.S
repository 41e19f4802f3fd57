/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry per vector. Each makes the stack look the same (error code, vector, registers: struct
 * cpu_trap_frame) and calls trap_handle(frame). For some vectors the processor pushes an error code
 * of its own: Intel SDM volume 3, table 6-1.
 */
        .text

        .globl vectors_start
        .balign 16
vectors_start:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || \
                (vector == 21) || (vector == 29) || (vector == 30)
        .else
        pushq   $0
        .endif
        pushq   $vector
        jmp     vectors_common
        .set    vector, vector + 1
        .endr

        .globl vectors_common
        .type vectors_common, @function
vectors_common:
        pushq   %rax
        pushq   %rbx
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %rbp
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        cld
        movq    %rsp, %rdi
        call    trap_handle
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rbp
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rbx
        popq    %rax
        addq    $16, %rsp
        iretq
        .size vectors_common, . - vectors_common

/* void vectors_load_segments(void): the code and data segments of the new GDT. */
        .globl vectors_load_segments
        .type vectors_load_segments, @function
vectors_load_segments:
        popq    %rax
        pushq   $8
        pushq   %rax
        movl    $16, %eax
        movl    %eax, %ss
        movl    %eax, %ds
        movl    %eax, %es
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        lretq
        .size vectors_load_segments, . - vectors_load_segments

        .section .note.GNU-stack, "", @progbits
