/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that are whole and say what cannot be: that they, or an extent, are of an epoch to come or
 * of an older tree that does not have them, that they have keys that their parents do not expect,
 * or that a volume has blocks behind its end. Nothing of them is lost. The walk collects them, and
 * when the tree is built anew their items get into it as they can be.
 *
 * Invariants:
 * 1. A block that was said to be older than the first tree that has it, or younger, is of that
 *    tree's birth: `adopted` says so to all trees that are walked later.
 * 2. A node that is corrected is not claimed, unless it is right in an older tree.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

/* A data block, and when it was really born. */
struct adopted {
    uint64_t block, birth;
};

/* Index of the first one that is not before the block. */
static uint64_t adopted_at(const struct repair *repair, uint64_t block) {
    const struct adopted *adopted = repair->adopted.items;
    uint64_t low = 0;
    uint64_t high = repair->adopted.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (adopted[middle].block < block)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t repair_true_birth(const struct repair *repair, uint64_t block, uint64_t birth) {
    const struct adopted *adopted = repair->adopted.items;
    uint64_t at = repair->adopted.count == 0 ? 0 : adopted_at(repair, block);
    return at < repair->adopted.count && adopted[at].block == block ? adopted[at].birth : birth;
}

void repair_adopt(struct repair *repair, uint64_t block, uint64_t birth) {
    uint64_t at = adopted_at(repair, block);
    struct adopted *last = repair_add(repair, &repair->adopted, sizeof *last);
    if (last == NULL)
        return;
    struct adopted *adopted = repair->adopted.items;
    memmove(&adopted[at + 1], &adopted[at], (repair->adopted.count - 1 - at) * sizeof *adopted);
    adopted[at] = (struct adopted){block, birth};
}

bool repair_child_bounds(const struct disk_node *node, unsigned index,
                         const struct node_bounds *bounds, struct node_bounds *child) {
    *child = node_child_bounds(node, index, bounds);
    if (!bounds->is_root && key_compare(&child->low, &bounds->low) < 0)
        child->low = bounds->low;
    if (bounds->has_high && key_compare(&child->high, &bounds->high) > 0)
        child->high = bounds->high;
    return !child->has_high || key_compare(&child->low, &child->high) < 0;
}

bool repair_is_astray(const struct node_bounds *bounds, const struct key *floor,
                      const struct key *key) {
    return key_compare(key, floor) < 0 ||
           (bounds->has_high && key_compare(key, &bounds->high) >= 0);
}

/* Blocks that the file may have. */
static uint64_t end_of_file(const struct repair_tree *tree) {
    return tree->limit == 0 ? UINT64_MAX : math_divide_up(tree->limit, DISK_BLOCK_SIZE);
}

uint64_t repair_extent_blocks(const struct repair_tree *tree, const struct item *item) {
    const struct disk_extent *extent = item->value;
    uint64_t end = end_of_file(tree);
    uint64_t rest = item->key.offset < end ? end - item->key.offset : 0;
    return MATH_MIN(le32_get(extent->block_count), rest);
}

const struct repair_correction *repair_find_correction(const struct repair *repair,
                                                       const struct repair_tree *tree,
                                                       const struct pointer *pointer,
                                                       const struct node_bounds *bounds) {
    const struct repair_correction *all = repair->corrections.items;
    for (uint64_t i = 0; i < repair->corrections.count && tree->corrections > 0; i++) {
        const struct repair_range *leaf = &all[i].leaf;
        if (leaf->id == tree->id && leaf->epoch == tree->epoch &&
            leaf->pointer.block == pointer->block &&
            key_compare(&leaf->bounds.low, &bounds->low) == 0)
            return &all[i];
    }
    return NULL;
}

/* The extent's blocks, as extents of blocks of the same birth. */
static void put_extent(struct repair *repair, const struct repair_tree *tree,
                       const struct item *item, struct repair_loader *loader) {
    const struct disk_extent *from = item->value;
    uint64_t count = repair_extent_blocks(tree, item);
    for (uint64_t at = 0; at < count;) {
        uint64_t value[(sizeof(struct disk_extent) + DISK_EXTENT_MAX * sizeof(le64)) / 8];
        struct disk_extent *to = (struct disk_extent *)value;
        uint64_t block = le64_get(from->block) + at;
        uint64_t birth = repair_true_birth(repair, block, le64_get(from->birth));
        uint64_t run = 1;
        while (at + run < count &&
               repair_true_birth(repair, block + run, le64_get(from->birth)) == birth)
            run++;
        *to = *from;
        to->block = le64_make(block);
        to->birth = le64_make(birth);
        to->block_count = to->stored_blocks = le32_make((uint32_t)run);
        memcpy(to->checksums, from->checksums + at, run * sizeof(le64));
        struct key key = item->key;
        key.offset += at;
        repair_loader_item(loader, &key, value, (uint16_t)(sizeof *to + run * sizeof(le64)));
        at += run;
    }
}

void repair_correct(struct repair *repair, const struct repair_tree *tree,
                    const struct repair_correction *correction, struct repair_loader *loader) {
    static const struct node_bounds anything = {.is_root = true};
    const struct pointer *pointer = &correction->leaf.pointer;
    struct disk_node *leaf = os_page_alloc(DISK_BLOCK_SIZE);
    if (leaf == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    else if (!repair_node(repair, pointer, repair_owner(repair, tree->id, pointer->birth),
                          &anything))
        repair_fail(repair, STATUS_IO); /* it could be read a moment ago */
    if (repair->failure == STATUS_OK) {
        memcpy(leaf, repair->path[0], DISK_BLOCK_SIZE);
        repair_set(repair->keep, pointer->block);
    }
    for (unsigned i = 0; repair->failure == STATUS_OK && i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        if (repair_is_astray(&correction->leaf.bounds, &correction->floor, &item.key))
            continue;
        if (item.key.type == DISK_TYPE_EXTENT)
            put_extent(repair, tree, &item, loader);
        else
            repair_loader_item(loader, &item.key, item.value, item.length);
    }
    os_page_free(leaf, DISK_BLOCK_SIZE);
}

void repair_forget_corrections(struct repair *repair) {
    repair->corrections.count = repair->adopted.count = 0;
    spill_bits_clear(repair->disputed);
}
