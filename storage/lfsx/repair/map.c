/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocation maps of the old state, as far as they can be read, and those of the new one. What
 * did not change of them stays where it is.
 */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"
#include "storage/lfsx/space/alloc.h"

#define WORD_BITS 64u
#define REGION_WORDS (DISK_REGION_BLOCKS / WORD_BITS)

/* Of each map block. */
struct map_entry {
    struct disk_map_entry disk; /* zeros: the level above did not tell */
    bool known;                 /* the block is what the entry says */
    bool changed;               /* and was written anew */
};

static enum status open_level(struct repair *repair, unsigned level) {
    const struct map_entry nothing = {0};
    repair->entries[level] = spill_array_open(repair->spill, sizeof nothing);
    uint64_t count = geometry_map_level_blocks(&repair->label.geometry, level);
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++)
        spill_array_add(repair->entries[level], &nothing);
    return repair->failure;
}

static enum status open_maps(struct repair *repair) {
    const struct geometry *g = &repair->label.geometry;
    uint64_t blocks = g->regions * DISK_REGION_BLOCKS;
    repair->top = geometry_map_top(g);
    repair->claimed = spill_bits_open(repair->spill, blocks);
    repair->keep = spill_bits_open(repair->spill, blocks);
    repair->old_used = spill_bits_open(repair->spill, blocks);
    repair->other = spill_bits_open(repair->spill, blocks);
    repair->tainted = spill_bits_open(repair->spill, blocks);
    repair->disputed = spill_bits_open(repair->spill, blocks);
    repair->known = spill_bits_open(repair->spill, g->regions);
    repair->entries = os_alloc_zeroed((repair->top + 1) * sizeof *repair->entries);
    if (repair->entries == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    for (unsigned level = 0; repair->failure == STATUS_OK && level <= repair->top; level++)
        open_level(repair, level);
    return repair->failure;
}

/* ---- the old ones ---- */

/* The entry of the newest copy of the block; zeros: neither is whole. */
static struct disk_map_entry seek_entry(struct repair *repair, unsigned level, uint64_t index,
                                        struct disk_map_block *page) {
    const struct geometry *g = &repair->label.geometry;
    struct disk_map_entry found = {0};
    uint64_t newest = 0;
    for (uint8_t copy = 0; copy < 2; copy++) {
        if (!repair_read(repair, geometry_map_address(g, level, index, copy), page))
            continue;
        struct disk_map_entry entry = {.checksum = page->checksum, .copy = copy};
        if (alloc_read_map_block(repair->device, g, level, index, &entry, page) != STATUS_OK ||
            le64_get(page->checkpoint) < newest)
            continue;
        newest = le64_get(page->checkpoint);
        found = entry;
    }
    return found;
}

/* Without a superblock nothing leads to them. */
static bool are_sought(const struct repair *repair) {
    return le64_get(repair->super.map_root.checksum) == 0;
}

static void take_entries(struct repair *repair, unsigned level, uint64_t index,
                         const struct disk_map_block *page) {
    uint64_t first = index * DISK_MAP_FANOUT;
    uint64_t below = geometry_map_level_blocks(&repair->label.geometry, level - 1);
    for (uint64_t i = 0; i < MATH_MIN(below - first, DISK_MAP_FANOUT); i++) {
        struct map_entry entry = {.disk = page->entries[i]};
        entry.disk.copy &= 1;
        spill_array_put(repair->entries[level - 1], first + i, &entry);
    }
}

static void load_level(struct repair *repair, unsigned level, struct disk_map_block *page) {
    const struct geometry *g = &repair->label.geometry;
    uint64_t count = geometry_map_level_blocks(g, level);
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++) {
        struct map_entry entry;
        spill_array_get(repair->entries[level], i, &entry);
        if (are_sought(repair))
            entry.disk = seek_entry(repair, level, i, page);
        if (le64_get(entry.disk.checksum) == 0 ||
            alloc_read_map_block(repair->device, g, level, i, &entry.disk, page) != STATUS_OK)
            continue;
        entry.known = true;
        spill_array_put(repair->entries[level], i, &entry);
        if (level > 0) {
            take_entries(repair, level, i, page);
            continue;
        }
        spill_bits_write(repair->old_used, i * DISK_REGION_BLOCKS, DISK_REGION_BLOCKS,
                         page->bitmap);
        spill_bit_put(repair->known, i, true);
    }
}

