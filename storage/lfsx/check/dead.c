/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dead tree of a dataset: that what it holds is what the snapshots between birth and era hold,
 * or, if all of those are being deleted, nothing else does.
 */
#include "base/format.h"
#include "storage/lfsx/check/check_internal.h"

struct dead_walk {
    struct check_dataset *dataset;
    uint64_t group;      /* the keys' first part: era and birth; 0: none yet */
    uint64_t said;       /* by its sum; 0: there is none */
    uint64_t blocks;     /* of its runs */
    uint64_t next_block; /* behind its last run */
    uint64_t leaf;
};

static void end_group(struct check_tree *tree) {
    const struct dead_walk *walk = tree->context;
    if (walk->group != 0 && walk->said != walk->blocks && !tree->incomplete)
        check_report(tree->check, CHECK_DEAD_SUM, walk->leaf,
                     "of era %llu and birth %llu there are %llu dead blocks, the sum says %llu "
                     "(%s)",
                     (unsigned long long)walk->group >> 32,
                     (unsigned long long)walk->group & DISK_EPOCH_MAX,
                     (unsigned long long)walk->blocks, (unsigned long long)walk->said, tree->name);
}

/* What the dataset dropped after its newest live snapshot of the era or before. */
static void count_dropped(struct check_tree *tree, uint64_t era, uint64_t birth, uint64_t count) {
    struct dead_walk *walk = tree->context;
    struct check_snapshot *snapshots = check_snapshots_of(tree->check, walk->dataset);
    uint64_t index = check_snapshot_at(tree->check, walk->dataset, era + 1);
    while (index > 0 && snapshots[index - 1].state != DISK_SNAPSHOT_LIVE)
        index--;
    if (index > 0 && birth <= snapshots[index - 1].epoch)
        snapshots[index - 1].tree.dropped += count;
}

/* Blocks of live snapshots. */
static void compare_run(struct check_tree *tree, uint64_t block, uint64_t count) {
    struct check *check = tree->check;
    const struct dead_walk *walk = tree->context;
    uint64_t missing = check_claim_missing(check, block, count);
    check->summary->dead_blocks += missing;
    if (missing > 0 && !walk->dataset->incomplete)
        check_report(check, CHECK_DEAD_UNNAMED, block,
                     "%llu of the dead blocks %llu..%llu are not in the snapshots that should have "
                     "them (%s)",
                     (unsigned long long)missing, (unsigned long long)block,
                     (unsigned long long)(block + count - 1), tree->name);
}

/* Blocks that no snapshot has. */
static void report_nowhere(struct check_tree *tree, const struct item *item, uint64_t count) {
    uint64_t block = item->key.offset;
    check_report(tree->check, CHECK_DEAD_NOWHERE, block,
                 "the dead blocks %llu..%llu, of era %llu and birth %llu, are in no snapshot that "
                 "there is (%s)",
                 (unsigned long long)block, (unsigned long long)(block + count - 1),
                 (unsigned long long)item->key.inode >> 32,
                 (unsigned long long)item->key.inode & DISK_EPOCH_MAX, tree->name);
    tree->check->summary->dead_blocks += check_claim_missing(tree->check, block, count);
}

static void visit_run(struct check_tree *tree, const struct item *item) {
    struct check *check = tree->check;
    struct dead_walk *walk = tree->context;
    const struct check_dataset *dataset = walk->dataset;
    uint64_t era = item->key.inode >> 32;
    uint64_t birth = item->key.inode & DISK_EPOCH_MAX;
    uint64_t block = item->key.offset;
    uint64_t count = le64_get(((const struct disk_dead *)item->value)->count);
    uint64_t first = check_snapshot_at(check, dataset, birth);
    uint64_t end = check_snapshot_at(check, dataset, era + 1);
    if (block < walk->next_block)
        check_report(check, CHECK_BLOCK_SHARED, block, "dead blocks are named twice, by %s",
                     tree->name);
    walk->next_block = block + count;
    walk->blocks += count;
    count_dropped(tree, era, birth, count);
    if (era >= check->super.epoch || birth <= dataset->origin_epoch ||
        (first == end && !dataset->incomplete))
        report_nowhere(tree, item, count);
    else if (first == end || check_snapshots_live(check, dataset, first) !=
                                 check_snapshots_live(check, dataset, end))
        compare_run(tree, block, count);
    else
        check->summary->dead_blocks += check_claim(check, block, count, tree->name);
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct dead_walk *walk = tree->context;
    if (item->key.inode != walk->group) {
        end_group(tree);
        *walk =
            (struct dead_walk){.dataset = walk->dataset, .group = item->key.inode, .leaf = leaf};
    }
    if (item->key.type == DISK_TYPE_DEAD_SUM)
        walk->said = le64_get(((const struct disk_dead_sum *)item->value)->blocks);
    else
        visit_run(tree, item);
}

void check_dead(struct check *check, struct check_dataset *dataset) {
    char name[LFSX_NAME_MAX + 64];
    format_text(name, sizeof name, "what dataset %llu (%s) dropped",
                (unsigned long long)dataset->id, dataset->name);
    struct dead_walk walk = {.dataset = dataset};
    struct check_tree tree = {.check = check,
                              .owner = dataset->id | DISK_OWNER_DEAD,
                              .name = name,
                              .root = dataset->dead,
                              .epoch = check->super.epoch,
                              .visit = visit,
                              .context = &walk};
    if (dataset->dead.block == 0)
        return;
    check_tree_walk(&tree);
    dataset->incomplete |= tree.incomplete;
    if (check->failure != STATUS_OK || tree.incomplete)
        return;
    end_group(&tree);
    if (tree.nodes != dataset->dead_nodes)
        check_report(check, CHECK_DEAD_NODES, dataset->leaf,
                     "the tree of %s has %llu nodes, the record says %llu", name,
                     (unsigned long long)tree.nodes, (unsigned long long)dataset->dead_nodes);
}
