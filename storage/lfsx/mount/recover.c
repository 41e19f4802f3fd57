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
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/format/write_record.h"
#include "storage/lfsx/mount/open.h"
#include "storage/lfsx/share/records.h"

/* The file that a record is about. */
struct target {
    struct file *file;
    struct file share_file; /* for as long as the record is replayed */
};

struct journal_area pool_journal_area(const struct lfsx_pool *pool) {
    struct journal_area area = {.device = pool->device,
                                .start = pool->label.geometry.journal_start,
                                .blocks = pool->label.geometry.journal_blocks};
    memcpy(area.pool_uuid, pool->label.pool_uuid, sizeof area.pool_uuid);
    return area;
}

struct look {
    struct file *file;
    struct disk_inode item;
};

static enum status look_up_inode(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    return inode_look(look->file->tree, look->file->inode, &look->item, cursor);
}

/* Brings a file of a share into memory, as the records before this one left it. */
static enum status open_share_file(struct dataset *dataset, uint64_t inode, struct file *file) {
    file_init(file, dataset, &dataset->tree, inode);
    file->in_share = true;
    struct look look = {.file = file};
    enum status status = pool_look(dataset->pool, look_up_inode, &look);
    file->size = le64_get(look.item.size);
    if (status == STATUS_OK && (le32_get(look.item.mode) & DISK_MODE_KIND) != DISK_MODE_REGULAR)
        status = STATUS_NOT_FOUND;
    if (status != STATUS_OK)
        file_destroy(file);
    return status;
}

/* A file that nobody can tell more of than that it was written to. */
static enum status insert_inode(void *context, struct btree_cursor *cursor) {
    const struct look *look = context;
    struct lfsx_pool *pool = look->file->dataset->pool;
    struct btree *tree = look->file->tree;
    struct key key = inode_key(look->file->inode);
    uint64_t leaves;
    enum status status = btree_prefetch(tree, &key, &key, cursor, &leaves);
    struct update_need need = {0};
    if (status == STATUS_OK) {
        need.nodes = btree_nodes_needed(tree, leaves, 1);
        status = pool_update_begin(pool, &need);
    }
    if (status != STATUS_OK)
        return status;
    btree_insert(tree, &key, &look->item, sizeof look->item);
    pool_update_end(pool);
    return STATUS_OK;
}

static enum status make_share_file(struct dataset *dataset, uint64_t inode) {
    struct file file = {.dataset = dataset, .tree = &dataset->tree, .inode = inode};
    struct look look = {.file = &file};
    enum status status = pool_look(dataset->pool, look_up_inode, &look);
    if (status != STATUS_NOT_FOUND)
        return status == STATUS_OK ? STATUS_NOT_FOUND : status; /* something else is there */
    le64 now = le64_make(os_wall_clock_ns());
    look.item = (struct disk_inode){.mode = le32_make(DISK_MODE_REGULAR | 0600u),
                                    .links = le32_make(1),
                                    .modified_ns = now,
                                    .changed_ns = now,
                                    .accessed_ns = now,
                                    .created_ns = now};
    return pool_change(dataset->pool, insert_inode, &look);
}

/* NOT_FOUND, or why the dataset is damaged. */
static enum status find_target(struct lfsx_pool *pool, uint64_t dataset_id, uint64_t inode,
                               struct target *target) {
    struct dataset *dataset = dataset_find_id(pool, dataset_id);
    if (dataset == NULL)
        return STATUS_NOT_FOUND;
    if (dataset->damage != STATUS_OK)
        return dataset->damage;
    target->file = dataset->kind == DISK_DATASET_SHARE ? &target->share_file : &dataset->file;
    if (dataset->kind == DISK_DATASET_SHARE)
        return open_share_file(dataset, inode, &target->share_file);
    return inode == dataset->file.inode ? STATUS_OK : STATUS_NOT_FOUND;
}

static void release_target(struct target *target) {
    if (target->file == &target->share_file)
        file_destroy(&target->share_file);
}

static bool parse_write(const struct lfsx_pool *pool, const void *payload, uint32_t length,
                        struct write_record *out) {
    return write_record_open(payload, length, &pool->label.geometry, out) == NULL;
}

