/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the memory room together. The direct map shows all RAM writable but for the kernel's own
 * text and constants: those are nowhere writable.
 */
#include "kernel/mm/memory.h"

#include "base/assert.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/boot/image.h"
#include "kernel/boot/memory_map.h"
#include "kernel/cpu/panic.h"
#include "kernel/mm/cpu_cache.h"
#include "kernel/mm/page.h"
#include "kernel/mm/page_table.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/stack.h"

static struct cpu_cache boot_cache;
static uint64_t ram_end; /* physical; constant after memory_initialize() */

uint64_t memory_physical(const void *address) {
    uint64_t physical = (uint64_t)address - MEMORY_DIRECT_MAP;
    ASSERT(physical < ram_end);
    return physical;
}

static bool is_ram(enum memory_kind kind) {
    return kind != MEMORY_RESERVED && kind != MEMORY_DEFECTIVE;
}

static enum status map_ram(uint64_t start, uint64_t end, uint64_t rights) {
    if (start >= end)
        return STATUS_OK;
    return page_table_map(MEMORY_DIRECT_MAP + start, start, end - start,
                          rights | PAGE_TABLE_NO_EXECUTE);
}

/* One run of RAM, read-only where the kernel's text and constants are. */
static enum status map_run(uint64_t start, uint64_t end) {
    uint64_t image_start = (uint64_t)kernel_physical_start;
    uint64_t image_end = image_physical(kernel_rodata_end);
    uint64_t before = MATH_MIN(end, image_start);
    uint64_t after = MATH_MAX(start, image_end);
    enum status status = map_ram(start, before, PAGE_TABLE_WRITE);
    if (status == STATUS_OK)
        status = map_ram(MATH_MAX(start, image_start), MATH_MIN(end, image_end), 0);
    if (status == STATUS_OK)
        status = map_ram(after, end, PAGE_TABLE_WRITE);
    return status;
}

/* Neighbouring regions are mapped together, for larger pages. */
static enum status map_all_ram(void) {
    size_t count = 0;
    const struct memory_region *regions = memory_map_regions(&count);
    for (size_t i = 0; i < count;) {
        if (!is_ram(regions[i].kind) || regions[i].start >= MEMORY_DIRECT_MAP_SIZE) {
            i++;
            continue;
        }
        uint64_t start = regions[i].start;
        uint64_t end = start;
        for (; i < count && regions[i].start == end && is_ram(regions[i].kind); i++)
            end = regions[i].end;
        end = MATH_MIN(end, MEMORY_DIRECT_MAP_SIZE);
        enum status status = map_run(start, end);
        if (status != STATUS_OK)
            return status;
        ram_end = end;
    }
    return STATUS_OK;
}

static enum status map_image_part(const char *start, const char *end, uint64_t rights) {
    return page_table_map((uint64_t)start, image_physical(start), (uint64_t)(end - start), rights);
}

static enum status map_image(void) {
    enum status status = map_image_part(kernel_text_start, kernel_text_end, 0);
    if (status == STATUS_OK)
        status = map_image_part(kernel_text_end, kernel_rodata_end, PAGE_TABLE_NO_EXECUTE);
    /* The page under the boot stack stays unmapped. */
    if (status == STATUS_OK)
        status = map_image_part(kernel_rodata_end, boot_stack_guard,
                                PAGE_TABLE_WRITE | PAGE_TABLE_NO_EXECUTE);
    if (status == STATUS_OK)
        status = map_image_part(boot_stack, kernel_end, PAGE_TABLE_WRITE | PAGE_TABLE_NO_EXECUTE);
    return status;
}

static enum status build(void) {
    enum status status = page_table_create();
    if (status == STATUS_OK)
        status = map_all_ram();
    if (status == STATUS_OK)
        status = map_image();
    if (status != STATUS_OK)
        return status;
    page_table_activate();
    return page_initialize();
}

static void cache_initialize(struct cpu_cache *cache) {
    for (unsigned i = 0; i < MEMORY_MOBILITY_COUNT; i++)
        for (unsigned order = 0; order < CPU_CACHE_ORDERS; order++) {
            list_init(&cache->blocks[i][order].blocks);
            cache->blocks[i][order].count = 0;
        }
    for (unsigned i = 0; i < CPU_CACHE_CLASSES; i++)
        cache->magazines[i].count = 0;
}

void memory_initialize(void) {
    cache_initialize(&boot_cache);
    cpu_current()->memory = &boot_cache;
    enum status status = build();
    if (status != STATUS_OK)
        panic("too little memory to start: %s", status_text(status));
    page_table_use_page_allocator();
    slab_initialize();

    struct memory_statistics now;
    memory_statistics(&now);
    char total[FORMAT_BYTES_SIZE], available[FORMAT_BYTES_SIZE], tables[FORMAT_BYTES_SIZE];
    log_info("memory", "%s usable, %s free, %s of page tables",
             format_bytes(total, now.total_bytes), format_bytes(available, now.free_bytes),
             format_bytes(tables, now.page_table_bytes));
}

enum status memory_cpu_create(struct cpu *cpu) {
    struct cpu_cache *cache = kmalloc(sizeof *cache);
    if (cache == NULL)
        return STATUS_NO_MEMORY;
    cache_initialize(cache);
    cpu->memory = cache;
    return STATUS_OK;
}

void memory_cpu_activate(void) {
    page_table_activate();
}

uint64_t memory_page_table_root(void) {
    return page_table_root();
}

void memory_statistics(struct memory_statistics *out) {
    struct page_statistics pages;
    page_statistics(&pages);
    *out = (struct memory_statistics){
        .total_bytes = (pages.total_pages + pages.boot_pages) * MEMORY_PAGE_SIZE,
        .free_bytes = pages.free_pages * MEMORY_PAGE_SIZE,
        .slab_bytes = slab_bytes(),
        .page_table_bytes = page_table_bytes(),
        .stack_bytes = stack_bytes(),
        .reserved_bytes = pages.boot_pages * MEMORY_PAGE_SIZE,
    };
}

uint64_t memory_count_unsafe_mappings(void) {
    return page_table_count_unsafe();
}
