/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/format/geometry.h"
#include "base/assert.h"
#include "base/math.h"

#define JOURNAL_MIN_BLOCKS 256u    /* 1 MiB */
#define JOURNAL_MAX_BLOCKS 262144u /* 1 GiB: more would only lengthen recovery */
#define JOURNAL_SHARE 64u          /* of the device */
#define MIN_DATA_BLOCKS 512u

uint64_t geometry_map_level_blocks(const struct geometry *geometry, unsigned level) {
    uint64_t count = geometry->regions;
    for (unsigned i = 0; i < level; i++)
        count = math_divide_up(count, DISK_MAP_FANOUT);
    return count;
}

unsigned geometry_map_top(const struct geometry *geometry) {
    unsigned level = 1;
    while (geometry_map_level_blocks(geometry, level) > 1)
        level++;
    return level;
}

static uint64_t map_blocks_before(const struct geometry *geometry, unsigned level) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < level; i++)
        sum += geometry_map_level_blocks(geometry, i);
    return sum;
}

uint64_t geometry_map_address(const struct geometry *geometry, unsigned level, uint64_t index,
                              unsigned copy) {
    ASSERT(index < geometry_map_level_blocks(geometry, level));
    ASSERT(copy < 2);
    return geometry->map_start + 2 * (map_blocks_before(geometry, level) + index) + copy;
}

/* The journal of a device of this many blocks; one that has grown since keeps the one it had. */
static uint64_t journal_share(uint64_t device_blocks) {
    uint64_t share = device_blocks / JOURNAL_SHARE;
    return MATH_MIN(MATH_MAX(share, JOURNAL_MIN_BLOCKS), JOURNAL_MAX_BLOCKS);
}

static enum status lay_out(uint64_t device_blocks, uint64_t journal_blocks,
                           struct geometry *geometry) {
    if (device_blocks < DISK_MIN_DEVICE_BLOCKS)
        return STATUS_TOO_SMALL;
    struct geometry g = {.device_blocks = device_blocks, .journal_blocks = journal_blocks};
    g.regions = math_divide_up(device_blocks, DISK_REGION_BLOCKS);
    g.map_blocks = 2 * map_blocks_before(&g, geometry_map_top(&g) + 1);
    g.journal_start = DISK_AREA_BLOCKS;
    g.data_start = g.journal_start + g.journal_blocks;
    g.map_start = device_blocks - DISK_AREA_BLOCKS - g.map_blocks;
    g.data_end = g.map_start;
    if (g.data_end < g.data_start || g.data_end - g.data_start < MIN_DATA_BLOCKS)
        return STATUS_TOO_SMALL;
    *geometry = g;
    return STATUS_OK;
}

enum status geometry_plan(uint64_t device_blocks, struct geometry *geometry) {
    return lay_out(device_blocks, journal_share(device_blocks), geometry);
}

enum status geometry_least(uint64_t device_blocks, struct geometry *geometry) {
    return lay_out(device_blocks, JOURNAL_MIN_BLOCKS, geometry);
}

enum status geometry_resize(const struct geometry *geometry, uint64_t device_blocks,
                            struct geometry *resized) {
    if (geometry->journal_blocks < JOURNAL_MIN_BLOCKS ||
        geometry->journal_blocks > journal_share(device_blocks))
        return STATUS_TOO_SMALL;
    return lay_out(device_blocks, geometry->journal_blocks, resized);
}

enum status geometry_grow(const struct geometry *geometry, uint64_t device_blocks,
                          struct geometry *grown) {
    struct geometry g;
    if (geometry_resize(geometry, device_blocks, &g) != STATUS_OK ||
        g.map_start < geometry->device_blocks)
        return STATUS_TOO_SMALL;
    *grown = g;
    return STATUS_OK;
}

enum status geometry_load(const struct disk_label *label, struct geometry *geometry) {
    struct geometry said = {.journal_blocks = le64_get(label->journal_blocks)};
    struct geometry planned;
    if (geometry_resize(&said, le64_get(label->device_blocks), &planned) != STATUS_OK)
        return STATUS_CORRUPT;
    if (le64_get(label->map_start) != planned.map_start ||
        le64_get(label->map_blocks) != planned.map_blocks ||
        le64_get(label->journal_start) != planned.journal_start ||
        le64_get(label->data_start) != planned.data_start ||
        le64_get(label->data_end) != planned.data_end)
        return STATUS_CORRUPT;
    *geometry = planned;
    return STATUS_OK;
}

void geometry_store(const struct geometry *geometry, struct disk_label *label) {
    label->device_blocks = le64_make(geometry->device_blocks);
    label->map_start = le64_make(geometry->map_start);
    label->map_blocks = le64_make(geometry->map_blocks);
    label->journal_start = le64_make(geometry->journal_start);
    label->journal_blocks = le64_make(geometry->journal_blocks);
    label->data_start = le64_make(geometry->data_start);
    label->data_end = le64_make(geometry->data_end);
}

static uint64_t area_start(const struct geometry *geometry, unsigned area) {
    ASSERT(area < 2);
    return area == 0 ? 0 : geometry->device_blocks - DISK_AREA_BLOCKS;
}

uint64_t geometry_label_address(const struct geometry *geometry, unsigned area) {
    return area_start(geometry, area) + DISK_AREA_LABEL;
}

uint64_t geometry_slot_address(const struct geometry *geometry, unsigned area, unsigned slot) {
    ASSERT(slot < DISK_RING_SLOTS);
    return area_start(geometry, area) + DISK_AREA_RING + slot;
}
