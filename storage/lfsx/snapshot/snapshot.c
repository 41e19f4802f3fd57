/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking, deleting and listing snapshots. How one comes into being says catalog_apply.c.
 */
#include "storage/lfsx/snapshot/snapshot.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_change.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/dataset_life.h"

/* A snapshot of several volumes. */
struct taking {
    const char *const *volumes;
    uint32_t count;
    const char *name;
    uint32_t flags;
    uint64_t now_ns;
};

/* The pool's epoch stays while a transaction has this key locked. It is of no record. */
static enum status lock_epoch(struct lfsx_transaction *t, uint64_t *epoch) {
    struct key tree_key = catalog_snapshot_key(DISK_CATALOG_NAMES, 0);
    struct mvcc_key key = records_key(&tree_key);
    enum status status = mvcc_lock(t->records, &key, &key, MVCC_LOCK_EXCLUSIVE);
    if (status != STATUS_OK)
        return status;
    os_rwlock_lock_shared(&t->pool->lock);
    *epoch = t->pool->forest.epoch;
    os_rwlock_unlock_shared(&t->pool->lock);
    return *epoch >= DISK_EPOCH_MAX - 1 ? STATUS_NO_SPACE : STATUS_OK;
}

/* Whether the dataset can have a snapshot of the epoch: it is whole and was there when that ended.
 * A clone of a snapshot of the same epoch is not: INVALID. */
static enum status check_target(struct lfsx_transaction *t, uint64_t id, uint64_t epoch) {
    os_rwlock_lock_shared(&t->pool->lock);
    const struct dataset *d = dataset_find_id(t->pool, id);
    const struct dataset *new = transaction_created(t, id);
    enum status status = d == NULL ? STATUS_OK : damage_status(d);
    if (new != NULL &&new->tree.origin_epoch == epoch)
        status = STATUS_INVALID;
    os_rwlock_unlock_shared(&t->pool->lock);
    return status;
}

static enum status put_snapshot(struct lfsx_transaction *t, const struct taking *taking,
                                uint64_t id, uint64_t epoch) {
    struct snapshot *s = snapshot_new(NULL);
    if (s == NULL)
        return STATUS_NO_MEMORY;
    union catalog_item record;
    s->epoch = epoch;
    s->created_ns = taking->now_ns;
    s->automatic = taking->flags & LFSX_SNAPSHOT_AUTOMATIC;
    os_random(s->uuid, sizeof s->uuid);
    memcpy(s->name, taking->name, strlen(taking->name) + 1);
    size_t length = catalog_new_snapshot(s, &record);
    t->takes_space = true;
    enum status status = transaction_note(
        t, &(struct note){.kind = NOTE_SNAPSHOT_TAKEN, .id = id, .epoch = epoch, .snapshot = s});
    struct key tree_key = catalog_snapshot_key(id, epoch);
    struct mvcc_key key = records_key(&tree_key);
    if (status == STATUS_OK)
        status = mvcc_insert(t->records, &key, &record, length);
    return status == STATUS_EXISTS ? STATUS_INVALID : status; /* it is named twice */
}

/* Nobody else changes the dataset or its snapshots from now on. */
static enum status add_target(struct lfsx_transaction *t, const struct taking *taking,
                              const char *volume, uint64_t epoch) {
    struct catalog_named named;
    enum status status = catalog_name_present(t, volume, &named);
    if (status != STATUS_OK)
        return status;
    uint64_t id = named.entry.target;
    status =
        transaction_has_note(t, NOTE_RESIZED, id) ? STATUS_INVALID : check_target(t, id, epoch);
    if (status == STATUS_OK)
        status = catalog_snapshot_absent(t, id, taking->name);
    return status == STATUS_OK ? put_snapshot(t, taking, id, epoch) : status;
}

static enum status take_all(struct lfsx_transaction *t, void *context) {
    const struct taking *taking = context;
    uint64_t epoch;
    enum status status = lock_epoch(t, &epoch);
    for (uint32_t i = 0; status == STATUS_OK && i < taking->count; i++)
        status = add_target(t, taking, taking->volumes[i], epoch);
    return status;
}

static enum status do_take(struct lfsx_transaction *t, void *context) {
    const struct taking *taking = context;
    if (taking->count == 0 || !lfsx_name_is_valid(taking->name, strlen(taking->name)))
        return STATUS_INVALID;
    return transaction_do(t, take_all, context);
}

enum status snapshot_take_scheduled(struct lfsx_pool *pool, const char *const *volumes,
                                    uint32_t count, const char *name, uint64_t now_ns) {
    struct taking taking = {volumes, count, name, LFSX_SNAPSHOT_AUTOMATIC, now_ns};
    return transaction_run(pool, true, do_take, &taking);
}

