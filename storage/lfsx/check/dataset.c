/* SPDX-License-Identifier: Apache-2.0 */
/* One tree of a dataset: its inode, its extents, and the data behind them. */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "storage/lfsx/check/check_internal.h"
#include "storage/lfsx/format/values.h"

static void visit_inode(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct check_files *files = tree->context;
    const struct disk_inode *inode = item->value;
    files->has_inode = true;
    files->dataset->size = le64_get(inode->size);
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

/* Where the extent lies in the file and in time. */
static void check_place(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct check_files *files = tree->context;
    const struct disk_extent *extent = item->value;
    uint64_t first = item->key.offset;
    uint64_t end = first + le32_get(extent->block_count);
    if (item->key.inode != files->inode)
        files->next_block = 0;
    files->inode = item->key.inode;
    if (first < files->next_block)
        check_report(tree->check, CHECK_EXTENT_OVERLAP, leaf,
                     "the extent at block %llu of the file overlaps the one before it (%s)",
                     (unsigned long long)first, tree->name);
    files->next_block = MATH_MAX(files->next_block, end);
    if (files->dataset->kind == DISK_DATASET_VOLUME && end > check_file_blocks(files->dataset))
        check_report(tree->check, CHECK_EXTENT_BEHIND_END, leaf,
                     "the extent at block %llu of the file lies behind its end (%s)",
                     (unsigned long long)first, tree->name);
    if (le64_get(extent->birth) > tree->epoch)
        check_report(tree->check, CHECK_EXTENT_AGE, leaf,
                     "the extent at block %llu of the file is of an epoch to come (%s)",
                     (unsigned long long)first, tree->name);
}

static void visit_extent(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct check_files *files = tree->context;
    struct check *check = tree->check;
    const struct disk_extent *extent = item->value;
    uint64_t block = le64_get(extent->block);
    uint64_t birth = le64_get(extent->birth);
    uint32_t count = le32_get(extent->block_count);
    check_place(tree, item, leaf);
    if (check_tree_shares(tree, birth, block, count))
        return;
    uint64_t fresh = count;
    if (tree->since != 0 && birth <= tree->since)
        fresh = check_claim_missing(check, block, count);
    else
        check_claim(check, block, count, tree->name);
    files->root->younger_data += fresh;
    check->summary->data_blocks += fresh;
    if (check->options->data)
        check_data(tree, item);
}

/* Whether a volume may have the item; of a share, check/share.c tells. */
static bool belongs(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    const struct check_files *files = tree->context;
    const char *why;
    if (files->dataset->kind == DISK_DATASET_SHARE ||
        value_validate_volume(item, &why) == STATUS_OK)
        return true;
    check_report(tree->check, CHECK_ITEM_INVALID, leaf, "an item of inode %llu %s (%s)",
                 (unsigned long long)item->key.inode, why, tree->name);
    return false;
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    const struct check_files *files = tree->context;
    if (item->key.type == DISK_TYPE_EXTENT)
        visit_extent(tree, item, leaf);
    if (!belongs(tree, item, leaf))
        return;
    if (item->key.type == DISK_TYPE_INODE && files->dataset->kind == DISK_DATASET_VOLUME)
        visit_inode(tree, item, leaf);
}

static void name_tree(const struct check_files *files, char *name, size_t size) {
    const struct check_dataset *dataset = files->dataset;
    char volume[LFSX_NAME_MAX + 40];
    if (dataset->state == DISK_DATASET_DELETING)
        format_text(volume, sizeof volume, "dataset %llu, which is being deleted",
                    (unsigned long long)dataset->id);
    else
        format_text(volume, sizeof volume, "%s%s %s",
                    dataset->state == DISK_DATASET_DELETED ? "deleted " : "",
                    dataset->kind == DISK_DATASET_SHARE ? "share" : "volume", dataset->name);
    if (files->snapshot == NULL)
        format_text(name, size, "%s", volume);
    else
        format_text(name, size, "snapshot %s of %s", files->snapshot->name, volume);
}

static void check_inode(struct check_tree *tree) {
    const struct check_files *files = tree->context;
    const struct check_dataset *dataset = files->dataset;
    const struct check_snapshot *snapshot = files->snapshot;
    if (dataset->kind == DISK_DATASET_SHARE)
        return; /* check/share.c */
    bool lives = snapshot != NULL || dataset->state != DISK_DATASET_DELETING;
    if (lives && !files->has_inode && !tree->is_alike)
        check_report(tree->check, CHECK_INODE_MISSING, tree->root.block,
                     "the file's inode is missing (%s)", tree->name);
    else if (snapshot != NULL && dataset->size != UINT64_MAX && snapshot->size != dataset->size)
        check_report(tree->check, CHECK_SNAPSHOT_SIZE, snapshot->leaf,
                     "the file has %llu bytes, the snapshot's record says %llu (%s)",
                     (unsigned long long)dataset->size, (unsigned long long)snapshot->size,
                     tree->name);
}

void check_files(struct check *check, struct check_files *files) {
    char name[2 * LFSX_NAME_MAX + 64];
    name_tree(files, name, sizeof name);
    const struct check_snapshot *snapshot = files->snapshot;
    struct check_tree tree = {.check = check,
                              .owner = files->dataset->id,
                              .dataset = files->dataset,
                              .name = name,
                              .root = files->root->root,
                              .epoch = snapshot == NULL ? check->super.epoch : snapshot->epoch,
                              .since = files->since,
                              .older = files->older,
                              .visit = visit,
                              .context = files};
    check_tree_walk(&tree);
    files->dataset->incomplete |= tree.incomplete;
    files->root->younger_nodes = tree.nodes;
    files->root->doubtful = tree.doubtful || tree.incomplete;
    if (!files->dataset->incomplete && check->failure == STATUS_OK)
        check_inode(&tree);
}
