/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binary buddies. Invariants under the zone's lock:
 *  1. a page is PAGE_FREE exactly if it is the first of a block on free[mobility][order];
 *  2. no two free buddies of the same order exist: they were joined;
 *  3. bit n of order_mask[m] is set exactly if free[m][n] is not empty;
 *  4. free_pages is the sum over all lists.
 */
#include "kernel/mm/zone.h"

#include "base/math.h"
#include "kernel/boot/memory_map.h"

/* Descriptors are mapped by whole pages of them, so that buddies below this order are readable
 * whenever one of them is. */
#define ALWAYS_READABLE_ORDER 7u
_Static_assert(MEMORY_PAGE_SIZE / sizeof(struct page) == 1u << ALWAYS_READABLE_ORDER,
               "one page of descriptors");

void zone_initialize(struct zone *zone, const char *name, uint64_t start, uint64_t end) {
    zone->name = name;
    zone->start = start;
    zone->end = end;
    for (unsigned i = 0; i < MEMORY_MOBILITY_COUNT; i++)
        for (unsigned order = 0; order < ZONE_ORDERS; order++)
            list_init(&zone->free[i][order]);
}

static void push(struct zone *zone, struct page *page, unsigned order, unsigned mobility) {
    page->kind = PAGE_FREE;
    page->order = (uint8_t)order;
    page->mobility = (uint8_t)mobility;
    list_push_front(&zone->free[mobility][order], &page->link);
    zone->order_mask[mobility] |= 1ull << order;
}

static void take(struct zone *zone, struct page *page) {
    ASSERT(page->kind == PAGE_FREE);
    list_remove(&page->link);
    page->kind = PAGE_TAIL;
    if (list_is_empty(&zone->free[page->mobility][page->order]))
        zone->order_mask[page->mobility] &= ~(1ull << page->order);
}

static bool is_usable(uint64_t number) {
    size_t count = 0;
    const struct memory_region *regions = memory_map_regions(&count);
    uint64_t physical = number * MEMORY_PAGE_SIZE;
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (regions[middle].end <= physical)
            low = middle + 1;
        else
            count = middle;
    }
    memory_map_regions(&count);
    return low < count && regions[low].start <= physical && regions[low].kind == MEMORY_USABLE;
}

/* The free buddy of a block, NULL if it is not free as a whole. */
static struct page *free_buddy(const struct zone *zone, uint64_t number, unsigned order) {
    uint64_t buddy = number ^ (1ull << order);
    if (buddy < zone->start || buddy >= zone->end)
        return NULL;
    if (order >= ALWAYS_READABLE_ORDER && !is_usable(buddy))
        return NULL;
    struct page *page = page_at(buddy);
    return page->kind == PAGE_FREE && page->order == order ? page : NULL;
}

static void free_locked(struct zone *zone, struct page *page) {
    uint64_t number = page_number(page);
    unsigned order = page->order;
    unsigned mobility = page->mobility;
    ASSERT(number >= zone->start && number + (1ull << order) <= zone->end);
    zone->free_pages += 1ull << order;
    page->kind = PAGE_TAIL;
    for (; order + 1 < ZONE_ORDERS; order++) {
        struct page *buddy = free_buddy(zone, number, order);
        if (buddy == NULL)
            break;
        take(zone, buddy);
        number &= ~(1ull << order);
    }
    push(zone, page_at(number), order, mobility);
}

/* The list to take a block of at least this order from: the smallest that fits of the wanted
 * mobility; else the largest of another one, so that what is split next comes from there again. */
static bool choose(const struct zone *zone, unsigned order, enum memory_mobility mobility,
                   unsigned *from_order, unsigned *from_mobility) {
    uint64_t fits = zone->order_mask[mobility] >> order << order;
    if (fits != 0) {
        *from_order = (unsigned)__builtin_ctzll(fits);
        *from_mobility = mobility;
        return true;
    }
    for (unsigned other = 0; other < MEMORY_MOBILITY_COUNT; other++) {
        fits = zone->order_mask[other] >> order << order;
        if (fits == 0)
            continue;
        *from_order = 63u - (unsigned)__builtin_clzll(fits);
        *from_mobility = other;
        return true;
    }
    return false;
}

static struct page *allocate_locked(struct zone *zone, unsigned order,
                                    enum memory_mobility mobility) {
    unsigned at, from;
    if (!choose(zone, order, mobility, &at, &from))
        return NULL;
    struct page *page = LIST_CONTAINER(zone->free[from][at].next, struct page, link);
    take(zone, page);
    while (at > order) {
        at--;
        push(zone, page + (1ull << at), at, mobility);
    }
    page->kind = PAGE_ALLOCATED;
    page->order = (uint8_t)order;
    page->mobility = (uint8_t)mobility;
    zone->free_pages -= 1ull << order;
    return page;
}

struct page *zone_allocate(struct zone *zone, unsigned order, enum memory_mobility mobility) {
    uint64_t flags = spinlock_lock(&zone->lock);
    struct page *page = allocate_locked(zone, order, mobility);
    spinlock_unlock(&zone->lock, flags);
    return page;
}

uint32_t zone_allocate_many(struct zone *zone, unsigned order, enum memory_mobility mobility,
                            uint32_t count, struct list_node *out) {
    uint32_t got = 0;
    uint64_t flags = spinlock_lock(&zone->lock);
    for (; got < count; got++) {
        struct page *page = allocate_locked(zone, order, mobility);
        if (page == NULL)
            break;
        list_push_back(out, &page->link);
    }
    spinlock_unlock(&zone->lock, flags);
    return got;
}

void zone_free(struct zone *zone, struct page *page) {
    uint64_t flags = spinlock_lock(&zone->lock);
    free_locked(zone, page);
    spinlock_unlock(&zone->lock, flags);
}

void zone_free_many(struct zone *zone, struct list_node *blocks) {
    uint64_t flags = spinlock_lock(&zone->lock);
    LIST_FOR_EACH_SAFE(node, blocks) {
        struct page *page = LIST_CONTAINER(node, struct page, link);
        list_remove(&page->link);
        free_locked(zone, page);
    }
    spinlock_unlock(&zone->lock, flags);
}
