/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dead tree of a dataset: that what it holds is what the snapshots between birth and era hold,
 * or, if all of those are being deleted, nothing else does.
 */
#include "base/format.h"
#include "storage/lfsx/check/check_internal.h"

/* What there should be of one group: what was born and dropped at the same time. */
enum dead_group {
    GROUP_NOWHERE, /* no snapshot has it, and none that is being deleted had it */
    GROUP_DYING,   /* only snapshots that are being deleted have it */
    GROUP_HELD     /* live snapshots have it */
};

struct dead_walk {
    struct check_dataset *dataset;
    uint64_t key; /* of the group, the keys' first part: era and birth; 0: none yet */
    enum dead_group group;
    uint64_t said;       /* by its sum; 0: there is none */
    uint64_t blocks;     /* of its runs */
    uint64_t next_block; /* behind its last run */
    uint64_t leaf;
};

static uint64_t era_of(const struct dead_walk *walk) {
    return walk->key >> 32;
}

static uint64_t birth_of(const struct dead_walk *walk) {
    return walk->key & DISK_EPOCH_MAX;
}

/* Tells the newest live snapshot of the era or before what the dataset dropped after it. */
static void count_dropped(struct check *check, const struct dead_walk *walk) {
    uint64_t index = check_snapshot_at(check, walk->dataset, era_of(walk) + 1);
    struct check_snapshot snapshot = {.state = DISK_SNAPSHOT_DELETING};
    while (check->failure == STATUS_OK && index > 0 && snapshot.state != DISK_SNAPSHOT_LIVE)
        snapshot = check_snapshot_get(check, walk->dataset, --index);
    if (snapshot.state != DISK_SNAPSHOT_LIVE || birth_of(walk) > snapshot.epoch)
        return;
    snapshot.tree.dropped += walk->blocks;
    check_snapshot_put(check, walk->dataset, index, &snapshot);
}

static void end_group(struct check_tree *tree) {
    const struct dead_walk *walk = tree->context;
    if (walk->key == 0)
        return;
    if (walk->said != walk->blocks && !tree->incomplete)
        check_report(tree->check, CHECK_DEAD_SUM, walk->leaf,
                     "of era %llu and birth %llu there are %llu dead blocks, the sum says %llu "
                     "(%s)",
                     (unsigned long long)era_of(walk), (unsigned long long)birth_of(walk),
                     (unsigned long long)walk->blocks, (unsigned long long)walk->said, tree->name);
    count_dropped(tree->check, walk);
}

static enum dead_group group_of(struct check *check, const struct dead_walk *walk) {
    const struct check_dataset *dataset = walk->dataset;
    uint64_t first = check_snapshot_at(check, dataset, birth_of(walk));
    uint64_t end = check_snapshot_at(check, dataset, era_of(walk) + 1);
    if (era_of(walk) >= check->super.epoch || birth_of(walk) <= dataset->origin_epoch ||
        (first == end && !dataset->incomplete))
        return GROUP_NOWHERE;
    if (first == end)
        return GROUP_HELD;
    bool any =
        check_snapshots_live(check, dataset, first) != check_snapshots_live(check, dataset, end);
    return any ? GROUP_HELD : GROUP_DYING;
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
static void report_nowhere(struct check_tree *tree, uint64_t block, uint64_t count) {
    const struct dead_walk *walk = tree->context;
    check_report(tree->check, CHECK_DEAD_NOWHERE, block,
                 "the dead blocks %llu..%llu, of era %llu and birth %llu, are in no snapshot that "
                 "there is (%s)",
                 (unsigned long long)block, (unsigned long long)(block + count - 1),
                 (unsigned long long)era_of(walk), (unsigned long long)birth_of(walk), tree->name);
    tree->check->summary->dead_blocks += check_claim_missing(tree->check, block, count);
}

static void visit_run(struct check_tree *tree, const struct item *item) {
    struct check *check = tree->check;
    struct dead_walk *walk = tree->context;
    uint64_t block = item->key.offset;
    uint64_t count = le64_get(((const struct disk_dead *)item->value)->count);
    if (block < walk->next_block)
        check_report(check, CHECK_BLOCK_SHARED, block, "dead blocks are named twice, by %s",
                     tree->name);
    walk->next_block = block + count;
    walk->blocks += count;
    if (walk->group == GROUP_NOWHERE)
        report_nowhere(tree, block, count);
    else if (walk->group == GROUP_HELD)
        compare_run(tree, block, count);
    else
        check->summary->dead_blocks += check_claim(check, block, count, tree->name);
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct dead_walk *walk = tree->context;
    if (item->key.inode != walk->key) {
        end_group(tree);
        *walk = (struct dead_walk){.dataset = walk->dataset, .key = item->key.inode, .leaf = leaf};
        walk->group = group_of(tree->check, walk);
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
