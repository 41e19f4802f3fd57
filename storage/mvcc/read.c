/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: what is in memory comes first, the store second.
 *
 * A reader does not hold anything up: it asks the store without a lock, then looks into memory. If
 * somebody changed a record in between, its version for this reader's view is in memory by then
 * (mvcc_internal.h, invariants 1 to 3), and what the store said does not count.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/mvcc/mvcc_internal.h"

/* Where the caller wants what is read. */
struct target {
    struct mvcc_key *found; /* NULL: known */
    void *value;
    size_t size;
    size_t *length;
};

static void deliver(const struct target *target, const struct mvcc_key *key, const void *value,
                    size_t length) {
    if (target->found != NULL)
        *target->found = *key;
    *target->length = length;
    size_t copied = MATH_MIN(length, target->size);
    if (copied > 0)
        memcpy(target->value, value, copied);
}

/* Delivers what the transaction sees of a record in memory. */
static enum status deliver_record(struct mvcc_transaction *transaction,
                                  const struct mvcc_record *record, const struct target *target) {
    const struct mvcc_version *version = mvcc_record_visible(record, transaction);
    if (version->deleted)
        return STATUS_NOT_FOUND;
    deliver(target, &record->key, version->value, version->length);
    return STATUS_OK;
}

/* The transaction has a view. */
static enum status look_up(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                           const struct target *target) {
    struct mvcc *mvcc = transaction->mvcc;
    const struct mvcc_record *record = mvcc_record_find(mvcc, key);
    if (record != NULL)
        return deliver_record(transaction, record, target);
    os_mutex_unlock(&mvcc->lock);
    size_t length = 0;
    enum status status = mvcc->store.read(mvcc->store.context, key, transaction->scratch, &length);
    os_mutex_lock(&mvcc->lock);
    record = mvcc_record_find(mvcc, key);
    if (record != NULL)
        return deliver_record(transaction, record, target);
    if (status != STATUS_OK)
        return status;
    ASSERT(length <= mvcc->store.value_max);
    deliver(target, key, transaction->scratch, length);
    return STATUS_OK;
}

/* Asks the store for the first record in the range. */
static enum status next_stored(struct mvcc_transaction *transaction, const struct mvcc_key *from,
                               const struct mvcc_key *last, struct mvcc_key *found,
                               size_t *length) {
    struct mvcc *mvcc = transaction->mvcc;
    os_mutex_unlock(&mvcc->lock);
    enum status status =
        mvcc->store.next(mvcc->store.context, from, last, found, transaction->scratch, length);
    os_mutex_lock(&mvcc->lock);
    ASSERT(status != STATUS_OK ||
           (mvcc_key_compare(found, from) >= 0 && mvcc_key_compare(found, last) <= 0 &&
            *length <= mvcc->store.value_max));
    return status;
}

/* Delivers the first record in memory, of those in the range, that the transaction sees.
 * *last_known says whether `last` is one of those that it does not see. */
static enum status next_in_memory(struct mvcc_transaction *transaction, const struct mvcc_key *from,
                                  const struct mvcc_key *last, const struct target *target,
                                  bool *last_known) {
    struct mvcc_key at = *from;
    *last_known = false;
    for (;;) {
        const struct mvcc_record *record = mvcc_record_at_least(transaction->mvcc, &at);
        int order = record == NULL ? 1 : mvcc_key_compare(&record->key, last);
        if (order > 0)
            return STATUS_NOT_FOUND;
        if (deliver_record(transaction, record, target) == STATUS_OK)
            return STATUS_OK;
        if (order == 0) {
            *last_known = true;
            return STATUS_NOT_FOUND;
        }
        at = record->key;
        bool more = mvcc_key_advance(&at);
        ASSERT(more); /* `last` comes later */
    }
}

