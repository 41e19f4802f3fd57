/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking, deleting and listing snapshots.
 *
 * A snapshot is taken in the instant in which a checkpoint gathers: all trees are sealed then, so
 * their roots are what a snapshot needs, and the epoch rises before anything else can change. That
 * makes it durable with the checkpoint, of several datasets as of one.
 */
#include "storage/lfsx/snapshot.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/catalog.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/pool.h"

/* Snapshots that ride on a checkpoint. */
struct taking {
    struct checkpoint_rider rider;
    struct lfsx_pool *pool;
    const char *const *volumes;
    uint32_t count;
    struct snapshot **snapshots; /* `count`; their datasets are found when the time has come */
    const char *name;
    bool taken;
};

/* Finds the datasets, each once and without a snapshot of this name. */
static enum status find_targets(struct taking *taking) {
    if (taking->pool->epoch + 1 >= DISK_EPOCH_MAX)
        return STATUS_NO_SPACE;
    for (uint32_t i = 0; i < taking->count; i++) {
        struct dataset *d = dataset_find(taking->pool, taking->volumes[i]);
        if (d == NULL)
            return STATUS_NOT_FOUND;
        if (snapshot_find(d, taking->name) != NULL)
            return STATUS_EXISTS;
        for (uint32_t j = 0; j < i; j++)
            if (taking->snapshots[j]->dataset == d)
                return STATUS_INVALID;
        taking->snapshots[i]->dataset = d;
    }
    return STATUS_OK;
}

static enum status prepare(struct checkpoint_rider *rider, struct btree_cursor *cursor,
                           struct update_need *need) {
    struct taking *taking = LIST_CONTAINER(rider, struct taking, rider);
    enum status status = find_targets(taking);
    uint64_t nodes = need->nodes;
    need->frees = false;
    for (uint32_t i = 0; status == STATUS_OK && i < taking->count; i++)
        status = catalog_prefetch_snapshot(taking->pool, taking->snapshots[i]->dataset->id,
                                           taking->pool->epoch, cursor, need);
    need->nodes += need->nodes - nodes; /* to change it back */
    return status;
}

/* The snapshot is what its dataset is. */
static void take(struct snapshot *s) {
    struct dataset *d = s->dataset;
    s->epoch = d->pool->epoch;
    s->tree = d->tree;
    s->tree.dataset = NULL;
    s->tree.kept = 0;
    s->tree.dirty = false;
    s->data_blocks = d->data_blocks;
    s->file.dataset = d;
    s->file.size = d->file.size;
}

static void change(struct checkpoint_rider *rider) {
    struct taking *taking = LIST_CONTAINER(rider, struct taking, rider);
    for (uint32_t i = 0; i < taking->count; i++) {
        take(taking->snapshots[i]);
        catalog_insert_snapshot(taking->snapshots[i]);
    }
}

static void undo(struct checkpoint_rider *rider) {
    struct taking *taking = LIST_CONTAINER(rider, struct taking, rider);
    for (uint32_t i = 0; i < taking->count; i++)
        catalog_remove_snapshot(taking->snapshots[i]);
}

static void seal(struct checkpoint_rider *rider) {
    struct taking *taking = LIST_CONTAINER(rider, struct taking, rider);
    for (uint32_t i = 0; i < taking->count; i++) {
        struct snapshot *s = taking->snapshots[i];
        take(s);
        catalog_store_snapshot(s);
        dataset_add_snapshot(s->dataset, s);
    }
    taking->pool->epoch++;
    taking->taken = true;
}

static enum status alloc_snapshots(struct taking *taking, uint32_t flags, uint64_t now_ns) {
    taking->snapshots = os_alloc_zeroed(taking->count * sizeof(struct snapshot *));
    if (taking->snapshots == NULL)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < taking->count; i++) {
        struct snapshot *s = snapshot_new(NULL);
        if (s == NULL)
            return STATUS_NO_MEMORY;
        s->created_ns = now_ns;
        s->automatic = flags & LFSX_SNAPSHOT_AUTOMATIC;
        os_random(s->uuid, sizeof s->uuid);
        memcpy(s->name, taking->name, strlen(taking->name) + 1);
        taking->snapshots[i] = s;
    }
    return STATUS_OK;
}

