/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A regular file of a dataset, as bytes and blocks: what a volume is, and what a share holds many
 * of. file.c moves data, extents.c keeps which block of it lies where.
 */
#ifndef STORAGE_LFSX_FILE_FILE_H
#define STORAGE_LFSX_FILE_FILE_H

#include "base/status.h"
#include "storage/lfsx/data/data.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/tree/btree.h"

#include <stdbool.h>
#include <stdint.h>

struct staging_room;
struct update_need;

void file_init(struct file *file, struct dataset *dataset, struct btree *tree, uint64_t inode);
/* Nobody uses the file any more; its tree is still there, or nobody has read it since
 * prefetch_end(). */
void file_destroy(struct file *file);

/* ---- file.c: as lfsx.h says of a volume's; no lock held ---- */

enum status file_read(struct file *file, struct lfsx_buffer *buffer);
enum status file_write(struct file *file, struct lfsx_buffer *buffer, uint32_t flags);
enum status file_trim(struct file *file, uint64_t offset, uint64_t length, uint32_t flags);
enum status file_zero(struct file *file, uint64_t offset, uint64_t length, uint32_t flags);

/* ---- file.c, for share/data.c and recover.c; no lock held but that of the range ---- */

/* What a change does to the inode of a share's file; of a volume: zeros. */
struct file_growth {
    uint64_t end;    /* it is at least this long afterwards: bytes */
    uint64_t now_ns; /* its times; 0: they stay */
};

/* Reads blocks [first, first + count) into pages; what is in a hole or behind the end reads as
 * zeros. *size is the file's at that moment. */
enum status file_read_blocks(struct file *file, uint64_t first, uint64_t count, void *const *pages,
                             uint64_t *size);
/* Completes the buffer's first and last block from what is there. */
enum status file_complete_ends(struct file *file, struct lfsx_buffer *buffer);
/* Puts whole blocks into new space and makes them the file's; staged, if there is room (staging.h),
 * else on the device on return. `room` may be NULL. */
enum status file_write_blocks(struct file *file, uint64_t first, uint64_t count, void *const *pages,
                              const struct file_growth *growth, struct staging_room *room);
/* What is left to do of a write: to make it durable, or not to let too much gather. */
enum status file_finish_write(struct file *file, enum status status, uint32_t flags);
/* Makes the blocks that the map names, which are in flight, the file's from `first` on. */
enum status file_replace(struct file *file, uint64_t first, const struct block_map *map,
                         const struct file_growth *growth);
/* Makes a hole of [first, first + count), in steps that each are an update. SHUTDOWN: file->stop
 * says so; the next open goes on. */
enum status file_punch(struct file *file, uint64_t first, uint64_t count, uint64_t now_ns);

/* ---- extents.c ---- */

/* Looks up [first, first + map->count). Lock shared or exclusive. AGAIN. */
enum status extents_lookup(struct file *file, uint64_t first, struct block_map *map,
                           struct btree_cursor *cursor);
/* What replacing [first, first + count) with `pieces` extents needs. Lock exclusive. AGAIN. */
enum status extents_prefetch(struct file *file, uint64_t first, uint64_t count, uint64_t pieces,
                             struct btree_cursor *cursor, struct update_need *need);
/* The first extent that ends behind `first`, and up to `limit` of its successors, cover [*begin,
 * *end) with or without holes. NOT_FOUND, AGAIN. Lock shared or exclusive. */
enum status extents_next(struct file *file, uint64_t first, uint64_t limit, uint64_t *begin,
                         uint64_t *end, struct btree_cursor *cursor);
/* Number of extents that the map becomes. */
uint64_t extents_count(const struct block_map *map);
/* Removes what is in the range and releases its blocks. In an update. */
void extents_punch(struct file *file, uint64_t first, uint64_t count);
/* Adds the mapped blocks, which were in flight, to a hole. In an update. */
void extents_add(struct file *file, uint64_t first, const struct block_map *map);

#endif
