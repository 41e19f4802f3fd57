/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: that the log can be read to an end that loses nothing, and that what its records say
 * fits the checkpoint. Runs after the maps were compared, since what the records name is free in
 * them.
 */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"
#include "storage/lfsx/format/items_record.h"
#include "storage/lfsx/format/write_record.h"

static bool is_share(const struct check_dataset *dataset) {
    return dataset->kind == DISK_DATASET_SHARE;
}

/* Files of a share may have come and gone since the checkpoint. */
static bool may_be_there(const struct check_dataset *dataset, uint64_t inode) {
    return is_share(dataset) ? inode > DISK_ROOT_INODE : inode == DISK_ROOT_INODE;
}

/* Where a volume ends, as far as that is known. */
static uint64_t size_of(const struct check_dataset *dataset) {
    return MATH_MIN(dataset->size, LFSX_VOLUME_SIZE_MAX);
}

/* NULL, or what is wrong with the record; *dataset is whose it is. */
static const char *parse_write(struct check *check, const void *payload, uint32_t length,
                               struct write_record *out, struct check_dataset *dataset) {
    const char *wrong = write_record_open(payload, length, &check->label.geometry, out);
    if (wrong != NULL)
        return wrong;
    if (!check_find_dataset(check, out->dataset, dataset) || !may_be_there(dataset, out->inode))
        return "names a file that does not exist";
    if (!write_record_fits(out->first, out->count,
                           is_share(dataset) ? out->size : size_of(dataset)))
        return "lies behind the end of its file";
    return NULL;
}

/* Reads one block; *is: its content is what the record says. */
static enum status read_data(struct check *check, const struct write_record *record, uint64_t i,
                             void *page, bool *is) {
    enum status status = blockdev_read(check->device, le64_get(record->blocks[i]) * DISK_BLOCK_SIZE,
                                       page, DISK_BLOCK_SIZE);
    *is = status == STATUS_OK &&
          checksum_xxh64(page, DISK_BLOCK_SIZE, 0) == le64_get(record->checksums[i]);
    return status;
}

/* What a search for the log's end met. */
struct search {
    struct check *check;
    uint64_t unreadable; /* a data block that ended it; 0: none */
};

/* Whether the data of the record is there, as whoever opens the pool asks: a block that cannot be
 * read may have been acknowledged. */
static enum status verify(struct search *search, const struct write_record *record, void *page,
                          bool *is) {
    struct check *check = search->check;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; *is && status == STATUS_OK && i < record->count; i++) {
        status = read_data(check, record, i, page, is);
        if (!check_is_damage(check, status))
            return check->failure;
        if (status != STATUS_OK)
            search->unreadable = le64_get(record->blocks[i]);
    }
    return status;
}