static void release(struct taking *taking) {
    for (uint32_t i = 0; !taking->taken && taking->snapshots != NULL && i < taking->count; i++)
        if (taking->snapshots[i] != NULL)
            snapshot_free(taking->snapshots[i]);
    os_free(taking->snapshots);
}

enum status snapshot_take(struct lfsx_pool *pool, const char *const *volumes, uint32_t count,
                          const char *name, uint32_t flags, uint64_t now_ns) {
    struct taking taking = {
        .rider = {.prepare = prepare, .change = change, .undo = undo, .seal = seal},
        .pool = pool,
        .volumes = volumes,
        .count = count,
        .name = name};
    enum status status = pool_writable(pool);
    if (status == STATUS_OK)
        status = alloc_snapshots(&taking, flags, now_ns);
    if (status == STATUS_OK)
        status = pool_checkpoint_with(pool, &taking.rider);
    release(&taking);
    return status;
}

enum status lfsx_snapshot_create(struct lfsx_pool *pool, const char *const *volumes,
                                 uint32_t volume_count, const char *name, uint32_t flags) {
    if (volume_count == 0 || !lfsx_name_is_valid(name, strlen(name)))
        return STATUS_INVALID;
    uint64_t now_ns = os_wall_clock_ns();
    enum status status = snapshot_take(pool, volumes, volume_count, name, flags, now_ns);
    if (status == STATUS_NO_SPACE && pool_reclaim(pool))
        status = snapshot_take(pool, volumes, volume_count, name, flags, now_ns);
    return status;
}

