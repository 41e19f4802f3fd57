/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold when a transaction commits, besides what its locks see to: handles lock nothing.
 */
#include "base/assert.h"
#include "storage/lfsx/catalog/transaction.h"

/* NULL: the transaction does not create it, or it is the pool's already. */
static struct dataset *created(const struct lfsx_transaction *t, uint64_t id) {
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_CREATED && note->id == id)
            return note->object;
    }
    return NULL;
}

static bool is_clone_of(const struct dataset *d, const struct snapshot *s) {
    return d != NULL && d->origin_id == s->dataset->id && d->tree.origin_epoch == s->epoch;
}

/* How many clones the snapshot will have. Those that others make or give up meanwhile do not
 * matter: who makes one has the snapshot's record locked. */
static bool has_clones(const struct lfsx_transaction *t, const struct snapshot *s) {
    uint64_t clones = s->clone_count;
    uint64_t gone = 0;
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_CREATED)
            clones += is_clone_of(note->object, s);
        if (note->kind != NOTE_GIVEN_UP)
            continue;
        const struct dataset *d = dataset_find_id(t->pool, note->id);
        gone += is_clone_of(d != NULL ? d : created(t, note->id), s);
    }
    ASSERT(gone <= clones);
    return gone < clones;
}

static bool is_used(const struct lfsx_transaction *t, const struct snapshot *s) {
    return s->open_count > 0 || has_clones(t, s);
}

static bool any_is_used(const struct lfsx_transaction *t, const struct dataset *d) {
    LIST_FOR_EACH(link, &d->snapshots)
    if (is_used(t, snapshot_of(link)))
        return true;
    return false;
}

/* A snapshot that a view still has may be gone. */
static bool has_origin(const struct dataset *clone) {
    struct dataset *d = dataset_find_id(clone->pool, clone->origin_id);
    struct snapshot *s = d == NULL ? NULL : snapshot_find_epoch(d, clone->tree.origin_epoch);
    return s != NULL && !s->deleting;
}

enum status note_check(const struct lfsx_transaction *t, const struct note *note) {
    struct dataset *d = dataset_find_id(t->pool, note->id);
    struct snapshot *s;
    switch (note->kind) {
    case NOTE_CREATED:
        return note->object->origin_id == 0 || has_origin(note->object) ? STATUS_OK
                                                                        : STATUS_CONFLICT;
    case NOTE_CLOSED:
        return d != NULL && d->open_count > 0 ? STATUS_BUSY : STATUS_OK;
    case NOTE_GIVEN_UP:
        return d != NULL && (d->open_count > 0 || any_is_used(t, d)) ? STATUS_BUSY : STATUS_OK;
    case NOTE_SNAPSHOT_GIVEN_UP:
        s = d == NULL ? NULL : snapshot_find_epoch(d, note->epoch);
        return s != NULL && is_used(t, s) ? STATUS_BUSY : STATUS_OK;
    default:
        return STATUS_OK;
    }
}

enum status transaction_check(const struct lfsx_transaction *t) {
    enum status status = STATUS_OK;
    LIST_FOR_EACH(link, &t->notes) {
        if (status == STATUS_OK)
            status = note_check(t, LIST_CONTAINER(link, struct note, link));
    }
    return status;
}

struct dataset *transaction_take_object(struct lfsx_transaction *t, uint64_t id) {
    struct dataset *d = NULL;
    LIST_FOR_EACH(link, &t->notes) {
        struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind != NOTE_CREATED || note->id != id)
            continue;
        d = note->object;
        note->object = NULL;
    }
    ASSERT(d != NULL);
    return d;
}
