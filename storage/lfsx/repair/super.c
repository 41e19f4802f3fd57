/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and superblocks: each copy from its twin. What is good is written again with the same
 * bytes only, so that a power cut cannot harm it. */
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

enum status repair_labels(struct repair *repair) {
    enum status status = label_write(repair->device, &repair->label);
    if (status == STATUS_OK)
        repair_say(repair, "wrote both labels anew");
    return status;
}

static const struct slot *better(const struct slot *head, const struct slot *tail) {
    if (head->state != SLOT_VALID)
        return tail->state == SLOT_VALID ? tail : NULL;
    bool newer =
        tail->state == SLOT_VALID && tail->superblock.checkpoint > head->superblock.checkpoint;
    return newer ? tail : head;
}

static enum status choose(struct repair *repair, const struct ring *ring) {
    enum status status = ring_newest(ring, &repair->super);
    if ((status != STATUS_CORRUPT && status != STATUS_IO) ||
        repair->options->level != LFSX_REPAIR_ALL)
        return status;
    for (unsigned i = 0; i < DISK_RING_SLOTS; i++) {
        const struct slot *slot = better(&ring->slots[0][i], &ring->slots[1][i]);
        if (slot == NULL ||
            (repair->superblock_lost && slot->superblock.checkpoint <= repair->super.checkpoint))
            continue;
        repair->superblock_lost = true;
        repair->super = slot->superblock;
    }
    if (repair->superblock_lost)
        repair_say(repair,
                   "the newest superblock is damaged in both places: went back to checkpoint %llu",
                   (unsigned long long)repair->super.checkpoint);
    return repair->superblock_lost ? STATUS_OK : repair_make_superblock(repair);
}

enum status repair_choose(struct repair *repair) {
    struct ring *ring = os_alloc(sizeof *ring);
    if (ring == NULL)
        return STATUS_NO_MEMORY;
    enum status status = ring_read(repair->device, &repair->label, ring);
    if (status == STATUS_OK)
        status = choose(repair, ring);
    else if (status == STATUS_IO && repair->options->level == LFSX_REPAIR_ALL)
        status = repair_make_superblock(repair); /* not one slot can be read */
    repair->checkpoint = repair->super.checkpoint + 1;
    if (status == STATUS_OK) /* going back may be to a time before the pool grew */
        repair->label.geometry = repair->super.geometry;
    os_free(ring);
    return status;
}

static enum status clear_copy(struct repair *repair, unsigned area, unsigned index, void *page) {
    memset(page, 0, DISK_BLOCK_SIZE);
    uint64_t block = geometry_slot_address(&repair->label.geometry, area, index);
    return blockdev_write(repair->device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE,
                          BLOCK_FUA);
}

static enum status clear_slot(struct repair *repair, unsigned index, void *page) {
    enum status status = clear_copy(repair, RING_HEAD, index, page);
    return status == STATUS_OK ? clear_copy(repair, RING_TAIL, index, page) : status;
}

/* One of before the pool grew has no place at the new end. */
static bool is_of_another_size(const struct repair *repair, const struct slot *slot) {
    return slot->superblock.geometry.device_blocks != repair->label.geometry.device_blocks;
}

static void repair_slot(struct repair *repair, const struct ring *ring, unsigned index,
                        void *page) {
    const struct slot *head = &ring->slots[RING_HEAD][index];
    const struct slot *tail = &ring->slots[RING_TAIL][index];
    const struct slot *good = better(head, tail);
    bool damaged = head->state == SLOT_DAMAGED || tail->state == SLOT_DAMAGED;
    bool alone = good != NULL && is_of_another_size(repair, good);
    if (good == NULL || alone
            ? !damaged
            : head->state == SLOT_VALID && tail->state == SLOT_VALID &&
                  memcmp(&head->superblock, &tail->superblock, sizeof tail->superblock) == 0)
        return;
    if (good == NULL)
        repair->failure = clear_slot(repair, index, page);
    else if (alone)
        repair->failure = clear_copy(repair, RING_TAIL, index, page);
    else
        repair->failure = superblock_write(repair->device, &repair->label, &good->superblock, page);
    if (damaged && repair->failure == STATUS_OK)
        repair_say(repair, "superblock slot %u: %s", index,
                   good == NULL || alone ? "cleared" : "wrote the good copy over the damaged one");
}

void repair_ring(struct repair *repair) {
    struct ring *ring = os_alloc_zeroed(sizeof *ring);
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    repair->failure = ring == NULL || page == NULL
                          ? STATUS_NO_MEMORY
                          : ring_read(repair->device, &repair->label, ring);
    for (unsigned i = 0; repair->failure == STATUS_OK && i < DISK_RING_SLOTS; i++)
        repair_slot(repair, ring, i, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    os_free(ring);
}
