/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one read and one write.
 *
 * Write: the range is locked against other writes; blocks that are covered in part are completed
 * from what is there; new space is taken, checksummed and staged (staging.h) or written; then, in
 * one update, the extents of the range are replaced. Nothing that a checkpoint names is ever
 * overwritten, and a crash sees all of the update or nothing.
 *
 * Read: the extents are looked up; the blocks are copied from the data cache, or read without any
 * lock and their checksums compared. Meanwhile they may have been replaced, freed and reused, which
 * a second look-up tells from damage.
 */
#include "storage/lfsx/file/file.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/data/staging.h"
#include "storage/lfsx/file/inode.h"
#include "storage/lfsx/file/prefetch.h"
#include "storage/lfsx/file/space.h"
#include "storage/lfsx/pool/pool.h"

#define PUNCH_EXTENTS 256u /* per update, so that nobody waits long for the lock */

static struct lfsx_pool *pool_of(const struct file *file) {
    return file->dataset->pool;
}

void file_init(struct file *file, struct dataset *dataset, struct btree *tree, uint64_t inode) {
    *file =
        (struct file){.dataset = dataset, .tree = tree, .inode = inode, .closed_from = UINT64_MAX};
    rangelock_init(&file->ranges);
    readahead_init(&file->readahead);
}

void file_destroy(struct file *file) {
    if (file->dataset != NULL) /* a snapshot that was not taken has none */
        prefetch_end(file);
    readahead_destroy(&file->readahead);
    rangelock_destroy(&file->ranges);
}

static enum status file_writable(const struct file *f) {
    return f->read_only ? STATUS_READ_ONLY : pool_writable(pool_of(f));
}

struct lookup {
    struct file *file;
    uint64_t first;
    struct block_map *map;
    uint64_t size; /* the file's, at the same moment */
};

static enum status look_up(void *context, struct btree_cursor *cursor) {
    struct lookup *lookup = context;
    lookup->size = lookup->file->size;
    return extents_lookup(lookup->file, lookup->first, lookup->map, cursor);
}

static void report_bad_block(struct file *f, uint64_t first, const struct block_map *map,
                             uint64_t bad) {
    POOL_COUNT(pool_of(f), checksum_errors, 1);
    log_error("lfsx",
              "%s: volume %s, bytes %llu to %llu (device block %llu) do not match their checksum: "
              "the device returned other data than was written",
              pool_of(f)->device->name, f->dataset->name,
              (unsigned long long)((first + bad) * LFSX_BLOCK_SIZE),
              (unsigned long long)((first + bad + 1) * LFSX_BLOCK_SIZE - 1),
              (unsigned long long)map->blocks[bad]);
}

static bool same_map(const struct block_map *a, const struct block_map *b) {
    size_t bytes = a->count * sizeof *a->blocks;
    if (memcmp(a->blocks, b->blocks, bytes) != 0)
        return false;
    for (uint64_t i = 0; i < a->count; i++)
        if (a->blocks[i] != 0 && a->checksums[i] != b->checksums[i])
            return false;
    return true;
}

/* Clears what is in a hole or behind the file's end. */
static void clear_nothing(const struct lookup *lookup, const struct block_map *map,
                          void *const *pages) {
    for (uint64_t i = 0; i < map->count; i++) {
        uint64_t offset = (lookup->first + i) * LFSX_BLOCK_SIZE;
        uint64_t keep = map->blocks[i] == 0 || lookup->size <= offset ? 0 : lookup->size - offset;
        if (keep < LFSX_BLOCK_SIZE)
            memset((char *)pages[i] + keep, 0, LFSX_BLOCK_SIZE - keep);
    }
}

enum status file_read_blocks(struct file *f, uint64_t first, uint64_t count, void *const *pages,
                             uint64_t *size) {
    struct block_map maps[2];
    enum status status = block_map_alloc(&maps[0], count);
    if (status != STATUS_OK)
        return status;
    status = block_map_alloc(&maps[1], count);
    unsigned now = 0;
    struct lookup lookup = {f, first, &maps[now], 0};
    if (status == STATUS_OK)
        status = pool_look(pool_of(f), look_up, &lookup);
    while (status == STATUS_OK) {
        uint64_t bad;
        enum status read = data_read(&pool_of(f)->data, &maps[now], pages, &bad);
        if (read == STATUS_OK)
            break;
        lookup.map = &maps[now ^ 1];
        status = pool_look(pool_of(f), look_up, &lookup);
        if (status == STATUS_OK && same_map(&maps[0], &maps[1])) {
            if (bad < count)
                report_bad_block(f, first, &maps[now], bad);
            status = read;
        }
        now ^= 1;
    }
    if (status == STATUS_OK)
        clear_nothing(&lookup, &maps[now], pages);
    *size = lookup.size;
    block_map_free(&maps[0]);
    block_map_free(&maps[1]);
    return status;
}

