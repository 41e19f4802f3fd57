/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation maps: that they are whole, and that they say what the trees say. */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"
#include "storage/lfsx/space/alloc.h"

#define WORD_BITS 64u
#define REGION_WORDS (DISK_REGION_BLOCKS / WORD_BITS)

struct map_walk {
    struct check *check;
    struct disk_map_block *pages;   /* one for each level, of the blocks above the one looked at */
    uint64_t claimed[REGION_WORDS]; /* of the region that is looked at */
    struct {
        enum check_finding finding;
        uint64_t start, count;
    } run;           /* of blocks with the same finding, not reported yet */
    uint64_t used;   /* set bits in all bitmaps */
    bool incomplete; /* some blocks of the maps could not be looked into */
};

/* Reads and verifies one block of the maps; NULL, reported, if it cannot be looked into. */
static const struct disk_map_block *read_map_block(struct map_walk *walk, unsigned level,
                                                   uint64_t index,
                                                   const struct disk_map_entry *entry) {
    struct check *check = walk->check;
    struct disk_map_block *page = &walk->pages[level];
    enum status status =
        alloc_read_map_block(check->device, &check->label.geometry, level, index, entry, page);
    if (!check_is_damage(check, status))
        return NULL;
    if (status == STATUS_OK && (!mem_is_zero(page->reserved, sizeof page->reserved) ||
                                le64_get(page->checkpoint) > check->super.checkpoint))
        status = STATUS_CORRUPT;
    if (status == STATUS_OK)
        return page;
    enum check_finding finding = status == STATUS_CHECKSUM  ? CHECK_MAP_CHECKSUM
                                 : status == STATUS_CORRUPT ? CHECK_MAP_CORRUPT
                                                            : CHECK_MAP_UNREADABLE;
    check_report(check, finding,
                 geometry_map_address(&check->label.geometry, level, index, entry->copy & 1),
                 "allocation map, level %u, block %llu: %s", level, (unsigned long long)index,
                 status_text(status));
    walk->incomplete = true;
    return NULL;
}

static void check_free_count(struct map_walk *walk, unsigned level, uint64_t index,
                             const struct disk_map_entry *entry, uint64_t counted) {
    uint32_t said = le32_get(entry->free_blocks);
    if (said == MATH_MIN(counted, UINT32_MAX))
        return;
    const struct geometry *g = &walk->check->label.geometry;
    check_report(walk->check, CHECK_MAP_FREE_COUNT,
                 geometry_map_address(g, level, index, entry->copy),
                 "allocation map, level %u, block %llu: it has %llu free blocks, its parent says "
                 "%u",
                 level, (unsigned long long)index, (unsigned long long)counted, said);
}

static void flush_run(struct map_walk *walk) {
    if (walk->run.count == 0)
        return;
    static const char *const leaked = "in use by the allocation map, but nothing names them";
    static const char *const lost = "named by a tree, but free by the allocation map";
    static const char *const format = "of the format's own areas, but free by the allocation map";
    enum check_finding finding = walk->run.finding;
    check_report(walk->check, finding, walk->run.start, "blocks %llu..%llu are %s",
                 (unsigned long long)walk->run.start,
                 (unsigned long long)(walk->run.start + walk->run.count - 1),
                 finding == CHECK_BLOCK_LEAKED ? leaked
                 : finding == CHECK_BLOCK_LOST ? lost
                                               : format);
    walk->run.count = 0;
}

static void add_to_run(struct map_walk *walk, enum check_finding finding, uint64_t block) {
    if (walk->run.count > 0 && walk->run.finding == finding &&
        walk->run.start + walk->run.count == block) {
        walk->run.count++;
        return;
    }
    flush_run(walk);
    walk->run.finding = finding;
    walk->run.start = block;
    walk->run.count = 1;
}

