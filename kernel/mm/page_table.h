/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/mm: the kernel's one address space. */
#ifndef KERNEL_MM_PAGE_TABLE_H
#define KERNEL_MM_PAGE_TABLE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_TABLE_LARGE_2M (1ull << 21)

/* Rights of a mapping; what is not named is not allowed. Present, global and accessed are added. */
#define PAGE_TABLE_WRITE (1ull << 1)
#define PAGE_TABLE_UNCACHED (3ull << 3)
#define PAGE_TABLE_NO_EXECUTE (1ull << 63)

/* Makes an empty root. Once, at boot; later mappings go there. */
enum status page_table_create(void);

/* Maps whole pages with the largest page sizes that fit. Nothing is mapped there yet (asserted).
 * NO_MEMORY: a part may be mapped. Thread context or boot. */
enum status page_table_map(uint64_t address, uint64_t physical, uint64_t length, uint64_t rights);

/* Switches the CPU that runs this to the root. */
void page_table_activate(void);
uint64_t page_table_root(void); /* physical */

/* From now on tables come from the page allocator. */
void page_table_use_page_allocator(void);

/* Physical address and rights of what is mapped at an address by the tables in use; false if
 * nothing is. Any context. */
bool page_table_lookup(uint64_t address, uint64_t *physical, uint64_t *rights);

/* Counts mappings that are both writable and executable: must be none. */
uint64_t page_table_count_unsafe(void);

uint64_t page_table_bytes(void);

#endif
