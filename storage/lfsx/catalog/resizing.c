/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes get another size in a transaction. The size stands in the volume's tree, not in its
 * record; the transaction writes the record as it was, so that it has it locked, and notes the
 * size.
 *
 *   the call           says what cannot be
 *   before the commit  nobody else may delete or resize it, nor open one that shrinks; what lies
 *                      behind a smaller end is freed, in many steps that are not undone
 *   the instant        the inode changes, with all records
 *   afterwards         what is new of a larger one is opened, once its size is durable
 *
 * A volume that the transaction creates begins with the size. One of which it takes a snapshot is
 * not resized, nor a clone of such a snapshot: nobody could tell which came first.
 */
#include "base/assert.h"
#include "storage/lfsx/catalog/catalog_change.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/resize.h"

struct wish {
    const char *name;
    uint64_t size;
    uint32_t flags;
};

static bool is_size(uint64_t size) {
    return size > 0 && size % 512 == 0 && size <= LFSX_VOLUME_SIZE_MAX;
}

/* What a volume that the transaction creates will have without its note. Lock held. INVALID: of a
 * snapshot that is not there yet. */
static enum status size_of_new(const struct lfsx_transaction *t, const struct dataset *d,
                               uint64_t *size) {
    *size = d->file.size;
    if (d->origin_id == 0)
        return STATUS_OK;
    struct dataset *origin = dataset_find_id(t->pool, d->origin_id);
    const struct snapshot *s =
        origin == NULL ? NULL : snapshot_find_epoch(origin, d->tree.origin_epoch);
    *size = s == NULL ? 0 : s->file.size;
    return s == NULL ? STATUS_INVALID : STATUS_OK;
}

/* Whether the wish makes sense now. Lock held. */
static enum status check(const struct lfsx_transaction *t, uint64_t id, const struct wish *wish) {
    struct dataset *d = dataset_find_id(t->pool, id);
    const struct dataset *new = transaction_created(t, id);
    uint64_t size = d != NULL ? d->file.size : 0;
    enum status status = d != NULL ? damage_status(d) : STATUS_OK;
    if (new != NULL)
        status = size_of_new(t, new, &size);
    if (status != STATUS_OK)
        return status;
    bool shrinks = wish->size < size;
    bool is_clone = new != NULL &&new->origin_id != 0;
    if (shrinks && (is_clone || !(wish->flags & LFSX_RESIZE_SHRINK)))
        return STATUS_INVALID;
    return shrinks && d != NULL && d->open_count > 0 ? STATUS_BUSY : STATUS_OK;
}

static enum status resize(struct lfsx_transaction *t, void *context) {
    const struct wish *wish = context;
    struct catalog_named named;
    enum status status = catalog_name_present(t, wish->name, &named);
    if (status != STATUS_OK)
        return status;
    uint64_t id = named.entry.target;
    if (named.record.dataset.kind != DISK_DATASET_VOLUME)
        return STATUS_NOT_FOUND;
    if (transaction_has_note(t, NOTE_RESIZED, id) ||
        transaction_has_note(t, NOTE_SNAPSHOT_TAKEN, id))
        return STATUS_INVALID;
    os_rwlock_lock_shared(&t->pool->lock);
    status = check(t, id, wish);
    os_rwlock_unlock_shared(&t->pool->lock);
    if (status == STATUS_OK)
        status =
            transaction_note(t, &(struct note){.kind = NOTE_RESIZED, .id = id, .size = wish->size});
    t->takes_space |= !(wish->flags & LFSX_RESIZE_SHRINK);
    return status == STATUS_OK ? catalog_dataset_put(t, &named.record) : status;
}

static enum status do_resize(struct lfsx_transaction *t, void *context) {
    const struct wish *wish = context;
    return is_size(wish->size) ? transaction_do(t, resize, context) : STATUS_INVALID;
}

enum status lfsx_transaction_resize(struct lfsx_transaction *t, const char *name, uint64_t size,
                                    uint32_t flags) {
    struct wish wish = {name, size, flags};
    return do_resize(t, &wish);
}

