/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and the superblock ring: who a device is, and which state of the pool counts. */
#ifndef STORAGE_LFSX_FORMAT_SUPER_H
#define STORAGE_LFSX_FORMAT_SUPER_H

#include "base/blockdev.h"
#include "storage/journal/journal.h"
#include "storage/lfsx/format/geometry.h"
#include "storage/lfsx/format/node.h"
#include "storage/lfsx/lfsx.h"

struct label {
    uint8_t pool_uuid[16];
    uint8_t device_uuid[16];
    char text[LFSX_LABEL_MAX + 1];
    uint32_t version;
    uint64_t created_ns;
    struct geometry geometry; /* as the label says until ring_read() knows better */
    uint64_t written_blocks;  /* geometry.device_blocks as the label on the device says */
};

struct superblock {
    struct geometry geometry;
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

/* Reads the label from the head area, else from the tail. Its layout may be one of before the pool
 * grew, or of a growth that a power cut prevented: the newest superblock decides. NOT_LFSX,
 * VERSION, CORRUPT (both copies are damaged or lost, or its layout is impossible), TOO_SMALL (the
 * device shrank), IO, NO_MEMORY. */
enum status label_read(struct blockdev *device, struct label *label);
/* Writes both copies. */
enum status label_write(struct blockdev *device, const struct label *label);
/* Writes the tail's alone. */
enum status label_write_tail(struct blockdev *device, const struct label *label);
/* Writes both if what is on the device speaks of another size of the pool. `page` is
 * DISK_BLOCK_SIZE bytes of os_page_alloc memory, so that only the device can fail it. */
enum status label_settle(struct blockdev *device, struct label *label, void *page);

/* What stands in one slot of one area. */
enum slot_state { SLOT_EMPTY, SLOT_VALID, SLOT_DAMAGED };
struct slot {
    enum slot_state state;
    bool unreadable;              /* damaged, as far as can be told: the device could not read it */
    struct superblock superblock; /* if valid */
};
/* The whole ring of both areas: slots[area][slot]. While a pool grows there are two tail areas: the
 * one that the newest superblock means is RING_TAIL, the other, if it had to be looked at,
 * RING_OTHER_TAIL. */
enum { RING_HEAD, RING_TAIL, RING_OTHER_TAIL, RING_AREAS };
struct ring {
    struct slot slots[RING_AREAS][DISK_RING_SLOTS];
};

/* Whether what was read from the block is a whole superblock, of whatever pool. */
bool superblock_is_whole(const struct disk_superblock *disk, uint64_t block);
/* Takes apart a superblock whose checksum is right; its geometry, and whether what it says can be,
 * is for the caller to tell. */
void superblock_load(const struct disk_superblock *disk, struct superblock *superblock);

/* Reads both areas; an unreadable slot counts as damaged. label->geometry becomes that of the
 * newest superblock. NO_MEMORY; TOO_SMALL (the device shrank); IO only if all reads failed. */
enum status ring_read(struct blockdev *device, struct label *label, struct ring *ring);

/*
 * The newest state that counts. CORRUPT if there is none, or if the slot after the newest one is
 * damaged in both areas: a power cut damages at most the head's (the tail's is written after the
 * head's is durable), so that an acknowledged checkpoint would be lost silently. IO instead, if one
 * of these slots could not be read, and may be whole.
 */
enum status ring_newest(const struct ring *ring, struct superblock *newest);

/* Writes the superblock, whose geometry is the label's, to its slot, head then tail, each durable
 * before the next step. Everything it names is durable already. `page` is DISK_BLOCK_SIZE bytes of
 * os_page_alloc memory to work in, so that only the device can fail it. */
enum status superblock_write(struct blockdev *device, const struct label *label,
                             const struct superblock *superblock, struct disk_superblock *page);

/* Writes the tail's copy of the newest superblock if a power cut kept it from being written: it
 * would be taken for damage as soon as there is a newer checkpoint. NO_MEMORY, IO. */
enum status superblock_complete(struct blockdev *device, const struct label *label,
                                const struct ring *ring, const struct superblock *newest);

/* Zeroes a whole area, durably: both for mkfs, the tail before a pool grows. */
enum status area_clear(struct blockdev *device, const struct geometry *geometry, unsigned area);

#endif
