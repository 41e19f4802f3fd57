/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of a share's files.
 *
 * Invariants:
 * 1. Whoever changes blocks, or the size, holds the range of the blocks; whoever makes a file
 * longer holds from the block in which it ended; whoever truncates holds all of it.
 * 2. What a file's last block, and extents behind it, hold behind the end is never seen: reads cut
 *    it off, and whoever makes the file longer clears it first.
 */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/data/staging.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/file/prefetch.h"
#include "storage/lfsx/share/share.h"

#define ZERO_PIECE (4u << 20) /* bytes that one step of lfsx_file_zero() writes */

static struct lfsx_pool *pool_of(const struct file *f) {
    return f->dataset->pool;
}

static uint64_t size_of(struct file *f) {
    os_rwlock_lock_shared(&pool_of(f)->lock);
    uint64_t size = f->size;
    os_rwlock_unlock_shared(&pool_of(f)->lock);
    return size;
}

enum status share_read(struct node *node, struct lfsx_buffer *buffer, uint32_t *length) {
    struct file *f = &node->file;
    uint64_t size;
    POOL_COUNT(pool_of(f), reads, 1);
    POOL_COUNT(pool_of(f), read_bytes, buffer->length);
    prefetch_note(f, buffer->offset / LFSX_BLOCK_SIZE, buffer->block_count);
    enum status status = file_read_blocks(f, buffer->offset / LFSX_BLOCK_SIZE, buffer->block_count,
                                          buffer->blocks, &size);
    if (status == STATUS_OK)
        *length =
            size <= buffer->offset ? 0 : (uint32_t)MATH_MIN(size - buffer->offset, buffer->length);
    return status;
}

/* ---- single blocks ---- */

struct mapping {
    struct file *file;
    uint64_t block;
    bool is; /* result */
};

static enum status look_at_mapping(void *context, struct btree_cursor *cursor) {
    struct mapping *mapping = context;
    uint64_t address;
    uint64_t checksum;
    struct block_map map = {.count = 1, .blocks = &address, .checksums = &checksum};
    enum status status = extents_lookup(mapping->file, mapping->block, &map, cursor);
    mapping->is = address != 0;
    return status;
}

/* Clears bytes [begin, end) of a block, and what of it lies behind the file's end. Its range is
 * held. */
static enum status clear_part(struct file *f, uint64_t block, uint64_t begin, uint64_t end,
                              const struct file_growth *growth) {
    struct mapping mapping = {.file = f, .block = block};
    enum status status = pool_look(pool_of(f), look_at_mapping, &mapping);
    if (status != STATUS_OK || !mapping.is)
        return status;
    char *page = os_page_alloc(LFSX_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    void *pages[1] = {page};
    uint64_t size;
    status = file_read_blocks(f, block, 1, pages, &size);
    if (status == STATUS_OK) {
        memset(page + begin, 0, end - begin);
        status = file_write_blocks(f, block, 1, pages, growth, NULL);
    }
    os_page_free(page, LFSX_BLOCK_SIZE);
    return status;
}

/* Before the file gets longer: clears what lies behind its end (invariant 2). */
static enum status clear_behind_end(struct file *f, uint64_t size) {
    static const struct file_growth none;
    if (size % LFSX_BLOCK_SIZE == 0)
        return STATUS_OK;
    return clear_part(f, size / LFSX_BLOCK_SIZE, 0, 0, &none);
}

/* ---- writing ---- */

/* The first block to hold for a write from `offset` on (invariant 1). */
static uint64_t first_to_hold(uint64_t size, uint64_t offset) {
    return MATH_MIN(size, offset) / LFSX_BLOCK_SIZE;
}

static enum status finish_leftovers(struct share *share, struct node *node) {
    struct rangelock_hold hold;
    rangelock_acquire(&node->file.ranges, &hold, 0, DISK_FILE_BLOCKS_MAX);
    enum status status = node->leftovers ? cleanup_tail(share, node) : STATUS_OK;
    rangelock_release(&node->file.ranges, &hold);
    return status;
}

/* Holds what a write needs. The size cannot fall, nor rise to `offset` from below, while it does.
 */
static enum status hold_for_write(struct share *share, struct node *node,
                                  const struct lfsx_buffer *buffer, struct rangelock_hold *hold) {
    struct file *f = &node->file;
    uint64_t end = buffer->offset / LFSX_BLOCK_SIZE + buffer->block_count;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        uint64_t first = first_to_hold(size_of(f), buffer->offset);
        rangelock_acquire(&f->ranges, hold, first, end - first);
        uint64_t size = size_of(f);
        bool leftovers = node->leftovers && size < buffer->offset;
        if (!leftovers && first_to_hold(size, buffer->offset) >= first)
            return STATUS_OK;
        rangelock_release(&f->ranges, hold);
        if (leftovers)
            status = finish_leftovers(share, node);
    }
    return status;
}

