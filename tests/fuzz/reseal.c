/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/reseal.h"
#include "base/checksum.h"
#include "base/math.h"
#include "storage/journal/journal_format.h"
#include "storage/lfsx/lfsx_format.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 6u
#define VISITS_MAX 4000u /* nodes may name each other in a circle */

struct walk {
    unsigned char *content;
    const struct geometry *geometry;
    unsigned visits; /* left */
    void (*visit)(void *context, uint64_t block);
    void *context;
};

static void *page(const struct walk *walk, uint64_t block) {
    return walk->content + block * DISK_BLOCK_SIZE;
}

static le64 sum(const void *block) {
    return le64_make(checksum_xxh64((const char *)block + 8, DISK_BLOCK_SIZE - 8, 0));
}

static void walk_node(struct walk *walk, uint64_t block, unsigned depth, le64 *checksum);

/* The pointer at this place of a node, if there is room for one. */
static void walk_pointer(struct walk *walk, struct disk_node *node, size_t at, unsigned depth) {
    if (at < sizeof *node || at + sizeof(struct disk_pointer) > DISK_BLOCK_SIZE)
        return;
    struct disk_pointer *pointer = (struct disk_pointer *)((char *)node + at);
    walk_node(walk, le64_get(pointer->block), depth + 1, &pointer->checksum);
}

/* The pointers in an item, wherever its value may lie by now. */
static void walk_item(struct walk *walk, struct disk_node *node, unsigned index, unsigned depth) {
    const struct disk_item *item = &node->items[index];
    size_t at = le16_get(item->value_offset);
    if (node->level > 0) {
        walk_pointer(walk, node, at, depth);
    } else if (item->type == DISK_TYPE_DATASET) {
        walk_pointer(walk, node, at + offsetof(struct disk_dataset, root), depth);
        walk_pointer(walk, node, at + offsetof(struct disk_dataset, dead), depth);
    } else if (item->type == DISK_TYPE_SNAPSHOT) {
        walk_pointer(walk, node, at + offsetof(struct disk_snapshot, root), depth);
    }
}

static void walk_node(struct walk *walk, uint64_t block, unsigned depth, le64 *checksum) {
    if (!geometry_is_data(walk->geometry, block, 1) || depth > DEPTH_MAX || walk->visits == 0)
        return;
    struct disk_node *node = page(walk, block);
    if (le32_get(node->magic) != DISK_NODE_MAGIC) /* data, which is left alone */
        return;
    walk->visits--;
    if (walk->visit != NULL)
        walk->visit(walk->context, block);
    unsigned count = MATH_MIN(le16_get(node->item_count),
                              (unsigned)(DISK_NODE_PAYLOAD / sizeof(struct disk_item)));
    for (unsigned i = 0; i < count; i++)
        walk_item(walk, node, i, depth);
    if (walk->visit == NULL)
        node->checksum = *checksum = sum(node);
}

static void seal_maps(const struct walk *walk, struct disk_superblock *super) {
    const struct geometry *g = walk->geometry;
    unsigned copy = super->map_root.copy & 1;
    struct disk_map_block *top = page(walk, geometry_map_address(g, 1, 0, copy));
    struct disk_map_entry *entry = &top->entries[0];
    struct disk_map_block *region = page(walk, geometry_map_address(g, 0, 0, entry->copy & 1));
    region->checksum = entry->checksum = sum(region);
    top->checksum = super->map_root.checksum = sum(top);
}

static struct disk_superblock *superblock(const struct walk *walk, unsigned area,
                                          uint64_t checkpoint) {
    unsigned slot = (unsigned)(checkpoint % DISK_RING_SLOTS);
    return page(walk, geometry_slot_address(walk->geometry, area, slot));
}

void reseal_pool(unsigned char *content, const struct geometry *geometry, uint64_t checkpoint) {
    struct walk walk = {.content = content, .geometry = geometry};
    for (unsigned area = 0; area < 2; area++) {
        struct disk_label *label = page(&walk, geometry_label_address(geometry, area));
        label->checksum = sum(label);
        struct disk_superblock *super = superblock(&walk, area, checkpoint);
        if (memcmp(super->magic, DISK_SUPERBLOCK_MAGIC, sizeof super->magic) != 0)
            continue;
        walk.visits = VISITS_MAX;
        walk_node(&walk, le64_get(super->catalog.block), 0, &super->catalog.checksum);
        seal_maps(&walk, super);
        reseal_journal(page(&walk, geometry->journal_start), geometry->journal_blocks,
                       le64_get(super->journal_block), le64_get(super->journal_previous));
        super->checksum = sum(super);
    }
}

void reseal_list_nodes(unsigned char *content, const struct geometry *geometry, uint64_t checkpoint,
                       void (*visit)(void *context, uint64_t block), void *context) {
    struct walk walk = {.content = content,
                        .geometry = geometry,
                        .visits = VISITS_MAX,
                        .visit = visit,
                        .context = context};
    struct disk_superblock *super = superblock(&walk, 0, checkpoint);
    walk_node(&walk, le64_get(super->catalog.block), 0, &super->catalog.checksum);
}

/* The checksum of an entry that may go round the ring's end. */
static uint64_t entry_sum(const unsigned char *ring, uint64_t ring_blocks, uint64_t block,
                          uint64_t used) {
    static unsigned char entry[(uint64_t)JOURNAL_ENTRY_MAX_BLOCKS * JOURNAL_BLOCK_SIZE];
    for (uint64_t at = 0; at < used; at += JOURNAL_BLOCK_SIZE, block++)
        memcpy(entry + at, ring + block % ring_blocks * JOURNAL_BLOCK_SIZE,
               MATH_MIN(used - at, JOURNAL_BLOCK_SIZE));
    return checksum_xxh64(entry + 8, used - 8, 0);
}

void reseal_journal(unsigned char *ring, uint64_t ring_blocks, uint64_t block, uint64_t previous) {
    for (uint64_t walked = 0; walked < ring_blocks && block < ring_blocks;) {
        struct disk_journal_entry *entry =
            (struct disk_journal_entry *)(ring + block * JOURNAL_BLOCK_SIZE);
        uint64_t used = sizeof *entry + (uint64_t)le32_get(entry->length);
        if (memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) != 0 ||
            used > (uint64_t)JOURNAL_ENTRY_MAX_BLOCKS * JOURNAL_BLOCK_SIZE)
            return;
        entry->previous = le64_make(previous);
        previous = entry_sum(ring, ring_blocks, block, used);
        entry->checksum = le64_make(previous);
        uint64_t blocks = MATH_MAX(le32_get(entry->blocks), 1);
        walked += blocks;
        block = (block + blocks) % ring_blocks;
    }
}
