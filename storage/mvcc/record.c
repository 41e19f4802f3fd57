/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in memory, their versions, and the views that keep them there. The invariants stand in
 * mvcc_internal.h.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/mvcc/mvcc_internal.h"

static struct mvcc_record *record_of(const struct mvcc_tree_node *node) {
    return LIST_CONTAINER(node, struct mvcc_record, node);
}

static int compare_records(const struct mvcc_tree_node *a, const struct mvcc_tree_node *b) {
    return mvcc_key_compare(&record_of(a)->key, &record_of(b)->key);
}

void mvcc_record_init_tree(struct mvcc *mvcc) {
    mvcc->records = (struct mvcc_tree){.compare = compare_records};
}

struct mvcc_version *mvcc_version_new(const void *value, size_t length, bool deleted) {
    struct mvcc_version *version = os_alloc(sizeof *version + length);
    if (version == NULL)
        return NULL;
    *version = (struct mvcc_version){.deleted = deleted, .length = length};
    list_init(&version->link);
    list_init(&version->kept_link);
    if (length > 0)
        memcpy(version->value, value, length);
    return version;
}

void mvcc_version_free(struct mvcc *mvcc, struct mvcc_version *version) {
    list_remove(&version->link);
    list_remove(&version->kept_link);
    os_free(version);
    mvcc->info.versions--;
}

struct mvcc_record *mvcc_record_at_least(const struct mvcc *mvcc, const struct mvcc_key *key) {
    struct mvcc_record *best = NULL;
    struct mvcc_tree_node *node = mvcc->records.root;
    while (node != NULL) {
        struct mvcc_record *record = record_of(node);
        if (mvcc_key_compare(&record->key, key) >= 0) {
            best = record;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

struct mvcc_record *mvcc_record_find(const struct mvcc *mvcc, const struct mvcc_key *key) {
    struct mvcc_record *record = mvcc_record_at_least(mvcc, key);
    return record != NULL && mvcc_key_compare(&record->key, key) == 0 ? record : NULL;
}

struct mvcc_version *mvcc_record_newest(const struct mvcc_record *record) {
    ASSERT(!list_is_empty(&record->versions));
    return LIST_CONTAINER(record->versions.next, struct mvcc_version, link);
}

enum status mvcc_record_load(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                             struct mvcc_record **record) {
    struct mvcc *mvcc = transaction->mvcc;
    ASSERT(os_mutex_is_held(&mvcc->lock));
    *record = mvcc_record_find(mvcc, key);
    if (*record != NULL) {
        ASSERT((*record)->writer == NULL || (*record)->writer == transaction);
        return STATUS_OK;
    }
    os_mutex_unlock(&mvcc->lock);
    size_t length = 0;
    enum status status = mvcc->store.read(mvcc->store.context, key, transaction->scratch, &length);
    ASSERT(status != STATUS_OK || length <= mvcc->store.value_max);
    struct mvcc_record *fresh = NULL;
    struct mvcc_version *version = NULL;
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        bool deleted = status == STATUS_NOT_FOUND;
        fresh = os_alloc(sizeof *fresh);
        version = mvcc_version_new(transaction->scratch, deleted ? 0 : length, deleted);
        status = fresh != NULL && version != NULL ? STATUS_OK : STATUS_NO_MEMORY;
    }
    os_mutex_lock(&mvcc->lock);
    if (status != STATUS_OK) {
        os_free(fresh);
        os_free(version);
        return status;
    }
    *fresh = (struct mvcc_record){.key = *key};
    list_init(&fresh->versions);
    version->record = fresh;
    list_push_front(&fresh->versions, &version->link);
    mvcc_tree_insert(&mvcc->records, &fresh->node); /* the lock kept others from doing so */
    mvcc->info.records++;
    mvcc->info.versions++;
    *record = fresh;
    return STATUS_OK;
}

void mvcc_record_settle(struct mvcc *mvcc, struct mvcc_record *record) {
    struct mvcc_version *newest = mvcc_record_newest(record);
    if (record->pending != NULL || newest->link.next != &record->versions)
        return;
    mvcc_version_free(mvcc, newest);
    mvcc_tree_remove(&mvcc->records, &record->node);
    os_free(record);
    mvcc->info.records--;
}

const struct mvcc_version *mvcc_record_visible(const struct mvcc_record *record,
                                               const struct mvcc_transaction *transaction) {
    if (record->writer == transaction)
        return record->pending;
    LIST_FOR_EACH(link, &record->versions) {
        const struct mvcc_version *version = LIST_CONTAINER(link, struct mvcc_version, link);
        if (version->stamp <= transaction->view)
            return version;
    }
    ASSERT_UNREACHABLE();
}

void mvcc_view_take(struct mvcc_transaction *transaction) {
    ASSERT(os_mutex_is_held(&transaction->mvcc->lock));
    if (!list_is_empty(&transaction->view_link))
        return;
    transaction->view = transaction->mvcc->stamp;
    list_push_back(&transaction->mvcc->views, &transaction->view_link);
}

/* No view later than this one, or than the end of the list, sees the version: has this one keep it
 * if it does, or else releases it, since those before see less. */
static void keep_or_release(struct mvcc *mvcc, struct mvcc_version *version,
                            struct list_node *view_link) {
    struct mvcc_transaction *viewer = LIST_CONTAINER(view_link, struct mvcc_transaction, view_link);
    if (view_link != &mvcc->views && viewer->view >= version->stamp) {
        list_push_back(&viewer->kept, &version->kept_link);
        return;
    }
    struct mvcc_record *record = version->record;
    mvcc_version_free(mvcc, version);
    mvcc_record_settle(mvcc, record);
}

void mvcc_version_supersede(struct mvcc *mvcc, struct mvcc_version *version) {
    ASSERT(mvcc_record_newest(version->record) != version);
    keep_or_release(mvcc, version, mvcc->views.previous);
}

void mvcc_view_drop(struct mvcc_transaction *transaction) {
    if (list_is_empty(&transaction->view_link))
        return;
    ASSERT(os_mutex_is_held(&transaction->mvcc->lock));
    struct list_node *before = transaction->view_link.previous;
    list_remove(&transaction->view_link);
    struct list_node *link;
    while ((link = list_pop_front(&transaction->kept)) != NULL)
        keep_or_release(transaction->mvcc, LIST_CONTAINER(link, struct mvcc_version, kept_link),
                        before);
}
