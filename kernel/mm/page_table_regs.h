/* SPDX-License-Identifier: Apache-2.0 */
/* Four-level page tables (Intel SDM volume 3, 4.5). */
#ifndef KERNEL_MM_PAGE_TABLE_REGS_H
#define KERNEL_MM_PAGE_TABLE_REGS_H

#define ENTRY_PRESENT (1ull << 0)
#define ENTRY_WRITE (1ull << 1)
#define ENTRY_ACCESSED (1ull << 5)
#define ENTRY_DIRTY (1ull << 6)
#define ENTRY_LARGE (1ull << 7)
#define ENTRY_GLOBAL (1ull << 8)
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

#define TABLE_ENTRIES 512u
#define TABLE_LEVELS 4u

#define CR4_GLOBAL (1ull << 7)

#define CPUID_EXTENDED_FEATURES 0x80000001u
#define CPUID_1G_PAGES (1u << 26)

#endif
