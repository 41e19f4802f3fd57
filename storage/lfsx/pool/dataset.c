/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. Epochs of a dataset's snapshots rise strictly along its list and are below the pool's.
 * 2. tree.kept is the epoch of the newest snapshot that is not being deleted, 0 if there is none.
 * 3. A snapshot's clone_count is the number of datasets whose origin it is.
 */
#include "storage/lfsx/pool/dataset.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/pool/pool.h"

struct dataset *dataset_find(struct lfsx_pool *pool, const char *name) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->state == DISK_DATASET_LIVE && strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

struct dataset *dataset_find_id(struct lfsx_pool *pool, uint64_t id) {
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (d->id == id)
            return d;
    }
    return NULL;
}

struct dataset *dataset_hold(struct lfsx_pool *pool, const char *name) {
    os_rwlock_lock_exclusive(&pool->lock);
    struct dataset *d = dataset_find(pool, name);
    if (d != NULL)
        d->pin_count++;
    os_rwlock_unlock_exclusive(&pool->lock);
    return d;
}

void dataset_drop(struct dataset *d) {
    struct lfsx_pool *pool = d->pool;
    os_rwlock_lock_exclusive(&pool->lock);
    ASSERT(d->pin_count > 0);
    d->pin_count--;
    bool waited_for = d->state == DISK_DATASET_DELETING;
    os_rwlock_unlock_exclusive(&pool->lock);
    if (waited_for)
        reaper_wake(pool);
}

struct snapshot *snapshot_find(struct dataset *d, const char *name) {
    LIST_FOR_EACH(link, &d->snapshots) {
        struct snapshot *s = snapshot_of(link);
        if (!s->deleting && strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

struct snapshot *snapshot_find_epoch(struct dataset *d, uint64_t epoch) {
    LIST_FOR_EACH(link, &d->snapshots)
    if (snapshot_of(link)->epoch == epoch)
        return snapshot_of(link);
    return NULL;
}

uint64_t snapshot_before(const struct snapshot *s) {
    struct list_node *link = s->link.previous;
    return link == &s->dataset->snapshots ? 0 : snapshot_of(link)->epoch;
}

uint64_t snapshot_after(const struct snapshot *s) {
    struct list_node *link = s->link.next;
    return link == &s->dataset->snapshots ? UINT64_MAX : snapshot_of(link)->epoch;
}

void dataset_add_snapshot(struct dataset *d, struct snapshot *s) {
    ASSERT(list_is_empty(&d->snapshots) || snapshot_of(d->snapshots.previous)->epoch < s->epoch);
    list_push_back(&d->snapshots, &s->link);
    dataset_update_kept(d);
}

void dataset_update_kept(struct dataset *d) {
    d->tree.kept = 0;
    LIST_FOR_EACH(link, &d->snapshots)
    if (!snapshot_of(link)->deleting)
        d->tree.kept = snapshot_of(link)->epoch;
}

struct dead_box snapshot_box(const struct snapshot *s) {
    return (struct dead_box){.first_era = s->epoch,
                             .end_era = snapshot_after(s),
                             .first_birth = snapshot_before(s) + 1,
                             .last_birth = s->epoch};
}
