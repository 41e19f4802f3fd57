/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical and virtual memory as the rest of the kernel sees it. All RAM is in a direct map of
 * large pages, so that physical and virtual addresses of it convert by arithmetic; memory from
 * kmalloc and page_alloc lies there, thread stacks do not (they have guard pages).
 */
#ifndef KERNEL_MM_MEMORY_H
#define KERNEL_MM_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE_SIZE 4096u
#define MEMORY_DIRECT_MAP 0xffff800000000000ull
#define MEMORY_DIRECT_MAP_SIZE (96ull << 40) /* what four-level page tables leave room for */

struct cpu;

/* The final page tables and all allocators. Once, by kernel_main(), before anything else of this
 * header is used but memory_virtual(). Panics if the machine has too little memory to start. */
void memory_initialize(void);

/* Readies the allocators for one more CPU, before it runs. NO_MEMORY. */
enum status memory_cpu_create(struct cpu *cpu);

/* Switches the CPU that runs this to the final page tables. For the start of further CPUs. */
void memory_cpu_activate(void);
/* Physical address of their root. */
uint64_t memory_page_table_root(void);

/* Any context. True if the 8 bytes at the address can be read. */
bool memory_is_mapped(const void *address);
/* What an address is for, in words ("guard page under a stack"); for reports. Any context. */
const char *memory_describe(uint64_t address);

/* Any context. The address is RAM in the direct map (asserted). */
uint64_t memory_physical(const void *address);
static inline void *memory_virtual(uint64_t physical) {
    return (void *)(MEMORY_DIRECT_MAP + physical);
}

/* Buddy allocator: 2^order contiguous pages, aligned to their size; NULL when there are none.
 * Thread or interrupt context; never sleeps. */
void *page_alloc(unsigned order);
void page_free(void *pages, unsigned order);

/* Memory that is given back under pressure is kept apart from what stays, so that giving it back
 * makes long runs of free pages. */
enum memory_mobility {
    MEMORY_PERMANENT,   /* page_alloc, kmalloc */
    MEMORY_RECLAIMABLE, /* caches that can shrink */
    MEMORY_MOBILITY_COUNT
};

/* As page_alloc, for any count of contiguous pages; none is wasted. */
void *page_alloc_count(size_t count, enum memory_mobility mobility);
void page_free_count(void *pages, size_t count);

/* Slab for small sizes, whole pages above. 16-byte aligned; NULL when there is none. Thread or
 * interrupt context; never sleeps. kfree(NULL) is allowed. */
void *kmalloc(size_t size);
void kfree(void *memory);

/* Gives what this CPU's lists and the slabs hold in reserve back to the page allocator; returns the
 * bytes that became free. For a retry after a NULL. Thread or interrupt context. */
uint64_t memory_reclaim(void);

/* Maps device registers, uncached and not executable. The mapping stays. Thread context; NULL when
 * there is no memory for page tables. */
void *memory_map_device(uint64_t physical, size_t length);

/* Maps tables of the firmware, cached and read-only; in the direct map if they are there. The
 * mapping stays. Thread context; NULL when there is no memory for page tables. */
const void *memory_map_firmware(uint64_t physical, size_t length);

/* A thread stack of `size` bytes (whole pages) above a guard page; returns its lowest address. */
void *memory_stack_alloc(size_t size);
void memory_stack_free(void *stack, size_t size);

struct memory_statistics {
    uint64_t total_bytes, free_bytes, slab_bytes, page_table_bytes, stack_bytes, reserved_bytes;
};
void memory_statistics(struct memory_statistics *out);

/* Mappings that are both writable and executable: always 0. For tests. */
uint64_t memory_count_unsafe_mappings(void);

/* With MEMORY_DEBUG: logs what kmalloc gave out and was not freed, by caller; returns the bytes.
 * Without: 0. Thread context. */
uint64_t memory_leak_report(void);

#endif
