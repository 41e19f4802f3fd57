/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kernel/mm: one descriptor per page of usable memory, and the buddy allocator on them.
 * The descriptors form one array indexed by page number; only the parts for usable memory exist.
 */
#ifndef KERNEL_MM_PAGE_H
#define KERNEL_MM_PAGE_H

#include "base/assert.h"
#include "base/list.h"
#include "base/status.h"
#include "kernel/mm/layout.h"
#include "kernel/mm/memory.h"

#include <stdint.h>

enum page_kind {
    PAGE_HOLE,   /* never ours: what zeroed descriptors say */
    PAGE_BOOT,   /* given out before the allocator was there */
    PAGE_TAIL,   /* inside of a block whose first page tells */
    PAGE_FREE,   /* first page of a free block */
    PAGE_CACHED, /* free, on a CPU's list */
    PAGE_ALLOCATED,
    PAGE_SLAB,
    PAGE_LARGE, /* first page of a kmalloc of whole pages */
};

struct page {
    struct list_node link; /* FREE: the zone's list; CACHED: the CPU's; SLAB: the class's */
    uint8_t kind;          /* enum page_kind */
    uint8_t order;         /* FREE, ALLOCATED, CACHED: of the block */
    uint8_t zone;          /* constant */
    uint8_t mobility;      /* enum memory_mobility, as allocated */
    union {
        uint32_t page_count; /* LARGE */
        struct {
            uint16_t in_use;     /* SLAB: objects given out to magazines and users */
            uint16_t size_class; /* SLAB */
        };
    };
    void *free_objects; /* SLAB: singly linked through the objects */
};
_Static_assert(sizeof(struct page) == 32, "LAYOUT_PAGE_ARRAY is sized for it");

static inline uint64_t page_number(const struct page *page) {
    return (uint64_t)(page - (const struct page *)LAYOUT_PAGE_ARRAY);
}
static inline struct page *page_at(uint64_t number) {
    return (struct page *)LAYOUT_PAGE_ARRAY + number;
}
static inline struct page *page_of(const void *address) {
    return page_at(memory_physical(address) / MEMORY_PAGE_SIZE);
}
static inline void *page_address(const struct page *page) {
    return memory_virtual(page_number(page) * MEMORY_PAGE_SIZE);
}

/* Makes the descriptors for all usable memory and hands it to the buddy allocator. NO_MEMORY. */
enum status page_initialize(void);

/* Gives the pages that this CPU holds back to the zones. Interrupts are off. */
void page_drain_cpu(void);

struct page_statistics {
    uint64_t total_pages; /* under the allocator's rule */
    uint64_t free_pages;
    uint64_t boot_pages; /* usable memory that was given out before */
};
void page_statistics(struct page_statistics *out);

#endif
