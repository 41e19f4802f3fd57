/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All trees of a dataset, the oldest first. Of each, only what is younger than the one before is
 * walked, so that every block is looked at once however many trees have it; and what one dropped is
 * in the dead tree, which makes the counts of all of them follow from the first one's.
 */
#include "storage/lfsx/check/check_internal.h"

/* What a clone began with was walked with its origin; returns its epoch, and its root. */
static uint64_t start(struct check *check, struct check_dataset *dataset, struct pointer *root) {
    struct check_dataset origin;
    struct check_snapshot snapshot;
    if (dataset->origin == 0)
        return 0;
    if (dataset->state != DISK_DATASET_DELETING &&
        check_find_dataset(check, dataset->origin, &origin))
        dataset->incomplete |= origin.incomplete;
    if (check_snapshot_origin(check, dataset, &snapshot)) {
        dataset->size = snapshot.size;
        *root = snapshot.tree.root;
    }
    return dataset->origin_epoch;
}

static void walk(struct check *check, struct check_dataset *dataset) {
    struct pointer older = {0};
    uint64_t since = start(check, dataset, &older);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < dataset->snapshot_count; i++) {
        struct check_snapshot snapshot = check_snapshot_get(check, dataset, i);
        if (snapshot.state != DISK_SNAPSHOT_LIVE)
            continue;
        struct check_files files = {.dataset = dataset,
                                    .snapshot = &snapshot,
                                    .root = &snapshot.tree,
                                    .since = since,
                                    .older = older};
        check_files(check, &files);
        check_snapshot_put(check, dataset, i, &snapshot);
        since = snapshot.epoch;
        older = snapshot.tree.root;
    }
    struct check_files files = {
        .dataset = dataset, .root = &dataset->head, .since = since, .older = older};
    if (check->failure == STATUS_OK)
        check_files(check, &files);
}

static uint64_t own_blocks(const struct check_root *tree) {
    return tree->node_blocks + tree->data_blocks - tree->shared_blocks;
}

/* A tree without an older one: each count is known by itself. */
static void compare_first(struct check *check, const struct check_dataset *dataset,
                          const struct check_snapshot *snapshot) {
    const struct check_root *tree = snapshot == NULL ? &dataset->head : &snapshot->tree;
    uint64_t leaf = snapshot == NULL ? dataset->leaf : snapshot->leaf;
    if (tree->younger_nodes != tree->node_blocks)
        check_report(check, snapshot == NULL ? CHECK_DATASET_NODES : CHECK_SNAPSHOT_BLOCKS, leaf,
                     "the tree has %llu nodes, the record says %llu (dataset %llu %s%s%s)",
                     (unsigned long long)tree->younger_nodes, (unsigned long long)tree->node_blocks,
                     (unsigned long long)dataset->id, dataset->name, snapshot == NULL ? "" : "@",
                     snapshot == NULL ? "" : snapshot->name);
    if (tree->younger_data != tree->data_blocks)
        check_report(check, snapshot == NULL ? CHECK_DATASET_DATA : CHECK_SNAPSHOT_BLOCKS, leaf,
                     "the extents name %llu blocks, the record says %llu (dataset %llu %s%s%s)",
                     (unsigned long long)tree->younger_data, (unsigned long long)tree->data_blocks,
                     (unsigned long long)dataset->id, dataset->name, snapshot == NULL ? "" : "@",
                     snapshot == NULL ? "" : snapshot->name);
}

/* A tree that came from another one. */
static void compare_next(struct check *check, const struct check_dataset *dataset,
                         const struct check_snapshot *snapshot, const struct check_root *before) {
    const struct check_root *tree = snapshot == NULL ? &dataset->head : &snapshot->tree;
    uint64_t rest = before == NULL || before->dropped > own_blocks(before)
                        ? 0
                        : own_blocks(before) - before->dropped;
    uint64_t blocks = rest + tree->younger_nodes + tree->younger_data;
    if (own_blocks(tree) != blocks)
        check_report(check, snapshot == NULL ? CHECK_DATASET_BLOCKS : CHECK_SNAPSHOT_BLOCKS,
                     snapshot == NULL ? dataset->leaf : snapshot->leaf,
                     "the tree has %llu nodes and data blocks of its own, the record says %llu "
                     "(dataset %llu %s%s%s)",
                     (unsigned long long)blocks, (unsigned long long)own_blocks(tree),
                     (unsigned long long)dataset->id, dataset->name, snapshot == NULL ? "" : "@",
                     snapshot == NULL ? "" : snapshot->name);
}

/* A tree and the next older one; NULL: there is none. */
static void compare_tree(struct check *check, const struct check_dataset *dataset,
                         const struct check_snapshot *snapshot, const struct check_root *before) {
    const struct check_root *tree = snapshot == NULL ? &dataset->head : &snapshot->tree;
    if (tree->doubtful || (before != NULL && before->doubtful))
        return; /* it would be a consequence */
    if (before == NULL && dataset->origin == 0)
        compare_first(check, dataset, snapshot);
    else
        compare_next(check, dataset, snapshot, before);
}

static void compare(struct check *check, const struct check_dataset *dataset) {
    struct check_root before;
    bool has_before = false;
    for (uint64_t i = 0; check->failure == STATUS_OK && i < dataset->snapshot_count; i++) {
        struct check_snapshot snapshot = check_snapshot_get(check, dataset, i);
        if (snapshot.state != DISK_SNAPSHOT_LIVE)
            continue;
        compare_tree(check, dataset, &snapshot, has_before ? &before : NULL);
        before = snapshot.tree;
        has_before = true;
    }
    compare_tree(check, dataset, NULL, has_before ? &before : NULL);
}

void check_dataset(struct check *check, struct check_dataset *dataset) {
    walk(check, dataset);
    if (check->failure == STATUS_OK)
        check_dead(check, dataset);
    bool counts = !dataset->incomplete && dataset->state != DISK_DATASET_DELETING;
    if (check->failure == STATUS_OK && counts)
        compare(check, dataset);
    if (check->failure == STATUS_OK && !dataset->incomplete &&
        dataset->kind == DISK_DATASET_SHARE && dataset->state != DISK_DATASET_DELETING)
        check_share(check, dataset);
}
