/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space: which blocks of the device are in use, which may be given out, which were freed but still
 * belong to a checkpoint that must remain mountable.
 *
 * A block is in one of four states:
 *   free      may be given out;
 *   in flight given out for data that no tree names yet: a crash makes it free;
 *   used      named by a tree: a set bit in the map of the next checkpoint;
 *   pending   no longer named by a tree, but by one of the last two checkpoints.
 *
 *   free ─ alloc_data ─> in flight ─ alloc_data_commit ─> used ─ alloc_release ─> pending ─┐
 *     ^ <── alloc_data_cancel ──┘       (alloc_node: free to used at once)                 │
 *     └────────────── alloc_rotate, twice after the checkpoint that freed it ──────────────┘
 *
 * Everything here may be called with the pool's lock held, and takes only its own mutex below it.
 */
#ifndef STORAGE_LFSX_SPACE_ALLOC_H
#define STORAGE_LFSX_SPACE_ALLOC_H

#include "base/blockdev.h"
#include "base/os.h"
#include "storage/lfsx/format/geometry.h"

#include <stdbool.h>
#include <stdint.h>

struct alloc_region {
    uint64_t *used; /* the bitmap as the next checkpoint writes it */
    uint64_t *busy; /* used, in flight or pending; contains `used` */
    uint32_t used_count;
    uint32_t free_count; /* clear bits of `busy` */
    bool dirty;          /* `used` changed since the last checkpoint */
};

struct alloc_run {
    uint64_t block;
    uint64_t count;
};

struct alloc_log {
    struct alloc_run *runs;
    uint64_t count, capacity;
};

enum { ALLOC_STAGE_OPEN, ALLOC_STAGE_WRITING, ALLOC_STAGE_DURABLE, ALLOC_STAGES };

struct allocator {
    struct os_mutex lock; /* guards everything below; below every other lock of the pool */
    struct geometry geometry;
    struct alloc_region *regions;    /* NULL: there are no maps (alloc_do_without) */
    struct disk_map_entry **entries; /* for each level: one entry for each of its blocks */
    unsigned top;                    /* highest level */
    uint64_t used_blocks;
    uint64_t free_blocks;
    uint64_t pending_blocks;
    uint64_t data_cursor, node_cursor;     /* regions to look in first */
    struct alloc_log stages[ALLOC_STAGES]; /* pending runs by age */
};

/* An empty map of a new device: all but the data area is used. NO_MEMORY. */
enum status alloc_create(struct allocator *allocator, const struct geometry *geometry);

/* Reads the map that `root` names. CHECKSUM, CORRUPT (logged with the address), IO, NO_MEMORY. */
enum status alloc_load(struct allocator *allocator, const struct geometry *geometry,
                       struct blockdev *device, const struct disk_map_entry *root);
/* For a pool that is only read and whose map cannot be: takes every block for used, but those that
 * it gives out for nodes, which are not on the device and never get there. */
void alloc_do_without(struct allocator *allocator, const struct geometry *geometry,
                      uint64_t used_blocks);
void alloc_destroy(struct allocator *allocator);

/* Puts `count` blocks in flight, as few runs as it finds, in ascending order of discovery:
 * blocks[i] is the address for the i-th. All or nothing: NO_SPACE if fewer than `count` beyond
 * `reserve` are free. */
enum status alloc_data(struct allocator *allocator, uint64_t count, uint64_t reserve,
                       uint64_t *blocks);
/* Puts a run in flight that the journal names. CORRUPT if a part of it is not free. */
enum status alloc_claim(struct allocator *allocator, uint64_t block, uint64_t count);
void alloc_data_commit(struct allocator *allocator, uint64_t block, uint64_t count);
void alloc_data_cancel(struct allocator *allocator, uint64_t block, uint64_t count);

/* One block for a node, used at once. There is one: whoever updates has asked alloc_free_blocks().
 */
uint64_t alloc_node(struct allocator *allocator);

/* Sees to it that `count` releases can be recorded without fail. NO_MEMORY. */
enum status alloc_reserve_releases(struct allocator *allocator, uint64_t count);
/* The run is no longer named by any tree. One recorded release. False, and nothing changed, if not
 * all of it was used: then a damaged tree names it twice, or one that the map calls free. */
bool alloc_release(struct allocator *allocator, uint64_t block, uint64_t count);

/* Whether the block may be given out: then nothing that a tree names can be in it. */
bool alloc_is_free(struct allocator *allocator, uint64_t block);
uint64_t alloc_free_blocks(struct allocator *allocator);
uint64_t alloc_used_blocks(struct allocator *allocator);
uint64_t alloc_pending_blocks(struct allocator *allocator);

/* ---- checkpoints ---- */

/* One map block on its way to the device. */
struct alloc_write {
    uint64_t block;
    struct disk_map_block *page;
};
struct alloc_snapshot {
    struct alloc_write *writes;
    uint64_t count, capacity; /* that there are; with pages */
    bool *changed;            /* work space of freezing */
    struct disk_map_entry root;
    uint64_t used_blocks;
};

/* Takes the map as it is at this moment: the blocks to write and the entry for the superblock. What
 * is released from here on counts for the next checkpoint. Nothing changes on NO_MEMORY. */
enum status alloc_freeze(struct allocator *allocator, uint64_t checkpoint,
                         struct alloc_snapshot *snapshot);
/* The same in two halves, of which the second cannot fail unless more than `blocks` were taken or
 * released in between. NO_MEMORY: nothing to free. */
enum status alloc_freeze_prepare(struct allocator *allocator, uint64_t blocks,
                                 struct alloc_snapshot *snapshot);
void alloc_freeze_prepared(struct allocator *allocator, uint64_t checkpoint,
                           struct alloc_snapshot *snapshot);
void alloc_snapshot_free(struct alloc_snapshot *snapshot);

/* Runs that alloc_rotate() is about to free: may be discarded on the device. Valid until then. */
const struct alloc_log *alloc_expiring(struct allocator *allocator);
/* The checkpoint is durable: pending runs grow one checkpoint older, the oldest become free. */
void alloc_rotate(struct allocator *allocator);

/* ---- a pool that grows (alloc_grow.c) ---- */

/* What the allocator of the larger pool needs. */
struct alloc_growth {
    struct geometry geometry;
    struct alloc_region *regions; /* those from `first` on have their bitmaps */
    uint64_t first;
    struct disk_map_entry **entries;
    unsigned top;
};

/* Allocates for a geometry that geometry_grow() made out of the allocator's. NO_MEMORY. */
enum status alloc_growth_prepare(struct allocator *allocator, const struct geometry *geometry,
                                 struct alloc_growth *growth);
void alloc_growth_cancel(struct alloc_growth *growth);
/* The next checkpoint is one of the larger pool, with all maps in their new places; what the data
 * area gained is pending. One recorded release. Takes over what was prepared. */
void alloc_grow(struct allocator *allocator, struct alloc_growth *growth);

/* ---- for the check ---- */

/* Whether the map, as the next checkpoint writes it, calls the block used. */
bool alloc_is_used(struct allocator *allocator, uint64_t block);

/* Reads and verifies one map block (level, index) by its entry into page. */
enum status alloc_read_map_block(struct blockdev *device, const struct geometry *geometry,
                                 unsigned level, uint64_t index, const struct disk_map_entry *entry,
                                 struct disk_map_block *page);

#endif
