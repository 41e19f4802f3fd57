/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and the superblock ring: who a device is, and which state of the pool counts. */
#ifndef STORAGE_LFSX_SUPER_H
#define STORAGE_LFSX_SUPER_H

#include "base/blockdev.h"
#include "storage/journal/journal.h"
#include "storage/lfsx/geometry.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/node.h"

struct label {
    uint8_t pool_uuid[16];
    uint8_t device_uuid[16];
    char text[LFSX_LABEL_MAX + 1];
    uint32_t version;
    uint64_t created_ns;
    struct geometry geometry;
};

struct superblock {
    uint64_t checkpoint;
    uint64_t epoch;
    uint64_t written_ns;
    struct pointer catalog;
    uint64_t catalog_nodes;
    uint64_t next_dataset;
    uint64_t used_blocks;
    struct disk_map_entry map_root;
    struct journal_position journal; /* first entry that is newer than this checkpoint */
};

/* Reads the label from the head area, else from the tail. NOT_LFSX, VERSION, CORRUPT (both copies
 * are damaged, or its layout is impossible), TOO_SMALL (the device shrank), IO, NO_MEMORY. */
enum status label_read(struct blockdev *device, struct label *label);
/* Writes both copies. */
enum status label_write(struct blockdev *device, const struct label *label);

/* What stands in one slot of one area. */
enum slot_state { SLOT_EMPTY, SLOT_VALID, SLOT_DAMAGED };
struct slot {
    enum slot_state state;
    struct superblock superblock; /* if valid */
};
/* The whole ring of both areas: slots[area][slot]. */
struct ring {
    struct slot slots[2][DISK_RING_SLOTS];
};

/* Reads both areas; an unreadable slot counts as damaged. NO_MEMORY; IO only if all reads failed.
 */
enum status ring_read(struct blockdev *device, const struct label *label, struct ring *ring);

/*
 * The newest state that counts. CORRUPT if there is none, or if the slot after the newest one is
 * damaged in both areas: a power cut damages at most the head's (the tail's is written after the
 * head's is durable), so that an acknowledged checkpoint would be lost silently.
 */
enum status ring_newest(const struct ring *ring, struct superblock *newest);

/* Writes the superblock to its slot, head then tail, each durable before the next step. Everything
 * it names is durable already. `page` is DISK_BLOCK_SIZE bytes of os_page_alloc memory to work in,
 * so that only the device can fail it. */
enum status superblock_write(struct blockdev *device, const struct label *label,
                             const struct superblock *superblock, struct disk_superblock *page);

/* Writes the tail's copy of the newest superblock if a power cut kept it from being written: it
 * would be taken for damage as soon as there is a newer checkpoint. NO_MEMORY, IO. */
enum status superblock_complete(struct blockdev *device, const struct label *label,
                                const struct ring *ring, const struct superblock *newest);

/* Zeroes both areas' rings (mkfs). */
enum status ring_clear(struct blockdev *device, const struct geometry *geometry);

#endif