/* Blocks whose bits in the map and in the check's own bitmap differ. */
static void compare_word(struct map_walk *walk, uint64_t block, uint64_t used, uint64_t claimed) {
    uint64_t different = used ^ claimed;
    for (; different != 0; different &= different - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(different);
        if (used >> bit & 1) {
            /* Something that could not be looked into may well name it. */
            if (!walk->check->incomplete)
                add_to_run(walk, CHECK_BLOCK_LEAKED, block + bit);
        } else if (geometry_is_data(&walk->check->label.geometry, block + bit, 1)) {
            add_to_run(walk, CHECK_BLOCK_LOST, block + bit);
        } else {
            add_to_run(walk, CHECK_MAP_FORMAT_AREA, block + bit);
        }
    }
}

static void check_region(struct map_walk *walk, uint64_t index, const struct disk_map_entry *entry,
                         const struct disk_map_block *page) {
    uint64_t used_count = 0;
    spill_bits_read(walk->check->claimed, index * DISK_REGION_BLOCKS, DISK_REGION_BLOCKS,
                    walk->claimed);
    for (uint64_t word = 0; word < REGION_WORDS; word++) {
        uint64_t used;
        memcpy(&used, page->bitmap + word * sizeof used, sizeof used);
        used_count += (unsigned)__builtin_popcountll(used);
        if (used != walk->claimed[word])
            compare_word(walk, index * DISK_REGION_BLOCKS + word * WORD_BITS, used,
                         walk->claimed[word]);
    }
    walk->used += used_count;
    check_free_count(walk, 0, index, entry, DISK_REGION_BLOCKS - used_count);
}

/* Compares the entries of a block above level 0 with what they say in sum; returns how many there
 * are. */
static uint64_t check_entries(struct map_walk *walk, unsigned level, uint64_t index,
                              const struct disk_map_entry *entry,
                              const struct disk_map_block *page) {
    const struct geometry *g = &walk->check->label.geometry;
    uint64_t first = index * DISK_MAP_FANOUT;
    uint64_t count = MATH_MIN(geometry_map_level_blocks(g, level - 1) - first, DISK_MAP_FANOUT);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += le32_get(page->entries[i].free_blocks);
    check_free_count(walk, level, index, entry, sum);
    if (!mem_is_zero(&page->entries[count], (DISK_MAP_FANOUT - count) * sizeof page->entries[0]))
        check_report(walk->check, CHECK_MAP_CORRUPT, le64_get(page->block),
                     "allocation map, level %u, block %llu: entries behind the last one", level,
                     (unsigned long long)index);
    return count;
}

/* Calls itself, once for each level. */
static void check_map_block(struct map_walk *walk, unsigned level, uint64_t index,
                            const struct disk_map_entry *entry) {
    const struct disk_map_block *page = read_map_block(walk, level, index, entry);
    if (page == NULL)
        return;
    if (level == 0) {
        check_region(walk, index, entry, page);
        return;
    }
    uint64_t count = check_entries(walk, level, index, entry, page);
    for (uint64_t i = 0; walk->check->failure == STATUS_OK && i < count; i++)
        check_map_block(walk, level - 1, index * DISK_MAP_FANOUT + i, &page->entries[i]);
}

void check_map(struct check *check) {
    unsigned top = geometry_map_top(&check->label.geometry);
    struct map_walk *walk = os_alloc_zeroed(sizeof *walk);
    struct disk_map_block *pages = os_page_alloc((top + 1) * DISK_BLOCK_SIZE);
    if (walk == NULL || pages == NULL) {
        check->failure = STATUS_NO_MEMORY;
    } else {
        walk->check = check;
        walk->pages = pages;
        check_map_block(walk, top, 0, &check->super.map_root);
        flush_run(walk);
        if (!walk->incomplete && walk->used != check->super.used_blocks)
            check_report(check, CHECK_USED_COUNT, CHECK_NO_BLOCK,
                         "%llu blocks are in use by the allocation map, the superblock says %llu",
                         (unsigned long long)walk->used,
                         (unsigned long long)check->super.used_blocks);
    }
    os_page_free(pages, (top + 1) * DISK_BLOCK_SIZE);
    os_free(walk);
}
