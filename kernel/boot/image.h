/* SPDX-License-Identifier: Apache-2.0 */
/* Where the linker script put the kernel, and what kernel/boot/entry.S reserved. */
#ifndef KERNEL_BOOT_IMAGE_H
#define KERNEL_BOOT_IMAGE_H

#include <stdint.h>

#define IMAGE_BASE 0xffffffff80000000ull

extern char kernel_physical_start[], kernel_physical_end[]; /* their addresses are physical */
extern char kernel_text_start[], kernel_text_end[], kernel_rodata_end[], kernel_end[];
extern char boot_stack_guard[], boot_stack[], boot_stack_top[];
extern uint64_t boot_pml4[];

static inline uint64_t image_physical(const void *address) {
    return (uint64_t)address - IMAGE_BASE;
}

#endif