/* The transaction has a view. */
static enum status look_for_next(struct mvcc_transaction *transaction, const struct mvcc_key *from,
                                 const struct mvcc_key *last, const struct target *target) {
    struct mvcc_key at = *from;
    for (;;) {
        struct mvcc_key stored;
        size_t length = 0;
        bool stale = false;
        enum status status = next_stored(transaction, &at, last, &stored, &length);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return status;
        const struct mvcc_key *end = status == STATUS_OK ? &stored : last;
        if (next_in_memory(transaction, &at, end, target, &stale) == STATUS_OK)
            return STATUS_OK;
        if (status == STATUS_NOT_FOUND)
            return status;
        if (!stale) {
            deliver(target, &stored, transaction->scratch, length);
            return STATUS_OK;
        }
        at = stored; /* which is deleted, or not there yet, for this transaction */
        if (!mvcc_key_advance(&at) || mvcc_key_compare(&at, last) > 0)
            return STATUS_NOT_FOUND;
    }
}

/* A view for one call; a snapshot has its own. */
static void end_view(struct mvcc_transaction *transaction) {
    if (transaction->isolation != MVCC_SNAPSHOT)
        mvcc_view_drop(transaction);
}

static enum status read_locked(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                               bool for_update, const struct target *target) {
    enum status status = transaction->doomed ? STATUS_DEADLOCK : STATUS_OK;
    if (status == STATUS_OK && for_update)
        status = mvcc_change_lock(transaction, key);
    else if (status == STATUS_OK && transaction->isolation == MVCC_SERIALIZABLE)
        status = mvcc_request_lock(transaction, key, key, MVCC_LOCK_SHARED);
    if (status != STATUS_OK)
        return status;
    mvcc_view_take(transaction);
    status = look_up(transaction, key, target);
    end_view(transaction);
    return status;
}

static enum status read_one(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                            bool for_update, const struct target *target) {
    if (!mvcc_key_is_valid(key))
        return STATUS_INVALID;
    os_mutex_lock(&transaction->mvcc->lock);
    enum status status = read_locked(transaction, key, for_update, target);
    os_mutex_unlock(&transaction->mvcc->lock);
    return status;
}

enum status mvcc_read(struct mvcc_transaction *transaction, const struct mvcc_key *key, void *value,
                      size_t size, size_t *length) {
    struct target target = {.value = value, .size = size, .length = length};
    return read_one(transaction, key, false, &target);
}

enum status mvcc_read_for_update(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                                 void *value, size_t size, size_t *length) {
    struct target target = {.value = value, .size = size, .length = length};
    return read_one(transaction, key, true, &target);
}

/*
 * A serializable transaction locks from the start of the range up to what it found: nobody may put
 * something before that. Which range that is, it knows only afterwards; so if something was
 * committed before it had the lock, it looks again.
 */
static enum status next_locked(struct mvcc_transaction *transaction, const struct mvcc_key *from,
                               const struct mvcc_key *last, const struct target *target) {
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    if (mvcc_key_compare(from, last) > 0)
        return STATUS_NOT_FOUND;
    struct mvcc_key locked;
    bool has_lock = false;
    for (;;) {
        mvcc_view_take(transaction);
        uint64_t seen = transaction->view;
        enum status status = look_for_next(transaction, from, last, target);
        end_view(transaction);
        if (transaction->isolation != MVCC_SERIALIZABLE ||
            (status != STATUS_OK && status != STATUS_NOT_FOUND))
            return status;
        const struct mvcc_key *end = status == STATUS_OK ? target->found : last;
        if (has_lock && mvcc_key_compare(end, &locked) <= 0)
            return status;
        enum status lock_status = mvcc_request_lock(transaction, from, end, MVCC_LOCK_SHARED);
        if (lock_status != STATUS_OK)
            return lock_status;
        if (transaction->mvcc->stamp == seen)
            return status;
        locked = *end;
        has_lock = true;
    }
}

enum status mvcc_next(struct mvcc_transaction *transaction, const struct mvcc_key *from,
                      const struct mvcc_key *last, struct mvcc_key *found, void *value, size_t size,
                      size_t *length) {
    if (!mvcc_key_is_valid(from) || !mvcc_key_is_valid(last))
        return STATUS_INVALID;
    struct mvcc_key result;
    struct target target = {.found = &result, .value = value, .size = size, .length = length};
    os_mutex_lock(&transaction->mvcc->lock);
    enum status status = next_locked(transaction, from, last, &target);
    os_mutex_unlock(&transaction->mvcc->lock);
    if (status == STATUS_OK)
        *found = result; /* `from` may be the same object */
    return status;
}
