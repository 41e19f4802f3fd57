/* SPDX-License-Identifier: Apache-2.0 */
/* The course of mending shares; the invariants stand in share_mend.h. */
#include "storage/lfsx/repair/share_mend.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/os.h"
#include "storage/lfsx/mount/open.h"
#include "storage/lfsx/pool/dataset.h"

static bool open_arrays(struct share_mend *mend) {
    struct {
        struct spill_array **array;
        size_t item_size;
    } all[] = {
        {&mend->inodes, sizeof(struct mend_inode)},   {&mend->entries, sizeof(struct mend_entry)},
        {&mend->targets, sizeof(struct mend_target)}, {&mend->orders, sizeof(uint64_t)},
        {&mend->changes, sizeof(struct mend_change)}, {&mend->losses, sizeof(struct mend_loss)}};
    bool open = true;
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        *all[i].array = spill_array_open(mend->spill, all[i].item_size);
        open = open && *all[i].array != NULL;
    }
    return open;
}

static void close_arrays(struct share_mend *mend) {
    struct spill_array *all[] = {mend->inodes, mend->entries, mend->targets,
                                 mend->orders, mend->changes, mend->losses};
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++)
        spill_array_close(all[i]);
}

/* Looks at one tree; changes it if it is a live one. */
static enum status mend_tree(struct share_mend *mend, const struct repair_tree *tree) {
    struct spill *spill;
    const struct lfsx_repair_options *options = mend->repair->options;
    uint64_t budget =
        options->memory_bytes == 0 ? 0 : MATH_MAX(options->memory_bytes / 2, SPILL_BUDGET_MIN);
    enum status status = spill_open(budget, options->scratch, &mend->failure, &spill);
    if (status != STATUS_OK)
        return status;
    mend->spill = spill;
    if (open_arrays(mend)) {
        mend->next_inode = mend->dataset->next_inode;
        mend_collect(mend);
        if (mend->tree == &mend->dataset->tree && mend->failure == STATUS_OK) {
            mend_decide(mend);
            mend->is_decided = true;
        }
        if (mend->failure == STATUS_OK)
            mend_report(mend, tree);
        if (mend->is_decided && mend->failure == STATUS_OK)
            mend_change(mend);
    }
    close_arrays(mend);
    spill_close(spill);
    return mend->failure;
}

static enum status mend_snapshots(struct repair *repair, struct dataset *dataset) {
    char name[REPAIR_NAME_SIZE];
    enum status status = STATUS_OK;
    LIST_FOR_EACH(link, &dataset->snapshots) {
        struct snapshot *snapshot = snapshot_of(link);
        const struct repair_tree *tree = repair_find_tree(repair, dataset->id, snapshot->epoch);
        if (status != STATUS_OK || snapshot->deleting || tree == NULL || tree->losses.count == 0)
            continue;
        struct share_mend mend = {.repair = repair,
                                  .pool = dataset->pool,
                                  .dataset = dataset,
                                  .tree = &snapshot->tree,
                                  .name = repair_name(repair, tree, name)};
        status = mend_tree(&mend, tree);
    }
    return status;
}

static enum status mend_share(struct repair *repair, struct dataset *dataset) {
    struct share_mend mend = {.repair = repair,
                              .pool = dataset->pool,
                              .dataset = dataset,
                              .tree = &dataset->tree,
                              .name = dataset->name};
    enum status status = mend_snapshots(repair, dataset);
    if (status != STATUS_OK)
        return status;
    return mend_tree(&mend, repair_find_tree(repair, dataset->id, REPAIR_HEAD));
}

enum status repair_mend_shares(struct repair *repair) {
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = repair->options->memory_bytes / 2};
    enum status status = pool_open_to_mend(repair->device, &options, &pool);
    if (status == STATUS_CORRUPT || status == STATUS_CHECKSUM) {
        log_error("lfsx",
                  "%s: what is wrong with the pool's shares was not looked at, since the "
                  "pool does not open",
                  repair->device->name);
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return status;
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *dataset = LIST_CONTAINER(link, struct dataset, link);
        if (status == STATUS_OK && dataset->kind == DISK_DATASET_SHARE &&
            dataset->state != DISK_DATASET_DELETING && dataset->damage == STATUS_OK)
            status = mend_share(repair, dataset);
    }
    enum status closed = lfsx_pool_close(pool);
    return status == STATUS_OK ? closed : status;
}

bool repair_has_lost_shares(const struct repair *repair) {
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (trees[i].in_share && (trees[i].ranges > 0 || trees[i].losses.count > 0))
            return true;
    return false;
}
