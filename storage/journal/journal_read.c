/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the ring back. One walk finds how far sound entries reach and what they call durable; one
 * asks whether the data of the rest is there; the replay walks once more. Nothing is written.
 */
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/journal/journal.h"
#include "storage/journal/journal_format.h"

#define ENTRY_BYTES ((uint64_t)JOURNAL_ENTRY_MAX_BLOCKS * JOURNAL_BLOCK_SIZE)

struct reader {
    const struct journal_area *area;
    struct disk_journal_entry *page; /* ENTRY_BYTES */
};

static enum status read_blocks(const struct reader *reader, uint64_t block, uint64_t count,
                               void *to) {
    const struct journal_area *area = reader->area;
    uint64_t first = MATH_MIN(count, area->blocks - block);
    enum status status = blockdev_read(area->device, (area->start + block) * JOURNAL_BLOCK_SIZE, to,
                                       first * JOURNAL_BLOCK_SIZE);
    if (status == STATUS_OK && first < count)
        status = blockdev_read(area->device, area->start * JOURNAL_BLOCK_SIZE,
                               (char *)to + first * JOURNAL_BLOCK_SIZE,
                               (count - first) * JOURNAL_BLOCK_SIZE);
    return status;
}

/* Whether the records lie in the entry as they should. */
static bool records_are_sound(const struct disk_journal_entry *entry) {
    uint32_t length = le32_get(entry->length);
    uint32_t count = le32_get(entry->record_count);
    uint32_t at = 0;
    for (; count > 0; count--) {
        if (length - at < sizeof(struct disk_journal_record))
            return false;
        const struct disk_journal_record *record =
            (const struct disk_journal_record *)(entry->records + at);
        uint32_t payload = le32_get(record->length);
        if (payload > JOURNAL_RECORD_MAX)
            return false;
        uint32_t size = (uint32_t)math_round_up(sizeof *record + payload, 8);
        if (size > length - at)
            return false;
        at += size;
    }
    return at == length;
}

/* Reads the entry at the block into the page. *sound: it is one, of this pool, written there. */
static enum status read_entry(const struct reader *reader, uint64_t block, bool *sound) {
    const struct journal_area *area = reader->area;
    struct disk_journal_entry *entry = reader->page;
    *sound = false;
    enum status status = read_blocks(reader, block, 1, entry);
    if (status != STATUS_OK)
        return status;
    uint32_t blocks = le32_get(entry->blocks);
    uint64_t used = sizeof *entry + (uint64_t)le32_get(entry->length);
    if (memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) != 0 ||
        memcmp(entry->pool_uuid, area->pool_uuid, sizeof entry->pool_uuid) != 0 ||
        le64_get(entry->block) != block || blocks == 0 || blocks > JOURNAL_ENTRY_MAX_BLOCKS ||
        blocks != math_divide_up(used, JOURNAL_BLOCK_SIZE))
        return STATUS_OK;
    if (blocks > 1)
        status = read_blocks(reader, (block + 1) % area->blocks, blocks - 1,
                             (char *)entry + JOURNAL_BLOCK_SIZE);
    if (status != STATUS_OK)
        return status;
    *sound = checksum_xxh64((const char *)entry + 8, used - 8, 0) == le64_get(entry->checksum) &&
             records_are_sound(entry);
    return STATUS_OK;
}

static void advance(const struct reader *reader, struct journal_position *position) {
    const struct disk_journal_entry *entry = reader->page;
    position->sequence++;
    position->block = (position->block + le32_get(entry->blocks)) % reader->area->blocks;
    position->previous = le64_get(entry->checksum);
}

/* Reads the entry that must stand at the position. */
static enum status read_next(const struct reader *reader, const struct journal_position *position,
                             bool *is) {
    enum status status = read_entry(reader, position->block, is);
    if (status == STATUS_IO) /* nobody knows whether it was acknowledged: never the log's end */
        log_error("journal", "block %llu of the journal cannot be read; run fsck.lfsx",
                  (unsigned long long)(reader->area->start + position->block));
    *is = status == STATUS_OK && *is && le64_get(reader->page->sequence) == position->sequence &&
          le64_get(reader->page->previous) == position->previous;
    return status;
}

/* First walk: found->end behind the last sound entry; found->durable. */
static enum status find_end(const struct reader *reader, struct journal_found *found) {
    uint64_t walked = 0;
    for (;;) {
        bool is;
        enum status status = read_next(reader, &found->end, &is);
        if (status != STATUS_OK || !is)
            return status;
        walked += le32_get(reader->page->blocks);
        if (walked > reader->area->blocks)
            return STATUS_OK; /* all the way round */
        found->durable = MATH_MAX(found->durable, le64_get(reader->page->durable));
        found->entries++;
        advance(reader, &found->end);
    }
}

/* Entries that follow a damaged one begin at most one entry's length behind its start: whether one
 * of them calls the missing one durable. */
static enum status look_behind(const struct reader *reader, struct journal_found *found) {
    for (uint64_t i = 1; i <= 2ull * JOURNAL_ENTRY_MAX_BLOCKS; i++) {
        bool sound;
        uint64_t block = (found->end.block + i) % reader->area->blocks;
        enum status status = read_entry(reader, block, &sound);
        if (status == STATUS_IO)
            continue;
        if (status != STATUS_OK)
            return status;
        if (sound && le64_get(reader->page->sequence) > found->end.sequence)
            found->durable = MATH_MAX(found->durable, le64_get(reader->page->durable));
    }
    return STATUS_OK;
}