/* Takes the name away and marks the record: the reaper frees what nobody else has. */
static enum status mark(struct snapshot *s, bool background, struct btree_cursor *cursor) {
    struct dataset *d = s->dataset;
    if (s->open_count > 0 || s->clone_count > 0)
        return STATUS_BUSY;
    struct update_need need = {.frees = true, .background = background};
    enum status status = catalog_prefetch_snapshot(d->pool, d->id, s->epoch, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    s->deleting = true;
    catalog_replace_snapshot(s);
    dataset_update_kept(d);
    pool_update_end(d->pool);
    return STATUS_OK;
}

struct deletion {
    struct lfsx_pool *pool;
    const char *volume, *name;
};

static enum status delete_step(void *context, struct btree_cursor *cursor) {
    const struct deletion *deletion = context;
    struct dataset *d = dataset_find(deletion->pool, deletion->volume);
    struct snapshot *s = d == NULL ? NULL : snapshot_find(d, deletion->name);
    return s == NULL ? STATUS_NOT_FOUND : mark(s, false, cursor);
}

enum status lfsx_snapshot_delete(struct lfsx_pool *pool, const char *volume, const char *name) {
    struct deletion deletion = {pool, volume, name};
    enum status status = pool_change(pool, delete_step, &deletion);
    if (status == STATUS_OK)
        status = pool_commit(pool);
    if (status == STATUS_OK)
        reaper_wake(pool);
    return status;
}

struct discarding {
    struct dataset *dataset;
    uint64_t epoch;
};

static enum status discard_step(void *context, struct btree_cursor *cursor) {
    const struct discarding *discarding = context;
    struct snapshot *s = snapshot_find_epoch(discarding->dataset, discarding->epoch);
    return s == NULL || s->deleting ? STATUS_NOT_FOUND : mark(s, true, cursor);
}

enum status snapshot_discard(struct dataset *d, uint64_t epoch) {
    struct discarding discarding = {d, epoch};
    enum status status = pool_change_background(d->pool, discard_step, &discarding);
    if (status == STATUS_OK)
        reaper_wake(d->pool);
    return status;
}

/* A snapshot's facts, and where in the dead tree what only it has is. */
struct listed {
    struct lfsx_snapshot_info info;
    struct dataset *dataset; /* held open */
    struct dead_box box;
};

static void fill_info(const struct snapshot *s, struct listed *listed) {
    struct lfsx_snapshot_info *info = &listed->info;
    memset(info, 0, sizeof *info);
    memcpy(info->name, s->name, sizeof info->name);
    memcpy(info->uuid, s->uuid, sizeof info->uuid);
    info->epoch = s->epoch;
    info->created_ns = s->created_ns;
    info->size = s->file.size;
    info->logical_bytes = s->data_blocks * LFSX_BLOCK_SIZE;
    info->referenced_bytes = (s->data_blocks + s->tree.nodes) * LFSX_BLOCK_SIZE;
    info->open_count = s->open_count;
    info->clone_count = s->clone_count;
    info->automatic = s->automatic;
    listed->box = snapshot_box(s);
}

/* The first snapshot of the volume that is live and has at least this epoch. */
static bool next_listed(struct dataset *d, uint64_t epoch, struct listed *listed) {
    struct snapshot *found = NULL;
    os_rwlock_lock_shared(&d->pool->lock);
    LIST_FOR_EACH(link, &d->snapshots) {
        struct snapshot *s = snapshot_of(link);
        if (!s->deleting && s->epoch >= epoch) {
            found = s;
            break;
        }
    }
    if (found != NULL)
        fill_info(found, listed);
    os_rwlock_unlock_shared(&d->pool->lock);
    return found != NULL;
}

static enum status visit_all(struct dataset *d, struct listed *listed,
                             bool (*visit)(void *context, const struct lfsx_snapshot_info *info),
                             void *context) {
    for (uint64_t epoch = 0; next_listed(d, epoch, listed); epoch = listed->info.epoch + 1) {
        uint64_t unique;
        enum status status = dead_sum(d, &listed->box, &unique);
        if (status != STATUS_OK)
            return status;
        listed->info.unique_bytes = unique * LFSX_BLOCK_SIZE;
        if (!visit(context, &listed->info))
            break;
    }
    return STATUS_OK;
}

enum status lfsx_snapshot_list(struct lfsx_pool *pool, const char *volume,
                               bool (*visit)(void *context, const struct lfsx_snapshot_info *info),
                               void *context) {
    struct dataset *d = dataset_hold(pool, volume);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    struct listed *listed = os_alloc(sizeof *listed);
    enum status status = STATUS_NO_MEMORY;
    if (listed != NULL)
        status = visit_all(d, listed, visit, context);
    os_free(listed);
    dataset_drop(d);
    return status;
}

/* The newest snapshot of those that lfsx_snapshot_list() shows up to a time. */
struct search {
    uint64_t time_ns;
    struct lfsx_snapshot_info *info;
    bool found;
};

static bool consider(void *context, const struct lfsx_snapshot_info *info) {
    struct search *search = context;
    if (info->created_ns <= search->time_ns) {
        *search->info = *info;
        search->found = true;
    }
    return true;
}

enum status lfsx_snapshot_at(struct lfsx_pool *pool, const char *volume, uint64_t time_ns,
                             struct lfsx_snapshot_info *info) {
    struct search search = {.time_ns = time_ns, .info = info};
    enum status status = lfsx_snapshot_list(pool, volume, consider, &search);
    if (status == STATUS_OK && !search.found)
        status = STATUS_NOT_FOUND;
    return status;
}

/* Blocks of the volume's tree that are its own, and of its newest snapshot, and what it has dropped
 * since then. */
static uint64_t own_blocks(struct dataset *d, struct dead_box *dropped) {
    os_rwlock_lock_shared(&d->pool->lock);
    uint64_t own = d->tree.nodes + d->data_blocks - d->tree.shared;
    struct snapshot *newest = snapshot_find_epoch(d, d->tree.kept);
    if (newest != NULL)
        own -= newest->tree.nodes + newest->data_blocks - newest->tree.shared;
    *dropped = (struct dead_box){.first_era = d->tree.kept,
                                 .end_era = UINT64_MAX,
                                 .first_birth = 1,
                                 .last_birth = d->tree.kept};
    os_rwlock_unlock_shared(&d->pool->lock);
    return own;
}

enum status lfsx_volume_unique(struct lfsx_pool *pool, const char *volume, uint64_t *bytes) {
    struct dataset *d = dataset_hold(pool, volume);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    struct dead_box box;
    uint64_t own = own_blocks(d, &box);
    uint64_t dropped = 0;
    enum status status = dead_sum(d, &box, &dropped);
    *bytes = (own + dropped) * LFSX_BLOCK_SIZE;
    dataset_drop(d);
    return status;
}
