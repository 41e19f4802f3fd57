/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold when a transaction commits, besides what its locks see to: handles lock nothing.
 */
#include "base/assert.h"
#include "storage/lfsx/catalog/transaction.h"
#include "storage/lfsx/pool/dataset.h"

struct dataset *transaction_created(const struct lfsx_transaction *t, uint64_t id) {
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_CREATED && note->id == id)
            return note->object;
    }
    return NULL;
}

bool transaction_has_note(const struct lfsx_transaction *t, enum note_kind kind, uint64_t id) {
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == kind && note->id == id)
            return true;
    }
    return false;
}

/* A snapshot that there is or that the transaction takes. */
struct place {
    uint64_t id, epoch;
};

static bool is_clone_of(const struct dataset *d, struct place place) {
    return d != NULL && d->origin_id == place.id && d->tree.origin_epoch == place.epoch;
}

/* Whether the snapshot, which has some clones now, will have any. Those that others make or give up
 * meanwhile do not matter: who makes one has the snapshot's record locked. */
static bool has_clones(const struct lfsx_transaction *t, struct place place, uint64_t clones) {
    uint64_t gone = 0;
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_CREATED)
            clones += is_clone_of(note->object, place);
        if (note->kind != NOTE_GIVEN_UP)
            continue;
        const struct dataset *d = dataset_find_id(t->pool, note->id);
        gone += is_clone_of(d != NULL ? d : transaction_created(t, note->id), place);
    }
    ASSERT(gone <= clones);
    return gone < clones;
}

static bool is_used(const struct lfsx_transaction *t, const struct snapshot *s) {
    struct place place = {s->dataset->id, s->epoch};
    return s->open_count > 0 || has_clones(t, place, s->clone_count);
}

/* Of snapshots that there are and of one that the transaction takes. */
static bool any_is_used(const struct lfsx_transaction *t, uint64_t id) {
    struct dataset *d = dataset_find_id(t->pool, id);
    bool any = false;
    for (struct list_node *link = d == NULL ? NULL : d->snapshots.next;
         link != NULL && link != &d->snapshots; link = link->next)
        any |= is_used(t, snapshot_of(link));
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_SNAPSHOT_TAKEN && note->id == id)
            any |= has_clones(t, (struct place){id, note->epoch}, 0);
    }
    return any;
}

/* By somebody else than the transaction. */
static bool is_open(const struct lfsx_transaction *t, uint64_t id) {
    const struct dataset *d = dataset_find_id(t->pool, id);
    uint32_t held = 0;
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        held += note->kind == NOTE_RESIZED && note->id == id && note->is_held;
    }
    return d != NULL && d->open_count > held;
}

/* A snapshot that a view still has may be gone. */
static bool has_origin(const struct lfsx_transaction *t, const struct dataset *clone) {
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_SNAPSHOT_TAKEN &&
            is_clone_of(clone, (struct place){note->id, note->epoch}))
            return true;
    }
    struct dataset *d = dataset_find_id(clone->pool, clone->origin_id);
    struct snapshot *s = d == NULL ? NULL : snapshot_find_epoch(d, clone->tree.origin_epoch);
    return s != NULL && !s->deleting;
}

static bool may_go(const struct lfsx_transaction *t, struct place place) {
    struct dataset *d = dataset_find_id(t->pool, place.id);
    struct snapshot *s = d == NULL ? NULL : snapshot_find_epoch(d, place.epoch);
    return s != NULL ? !is_used(t, s) : !has_clones(t, place, 0);
}

enum status note_check(const struct lfsx_transaction *t, const struct note *note) {
    switch (note->kind) {
    case NOTE_CREATED:
        return note->object->origin_id == 0 || has_origin(t, note->object) ? STATUS_OK
                                                                           : STATUS_CONFLICT;
    case NOTE_CLOSED:
        return is_open(t, note->id) ? STATUS_BUSY : STATUS_OK;
    case NOTE_GIVEN_UP:
        return is_open(t, note->id) || any_is_used(t, note->id) ? STATUS_BUSY : STATUS_OK;
    case NOTE_SNAPSHOT_GIVEN_UP:
        return may_go(t, (struct place){note->id, note->epoch}) ? STATUS_OK : STATUS_BUSY;
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

struct snapshot *transaction_take_snapshot(struct lfsx_transaction *t, uint64_t id,
                                           uint64_t epoch) {
    struct note *last = NULL; /* it may have been taken, deleted and taken again */
    LIST_FOR_EACH(link, &t->notes) {
        struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_SNAPSHOT_TAKEN && note->id == id && note->epoch == epoch)
            last = note;
    }
    ASSERT(last != NULL && last->snapshot != NULL);
    struct snapshot *s = last->snapshot;
    last->snapshot = NULL;
    return s;
}
