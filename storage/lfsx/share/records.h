/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records that transactions on a share work on: the items of its tree but for extents.
 *
 * A committed transaction becomes one update of the tree and one record in the journal, so that it
 * is atomic, and durable with the next commit of the journal.
 *
 * Of an inode's item a record has only what inode.h, invariant 1, says. What else changes with a
 * transaction comes along as its attachment.
 */
#ifndef STORAGE_LFSX_SHARE_RECORDS_H
#define STORAGE_LFSX_SHARE_RECORDS_H

#include "storage/lfsx/catalog/records_key.h"
#include "storage/lfsx/file/inode.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/mvcc/mvcc.h"

#define RECORDS_TOUCHES 4u /* inodes that one transaction may change besides its records */

#define RECORDS_SET_MODIFIED 1u
#define RECORDS_SET_CHANGED 2u
#define RECORDS_SET_ACCESSED 4u
#define RECORDS_SET_SIZE 8u

/* What happens to an inode's item besides its record; it is there when the transaction commits. */
struct records_touch {
    uint64_t inode;
    uint32_t set;
    uint64_t modified_ns, changed_ns, accessed_ns;
    uint64_t size;
};

/* The attachment of a transaction's commit. */
struct records_attachment {
    struct records_touch touches[RECORDS_TOUCHES];
    unsigned count;
    struct file *file; /* of which a touch changes the size; NULL: none is open */
    bool frees;        /* the transaction removes something: it works on a full pool */
};

/* The touch of an inode, with `set` added; new ones are all zeros. */
struct records_touch *records_touch(struct records_attachment *attachment, uint64_t inode,
                                    uint32_t set);

/* A store on the dataset's tree, which outlives it. Its transactions commit with an attachment. */
struct mvcc_store records_store(struct dataset *dataset);

/* A number for a new inode, never given before. Any lock may be held. */
uint64_t records_new_inode(struct dataset *dataset);

/* Makes what a journal record says happen again, and says which share it is about. No lock held.
 * INVALID (it makes no sense), what the share's damage is, and as pool_change(). */
enum status records_replay(struct lfsx_pool *pool, const void *payload, uint32_t length,
                           uint64_t *dataset);

#endif
