/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a journal off: before an entry that was acknowledged and is damaged, and before one with
 * a record that does not fit the state that was repaired, which no pool would open with. Nobody can
 * tell what a damaged entry said, so what the live trees hold may be older than it should be,
 * anywhere. Those that can be read tell themselves what is older for their being cut off.
 *
 * Every entry from there on is cleared, the nearest first: as long as one is left that calls the
 * damaged one durable, the pool does not open, so that a power cut in between changes nothing.
 */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/journal/journal_format.h"
#include "storage/lfsx/format/items_record.h"
#include "storage/lfsx/format/write_record.h"
#include "storage/lfsx/repair/repair_internal.h"

static struct journal_area area_of(const struct repair *repair) {
    struct journal_area area = {.device = repair->device,
                                .start = repair->label.geometry.journal_start,
                                .blocks = repair->label.geometry.journal_blocks};
    memcpy(area.pool_uuid, repair->label.pool_uuid, sizeof area.pool_uuid);
    return area;
}

static bool holds(struct repair *repair, const struct write_record *record, uint64_t index) {
    return repair_read(repair, le64_get(record->blocks[index]), repair->data) &&
           checksum_xxh64(repair->data, DISK_BLOCK_SIZE, 0) == le64_get(record->checksums[index]);
}

/* Where the log ends, and why it must be cut off there. */
struct log_end {
    struct repair *repair;
    struct journal_position cut; /* what counts ends there */
    struct journal_position end; /* and what can be read, there */
    bool damaged;                /* it goes on, but cannot be read */
    bool unreadable;             /* data cannot be read that the entry at the cut names */
};

/* A journal_intact: whether the data that the record names was written, as whoever opens the pool
 * asks. Of a block that cannot be read nobody knows; the log ends before it, too. */
static enum status is_intact(void *context, uint32_t type, const void *payload, uint32_t length,
                             bool *is) {
    struct log_end *log = context;
    struct repair *repair = log->repair;
    struct write_record record;
    *is = true;
    if (type != DISK_RECORD_WRITE ||
        write_record_open(payload, length, &repair->label.geometry, &record) != NULL)
        return STATUS_OK;
    for (uint64_t i = 0; *is && repair->failure == STATUS_OK && i < record.count; i++) {
        log->unreadable = !repair_read(repair, le64_get(record.blocks[i]), repair->data);
        *is = !log->unreadable &&
              checksum_xxh64(repair->data, DISK_BLOCK_SIZE, 0) == le64_get(record.checksums[i]);
    }
    return repair->failure;
}

/* A journal_intact. */
static enum status is_any(void *context, uint32_t type, const void *payload, uint32_t length,
                          bool *is) {
    (void)context;
    (void)type;
    (void)payload;
    (void)length;
    *is = true;
    return STATUS_OK;
}

static enum status find_end(struct repair *repair, struct log_end *log) {
    struct journal_area area = area_of(repair);
    const struct journal_position *from = &repair->super.journal;
    struct journal_found found = {.end = *from};
    *log = (struct log_end){.repair = repair};
    enum status status = journal_find_end(&area, from, is_intact, log, &found);
    log->damaged = status == STATUS_CORRUPT || status == STATUS_IO;
    log->cut = found.end;
    if (status == STATUS_OK && log->unreadable)
        status = journal_find_end(&area, from, is_any, log, &found);
    log->end = found.end;
    return log->damaged ? STATUS_OK : status;
}

static enum status keep_record(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct repair *repair = context;
    struct write_record record;
    if (type != DISK_RECORD_WRITE ||
        write_record_open(payload, length, &repair->label.geometry, &record) != NULL)
        return STATUS_OK;
    for (uint64_t i = 0; i < record.count; i++)
        repair_set(repair->keep, le64_get(record.blocks[i]));
    return STATUS_OK;
}

enum status repair_keep_journal(struct repair *repair) {
    struct journal_area area = area_of(repair);
    struct log_end log;
    enum status status = find_end(repair, &log);
    if (status == STATUS_OK)
        status = journal_replay(&area, &repair->super.journal, &log.end, keep_record, repair);
    return status;
}

/* The live tree that a record is about; NULL if there is no such file. What a record of a share
 * says of what that lost is seen when the share is mended (share_mend.c). */
static struct repair_tree *target_of(const struct repair *repair, uint64_t id, uint64_t inode) {
    struct repair_tree *head = repair_find_tree(repair, id, REPAIR_HEAD);
    if (head == NULL)
        return NULL;
    if (head->disk.kind == DISK_DATASET_SHARE)
        return inode > DISK_ROOT_INODE ? head : NULL;
    return inode == DISK_ROOT_INODE ? head : NULL;
}

/* The target of a write or a punch, and its blocks of the file; NULL if it makes no sense. */
static struct repair_tree *parse(const struct repair *repair, uint32_t type, const void *payload,
                                 uint32_t length, struct write_record *out) {
    const struct disk_record_punch *punch = payload;
    if (type == DISK_RECORD_PUNCH && length == sizeof *punch)
        *out = (struct write_record){.dataset = le64_get(punch->dataset),
                                     .inode = le64_get(punch->inode),
                                     .first = le64_get(punch->first),
                                     .count = le64_get(punch->count),
                                     .size = LFSX_VOLUME_SIZE_MAX};
    else if (type != DISK_RECORD_WRITE ||
             write_record_open(payload, length, &repair->label.geometry, out) != NULL)
        return NULL;
    struct repair_tree *head = target_of(repair, out->dataset, out->inode);
    if (head == NULL)
        return NULL;
    bool share = head->disk.kind == DISK_DATASET_SHARE;
    return write_record_fits(out->first, out->count, share ? out->size : head->size) ? head : NULL;
}

