/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beginning and ending of transactions.
 *
 * Invariant: a commit becomes visible, for those who take a view from now on, in publish(): one
 * moment under mvcc.lock, after the store has applied it and before its locks are given back.
 */
#include "base/assert.h"
#include "storage/mvcc/mvcc_internal.h"

enum status mvcc_create(const struct mvcc_store *store, struct mvcc **mvcc) {
    struct mvcc *fresh = os_alloc_zeroed(sizeof *fresh);
    if (fresh == NULL)
        return STATUS_NO_MEMORY;
    fresh->store = *store;
    os_mutex_init(&fresh->lock);
    list_init(&fresh->transactions);
    list_init(&fresh->views);
    mvcc_record_init_tree(fresh);
    mvcc_request_init_tree(fresh);
    *mvcc = fresh;
    return STATUS_OK;
}

void mvcc_destroy(struct mvcc *mvcc) {
    if (mvcc == NULL)
        return;
    ASSERT(list_is_empty(&mvcc->transactions) && list_is_empty(&mvcc->views));
    ASSERT(mvcc->records.root == NULL && mvcc->requests.root == NULL);
    os_mutex_destroy(&mvcc->lock);
    os_free(mvcc);
}

void mvcc_info(struct mvcc *mvcc, struct mvcc_info *info) {
    os_mutex_lock(&mvcc->lock);
    *info = mvcc->info;
    os_mutex_unlock(&mvcc->lock);
}

enum status mvcc_begin(struct mvcc *mvcc, const struct mvcc_options *options,
                       struct mvcc_transaction **transaction) {
    if ((unsigned)options->isolation > MVCC_SERIALIZABLE)
        return STATUS_INVALID;
    struct mvcc_transaction *fresh = os_alloc(sizeof *fresh + mvcc->store.value_max);
    if (fresh == NULL)
        return STATUS_NO_MEMORY;
    *fresh = (struct mvcc_transaction){
        .mvcc = mvcc, .isolation = options->isolation, .timeout_ns = options->timeout_ns};
    list_init(&fresh->view_link);
    list_init(&fresh->kept);
    list_init(&fresh->changes);
    list_init(&fresh->savepoints);
    list_init(&fresh->requests);
    os_condition_init(&fresh->wake);
    os_mutex_lock(&mvcc->lock);
    fresh->id = ++mvcc->transaction_count;
    list_push_back(&mvcc->transactions, &fresh->link);
    mvcc->info.transactions++;
    if (fresh->isolation == MVCC_SNAPSHOT)
        mvcc_view_take(fresh);
    os_mutex_unlock(&mvcc->lock);
    *transaction = fresh;
    return STATUS_OK;
}

void mvcc_transaction_rollback(struct mvcc_transaction *transaction) {
    mvcc_change_undo(transaction, 0);
    mvcc_savepoint_forget(transaction, 0);
    mvcc_view_drop(transaction);
    mvcc_request_release_all(transaction);
    ASSERT(transaction->record_count == 0 && transaction->request_count == 0);
    ASSERT(list_is_empty(&transaction->changes) && list_is_empty(&transaction->kept));
}

/* Undoes what is not published, and releases the transaction and mvcc.lock. */
static void finish(struct mvcc_transaction *transaction) {
    struct mvcc *mvcc = transaction->mvcc;
    mvcc_transaction_rollback(transaction);
    list_remove(&transaction->link);
    mvcc->info.transactions--;
    os_mutex_unlock(&mvcc->lock);
    os_condition_destroy(&transaction->wake);
    os_free(transaction);
}

void mvcc_abort(struct mvcc_transaction *transaction) {
    os_mutex_lock(&transaction->mvcc->lock);
    transaction->mvcc->info.aborts++;
    finish(transaction);
}

void mvcc_restart(struct mvcc_transaction *transaction) {
    struct mvcc *mvcc = transaction->mvcc;
    os_mutex_lock(&mvcc->lock);
    mvcc_transaction_rollback(transaction);
    transaction->doomed = false;
    transaction->restarts++;
    mvcc->info.restarts++;
    if (transaction->isolation == MVCC_SNAPSHOT)
        mvcc_view_take(transaction);
    os_mutex_unlock(&mvcc->lock);
}

/* A record that the transaction made and deleted again has nothing to tell the store. */
static bool is_nothing(const struct mvcc_version *version) {
    return version->deleted && mvcc_record_newest(version->record)->deleted;
}

