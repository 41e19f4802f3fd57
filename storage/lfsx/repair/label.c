/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A label when both copies are lost. What only the label says is gone (the text for people); the
 * pool's UUID and size stand in every superblock. The journal has the size that the pool was made
 * with, which follows from today's size only if it never grew: so the trees are walked, and the
 * first block behind the smallest journal that something names, or that the allocation map calls
 * free, is where the data area begins. If a part of the trees is damaged, that counts only if it
 * agrees with a pool that never grew.
 */
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

/* The newest one of a ring, into *newest; false if there is none. */
static bool find_newest(struct repair *repair, uint64_t ring, struct disk_superblock *newest) {
    struct disk_superblock *page = (struct disk_superblock *)repair->page;
    uint64_t checkpoint = 0;
    for (uint64_t block = ring; block < ring + DISK_RING_SLOTS; block++) {
        if (!repair_read(repair, block, page) || !superblock_is_whole(page, block) ||
            le64_get(page->checkpoint) <= checkpoint)
            continue;
        checkpoint = le64_get(page->checkpoint);
        *newest = *page;
    }
    return checkpoint != 0;
}

/* Where the data area begins, if that is sure. CORRUPT. */
static enum status find_data_start(struct repair *trial, uint64_t planned, uint64_t *start) {
    const struct geometry *g = &trial->label.geometry;
    repair_prepare(trial);
    if (trial->failure == STATUS_OK)
        repair_walk(trial);
    if (trial->failure != STATUS_OK)
        return trial->failure;
    uint64_t block = g->data_start;
    while (block < g->data_end && repair_is_known(trial, block) &&
           repair_bit(trial->old_used, block) && !repair_bit(trial->claimed, block))
        block++;
    bool sure = repair_is_known(trial, block) && (trial->ranges.count == 0 || block == planned);
    *start = block;
    return sure ? STATUS_OK : STATUS_CORRUPT;
}

/* The layout of the pool that the superblock is of, and its UUID, into the label. */
static enum status lay_out(struct repair *repair, const struct disk_superblock *super) {
    struct geometry planned;
    uint64_t blocks = le64_get(super->device_blocks);
    if (blocks > repair->device->size / DISK_BLOCK_SIZE ||
        geometry_plan(blocks, &planned) != STATUS_OK ||
        geometry_least(blocks, &repair->label.geometry) != STATUS_OK)
        return STATUS_CORRUPT;
    memcpy(repair->label.pool_uuid, super->pool_uuid, sizeof super->pool_uuid);
    struct repair trial = {.device = repair->device,
                           .options = repair->options,
                           .summary = repair->summary,
                           .label = repair->label,
                           .quiet = true};
    superblock_load(super, &trial.super);
    trial.super.geometry = trial.label.geometry;
    uint64_t start;
    enum status status = find_data_start(&trial, planned.data_start, &start);
    repair_release(&trial);
    if (status != STATUS_OK)
        return status;
    struct geometry found = {.journal_blocks = start - planned.journal_start};
    status = geometry_resize(&found, blocks, &repair->label.geometry);
    return status == STATUS_OK ? STATUS_OK : STATUS_CORRUPT;
}

static enum status make(struct repair *repair, struct disk_superblock *newest) {
    uint64_t blocks = repair->device->size / DISK_BLOCK_SIZE;
    if (!find_newest(repair, DISK_AREA_RING, newest) &&
        !find_newest(repair, blocks - DISK_AREA_BLOCKS + DISK_AREA_RING, newest))
        return STATUS_CORRUPT;
    enum status status = lay_out(repair, newest);
    return status == STATUS_OK ? label_write(repair->device, &repair->label) : status;
}

enum status repair_make_label(struct repair *repair) {
    repair->page = os_page_alloc(DISK_BLOCK_SIZE);
    struct disk_superblock *newest = os_page_alloc(DISK_BLOCK_SIZE);
    repair->label = (struct label){.version = DISK_VERSION, .created_ns = os_wall_clock_ns()};
    os_random(repair->label.device_uuid, sizeof repair->label.device_uuid);
    enum status status =
        repair->page == NULL || newest == NULL ? STATUS_NO_MEMORY : make(repair, newest);
    os_page_free(newest, DISK_BLOCK_SIZE);
    os_page_free(repair->page, DISK_BLOCK_SIZE);
    repair->page = NULL;
    if (status == STATUS_OK)
        repair_say(repair, "both labels were lost: made them anew from the superblocks; the text "
                           "of the label is lost");
    return status;
}
