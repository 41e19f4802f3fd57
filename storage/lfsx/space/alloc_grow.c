/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator of a pool that grows.
 *
 * What the data area gains was the old maps and the old tail area, which the last two checkpoints
 * name, and space behind the old end, which a recovery from them would not know. So all of it is
 * pending, as if it had been released now.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/space/alloc.h"

#define WORD_BITS 64u

static enum status prepare_entries(struct alloc_growth *growth) {
    growth->entries = os_alloc_zeroed((growth->top + 1) * sizeof *growth->entries);
    if (growth->entries == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned level = 0; level <= growth->top; level++) {
        uint64_t count = geometry_map_level_blocks(&growth->geometry, level);
        growth->entries[level] = os_alloc_zeroed(count * sizeof **growth->entries);
        if (growth->entries[level] == NULL)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status alloc_growth_prepare(struct allocator *a, const struct geometry *geometry,
                                 struct alloc_growth *growth) {
    ASSERT(geometry->data_start == a->geometry.data_start);
    ASSERT(geometry->map_start >= a->geometry.device_blocks);
    *growth = (struct alloc_growth){
        .geometry = *geometry, .top = geometry_map_top(geometry), .first = a->geometry.regions};
    growth->regions = os_alloc_zeroed(geometry->regions * sizeof *growth->regions);
    enum status status = growth->regions == NULL ? STATUS_NO_MEMORY : prepare_entries(growth);
    for (uint64_t i = growth->first; status == STATUS_OK && i < geometry->regions; i++) {
        growth->regions[i].used = os_alloc_zeroed(DISK_MAP_PAYLOAD);
        growth->regions[i].busy = os_alloc_zeroed(DISK_MAP_PAYLOAD);
        if (growth->regions[i].used == NULL || growth->regions[i].busy == NULL)
            status = STATUS_NO_MEMORY;
        else
            memset(growth->regions[i].busy, 0xff, DISK_MAP_PAYLOAD);
    }
    if (status != STATUS_OK)
        alloc_growth_cancel(growth);
    return status;
}

void alloc_growth_cancel(struct alloc_growth *growth) {
    for (uint64_t i = growth->first; growth->regions != NULL && i < growth->geometry.regions; i++) {
        os_free(growth->regions[i].used);
        os_free(growth->regions[i].busy);
    }
    for (unsigned level = 0; growth->entries != NULL && level <= growth->top; level++)
        os_free(growth->entries[level]);
    os_free(growth->regions);
    os_free(growth->entries);
    *growth = (struct alloc_growth){0};
}

/* Of a region's blocks from `first_new` on, which are all busy, those are used that are no data. */
static void mark_region(struct allocator *a, uint64_t index, uint64_t first_new) {
    struct alloc_region *region = &a->regions[index];
    uint64_t base = index * DISK_REGION_BLOCKS;
    uint64_t from = first_new > base ? first_new - base : 0;
    if (from == 0 && geometry_is_data(&a->geometry, base, DISK_REGION_BLOCKS))
        return; /* most regions, and they are as they should be */
    uint64_t used = 0;
    for (uint64_t bit = from; bit < DISK_REGION_BLOCKS; bit++) {
        uint64_t mask = 1ull << bit % WORD_BITS;
        if (geometry_is_data(&a->geometry, base + bit, 1))
            region->used[bit / WORD_BITS] &= ~mask;
        else
            region->used[bit / WORD_BITS] |= mask;
    }
    for (uint64_t word = 0; word < DISK_REGION_BLOCKS / WORD_BITS; word++)
        used += (unsigned)__builtin_popcountll(region->used[word]);
    a->used_blocks += used - region->used_count;
    region->used_count = (uint32_t)used;
}

void alloc_grow(struct allocator *a, struct alloc_growth *growth) {
    os_mutex_lock(&a->lock);
    struct geometry old = a->geometry;
    memcpy(growth->regions, a->regions, old.regions * sizeof *a->regions);
    for (unsigned level = 0; level <= a->top; level++) {
        memcpy(growth->entries[level], a->entries[level],
               geometry_map_level_blocks(&old, level) * sizeof **a->entries);
        os_free(a->entries[level]);
    }
    os_free(a->entries);
    os_free(a->regions);
    a->geometry = growth->geometry;
    a->regions = growth->regions;
    a->entries = growth->entries;
    a->top = growth->top;
    *growth = (struct alloc_growth){0};

    for (uint64_t i = old.data_end / DISK_REGION_BLOCKS; i < a->geometry.regions; i++)
        mark_region(a, i, old.data_end);
    for (uint64_t i = 0; i < a->geometry.regions; i++)
        a->regions[i].dirty = true; /* all maps move */
    uint64_t gained = a->geometry.data_end - old.data_end;
    struct alloc_log *log = &a->stages[ALLOC_STAGE_OPEN];
    ASSERT(log->count < log->capacity);
    log->runs[log->count++] = (struct alloc_run){old.data_end, gained};
    a->pending_blocks += gained;
    os_mutex_unlock(&a->lock);
}
