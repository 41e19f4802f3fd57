/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page allocation over the zones, with lists of small blocks per CPU in front: most requests are
 * for one page or a few, and take them without a lock.
 *
 * Invariants: a block on a CPU's list is PAGE_CACHED. A block given out is PAGE_ALLOCATED
 * until its user's next layer (slab, large) says otherwise; freeing anything else is a bug in the
 * caller and stops the kernel with the address.
 */
#include "kernel/mm/page.h"

#include "base/math.h"
#include "base/mem.h"
#include "kernel/boot/memory_map.h"
#include "kernel/cpu/panic.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/cpu_cache.h"
#include "kernel/mm/debug.h"
#include "kernel/mm/page_table.h"
#include "kernel/mm/zone.h"

/* Below 4 GiB memory is rare on large machines and wanted by old devices: it is taken last. */
enum { ZONE_HIGH, ZONE_LOW, ZONE_COUNT };

static struct zone zones[ZONE_COUNT];
static uint64_t total_pages; /* constant after page_initialize() */
static uint64_t boot_pages;  /* the same */

/* ---- allocation ---- */

static struct page *allocate_block(unsigned order, enum memory_mobility mobility) {
    for (unsigned i = 0; i < ZONE_COUNT; i++) {
        struct page *page = zone_allocate(&zones[i], order, mobility);
        if (page != NULL)
            return page;
    }
    return NULL;
}

static uint32_t limit_of(unsigned order) {
    return CPU_CACHE_PAGES_MAX >> order;
}

static uint32_t refill(struct cpu_cache_blocks *cache, unsigned order,
                       enum memory_mobility mobility) {
    uint32_t got = 0;
    for (unsigned i = 0; i < ZONE_COUNT && got == 0; i++)
        got = zone_allocate_many(&zones[i], order, mobility, limit_of(order) / 2, &cache->blocks);
    LIST_FOR_EACH(node, &cache->blocks)
    LIST_CONTAINER(node, struct page, link)->kind = PAGE_CACHED;
    cache->count += got;
    return got;
}

static struct page *allocate_small(unsigned order, enum memory_mobility mobility) {
    uint64_t flags = cpu_interrupts_disable();
    struct cpu_cache_blocks *cache = &cpu_cache()->blocks[mobility][order];
    struct page *page = NULL;
    if (cache->count > 0 || refill(cache, order, mobility) > 0) {
        page = LIST_CONTAINER(list_pop_front(&cache->blocks), struct page, link);
        ASSERT(page->kind == PAGE_CACHED && page->order == order);
        page->kind = PAGE_ALLOCATED;
        cache->count--;
    }
    cpu_interrupts_restore(flags);
    return page;
}

static struct page *allocate(unsigned order, enum memory_mobility mobility) {
    if (order >= ZONE_ORDERS)
        return NULL;
    struct page *page = order < CPU_CACHE_ORDERS ? allocate_small(order, mobility)
                                                 : allocate_block(order, mobility);
    if (page == NULL) {
        /* What this CPU keeps may be what the block lacks. */
        uint64_t flags = cpu_interrupts_disable();
        page_drain_cpu();
        cpu_interrupts_restore(flags);
        page = allocate_block(order, mobility);
    }
    if (page != NULL)
        debug_check_free_pages(page_address(page), order);
    return page;
}

void *page_alloc(unsigned order) {
    struct page *page = allocate(order, MEMORY_PERMANENT);
    return page == NULL ? NULL : page_address(page);
}

/* ---- release ---- */

static void free_batch(struct cpu_cache_blocks *cache, uint32_t count) {
    struct list_node batch[ZONE_COUNT];
    for (unsigned i = 0; i < ZONE_COUNT; i++)
        list_init(&batch[i]);
    for (; count > 0 && cache->count > 0; count--) {
        struct page *page = LIST_CONTAINER(cache->blocks.previous, struct page, link);
        list_remove(&page->link);
        list_push_back(&batch[page->zone], &page->link);
        cache->count--;
    }
    for (unsigned i = 0; i < ZONE_COUNT; i++)
        zone_free_many(&zones[i], &batch[i]);
}