/* The share whose items the record changes; NULL if it makes no sense. */
static struct repair_tree *parse_items(const struct repair *repair, const void *payload,
                                       uint32_t length) {
    struct items_record record;
    struct item item;
    bool put;
    enum status status = items_record_open(payload, length, &repair->label.geometry, &record);
    while (status == STATUS_OK)
        status = items_record_next(&record, &item, &put);
    struct repair_tree *head = NULL;
    if (status == STATUS_NOT_FOUND)
        head = target_of(repair, record.dataset, DISK_ROOT_INODE + 1);
    return head != NULL && head->disk.kind == DISK_DATASET_SHARE ? head : NULL;
}

/* What the record names was free before it. Where the map says otherwise, what stands there
 * tells. */
static bool was_free(struct repair *repair, const struct write_record *record, uint64_t index) {
    uint64_t block = le64_get(record->blocks[index]);
    if (repair_bit(repair->claimed, block) || repair_bit(repair->other, block))
        return false;
    return !repair_is_known(repair, block) || !repair_bit(repair->old_used, block) ||
           holds(repair, record, index);
}

/* A journal_intact: whether the record fits the trees and the records before it, whose blocks are
 * in `other`. */
static enum status makes_sense(void *context, uint32_t type, const void *payload, uint32_t length,
                               bool *is) {
    struct repair *repair = context;
    struct write_record record;
    if (type == DISK_RECORD_ITEMS) {
        *is = parse_items(repair, payload, length) != NULL;
        return STATUS_OK;
    }
    *is = parse(repair, type, payload, length, &record) != NULL;
    for (uint64_t i = 0; *is && type == DISK_RECORD_WRITE && i < record.count; i++) {
        *is = was_free(repair, &record, i);
        repair_set(repair->other, le64_get(record.blocks[i]));
    }
    return repair->failure;
}

/* A journal_record: what it says did not happen. Of one that makes no sense nobody knows whose it
 * is. */
static enum status doubt_record(void *context, uint32_t type, const void *payload,
                                uint32_t length) {
    struct repair *repair = context;
    struct write_record record;
    struct repair_tree *head =
        type == DISK_RECORD_ITEMS ? NULL : parse(repair, type, payload, length, &record);
    if (head != NULL && head->disk.kind == DISK_DATASET_VOLUME) {
        repair_lose(repair, head, record.first, record.first + record.count, true);
        return repair->failure;
    }
    if (head == NULL && type == DISK_RECORD_ITEMS)
        head = parse_items(repair, payload, length);
    if (head != NULL)
        repair_lose(repair, head, 0, UINT64_MAX, true);
    else
        repair_doubt_everything(repair, false);
    return repair->failure;
}

static bool is_later(const struct repair *repair, const struct disk_journal_entry *entry,
                     uint64_t sequence) {
    return memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) == 0 &&
           memcmp(entry->pool_uuid, repair->label.pool_uuid, sizeof entry->pool_uuid) == 0 &&
           le64_get(entry->sequence) >= sequence;
}

/* Clears what may be an entry from this number on, in the ring from `end` to where the log begins.
 * What cannot be read is written over: it was the damage. */
static enum status clear_from(struct repair *repair, const struct journal_position *end) {
    const struct geometry *g = &repair->label.geometry;
    uint64_t begin = repair->super.journal.block;
    bool is_empty = end->sequence == repair->super.journal.sequence;
    uint64_t count = (begin + g->journal_blocks - end->block) % g->journal_blocks;
    if (is_empty)
        count = g->journal_blocks;
    struct disk_journal_entry *entry = (struct disk_journal_entry *)repair->page;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        uint64_t block = g->journal_start + (end->block + i) % g->journal_blocks;
        if (repair_read(repair, block, entry) && !is_later(repair, entry, end->sequence))
            continue;
        if (repair->failure != STATUS_OK)
            return repair->failure;
        memset(repair->page, 0, DISK_BLOCK_SIZE);
        status = blockdev_write(repair->device, block * DISK_BLOCK_SIZE, repair->page,
                                DISK_BLOCK_SIZE, BLOCK_FUA);
    }
    return status;
}

/* What the entries [cut, end) said did not happen; nor what a damaged one at the end did. */
static enum status doubt(struct repair *repair, const struct log_end *log) {
    struct journal_area area = area_of(repair);
    enum status status = STATUS_OK;
    bool is_senseless = repair->cut.sequence < log->cut.sequence;
    if (repair->cut.sequence < log->end.sequence)
        status = journal_replay(&area, &repair->cut, &log->end, doubt_record, repair);
    if (log->damaged)
        repair_doubt_everything(repair, false);
    repair->cut_is = is_senseless      ? "in which a record makes no sense"
                     : log->damaged    ? "which is damaged"
                     : log->unreadable ? "which names data that cannot be read"
                                       : NULL;
    return status == STATUS_OK ? repair->failure : status;
}

enum status repair_judge_journal(struct repair *repair) {
    struct journal_area area = area_of(repair);
    struct log_end log;
    enum status status = find_end(repair, &log);
    repair->cut = log.cut;
    if (status == STATUS_OK && !repair_other(repair))
        status = repair->failure;
    if (status == STATUS_OK)
        status =
            journal_find_rejected(&area, &repair->super.journal, &repair->cut, makes_sense, repair);
    return status == STATUS_OK ? doubt(repair, &log) : status;
}

enum status repair_cut_journal(struct repair *repair) {
    enum status status = repair->cut_is != NULL ? clear_from(repair, &repair->cut) : STATUS_OK;
    if (status == STATUS_OK && repair->cut_is != NULL)
        repair_say(repair,
                   "cut the journal off before entry %llu, %s: what it and later ones said is lost",
                   (unsigned long long)repair->cut.sequence, repair->cut_is);
    return status;
}
