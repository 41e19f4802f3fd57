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
    struct disk_map_block *page;
    struct disk_map_entry *entries; /* of the level that is being read */
    bool *known;                    /* which of them could be read out of the level above */
    struct {
        enum check_finding finding;
        uint64_t start, count;
    } run;           /* of blocks with the same finding, not reported yet */
    uint64_t used;   /* set bits in all bitmaps */
    bool incomplete; /* some blocks of the maps could not be looked into */
};

/* Reads and verifies one block of the maps; false, reported, if it cannot be looked into. */
static bool read_map_block(struct map_walk *walk, unsigned level, uint64_t index) {
    struct check *check = walk->check;
    const struct disk_map_entry *entry = &walk->entries[index];
    enum status status = alloc_read_map_block(check->device, &check->label.geometry, level, index,
                                              entry, walk->page);
    if (!check_is_damage(check, status))
        return false;
    if (status == STATUS_OK && (!mem_is_zero(walk->page->reserved, sizeof walk->page->reserved) ||
                                le64_get(walk->page->checkpoint) > check->super.checkpoint))
        status = STATUS_CORRUPT;
    if (status == STATUS_OK)
        return true;
    enum check_finding finding = status == STATUS_CHECKSUM  ? CHECK_MAP_CHECKSUM
                                 : status == STATUS_CORRUPT ? CHECK_MAP_CORRUPT
                                                            : CHECK_MAP_UNREADABLE;
    check_report(check, finding,
                 geometry_map_address(&check->label.geometry, level, index, entry->copy & 1),
                 "allocation map, level %u, block %llu: %s", level, (unsigned long long)index,
                 status_text(status));
    walk->incomplete = true;
    return false;
}

static void check_free_count(struct map_walk *walk, unsigned level, uint64_t index,
                             uint64_t counted) {
    uint32_t said = le32_get(walk->entries[index].free_blocks);
    if (said == MATH_MIN(counted, UINT32_MAX))
        return;
    const struct geometry *g = &walk->check->label.geometry;
    check_report(walk->check, CHECK_MAP_FREE_COUNT,
                 geometry_map_address(g, level, index, walk->entries[index].copy),
                 "allocation map, level %u, block %llu: it has %llu free blocks, its parent says "
                 "%u",
                 level, (unsigned long long)index, (unsigned long long)counted, said);
}

/* Takes the entries out of the page, for the level below. */
static void take_entries(struct map_walk *walk, unsigned level, uint64_t index,
                         struct disk_map_entry *below, bool *below_known) {
    const struct geometry *g = &walk->check->label.geometry;
    uint64_t first = index * DISK_MAP_FANOUT;
    uint64_t count = MATH_MIN(geometry_map_level_blocks(g, level - 1) - first, DISK_MAP_FANOUT);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        below[first + i] = walk->page->entries[i];
        below_known[first + i] = true;
        sum += le32_get(walk->page->entries[i].free_blocks);
    }
    check_free_count(walk, level, index, sum);
    if (!mem_is_zero(&walk->page->entries[count],
                     (DISK_MAP_FANOUT - count) * sizeof walk->page->entries[0]))
        check_report(walk->check, CHECK_MAP_CORRUPT, le64_get(walk->page->block),
                     "allocation map, level %u, block %llu: entries behind the last one", level,
                     (unsigned long long)index);
}

/* Reads one level above 0 and replaces walk->entries by those of the level below. */
static void descend(struct map_walk *walk, unsigned level) {
    const struct geometry *g = &walk->check->label.geometry;
    uint64_t count = geometry_map_level_blocks(g, level);
    uint64_t below_count = geometry_map_level_blocks(g, level - 1);
    struct disk_map_entry *below = os_alloc_zeroed(below_count * sizeof *below);
    bool *below_known = os_alloc_zeroed(below_count * sizeof *below_known);
    if (below == NULL || below_known == NULL)
        walk->check->failure = STATUS_NO_MEMORY;
    for (uint64_t i = 0; walk->check->failure == STATUS_OK && i < count; i++)
        if (walk->known[i] && read_map_block(walk, level, i))
            take_entries(walk, level, i, below, below_known);
    os_free(walk->entries);
    os_free(walk->known);
    walk->entries = below;
    walk->known = below_known;
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

static void check_region(struct map_walk *walk, uint64_t index) {
    uint64_t used_count = 0;
    for (uint64_t word = 0; word < REGION_WORDS; word++) {
        uint64_t used;
        memcpy(&used, walk->page->bitmap + word * sizeof used, sizeof used);
        used_count += (unsigned)__builtin_popcountll(used);
        uint64_t claimed = walk->check->claimed[index * REGION_WORDS + word];
        if (used != claimed)
            compare_word(walk, index * DISK_REGION_BLOCKS + word * WORD_BITS, used, claimed);
    }
    walk->used += used_count;
    check_free_count(walk, 0, index, DISK_REGION_BLOCKS - used_count);
}

static void check_regions(struct map_walk *walk) {
    struct check *check = walk->check;
    for (uint64_t i = 0; check->failure == STATUS_OK && i < check->label.geometry.regions; i++)
        if (walk->known[i] && read_map_block(walk, 0, i))
            check_region(walk, i);
    flush_run(walk);
    if (check->failure == STATUS_OK && !walk->incomplete && walk->used != check->super.used_blocks)
        check_report(check, CHECK_USED_COUNT, CHECK_NO_BLOCK,
                     "%llu blocks are in use by the allocation map, the superblock says %llu",
                     (unsigned long long)walk->used, (unsigned long long)check->super.used_blocks);
}

void check_map(struct check *check) {
    struct map_walk walk = {.check = check,
                            .page = os_page_alloc(DISK_BLOCK_SIZE),
                            .entries = os_alloc(sizeof *walk.entries),
                            .known = os_alloc(sizeof *walk.known)};
    if (walk.page == NULL || walk.entries == NULL || walk.known == NULL)
        check->failure = STATUS_NO_MEMORY;
    if (check->failure == STATUS_OK) {
        walk.entries[0] = check->super.map_root;
        walk.known[0] = true;
    }
    unsigned top = geometry_map_top(&check->label.geometry);
    for (unsigned level = top; check->failure == STATUS_OK && level > 0; level--)
        descend(&walk, level);
    if (check->failure == STATUS_OK)
        check_regions(&walk);
    os_page_free(walk.page, DISK_BLOCK_SIZE);
    os_free(walk.entries);
    os_free(walk.known);
}
