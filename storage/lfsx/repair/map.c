/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation maps of the old state, as far as they can be read, and those of the new one. */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/repair/repair_internal.h"
#include "storage/lfsx/space/alloc.h"

static enum status allocate(struct repair *repair) {
    const struct geometry *g = &repair->label.geometry;
    uint64_t bytes = g->regions * DISK_MAP_PAYLOAD;
    uint64_t limit = repair->options->memory_bytes;
    if (limit != 0 && limit / 5 < bytes) {
        log_error("lfsx", "%s: the repair needs %llu MiB of memory and may use %llu MiB",
                  repair->device->name, (unsigned long long)(5 * bytes >> 20) + 1,
                  (unsigned long long)(limit >> 20));
        return STATUS_NO_MEMORY;
    }
    repair->top = geometry_map_top(g);
    repair->claimed = os_alloc_zeroed(bytes);
    repair->keep = os_alloc_zeroed(bytes);
    repair->old_used = os_alloc_zeroed(bytes);
    repair->known = os_alloc_zeroed(g->regions);
    repair->entries = os_alloc_zeroed((repair->top + 1) * sizeof *repair->entries);
    if (repair->claimed == NULL || repair->keep == NULL || repair->old_used == NULL ||
        repair->known == NULL || repair->entries == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned level = 0; level <= repair->top; level++) {
        uint64_t count = geometry_map_level_blocks(g, level);
        repair->entries[level] = os_alloc_zeroed(count * sizeof **repair->entries);
        if (repair->entries[level] == NULL)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

/* The entry of the newest copy of the block; zeros: neither is whole. */
static void seek_entry(struct repair *repair, unsigned level, uint64_t index,
                       struct disk_map_block *page) {
    const struct geometry *g = &repair->label.geometry;
    struct disk_map_entry *found = &repair->entries[level][index];
    uint64_t newest = 0;
    *found = (struct disk_map_entry){0};
    for (uint8_t copy = 0; copy < 2; copy++) {
        if (!repair_read(repair, geometry_map_address(g, level, index, copy), page))
            continue;
        struct disk_map_entry entry = {.checksum = page->checksum, .copy = copy};
        if (alloc_read_map_block(repair->device, g, level, index, &entry, page) != STATUS_OK ||
            le64_get(page->checkpoint) < newest)
            continue;
        newest = le64_get(page->checkpoint);
        *found = entry;
    }
}

/* A zero entry is one that the level above did not tell. */
static void load_level(struct repair *repair, unsigned level, struct disk_map_block *page) {
    const struct geometry *g = &repair->label.geometry;
    for (uint64_t i = 0; i < geometry_map_level_blocks(g, level); i++) {
        const struct disk_map_entry *entry = &repair->entries[level][i];
        if (le64_get(repair->super.map_root.checksum) == 0)
            seek_entry(repair, level, i, page);
        if (le64_get(entry->checksum) == 0 ||
            alloc_read_map_block(repair->device, g, level, i, entry, page) != STATUS_OK)
            continue;
        if (level == 0) {
            memcpy((char *)repair->old_used + i * DISK_MAP_PAYLOAD, page->bitmap, DISK_MAP_PAYLOAD);
            repair->known[i] = true;
            continue;
        }
        uint64_t first = i * DISK_MAP_FANOUT;
        uint64_t count = MATH_MIN(geometry_map_level_blocks(g, level - 1) - first, DISK_MAP_FANOUT);
        memcpy(&repair->entries[level - 1][first], page->entries, count * sizeof *entry);
        for (uint64_t j = first; j < first + count; j++)
            repair->entries[level - 1][j].copy &= 1;
    }
}

enum status repair_map_load(struct repair *repair) {
    enum status status = allocate(repair);
    struct disk_map_block *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        status = STATUS_NO_MEMORY;
    if (status == STATUS_OK) {
        repair->entries[repair->top][0] = repair->super.map_root;
        for (unsigned i = 0; i <= repair->top; i++)
            load_level(repair, repair->top - i, page);
    }
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

bool repair_is_region_empty(const struct repair *repair, uint64_t region) {
    const uint64_t *bits = repair->old_used + region * (DISK_MAP_PAYLOAD / sizeof *bits);
    return repair->known[region] && mem_is_zero(bits, DISK_MAP_PAYLOAD);
}

void repair_map_release(struct repair *repair) {
    for (unsigned level = 0; repair->entries != NULL && level <= repair->top; level++)
        os_free(repair->entries[level]);
    os_free(repair->entries);
    os_free(repair->claimed);
    os_free(repair->keep);
    os_free(repair->old_used);
    os_free(repair->other);
    os_free(repair->known);
}

bool repair_other(struct repair *repair) {
    uint64_t bytes = repair->label.geometry.regions * DISK_MAP_PAYLOAD;
    if (repair->other != NULL)
        memset(repair->other, 0, bytes);
    else
        repair->other = os_alloc_zeroed(bytes);
    if (repair->other == NULL)
        repair->failure = STATUS_NO_MEMORY;
    return repair->other != NULL;
}

uint64_t repair_block(struct repair *repair) {
    const struct geometry *g = &repair->label.geometry;
    if (repair->cursor < g->data_start)
        repair->cursor = g->data_start;
    for (; repair->cursor < g->data_end; repair->cursor++) {
        uint64_t block = repair->cursor;
        if (repair_bit(repair->claimed, block) || repair_bit(repair->keep, block) ||
            repair_bit(repair->old_used, block))
            continue;
        repair_set(repair->claimed, block);
        return block;
    }
    repair->failure = STATUS_NO_SPACE;
    return 0;
}

/* Puts every claimed block into the allocator. */
static enum status fill(struct repair *repair, struct allocator *allocator) {
    const struct geometry *g = &repair->label.geometry;
    for (unsigned level = 0; level <= repair->top; level++)
        for (uint64_t i = 0; i < geometry_map_level_blocks(g, level); i++)
            allocator->entries[level][i].copy = repair->entries[level][i].copy & 1;
    enum status status = STATUS_OK;
    uint64_t block = g->data_start;
    while (status == STATUS_OK && block < g->data_end) {
        uint64_t end = block;
        while (end < g->data_end && repair_bit(repair->claimed, end))
            end++;
        if (end > block) {
            status = alloc_claim(allocator, block, end - block);
            if (status == STATUS_OK)
                alloc_data_commit(allocator, block, end - block);
        }
        block = end + 1;
    }
    return status;
}

static enum status write_maps(struct repair *repair, struct superblock *super) {
    struct allocator allocator;
    enum status status = alloc_create(&allocator, &repair->label.geometry);
    if (status != STATUS_OK)
        return status;
    struct alloc_snapshot snapshot = {0};
    status = fill(repair, &allocator);
    if (status == STATUS_OK)
        status = alloc_freeze(&allocator, super->checkpoint, &snapshot);
    for (uint64_t i = 0; status == STATUS_OK && i < snapshot.count; i++)
        status = blockdev_write(repair->device, snapshot.writes[i].block * DISK_BLOCK_SIZE,
                                snapshot.writes[i].page, DISK_BLOCK_SIZE, 0);
    super->map_root = snapshot.root;
    super->used_blocks = snapshot.used_blocks;
    alloc_snapshot_free(&snapshot);
    alloc_destroy(&allocator);
    return status;
}

enum status repair_publish(struct repair *repair, struct superblock *super) {
    struct disk_superblock *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    super->checkpoint = repair->checkpoint;
    super->written_ns = os_wall_clock_ns();
    enum status status = write_maps(repair, super);
    if (status == STATUS_OK)
        status = blockdev_flush(repair->device);
    if (status == STATUS_OK)
        status = superblock_write(repair->device, &repair->label, super, page);
    if (status == STATUS_OK)
        status = blockdev_flush(repair->device);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}
