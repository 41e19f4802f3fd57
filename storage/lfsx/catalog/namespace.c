/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes and shares come into being and change their names: new, as clones of a snapshot, and in
 * the place of one that is taken back to a snapshot. What they are is said by their records; the
 * tree comes with the commit (catalog_apply.c).
 */
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_change.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/file/dataset_life.h"
#include "storage/lfsx/lfsx_share.h"

/* A volume or share that there shall be. */
struct creation {
    const char *name;
    uint8_t kind;
    uint64_t size;
    const char *volume, *snapshot; /* what it is a clone of; NULL: of nothing */
};

static bool is_valid(const char *name) {
    return lfsx_name_is_valid(name, strlen(name));
}

/* A snapshot that stays until the transaction ends. */
struct source {
    struct catalog_named named;
    uint64_t epoch;
};

static enum status find_snapshot(struct lfsx_transaction *t, struct source *source,
                                 const char *snapshot) {
    uint64_t id = le64_get(source->named.record.dataset.id);
    enum status status = catalog_snapshot_find(t, id, snapshot, MVCC_LOCK_SHARED, &source->epoch);
    return status == STATUS_OK ? damage_check_snapshot(t->pool, id, source->epoch) : status;
}

static void fill_record(union catalog_item *record, const char *name, uint8_t kind) {
    memset(record, 0, sizeof *record);
    os_random(record->dataset.uuid, sizeof record->dataset.uuid);
    record->dataset.kind = kind;
    record->dataset.state = DISK_DATASET_LIVE;
    record->dataset.created_ns = le64_make(os_wall_clock_ns());
    catalog_dataset_rename(record, name);
}

static void fill_clone(union catalog_item *record, const char *name, const struct source *source) {
    const struct disk_dataset *origin = &source->named.record.dataset;
    fill_record(record, name, origin->kind);
    record->dataset.origin = origin->id;
    record->dataset.origin_epoch = le64_make(source->epoch);
}

