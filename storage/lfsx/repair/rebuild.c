/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New trees: of one that lost something, the nodes above that are written anew, around the subtrees
 * that stay where they are and the items that were found.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

static bool range_before(const struct repair_range *range, const struct repair_tree *tree,
                         const struct key *low) {
    if (range->id != tree->id || range->epoch != tree->epoch)
        return range->id != tree->id ? range->id < tree->id : range->epoch < tree->epoch;
    return key_compare(&range->bounds.low, low) < 0;
}

/* They are in the order of the walk: of trees, and then of keys. */
static const struct repair_range *find_range(const struct repair *repair,
                                             const struct repair_tree *tree,
                                             const struct pointer *pointer,
                                             const struct node_bounds *bounds) {
    const struct repair_range *ranges = repair->ranges.items;
    uint64_t low = 0;
    uint64_t high = repair->ranges.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (range_before(&ranges[middle], tree, &bounds->low))
            low = middle + 1;
        else
            high = middle;
    }
    bool is = low < repair->ranges.count && ranges[low].id == tree->id &&
              ranges[low].epoch == tree->epoch && ranges[low].pointer.block == pointer->block &&
              key_compare(&ranges[low].bounds.low, &bounds->low) == 0;
    return is ? &ranges[low] : NULL;
}

enum repair_next repair_next(struct repair *repair, const struct repair_tree *tree,
                             const struct key *high) {
    static const struct node_bounds anything = {.is_root = true};
    struct pointer pointer = tree->root;
    struct node_bounds bounds = anything;
    for (;;) {
        bool is_leaf = pointer.level == 0;
        if (find_range(repair, tree, &pointer, &bounds) != NULL)
            return is_leaf ? REPAIR_NEXT_LOST_LEAF : REPAIR_NEXT_INNER;
        if (is_leaf)
            return REPAIR_NEXT_LEAF;
        uint64_t owner = repair_owner(repair, tree->id, pointer.birth);
        if (!repair_is_tainted(repair, pointer.block) ||
            !repair_node(repair, &pointer, owner, &anything))
            return REPAIR_NEXT_INNER;
        const struct disk_node *node = repair->path[pointer.level];
        unsigned index = node_child_index(node, high);
        struct node_bounds below;
        if (!repair_child_bounds(node, index, &bounds, &below))
            return REPAIR_NEXT_INNER;
        bounds = below;
        pointer = node_child(node, index);
    }
}

/* The first or the last leaf of a subtree that was whole a moment ago. */
static const struct disk_node *edge_leaf(struct repair *repair, const struct repair_tree *tree,
                                         struct pointer pointer, bool last) {
    struct node_bounds anything = {.is_root = true};
    for (;;) {
        uint64_t owner = repair_owner(repair, tree->id, pointer.birth);
        if (!repair_node(repair, &pointer, owner, &anything)) {
            repair_fail(repair, STATUS_IO);
            return NULL;
        }
        const struct disk_node *node = repair->path[pointer.level];
        if (pointer.level == 0)
            return node;
        pointer = node_child(node, last ? node_count(node) - 1 : 0);
    }
}

/* The last extent before a lost range may reach into it. */
static void settle(struct repair *repair, struct repair_tree *tree) {
    if (!tree->has_stayed || tree->settled != 0)
        return;
    const struct disk_node *leaf = edge_leaf(repair, tree, tree->stayed, true);
    if (leaf == NULL)
        return;
    struct item item = node_item(leaf, node_count(leaf) - 1);
    const struct disk_extent *extent = item.value;
    if (item.key.type != DISK_TYPE_EXTENT)
        return;
    tree->settled = item.key.offset + le32_get(extent->block_count);
    tree->settled_file = item.key.inode;
}

/* The last extent of a lost range may have reached beyond its keys, up to the next one. */
static void keep(struct repair *repair, struct repair_tree *tree, const struct pointer *pointer) {
    const struct disk_node *leaf =
        tree->settled == 0 || tree->in_share ? NULL : edge_leaf(repair, tree, *pointer, false);
    if (leaf != NULL)
        repair_lose(repair, tree, tree->settled,
                    MATH_MIN(node_key(leaf, 0).offset, tree->settled + DISK_EXTENT_MAX), false);
    tree->settled = 0;
    tree->stayed = *pointer;
    tree->has_stayed = true;
}

static void rewrite(struct repair *repair, struct repair_tree *tree, const struct pointer *pointer,
                    const struct node_bounds *bounds, struct repair_loader *loader);

static void rewrite_children(struct repair *repair, struct repair_tree *tree,
                             const struct disk_node *node, const struct node_bounds *bounds,
                             struct repair_loader *loader) {
    for (unsigned i = 0; repair->failure == STATUS_OK && i < node_count(node); i++) {
        struct pointer child = node_child(node, i);
        struct node_bounds below;
        if (repair_child_bounds(node, i, bounds, &below))
            rewrite(repair, tree, &child, &below, loader);
    }
}

/* Whether an extent before the key reaches beyond it, or begins there. */
static bool is_passed(const struct repair_tree *tree, const struct key *key) {
    return tree->settled > key->offset &&
           (!tree->in_share || (key->type == DISK_TYPE_EXTENT && tree->settled_file == key->inode));
}

/* A part that stays where it is. */
static void stay(struct repair *repair, struct repair_tree *tree, const struct pointer *pointer,
                 const struct node_bounds *bounds, struct repair_loader *loader) {
    struct key key = bounds->low;
    if (pointer->level == 0 && is_passed(tree, &key)) {
        const struct disk_node *leaf = edge_leaf(repair, tree, *pointer, false);
        key = leaf == NULL ? key : node_key(leaf, 0);
    }
    keep(repair, tree, pointer);
    repair_loader_subtree(loader, &key, pointer);
}