enum status lfsx_transaction_snapshot_create(struct lfsx_transaction *t, const char *const *volumes,
                                             uint32_t volume_count, const char *name,
                                             uint32_t flags) {
    struct taking taking = {volumes, volume_count, name, flags, os_wall_clock_ns()};
    return do_take(t, &taking);
}

enum status lfsx_snapshot_create(struct lfsx_pool *pool, const char *const *volumes,
                                 uint32_t volume_count, const char *name, uint32_t flags) {
    struct taking taking = {volumes, volume_count, name, flags, os_wall_clock_ns()};
    return transaction_run(pool, false, do_take, &taking);
}

/* ---- deleting ---- */

static enum status give_up(struct lfsx_transaction *t, uint64_t dataset, uint64_t epoch) {
    struct key tree_key = catalog_snapshot_key(dataset, epoch);
    struct mvcc_key key = records_key(&tree_key);
    enum status status = mvcc_delete(t->records, &key);
    if (status != STATUS_OK)
        return status;
    return transaction_note(
        t, &(struct note){.kind = NOTE_SNAPSHOT_GIVEN_UP, .id = dataset, .epoch = epoch});
}

struct deletion {
    const char *volume, *name;
};

static enum status delete (struct lfsx_transaction *t, void *context) {
    const struct deletion *wish = context; struct catalog_named named; uint64_t epoch = 0;
    enum status status = catalog_name_present(t, wish->volume, &named);
    if (status == STATUS_OK) status = catalog_snapshot_find(t, named.entry.target, wish->name,
                                                            MVCC_LOCK_EXCLUSIVE, &epoch);
    return status == STATUS_OK ? give_up(t, named.entry.target, epoch) : status;
}

static enum status do_delete(struct lfsx_transaction *t, void *context) {
    return transaction_do(t, delete, context);
}

enum status lfsx_transaction_snapshot_delete(struct lfsx_transaction *t, const char *volume,
                                             const char *name) {
    struct deletion wish = {volume, name};
    return do_delete(t, &wish);
}

enum status lfsx_snapshot_delete(struct lfsx_pool *pool, const char *volume, const char *name) {
    struct deletion wish = {volume, name};
    return transaction_run(pool, false, do_delete, &wish);
}

struct discarding {
    uint64_t dataset, epoch;
};

static enum status discard(struct lfsx_transaction *t, void *context) {
    const struct discarding *discarding = context;
    return give_up(t, discarding->dataset, discarding->epoch);
}

enum status snapshot_discard(struct lfsx_pool *pool, uint64_t dataset, uint64_t epoch) {
    struct discarding discarding = {dataset, epoch};
    return transaction_run(pool, true, discard, &discarding);
}

/* ---- listing ---- */

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

/* Bytes of so many blocks and those in a box of the dead tree; LFSX_BYTES_UNKNOWN if that cannot be
 * read. */
static enum status sum_bytes(struct dataset *d, const struct dead_box *box, uint64_t blocks,
                             uint64_t *bytes) {
    uint64_t dropped;
    enum status status = dead_sum(d, box, &dropped);
    *bytes = status == STATUS_OK ? (blocks + dropped) * LFSX_BLOCK_SIZE : LFSX_BYTES_UNKNOWN;
    return damage_is(status) ? STATUS_OK : status;
}

static enum status visit_all(struct dataset *d, struct listed *listed,
                             bool (*visit)(void *context, const struct lfsx_snapshot_info *info),
                             void *context) {
    for (uint64_t epoch = 0; next_listed(d, epoch, listed); epoch = listed->info.epoch + 1) {
        enum status status = sum_bytes(d, &listed->box, 0, &listed->info.unique_bytes);
        if (status != STATUS_OK)
            return status;
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
    enum status status = sum_bytes(d, &box, own, bytes);
    dataset_drop(d);
    return status;
}

/* A block of the dataset is in its tree, or was dropped and is in the dead tree. */
enum status lfsx_volume_total(struct lfsx_pool *pool, const char *volume, uint64_t *bytes) {
    static const struct dead_box all = {1, UINT64_MAX, 1, DISK_EPOCH_MAX};
    struct dataset *d = dataset_hold(pool, volume);
    if (d == NULL)
        return STATUS_NOT_FOUND;
    os_rwlock_lock_shared(&pool->lock);
    uint64_t own = d->tree.nodes + d->data_blocks - d->tree.shared + d->dead.nodes;
    os_rwlock_unlock_shared(&pool->lock);
    enum status status = sum_bytes(d, &all, own, bytes);
    dataset_drop(d);
    return status;
}