enum status repair_map_load(struct repair *repair) {
    struct disk_map_block *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    if (repair->failure == STATUS_OK && open_maps(repair) == STATUS_OK) {
        struct map_entry root = {.disk = repair->super.map_root};
        spill_array_put(repair->entries[repair->top], 0, &root);
        for (unsigned i = 0; i <= repair->top; i++)
            load_level(repair, repair->top - i, page);
    }
    os_page_free(page, DISK_BLOCK_SIZE);
    return repair->failure;
}

void repair_map_release(struct repair *repair) {
    for (unsigned level = 0; repair->entries != NULL && level <= repair->top; level++)
        spill_array_close(repair->entries[level]);
    os_free(repair->entries);
    struct spill_bits *bits[] = {repair->claimed, repair->keep,     repair->old_used, repair->other,
                                 repair->tainted, repair->disputed, repair->known};
    for (unsigned i = 0; i < ARRAY_LENGTH(bits); i++)
        spill_bits_close(bits[i]);
    repair->entries = NULL;
    repair->claimed = repair->keep = repair->old_used = repair->other = repair->tainted =
        repair->disputed = repair->known = NULL;
}

bool repair_is_region_empty(const struct repair *repair, uint64_t region) {
    uint64_t first = region * DISK_REGION_BLOCKS;
    return spill_bit(repair->known, region) &&
           spill_bits_find(repair->old_used, first, true) >= first + DISK_REGION_BLOCKS;
}

bool repair_other(struct repair *repair) {
    spill_bits_clear(repair->other);
    return repair->failure == STATUS_OK;
}

/* ---- the new ones ---- */

uint64_t repair_block(struct repair *repair) {
    const struct geometry *g = &repair->label.geometry;
    struct spill_bits *taken[] = {repair->claimed, repair->keep, repair->old_used};
    uint64_t block = MATH_MAX(repair->cursor, g->data_start);
    for (uint64_t before = 0; before != block && repair->failure == STATUS_OK;) {
        before = block;
        for (unsigned i = 0; i < ARRAY_LENGTH(taken); i++)
            block = spill_bits_find(taken[i], block, false);
    }
    if (block >= g->data_end)
        repair_fail(repair, STATUS_NO_SPACE);
    if (repair->failure != STATUS_OK)
        return 0;
    repair->cursor = block;
    repair_set(repair->claimed, block);
    return block;
}

/* Writes a block over the copy that its entry does not name. */
static void write_block(struct repair *repair, unsigned level, uint64_t index,
                        struct disk_map_block *page, uint32_t free_blocks,
                        struct map_entry *entry) {
    uint8_t copy = entry->disk.copy ^ 1;
    uint64_t block = geometry_map_address(&repair->label.geometry, level, index, copy);
    memset(page, 0, offsetof(struct disk_map_block, bitmap));
    memcpy(page->magic, DISK_MAP_MAGIC, sizeof page->magic);
    page->block = le64_make(block);
    page->checkpoint = le64_make(repair->checkpoint);
    page->index = le64_make(index);
    page->level = (uint8_t)level;
    page->checksum = le64_make(checksum_xxh64((const char *)page + 8, DISK_BLOCK_SIZE - 8, 0));
    entry->disk = (struct disk_map_entry){
        .checksum = page->checksum, .free_blocks = le32_make(free_blocks), .copy = copy};
    entry->changed = true;
    if (repair->failure == STATUS_OK)
        repair_fail(repair, blockdev_write(repair->device, block * DISK_BLOCK_SIZE, page,
                                           DISK_BLOCK_SIZE, 0));
}

