/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte of the journal ring. docs/FORMAT.md is the normative text.
 *
 * The ring is a range of blocks. Entries stand in it one after the other, each of whole blocks,
 * going round at the end; the superblock names the place, number and predecessor of the first that
 * counts.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_FORMAT_H
#define STORAGE_JOURNAL_JOURNAL_FORMAT_H

#include "base/endian.h"

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_BLOCK_SIZE 4096u
#define JOURNAL_MAGIC "LFSXJRNL"
#define JOURNAL_ENTRY_MAX_BLOCKS 64u /* 256 KiB: the largest record and some company */

struct disk_journal_entry {
    le64 checksum; /* XXH64 of the entry's bytes from 8 to its last record's end */
    uint8_t magic[8];
    uint8_t pool_uuid[16];
    le64 sequence; /* of this entry; each is one more than the one before */
    le64 durable;  /* highest sequence that was known to be durable when this was written */
    le64 previous; /* checksum of the entry before: an old entry cannot pass for a successor */
    le64 block;    /* where it stands, counted from the ring's start */
    le32 length;   /* bytes of records */
    le32 blocks;   /* that the entry takes */
    le32 record_count;
    uint8_t reserved[4];
    le64 life; /* drawn whenever the journal is opened: no entry is like one of a former life */
    uint8_t reserved2[8];
    uint8_t records[]; /* disk_journal_record, each padded to eight bytes */
};
_Static_assert(sizeof(struct disk_journal_entry) == 96, "journal entry");
_Static_assert(offsetof(struct disk_journal_entry, length) == 64, "journal entry");
_Static_assert(offsetof(struct disk_journal_entry, life) == 80, "journal entry");

struct disk_journal_record {
    le32 length; /* bytes of payload */
    le32 type;   /* the journal's user's */
    uint8_t payload[];
};
_Static_assert(sizeof(struct disk_journal_record) == 8, "journal record");

#define JOURNAL_RECORD_MAX                                                                         \
    (JOURNAL_ENTRY_MAX_BLOCKS * JOURNAL_BLOCK_SIZE - sizeof(struct disk_journal_entry) -           \
     sizeof(struct disk_journal_record)) /* bytes of payload */

#endif