static void free_small(struct page *page) {
    uint64_t flags = cpu_interrupts_disable();
    struct cpu_cache_blocks *cache = &cpu_cache()->blocks[page->mobility][page->order];
    page->kind = PAGE_CACHED;
    list_push_front(&cache->blocks, &page->link);
    uint32_t limit = limit_of(page->order);
    if (++cache->count > limit)
        free_batch(cache, limit / 2);
    cpu_interrupts_restore(flags);
}

void page_drain_cpu(void) {
    struct cpu_cache_blocks *cache = &cpu_cache()->blocks[0][0];
    for (unsigned i = 0; i < MEMORY_MOBILITY_COUNT * CPU_CACHE_ORDERS; i++)
        free_batch(&cache[i], UINT32_MAX);
}

void page_free(void *pages, unsigned order) {
    struct page *page = page_of(pages);
    if ((uint64_t)pages % MEMORY_PAGE_SIZE != 0 || page->kind != PAGE_ALLOCATED ||
        page->order != order)
        panic("page_free(%p, %u): %s", pages, order,
              page->kind == PAGE_FREE || page->kind == PAGE_CACHED || page->kind == PAGE_TAIL
                  ? "double free, or inside of a block"
                  : "not allocated like this");
    debug_poison_pages(pages, order);
    if (order < CPU_CACHE_ORDERS)
        free_small(page);
    else
        zone_free(&zones[page->zone], page);
}

/* ---- any count of pages: aligned blocks, largest first ---- */

static unsigned order_for(size_t count) {
    return count <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(count - 1);
}

/* Marks [from, to) of a block as allocated blocks of their own, each as large as fits. */
static void cut(struct page *first, uint64_t from, uint64_t to, unsigned order_limit) {
    while (from < to) {
        unsigned order = from == 0 ? order_limit : (unsigned)__builtin_ctzll(from);
        while (from + (1ull << order) > to)
            order--;
        struct page *page = first + from;
        page->kind = PAGE_ALLOCATED;
        page->order = (uint8_t)order;
        page->mobility = first->mobility;
        from += 1ull << order;
    }
}

static void free_cut(struct page *first, uint64_t from, uint64_t to) {
    while (from < to) {
        struct page *page = first + from;
        uint64_t size = 1ull << page->order;
        page_free(page_address(page), page->order);
        from += size;
    }
}

void *page_alloc_count(size_t count, enum memory_mobility mobility) {
    ASSERT(count > 0 && mobility < MEMORY_MOBILITY_COUNT);
    if (count > total_pages)
        return NULL;
    unsigned order = order_for(count);
    struct page *first = allocate(order, mobility);
    if (first == NULL)
        return NULL;
    if (count < 1ull << order) {
        cut(first, count, 1ull << order, order);
        cut(first, 0, count, order);
        free_cut(first, count, 1ull << order);
    }
    return page_address(first);
}

void page_free_count(void *pages, size_t count) {
    free_cut(page_of(pages), 0, count);
}

/* ---- start ---- */

static enum status map_descriptors(uint64_t from, uint64_t to) {
    while (from < to) {
        bool large = from % PAGE_TABLE_LARGE_2M == 0 && to - from >= PAGE_TABLE_LARGE_2M;
        uint64_t size = large ? PAGE_TABLE_LARGE_2M : MEMORY_PAGE_SIZE;
        uint64_t memory = memory_map_allocate(size, size, UINT64_MAX);
        if (memory == 0)
            return STATUS_NO_MEMORY;
        enum status status =
            page_table_map(from, memory, size, PAGE_TABLE_WRITE | PAGE_TABLE_NO_EXECUTE);
        if (status != STATUS_OK)
            return status;
        from += size;
    }
    return STATUS_OK;
}

