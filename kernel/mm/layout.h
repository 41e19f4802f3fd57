/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kernel/mm: the upper half of the address space.
 *
 *   0xffff800000000000   96 TiB  direct map (kernel/mm/memory.h)
 *   0xffffe00000000000    1 TiB  page descriptors, 32 bytes for each page of the direct map
 *   0xffffe80000000000    8 TiB  devices and firmware tables
 *   0xfffff00000000000    8 TiB  thread stacks
 *   0xffffffff80000000    2 GiB  the kernel image
 */
#ifndef KERNEL_MM_LAYOUT_H
#define KERNEL_MM_LAYOUT_H

#define LAYOUT_PAGE_ARRAY 0xffffe00000000000ull
#define LAYOUT_PAGE_ARRAY_END 0xffffe10000000000ull
#define LAYOUT_DEVICES 0xffffe80000000000ull
#define LAYOUT_DEVICES_END 0xfffff00000000000ull
#define LAYOUT_STACKS 0xfffff00000000000ull
#define LAYOUT_STACKS_END 0xfffff80000000000ull

#endif
