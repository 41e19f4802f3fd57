/* SPDX-License-Identifier: Apache-2.0 */
/* One dataset: its inode, its extents, and the data behind them. */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "storage/lfsx/check_internal.h"

struct dataset_walk {
    struct check_dataset *dataset;
    bool has_inode;
    uint64_t next_block; /* of the file, behind the last extent */
    uint64_t data_blocks;
};

static void visit_inode(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct dataset_walk *walk = tree->context;
    const struct disk_inode *inode = item->value;
    walk->has_inode = true;
    walk->dataset->file_blocks = math_divide_up(le64_get(inode->size), DISK_BLOCK_SIZE);
    if (le32_get(inode->links) != 1)
        check_report(tree->check, CHECK_INODE_LINKS, leaf, "the file has %u links, not 1 (%s)",
                     le32_get(inode->links), tree->name);
}

/* Reports one block whose data is not what was written. */
static void report_data(struct check_tree *tree, enum check_finding finding, uint64_t block,
                        uint64_t file_block, const char *what) {
    unsigned long long first = file_block * DISK_BLOCK_SIZE;
    check_report(tree->check, finding, block, "data block %llu, %s: bytes %llu..%llu of %s",
                 (unsigned long long)block, what, first, first + DISK_BLOCK_SIZE - 1, tree->name);
}

static void check_block(struct check_tree *tree, const struct item *item, unsigned index,
                        const void *data) {
    const struct disk_extent *extent = item->value;
    if (checksum_xxh64(data, DISK_BLOCK_SIZE, 0) != le64_get(extent->checksums[index]))
        report_data(tree, CHECK_DATA_CHECKSUM, le64_get(extent->block) + index,
                    item->key.offset + index, "its content does not match its checksum");
}

/* After a read of the whole extent failed: which blocks is it? */
static void check_blocks_singly(struct check_tree *tree, const struct item *item) {
    struct check *check = tree->check;
    const struct disk_extent *extent = item->value;
    for (unsigned i = 0; i < le32_get(extent->block_count); i++) {
        uint64_t block = le64_get(extent->block) + i;
        enum status status =
            blockdev_read(check->device, block * DISK_BLOCK_SIZE, check->data, DISK_BLOCK_SIZE);
        if (!check_is_damage(check, status))
            return;
        if (status == STATUS_OK)
            check_block(tree, item, i, check->data);
        else
            report_data(tree, CHECK_DATA_UNREADABLE, block, item->key.offset + i,
                        status_text(status));
    }
}

static void check_data(struct check_tree *tree, const struct item *item) {
    struct check *check = tree->check;
    const struct disk_extent *extent = item->value;
    unsigned count = le32_get(extent->block_count);
    enum status status = blockdev_read(check->device, le64_get(extent->block) * DISK_BLOCK_SIZE,
                                       check->data, (uint64_t)count * DISK_BLOCK_SIZE);
    if (!check_is_damage(check, status))
        return;
    if (status != STATUS_OK) {
        check_blocks_singly(tree, item);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        check_block(tree, item, i, (const char *)check->data + (size_t)i * DISK_BLOCK_SIZE);
}

static void visit_extent(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct dataset_walk *walk = tree->context;
    struct check *check = tree->check;
    const struct disk_extent *extent = item->value;
    uint64_t first = item->key.offset;
    uint32_t count = le32_get(extent->block_count);
    check_claim(check, le64_get(extent->block), count, tree->name);
    if (first < walk->next_block)
        check_report(check, CHECK_EXTENT_OVERLAP, leaf,
                     "the extent at block %llu of the file overlaps the one before it (%s)",
                     (unsigned long long)first, tree->name);
    walk->next_block = MATH_MAX(walk->next_block, first + count);
    if (first + count > walk->dataset->file_blocks)
        check_report(check, CHECK_EXTENT_BEHIND_END, leaf,
                     "the extent at block %llu of the file lies behind its end (%s)",
                     (unsigned long long)first, tree->name);
    if (le64_get(extent->birth) > check->super.epoch)
        check_report(check, CHECK_EXTENT_AGE, leaf,
                     "the extent at block %llu of the file is of an epoch to come (%s)",
                     (unsigned long long)first, tree->name);
    walk->data_blocks += count;
    check->summary->data_blocks += count;
    if (check->options->data)
        check_data(tree, item);
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    if (item->key.type == DISK_TYPE_INODE)
        visit_inode(tree, item, leaf);
    else
        visit_extent(tree, item, leaf);
}

/* What can be told only after the whole tree was seen. */
static void check_sums(struct check_tree *tree) {
    struct check *check = tree->check;
    const struct dataset_walk *walk = tree->context;
    const struct check_dataset *dataset = walk->dataset;
    if (!walk->has_inode && dataset->state == DISK_DATASET_LIVE)
        check_report(check, CHECK_INODE_MISSING, dataset->root.block,
                     "the file's inode is missing (%s)", tree->name);
    if (tree->nodes != dataset->node_blocks)
        check_report(check, CHECK_DATASET_NODES, dataset->leaf,
                     "the tree has %llu nodes, the dataset's record says %llu (%s)",
                     (unsigned long long)tree->nodes, (unsigned long long)dataset->node_blocks,
                     tree->name);
    if (walk->data_blocks != dataset->data_blocks)
        check_report(check, CHECK_DATASET_DATA, dataset->leaf,
                     "the extents name %llu blocks, the dataset's record says %llu (%s)",
                     (unsigned long long)walk->data_blocks,
                     (unsigned long long)dataset->data_blocks, tree->name);
}

void check_dataset(struct check *check, struct check_dataset *dataset) {
    char name[LFSX_NAME_MAX + 32];
    if (dataset->state == DISK_DATASET_LIVE)
        format_text(name, sizeof name, "volume %s", dataset->name);
    else
        format_text(name, sizeof name, "dataset %llu, which is being deleted",
                    (unsigned long long)dataset->id);
    struct dataset_walk walk = {.dataset = dataset};
    struct check_tree tree = {.check = check,
                              .owner = dataset->id,
                              .name = name,
                              .root = dataset->root,
                              .visit = visit,
                              .context = &walk};
    check_tree_walk(&tree);
    if (!tree.incomplete && check->failure == STATUS_OK)
        check_sums(&tree);
}