/* What a walk does with each record: one of the two. */
struct visitor {
    journal_intact *intact;
    journal_record *record;
    void *context;
};

static enum status visit_records(const struct reader *reader, const struct visitor *visitor,
                                 bool *go_on) {
    const struct disk_journal_entry *entry = reader->page;
    uint32_t at = 0;
    enum status status = STATUS_OK;
    for (uint32_t i = le32_get(entry->record_count); i > 0 && status == STATUS_OK && *go_on; i--) {
        const struct disk_journal_record *record =
            (const struct disk_journal_record *)(entry->records + at);
        uint32_t type = le32_get(record->type);
        uint32_t length = le32_get(record->length);
        at += (uint32_t)math_round_up(sizeof *record + length, 8);
        if (visitor->intact != NULL)
            status = visitor->intact(visitor->context, type, record->payload, length, go_on);
        else
            status = visitor->record(visitor->context, type, record->payload, length);
    }
    return status;
}

/* Visits the entries in [position, *end) from a sequence on; the first rejected one becomes the
 * end. */
static enum status walk(const struct reader *reader, struct journal_position position,
                        uint64_t first_sequence, const struct visitor *visitor,
                        struct journal_position *end) {
    while (position.sequence < end->sequence) {
        bool is;
        enum status status = read_next(reader, &position, &is);
        if (status != STATUS_OK)
            return status;
        if (!is)
            return STATUS_IO; /* it was there a moment ago */
        bool go_on = true;
        if (position.sequence >= first_sequence)
            status = visit_records(reader, visitor, &go_on);
        if (status != STATUS_OK)
            return status;
        if (!go_on) {
            *end = position;
            return STATUS_OK;
        }
        advance(reader, &position);
    }
    return STATUS_OK;
}

static enum status find_with(const struct reader *reader, const struct journal_position *from,
                             const struct visitor *visitor, struct journal_found *found) {
    *found = (struct journal_found){.end = *from};
    enum status status = find_end(reader, found);
    if (status == STATUS_OK)
        status = look_behind(reader, found);
    if (status != STATUS_OK)
        return status;
    if (found->durable >= found->end.sequence) {
        log_error(
            "journal",
            "entry %llu at block %llu of the device is damaged, and was acknowledged: what it "
            "and %llu later ones say would be lost; run fsck.lfsx",
            (unsigned long long)found->end.sequence,
            (unsigned long long)(reader->area->start + found->end.block),
            (unsigned long long)(found->durable - found->end.sequence));
        return STATUS_CORRUPT;
    }
    uint64_t sound_end = found->end.sequence;
    status = walk(reader, *from, found->durable + 1, visitor, &found->end);
    found->dropped = sound_end - found->end.sequence;
    found->entries -= found->dropped;
    return status;
}

enum status journal_find_end(const struct journal_area *area, const struct journal_position *from,
                             journal_intact *intact, void *context, struct journal_found *found) {
    ASSERT(from->block < area->blocks);
    struct reader reader = {.area = area, .page = os_page_alloc(ENTRY_BYTES)};
    if (reader.page == NULL)
        return STATUS_NO_MEMORY;
    struct visitor visitor = {.intact = intact, .context = context};
    enum status status = find_with(&reader, from, &visitor, found);
    os_page_free(reader.page, ENTRY_BYTES);
    return status;
}

enum status journal_find_newest(const struct journal_area *area, uint64_t *sequence) {
    struct reader reader = {.area = area, .page = os_page_alloc(ENTRY_BYTES)};
    *sequence = 0;
    if (reader.page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    for (uint64_t block = 0; block < area->blocks && status != STATUS_NO_MEMORY; block++) {
        bool sound;
        status = read_entry(&reader, block, &sound);
        if (status == STATUS_OK && sound)
            *sequence = MATH_MAX(*sequence, le64_get(reader.page->sequence));
    }
    os_page_free(reader.page, ENTRY_BYTES);
    return status == STATUS_NO_MEMORY ? status : STATUS_OK;
}

/* Over all entries in [*from, *end). */
static enum status walk_all(const struct journal_area *area, const struct journal_position *from,
                            const struct visitor *visitor, struct journal_position *end) {
    struct reader reader = {.area = area, .page = os_page_alloc(ENTRY_BYTES)};
    if (reader.page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = walk(&reader, *from, 0, visitor, end);
    os_page_free(reader.page, ENTRY_BYTES);
    return status;
}

enum status journal_find_rejected(const struct journal_area *area,
                                  const struct journal_position *from, struct journal_position *end,
                                  journal_intact *intact, void *context) {
    struct visitor visitor = {.intact = intact, .context = context};
    return walk_all(area, from, &visitor, end);
}

enum status journal_replay(const struct journal_area *area, const struct journal_position *from,
                           const struct journal_position *end, journal_record *record,
                           void *context) {
    struct visitor visitor = {.record = record, .context = context};
    struct journal_position stop = *end;
    return walk_all(area, from, &visitor, &stop);
}
