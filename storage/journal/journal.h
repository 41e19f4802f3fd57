/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: a ring of small records that makes changes durable with one flush, long before a
 * checkpoint writes what they changed.
 *
 *   record ──> open entry ──(commit: seal, write, ONE flush)──> durable ──(checkpoint)──> forgotten
 *
 * The data that a record speaks of is written before or with the entry, by the journal's user, and
 * made durable by the same flush. So after a power cut an entry may be there without its data; the
 * user verifies it (journal_find_end), and the log ends before the first entry whose data does
 * not match: it was never acknowledged. An entry at or below a sequence that a later entry calls
 * durable was acknowledged: if it does not read back, that is damage, and never a tail to be cut
 * off.
 *
 * Numbers: every record has a mark, rising by one; every entry a sequence.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_H
#define STORAGE_JOURNAL_JOURNAL_H

#include "base/blockdev.h"
#include "base/span.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct journal;

/* Where the ring lies. */
struct journal_area {
    struct blockdev *device;
    uint64_t start;  /* blocks of 4 KiB from the device's start */
    uint64_t blocks; /* at least four times the largest entry */
    uint8_t pool_uuid[16];
};

/* The next entry to be written, or the first to be read: kept in the superblock. */
struct journal_position {
    uint64_t sequence;
    uint64_t block;    /* from the ring's start */
    uint64_t previous; /* checksum of the entry before */
};

/* ---- writing ---- */

/* Starts appending at the position. NO_MEMORY. */
enum status journal_open(const struct journal_area *area, const struct journal_position *position,
                         struct journal **journal);
/* How the data reaches the device that records speak of, if their user does not write it before it
 * adds them. For each commit, once its entries are sealed, `begin` is called, the entries are
 * written meanwhile, and `end` returns when all data is written that records added so far speak of;
 * then comes the flush. One thread at a time, which holds no lock. */
struct journal_data {
    void (*begin)(void *context);
    enum status (*end)(void *context);
};
/* Before the first record. */
void journal_set_data(struct journal *journal, const struct journal_data *data, void *context);
/* Records that were not committed are lost. Nobody waits in journal_commit(). */
void journal_close(struct journal *journal);

/* Sees to it that one record of `length` bytes can be added without fail; the caller holds the lock
 * under which it will add it. NO_MEMORY. Does not sleep on I/O. */
enum status journal_reserve(struct journal *journal, uint64_t length);

/* Adds a record, a copy of the spans, to the open entry; its mark is the return value. At most
 * JOURNAL_RECORD_MAX bytes. Reserved before. Does not sleep on I/O. */
uint64_t journal_add(struct journal *journal, uint32_t type, const struct span *spans,
                     uint32_t span_count);

/* The mark of the newest record; 0: none was ever added. */
uint64_t journal_newest(struct journal *journal);

/* Waits until the record with this mark and all before it are durable, and everything written to
 * the device before the call with them. Whoever comes while a commit is on its way shares the next
 * one. NO_SPACE: the ring is full; a checkpoint helps. IO: a write or flush failed; every later
 * commit fails too. */
enum status journal_commit(struct journal *journal, uint64_t mark);

/* A checkpoint takes over all records added so far: the position at which a replay after it begins,
 * for its superblock. *mark is the newest record it covers. */
void journal_cut(struct journal *journal, struct journal_position *position, uint64_t *mark);
/* The checkpoint is durable: what was before the cut is durable with it, and its room is free. */
void journal_forget(struct journal *journal, const struct journal_position *position,
                    uint64_t mark);

/* The checkpoint that cut the journal failed, and with it the pool: whoever waits for records that
 * it took over gets IO, as all later commits do. */
void journal_fail(struct journal *journal);

/* How much of the ring is taken by entries that no checkpoint covers yet, in blocks. */
uint64_t journal_used_blocks(struct journal *journal);
uint64_t journal_total_blocks(const struct journal *journal);

struct journal_statistics {
    uint64_t commits, entries, records, blocks, flushes;
};
void journal_statistics(struct journal *journal, struct journal_statistics *statistics);

/* ---- reading, when a pool is opened ---- */

/* Whether all data that the record speaks of is on the device. An error status ends the search with
 * it. */
typedef enum status journal_intact(void *context, uint32_t type, const void *payload,
                                   uint32_t length, bool *is);
/* A record that counts, in order. An error ends the replay with it. */
typedef enum status journal_record(void *context, uint32_t type, const void *payload,
                                   uint32_t length);

/* What was found. */
struct journal_found {
    struct journal_position end; /* where the log ends */
    uint64_t entries;            /* from the start to there */
    uint64_t durable;            /* highest sequence that an entry calls durable */
    uint64_t dropped;            /* sound entries behind the end: their data was never flushed */
};

/*
 * Finds the log's end, asking `intact` about the records of entries that are not known to be
 * durable. CORRUPT: an entry that was acknowledged is damaged; found->end says where; logged. IO,
 * NO_MEMORY. Writes nothing, so that a second power cut during recovery changes nothing.
 */
enum status journal_find_end(const struct journal_area *area, const struct journal_position *from,
                             journal_intact *intact, void *context, struct journal_found *found);

/* For when nobody knows any more where the log begins: the highest number of a sound entry anywhere
 * in the ring; 0: there is none. NO_MEMORY. */
enum status journal_find_newest(const struct journal_area *area, uint64_t *sequence);

/* Where in [*from, *end) the first entry stands of which `intact` rejects a record, into *end,
 * which stays if it rejects none. As journal_replay(). */
enum status journal_find_rejected(const struct journal_area *area,
                                  const struct journal_position *from, struct journal_position *end,
                                  journal_intact *intact, void *context);

/* Hands out every record from the position to the end that journal_find_end() found. IO (also: an
 * entry is no longer there), NO_MEMORY. */
enum status journal_replay(const struct journal_area *area, const struct journal_position *from,
                           const struct journal_position *end, journal_record *record,
                           void *context);

#endif
