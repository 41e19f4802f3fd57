/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a journal off before an entry that was acknowledged and is damaged. Nobody can tell what
 * that entry said, so what the live trees hold may be older than it should be, anywhere.
 *
 * Every later entry is cleared, the nearest first: as long as one is left that calls the damaged
 * one durable, the pool does not open, so that a power cut in between changes nothing.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/journal/journal_format.h"
#include "storage/lfsx/repair/repair_internal.h"

/* All entries are taken for intact: only the chain matters. */
static enum status is_there(void *context, uint32_t type, const void *payload, uint32_t length,
                            bool *is) {
    (void)context, (void)type, (void)payload, (void)length;
    *is = true;
    return STATUS_OK;
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

enum status repair_cut_journal(struct repair *repair) {
    struct journal_area area = {.device = repair->device,
                                .start = repair->label.geometry.journal_start,
                                .blocks = repair->label.geometry.journal_blocks};
    memcpy(area.pool_uuid, repair->label.pool_uuid, sizeof area.pool_uuid);
    struct journal_found found = {.end = repair->super.journal};
    enum status status = journal_find_end(&area, &repair->super.journal, is_there, NULL, &found);
    if (status != STATUS_CORRUPT && status != STATUS_IO)
        return status;
    status = clear_from(repair, &found.end);
    if (status == STATUS_OK)
        repair_say(repair,
                   "cut the journal off before entry %llu, which is damaged: what it and later "
                   "ones said is lost",
                   (unsigned long long)found.end.sequence);
    return status;
}
