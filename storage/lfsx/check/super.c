/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels and the superblock ring. Both exist twice; the check looks at each copy.
 *
 * What a power cut may leave behind is no finding: the head's slot after the newest one half
 * written, or the tail's slot of the newest one.
 */
#include "base/checksum.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"

static bool label_copy_is_right(const struct disk_label *copy, uint64_t block) {
    return memcmp(copy->magic, DISK_LABEL_MAGIC, sizeof copy->magic) == 0 &&
           le64_get(copy->checksum) ==
               checksum_xxh64((const char *)copy + 8, DISK_BLOCK_SIZE - 8, 0) &&
           le64_get(copy->block) == block;
}

/* Whether two copies say the same. Both are clobbered. */
static bool label_copies_agree(struct disk_label *pair) {
    for (unsigned area = 0; area < 2; area++)
        pair[area].checksum = pair[area].block = le64_make(0);
    return memcmp(&pair[0], &pair[1], sizeof pair[0]) == 0;
}

/* At least one copy is right, or the label would not have been read. */
static enum status check_labels(struct check *check) {
    struct disk_label *pair = os_page_alloc(2 * DISK_BLOCK_SIZE);
    if (pair == NULL)
        return STATUS_NO_MEMORY;
    bool all_right = true;
    for (unsigned area = 0; area < 2; area++) {
        uint64_t block = geometry_label_address(&check->label.geometry, area);
        enum status status =
            blockdev_read(check->device, block * DISK_BLOCK_SIZE, &pair[area], DISK_BLOCK_SIZE);
        if (!check_is_damage(check, status))
            break;
        if (status == STATUS_OK && label_copy_is_right(&pair[area], block))
            continue;
        check_report(check, CHECK_LABEL_COPY, block, "the label at the device's %s: %s",
                     area == 0 ? "start" : "end",
                     status == STATUS_OK ? "its content is damaged" : status_text(status));
        all_right = false;
    }
    if (check->failure == STATUS_OK && all_right && !label_copies_agree(pair))
        check_report(check, CHECK_LABEL_COPY, geometry_label_address(&check->label.geometry, 1),
                     "the labels at the device's start and end differ");
    os_page_free(pair, 2 * DISK_BLOCK_SIZE);
    return check->failure;
}

static bool cut_may_leave(const struct check *check, unsigned area, unsigned slot) {
    uint64_t checkpoint = check->super.checkpoint + (area == 0 ? 1 : 0);
    return slot == checkpoint % DISK_RING_SLOTS;
}

static bool superblocks_agree(const struct superblock *a, const struct superblock *b) {
    return a->epoch == b->epoch && a->written_ns == b->written_ns &&
           a->catalog.block == b->catalog.block && a->catalog.birth == b->catalog.birth &&
           a->catalog.checksum == b->catalog.checksum && a->catalog.level == b->catalog.level &&
           a->catalog_nodes == b->catalog_nodes && a->next_dataset == b->next_dataset &&
           a->used_blocks == b->used_blocks && a->journal.sequence == b->journal.sequence &&
           a->journal.block == b->journal.block && a->journal.previous == b->journal.previous &&
           memcmp(&a->map_root, &b->map_root, sizeof a->map_root) == 0;
}

static void check_slot(struct check *check, const struct ring *ring, unsigned index) {
    const struct geometry *g = &check->label.geometry;
    const struct slot *head = &ring->slots[0][index];
    const struct slot *tail = &ring->slots[1][index];
    for (unsigned area = 0; area < 2; area++) {
        if (ring->slots[area][index].state == SLOT_DAMAGED && !cut_may_leave(check, area, index))
            check_report(check, CHECK_SUPERBLOCK_COPY, geometry_slot_address(g, area, index),
                         "superblock slot %u at the device's %s is damaged or cannot be read",
                         index, area == 0 ? "start" : "end");
    }
    if (tail->state != SLOT_VALID || head->state == SLOT_DAMAGED)
        return;
    /* The head is written first: it is never older than the tail. */
    const struct superblock *a = &head->superblock;
    const struct superblock *b = &tail->superblock;
    if (head->state == SLOT_EMPTY || a->checkpoint < b->checkpoint)
        check_report(check, CHECK_SUPERBLOCK_DIFFERS, geometry_slot_address(g, 0, index),
                     "superblock slot %u at the device's start is older than at its end: the "
                     "device lost a write",
                     index);
    else if (a->checkpoint == b->checkpoint && !superblocks_agree(a, b))
        check_report(check, CHECK_SUPERBLOCK_DIFFERS, geometry_slot_address(g, 1, index),
                     "the superblocks of checkpoint %llu at the device's start and end differ",
                     (unsigned long long)a->checkpoint);
}

/* False if no state of the pool counts. */
static bool check_ring(struct check *check, const struct ring *ring) {
    if (ring_newest(ring, &check->super) != STATUS_OK) {
        check_report(check, CHECK_SUPERBLOCK_LOST,
                     geometry_slot_address(&check->label.geometry, 0, 0),
                     "no superblock is valid, or both copies of the newest one are damaged: the "
                     "pool's state is lost");
        return false;
    }
    for (unsigned index = 0; index < DISK_RING_SLOTS; index++)
        check_slot(check, ring, index);
    return true;
}

/* What a label that cannot be read means; true if that is a finding. */
static bool report_label(struct check *check, enum status status) {
    if (status == STATUS_CORRUPT || status == STATUS_CHECKSUM)
        check_report(check, CHECK_LABEL_LOST, DISK_AREA_LABEL,
                     "both copies of the label are damaged");
    else if (status == STATUS_TOO_SMALL)
        check_report(check, CHECK_DEVICE_SHRANK, DISK_AREA_LABEL,
                     "the device is smaller than the pool on it: its end is missing");
    else
        return false;
    return true;
}

bool check_super(struct check *check, enum status *status) {
    *status = label_read(check->device, &check->label);
    if (*status != STATUS_OK) {
        if (report_label(check, *status))
            *status = STATUS_OK;
        return false;
    }
    *status = check_labels(check);
    if (*status != STATUS_OK)
        return false;
    struct ring *ring = os_alloc(sizeof *ring);
    if (ring == NULL) {
        *status = STATUS_NO_MEMORY;
        return false;
    }
    *status = ring_read(check->device, &check->label, ring);
    bool usable = *status == STATUS_OK && check_ring(check, ring);
    if (*status == STATUS_TOO_SMALL && report_label(check, *status))
        *status = STATUS_OK;
    os_free(ring);
    return usable;
}