static size_t gather(struct mvcc_transaction *transaction, struct mvcc_change *changes) {
    size_t count = 0;
    LIST_FOR_EACH(link, &transaction->changes) {
        const struct mvcc_version *version = LIST_CONTAINER(link, struct mvcc_version, link);
        const struct mvcc_record *record = version->record;
        if (record->pending != version || is_nothing(version))
            continue;
        struct mvcc_change *change = &changes[count++];
        *change = (struct mvcc_change){.kind = MVCC_DELETE, .key = record->key};
        if (version->deleted)
            continue;
        change->kind = mvcc_record_newest(record)->deleted ? MVCC_INSERT : MVCC_REPLACE;
        change->value = version->value;
        change->length = version->length;
    }
    ASSERT(count <= transaction->record_count);
    return count;
}

/* Heap order below `top`, among the first `count`. */
static void sift(struct mvcc_change *changes, size_t top, size_t count) {
    for (size_t child = 2 * top + 1; child < count; child = 2 * top + 1) {
        if (child + 1 < count && mvcc_key_compare(&changes[child].key, &changes[child + 1].key) < 0)
            child++;
        if (mvcc_key_compare(&changes[top].key, &changes[child].key) >= 0)
            return;
        struct mvcc_change moved = changes[top];
        changes[top] = changes[child];
        changes[child] = moved;
        top = child;
    }
}

static void sort(struct mvcc_change *changes, size_t count) {
    for (size_t top = count / 2; top-- > 0;)
        sift(changes, top, count);
    for (size_t end = count; end-- > 1;) {
        struct mvcc_change last = changes[0];
        changes[0] = changes[end];
        changes[end] = last;
        sift(changes, 0, end);
    }
}

static enum status apply(struct mvcc_transaction *transaction, void *attachment) {
    struct mvcc *mvcc = transaction->mvcc;
    if (transaction->record_count == 0 && attachment == NULL)
        return STATUS_OK;
    struct mvcc_change *changes = os_alloc(transaction->record_count * sizeof *changes);
    if (changes == NULL)
        return STATUS_NO_MEMORY;
    os_mutex_lock(&mvcc->lock);
    size_t count = gather(transaction, changes);
    os_mutex_unlock(&mvcc->lock);
    sort(changes, count);
    enum status status = STATUS_OK;
    if (count > 0 || attachment != NULL)
        status = mvcc->store.apply(mvcc->store.context, changes, count, attachment);
    os_free(changes);
    return status;
}

/* Makes an uncommitted version the record's newest. */
static void publish_one(struct mvcc *mvcc, struct mvcc_version *version) {
    struct mvcc_record *record = version->record;
    ASSERT(record->pending == version && mvcc_record_newest(record)->stamp < mvcc->stamp);
    record->pending = NULL;
    record->writer = NULL;
    if (is_nothing(version)) {
        mvcc_version_free(mvcc, version);
        mvcc_record_settle(mvcc, record);
        return;
    }
    struct mvcc_version *previous = mvcc_record_newest(record);
    version->stamp = mvcc->stamp;
    list_remove(&version->link);
    list_push_front(&record->versions, &version->link);
    mvcc_version_supersede(mvcc, previous);
}

static void publish(struct mvcc_transaction *transaction) {
    struct mvcc *mvcc = transaction->mvcc;
    if (transaction->record_count > 0)
        mvcc->stamp++;
    while (!list_is_empty(&transaction->changes)) {
        struct mvcc_version *version =
            LIST_CONTAINER(transaction->changes.next, struct mvcc_version, link);
        if (version->record->pending == version)
            publish_one(mvcc, version);
        else
            mvcc_version_free(mvcc, version);
    }
    transaction->record_count = 0;
}

enum status mvcc_commit(struct mvcc_transaction *transaction, void *attachment) {
    struct mvcc *mvcc = transaction->mvcc;
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    enum status status = apply(transaction, attachment);
    if (status != STATUS_OK)
        return status;
    os_mutex_lock(&mvcc->lock);
    publish(transaction);
    mvcc->info.commits++;
    finish(transaction);
    return STATUS_OK;
}

static bool is_worth_another_try(enum status status) {
    return status == STATUS_DEADLOCK || status == STATUS_CONFLICT || status == STATUS_AGAIN;
}

enum status mvcc_run(struct mvcc *mvcc, const struct mvcc_options *options, mvcc_body *body,
                     void *context, void *attachment) {
    struct mvcc_transaction *transaction;
    enum status status = mvcc_begin(mvcc, options, &transaction);
    if (status != STATUS_OK)
        return status;
    for (;;) {
        status = body(transaction, context);
        if (status == STATUS_OK)
            status = mvcc_commit(transaction, attachment);
        if (status == STATUS_OK)
            return STATUS_OK;
        if (!is_worth_another_try(status))
            break;
        mvcc_restart(transaction);
    }
    mvcc_abort(transaction);
    return status;
}
