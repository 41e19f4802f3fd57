/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocation maps on the device: a tree of fixed shape in which every block has two places, so
 * that writing it allocates nothing, and every entry holds the checksum of what it names, so that a
 * lost write of a bitmap is seen.
 *
 * Invariant: entries[level][i] says where the newest copy of block i of that level stands. A
 * checkpoint writes a changed block to the other copy.
 */
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/space/alloc.h"

#define WORD_BITS 64u

static enum status allocate_tables(struct allocator *a) {
    const struct geometry *g = &a->geometry;
    a->regions = os_alloc_zeroed(g->regions * sizeof *a->regions);
    a->entries = os_alloc_zeroed((a->top + 1) * sizeof *a->entries);
    if (a->regions == NULL || a->entries == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned level = 0; level <= a->top; level++) {
        uint64_t count = geometry_map_level_blocks(g, level);
        a->entries[level] = os_alloc_zeroed(count * sizeof **a->entries);
        if (a->entries[level] == NULL)
            return STATUS_NO_MEMORY;
    }
    for (uint64_t i = 0; i < g->regions; i++) {
        a->regions[i].used = os_alloc_zeroed(DISK_MAP_PAYLOAD);
        a->regions[i].busy = os_alloc_zeroed(DISK_MAP_PAYLOAD);
        if (a->regions[i].used == NULL || a->regions[i].busy == NULL)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static void init(struct allocator *a, const struct geometry *geometry) {
    memset(a, 0, sizeof *a);
    os_mutex_init(&a->lock);
    a->geometry = *geometry;
}

static enum status start(struct allocator *a, const struct geometry *geometry) {
    init(a, geometry);
    a->top = geometry_map_top(geometry);
    a->data_cursor = geometry->data_start;
    /* Nodes start in the middle, so that sequential data is not interrupted by them. */
    a->node_cursor = math_round_down(
        geometry->data_start + (geometry->data_end - geometry->data_start) / 2, WORD_BITS);
    if (a->node_cursor < geometry->data_start)
        a->node_cursor = geometry->data_start;
    return allocate_tables(a);
}

void alloc_destroy(struct allocator *a) {
    for (uint64_t i = 0; a->regions != NULL && i < a->geometry.regions; i++) {
        os_free(a->regions[i].used);
        os_free(a->regions[i].busy);
    }
    for (unsigned level = 0; a->entries != NULL && level <= a->top; level++)
        os_free(a->entries[level]);
    for (unsigned i = 0; i < ALLOC_STAGES; i++)
        os_free(a->stages[i].runs);
    os_free(a->regions);
    os_free(a->entries);
    os_mutex_destroy(&a->lock);
}

void alloc_do_without(struct allocator *a, const struct geometry *geometry, uint64_t used_blocks) {
    init(a, geometry);
    uint64_t bits = geometry->regions * DISK_REGION_BLOCKS;
    a->used_blocks = MATH_MIN(used_blocks, bits);
    a->free_blocks = bits - a->used_blocks;
    a->node_cursor = geometry->device_blocks;
}

/* Counts a region's bits after its `used` was filled in, and starts `busy` as its copy. */
static void count_region(struct allocator *a, uint64_t index) {
    struct alloc_region *region = &a->regions[index];
    memcpy(region->busy, region->used, DISK_MAP_PAYLOAD);
    unsigned used = 0;
    for (unsigned i = 0; i < DISK_MAP_PAYLOAD / sizeof(uint64_t); i++)
        used += (unsigned)__builtin_popcountll(region->used[i]);
    region->used_count = used;
    region->free_count = DISK_REGION_BLOCKS - used;
    a->used_blocks += used;
    a->free_blocks += region->free_count;
}

enum status alloc_create(struct allocator *a, const struct geometry *geometry) {
    enum status status = start(a, geometry);
    if (status != STATUS_OK) {
        alloc_destroy(a);
        return status;
    }
    for (uint64_t i = 0; i < geometry->regions; i++) {
        uint64_t base = i * DISK_REGION_BLOCKS;
        for (uint64_t bit = 0; bit < DISK_REGION_BLOCKS; bit++)
            if (!geometry_is_data(geometry, base + bit, 1))
                a->regions[i].used[bit / WORD_BITS] |= 1ull << bit % WORD_BITS;
        a->regions[i].dirty = true;
        count_region(a, i);
    }
    return STATUS_OK;
}

enum status alloc_read_map_block(struct blockdev *device, const struct geometry *geometry,
                                 unsigned level, uint64_t index, const struct disk_map_entry *entry,
                                 struct disk_map_block *page) {
    if (entry->copy > 1 || memcmp(entry->reserved, (uint8_t[3]){0}, 3) != 0)
        return STATUS_CORRUPT;
    uint64_t block = geometry_map_address(geometry, level, index, entry->copy);
    enum status status = blockdev_read(device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE);
    if (status != STATUS_OK)
        return status;
    uint64_t checksum = checksum_xxh64((const char *)page + 8, DISK_BLOCK_SIZE - 8, 0);
    if (checksum != le64_get(entry->checksum) || checksum != le64_get(page->checksum))
        return STATUS_CHECKSUM;
    if (memcmp(page->magic, DISK_MAP_MAGIC, sizeof page->magic) != 0 ||
        le64_get(page->block) != block || le64_get(page->index) != index || page->level != level)
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static enum status load_region(struct allocator *a, uint64_t index,
                               const struct disk_map_block *page) {
    struct alloc_region *region = &a->regions[index];
    memcpy(region->used, page->bitmap, DISK_MAP_PAYLOAD);
    uint64_t base = index * DISK_REGION_BLOCKS;
    bool all_data = geometry_is_data(&a->geometry, base, DISK_REGION_BLOCKS);
    for (uint64_t bit = 0; !all_data && bit < DISK_REGION_BLOCKS; bit++) {
        if (region->used[bit / WORD_BITS] == UINT64_MAX) {
            bit |= WORD_BITS - 1; /* nothing is free there */
            continue;
        }
        if (geometry_is_data(&a->geometry, base + bit, 1))
            continue;
        if ((region->used[bit / WORD_BITS] >> bit % WORD_BITS & 1) == 0)
            return STATUS_CORRUPT; /* it would give out the format's own areas */
    }
    count_region(a, index);
    if (region->free_count != le32_get(a->entries[0][index].free_blocks))
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static void load_entries(struct allocator *a, unsigned level, uint64_t index,
                         const struct disk_map_block *page) {
    uint64_t below = geometry_map_level_blocks(&a->geometry, level - 1);
    uint64_t first = index * DISK_MAP_FANOUT;
    uint64_t count = MATH_MIN(below - first, DISK_MAP_FANOUT);
    memcpy(&a->entries[level - 1][first], page->entries, count * sizeof page->entries[0]);
}

static enum status load_level(struct allocator *a, struct blockdev *device, unsigned level,
                              struct disk_map_block *page) {
    uint64_t count = geometry_map_level_blocks(&a->geometry, level);
    for (uint64_t i = 0; i < count; i++) {
        const struct disk_map_entry *entry = &a->entries[level][i];
        enum status status = alloc_read_map_block(device, &a->geometry, level, i, entry, page);
        if (status == STATUS_OK && level > 0)
            load_entries(a, level, i, page);
        else if (status == STATUS_OK)
            status = load_region(a, i, page);
        if (status != STATUS_OK) {
            log_error("lfsx", "allocation map level %u block %llu (copy %u): %s; run fsck.lfsx",
                      level, (unsigned long long)i, entry->copy, status_text(status));
            return status;
        }
    }
    return STATUS_OK;
}

enum status alloc_load(struct allocator *a, const struct geometry *geometry,
                       struct blockdev *device, const struct disk_map_entry *root) {
    struct disk_map_block *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = start(a, geometry);
    if (status == STATUS_OK)
        a->entries[a->top][0] = *root;
    for (unsigned i = 0; status == STATUS_OK && i <= a->top; i++)
        status = load_level(a, device, a->top - i, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    if (status != STATUS_OK)
        alloc_destroy(a);
    return status;
}

/* Writes one block into the snapshot and points its entry at the copy that will be written. */
static void emit(struct allocator *a, struct alloc_snapshot *snapshot, uint64_t checkpoint,
                 unsigned level, uint64_t index, const void *payload, uint64_t bytes,
                 uint32_t free_blocks) {
    struct disk_map_entry *entry = &a->entries[level][index];
    struct alloc_write *write = &snapshot->writes[snapshot->count++];
    struct disk_map_block *page = write->page;
    uint8_t copy = entry->copy ^ 1;
    write->block = geometry_map_address(&a->geometry, level, index, copy);
    memset(page, 0, sizeof *page);
    memcpy(page->magic, DISK_MAP_MAGIC, sizeof page->magic);
    page->block = le64_make(write->block);
    page->checkpoint = le64_make(checkpoint);
    page->index = le64_make(index);
    page->level = (uint8_t)level;
    memcpy(page->bitmap, payload, bytes);
    page->checksum = le64_make(checksum_xxh64((const char *)page + 8, DISK_BLOCK_SIZE - 8, 0));
    *entry = (struct disk_map_entry){
        .checksum = page->checksum, .free_blocks = le32_make(free_blocks), .copy = copy};
}

static uint64_t entry_free_sum(const struct disk_map_entry *entries, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += le32_get(entries[i].free_blocks);
    return MATH_MIN(sum, UINT32_MAX);
}

static void emit_regions(struct allocator *a, struct alloc_snapshot *snapshot, uint64_t checkpoint,
                         bool *changed) {
    for (uint64_t i = 0; i < a->geometry.regions; i++) {
        struct alloc_region *region = &a->regions[i];
        if (!region->dirty)
            continue;
        emit(a, snapshot, checkpoint, 0, i, region->used, DISK_MAP_PAYLOAD,
             DISK_REGION_BLOCKS - region->used_count);
        region->dirty = false;
        changed[i / DISK_MAP_FANOUT] = true;
    }
}

/* Writes the blocks of a level whose entries changed; changed[] then speaks of the level above. */
static void emit_level(struct allocator *a, struct alloc_snapshot *snapshot, uint64_t checkpoint,
                       unsigned level, bool *changed) {
    uint64_t below = geometry_map_level_blocks(&a->geometry, level - 1);
    uint64_t count = geometry_map_level_blocks(&a->geometry, level);
    for (uint64_t i = 0; i < count; i++) {
        bool this_changed = changed[i];
        changed[i] = false;
        if (!this_changed)
            continue;
        uint64_t first = i * DISK_MAP_FANOUT;
        uint64_t entries = MATH_MIN(below - first, DISK_MAP_FANOUT);
        emit(a, snapshot, checkpoint, level, i, &a->entries[level - 1][first],
             entries * sizeof(struct disk_map_entry),
             (uint32_t)entry_free_sum(&a->entries[level - 1][first], entries));
        changed[i / DISK_MAP_FANOUT] = true;
    }
}

/* How many blocks a snapshot has at most: the dirty regions, and as many more as may become so, and
 * all that is above them. */
static uint64_t count_writes(const struct allocator *a, uint64_t more) {
    uint64_t dirty = 0;
    for (uint64_t i = 0; i < a->geometry.regions; i++)
        dirty += a->regions[i].dirty;
    dirty += MATH_MIN(more, a->geometry.regions - dirty);
    uint64_t sum = dirty;
    for (unsigned level = 1; level <= a->top; level++)
        sum += MATH_MIN(dirty, geometry_map_level_blocks(&a->geometry, level));
    return sum;
}

/* Gives back the pages from `first` on. */
static void release_pages(struct alloc_snapshot *snapshot, uint64_t first) {
    for (uint64_t i = first; i < snapshot->capacity; i++)
        os_page_free(snapshot->writes[i].page, DISK_BLOCK_SIZE);
    snapshot->capacity = first;
}

void alloc_snapshot_free(struct alloc_snapshot *snapshot) {
    release_pages(snapshot, 0);
    os_free(snapshot->writes);
    os_free(snapshot->changed);
    *snapshot = (struct alloc_snapshot){0};
}

static enum status allocate_snapshot(struct alloc_snapshot *snapshot, uint64_t count,
                                     uint64_t above) {
    *snapshot = (struct alloc_snapshot){0};
    snapshot->writes = os_alloc_zeroed(count * sizeof *snapshot->writes);
    snapshot->changed = os_alloc_zeroed(above);
    bool good = snapshot->writes != NULL && snapshot->changed != NULL;
    while (good && snapshot->capacity < count) {
        struct disk_map_block *page = os_page_alloc(DISK_BLOCK_SIZE);
        good = page != NULL;
        if (good)
            snapshot->writes[snapshot->capacity++].page = page;
    }
    if (!good)
        alloc_snapshot_free(snapshot);
    return good ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status alloc_freeze_prepare(struct allocator *a, uint64_t blocks,
                                 struct alloc_snapshot *snapshot) {
    os_mutex_lock(&a->lock);
    uint64_t count = count_writes(a, blocks);
    enum status status =
        allocate_snapshot(snapshot, count, geometry_map_level_blocks(&a->geometry, 1));
    os_mutex_unlock(&a->lock);
    return status;
}

void alloc_freeze_prepared(struct allocator *a, uint64_t checkpoint,
                           struct alloc_snapshot *snapshot) {
    os_mutex_lock(&a->lock);
    ASSERT(a->stages[ALLOC_STAGE_WRITING].count == 0);
    ASSERT(count_writes(a, 0) <= snapshot->capacity);
    emit_regions(a, snapshot, checkpoint, snapshot->changed);
    for (unsigned level = 1; level <= a->top; level++)
        emit_level(a, snapshot, checkpoint, level, snapshot->changed);
    release_pages(snapshot, snapshot->count);
    snapshot->root = a->entries[a->top][0];
    snapshot->used_blocks = a->used_blocks;
    a->stages[ALLOC_STAGE_WRITING] = a->stages[ALLOC_STAGE_OPEN];
    a->stages[ALLOC_STAGE_OPEN] = (struct alloc_log){0};
    os_mutex_unlock(&a->lock);
}

enum status alloc_freeze(struct allocator *a, uint64_t checkpoint,
                         struct alloc_snapshot *snapshot) {
    enum status status = alloc_freeze_prepare(a, 0, snapshot);
    if (status == STATUS_OK)
        alloc_freeze_prepared(a, checkpoint, snapshot);
    return status;
}