/* A journal_intact. */
static enum status is_intact(void *context, uint32_t type, const void *payload, uint32_t length,
                             bool *is) {
    struct search *search = context;
    struct write_record record;
    *is = true;
    if (type != DISK_RECORD_WRITE ||
        write_record_open(payload, length, &search->check->label.geometry, &record) != NULL)
        return STATUS_OK; /* there is nothing to verify */
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = verify(search, &record, page, is);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

static void check_data(struct check *check, const struct write_record *record,
                       const struct check_dataset *dataset) {
    for (uint64_t i = 0; i < record->count; i++) {
        bool is;
        enum status status = read_data(check, record, i, check->data, &is);
        if (!check_is_damage(check, status))
            return;
        if (is)
            continue;
        uint64_t block = le64_get(record->blocks[i]);
        check_report(
            check, status == STATUS_OK ? CHECK_DATA_CHECKSUM : CHECK_DATA_UNREADABLE, block,
            "data block %llu, %s: bytes %llu..%llu of inode %llu of %s, by the journal",
            (unsigned long long)block,
            status == STATUS_OK ? "its content does not match its checksum" : status_text(status),
            (unsigned long long)((record->first + i) * DISK_BLOCK_SIZE),
            (unsigned long long)((record->first + i + 1) * DISK_BLOCK_SIZE - 1),
            (unsigned long long)record->inode, dataset->name);
    }
}

static void check_write(struct check *check, const void *payload, uint32_t length) {
    struct write_record record;
    struct check_dataset dataset;
    const char *wrong = parse_write(check, payload, length, &record, &dataset);
    if (wrong != NULL) {
        check_report(check, CHECK_JOURNAL_RECORD, CHECK_NO_BLOCK, "a journal record of a write %s",
                     wrong);
        return;
    }
    for (uint64_t i = 0; i < record.count; i++)
        check_claim(check, le64_get(record.blocks[i]), 1, "the journal");
    check->summary->data_blocks += record.count;
    if (check->options->data)
        check_data(check, &record, &dataset);
}

static void check_punch(struct check *check, const void *payload, uint32_t length) {
    const struct disk_record_punch *record = payload;
    struct check_dataset dataset;
    bool found =
        length == sizeof *record && check_find_dataset(check, le64_get(record->dataset), &dataset);
    uint64_t size = LFSX_VOLUME_SIZE_MAX;
    if (found && !is_share(&dataset))
        size = size_of(&dataset);
    if (!found || !may_be_there(&dataset, le64_get(record->inode)) ||
        !write_record_fits(le64_get(record->first), le64_get(record->count), size))
        check_report(check, CHECK_JOURNAL_RECORD, CHECK_NO_BLOCK,
                     "a journal record of a trim is malformed or names what is not there");
}

static void check_items(struct check *check, const void *payload, uint32_t length) {
    struct items_record record;
    struct item item;
    bool put;
    enum status status = items_record_open(payload, length, &check->label.geometry, &record);
    while (status == STATUS_OK)
        status = items_record_next(&record, &item, &put);
    struct check_dataset dataset;
    if (status != STATUS_NOT_FOUND || !check_find_dataset(check, record.dataset, &dataset) ||
        !is_share(&dataset))
        check_report(check, CHECK_JOURNAL_RECORD, CHECK_NO_BLOCK,
                     "a journal record of a share's items is malformed or of no share");
}

/* A journal_record. */
static enum status visit(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct check *check = context;
    if (type == DISK_RECORD_WRITE)
        check_write(check, payload, length);
    else if (type == DISK_RECORD_PUNCH)
        check_punch(check, payload, length);
    else if (type == DISK_RECORD_ITEMS)
        check_items(check, payload, length);
    else
        check_report(check, CHECK_JOURNAL_RECORD, CHECK_NO_BLOCK,
                     "a journal record is of the kind %u, which this program does not know", type);
    return check->failure;
}

/* An unreadable or vanishing entry is damage; the machine's own trouble ends the check. */
static void end_walk(struct check *check, enum status status, uint64_t block, uint64_t unreadable) {
    if (status == STATUS_OK || check->failure != STATUS_OK || !check_is_damage(check, status))
        return;
    if (unreadable != 0) {
        check_report(check, CHECK_JOURNAL_DAMAGED, unreadable,
                     "data block %llu, which one of the last journal entries names, cannot be "
                     "read: nobody knows whether the entry was acknowledged, and the pool does "
                     "not open",
                     (unsigned long long)unreadable);
        return;
    }
    check_report(check, CHECK_JOURNAL_DAMAGED, block,
                 status == STATUS_CORRUPT
                     ? "an acknowledged journal entry at block %llu is damaged: what it and later "
                       "ones say is lost, and the pool does not open"
                     : "the journal entry at block %llu cannot be read",
                 (unsigned long long)block);
}

void check_journal(struct check *check) {
    const struct geometry *g = &check->label.geometry;
    struct journal_area area = {
        .device = check->device, .start = g->journal_start, .blocks = g->journal_blocks};
    memcpy(area.pool_uuid, check->label.pool_uuid, sizeof area.pool_uuid);
    const struct journal_position *from = &check->super.journal;
    struct journal_found found = {.end = *from};
    struct search search = {.check = check};
    enum status status = journal_find_end(&area, from, is_intact, &search, &found);
    if (status == STATUS_OK && !check->incomplete)
        status = journal_replay(&area, from, &found.end, visit, check);
    end_walk(check, status, g->journal_start + found.end.block, search.unreadable);
}