enum status file_read(struct file *f, struct lfsx_buffer *buffer) {
    if (!math_range_inside(buffer->offset, buffer->length, file_end(f)))
        return STATUS_OUT_OF_RANGE;
    POOL_COUNT(pool_of(f), reads, 1);
    POOL_COUNT(pool_of(f), read_bytes, buffer->length);
    uint64_t first = buffer->offset / LFSX_BLOCK_SIZE;
    uint64_t size;
    prefetch_note(f, first, buffer->block_count);
    return file_read_blocks(f, first, buffer->block_count, buffer->blocks, &size);
}

/* Completes a block that the payload covers in [begin, end) only, from what the volume has. */
static enum status complete_block(struct file *f, uint64_t block, char *page, uint32_t begin,
                                  uint32_t end) {
    if (begin == 0 && end == LFSX_BLOCK_SIZE)
        return STATUS_OK;
    char *old = os_page_alloc(LFSX_BLOCK_SIZE);
    if (old == NULL)
        return STATUS_NO_MEMORY;
    void *pages[1] = {old};
    uint64_t size;
    enum status status = file_read_blocks(f, block, 1, pages, &size);
    if (status == STATUS_OK) {
        memcpy(page, old, begin);
        memcpy(page + end, old + end, LFSX_BLOCK_SIZE - end);
    }
    os_page_free(old, LFSX_BLOCK_SIZE);
    return status;
}

enum status file_complete_ends(struct file *f, struct lfsx_buffer *buffer) {
    uint64_t first = buffer->offset / LFSX_BLOCK_SIZE;
    uint32_t begin = (uint32_t)(buffer->offset % LFSX_BLOCK_SIZE);
    uint64_t last = buffer->block_count - 1;
    uint32_t end = (uint32_t)(begin + buffer->length - last * LFSX_BLOCK_SIZE);
    if (last == 0)
        return complete_block(f, first, buffer->blocks[0], begin, end);
    enum status status = complete_block(f, first, buffer->blocks[0], begin, LFSX_BLOCK_SIZE);
    if (status == STATUS_OK)
        status = complete_block(f, first + last, buffer->blocks[last], 0, end);
    return status;
}

struct replacement {
    struct file *file;
    uint64_t first;
    const struct block_map *map;
    struct file_growth growth;
    const struct space_claim *claim; /* NULL: none was needed */
};

/* The map's words are little-endian already, this being x86-64. */
static void journal_write(const struct replacement *r) {
    struct journal *journal = pool_of(r->file)->journal;
    if (journal == NULL)
        return;
    struct disk_record_write record = {.dataset = le64_make(r->file->dataset->id),
                                       .inode = le64_make(r->file->inode),
                                       .first = le64_make(r->first),
                                       .count = le32_make((uint32_t)r->map->count),
                                       .modified_ns = le64_make(r->growth.now_ns)};
    if (r->file->in_share)
        record.size = le64_make(r->file->size);
    size_t bytes = r->map->count * sizeof(le64);
    struct span spans[] = {
        {&record, sizeof record}, {r->map->blocks, bytes}, {r->map->checksums, bytes}};
    (void)journal_add(journal, DISK_RECORD_WRITE, spans, ARRAY_LENGTH(spans));
}

/* The moment at which a write happens: the new extents take the place of the old. */
static enum status replace_step(void *context, struct btree_cursor *cursor) {
    struct replacement *r = context;
    struct file *f = r->file;
    struct update_need need = {0};
    enum status status =
        extents_prefetch(f, r->first, r->map->count, extents_count(r->map), cursor, &need);
    need.record = sizeof(struct disk_record_write) + 2 * r->map->count * sizeof(le64);
    if (status == STATUS_OK && f->in_share)
        status = inode_prefetch(f, cursor, &need);
    need.entitled = r->claim != NULL && r->claim->entitled;
    if (status == STATUS_OK)
        status = pool_update_begin(pool_of(f), &need);
    if (status != STATUS_OK)
        return status;
    uint64_t blocks = f->dataset->data_blocks;
    extents_punch(f, r->first, r->map->count);
    extents_add(f, r->first, r->map);
    space_settle(f->dataset, r->claim);
    if (f->in_share)
        inode_content_changed(f, f->dataset->data_blocks - blocks, r->growth.end, r->growth.now_ns);
    journal_write(r);
    pool_update_end(pool_of(f));
    return STATUS_OK;
}

