/* SPDX-License-Identifier: Apache-2.0 */
/* The journal as text: the chain of entries behind the newest checkpoint, and why it ends. */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/journal/journal_format.h"
#include "storage/lfsx/format/items_record.h"
#include "storage/lfsx/print/print_internal.h"

#define ENTRY_BYTES ((size_t)JOURNAL_ENTRY_MAX_BLOCKS * JOURNAL_BLOCK_SIZE)

/* Reads one entry that may go round the ring's end; NULL, or why it is none. */
static const char *read_entry(struct print *print, const struct journal_position *at,
                              struct disk_journal_entry *entry) {
    const struct geometry *g = &print->label.geometry;
    uint64_t count = 1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t block = g->journal_start + (at->block + i) % g->journal_blocks;
        enum status status = blockdev_read(print->device, block * DISK_BLOCK_SIZE,
                                           (char *)entry + i * DISK_BLOCK_SIZE, DISK_BLOCK_SIZE);
        if (status != STATUS_OK)
            return status_text(status);
        if (i > 0)
            continue;
        if (memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) != 0)
            return "there is no entry";
        count = le32_get(entry->blocks);
        uint64_t used = sizeof *entry + (uint64_t)le32_get(entry->length);
        if (count > JOURNAL_ENTRY_MAX_BLOCKS ||
            count != math_divide_up(used, (uint64_t)JOURNAL_BLOCK_SIZE))
            return "an entry of an impossible length";
    }
    uint64_t used = sizeof *entry + (uint64_t)le32_get(entry->length);
    if (checksum_xxh64((const char *)entry + 8, used - 8, 0) != le64_get(entry->checksum))
        return "an entry whose checksum is wrong";
    if (memcmp(entry->pool_uuid, print->label.pool_uuid, sizeof entry->pool_uuid) != 0)
        return "an entry of another pool";
    if (le64_get(entry->sequence) != at->sequence || le64_get(entry->previous) != at->previous)
        return "an entry of an earlier round";
    return NULL;
}

static void print_write(struct print *print, const struct disk_record_write *record,
                        uint32_t length) {
    uint64_t count = le32_get(record->count);
    if (length != sizeof *record + 2 * count * sizeof(le64)) {
        print_line(print, 1, "write of a wrong length");
        return;
    }
    print_line(print, 1, "write: dataset %llu inode %llu blocks %llu..%llu",
               (unsigned long long)le64_get(record->dataset),
               (unsigned long long)le64_get(record->inode),
               (unsigned long long)le64_get(record->first),
               (unsigned long long)(le64_get(record->first) + count - 1));
    for (uint64_t i = 0; i < count; i++)
        print_line(print, 2, "block %llu checksum %016llx",
                   (unsigned long long)le64_get(record->words[i]),
                   (unsigned long long)le64_get(record->words[count + i]));
}

static void print_items(struct print *print, const void *payload, uint32_t length) {
    struct items_record record;
    struct item item;
    bool put;
    enum status status = items_record_open(payload, length, &print->label.geometry, &record);
    if (status == STATUS_OK)
        print_line(print, 1, "items: dataset %llu, %u changes", (unsigned long long)record.dataset,
                   record.count);
    while (status == STATUS_OK) {
        status = items_record_next(&record, &item, &put);
        if (status == STATUS_OK && put)
            print_item(print, 2, &item);
        else if (status == STATUS_OK)
            print_line(print, 2, "(%llu, %u, %llu) goes", (unsigned long long)item.key.inode,
                       item.key.type, (unsigned long long)item.key.offset);
    }
    if (status != STATUS_NOT_FOUND)
        print_line(print, 1, "items: a malformed record");
}

static void print_record(struct print *print, uint32_t type, const void *payload, uint32_t length) {
    const struct disk_record_punch *punch = payload;
    if (type == DISK_RECORD_WRITE && length >= sizeof(struct disk_record_write))
        print_write(print, payload, length);
    else if (type == DISK_RECORD_ITEMS)
        print_items(print, payload, length);
    else if (type == DISK_RECORD_PUNCH && length == sizeof *punch)
        print_line(print, 1, "punch: dataset %llu inode %llu blocks %llu..%llu",
                   (unsigned long long)le64_get(punch->dataset),
                   (unsigned long long)le64_get(punch->inode),
                   (unsigned long long)le64_get(punch->first),
                   (unsigned long long)(le64_get(punch->first) + le64_get(punch->count) - 1));
    else
        print_line(print, 1, "record of type %u, %u bytes, that this program does not know", type,
                   length);
}

static void print_entry(struct print *print, const struct disk_journal_entry *entry) {
    uint32_t length = le32_get(entry->length);
    print_line(print, 0,
               "entry %llu at block %llu of the ring: %u blocks, %u records, durable %llu",
               (unsigned long long)le64_get(entry->sequence),
               (unsigned long long)le64_get(entry->block), le32_get(entry->blocks),
               le32_get(entry->record_count), (unsigned long long)le64_get(entry->durable));
    for (uint32_t at = 0; at + sizeof(struct disk_journal_record) <= length;) {
        const struct disk_journal_record *record =
            (const struct disk_journal_record *)(entry->records + at);
        uint32_t payload = le32_get(record->length);
        at += (uint32_t)sizeof *record;
        if (payload > length - at) {
            print_line(print, 1, "a record reaches beyond its entry");
            return;
        }
        print_record(print, le32_get(record->type), record->payload, payload);
        at += (payload + 7) / 8 * 8;
    }
}

enum status print_journal(struct print *print, const char *argument) {
    (void)argument;
    struct disk_journal_entry *entry = os_page_alloc(ENTRY_BYTES);
    if (entry == NULL)
        return STATUS_NO_MEMORY;
    struct journal_position at = print->super.journal;
    const char *end = NULL;
    uint64_t walked = 0;
    while (end == NULL && walked < print->label.geometry.journal_blocks) {
        end = read_entry(print, &at, entry);
        if (end != NULL)
            break;
        print_entry(print, entry);
        walked += le32_get(entry->blocks);
        at.sequence++;
        at.block = (at.block + le32_get(entry->blocks)) % print->label.geometry.journal_blocks;
        at.previous = le64_get(entry->checksum);
    }
    print_line(print, 0, "the chain ends before entry %llu, at block %llu of the ring: %s",
               (unsigned long long)at.sequence, (unsigned long long)at.block,
               end == NULL ? "it has gone round" : end);
    os_page_free(entry, ENTRY_BYTES);
    return STATUS_OK;
}
