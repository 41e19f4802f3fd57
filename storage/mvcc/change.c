/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uncommitted changes and savepoints.
 *
 * Invariants:
 * 1. A transaction's changes and savepoints have sequence numbers of one series; both lists are in
 *    their order.
 * 2. Between two neighbouring savepoints a record has at most one change, the newest; it shadows
 *    that of an earlier stretch, or nothing. So undoing the changes after a savepoint, the last one
 *    first, brings back what was there.
 */
#include "base/assert.h"
#include "storage/mvcc/mvcc_internal.h"

static uint64_t newest_savepoint(const struct mvcc_transaction *transaction) {
    if (list_is_empty(&transaction->savepoints))
        return 0;
    return LIST_CONTAINER(transaction->savepoints.previous, struct mvcc_savepoint, link)->sequence;
}

static struct mvcc_version *newest_change(const struct mvcc_transaction *transaction) {
    if (list_is_empty(&transaction->changes))
        return NULL;
    return LIST_CONTAINER(transaction->changes.previous, struct mvcc_version, link);
}

/* Makes the version the record's newest change. */
static void push(struct mvcc_transaction *transaction, struct mvcc_record *record,
                 struct mvcc_version *version) {
    struct mvcc_version *previous = record->pending;
    ASSERT(record->writer == (previous != NULL ? transaction : NULL)); /* who has the lock */
    ASSERT(previous == NULL || previous->sequence <= transaction->sequence);
    version->record = record;
    record->pending = version;
    record->writer = transaction;
    transaction->mvcc->info.versions++;
    if (previous != NULL && previous->sequence > newest_savepoint(transaction)) {
        version->shadowed = previous->shadowed;
        version->sequence = previous->sequence;
        list_insert_after(&previous->link, &version->link);
        mvcc_version_free(transaction->mvcc, previous);
        return;
    }
    version->shadowed = previous;
    version->sequence = ++transaction->sequence;
    list_push_back(&transaction->changes, &version->link);
    if (previous == NULL)
        transaction->record_count++;
}

void mvcc_change_undo(struct mvcc_transaction *transaction, uint64_t sequence) {
    struct mvcc_version *version = newest_change(transaction);
    ASSERT(os_mutex_is_held(&transaction->mvcc->lock));
    for (; version != NULL && version->sequence > sequence; version = newest_change(transaction)) {
        struct mvcc_record *record = version->record;
        ASSERT(record->pending == version && record->writer == transaction);
        record->pending = version->shadowed;
        mvcc_version_free(transaction->mvcc, version);
        if (record->pending != NULL)
            continue;
        ASSERT(transaction->record_count > 0);
        record->writer = NULL;
        transaction->record_count--;
        mvcc_record_settle(transaction->mvcc, record);
    }
}

/* First committer wins: the record was changed after this transaction's view was taken. */
static bool is_conflict(struct mvcc_transaction *transaction, const struct mvcc_key *key) {
    if (transaction->isolation != MVCC_SNAPSHOT)
        return false;
    const struct mvcc_record *record = mvcc_record_find(transaction->mvcc, key);
    if (record == NULL || mvcc_record_newest(record)->stamp <= transaction->view)
        return false;
    transaction->mvcc->info.conflicts++;
    return true;
}

enum status mvcc_change_lock(struct mvcc_transaction *transaction, const struct mvcc_key *key) {
    if (is_conflict(transaction, key))
        return STATUS_CONFLICT; /* no need to wait for it */
    enum status status = mvcc_request_lock(transaction, key, key, MVCC_LOCK_EXCLUSIVE);
    if (status == STATUS_OK && is_conflict(transaction, key))
        status = STATUS_CONFLICT;
    return status;
}

/* What the record must be for a change. */
enum need { NEED_NOTHING, NEED_RECORD, NEED_NO_RECORD };

/* Consumes the version if it succeeds. */
static enum status change_locked(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                                 struct mvcc_version *version, enum need need) {
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    enum status status = mvcc_change_lock(transaction, key);
    struct mvcc_record *record = NULL;
    if (status == STATUS_OK)
        status = mvcc_record_load(transaction, key, &record);
    if (status != STATUS_OK)
        return status;
    const struct mvcc_version *now =
        record->pending != NULL ? record->pending : mvcc_record_newest(record);
    if (need == NEED_RECORD && now->deleted)
        status = STATUS_NOT_FOUND;
    if (need == NEED_NO_RECORD && !now->deleted)
        status = STATUS_EXISTS;
    if (status == STATUS_OK)
        push(transaction, record, version);
    else
        mvcc_record_settle(transaction->mvcc, record);
    return status;
}