static enum status replace(struct file *f, uint64_t first, const struct block_map *map,
                           const struct file_growth *growth, const struct space_claim *claim) {
    struct replacement replacement = {f, first, map, *growth, claim};
    return pool_change(pool_of(f), replace_step, &replacement);
}

enum status file_replace(struct file *f, uint64_t first, const struct block_map *map,
                         const struct file_growth *growth) {
    return replace(f, first, map, growth, NULL);
}

enum status file_write_blocks(struct file *f, uint64_t first, uint64_t count, void *const *pages,
                              const struct file_growth *growth, struct staging_room *room) {
    struct block_map map;
    enum status status = block_map_alloc(&map, count);
    if (status != STATUS_OK)
        return status;
    struct space_claim claim;
    status = space_take(f, first, &map, &claim);
    if (status != STATUS_OK) {
        block_map_free(&map);
        return status;
    }
    for (uint64_t i = 0; i < count; i++)
        map.checksums[i] = checksum_xxh64(pages[i], LFSX_BLOCK_SIZE, 0);
    status = staging_write(&pool_of(f)->data, &map, pages, room);
    if (status == STATUS_OK) {
        status = replace(f, first, &map, growth, &claim);
        if (status != STATUS_OK)
            staging_cancel(&pool_of(f)->data, &map);
    }
    if (status != STATUS_OK)
        space_cancel(f, &map, &claim);
    block_map_free(&map);
    return status;
}

enum status file_finish_write(struct file *f, enum status status, uint32_t flags) {
    if (status != STATUS_OK)
        return status;
    if (flags & LFSX_FUA)
        return pool_commit(pool_of(f));
    pool_throttle(pool_of(f));
    return STATUS_OK;
}

static const struct file_growth no_growth;

enum status file_write(struct file *f, struct lfsx_buffer *buffer, uint32_t flags) {
    if (!math_range_inside(buffer->offset, buffer->length, file_end(f)))
        return STATUS_OUT_OF_RANGE;
    enum status status = file_writable(f);
    if (status != STATUS_OK)
        return status;
    uint64_t first = buffer->offset / LFSX_BLOCK_SIZE;
    struct staging_room room;
    staging_enter(&pool_of(f)->data, f->dataset->id, f->inode, buffer->block_count, &room);
    struct rangelock_hold hold;
    rangelock_acquire(&f->ranges, &hold, first, buffer->block_count);
    status = file_complete_ends(f, buffer);
    if (status == STATUS_OK)
        status =
            file_write_blocks(f, first, buffer->block_count, buffer->blocks, &no_growth, &room);
    rangelock_release(&f->ranges, &hold);
    staging_leave(&pool_of(f)->data, &room);
    POOL_COUNT(pool_of(f), writes, 1);
    POOL_COUNT(pool_of(f), written_bytes, status == STATUS_OK ? buffer->length : 0);
    return file_finish_write(f, status, flags);
}

struct punch {
    struct file *file;
    uint64_t at, end; /* blocks */
    uint64_t now_ns;  /* 0: the file's times stay */
    uint64_t limit;   /* extents of one update */
};

static void journal_punch(struct file *f, uint64_t first, uint64_t count, uint64_t now_ns) {
    if (pool_of(f)->journal == NULL)
        return;
    struct disk_record_punch record = {.dataset = le64_make(f->dataset->id),
                                       .inode = le64_make(f->inode),
                                       .first = le64_make(first),
                                       .count = le64_make(count),
                                       .modified_ns = le64_make(now_ns)};
    struct span span = {&record, sizeof record};
    (void)journal_add(pool_of(f)->journal, DISK_RECORD_PUNCH, &span, 1);
}

/* Frees some extents at `at` and moves it behind them. */
static enum status punch_step(void *context, struct btree_cursor *cursor) {
    struct punch *p = context;
    struct file *f = p->file;
    uint64_t begin;
    uint64_t end;
    enum status status = extents_next(f, p->at, p->limit, &begin, &end, cursor);
    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && begin >= p->end)) {
        p->at = p->end;
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return status;
    end = MATH_MIN(end, p->end);
    struct update_need need = {.frees = true};
    status = extents_prefetch(f, begin, end - begin, 0, cursor, &need);
    need.frees = true;
    need.held = f->tree->kept > 0;
    need.record = sizeof(struct disk_record_punch);
    if (status == STATUS_OK && f->in_share)
        status = inode_prefetch(f, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool_of(f), &need);
    if (status != STATUS_OK)
        return status;
    uint64_t blocks = f->dataset->data_blocks;
    extents_punch(f, begin, end - begin);
    space_settle(f->dataset, NULL);
    if (f->in_share)
        inode_content_changed(f, f->dataset->data_blocks - blocks, 0, p->now_ns);
    journal_punch(f, begin, end - begin, p->now_ns);
    pool_update_end(pool_of(f));
    p->at = end;
    return STATUS_OK;
}