static enum status make_descriptors(void) {
    size_t count = 0;
    const struct memory_region *regions = memory_map_regions(&count);
    uint64_t mapped = LAYOUT_PAGE_ARRAY;
    for (size_t i = 0; i < count; i++) {
        if (regions[i].kind != MEMORY_USABLE)
            continue;
        uint64_t from = (uint64_t)page_at(regions[i].start / MEMORY_PAGE_SIZE);
        uint64_t to = (uint64_t)page_at(regions[i].end / MEMORY_PAGE_SIZE);
        from = MATH_MAX(mapped, math_round_down(from, MEMORY_PAGE_SIZE));
        to = math_round_up(to, MEMORY_PAGE_SIZE);
        enum status status = from < to ? map_descriptors(from, to) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
        mapped = MATH_MAX(mapped, to);
    }
    return STATUS_OK;
}

static void describe(uint64_t from, uint64_t to, enum page_kind kind) {
    for (uint64_t number = from; number < to; number++) {
        struct page *page = page_at(number);
        page->kind = (uint8_t)kind;
        page->zone = number < zones[ZONE_LOW].end ? ZONE_LOW : ZONE_HIGH;
    }
}

/* Hands [from, to) over in the largest aligned blocks. */
static void give(uint64_t from, uint64_t to) {
    describe(from, to, PAGE_TAIL);
    while (from < to) {
        unsigned order = from == 0 ? ZONE_ORDERS - 1 : (unsigned)__builtin_ctzll(from);
        order = MATH_MIN(order, ZONE_ORDERS - 1);
        while (from + (1ull << order) > to)
            order--;
        struct page *page = page_at(from);
        page->order = (uint8_t)order;
        page->mobility = MEMORY_PERMANENT;
        debug_poison_pages(page_address(page), order);
        zone_free(&zones[page->zone], page);
        from += 1ull << order;
    }
}

enum status page_initialize(void) {
    uint64_t low_end = MEMORY_MAP_EARLY / MEMORY_PAGE_SIZE;
    zone_initialize(&zones[ZONE_LOW], "low", 0, low_end);
    zone_initialize(&zones[ZONE_HIGH], "high", low_end, MEMORY_DIRECT_MAP_SIZE / MEMORY_PAGE_SIZE);
    enum status status = make_descriptors();
    if (status != STATUS_OK)
        return status;
    memory_map_close();

    size_t count = 0;
    const struct memory_region *regions = memory_map_regions(&count);
    for (size_t i = 0; i < count; i++) {
        if (regions[i].kind != MEMORY_USABLE)
            continue;
        uint64_t start = regions[i].start / MEMORY_PAGE_SIZE;
        uint64_t free_end = regions[i].free_end / MEMORY_PAGE_SIZE;
        uint64_t end = regions[i].end / MEMORY_PAGE_SIZE;
        describe(free_end, end, PAGE_BOOT);
        give(start, free_end);
        total_pages += free_end - start;
        boot_pages += end - free_end;
    }
    return STATUS_OK;
}

static uint64_t cached_pages(const struct cpu_cache *cache) {
    uint64_t pages = 0;
    for (unsigned i = 0; cache != NULL && i < MEMORY_MOBILITY_COUNT; i++)
        for (unsigned order = 0; order < CPU_CACHE_ORDERS; order++)
            pages += (uint64_t)__atomic_load_n(&cache->blocks[i][order].count, __ATOMIC_RELAXED)
                     << order;
    return pages;
}

void page_statistics(struct page_statistics *out) {
    *out = (struct page_statistics){.total_pages = total_pages, .boot_pages = boot_pages};
    for (unsigned i = 0; i < ZONE_COUNT; i++)
        out->free_pages += __atomic_load_n(&zones[i].free_pages, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < cpu_count(); i++)
        out->free_pages += cached_pages(cpu_get(i)->memory);
}
