/* SPDX-License-Identifier: Apache-2.0 */
/* The list of trees, and how they descend from each other. */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/repair/repair_internal.h"

/* Index of the first tree that is not before (id, epoch). */
static uint64_t place_of(const struct repair *repair, uint64_t id, uint64_t epoch) {
    const struct repair_tree *trees = repair->trees.items;
    uint64_t low = 0;
    uint64_t high = repair->trees.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct repair_tree *tree = &trees[middle];
        if (tree->id < id || (tree->id == id && tree->epoch < epoch))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct repair_tree *repair_add_tree(struct repair *repair, uint64_t id, uint64_t epoch) {
    uint64_t at = place_of(repair, id, epoch);
    struct repair_tree *last = repair_add(repair, &repair->trees, sizeof *last);
    if (last == NULL)
        return NULL;
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = repair->trees.count - 1; i > at; i--)
        trees[i] = trees[i - 1];
    trees[at] = (struct repair_tree){.id = id, .epoch = epoch};
    return &trees[at];
}

struct repair_tree *repair_find_tree(const struct repair *repair, uint64_t id, uint64_t epoch) {
    struct repair_tree *trees = repair->trees.items;
    uint64_t at = place_of(repair, id, epoch);
    bool is = at < repair->trees.count && trees[at].id == id && trees[at].epoch == epoch;
    return is ? &trees[at] : NULL;
}

void repair_lose(struct repair *repair, struct repair_tree *tree, uint64_t first, uint64_t end,
                 bool doubtful) {
    if (first >= end)
        return;
    struct repair_loss *last = tree->losses.items;
    if (tree->losses.count > 0) {
        last += tree->losses.count - 1;
        if (last->inode == 0 && last->doubtful == doubtful && first >= last->first &&
            first <= last->end) {
            last->end = MATH_MAX(last->end, end);
            return;
        }
    }
    struct repair_loss *loss = repair_add(repair, &tree->losses, sizeof *loss);
    if (loss != NULL)
        *loss = (struct repair_loss){.first = first, .end = end, .doubtful = doubtful};
}

struct repair_tree *repair_older(const struct repair *repair, const struct repair_tree *tree) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = (uint64_t)(tree - trees); i > 0 && trees[i - 1].id == tree->id; i--)
        if (!repair_is_gone(&trees[i - 1]))
            return &trees[i - 1];
    const struct repair_tree *head = repair_find_tree(repair, tree->id, REPAIR_HEAD);
    if (head == NULL || le64_get(head->disk.origin) == 0)
        return NULL;
    struct repair_tree *origin =
        repair_find_tree(repair, le64_get(head->disk.origin), le64_get(head->disk.origin_epoch));
    return origin == NULL || repair_is_gone(origin) ? NULL : origin;
}

struct repair_tree *repair_younger(const struct repair *repair, const struct repair_tree *tree) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = (uint64_t)(tree - trees) + 1;
         i < repair->trees.count && trees[i].id == tree->id; i++)
        if (!repair_is_gone(&trees[i]))
            return &trees[i];
    return NULL;
}

void repair_link(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        const struct repair_tree *older = repair_older(repair, &trees[i]);
        const struct repair_tree *head = repair_find_tree(repair, trees[i].id, REPAIR_HEAD);
        trees[i].since = older == NULL ? 0 : older->epoch;
        trees[i].in_share = head != NULL && head->disk.kind == DISK_DATASET_SHARE;
    }
}

uint64_t repair_owner(const struct repair *repair, uint64_t id, uint64_t birth) {
    const struct repair_tree *head = repair_find_tree(repair, id, REPAIR_HEAD);
    while (head != NULL && le64_get(head->disk.origin) != 0 &&
           birth <= le64_get(head->disk.origin_epoch)) {
        id = le64_get(head->disk.origin);
        head = repair_find_tree(repair, id, REPAIR_HEAD);
    }
    return id;
}

uint64_t repair_birth(const struct repair *repair, const struct repair_tree *tree) {
    return repair_is_head(tree) ? repair->super.epoch : tree->epoch;
}

const char *repair_name(const struct repair *repair, const struct repair_tree *tree, char *out) {
    const struct repair_tree *head = repair_find_tree(repair, tree->id, REPAIR_HEAD);
    if (repair_is_head(tree))
        format_text(out, REPAIR_NAME_SIZE, "%s", tree->name);
    else
        format_text(out, REPAIR_NAME_SIZE, "%s@%s", head == NULL ? "" : head->name, tree->name);
    return out;
}