/* An inner node above what is lost or corrected. Looking around clobbers the pages of the way down:
 * each step has its own copy. */
static void rewrite_inner(struct repair *repair, struct repair_tree *tree,
                          const struct pointer *pointer, const struct node_bounds *bounds,
                          struct repair_loader *loader) {
    static const struct node_bounds anything = {.is_root = true};
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    if (node == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    else if (!repair_node(repair, pointer, repair_owner(repair, tree->id, pointer->birth),
                          &anything))
        repair_fail(repair, STATUS_IO); /* it could be read a moment ago */
    if (repair->failure == STATUS_OK) {
        memcpy(node, repair->path[pointer->level], DISK_BLOCK_SIZE);
        if (!repair_bit(repair->disputed, pointer->block)) {
            repair_clear(repair->claimed, pointer->block);
            repair_set(repair->keep, pointer->block);
        }
        rewrite_children(repair, tree, node, bounds, loader);
    }
    os_page_free(node, DISK_BLOCK_SIZE);
}

static void rewrite(struct repair *repair, struct repair_tree *tree, const struct pointer *pointer,
                    const struct node_bounds *bounds, struct repair_loader *loader) {
    const struct repair_range *lost = find_range(repair, tree, pointer, bounds);
    if (lost != NULL) {
        settle(repair, tree);
        if (repair->failure == STATUS_OK && tree->in_share)
            repair_share_salvage(repair, lost);
        else if (repair->failure == STATUS_OK)
            repair_salvage(repair, tree, lost, loader);
        return;
    }
    const struct repair_correction *correction =
        repair_find_correction(repair, tree, pointer, bounds);
    if (correction != NULL) {
        keep(repair, tree, pointer);
        repair_correct(repair, tree, correction, loader);
    } else if (pointer->level == 0 || !repair_is_tainted(repair, pointer->block)) {
        stay(repair, tree, pointer, bounds, loader);
    } else {
        rewrite_inner(repair, tree, pointer, bounds, loader);
    }
}

static void rebuild_tree(struct repair *repair, struct repair_tree *tree) {
    struct repair_loader loader;
    struct node_bounds everything = {.is_root = true};
    uint64_t owner = tree->id;
    if (repair_loader_start(&loader, repair, owner, repair_birth(repair, tree)) != STATUS_OK)
        return;
    bool salvages = tree->in_share && tree->ranges > 0;
    if (!salvages || repair_share_begin(repair, tree, &loader) == STATUS_OK)
        rewrite(repair, tree, &tree->root, &everything, &loader);
    repair_share_end(repair);
    tree->root = repair_loader_end(&loader);
    repair_find_tree(repair, tree->id, REPAIR_HEAD)->recount = true;
}

static const char *kind_of(const struct repair_tree *tree) {
    return !repair_is_head(tree) ? "snapshot" : tree->in_share ? "share" : "volume";
}

/* Nothing of it was damaged. */
static void tell(struct repair *repair, const struct repair_tree *tree) {
    char name[REPAIR_NAME_SIZE];
    repair_say(repair, "%s %s: corrected %llu of its nodes, which said what cannot be",
               kind_of(tree), repair_name(repair, tree, name),
               (unsigned long long)tree->corrections);
}

/* As many blocks as there were: what was not found are holes. */
static void judge(struct repair *repair, struct repair_tree *tree) {
    char name[REPAIR_NAME_SIZE];
    bool doubtful = false;
    for (uint64_t i = 0; tree->lost != NULL && i < spill_array_count(tree->lost); i++) {
        struct repair_loss loss;
        spill_array_get(tree->lost, i, &loss);
        doubtful = doubtful || loss.doubtful;
    }
    le64 said = repair_is_head(tree) ? tree->disk.data_blocks : tree->snapshot.data_blocks;
    bool complete =
        !tree->found && !doubtful && !repair->superblock_lost && tree->data == le64_get(said);
    if (complete && !tree->in_share)
        repair_forget_losses(tree);
    complete =
        tree->losses.count == 0 && (tree->lost == NULL || spill_array_count(tree->lost) == 0);
    repair_say(repair, "%s %s: built its tree anew%s", kind_of(tree),
               repair_name(repair, tree, name), complete ? "; all of its data was found" : "");
}

/* Whether the counts of the dataset's trees must be made anew, and its dead tree. */
static bool needs_counts(const struct repair *repair, const struct repair_tree *head) {
    const struct repair_tree *trees = repair->trees.items;
    bool found = head->found;
    for (const struct repair_tree *tree = head; tree > trees && tree[-1].id == head->id; tree--)
        found = found || tree[-1].found;
    return found || head->recount || head->dead_is_bad || repair->recount;
}

/* Clones come before their origins, younger trees before older ones. */
void repair_rebuild(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = repair->trees.count; repair->failure == STATUS_OK && i-- > 0;)
        if (trees[i].ranges + trees[i].corrections > 0)
            rebuild_tree(repair, &trees[i]);
    for (uint64_t i = repair->trees.count; repair->failure == STATUS_OK && i-- > 0;) {
        uint64_t head = i; /* the last of its dataset's, some of which may be gone afterwards */
        trees = repair->trees.items;
        while (i > 0 && trees[i - 1].id == trees[head].id)
            i--;
        if (repair_is_head(&trees[head]) && needs_counts(repair, &trees[head]))
            repair_rebuild_dead(repair, trees[head].id);
    }
    trees = repair->trees.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->trees.count; i++)
        if (trees[i].ranges > 0)
            judge(repair, &trees[i]);
        else if (trees[i].corrections > 0)
            tell(repair, &trees[i]);
}
