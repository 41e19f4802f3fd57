/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: what the journal says happened after the checkpoint happens again, in memory.
 *
 * Invariants:
 * 1. Nothing is written, so that a power cut during recovery changes nothing.
 * 2. Every block that the journal names for data is put in flight before the first record is
 * replayed: the nodes that replaying makes cannot take one of them.
 * 3. A record's blocks are free in the checkpoint's maps and named by no other record: what a
 *    generation frees is not given out before a later checkpoint.
 */
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/pool.h"

/* A write record that was found to make sense. */
struct write_record {
    struct file *file;
    uint64_t first;
    struct block_map map; /* points into the record */
};

struct journal_area pool_journal_area(const struct lfsx_pool *pool) {
    struct journal_area area = {.device = pool->device,
                                .start = pool->label.geometry.journal_start,
                                .blocks = pool->label.geometry.journal_blocks};
    memcpy(area.pool_uuid, pool->label.pool_uuid, sizeof area.pool_uuid);
    return area;
}

static struct file *find_file(struct lfsx_pool *pool, le64 dataset_id, le64 inode) {
    struct dataset *dataset = dataset_find_id(pool, le64_get(dataset_id));
    if (dataset == NULL || le64_get(inode) != dataset->file.inode)
        return NULL;
    return &dataset->file;
}

static bool range_is_inside(const struct file *f, uint64_t first, uint64_t count) {
    return count > 0 && math_range_inside(first, count, math_divide_up(f->size, LFSX_BLOCK_SIZE));
}

/* The one validator of write records. The words are native: x86-64 is little-endian, and the
 * journal aligns its records to eight bytes. */
static enum status parse_write(struct lfsx_pool *pool, const void *payload, uint32_t length,
                               struct write_record *out) {
    const struct disk_record_write *record = payload;
    if (length < sizeof *record || le32_get(record->reserved) != 0)
        return STATUS_CORRUPT;
    uint64_t count = le32_get(record->count);
    if (length != sizeof *record + 2 * count * sizeof(le64))
        return STATUS_CORRUPT;
    out->file = find_file(pool, record->dataset, record->inode);
    out->first = le64_get(record->first);
    if (out->file == NULL || !range_is_inside(out->file, out->first, count))
        return STATUS_CORRUPT;
    uint64_t *words = (uint64_t *)(uintptr_t)record->words;
    ASSERT((uintptr_t)words % sizeof *words == 0);
    out->map = (struct block_map){.count = count, .blocks = words, .checksums = words + count};
    for (uint64_t i = 0; i < count; i++)
        if (!geometry_is_data(&pool->label.geometry, words[i], 1))
            return STATUS_CORRUPT;
    return STATUS_OK;
}

/* A journal_intact: whether the record's data reached the device. */
static enum status is_intact(void *context, uint32_t type, const void *payload, uint32_t length,
                             bool *is) {
    struct lfsx_pool *pool = context;
    struct write_record record;
    *is = true;
    if (type != DISK_RECORD_WRITE || parse_write(pool, payload, length, &record) != STATUS_OK)
        return STATUS_OK; /* nothing to verify; what makes no sense is found when it is replayed */
    void *page = os_page_alloc(LFSX_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; *is && status == STATUS_OK && i < record.map.count; i++) {
        status = blockdev_read(pool->device, record.map.blocks[i] * LFSX_BLOCK_SIZE, page,
                               LFSX_BLOCK_SIZE);
        *is = checksum_xxh64(page, LFSX_BLOCK_SIZE, 0) == record.map.checksums[i];
    }
    os_page_free(page, LFSX_BLOCK_SIZE);
    return status; /* a block that cannot be read may have been acknowledged */
}

static enum status makes_no_sense(struct lfsx_pool *pool, const char *why) {
    log_error("lfsx", "%s: a journal record %s; run fsck.lfsx", pool->device->name, why);
    return STATUS_CORRUPT;
}

/* A journal_record: puts the blocks of a write in flight (invariant 2). */
static enum status claim(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct lfsx_pool *pool = context;
    struct write_record record;
    if (type != DISK_RECORD_WRITE)
        return STATUS_OK;
    if (parse_write(pool, payload, length, &record) != STATUS_OK)
        return makes_no_sense(pool, "of a write is malformed");
    for (uint64_t i = 0; i < record.map.count; i++)
        if (alloc_claim(&pool->allocator, record.map.blocks[i], 1) != STATUS_OK)
            return makes_no_sense(pool, "names a block that is in use");
    return STATUS_OK;
}

static enum status replay_write(struct lfsx_pool *pool, const struct write_record *record) {
    enum status status = file_replace(record->file, record->first, &record->map);
    return status == STATUS_OK ? dead_drain(pool) : status;
}

static enum status replay_punch(struct lfsx_pool *pool, const void *payload, uint32_t length) {
    const struct disk_record_punch *record = payload;
    if (length != sizeof *record)
        return makes_no_sense(pool, "of a trim is malformed");
    struct file *f = find_file(pool, record->dataset, record->inode);
    uint64_t first = le64_get(record->first);
    uint64_t count = le64_get(record->count);
    if (f == NULL || !range_is_inside(f, first, count))
        return makes_no_sense(pool, "of a trim names what is not there");
    return file_punch(f, first, count);
}

/* A journal_record: makes it happen again. */
static enum status replay(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct lfsx_pool *pool = context;
    struct write_record record;
    switch (type) {
    case DISK_RECORD_WRITE:
        if (parse_write(pool, payload, length, &record) != STATUS_OK)
            return makes_no_sense(pool, "of a write is malformed");
        return replay_write(pool, &record);
    case DISK_RECORD_PUNCH:
        return replay_punch(pool, payload, length);
    default:
        return makes_no_sense(pool, "is of a kind that this program does not know");
    }
}

/* A read-only pool has no checkpoint that would. */
static enum status drain(void *context, struct btree_cursor *cursor) {
    return dead_drain_locked(context, cursor);
}

enum status pool_recover(struct lfsx_pool *pool, const struct journal_position *from,
                         struct journal_position *end, bool *replayed) {
    struct journal_area area = pool_journal_area(pool);
    struct journal_found found;
    enum status status = journal_find_end(&area, from, is_intact, pool, &found);
    if (status != STATUS_OK)
        return status;
    *end = found.end;
    *replayed = found.entries > 0;
    pool->recovering = true;
    status = journal_replay(&area, from, end, claim, pool);
    if (status == STATUS_OK)
        status = journal_replay(&area, from, end, replay, pool);
    if (status == STATUS_OK)
        status = pool_change(pool, drain, pool);
    pool->recovering = false;
    if (status == STATUS_OK && found.entries > 0)
        log_info("lfsx", "%s: replayed %llu journal entries", pool->device->name,
                 (unsigned long long)found.entries);
    return status;
}
