/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical and virtual memory as the rest of the kernel sees it. All RAM is in a direct map of
 * large pages, so that physical and virtual addresses of it convert by arithmetic; memory from
 * kmalloc and page_alloc lies there, thread stacks do not (they have guard pages).
 */
#ifndef KERNEL_MM_MEMORY_H
#define KERNEL_MM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE_SIZE 4096u
#define MEMORY_DIRECT_MAP 0xffff800000000000ull

/* Any context. The address is RAM in the direct map (asserted). */
uint64_t memory_physical(const void *address);
static inline void *memory_virtual(uint64_t physical) {
    return (void *)(MEMORY_DIRECT_MAP + physical);
}

/* Buddy allocator: 2^order contiguous pages, aligned to their size; NULL when there are none.
 * Thread or interrupt context; never sleeps. */
void *page_alloc(unsigned order);
void page_free(void *pages, unsigned order);

/* Slab for small sizes, whole pages above. 16-byte aligned; NULL when there is none. Thread or
 * interrupt context; never sleeps. kfree(NULL) is allowed. */
void *kmalloc(size_t size);
void kfree(void *memory);

/* Maps device registers, uncached and not executable. The mapping stays. Thread context; NULL when
 * there is no memory for page tables. */
void *memory_map_device(uint64_t physical, size_t length);

/* A thread stack of `size` bytes (whole pages) above a guard page; returns its lowest address. */
void *memory_stack_alloc(size_t size);
void memory_stack_free(void *stack, size_t size);

struct memory_statistics {
    uint64_t total_bytes, free_bytes, slab_bytes, page_table_bytes, stack_bytes, reserved_bytes;
};
void memory_statistics(struct memory_statistics *out);

#endif