/* What is outside of the data area is in use. */
static void mark_outside(const struct geometry *g, uint64_t region, uint64_t *words) {
    uint64_t first = region * DISK_REGION_BLOCKS;
    if (geometry_is_data(g, first, DISK_REGION_BLOCKS))
        return;
    for (uint64_t i = 0; i < DISK_REGION_BLOCKS; i++)
        if (!geometry_is_data(g, first + i, 1))
            words[i / WORD_BITS] |= 1ull << i % WORD_BITS;
}

/* The bitmap of a region into the page; returns how many blocks are in use. */
static uint64_t read_region(struct repair *repair, uint64_t region, struct disk_map_block *page) {
    uint64_t *words = (uint64_t *)page->bitmap;
    uint64_t used = 0;
    spill_bits_read(repair->claimed, region * DISK_REGION_BLOCKS, DISK_REGION_BLOCKS, words);
    mark_outside(&repair->label.geometry, region, words);
    for (unsigned i = 0; i < REGION_WORDS; i++)
        used += (unsigned)__builtin_popcountll(words[i]);
    return used;
}

static bool is_as_before(struct repair *repair, uint64_t region,
                         const struct disk_map_block *page) {
    uint64_t before[REGION_WORDS];
    spill_bits_read(repair->old_used, region * DISK_REGION_BLOCKS, DISK_REGION_BLOCKS, before);
    return memcmp(before, page->bitmap, sizeof before) == 0;
}

/* Returns how many blocks are in use. */
static uint64_t write_regions(struct repair *repair, struct disk_map_block *page) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < repair->label.geometry.regions && repair->failure == STATUS_OK; i++) {
        struct map_entry entry;
        spill_array_get(repair->entries[0], i, &entry);
        uint64_t used = read_region(repair, i, page);
        uint32_t free_blocks = (uint32_t)(DISK_REGION_BLOCKS - used);
        sum += used;
        if (entry.known && !are_sought(repair) && le32_get(entry.disk.free_blocks) == free_blocks &&
            is_as_before(repair, i, page))
            continue;
        write_block(repair, 0, i, page, free_blocks, &entry);
        spill_array_put(repair->entries[0], i, &entry);
    }
    return sum;
}

/* The entries of the level below into the page; returns whether one of them changed. */
static bool read_entries(struct repair *repair, unsigned level, uint64_t index,
                         struct disk_map_block *page, uint32_t *free_blocks) {
    uint64_t first = index * DISK_MAP_FANOUT;
    uint64_t below = geometry_map_level_blocks(&repair->label.geometry, level - 1);
    uint64_t sum = 0;
    bool changed = false;
    memset(page, 0, sizeof *page);
    for (uint64_t i = 0; i < MATH_MIN(below - first, DISK_MAP_FANOUT); i++) {
        struct map_entry entry;
        spill_array_get(repair->entries[level - 1], first + i, &entry);
        page->entries[i] = entry.disk;
        changed = changed || entry.changed;
        sum += le32_get(entry.disk.free_blocks);
    }
    *free_blocks = (uint32_t)MATH_MIN(sum, UINT32_MAX);
    return changed;
}

static void write_level(struct repair *repair, unsigned level, struct disk_map_block *page) {
    uint64_t count = geometry_map_level_blocks(&repair->label.geometry, level);
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++) {
        struct map_entry entry;
        uint32_t free_blocks;
        spill_array_get(repair->entries[level], i, &entry);
        bool changed = read_entries(repair, level, i, page, &free_blocks);
        if (!changed && entry.known && le32_get(entry.disk.free_blocks) == free_blocks)
            continue;
        write_block(repair, level, i, page, free_blocks, &entry);
        spill_array_put(repair->entries[level], i, &entry);
    }
}

static enum status write_maps(struct repair *repair, struct superblock *super) {
    struct disk_map_block *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    super->used_blocks = write_regions(repair, page);
    for (unsigned level = 1; level <= repair->top; level++)
        write_level(repair, level, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    struct map_entry root = {0};
    spill_array_get(repair->entries[repair->top], 0, &root);
    super->map_root = root.disk;
    return repair->failure;
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
