/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which block of a file lies where.
 *
 * Invariants:
 * 1. Extents of a file do not overlap; what none covers is a hole and reads as zeros.
 * 2. dataset->data_blocks is the sum of their lengths over all files.
 * 3. Every block that an extent names is `used` in the allocator, and no other extent names it.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

/* An extent taken out of its node. */
struct extent {
    uint64_t first; /* block in the file */
    uint64_t count;
    union {
        struct disk_extent disk;
        unsigned char bytes[sizeof(struct disk_extent) + DISK_EXTENT_MAX * sizeof(le64)];
    };
};

static struct key extent_key(const struct file *file, uint64_t first) {
    return (struct key){.inode = file->inode, .type = DISK_TYPE_EXTENT, .offset = first};
}

static void extent_load(const struct item *item, struct extent *extent) {
    ASSERT(item->length <= sizeof extent->bytes);
    memcpy(extent->bytes, item->value, item->length);
    extent->first = item->key.offset;
    extent->count = le32_get(extent->disk.block_count);
    ASSERT(extent->count >= 1);
    ASSERT(extent->count <= DISK_EXTENT_MAX);
}

static uint16_t extent_size(uint64_t count) {
    return (uint16_t)(sizeof(struct disk_extent) + count * sizeof(le64));
}

static bool is_extent(const struct file *file, const struct item *item) {
    return item->key.inode == file->inode && item->key.type == DISK_TYPE_EXTENT;
}

/* Puts the cursor on the first extent that ends behind `first`. NOT_FOUND, AGAIN. */
static enum status seek_extent(struct file *file, uint64_t first, struct btree_cursor *cursor,
                               struct extent *extent) {
    struct key key = extent_key(file, first);
    enum status status = btree_seek_floor(file->tree, &key, cursor);
    if (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        if (is_extent(file, &item)) {
            extent_load(&item, extent);
            if (extent->first + extent->count > first)
                return STATUS_OK;
        }
        status = btree_next(cursor);
    } else if (status == STATUS_NOT_FOUND) {
        status = btree_seek(file->tree, &key, cursor);
    }
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    if (!is_extent(file, &item))
        return STATUS_NOT_FOUND;
    extent_load(&item, extent);
    return STATUS_OK;
}

