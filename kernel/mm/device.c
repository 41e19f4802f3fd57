/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of what is not RAM of ours. Addresses are taken in order and never come back, because
 * the mappings stay; after a failure they stay unused.
 */
#include "base/math.h"
#include "kernel/boot/memory_map.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/layout.h"
#include "kernel/mm/memory.h"
#include "kernel/mm/page_table.h"

static struct spinlock lock; /* guards next_address */
static uint64_t next_address = LAYOUT_DEVICES;

static void *map(uint64_t physical, size_t length, uint64_t rights) {
    uint64_t start = math_round_down(physical, MEMORY_PAGE_SIZE);
    uint64_t end = 0;
    if (length == 0 || !math_add(physical, length, &end) || end > 1ull << 52)
        return NULL;
    uint64_t size = math_round_up(end, MEMORY_PAGE_SIZE) - start;
    /* The same place inside of a large page lets large pages be used; one page stays free. */
    uint64_t unit = size >= PAGE_TABLE_LARGE_2M ? PAGE_TABLE_LARGE_2M : MEMORY_PAGE_SIZE;
    uint64_t flags = spinlock_lock(&lock);
    uint64_t address = math_round_up(next_address, unit) + start % unit;
    bool fits = size < LAYOUT_DEVICES_END - address;
    if (fits)
        next_address = address + size + MEMORY_PAGE_SIZE;
    spinlock_unlock(&lock, flags);
    if (!fits || page_table_map(address, start, size, rights | PAGE_TABLE_NO_EXECUTE) != STATUS_OK)
        return NULL;
    return (char *)address + (physical - start);
}

void *memory_map_device(uint64_t physical, size_t length) {
    return map(physical, length, PAGE_TABLE_WRITE | PAGE_TABLE_UNCACHED);
}

static bool in_direct_map(uint64_t physical, size_t length) {
    size_t count = 0;
    const struct memory_region *regions = memory_map_regions(&count);
    for (size_t i = 0; i < count; i++)
        if (regions[i].kind < MEMORY_RESERVED && regions[i].end <= MEMORY_DIRECT_MAP_SIZE &&
            regions[i].start <= physical &&
            math_range_inside(physical - regions[i].start, length,
                              regions[i].end - regions[i].start))
            return true;
    return false;
}

const void *memory_map_firmware(uint64_t physical, size_t length) {
    if (in_direct_map(physical, length))
        return memory_virtual(physical);
    return map(physical, length, 0);
}
