/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions over the catalog (lfsx_transaction.h), from inside.
 *
 * Lock order: their record locks come before every lock of the pool's (pool.h). Whoever may hold up
 * the pool, as its keeper, takes part without waiting (QUIET).
 */
#ifndef STORAGE_LFSX_CATALOG_TRANSACTION_H
#define STORAGE_LFSX_CATALOG_TRANSACTION_H

#include "base/list.h"
#include "storage/lfsx/lfsx_transaction.h"
#include "storage/lfsx/pool/pool.h"
#include "storage/mvcc/mvcc.h"

enum note_kind {
    NOTE_CREATED,           /* the dataset comes into being as `object` */
    NOTE_CLOSED,            /* nobody may have it open */
    NOTE_GIVEN_UP,          /* it goes with all its snapshots: nobody may use them */
    NOTE_SNAPSHOT_GIVEN_UP, /* its snapshot of `epoch` goes */
    NOTE_SNAPSHOT_TAKEN,    /* a snapshot of `epoch` comes into being as `snapshot` */
    NOTE_RESIZED,           /* a volume has `size` afterwards */
    NOTE_SAVEPOINT
};

/* What a change means beyond its records; all conditions hold at the instant of the commit. */
struct note {
    struct list_node link;
    enum note_kind kind;
    uint64_t id;               /* of the dataset, or of the savepoint */
    uint64_t epoch;            /* of the snapshot */
    struct dataset *object;    /* the note's until it is the pool's; else NULL */
    struct snapshot *snapshot; /* the same */
    uint64_t size;             /* bytes */
    bool is_held;              /* the volume, by resizing_begin() */
    bool takes_space;          /* the transaction's, at a savepoint */
};

struct lfsx_transaction {
    struct lfsx_pool *pool;
    struct mvcc_transaction *records;
    struct list_node notes; /* struct note.link, in the order of the changes */
    bool takes_space;       /* it leaves the reserve alone */
    bool quiet;             /* see below */

    /* What its application did; pool->lock. */
    bool is_changed, is_giving_up, is_rescheduled;
};

/* ---- transaction.c ---- */

/* As lfsx_transaction_run(), serializable. Quiet: for the pool's own work. It waits for no lock
 * (TIMEOUT), for nothing that is being freed, and not until it is durable. */
enum status transaction_run(struct lfsx_pool *pool, bool quiet, lfsx_transaction_body *body,
                            void *context);

/* Makes one change as a whole or, after an error, not at all. */
enum status transaction_do(struct lfsx_transaction *transaction, lfsx_transaction_body *change,
                           void *context);

/* Adds a note; object and snapshot are the note's, also after an error (NO_MEMORY). BUSY: its
 * condition does not hold now. */
enum status transaction_note(struct lfsx_transaction *transaction, const struct note *note);

/* ---- transaction_note.c: pool->lock held ---- */

/* Whether the note's condition holds. BUSY, CONFLICT. */
enum status note_check(const struct lfsx_transaction *transaction, const struct note *note);
/* Whether all do. */
enum status transaction_check(const struct lfsx_transaction *transaction);
/* The object of a dataset that the transaction creates, from now on the caller's. */
struct dataset *transaction_take_object(struct lfsx_transaction *transaction, uint64_t id);
/* The same of a snapshot that it takes. */
struct snapshot *transaction_take_snapshot(struct lfsx_transaction *transaction, uint64_t id,
                                           uint64_t epoch);
/* The dataset that the transaction creates; NULL: it does not, or it is the pool's already. */
struct dataset *transaction_created(const struct lfsx_transaction *transaction, uint64_t id);
/* Whether it has a note of the kind about the dataset. */
bool transaction_has_note(const struct lfsx_transaction *transaction, enum note_kind kind,
                          uint64_t id);

/* ---- resizing.c ---- */

/* Before the commit: keeps others from what the resized volumes must not meet, and gives up what
 * lies behind a smaller end. No lock held. BUSY, and as file_punch(). */
enum status resizing_begin(struct lfsx_transaction *transaction);
/* After the commit, or in vain. The new end of what became larger is open if it is durable. */
void resizing_end(struct lfsx_transaction *transaction, bool is_durable);

/* In the step that commits, with the lock exclusive: sees to it that resizing takes no more than it
 * adds to the need, and drops nothing that a snapshot holds. May change trees, but not what they
 * say. AGAIN, NO_SPACE, NO_MEMORY, READ_ONLY. */
enum status resizing_prepare(struct lfsx_transaction *transaction, struct btree_cursor *cursor,
                             struct update_need *need);
/* In the update: a dataset that was just created gets its size; ... */
void resizing_create(struct lfsx_transaction *transaction, struct dataset *dataset);
/* ... and those that there were. */
void resizing_apply(struct lfsx_transaction *transaction);

#endif
