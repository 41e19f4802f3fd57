/* SPDX-License-Identifier: Apache-2.0 */
/* The list of trees, and how they descend from each other. */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
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

static void lose_of_volume(struct repair *repair, struct repair_tree *tree,
                           const struct repair_loss *loss) {
    if (tree->lost == NULL)
        tree->lost = spill_array_open(repair->spill, sizeof *loss);
    if (tree->lost == NULL)
        return;
    uint64_t count = spill_array_count(tree->lost);
    struct repair_loss last = {0};
    if (count > 0)
        spill_array_get(tree->lost, count - 1, &last);
    if (count == 0 || last.doubtful != loss->doubtful || loss->first < last.first ||
        loss->first > last.end) {
        spill_array_add(tree->lost, loss);
        return;
    }
    last.end = MATH_MAX(last.end, loss->end);
    spill_array_put(tree->lost, count - 1, &last);
}

void repair_lose(struct repair *repair, struct repair_tree *tree, uint64_t first, uint64_t end,
                 bool doubtful) {
    if (first >= end)
        return;
    struct repair_loss loss = {.first = first, .end = end, .doubtful = doubtful};
    struct repair_loss *added;
    if (!tree->in_share)
        lose_of_volume(repair, tree, &loss);
    else if ((added = repair_add(repair, &tree->losses, sizeof *added)) != NULL)
        *added = loss;
}

void repair_forget_losses(struct repair_tree *tree) {
    os_free(tree->losses.items);
    tree->losses = (struct repair_array){0};
    spill_array_close(tree->lost);
    tree->lost = NULL;
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
