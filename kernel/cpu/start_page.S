/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a further CPU from real mode (Intel SDM volume 3, 9.4.4) to startup_main().
 *
 * What lies between startup_page_code and its end is copied to a page below 1 MiB and runs there,
 * with CS at the page. It goes to 64-bit mode at once, on the boot page tables, which show the low
 * addresses; then to the kernel's own address; then to the final tables, which do not show them.
 */
#define PHYSICAL(symbol) ((symbol) - 0xffffffff80000000)

#define CR0_PE_MP_NE_WP_PG 0x80010023
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

        .section .rodata
        .code16
        .globl startup_page_code, startup_page_code_end
startup_page_code:
        cli
        cld
        movw    %cs, %ax
        movw    %ax, %ds
        movl    $CR4_PAE, %eax
        movl    %eax, %cr4
        movl    $PHYSICAL(boot_pml4), %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        movl    $EFER_LME_NXE, %eax
        xorl    %edx, %edx
        wrmsr
        lgdtl   startup_gdt_pointer - startup_page_code
        movl    $CR0_PE_MP_NE_WP_PG, %eax
        movl    %eax, %cr0
        ljmpl   $8, $startup_low_64
        .balign 4
startup_gdt_pointer:
        .word 23
        .long boot_gdt
startup_page_code_end:

        .section .boot.text, "ax"
        .code64
startup_low_64:
        movq    $startup_high, %rax
        jmp     *%rax

        .text
        .type startup_high, @function
startup_high:
        xorl    %eax, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        movq    startup_root(%rip), %rax
        movq    %rax, %cr3
        movq    startup_stack_top(%rip), %rsp
        xorl    %ebp, %ebp              /* backtraces end here */
        pushq   %rbp
        pushq   %rbp
        call    startup_main
1:      hlt
        jmp     1b
        .size startup_high, . - startup_high

        .section .note.GNU-stack, "", @progbits
