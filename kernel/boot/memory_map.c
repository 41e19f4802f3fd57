/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants after memory_map_build():
 *  1. regions are sorted, do not overlap, are whole pages and not empty;
 *  2. start <= free_end <= end, and free_end == end for all but usable regions;
 *  3. what was given out lies in [free_end, end) of exactly one usable region, so that no list of
 *     early allocations is needed: the map itself remembers;
 *  4. no region crosses MEMORY_MAP_LOW or MEMORY_MAP_EARLY, so that a limit never splits one.
 */
#include "kernel/boot/memory_map.h"

#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/mm/memory.h"

/* Real-mode interrupt vectors and a NULL that must never be memory. */
#define LOW_RESERVED MEMORY_PAGE_SIZE

struct range {
    uint64_t start, end;
    enum memory_kind kind;
};

struct collection {
    struct range *ranges;
    size_t count;
};

/* A search for room that nothing but usable memory covers. */
struct search {
    uint64_t at, size;
    uint64_t conflict_end; /* 0: none */
    bool inside;
};

static struct memory_region *regions;
static size_t region_count;
static bool closed;

const char *memory_kind_name(enum memory_kind kind) {
    static const char *const names[MEMORY_KIND_COUNT] = {
        [MEMORY_USABLE] = "usable",     [MEMORY_ACPI_RECLAIMABLE] = "ACPI tables",
        [MEMORY_ACPI_NVS] = "ACPI NVS", [MEMORY_KERNEL] = "kernel",
        [MEMORY_RESERVED] = "reserved", [MEMORY_DEFECTIVE] = "defective",
    };
    return names[kind];
}

const struct memory_region *memory_map_regions(size_t *count) {
    *count = region_count;
    return regions;
}

/* Usable memory shrinks to whole pages, everything else grows. */
static bool round_range(uint64_t *start, uint64_t *end, enum memory_kind kind) {
    uint64_t last = math_round_down(UINT64_MAX, MEMORY_PAGE_SIZE);
    if (kind == MEMORY_USABLE) {
        if (*start >= MEMORY_DIRECT_MAP_SIZE)
            return false;
        *start = math_round_up(*start, MEMORY_PAGE_SIZE);
        *end = math_round_down(MATH_MIN(*end, MEMORY_DIRECT_MAP_SIZE), MEMORY_PAGE_SIZE);
    } else {
        *start = math_round_down(*start, MEMORY_PAGE_SIZE);
        *end = *end > last ? last : math_round_up(*end, MEMORY_PAGE_SIZE);
    }
    return *start < *end;
}

static void visit_count(void *context, uint64_t start, uint64_t end, enum memory_kind kind) {
    if (round_range(&start, &end, kind))
        ++*(size_t *)context;
}

static void visit_collect(void *context, uint64_t start, uint64_t end, enum memory_kind kind) {
    struct collection *all = context;
    if (round_range(&start, &end, kind))
        all->ranges[all->count++] = (struct range){start, end, kind};
}

static void visit_search(void *context, uint64_t start, uint64_t end, enum memory_kind kind) {
    struct search *search = context;
    if (!round_range(&start, &end, kind))
        return;
    if (kind == MEMORY_USABLE) {
        if (start <= search->at && search->at + search->size <= end)
            search->inside = true;
    } else if (start < search->at + search->size && search->at < end) {
        search->conflict_end = MATH_MAX(search->conflict_end, end);
    }
}

/* Room for the map itself. Goes up in steps past each conflict; the map's own size is small. */
static uint64_t find_home(memory_map_source *source, const void *loader, uint64_t size) {
    struct search search = {.at = MEMORY_MAP_LOW, .size = size};
    while (search.at + size <= MEMORY_MAP_EARLY) {
        search.conflict_end = 0;
        search.inside = false;
        source(loader, visit_search, &search);
        if (search.inside && search.conflict_end == 0)
            return search.at;
        search.at = MATH_MAX(search.at + MEMORY_PAGE_SIZE, search.conflict_end);
    }
    return 0;
}

static void sort_numbers(uint64_t *numbers, size_t count) {
    for (size_t i = 1; i < count; i++) {
        uint64_t number = numbers[i];
        size_t at = i;
        for (; at > 0 && numbers[at - 1] > number; at--)
            numbers[at] = numbers[at - 1];
        numbers[at] = number;
    }
}

