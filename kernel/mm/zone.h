/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kernel/mm: free memory by address range. A zone belongs to one NUMA node; every block
 * and its buddy lie in one zone.
 */
#ifndef KERNEL_MM_ZONE_H
#define KERNEL_MM_ZONE_H

#include "kernel/cpu/spinlock.h"
#include "kernel/mm/page.h"

#define ZONE_ORDERS 36u /* 2^35 pages are 128 TiB: more than the direct map */

struct zone {
    const char *name;
    uint64_t start, end; /* page numbers; constant */
    uint32_t node;       /* NUMA node; constant */

    struct spinlock lock; /* innermost; guards all below, and the descriptors of free pages */
    uint64_t free_pages;
    uint64_t order_mask[MEMORY_MOBILITY_COUNT]; /* bit n: the list of order n is not empty */
    struct list_node free[MEMORY_MOBILITY_COUNT][ZONE_ORDERS];
};

void zone_initialize(struct zone *zone, const char *name, uint64_t start, uint64_t end);

/* A block, with its first page's kind, order and mobility set; NULL if there is none. */
struct page *zone_allocate(struct zone *zone, unsigned order, enum memory_mobility mobility);
/* Several, appended to the list; returns how many there were. */
uint32_t zone_allocate_many(struct zone *zone, unsigned order, enum memory_mobility mobility,
                            uint32_t count, struct list_node *out);

/* Frees a block whose first page has order and mobility set. */
void zone_free(struct zone *zone, struct page *page);
/* Frees all blocks of the list, and empties it. */
void zone_free_many(struct zone *zone, struct list_node *blocks);

#endif
