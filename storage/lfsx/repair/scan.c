/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for what nothing readable leads to any more: nodes tell themselves what they are. One
 * that stands in a block which the allocation map calls used is the current one; others are old
 * versions, whose items must be proven one by one.
 */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

#define CHUNK 64u

/* Whether the tree may have nodes of this owner: it is a clone's origin, or the origin's. */
static bool may_own(const struct repair *repair, uint64_t owner, uint64_t id) {
    while (id != owner) {
        const struct repair_tree *head = repair_find_tree(repair, id, REPAIR_HEAD);
        id = head == NULL ? 0 : le64_get(head->disk.origin);
        if (id == 0)
            return false;
    }
    return true;
}

/* Of shares inner nodes, too: their number tells whether all leaves were found. */
static void judge_owner(struct repair *repair, uint64_t owner) {
    const struct repair_tree *trees = repair->trees.items;
    repair->scan_owner = owner;
    repair->scan_wanted = repair->scan_inner = false;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (trees[i].ranges > 0 && may_own(repair, owner, trees[i].id)) {
            repair->scan_wanted = true;
            repair->scan_inner |= trees[i].in_share;
        }
}

/* Of what the catalog does not name, inner nodes too: one of them is the root. */
static bool is_wanted(struct repair *repair, const struct disk_node *node) {
    uint64_t owner = le64_get(node->owner);
    if (owner == DISK_OWNER_CATALOG)
        return repair->catalog_lost && node->level == 0;
    if (owner < DISK_FIRST_DATASET || owner & DISK_OWNER_DEAD)
        return false;
    if (repair->catalog_lost)
        return true;
    if (owner != repair->scan_owner)
        judge_owner(repair, owner);
    return repair->scan_wanted && (node->level == 0 || repair->scan_inner);
}

/* Where a lost node should be, there is that node or an older version. */
static bool is_stale(const struct repair *repair, const struct pointer *pointer) {
    const struct repair_range *ranges = repair->ranges.items;
    for (uint64_t i = 0; i < repair->ranges.count; i++)
        if (ranges[i].pointer.block == pointer->block &&
            ranges[i].pointer.checksum != pointer->checksum)
            return true;
    return false;
}

static void look_at(struct repair *repair, const struct disk_node *node, uint64_t block) {
    struct pointer pointer = {block, le64_get(node->birth), le64_get(node->checksum), node->level};
    const char *why;
    if (le32_get(node->magic) != DISK_NODE_MAGIC || !is_wanted(repair, node) ||
        node_validate(node, &pointer, le64_get(node->owner), &why) != STATUS_OK ||
        node_count(node) == 0 || le64_get(node->checkpoint) > repair->super.checkpoint)
        return;
    struct repair_candidate found = {.owner = le64_get(node->owner),
                                     .checkpoint = le64_get(node->checkpoint),
                                     .era = REPAIR_HEAD,
                                     .pointer = pointer,
                                     .first = node_key(node, 0),
                                     .last = node_key(node, node_count(node) - 1),
                                     .proven = repair_is_known(repair, block) &&
                                               repair_bit(repair->old_used, block) &&
                                               !is_stale(repair, &pointer)};
    spill_array_add(repair->candidates, &found);
}

static bool is_looked_at(struct repair *repair, uint64_t block, bool used_only) {
    if (repair_bit(repair->claimed, block))
        return false;
    return !used_only || !repair_is_known(repair, block) || repair_bit(repair->old_used, block);
}

/* Old versions are of use only where a leaf is lost. */
static bool only_used(const struct repair *repair) {
    const struct repair_range *ranges = repair->ranges.items;
    for (uint64_t i = 0; i < repair->ranges.count; i++)
        if (ranges[i].pointer.level == 0 || ranges[i].id == DISK_OWNER_CATALOG)
            return false;
    return !repair->catalog_lost;
}

static void scan_chunk(struct repair *repair, uint64_t block, uint64_t count, bool used_only) {
    bool any = false;
    for (uint64_t i = 0; i < count; i++)
        any = any || is_looked_at(repair, block + i, used_only);
    if (!any)
        return;
    bool whole = blockdev_read(repair->device, block * DISK_BLOCK_SIZE, repair->data,
                               count * DISK_BLOCK_SIZE) == STATUS_OK;
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++) {
        if (!is_looked_at(repair, block + i, used_only))
            continue;
        void *page = (char *)repair->data + i * DISK_BLOCK_SIZE;
        if (whole || repair_read(repair, block + i, page))
            look_at(repair, page, block + i);
    }
}

static bool is_before(const void *one, const void *two) {
    const struct repair_candidate *a = one;
    const struct repair_candidate *b = two;
    if (a->owner != b->owner)
        return a->owner < b->owner;
    int order = key_compare(&a->first, &b->first);
    return order != 0 ? order < 0 : a->pointer.block < b->pointer.block;
}

void repair_scan(struct repair *repair) {
    const struct geometry *g = &repair->label.geometry;
    bool used_only = only_used(repair);
    for (uint64_t block = g->data_start; block < g->data_end && repair->failure == STATUS_OK;) {
        uint64_t region = block / DISK_REGION_BLOCKS;
        uint64_t end = MATH_MIN((region + 1) * DISK_REGION_BLOCKS, g->data_end);
        uint64_t count = MATH_MIN(CHUNK, end - block);
        if (repair_is_region_empty(repair, region))
            count = end - block;
        else
            scan_chunk(repair, block, count, used_only);
        block += count;
        if (block % 4096 < count)
            repair_progress(repair, block - g->data_start, g->data_end - g->data_start);
    }
    spill_array_sort(repair->candidates, is_before);
}

static bool is_of_lower(const void *item, const void *owner) {
    return ((const struct repair_candidate *)item)->owner < *(const uint64_t *)owner;
}

void repair_candidates_of(const struct repair *repair, uint64_t owner, uint64_t *first,
                          uint64_t *end) {
    uint64_t next = owner + 1;
    *first = spill_array_search(repair->candidates, &owner, is_of_lower);
    *end = spill_array_search(repair->candidates, &next, is_of_lower);
}
