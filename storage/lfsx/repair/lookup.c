/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree that is not being built says of a block of a file. Extents that begin in a leaf may
 * reach into the keys of the next one, and of a lost one nobody knows; so what a lost leaf is
 * before may be lost as well.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

enum status repair_lookup_start(struct repair_lookup *lookup, struct repair *repair,
                                const struct repair_tree *tree) {
    *lookup = (struct repair_lookup){.repair = repair, .tree = tree};
    lookup->leaf = os_page_alloc(DISK_BLOCK_SIZE);
    if (lookup->leaf == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    return repair->failure;
}

void repair_lookup_end(struct repair_lookup *lookup) {
    os_page_free(lookup->leaf, DISK_BLOCK_SIZE);
}

/* Reads the leaf with the key. */
static void descend(struct repair_lookup *lookup, const struct key *key) {
    struct repair *repair = lookup->repair;
    struct pointer pointer = lookup->tree->root;
    struct node_bounds bounds = {.is_root = true};
    lookup->is_there = true;
    for (;;) {
        uint64_t owner = repair_owner(repair, lookup->tree->id, pointer.birth);
        lookup->bounds = bounds;
        lookup->is_lost = !repair_node(repair, &pointer, owner, &bounds);
        if (lookup->is_lost || pointer.level == 0)
            break;
        const struct disk_node *node = repair->path[pointer.level];
        unsigned index = node_child_index(node, key);
        bounds = node_child_bounds(node, index, &bounds);
        pointer = node_child(node, index);
    }
    if (!lookup->is_lost)
        memcpy(lookup->leaf, repair->path[0], DISK_BLOCK_SIZE);
}

static bool covers(const struct repair_lookup *lookup, const struct key *key) {
    const struct node_bounds *bounds = &lookup->bounds;
    return lookup->is_there &&
           (bounds->is_root || (key_compare(key, &bounds->low) >= 0 &&
                                (!bounds->has_high || key_compare(key, &bounds->high) < 0)));
}

/* The extent that covers the block, if it is the last one at or before it in the leaf. */
static struct repair_place look(const struct repair_lookup *lookup, uint64_t inode, uint64_t offset,
                                unsigned index) {
    struct item item = node_item(lookup->leaf, index);
    const struct disk_extent *extent = item.value;
    struct repair_place place = {.content = REPAIR_HOLE};
    if (item.key.type != DISK_TYPE_EXTENT || item.key.inode != inode ||
        offset - item.key.offset >= le32_get(extent->block_count))
        return place;
    uint64_t at = offset - item.key.offset;
    return (struct repair_place){REPAIR_DATA, le64_get(extent->block) + at, le64_get(extent->birth),
                                 le64_get(extent->checksums[at])};
}

struct repair_place repair_lookup(struct repair_lookup *lookup, uint64_t inode, uint64_t offset) {
    struct key key = {inode, offset, DISK_TYPE_EXTENT};
    for (;;) {
        if (!covers(lookup, &key))
            descend(lookup, &key);
        if (lookup->is_lost)
            return (struct repair_place){.content = REPAIR_LOST};
        struct key behind = {inode, key.offset + 1, DISK_TYPE_EXTENT};
        unsigned index = node_lower_bound(lookup->leaf, &behind);
        if (index > 0)
            return look(lookup, inode, offset, index - 1);
        /* It may be in the leaf before. */
        const struct key *low = &lookup->bounds.low;
        if (lookup->bounds.is_root || low->inode != inode || low->type != DISK_TYPE_EXTENT ||
            low->offset == 0 || low->offset > key.offset || offset - low->offset >= DISK_EXTENT_MAX)
            return (struct repair_place){.content = REPAIR_HOLE};
        key.offset = low->offset - 1;
    }
}