static enum status next_extent(const struct file *file, struct btree_cursor *cursor,
                               struct extent *extent) {
    enum status status = btree_next(cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    if (!is_extent(file, &item))
        return STATUS_NOT_FOUND;
    extent_load(&item, extent);
    return STATUS_OK;
}

static void map_extent(const struct extent *extent, uint64_t first, struct block_map *map) {
    uint64_t begin = MATH_MAX(extent->first, first);
    uint64_t end = MATH_MIN(extent->first + extent->count, first + map->count);
    for (uint64_t block = begin; block < end; block++) {
        map->blocks[block - first] = le64_get(extent->disk.block) + (block - extent->first);
        map->checksums[block - first] = le64_get(extent->disk.checksums[block - extent->first]);
    }
}

enum status extents_lookup(struct file *file, uint64_t first, struct block_map *map,
                           struct btree_cursor *cursor) {
    struct extent extent;
    memset(map->blocks, 0, map->count * sizeof *map->blocks);
    enum status status = seek_extent(file, first, cursor, &extent);
    while (status == STATUS_OK && extent.first < first + map->count) {
        map_extent(&extent, first, map);
        status = next_extent(file, cursor, &extent);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status extents_next(struct file *file, uint64_t first, uint64_t limit, uint64_t *begin,
                         uint64_t *end, struct btree_cursor *cursor) {
    struct extent extent;
    enum status status = seek_extent(file, first, cursor, &extent);
    if (status != STATUS_OK)
        return status;
    *begin = MATH_MAX(extent.first, first);
    *end = extent.first + extent.count;
    for (uint64_t found = 1; found < limit; found++) {
        status = next_extent(file, cursor, &extent);
        if (status == STATUS_AGAIN)
            return status;
        if (status != STATUS_OK)
            break;
        *end = extent.first + extent.count;
    }
    return STATUS_OK;
}

enum status extents_prefetch(struct file *file, uint64_t first, uint64_t count, uint64_t pieces,
                             struct btree_cursor *cursor, struct update_need *need) {
    struct key low = extent_key(file, first);
    struct key high = extent_key(file, first + count);
    uint64_t leaves;
    enum status status = btree_prefetch(file->tree, &low, &high, cursor, &leaves);
    if (status != STATUS_OK)
        return status;
    /* Two more items: what is left of an extent on each side of the range. */
    need->nodes = btree_nodes_needed(file->tree, leaves, pieces + 2);
    need->releases =
        MATH_MIN(count, leaves * (DISK_NODE_PAYLOAD / node_item_size(extent_size(1)))) + 2;
    return STATUS_OK;
}

static bool continues(const struct block_map *map, uint64_t start, uint64_t i) {
    return i < map->count && i - start < DISK_EXTENT_MAX && map->blocks[i] != 0 &&
           map->blocks[i] == map->blocks[start] + (i - start);
}

uint64_t extents_count(const struct block_map *map) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < map->count; count++) {
        uint64_t start = i++;
        while (continues(map, start, i))
            i++;
    }
    return count;
}

/* Inserts the part [begin, end) of an extent as an item of its own. */
static void insert_part(struct file *file, const struct extent *extent, uint64_t begin,
                        uint64_t end, bool replace) {
    struct extent part = {.first = begin, .count = end - begin};
    uint64_t skip = begin - extent->first;
    part.disk = extent->disk;
    part.disk.block = le64_make(le64_get(extent->disk.block) + skip);
    part.disk.block_count = le32_make((uint32_t)part.count);
    part.disk.stored_blocks = part.disk.block_count;
    memcpy(part.disk.checksums, &extent->disk.checksums[skip], part.count * sizeof(le64));
    struct key key = extent_key(file, begin);
    if (replace)
        btree_replace(file->tree, &key, part.bytes, extent_size(part.count));
    else
        btree_insert(file->tree, &key, part.bytes, extent_size(part.count));
}

/* Takes [begin, end) out of an extent that contains it. */
static void punch_extent(struct file *file, const struct extent *extent, uint64_t begin,
                         uint64_t end) {
    uint64_t extent_end = extent->first + extent->count;
    ASSERT(extent->first <= begin);
    ASSERT(begin < end);
    ASSERT(end <= extent_end);
    uint64_t block = le64_get(extent->disk.block) + (begin - extent->first);
    (void)dead_release(file->tree, block, end - begin, le64_get(extent->disk.birth));
    if (file->dataset->data_blocks < end - begin)
        pool_contradiction(file->dataset->pool);
    file->dataset->data_blocks -= MATH_MIN(file->dataset->data_blocks, end - begin);
    if (extent->first < begin) {
        insert_part(file, extent, extent->first, begin, true);
    } else {
        struct key key = extent_key(file, extent->first);
        btree_remove(file->tree, &key);
    }
    if (end < extent_end)
        insert_part(file, extent, end, extent_end, false);
}

void extents_punch(struct file *file, uint64_t first, uint64_t count) {
    ASSERT(file->dataset->pool->forest.updating);
    uint64_t end = first + count;
    for (uint64_t at = first; at < end;) {
        struct btree_cursor cursor;
        struct extent extent;
        enum status status = seek_extent(file, at, &cursor, &extent);
        if (status == STATUS_NOT_FOUND)
            return;
        ASSERT(status == STATUS_OK); /* prefetched */
        if (extent.first >= end)
            return;
        uint64_t stop = MATH_MIN(extent.first + extent.count, end);
        punch_extent(file, &extent, MATH_MAX(extent.first, at), stop);
        at = stop;
    }
}

/* Appends the run to the extent that ends where it begins, in the file and on the device. */
static bool merge_left(struct file *file, const struct extent *run) {
    struct btree_cursor cursor;
    struct key key = extent_key(file, run->first);
    if (btree_seek_floor(file->tree, &key, &cursor) != STATUS_OK)
        return false;
    struct item item = btree_item(&cursor);
    if (!is_extent(file, &item))
        return false;
    struct extent left;
    extent_load(&item, &left);
    if (left.first + left.count != run->first || left.count + run->count > DISK_EXTENT_MAX ||
        le64_get(left.disk.block) + left.count != le64_get(run->disk.block) ||
        le64_get(left.disk.birth) != le64_get(run->disk.birth))
        return false;
    memcpy(&left.disk.checksums[left.count], run->disk.checksums, run->count * sizeof(le64));
    left.count += run->count;
    left.disk.block_count = le32_make((uint32_t)left.count);
    left.disk.stored_blocks = left.disk.block_count;
    btree_replace(file->tree, &item.key, left.bytes, extent_size(left.count));
    return true;
}

void extents_add(struct file *file, uint64_t first, const struct block_map *map) {
    ASSERT(file->dataset->pool->forest.updating);
    for (uint64_t i = 0; i < map->count;) {
        uint64_t start = i++;
        while (continues(map, start, i))
            i++;
        struct extent run = {.first = first + start, .count = i - start};
        run.disk = (struct disk_extent){.block = le64_make(map->blocks[start]),
                                        .birth = le64_make(file->dataset->pool->forest.epoch),
                                        .block_count = le32_make((uint32_t)run.count),
                                        .stored_blocks = le32_make((uint32_t)run.count)};
        for (uint64_t j = 0; j < run.count; j++)
            run.disk.checksums[j] = le64_make(map->checksums[start + j]);
        alloc_data_commit(&file->dataset->pool->allocator, map->blocks[start], run.count);
        file->dataset->data_blocks += run.count;
        if (merge_left(file, &run))
            continue;
        struct key key = extent_key(file, run.first);
        btree_insert(file->tree, &key, run.bytes, extent_size(run.count));
    }
}
