/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction over the catalog: one over its records (mvcc.h), and notes of what goes with them.
 *
 * Invariants:
 * 1. The notes are those of the changes that the transaction has; what undoes changes forgets
 *    their notes.
 * 2. Each savepoint has a note, in its place among the others.
 */
#include "storage/lfsx/catalog/transaction.h"
#include "base/assert.h"
#include "base/os.h"
#include "storage/lfsx/file/dataset_life.h"

_Static_assert((unsigned)LFSX_READ_COMMITTED == (unsigned)MVCC_READ_COMMITTED, "isolation");
_Static_assert((unsigned)LFSX_SNAPSHOT == (unsigned)MVCC_SNAPSHOT, "isolation");
_Static_assert((unsigned)LFSX_SERIALIZABLE == (unsigned)MVCC_SERIALIZABLE, "isolation");

static const struct lfsx_transaction_options patient = {LFSX_SERIALIZABLE, OS_FOREVER};

static void free_objects(const struct note *note) {
    if (note->object != NULL)
        dataset_free(note->object);
    if (note->snapshot != NULL)
        snapshot_free(note->snapshot);
}

static void drop_note(struct note *note) {
    free_objects(note);
    list_remove(&note->link);
    os_free(note);
}

/* Forgets the notes behind the savepoint's; 0: all. */
static void forget_notes(struct lfsx_transaction *t, uint64_t savepoint) {
    t->takes_space = false;
    while (!list_is_empty(&t->notes)) {
        struct note *note = LIST_CONTAINER(t->notes.previous, struct note, link);
        if (savepoint != 0 && note->kind == NOTE_SAVEPOINT && note->id == savepoint) {
            t->takes_space = note->takes_space;
            return;
        }
        drop_note(note);
    }
    ASSERT(savepoint == 0);
}

enum status lfsx_transaction_begin(struct lfsx_pool *pool,
                                   const struct lfsx_transaction_options *options,
                                   struct lfsx_transaction **transaction) {
    if (options == NULL)
        options = &patient;
    struct lfsx_transaction *t = os_alloc_zeroed(sizeof *t);
    if (t == NULL)
        return STATUS_NO_MEMORY;
    struct mvcc_options records = {(enum mvcc_isolation)options->isolation, options->timeout_ns};
    enum status status = mvcc_begin(pool->catalog_records, &records, &t->records);
    if (status != STATUS_OK) {
        os_free(t);
        return status;
    }
    t->pool = pool;
    list_init(&t->notes);
    *transaction = t;
    return STATUS_OK;
}

/* Its records are gone. */
static void release(struct lfsx_transaction *t) {
    forget_notes(t, 0);
    os_free(t);
}

void lfsx_transaction_abort(struct lfsx_transaction *t) {
    mvcc_abort(t->records);
    release(t);
}

void lfsx_transaction_restart(struct lfsx_transaction *t) {
    mvcc_restart(t->records);
    forget_notes(t, 0);
}

/* What comes after the instant of the commit. */
static enum status settle(struct lfsx_transaction *t) {
    struct lfsx_pool *pool = t->pool;
    enum status status = t->is_changed && !t->quiet ? pool_commit(pool) : STATUS_OK;
    resizing_end(t, status == STATUS_OK);
    if (t->is_giving_up && status == STATUS_OK)
        reaper_wake(pool);
    if (t->is_rescheduled && status == STATUS_OK)
        pool_keeper_wake(pool);
    release(t);
    return status;
}

enum status lfsx_transaction_commit(struct lfsx_transaction *t, bool *done) {
    enum status status = resizing_begin(t);
    if (status == STATUS_OK)
        status = mvcc_commit(t->records, t);
    if (done != NULL)
        *done = status == STATUS_OK;
    if (status == STATUS_OK)
        return settle(t);
    resizing_end(t, false);
    if (done == NULL)
        lfsx_transaction_abort(t);
    return status;
}

/* ---- running bodies ---- */