/* Where the reserve is scarce, less at a time needs less of it. */
static enum status punch_some(struct punch *punch) {
    struct lfsx_pool *pool = pool_of(punch->file);
    enum status status = pool_change(pool, punch_step, punch);
    while (status == STATUS_NO_SPACE && punch->limit > 1) {
        punch->limit = MATH_MAX(punch->limit / 4, 1u);
        status = pool_change(pool, punch_step, punch);
    }
    return status;
}

enum status file_punch(struct file *f, uint64_t first, uint64_t count, uint64_t now_ns) {
    struct punch punch = {f, first, first + count, now_ns, PUNCH_EXTENTS};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && punch.at < punch.end) {
        if (f->stop != NULL && __atomic_load_n(f->stop, __ATOMIC_RELAXED))
            return STATUS_SHUTDOWN;
        status = punch_some(&punch);
        if (status == STATUS_OK)
            pool_throttle(pool_of(f));
    }
    return status;
}

static enum status punch_range(struct file *f, uint64_t first, uint64_t count) {
    if (count == 0)
        return STATUS_OK;
    struct rangelock_hold hold;
    rangelock_acquire(&f->ranges, &hold, first, count);
    enum status status = file_punch(f, first, count, 0);
    rangelock_release(&f->ranges, &hold);
    return status;
}

/* The whole blocks inside of a range of bytes; none if *count is 0. The volume's last block counts
 * as whole if the range goes to its end. */
static void whole_blocks(const struct file *f, uint64_t offset, uint64_t length, uint64_t *first,
                         uint64_t *count) {
    uint64_t end = offset + length;
    *first = math_divide_up(offset, LFSX_BLOCK_SIZE);
    uint64_t last =
        end == file_end(f) ? math_divide_up(end, LFSX_BLOCK_SIZE) : end / LFSX_BLOCK_SIZE;
    *count = last > *first ? last - *first : 0;
}

enum status file_trim(struct file *f, uint64_t offset, uint64_t length, uint32_t flags) {
    if (!math_range_inside(offset, length, file_end(f)))
        return STATUS_OUT_OF_RANGE;
    enum status status = file_writable(f);
    if (status != STATUS_OK)
        return status;
    uint64_t first;
    uint64_t count;
    whole_blocks(f, offset, length, &first, &count);
    POOL_COUNT(pool_of(f), trims, 1);
    return file_finish_write(f, punch_range(f, first, count), flags);
}

/* Writes zeros, at most LFSX_MAX_IO of them at a time. */
static enum status write_zeros(struct file *f, uint64_t offset, uint64_t length) {
    enum status status = STATUS_OK;
    while (length > 0 && status == STATUS_OK) {
        uint32_t piece = (uint32_t)MATH_MIN(length, LFSX_MAX_IO / 8);
        struct lfsx_buffer *buffer;
        status = lfsx_buffer_alloc(offset, piece, &buffer);
        if (status != STATUS_OK)
            return status;
        for (uint32_t i = 0; i < buffer->span_count; i++)
            memset(buffer->spans[i].base, 0, buffer->spans[i].length);
        status = file_write(f, buffer, 0);
        lfsx_buffer_free(buffer);
        offset += piece;
        length -= piece;
    }
    return status;
}

/* Zeroes what of the range is not whole blocks, then makes a hole of those. */
static enum status zero_with_hole(struct file *f, uint64_t offset, uint64_t length) {
    uint64_t first;
    uint64_t count;
    whole_blocks(f, offset, length, &first, &count);
    if (count == 0)
        return write_zeros(f, offset, length);
    uint64_t hole = first * LFSX_BLOCK_SIZE;
    uint64_t hole_end = (first + count) * LFSX_BLOCK_SIZE;
    uint64_t end = offset + length;
    enum status status = write_zeros(f, offset, hole - offset);
    if (status == STATUS_OK && hole_end < end)
        status = write_zeros(f, hole_end, end - hole_end);
    return status == STATUS_OK ? punch_range(f, first, count) : status;
}

enum status file_zero(struct file *f, uint64_t offset, uint64_t length, uint32_t flags) {
    if (!math_range_inside(offset, length, file_end(f)))
        return STATUS_OUT_OF_RANGE;
    enum status status = file_writable(f);
    if (status != STATUS_OK)
        return status;
    if (flags & LFSX_NO_HOLE)
        status = write_zeros(f, offset, length);
    else
        status = zero_with_hole(f, offset, length);
    return file_finish_write(f, status, flags);
}
