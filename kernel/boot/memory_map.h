/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's physical memory as the boot loader describes it, put in order; and the bump
 * allocator on top of it that serves until the page allocator is there.
 */
#ifndef KERNEL_BOOT_MEMORY_MAP_H
#define KERNEL_BOOT_MEMORY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Up to where the processor can run without paging, and up to where entry.S mapped memory. */
#define MEMORY_MAP_LOW 0x100000ull
#define MEMORY_MAP_EARLY 0x100000000ull

/* Where descriptions overlap, the later kind wins. */
enum memory_kind {
    MEMORY_USABLE,
    MEMORY_ACPI_RECLAIMABLE,
    MEMORY_ACPI_NVS,
    MEMORY_KERNEL, /* the image, what the loader left for us, the memory map itself */
    MEMORY_RESERVED,
    MEMORY_DEFECTIVE,
    MEMORY_KIND_COUNT
};

struct memory_region {
    uint64_t start, end; /* physical, whole pages */
    uint64_t free_end;   /* MEMORY_USABLE: [free_end, end) went to memory_map_allocate() */
    enum memory_kind kind;
};

/* Calls visit for everything that the boot loader knows, in any order, overlapping or not. */
typedef void memory_map_visit(void *context, uint64_t start, uint64_t end, enum memory_kind kind);
typedef void memory_map_source(const void *loader, memory_map_visit *visit, void *context);

/* Builds the map; once, at boot, while the first 4 GiB are mapped. False if there is no memory. */
bool memory_map_build(memory_map_source *source, const void *loader);

/* Sorted by address, without overlaps. Places that no region covers are unknown: devices may be
 * there. */
const struct memory_region *memory_map_regions(size_t *count);
const char *memory_kind_name(enum memory_kind kind);

/* The bump allocator. Physical address of zeroed memory below `limit`, which is MEMORY_MAP_LOW,
 * MEMORY_MAP_EARLY or, once all memory is mapped, UINT64_MAX; 0 if there is none. Alignment is a
 * power of two. Never freed. At boot only, one CPU; ends with memory_map_close(). */
uint64_t memory_map_allocate(uint64_t size, uint64_t alignment, uint64_t limit);

/* The page allocator takes over: further memory_map_allocate() is a bug. */
void memory_map_close(void);

#endif