static enum status write_held(struct file *f, struct lfsx_buffer *buffer,
                              struct staging_room *room) {
    uint64_t size = size_of(f);
    struct file_growth growth = {buffer->offset + buffer->length, os_wall_clock_ns()};
    enum status status = STATUS_OK;
    if (size < buffer->offset)
        status = clear_behind_end(f, size);
    if (status == STATUS_OK)
        status = file_complete_ends(f, buffer);
    if (status == STATUS_OK)
        status = file_write_blocks(f, buffer->offset / LFSX_BLOCK_SIZE, buffer->block_count,
                                   buffer->blocks, &growth, room);
    return status;
}

enum status share_write(struct share *share, struct node *node, struct lfsx_buffer *buffer,
                        uint32_t flags) {
    struct file *f = &node->file;
    if (!math_range_inside(buffer->offset, buffer->length, LFSX_VOLUME_SIZE_MAX))
        return STATUS_OUT_OF_RANGE;
    enum status status = pool_writable(pool_of(f));
    if (status != STATUS_OK)
        return status;
    struct staging_room room;
    staging_enter(&pool_of(f)->data, f->dataset->id, f->inode, buffer->block_count, &room);
    struct rangelock_hold hold;
    status = hold_for_write(share, node, buffer, &hold);
    if (status == STATUS_OK) {
        status = write_held(f, buffer, &room);
        rangelock_release(&f->ranges, &hold);
    }
    staging_leave(&pool_of(f)->data, &room);
    POOL_COUNT(pool_of(f), writes, 1);
    POOL_COUNT(pool_of(f), written_bytes, status == STATUS_OK ? buffer->length : 0);
    return file_finish_write(f, status, flags);
}

/* ---- truncating ---- */

struct resizing {
    struct file *file;
    uint64_t size;
    bool leaves; /* extents stay behind the end for a while */
};