enum status lfsx_volume_resize(struct lfsx_pool *pool, const char *name, uint64_t size,
                               uint32_t flags) {
    struct wish wish = {name, size, flags};
    return transaction_run(pool, false, do_resize, &wish);
}

/* ---- around the commit ---- */

/* The volume of a note, if it was there before the transaction and stays; else NULL. Lock held. */
static struct dataset *volume_of(const struct lfsx_transaction *t, const struct note *note) {
    if (note->kind != NOTE_RESIZED || transaction_has_note(t, NOTE_GIVEN_UP, note->id))
        return NULL;
    return dataset_find_id(t->pool, note->id);
}

static enum status hold(struct lfsx_transaction *t, struct note *note, struct dataset **volume) {
    os_rwlock_lock_exclusive(&t->pool->lock);
    struct dataset *d = volume_of(t, note);
    enum status status = d == NULL ? STATUS_OK : resize_hold(d, note->size);
    note->is_held = d != NULL && status == STATUS_OK;
    os_rwlock_unlock_exclusive(&t->pool->lock);
    *volume = note->is_held ? d : NULL;
    return status;
}

enum status resizing_begin(struct lfsx_transaction *t) {
    enum status status = STATUS_OK;
    LIST_FOR_EACH(link, &t->notes) {
        struct note *note = LIST_CONTAINER(link, struct note, link);
        struct dataset *d = NULL;
        if (status != STATUS_OK || note->kind != NOTE_RESIZED)
            continue;
        status = pool_writable(t->pool);
        if (status == STATUS_OK)
            status = hold(t, note, &d);
        if (status == STATUS_OK && d != NULL)
            status = resize_cut(d, note->size);
    }
    return status;
}

void resizing_end(struct lfsx_transaction *t, bool is_durable) {
    LIST_FOR_EACH(link, &t->notes) {
        struct note *note = LIST_CONTAINER(link, struct note, link);
        if (!note->is_held)
            continue;
        os_rwlock_lock_exclusive(&t->pool->lock);
        resize_let_go(dataset_find_id(t->pool, note->id), is_durable);
        os_rwlock_unlock_exclusive(&t->pool->lock);
        note->is_held = false;
    }
}

/* ---- in the instant ---- */

static const struct note *resized(const struct lfsx_transaction *t, uint64_t id) {
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->kind == NOTE_RESIZED && note->id == id)
            return note;
    }
    return NULL;
}

/* A clone that is about to be made. */
static enum status prepare_new(struct lfsx_transaction *t, uint64_t id, struct btree_cursor *cursor,
                               struct update_need *need) {
    const struct dataset *d = transaction_created(t, id);
    if (d == NULL || d->origin_id == 0)
        return STATUS_OK;
    struct dataset *origin = dataset_find_id(t->pool, d->origin_id);
    struct snapshot *s = snapshot_find_epoch(origin, d->tree.origin_epoch);
    return resize_prefetch_clone(s, cursor, need);
}

enum status resizing_prepare(struct lfsx_transaction *t, struct btree_cursor *cursor,
                             struct update_need *need) {
    enum status status = STATUS_OK;
    bool touched = false;
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (status != STATUS_OK || note->kind != NOTE_RESIZED)
            continue;
        if (note->is_held)
            status = resize_touch(dataset_find_id(t->pool, note->id), note->size, cursor);
        else
            status = prepare_new(t, note->id, cursor, need);
        touched = true;
    }
    return status == STATUS_OK && touched ? dead_drain_locked(t->pool, cursor) : status;
}

void resizing_create(struct lfsx_transaction *t, struct dataset *d) {
    const struct note *note = resized(t, d->id);
    if (note == NULL)
        return;
    resize_apply(d, note->size);
    file_open_end(&d->file); /* nobody opens it before it is durable */
}

void resizing_apply(struct lfsx_transaction *t) {
    LIST_FOR_EACH(link, &t->notes) {
        const struct note *note = LIST_CONTAINER(link, struct note, link);
        if (note->is_held)
            resize_apply(dataset_find_id(t->pool, note->id), note->size);
    }
}
