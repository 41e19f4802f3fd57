/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/mm: what struct cpu's `memory` points to. Used with interrupts off, on its CPU.
 */
#ifndef KERNEL_MM_CPU_CACHE_H
#define KERNEL_MM_CPU_CACHE_H

#include "base/list.h"
#include "kernel/cpu/percpu.h"
#include "kernel/mm/memory.h"

/* Blocks up to 8 pages are kept, at most 64 pages of each order and mobility. Larger requests are
 * rare enough to split and join blocks for. */
#define CPU_CACHE_ORDERS 4u
#define CPU_CACHE_PAGES_MAX 64u
#define CPU_CACHE_CLASSES 18u
#define CPU_CACHE_OBJECTS 32u

struct cpu_cache_blocks {
    struct list_node blocks;
    uint32_t count; /* read by others for statistics */
};

/* Free objects of one size. */
struct cpu_cache_magazine {
    uint32_t count;
    void *objects[CPU_CACHE_OBJECTS];
};

struct cpu_cache {
    struct cpu_cache_blocks blocks[MEMORY_MOBILITY_COUNT][CPU_CACHE_ORDERS];
    struct cpu_cache_magazine magazines[CPU_CACHE_CLASSES];
};

static inline struct cpu_cache *cpu_cache(void) {
    struct cpu_cache *cache;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(cache) : "i"(offsetof(struct cpu, memory)));
    return cache;
}

#endif