static enum status look_behind(void *context, struct btree_cursor *cursor) {
    struct resizing *resizing = context;
    uint64_t begin;
    uint64_t end;
    uint64_t first = math_divide_up(resizing->size, LFSX_BLOCK_SIZE);
    enum status status = extents_next(resizing->file, first, 1, &begin, &end, cursor);
    resizing->leaves = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status resize_body(struct change_run *run, void *context) {
    const struct resizing *resizing = context;
    uint64_t inode = resizing->file->inode;
    run->attachment.file = resizing->file;
    run->attachment.frees = resizing->leaves;
    change_times(run, inode, RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED);
    records_touch(&run->attachment, inode, RECORDS_SET_SIZE)->size = resizing->size;
    if (!resizing->leaves)
        return STATUS_OK;
    struct key order = {.inode = DISK_CLEANUP_INODE, .type = DISK_TYPE_CLEANUP, .offset = inode};
    struct mvcc_key key = records_key(&order);
    return mvcc_write(run->transaction, &key, "", 0);
}

/* All of the file is held. */
static enum status resize(struct share *share, struct node *node, uint64_t size) {
    struct resizing resizing = {.file = &node->file, .size = size};
    uint64_t old = size_of(&node->file);
    enum status status = STATUS_OK;
    if (size > old && node->leftovers)
        status = cleanup_tail(share, node);
    if (status == STATUS_OK && size > old)
        status = clear_behind_end(&node->file, old);
    if (status == STATUS_OK)
        status = pool_look(pool_of(&node->file), look_behind, &resizing);
    if (status == STATUS_OK)
        status = share_run(share, resize_body, &resizing);
    if (status == STATUS_OK && resizing.leaves) {
        node->leftovers = true;
        (void)cleanup_tail(share, node); /* or whoever makes the file longer does it */
    }
    return status;
}

enum status share_truncate(struct share *share, struct node *node, uint64_t size, uint32_t flags) {
    struct file *f = &node->file;
    if (size > LFSX_VOLUME_SIZE_MAX)
        return STATUS_OUT_OF_RANGE;
    enum status status = pool_writable(pool_of(f));
    if (status != STATUS_OK)
        return status;
    struct rangelock_hold hold;
    rangelock_acquire(&f->ranges, &hold, 0, DISK_FILE_BLOCKS_MAX);
    status = resize(share, node, size);
    rangelock_release(&f->ranges, &hold);
    return file_finish_write(f, status, flags);
}

/* ---- zeroing ---- */

static enum status write_zeros(struct file *f, uint64_t offset, uint64_t end, uint64_t now_ns) {
    enum status status = STATUS_OK;
    while (offset < end && status == STATUS_OK) {
        struct lfsx_buffer *buffer;
        uint32_t piece = (uint32_t)MATH_MIN(end - offset, ZERO_PIECE);
        struct file_growth growth = {0, now_ns};
        status = lfsx_buffer_alloc(offset, piece, &buffer);
        if (status != STATUS_OK)
            return status;
        for (uint32_t i = 0; i < buffer->span_count; i++)
            memset(buffer->spans[i].base, 0, buffer->spans[i].length);
        status = file_complete_ends(f, buffer);
        if (status == STATUS_OK)
            status = file_write_blocks(f, offset / LFSX_BLOCK_SIZE, buffer->block_count,
                                       buffer->blocks, &growth, NULL);
        lfsx_buffer_free(buffer);
        offset += piece;
    }
    return status;
}

/* Makes a hole of the whole blocks in [offset, end), and clears the rest. A block that ends behind
 * the file's end counts as whole. */
static enum status make_hole(struct file *f, uint64_t offset, uint64_t end, uint64_t size,
                             uint64_t now_ns) {
    struct file_growth growth = {0, now_ns};
    uint64_t first = math_divide_up(offset, LFSX_BLOCK_SIZE);
    uint64_t behind = end == size ? math_divide_up(end, LFSX_BLOCK_SIZE) : end / LFSX_BLOCK_SIZE;
    enum status status = STATUS_OK;
    if (behind < first) /* all inside of one block */
        return clear_part(f, behind, offset % LFSX_BLOCK_SIZE, end % LFSX_BLOCK_SIZE, &growth);
    if (offset % LFSX_BLOCK_SIZE != 0)
        status = clear_part(f, first - 1, offset % LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE, &growth);
    if (status == STATUS_OK && behind > first)
        status = file_punch(f, first, behind - first, now_ns);
    if (status == STATUS_OK && behind * LFSX_BLOCK_SIZE < end)
        status = clear_part(f, behind, 0, end % LFSX_BLOCK_SIZE, &growth);
    return status;
}

enum status share_zero(struct node *node, uint64_t offset, uint64_t length, uint32_t flags) {
    struct file *f = &node->file;
    enum status status = pool_writable(pool_of(f));
    if (status != STATUS_OK || length == 0 || offset >= LFSX_VOLUME_SIZE_MAX)
        return status;
    uint64_t end = offset + MATH_MIN(length, LFSX_VOLUME_SIZE_MAX - offset);
    uint64_t first = offset / LFSX_BLOCK_SIZE;
    struct rangelock_hold hold;
    rangelock_acquire(&f->ranges, &hold, first, math_divide_up(end, LFSX_BLOCK_SIZE) - first);
    uint64_t size = size_of(f);
    uint64_t now_ns = os_wall_clock_ns();
    end = MATH_MIN(end, size);
    if (offset < end && (flags & LFSX_NO_HOLE))
        status = write_zeros(f, offset, end, now_ns);
    else if (offset < end)
        status = make_hole(f, offset, end, size, now_ns);
    rangelock_release(&f->ranges, &hold);
    POOL_COUNT(pool_of(f), trims, 1);
    return file_finish_write(f, status, flags);
}