/* A journal_intact: whether the record's data reached the device. */
static enum status is_intact(void *context, uint32_t type, const void *payload, uint32_t length,
                             bool *is) {
    struct lfsx_pool *pool = context;
    struct write_record record;
    *is = true;
    if (type != DISK_RECORD_WRITE || !parse_write(pool, payload, length, &record))
        return STATUS_OK; /* nothing to verify; what makes no sense is found when it is replayed */
    void *page = os_page_alloc(LFSX_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; *is && status == STATUS_OK && i < record.count; i++) {
        status = blockdev_read(pool->device, le64_get(record.blocks[i]) * LFSX_BLOCK_SIZE, page,
                               LFSX_BLOCK_SIZE);
        *is = checksum_xxh64(page, LFSX_BLOCK_SIZE, 0) == le64_get(record.checksums[i]);
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
    if (!parse_write(pool, payload, length, &record))
        return makes_no_sense(pool, "of a write is malformed");
    for (uint64_t i = 0; i < record.count; i++)
        if (alloc_claim(&pool->allocator, le64_get(record.blocks[i]), 1) != STATUS_OK)
            return makes_no_sense(pool, "names a block that is in use");
    return STATUS_OK;
}

/* The words are native: x86-64 is little-endian, and the journal aligns its records to eight bytes.
 */
static struct block_map map_of(const struct write_record *record) {
    uint64_t *words = (uint64_t *)(uintptr_t)record->blocks;
    ASSERT((uintptr_t)words % sizeof *words == 0);
    return (struct block_map){
        .count = record->count, .blocks = words, .checksums = words + record->count};
}

/* As above; where a share is mended, a file that is not there is made. */
static enum status find_written(struct lfsx_pool *pool, const struct write_record *record,
                                struct target *target) {
    enum status status = find_target(pool, record->dataset, record->inode, target);
    struct dataset *dataset = dataset_find_id(pool, record->dataset);
    if (status != STATUS_NOT_FOUND || !pool->mending || dataset == NULL ||
        dataset->kind != DISK_DATASET_SHARE)
        return status;
    status = make_share_file(dataset, record->inode);
    return status == STATUS_OK ? open_share_file(dataset, record->inode, &target->share_file)
                               : status;
}

/* Where a share is mended, that what is there is no file was found before. */
static enum status drop_write(struct lfsx_pool *pool, const struct write_record *record) {
    for (uint64_t i = 0; i < record->count; i++)
        alloc_data_cancel(&pool->allocator, le64_get(record->blocks[i]), 1);
    log_warning("lfsx", "%s: the journal says that inode %llu was written to, which is no file",
                pool->device->name, (unsigned long long)record->inode);
    return STATUS_OK;
}

/* A record that was acknowledged has no place to go to, since nodes of its dataset cannot be read.
 * A checkpoint would drop it, so there must be none; who only reads can do without that dataset. */
static enum status leave_out(struct lfsx_pool *pool, uint64_t id, enum status cause) {
    struct dataset *d = dataset_find_id(pool, id);
    if (pool->read_only) {
        if (!d->damaged_for_good)
            damage_set(d, cause, true);
        return STATUS_OK;
    }
    log_error(
        "lfsx",
        "%s: dataset %llu is damaged, and the journal holds what was acknowledged for it: the "
        "pool can only be read; run fsck.lfsx",
        pool->device->name, (unsigned long long)id);
    return cause == STATUS_IO ? STATUS_IO : STATUS_CORRUPT;
}

static enum status settle_record(struct lfsx_pool *pool, uint64_t id, enum status status) {
    if (status == STATUS_OK)
        status = dead_drain(pool);
    return damage_is(status) ? leave_out(pool, id, status) : status;
}

/* *fits: the record can be about the file. */
static enum status write_again(struct lfsx_pool *pool, const struct write_record *record,
                               struct file *f, bool *fits) {
    struct block_map map = map_of(record);
    struct file_growth growth = {record->size, record->modified_ns};
    uint64_t size = f->in_share ? record->size : f->size;
    if (pool->mending && f->in_share)
        size = MATH_MAX(size, f->size);
    *fits = size >= f->size && write_record_fits(record->first, record->count, size);
    return *fits ? file_replace(f, record->first, &map, &growth) : STATUS_OK;
}

static enum status replay_write(struct lfsx_pool *pool, const void *payload, uint32_t length) {
    struct write_record record;
    if (!parse_write(pool, payload, length, &record))
        return makes_no_sense(pool, "of a write is malformed");
    struct target target;
    enum status status = find_written(pool, &record, &target);
    if (status == STATUS_NOT_FOUND)
        return pool->mending ? drop_write(pool, &record)
                             : makes_no_sense(pool, "of a write names what is not there");
    if (status == STATUS_OK) {
        bool fits;
        status = write_again(pool, &record, target.file, &fits);
        release_target(&target);
        if (!fits)
            return makes_no_sense(pool, "of a write does not fit its file");
    }
    return settle_record(pool, record.dataset, status);
}

static enum status replay_punch(struct lfsx_pool *pool, const void *payload, uint32_t length) {
    const struct disk_record_punch *record = payload;
    if (length != sizeof *record)
        return makes_no_sense(pool, "of a trim is malformed");
    uint64_t id = le64_get(record->dataset);
    struct target target;
    enum status status = find_target(pool, id, le64_get(record->inode), &target);
    if (status == STATUS_NOT_FOUND)
        return pool->mending ? STATUS_OK
                             : makes_no_sense(pool, "of a trim names what is not there");
    if (status == STATUS_OK) {
        uint64_t first = le64_get(record->first);
        uint64_t count = le64_get(record->count);
        struct file *f = target.file;
        bool fits = write_record_fits(first, count, f->in_share ? LFSX_VOLUME_SIZE_MAX : f->size);
        if (fits)
            status = file_punch(f, first, count, le64_get(record->modified_ns));
        release_target(&target);
        if (!fits)
            return makes_no_sense(pool, "of a trim does not fit its file");
    }
    return settle_record(pool, id, status);
}

static enum status replay_items(struct lfsx_pool *pool, const void *payload, uint32_t length) {
    uint64_t id = 0;
    enum status status = records_replay(pool, payload, length, &id);
    if (status == STATUS_INVALID)
        return makes_no_sense(pool, "of a share's items makes no sense");
    return settle_record(pool, id, status);
}

/* A journal_record: makes it happen again. */
static enum status replay(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct lfsx_pool *pool = context;
    switch (type) {
    case DISK_RECORD_WRITE:
        return replay_write(pool, payload, length);
    case DISK_RECORD_ITEMS:
        return replay_items(pool, payload, length);
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