static enum status change(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                          const void *value, size_t length, bool deleted, enum need need) {
    struct mvcc *mvcc = transaction->mvcc;
    if (!mvcc_key_is_valid(key) || length > mvcc->store.value_max)
        return STATUS_INVALID;
    struct mvcc_version *version = mvcc_version_new(value, length, deleted);
    if (version == NULL)
        return STATUS_NO_MEMORY;
    os_mutex_lock(&mvcc->lock);
    enum status status = change_locked(transaction, key, version, need);
    os_mutex_unlock(&mvcc->lock);
    if (status != STATUS_OK)
        os_free(version);
    return status;
}

enum status mvcc_write(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                       const void *value, size_t length) {
    return change(transaction, key, value, length, false, NEED_NOTHING);
}

enum status mvcc_insert(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                        const void *value, size_t length) {
    return change(transaction, key, value, length, false, NEED_NO_RECORD);
}

enum status mvcc_replace(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                         const void *value, size_t length) {
    return change(transaction, key, value, length, false, NEED_RECORD);
}

enum status mvcc_delete(struct mvcc_transaction *transaction, const struct mvcc_key *key) {
    return change(transaction, key, NULL, 0, true, NEED_RECORD);
}

enum status mvcc_savepoint(struct mvcc_transaction *transaction, uint64_t *savepoint) {
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    struct mvcc_savepoint *fresh = os_alloc(sizeof *fresh);
    if (fresh == NULL)
        return STATUS_NO_MEMORY;
    os_mutex_lock(&transaction->mvcc->lock);
    fresh->sequence = ++transaction->sequence;
    list_push_back(&transaction->savepoints, &fresh->link);
    os_mutex_unlock(&transaction->mvcc->lock);
    *savepoint = fresh->sequence;
    return STATUS_OK;
}

void mvcc_savepoint_forget(struct mvcc_transaction *transaction, uint64_t sequence) {
    while (newest_savepoint(transaction) > sequence) {
        struct mvcc_savepoint *newest =
            LIST_CONTAINER(transaction->savepoints.previous, struct mvcc_savepoint, link);
        list_remove(&newest->link);
        os_free(newest);
    }
}

static bool is_savepoint(const struct mvcc_transaction *transaction, uint64_t sequence) {
    LIST_FOR_EACH(link, &transaction->savepoints) {
        if (LIST_CONTAINER(link, struct mvcc_savepoint, link)->sequence == sequence)
            return true;
    }
    return false;
}

enum status mvcc_rollback_to(struct mvcc_transaction *transaction, uint64_t savepoint) {
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    if (!is_savepoint(transaction, savepoint))
        return STATUS_INVALID;
    os_mutex_lock(&transaction->mvcc->lock);
    mvcc_change_undo(transaction, savepoint);
    mvcc_savepoint_forget(transaction, savepoint);
    os_mutex_unlock(&transaction->mvcc->lock);
    return STATUS_OK;
}

/* The stretches after this place have become one with the stretch before it: drops what the newest
 * changes shadow there (invariant 2), or releasing savepoints would pile up changes. */
static void join_stretches(struct mvcc_transaction *transaction, uint64_t sequence) {
    uint64_t begin = newest_savepoint(transaction);
    struct list_node *link = transaction->changes.previous;
    while (link != &transaction->changes) {
        struct mvcc_version *version = LIST_CONTAINER(link, struct mvcc_version, link);
        if (version->sequence < sequence)
            return;
        while (version->shadowed != NULL && version->shadowed->sequence > begin) {
            struct mvcc_version *gone = version->shadowed;
            version->shadowed = gone->shadowed;
            mvcc_version_free(transaction->mvcc, gone);
        }
        link = link->previous;
    }
}

enum status mvcc_release(struct mvcc_transaction *transaction, uint64_t savepoint) {
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    if (!is_savepoint(transaction, savepoint))
        return STATUS_INVALID;
    os_mutex_lock(&transaction->mvcc->lock);
    mvcc_savepoint_forget(transaction, savepoint - 1);
    join_stretches(transaction, savepoint);
    os_mutex_unlock(&transaction->mvcc->lock);
    return STATUS_OK;
}
