/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending. One thread at a time writes and flushes (`committing`); records gather meanwhile in
 * the next entry, and all who wait for them are served by the next flush.
 *
 * Invariants:
 * 1. `open` holds entries being filled, oldest first; only the last one takes records, and none
 * that is in it has a sequence yet.
 * 2. next is where the first entry of `open` will stand; it moves when entries are sealed. Entries
 *    reach the ring in the order of their sequences: no entry is written while an older one that no
 *    durable checkpoint covers is not, or not with it.
 * 3. tail <= cut <= head in virtual blocks (the ring's, never going round); head - tail is at most
 * the ring's size. What is before tail belongs to a durable checkpoint.
 * 4. A record is durable if its mark is at most durable_mark.
 */
#include "storage/journal/journal.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/journal/journal_format.h"

#define ENTRY_BYTES ((uint64_t)JOURNAL_ENTRY_MAX_BLOCKS * JOURNAL_BLOCK_SIZE)
#define SPARE_KEEP 2u

/* An entry in memory. */
struct entry {
    struct list_node link;
    struct disk_journal_entry *page; /* ENTRY_BYTES */
    uint32_t length;                 /* bytes of records */
    uint32_t record_count;
};

struct journal {
    struct journal_area area;
    uint64_t life;                   /* in each entry that it writes */
    const struct journal_data *data; /* may be NULL */
    void *data_context;

    struct os_mutex lock; /* guards all below */
    struct os_condition done;
    struct list_node open;
    struct list_node cut_off; /* sealed by a cut, not written yet */
    bool gap;                 /* a cut dropped records: nothing may follow them in the ring */
    struct list_node spare;
    uint32_t spare_count;
    struct journal_position next;
    uint64_t head, cut, tail; /* virtual blocks */
    uint64_t newest_mark, durable_mark;
    uint64_t durable_sequence;
    bool committing;
    enum status failure; /* sticky */
    struct journal_statistics statistics;
};

static void entry_free(struct entry *entry) {
    os_page_free(entry->page, ENTRY_BYTES);
    os_free(entry);
}

static struct entry *entry_new(void) {
    struct entry *entry = os_alloc_zeroed(sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->page = os_page_alloc(ENTRY_BYTES);
    if (entry->page == NULL) {
        os_free(entry);
        return NULL;
    }
    return entry;
}

static enum status fill_spares(struct journal *journal, uint32_t count) {
    while (journal->spare_count < count) {
        struct entry *entry = entry_new();
        if (entry == NULL)
            return STATUS_NO_MEMORY;
        list_push_back(&journal->spare, &entry->link);
        journal->spare_count++;
    }
    return STATUS_OK;
}

static void recycle(struct journal *journal, struct entry *entry) {
    if (journal->spare_count >= SPARE_KEEP) {
        entry_free(entry);
        return;
    }
    entry->length = 0;
    entry->record_count = 0;
    list_push_back(&journal->spare, &entry->link);
    journal->spare_count++;
}

static void free_list(struct list_node *list) {
    struct list_node *link;
    while ((link = list_pop_front(list)) != NULL)
        entry_free(LIST_CONTAINER(link, struct entry, link));
}

enum status journal_open(const struct journal_area *area, const struct journal_position *position,
                         struct journal **out) {
    ASSERT(area->blocks >= 4 * JOURNAL_ENTRY_MAX_BLOCKS);
    ASSERT(position->block < area->blocks);
    struct journal *journal = os_alloc_zeroed(sizeof *journal);
    if (journal == NULL)
        return STATUS_NO_MEMORY;
    journal->area = *area;
    journal->next = *position;
    journal->head = journal->cut = journal->tail = position->block;
    journal->durable_sequence = position->sequence - 1;
    os_random(&journal->life, sizeof journal->life);
    os_mutex_init(&journal->lock);
    os_condition_init(&journal->done);
    list_init(&journal->open);
    list_init(&journal->cut_off);
    list_init(&journal->spare);
    if (fill_spares(journal, SPARE_KEEP) != STATUS_OK) {
        journal_close(journal);
        return STATUS_NO_MEMORY;
    }
    *out = journal;
    return STATUS_OK;
}

void journal_set_data(struct journal *journal, const struct journal_data *data, void *context) {
    journal->data = data;
    journal->data_context = context;
}

void journal_close(struct journal *journal) {
    ASSERT(!journal->committing);
    free_list(&journal->open);
    free_list(&journal->cut_off);
    free_list(&journal->spare);
    os_condition_destroy(&journal->done);
    os_mutex_destroy(&journal->lock);
    os_free(journal);
}

static uint32_t record_size(uint64_t payload) {
    return (uint32_t)math_round_up(sizeof(struct disk_journal_record) + payload, 8);
}

static struct entry *last_open(struct journal *journal) {
    if (list_is_empty(&journal->open))
        return NULL;
    return LIST_CONTAINER(journal->open.previous, struct entry, link);
}

static bool has_room(const struct entry *entry, uint64_t payload) {
    return entry != NULL &&
           sizeof *entry->page + entry->length + record_size(payload) <= ENTRY_BYTES;
}

enum status journal_reserve(struct journal *journal, uint64_t length) {
    ASSERT(length <= JOURNAL_RECORD_MAX);
    os_mutex_lock(&journal->lock);
    enum status status = STATUS_OK;
    /* One spare always: a commit may take the open entry away before the record is added. */
    if (journal->spare_count == 0)
        status = fill_spares(journal, 1);
    os_mutex_unlock(&journal->lock);
    return status;
}

/* The entry that takes a record of this size. */
static struct entry *entry_for(struct journal *journal, uint64_t payload) {
    struct entry *entry = last_open(journal);
    if (has_room(entry, payload))
        return entry;
    struct list_node *link = list_pop_front(&journal->spare);
    ASSERT(link != NULL); /* reserved */
    journal->spare_count--;
    entry = LIST_CONTAINER(link, struct entry, link);
    list_push_back(&journal->open, &entry->link);
    return entry;
}

uint64_t journal_add(struct journal *journal, uint32_t type, const struct span *spans,
                     uint32_t span_count) {
    uint64_t length = 0;
    for (uint32_t i = 0; i < span_count; i++)
        length += spans[i].length;
    ASSERT(length <= JOURNAL_RECORD_MAX);
    os_mutex_lock(&journal->lock);
    struct entry *entry = entry_for(journal, length);
    struct disk_journal_record *record =
        (struct disk_journal_record *)(entry->page->records + entry->length);
    record->length = le32_make((uint32_t)length);
    record->type = le32_make(type);
    uint8_t *at = record->payload;
    for (uint32_t i = 0; i < span_count; i++) {
        memcpy(at, spans[i].base, spans[i].length);
        at += spans[i].length;
    }
    uint32_t size = record_size(length);
    memset(at, 0, entry->page->records + entry->length + size - at);
    entry->length += size;
    entry->record_count++;
    uint64_t mark = ++journal->newest_mark;
    journal->statistics.records++;
    os_mutex_unlock(&journal->lock);
    return mark;
}

uint64_t journal_newest(struct journal *journal) {
    os_mutex_lock(&journal->lock);
    uint64_t mark = journal->newest_mark;
    os_mutex_unlock(&journal->lock);
    return mark;
}

static uint32_t entry_blocks(const struct entry *entry) {
    return (uint32_t)math_divide_up(sizeof *entry->page + entry->length, JOURNAL_BLOCK_SIZE);
}

/* Gives the entry its place and number and computes its checksum. */
static void seal(struct journal *journal, struct entry *entry) {
    struct disk_journal_entry *page = entry->page;
    uint32_t blocks = entry_blocks(entry);
    uint64_t used = sizeof *page + entry->length;
    memset(page, 0, sizeof *page);
    memset((char *)page + used, 0, (uint64_t)blocks * JOURNAL_BLOCK_SIZE - used);
    memcpy(page->magic, JOURNAL_MAGIC, sizeof page->magic);
    memcpy(page->pool_uuid, journal->area.pool_uuid, sizeof page->pool_uuid);
    page->sequence = le64_make(journal->next.sequence);
    page->durable = le64_make(journal->durable_sequence);
    page->previous = le64_make(journal->next.previous);
    page->block = le64_make(journal->next.block);
    page->length = le32_make(entry->length);
    page->blocks = le32_make(blocks);
    page->record_count = le32_make(entry->record_count);
    page->life = le64_make(journal->life);
    uint64_t checksum = checksum_xxh64((const char *)page + 8, used - 8, 0);
    page->checksum = le64_make(checksum);
    journal->head += blocks;
    journal->next = (struct journal_position){.sequence = journal->next.sequence + 1,
                                              .block = journal->head % journal->area.blocks,
                                              .previous = checksum};
    journal->statistics.entries++;
    journal->statistics.blocks += blocks;
}

/* Moves the open entries to the list, sealed; NO_SPACE if the ring has no room for all of them. */
static enum status seal_open(struct journal *journal, struct list_node *to) {
    uint64_t blocks = 0;
    LIST_FOR_EACH(link, &journal->open)
    blocks += entry_blocks(LIST_CONTAINER(link, struct entry, link));
    if (journal->head - journal->tail + blocks > journal->area.blocks)
        return STATUS_NO_SPACE;
    LIST_FOR_EACH(link, &journal->open)
    seal(journal, LIST_CONTAINER(link, struct entry, link));
    list_splice_back(to, &journal->open);
    return STATUS_OK;
}

static enum status write_entry(const struct journal_area *area, const struct entry *entry) {
    uint64_t block = le64_get(entry->page->block);
    uint64_t blocks = le32_get(entry->page->blocks);
    uint64_t first = MATH_MIN(blocks, area->blocks - block);
    enum status status = blockdev_write(area->device, (area->start + block) * JOURNAL_BLOCK_SIZE,
                                        entry->page, first * JOURNAL_BLOCK_SIZE, 0);
    if (status == STATUS_OK && first < blocks)
        status = blockdev_write(area->device, area->start * JOURNAL_BLOCK_SIZE,
                                (const char *)entry->page + first * JOURNAL_BLOCK_SIZE,
                                (blocks - first) * JOURNAL_BLOCK_SIZE, 0);
    return status;
}

/* The entries, the data that they speak of, and the flush that makes both durable. */
static enum status write_batch(const struct journal *journal, struct list_node *batch) {
    enum status status = STATUS_OK;
    if (journal->data != NULL)
        journal->data->begin(journal->data_context);
    LIST_FOR_EACH(link, batch)
    if (status == STATUS_OK)
        status = write_entry(&journal->area, LIST_CONTAINER(link, struct entry, link));
    if (journal->data != NULL) {
        enum status data = journal->data->end(journal->data_context);
        status = status == STATUS_OK ? data : status;
    }
    return status == STATUS_OK ? blockdev_flush(journal->area.device) : status;
}

static void recycle_list(struct journal *journal, struct list_node *list) {
    struct list_node *link;
    while ((link = list_pop_front(list)) != NULL)
        recycle(journal, LIST_CONTAINER(link, struct entry, link));
}

/* Writes what was cut off and what is open. The lock is held on entry and exit, not during I/O. */
static enum status lead(struct journal *journal) {
    struct list_node batch;
    list_init(&batch);
    enum status status = seal_open(journal, &journal->cut_off);
    if (status != STATUS_OK)
        return status;
    list_splice_back(&batch, &journal->cut_off);
    ASSERT(!list_is_empty(&batch));
    uint64_t mark = journal->newest_mark; /* whatever is newest stood in the last open entry */
    uint64_t sequence = journal->next.sequence - 1;
    journal->committing = true;
    os_mutex_unlock(&journal->lock);
    status = write_batch(journal, &batch);
    os_mutex_lock(&journal->lock);
    journal->committing = false;
    if (status == STATUS_OK) {
        journal->durable_mark = MATH_MAX(journal->durable_mark, mark);
        journal->durable_sequence = sequence;
        journal->statistics.flushes++;
    } else {
        journal->failure = STATUS_IO;
    }
    recycle_list(journal, &batch);
    os_condition_broadcast(&journal->done);
    return STATUS_OK;
}

/* Whether the thread that runs has to wait for another one: for its commit, or, if there is nothing
 * to write or nothing may be written, for the checkpoint on its way. */
static bool must_wait(const struct journal *journal) {
    return journal->committing || journal->gap ||
           (list_is_empty(&journal->open) && list_is_empty(&journal->cut_off));
}

enum status journal_commit(struct journal *journal, uint64_t mark) {
    enum status status = STATUS_OK;
    os_mutex_lock(&journal->lock);
    ASSERT(mark <= journal->newest_mark);
    journal->statistics.commits++;
    while (status == STATUS_OK && journal->durable_mark < mark) {
        status = journal->failure;
        if (status != STATUS_OK)
            break;
        if (must_wait(journal))
            os_condition_wait(&journal->done, &journal->lock, OS_FOREVER);
        else
            status = lead(journal);
    }
    os_mutex_unlock(&journal->lock);
    return status;
}

/* Until the checkpoint is durable its records are still needed: a power cut meanwhile goes back to
 * the checkpoint before, and what is written behind them must not be there without them. */
void journal_cut(struct journal *journal, struct journal_position *position, uint64_t *mark) {
    os_mutex_lock(&journal->lock);
    if (seal_open(journal, &journal->cut_off) != STATUS_OK) {
        recycle_list(journal, &journal->open);
        journal->gap = true;
    }
    *position = journal->next;
    *mark = journal->newest_mark;
    journal->cut = journal->head;
    os_mutex_unlock(&journal->lock);
}

void journal_forget(struct journal *journal, const struct journal_position *position,
                    uint64_t mark) {
    os_mutex_lock(&journal->lock);
    ASSERT(position->block == journal->cut % journal->area.blocks);
    recycle_list(journal, &journal->cut_off);
    journal->gap = false;
    journal->tail = journal->cut;
    journal->durable_mark = MATH_MAX(journal->durable_mark, mark);
    os_condition_broadcast(&journal->done);
    os_mutex_unlock(&journal->lock);
}

void journal_fail(struct journal *journal) {
    os_mutex_lock(&journal->lock);
    journal->failure = STATUS_IO;
    os_condition_broadcast(&journal->done);
    os_mutex_unlock(&journal->lock);
}

uint64_t journal_used_blocks(struct journal *journal) {
    os_mutex_lock(&journal->lock);
    uint64_t used = journal->head - journal->tail;
    os_mutex_unlock(&journal->lock);
    return used;
}

uint64_t journal_total_blocks(const struct journal *journal) {
    return journal->area.blocks;
}

void journal_statistics(struct journal *journal, struct journal_statistics *statistics) {
    os_mutex_lock(&journal->lock);
    *statistics = journal->statistics;
    os_mutex_unlock(&journal->lock);
}
