/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a device is laid out: it follows from the number of blocks that the pool uses, which a
 * superblock says and which may grow, and from the journal's size, which is chosen once by mkfs.
 * The label says it too, and is validated when read.
 */
#ifndef STORAGE_LFSX_FORMAT_GEOMETRY_H
#define STORAGE_LFSX_FORMAT_GEOMETRY_H

#include "base/status.h"
#include "storage/lfsx/lfsx_format.h"

#include <stdbool.h>
#include <stdint.h>

/* All in blocks. */
struct geometry {
    uint64_t device_blocks;
    uint64_t map_start, map_blocks;
    uint64_t journal_start, journal_blocks;
    uint64_t data_start, data_end;
    uint64_t regions;
};

/* The layout of a new pool on a device of this many blocks. TOO_SMALL. */
enum status geometry_plan(uint64_t device_blocks, struct geometry *geometry);

/* The same with the smallest journal that a pool has which grew to this size. TOO_SMALL. */
enum status geometry_least(uint64_t device_blocks, struct geometry *geometry);

/* The layout of the same pool when it uses this many blocks. TOO_SMALL. */
enum status geometry_resize(const struct geometry *geometry, uint64_t device_blocks,
                            struct geometry *resized);

/* The same for a pool that grows: nothing of the old layout is where the new one has its maps and
 * its tail area. TOO_SMALL: the added blocks cannot hold those. */
enum status geometry_grow(const struct geometry *geometry, uint64_t device_blocks,
                          struct geometry *grown);

/* Reads the layout out of a label whose checksum is right. CORRUPT if it is not one that a
 * pool can have. */
enum status geometry_load(const struct disk_label *label, struct geometry *geometry);
void geometry_store(const struct geometry *geometry, struct disk_label *label);

/* Blocks of one level of the allocation maps; level 0 has one for each region. */
uint64_t geometry_map_level_blocks(const struct geometry *geometry, unsigned level);
/* The highest level, which has one block. At least 1. */
unsigned geometry_map_top(const struct geometry *geometry);
/* Address of a copy (0, 1) of a map block. */
uint64_t geometry_map_address(const struct geometry *geometry, unsigned level, uint64_t index,
                              unsigned copy);

/* Address of the label and of a ring slot; area 0 is the head, 1 the tail. */
uint64_t geometry_label_address(const struct geometry *geometry, unsigned area);
uint64_t geometry_slot_address(const struct geometry *geometry, unsigned area, unsigned slot);

/* True if nodes and data may stand at [block, block + count). */
static inline bool geometry_is_data(const struct geometry *geometry, uint64_t block,
                                    uint64_t count) {
    return block >= geometry->data_start && block <= geometry->data_end && count > 0 &&
           count <= geometry->data_end - block;
}

#endif