/* False: there are none left. */
static bool next_id(struct lfsx_pool *pool, uint64_t *id) {
    *id = __atomic_load_n(&pool->next_dataset, __ATOMIC_RELAXED);
    do {
        if (*id >= DISK_OWNER_DEAD)
            return false;
    } while (!__atomic_compare_exchange_n(&pool->next_dataset, id, *id + 1, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

/* Gives the record an identifier, which a transaction that comes to nothing wastes, and notes what
 * it will be in memory. */
static enum status add_dataset(struct lfsx_transaction *t, union catalog_item *record,
                               uint64_t size) {
    struct disk_dataset *disk = &record->dataset;
    uint64_t id;
    if (!next_id(t->pool, &id))
        return STATUS_NO_SPACE;
    struct dataset *d = dataset_new(t->pool);
    if (d == NULL)
        return STATUS_NO_MEMORY;
    disk->id = le64_make(id);
    d->origin_id = le64_get(disk->origin);
    d->tree.origin_epoch = le64_get(disk->origin_epoch);
    d->file.size = size;
    d->next_inode = disk->kind == DISK_DATASET_SHARE ? DISK_ROOT_INODE + 1 : 0;
    t->takes_space = true;
    enum status status =
        transaction_note(t, &(struct note){.kind = NOTE_CREATED, .id = id, .object = d});
    return status == STATUS_OK ? catalog_dataset_put(t, record) : status;
}

static enum status create(struct lfsx_transaction *t, void *context) {
    const struct creation *creation = context;
    struct source source;
    struct catalog_named place;
    union catalog_item record;
    fill_record(&record, creation->name, creation->kind);
    enum status status = STATUS_OK;
    if (creation->volume != NULL) {
        status = catalog_name_look(t, creation->volume, &source.named);
        if (status == STATUS_OK)
            status = find_snapshot(t, &source, creation->snapshot);
        if (status == STATUS_OK)
            fill_clone(&record, creation->name, &source);
    }
    if (status == STATUS_OK)
        status = catalog_name_absent(t, creation->name, &place);
    if (status == STATUS_OK)
        status = add_dataset(t, &record, creation->size);
    if (status == STATUS_OK)
        status = catalog_name_put(t, &place, creation->name, le64_get(record.dataset.id));
    return status;
}

static enum status do_create(struct lfsx_transaction *t, void *context) {
    const struct creation *creation = context;
    return is_valid(creation->name) ? transaction_do(t, create, context) : STATUS_INVALID;
}

static enum status do_create_volume(struct lfsx_transaction *t, void *context) {
    const struct creation *creation = context;
    uint64_t size = creation->size;
    if (size == 0 || size % 512 != 0 || size > LFSX_VOLUME_SIZE_MAX)
        return STATUS_INVALID;
    return do_create(t, context);
}

enum status lfsx_transaction_volume_create(struct lfsx_transaction *t, const char *name,
                                           uint64_t size) {
    struct creation creation = {.name = name, .kind = DISK_DATASET_VOLUME, .size = size};
    return do_create_volume(t, &creation);
}

enum status lfsx_volume_create(struct lfsx_pool *pool, const char *name, uint64_t size) {
    struct creation creation = {.name = name, .kind = DISK_DATASET_VOLUME, .size = size};
    return transaction_run(pool, false, do_create_volume, &creation);
}

enum status lfsx_transaction_share_create(struct lfsx_transaction *t, const char *name) {
    struct creation creation = {.name = name, .kind = DISK_DATASET_SHARE};
    return do_create(t, &creation);
}

enum status lfsx_share_create(struct lfsx_pool *pool, const char *name) {
    struct creation creation = {.name = name, .kind = DISK_DATASET_SHARE};
    return transaction_run(pool, false, do_create, &creation);
}

enum status lfsx_transaction_clone_create(struct lfsx_transaction *t, const char *volume,
                                          const char *snapshot, const char *name) {
    struct creation creation = {.name = name, .volume = volume, .snapshot = snapshot};
    return do_create(t, &creation);
}

enum status lfsx_clone_create(struct lfsx_pool *pool, const char *volume, const char *snapshot,
                              const char *name) {
    struct creation creation = {.name = name, .volume = volume, .snapshot = snapshot};
    return transaction_run(pool, false, do_create, &creation);
}

/* ---- going back ---- */

struct rollback {
    const char *volume, *snapshot, *keep_as;
};

/* What bounds the volume goes over to what takes its place; what guards it, both have. */
static void hand_over(struct disk_dataset *from, struct disk_dataset *to) {
    to->quota_blocks = from->quota_blocks;
    to->reserved_blocks = from->reserved_blocks;
    from->quota_blocks = from->reserved_blocks = le64_make(0);
    to->flags = from->flags;
    to->keep_deleted_ns = from->keep_deleted_ns;
}

/* Both have the schedule, too: without one, automatic snapshots go. */
static enum status copy_schedule(struct lfsx_transaction *t, uint64_t from, uint64_t to) {
    struct key tree_keys[] = {catalog_schedule_key(from), catalog_schedule_key(to)};
    struct mvcc_key keys[] = {records_key(&tree_keys[0]), records_key(&tree_keys[1])};
    struct disk_schedule_rule rules[DISK_SCHEDULE_RULES_MAX];
    size_t length;
    enum status status = mvcc_read_for_update(t->records, &keys[0], rules, sizeof rules, &length);
    if (status == STATUS_OK)
        return mvcc_insert(t->records, &keys[1], rules, length);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* The volume goes on under the other name; a clone of the snapshot takes its name. */
static enum status exchange(struct lfsx_transaction *t, const struct rollback *wish,
                            struct source *source, const struct catalog_named *place) {
    union catalog_item record;
    fill_clone(&record, wish->volume, source);
    hand_over(&source->named.record.dataset, &record.dataset);
    enum status status = add_dataset(t, &record, 0);
    if (status == STATUS_OK)
        status = copy_schedule(t, source->named.entry.target, le64_get(record.dataset.id));
    if (status == STATUS_OK)
        status = catalog_name_put(t, &source->named, wish->volume, le64_get(record.dataset.id));
    if (status == STATUS_OK)
        status = catalog_name_put(t, place, wish->keep_as, source->named.entry.target);
    catalog_dataset_rename(&source->named.record, wish->keep_as);
    return status == STATUS_OK ? catalog_dataset_put(t, &source->named.record) : status;
}

static enum status roll_back(struct lfsx_transaction *t, void *context) {
    const struct rollback *wish = context;
    struct source source;
    struct catalog_named place;
    enum status status = catalog_name_present(t, wish->volume, &source.named);
    if (status == STATUS_OK)
        status = find_snapshot(t, &source, wish->snapshot);
    if (status == STATUS_OK)
        status = transaction_note(
            t, &(struct note){.kind = NOTE_CLOSED, .id = source.named.entry.target});
    if (status == STATUS_OK)
        status = catalog_name_absent(t, wish->keep_as, &place);
    return status == STATUS_OK ? exchange(t, wish, &source, &place) : status;
}

static enum status do_roll_back(struct lfsx_transaction *t, void *context) {
    const struct rollback *wish = context;
    return is_valid(wish->keep_as) ? transaction_do(t, roll_back, context) : STATUS_INVALID;
}

enum status lfsx_transaction_rollback(struct lfsx_transaction *t, const char *volume,
                                      const char *snapshot, const char *keep_as) {
    struct rollback wish = {volume, snapshot, keep_as};
    return do_roll_back(t, &wish);
}

enum status lfsx_volume_rollback(struct lfsx_pool *pool, const char *volume, const char *snapshot,
                                 const char *keep_as) {
    struct rollback wish = {volume, snapshot, keep_as};
    return transaction_run(pool, false, do_roll_back, &wish);
}

/* ---- renaming ---- */

struct renaming {
    const char *from, *to;
};

static enum status rename_dataset(struct lfsx_transaction *t, void *context) {
    const struct renaming *wish = context;
    struct catalog_named from;
    struct catalog_named to;
    enum status status = catalog_name_present(t, wish->from, &from);
    if (status == STATUS_OK)
        status = catalog_name_absent(t, wish->to, &to);
    if (status == STATUS_OK)
        status = entry_remove(t->records, &from.entry);
    if (status == STATUS_OK)
        status = catalog_name_put(t, &to, wish->to, from.entry.target);
    if (status != STATUS_OK)
        return status;
    t->takes_space = true;
    catalog_dataset_rename(&from.record, wish->to);
    return catalog_dataset_put(t, &from.record);
}

static enum status do_rename(struct lfsx_transaction *t, void *context) {
    const struct renaming *wish = context;
    return is_valid(wish->to) ? transaction_do(t, rename_dataset, context) : STATUS_INVALID;
}

enum status lfsx_transaction_rename(struct lfsx_transaction *t, const char *from, const char *to) {
    struct renaming wish = {from, to};
    return do_rename(t, &wish);
}

enum status lfsx_volume_rename(struct lfsx_pool *pool, const char *from, const char *to) {
    struct renaming wish = {from, to};
    return transaction_run(pool, false, do_rename, &wish);
}