/* Whether the body may succeed when it runs anew; its locks are given back. */
static bool may_run_again(struct lfsx_transaction *t, enum status status, unsigned *reclaims) {
    if (status == STATUS_DEADLOCK || status == STATUS_CONFLICT) {
        lfsx_transaction_restart(t);
        return true;
    }
    if (status != STATUS_NO_SPACE || t->quiet || (*reclaims)++ == POOL_RECLAIM_TRIES)
        return false;
    lfsx_transaction_restart(t);
    return pool_reclaim(t->pool);
}

static enum status run(struct lfsx_transaction *t, lfsx_transaction_body *body, void *context) {
    unsigned reclaims = 0;
    for (;;) {
        bool done = false;
        enum status status = body(t, context);
        if (status == STATUS_OK)
            status = lfsx_transaction_commit(t, &done);
        if (done)
            return status;
        if (!may_run_again(t, status, &reclaims)) {
            lfsx_transaction_abort(t);
            return status;
        }
    }
}

enum status lfsx_transaction_run(struct lfsx_pool *pool,
                                 const struct lfsx_transaction_options *options,
                                 lfsx_transaction_body *body, void *context) {
    struct lfsx_transaction *t;
    enum status status = lfsx_transaction_begin(pool, options, &t);
    return status == STATUS_OK ? run(t, body, context) : status;
}

enum status transaction_run(struct lfsx_pool *pool, bool quiet, lfsx_transaction_body *body,
                            void *context) {
    static const struct lfsx_transaction_options hasty = {LFSX_SERIALIZABLE, 0};
    struct lfsx_transaction *t;
    enum status status = lfsx_transaction_begin(pool, quiet ? &hasty : &patient, &t);
    if (status != STATUS_OK)
        return status;
    t->quiet = quiet;
    return run(t, body, context);
}

/* ---- notes and savepoints ---- */

/* NO_MEMORY: NULL. In no list; the object is still the caller's. */
static struct note *new_note(const struct note *from) {
    struct note *note = os_alloc(sizeof *note);
    if (note == NULL)
        return NULL;
    *note = *from;
    list_init(&note->link);
    return note;
}

enum status transaction_note(struct lfsx_transaction *t, const struct note *from) {
    struct note *note = new_note(from);
    if (note == NULL) {
        free_objects(from);
        return STATUS_NO_MEMORY;
    }
    list_push_back(&t->notes, &note->link);
    os_rwlock_lock_shared(&t->pool->lock);
    enum status status = note_check(t, note);
    os_rwlock_unlock_shared(&t->pool->lock);
    return status;
}

enum status lfsx_transaction_savepoint(struct lfsx_transaction *t, uint64_t *savepoint) {
    struct note *note =
        new_note(&(struct note){.kind = NOTE_SAVEPOINT, .takes_space = t->takes_space});
    if (note == NULL)
        return STATUS_NO_MEMORY;
    enum status status = mvcc_savepoint(t->records, &note->id);
    if (status != STATUS_OK) {
        os_free(note);
        return status;
    }
    list_push_back(&t->notes, &note->link);
    *savepoint = note->id;
    return STATUS_OK;
}

enum status lfsx_transaction_rollback_to(struct lfsx_transaction *t, uint64_t savepoint) {
    enum status status = mvcc_rollback_to(t->records, savepoint);
    if (status == STATUS_OK)
        forget_notes(t, savepoint);
    return status;
}

enum status lfsx_transaction_release(struct lfsx_transaction *t, uint64_t savepoint) {
    enum status status = mvcc_release(t->records, savepoint);
    if (status != STATUS_OK)
        return status;
    LIST_FOR_EACH_SAFE(link, &t->notes) {
        struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_SAVEPOINT && note->id >= savepoint) /* their numbers rise */
            drop_note(note);
    }
    return STATUS_OK;
}

enum status transaction_do(struct lfsx_transaction *t, lfsx_transaction_body *change,
                           void *context) {
    uint64_t savepoint;
    enum status status = lfsx_transaction_savepoint(t, &savepoint);
    if (status != STATUS_OK)
        return status;
    status = change(t, context);
    /* After a deadlock there is nothing left to undo, nor the savepoint. */
    if (status != STATUS_OK)
        (void)lfsx_transaction_rollback_to(t, savepoint);
    (void)lfsx_transaction_release(t, savepoint);
    return status;
}
