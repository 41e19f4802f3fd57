/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the boot loader's 32-bit protected mode (Multiboot 1, section 3.2: paging off, interrupts
 * off, EAX magic, EBX information) to 64-bit C in the higher half.
 *
 * The first page tables map the first 4 GiB three times: at 0, because the code that switches them
 * on runs there; at KERNEL_BASE (its 2 GiB); and at MEMORY_DIRECT_MAP. memory_initialize() replaces
 * them; they stay for the start of further CPUs.
 */
#define PHYSICAL(symbol) ((symbol) - 0xffffffff80000000)

#define HEADER_MAGIC 0x1badb002
#define HEADER_FLAGS 0x3 /* modules on pages; memory information, please */

#define PAGE_PRESENT_WRITE 0x3
#define PAGE_LARGE_GLOBAL_WRITE 0x183

#define CR0_PE_MP_NE_WP_PG 0x80010023
#define CR4_PAE_PGE 0xa0
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

#define SERIAL_DATA 0x3f8

        .section .boot.header, "a"
        .balign 4
        .long HEADER_MAGIC
        .long HEADER_FLAGS
        .long -(HEADER_MAGIC + HEADER_FLAGS)

        .section .boot.text, "ax"
        .code32
        .globl boot_entry
boot_entry:
        cli
        cld
        movl    %eax, %ebp
        movl    %ebx, %esi
        movl    $PHYSICAL(boot_stack_top), %esp
        movl    $0x80000000, %eax
        cpuid
        cmpl    $0x80000001, %eax
        jb      no_long_mode
        movl    $0x80000001, %eax
        cpuid
        andl    $(1 << 29 | 1 << 20), %edx      /* long mode, no-execute */
        cmpl    $(1 << 29 | 1 << 20), %edx
        jne     no_long_mode

        call    fill_page_tables
        movl    $CR4_PAE_PGE, %eax
        movl    %eax, %cr4
        movl    $PHYSICAL(boot_pml4), %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        movl    $EFER_LME_NXE, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $CR0_PE_MP_NE_WP_PG, %eax
        movl    %eax, %cr0
        lgdt    boot_gdt_pointer
        ljmp    $8, $enter_64

/* boot_pd: 2048 large pages, 4 GiB. */
fill_page_tables:
        movl    $PHYSICAL(boot_pd), %edi
        movl    $PAGE_LARGE_GLOBAL_WRITE, %eax
        xorl    %edx, %edx
1:      movl    %eax, (%edi)
        movl    %edx, 4(%edi)
        addl    $8, %edi
        addl    $0x200000, %eax
        jnc     1b

        movl    $PHYSICAL(boot_pdpt_low), %edi
        movl    $(PHYSICAL(boot_pd) + PAGE_PRESENT_WRITE), %eax
        movl    $4, %ecx
2:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $0x1000, %eax
        loop    2b

        movl    $(PHYSICAL(boot_pd) + PAGE_PRESENT_WRITE), %eax
        movl    %eax, PHYSICAL(boot_pdpt_high) + 510 * 8
        addl    $0x1000, %eax
        movl    %eax, PHYSICAL(boot_pdpt_high) + 511 * 8

        movl    $(PHYSICAL(boot_pdpt_low) + PAGE_PRESENT_WRITE), %eax
        movl    %eax, PHYSICAL(boot_pml4)
        movl    %eax, PHYSICAL(boot_pml4) + 256 * 8
        movl    $(PHYSICAL(boot_pdpt_high) + PAGE_PRESENT_WRITE), %eax
        movl    %eax, PHYSICAL(boot_pml4) + 511 * 8
        ret

/* Says so on the serial port and on the screen, and stops. */
no_long_mode:
        movl    $no_long_mode_text, %esi
        movl    $0xb8000, %edi
1:      lodsb
        testb   %al, %al
        jz      2f
        movb    $0x4f, %ah
        movw    %ax, (%edi)
        addl    $2, %edi
        movw    $SERIAL_DATA, %dx
        outb    %al, %dx
        jmp     1b
2:      hlt
        jmp     2b

        .code64
enter_64:
        xorl    %eax, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        movq    $boot_stack_top, %rsp
        movl    %ebp, %edi
        xorl    %ebp, %ebp              /* backtraces end here */
        pushq   %rbp
        movq    $boot_start, %rax
        pushq   %rbp
        call    *%rax
3:      hlt
        jmp     3b

        .section .boot.rodata, "a"
        .balign 8
boot_gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* 64-bit code */
        .quad 0x00cf93000000ffff        /* data */
        .globl boot_gdt, boot_gdt_pointer
boot_gdt_pointer:
        .word boot_gdt_pointer - boot_gdt - 1
        .long boot_gdt
no_long_mode_text:
        .asciz "Holdfast needs a 64-bit x86 processor with NX.\n"

        .section .bss.pages, "aw", @nobits
        .balign 4096
        .globl boot_pml4, boot_stack_guard, boot_stack, boot_stack_top
boot_pml4:
        .skip 4096
boot_pdpt_low:
        .skip 4096
boot_pdpt_high:
        .skip 4096
boot_pd:
        .skip 4 * 4096
boot_stack_guard:
        .skip 4096
boot_stack:
        .skip 65536
boot_stack_top:

        .section .note.GNU-stack, "", @progbits
