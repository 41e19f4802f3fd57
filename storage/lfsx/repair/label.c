/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A label when both copies are lost. What only the label says is gone (the text for people); the
 * pool's UUID and size stand in every superblock, and its layout follows from the size if the pool
 * never grew, which the allocation map must confirm: the journal is in use as a whole.
 */
#include "base/checksum.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"
#include "storage/lfsx/space/alloc.h"

static bool is_superblock(const struct disk_superblock *disk, uint64_t block) {
    return memcmp(disk->magic, DISK_SUPERBLOCK_MAGIC, sizeof disk->magic) == 0 &&
           le64_get(disk->block) == block &&
           le64_get(disk->checksum) ==
               checksum_xxh64((const char *)disk + 8, DISK_BLOCK_SIZE - 8, 0);
}

/* The newest one of a ring, into the label; false if there is none. */
static bool take_uuid(struct repair *repair, uint64_t ring, struct disk_superblock *page,
                      uint64_t *blocks) {
    uint64_t newest = 0;
    for (uint64_t block = ring; block < ring + DISK_RING_SLOTS; block++) {
        if (!repair_read(repair, block, page) || !is_superblock(page, block) ||
            le64_get(page->checkpoint) <= newest)
            continue;
        newest = le64_get(page->checkpoint);
        *blocks = le64_get(page->device_blocks);
        memcpy(repair->label.pool_uuid, page->pool_uuid, sizeof page->pool_uuid);
    }
    return newest != 0;
}

/* Whether everything before the data area is in use, by the map. */
static bool map_agrees(struct repair *repair, const struct superblock *super,
                       struct disk_map_block *page) {
    const struct geometry *g = &repair->label.geometry;
    struct disk_map_entry entry = super->map_root;
    for (unsigned level = geometry_map_top(g);; level--) {
        if (alloc_read_map_block(repair->device, g, level, 0, &entry, page) != STATUS_OK)
            return false;
        if (level == 0)
            break;
        entry = page->entries[0];
    }
    for (uint64_t i = 0; i < g->data_start && i < DISK_REGION_BLOCKS; i++)
        if ((page->bitmap[i / 8] >> i % 8 & 1) == 0)
            return false;
    return true;
}

static bool layout_is_right(struct repair *repair, void *page) {
    struct superblock super;
    struct ring *ring = os_alloc(sizeof *ring);
    bool right = ring != NULL && ring_read(repair->device, &repair->label, ring) == STATUS_OK &&
                 ring_newest(ring, &super) == STATUS_OK && map_agrees(repair, &super, page);
    os_free(ring);
    return right;
}

static bool find_pool(struct repair *repair, void *page) {
    uint64_t blocks = repair->device->size / DISK_BLOCK_SIZE;
    return (take_uuid(repair, DISK_AREA_RING, page, &blocks) ||
            take_uuid(repair, blocks - DISK_AREA_BLOCKS + DISK_AREA_RING, page, &blocks)) &&
           blocks <= repair->device->size / DISK_BLOCK_SIZE &&
           geometry_plan(blocks, &repair->label.geometry) == STATUS_OK;
}

enum status repair_make_label(struct repair *repair) {
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    repair->label = (struct label){.version = DISK_VERSION, .created_ns = os_wall_clock_ns()};
    os_random(repair->label.device_uuid, sizeof repair->label.device_uuid);
    enum status status = STATUS_CORRUPT;
    if (find_pool(repair, page) && layout_is_right(repair, page))
        status = label_write(repair->device, &repair->label);
    os_page_free(page, DISK_BLOCK_SIZE);
    if (status == STATUS_OK)
        repair_say(repair, "both labels were lost: made them anew from the superblocks; the text "
                           "of the label is lost");
    return status;
}