/* The strongest kind that covers [start, start + one page); false if none does. */
static bool strongest_kind(const struct collection *all, uint64_t start, enum memory_kind *kind) {
    bool found = false;
    for (size_t i = 0; i < all->count; i++) {
        const struct range *range = &all->ranges[i];
        if (start < range->start || start >= range->end)
            continue;
        if (!found || range->kind > *kind)
            *kind = range->kind;
        found = true;
    }
    return found;
}

static void append_region(uint64_t start, uint64_t end, enum memory_kind kind) {
    ASSERT(regions != NULL);
    struct memory_region *last = region_count > 0 ? &regions[region_count - 1] : NULL;
    bool must_cut = start == MEMORY_MAP_LOW || start == MEMORY_MAP_EARLY;
    if (last != NULL && last->end == start && last->kind == kind && !must_cut) {
        last->end = end;
        last->free_end = end;
        return;
    }
    regions[region_count++] =
        (struct memory_region){.start = start, .end = end, .free_end = end, .kind = kind};
}

/* Cuts at every boundary that any range has, then joins neighbours of the same kind. */
static void normalise(const struct collection *all, uint64_t *cuts) {
    for (size_t i = 0; i < all->count; i++) {
        cuts[2 * i] = all->ranges[i].start;
        cuts[2 * i + 1] = all->ranges[i].end;
    }
    size_t count = 2 * all->count;
    cuts[count++] = MEMORY_MAP_LOW;
    cuts[count++] = MEMORY_MAP_EARLY;
    sort_numbers(cuts, count);
    for (size_t i = 0; i + 1 < count; i++) {
        enum memory_kind kind = MEMORY_USABLE;
        if (cuts[i] < cuts[i + 1] && strongest_kind(all, cuts[i], &kind))
            append_region(cuts[i], cuts[i + 1], kind);
    }
}

bool memory_map_build(memory_map_source *source, const void *loader) {
    ASSERT(regions == NULL);
    size_t count = 2; /* the low page and the map itself */
    source(loader, visit_count, &count);
    size_t cut_count = 2 * count + 2;
    uint64_t size = count * sizeof(struct range) +
                    cut_count * (sizeof(uint64_t) + sizeof(struct memory_region));
    size = math_round_up(size, MEMORY_PAGE_SIZE);
    uint64_t home = find_home(source, loader, size);
    if (home == 0)
        return false;

    regions = memory_virtual(home);
    struct collection all = {.ranges = (struct range *)(regions + cut_count)};
    uint64_t *cuts = (uint64_t *)(all.ranges + count);
    source(loader, visit_collect, &all);
    visit_collect(&all, 0, LOW_RESERVED, MEMORY_RESERVED);
    visit_collect(&all, home, home + size, MEMORY_KERNEL);
    ASSERT(all.count <= count);
    normalise(&all, cuts);
    return true;
}

/* The highest aligned place in the free part of the region that lies below limit; 0 if none. */
static uint64_t place_in(const struct memory_region *region, uint64_t size, uint64_t alignment,
                         uint64_t limit) {
    uint64_t end = MATH_MIN(region->free_end, limit);
    if (region->kind != MEMORY_USABLE || end <= region->start || end - region->start < size)
        return 0;
    uint64_t place = math_round_down(end - size, alignment);
    return place >= region->start ? place : 0;
}

uint64_t memory_map_allocate(uint64_t size, uint64_t alignment, uint64_t limit) {
    ASSERT(!closed && size > 0 && math_is_power_of_two(alignment));
    ASSERT(limit == MEMORY_MAP_LOW || limit == MEMORY_MAP_EARLY || limit == UINT64_MAX);
    size = math_round_up(size, MEMORY_PAGE_SIZE);
    alignment = MATH_MAX(alignment, MEMORY_PAGE_SIZE);
    for (size_t i = region_count; i-- > 0;) {
        struct memory_region *region = &regions[i];
        if (region->start < MEMORY_MAP_LOW && limit != MEMORY_MAP_LOW)
            continue;
        uint64_t place = place_in(region, size, alignment, limit);
        if (place == 0)
            continue;
        region->free_end = place;
        ASSERT(region->start <= place && place + size <= region->end);
        memset(memory_virtual(place), 0, size);
        return place;
    }
    return 0;
}

void memory_map_close(void) {
    closed = true;
}
