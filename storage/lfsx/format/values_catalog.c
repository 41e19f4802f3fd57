/* SPDX-License-Identifier: Apache-2.0 */
/* Items of the catalog. */
#include "base/mem.h"
#include "storage/lfsx/format/values_internal.h"
#include "storage/lfsx/lfsx.h"

#define SCHEDULE_INTERVAL_MIN_NS 1000000000ull

static enum status validate_entry(const struct item *item, const char **why) {
    const struct disk_entry *entry = item->value;
    if (item->key.inode != DISK_CATALOG_NAMES)
        return corrupt(why, UNKNOWN_FEATURE ": a second directory");
    if (item->length < sizeof *entry || item->length != sizeof *entry + entry->name_length)
        return corrupt(why, "is a name of a wrong length");
    if (entry->kind != DISK_ENTRY_DATASET)
        return corrupt(why, UNKNOWN_FEATURE ": a name of another kind of thing");
    if (!lfsx_name_is_valid((const char *)entry->name, entry->name_length))
        return corrupt(why, "is a name that is not valid");
    if (le64_get(entry->target) < DISK_FIRST_DATASET)
        return corrupt(why, "is a name of an impossible dataset");
    if (!mem_is_zero(entry->reserved, sizeof entry->reserved))
        return corrupt(why, "is a name whose reserved bytes are not zero");
    return STATUS_OK;
}

/* A pointer to a root that must be there. */
static enum status validate_root(const struct disk_pointer *root, const struct geometry *geometry,
                                 const char **why) {
    if (le16_get(root->group) != 0)
        return corrupt(why, UNKNOWN_FEATURE ": another group of devices");
    if (root->level > DISK_LEVEL_MAX || !mem_is_zero(root->reserved, sizeof root->reserved))
        return corrupt(why, "has a malformed root pointer");
    if (!geometry_is_data(geometry, le64_get(root->block), 1))
        return corrupt(why, "has a root outside of the data area");
    return STATUS_OK;
}

static enum status validate_dataset_name(const struct item *item, const char **why) {
    const struct disk_dataset *dataset = item->value;
    if (item->length != sizeof *dataset + dataset->name_length)
        return corrupt(why, "is a dataset of a wrong length");
    if (dataset->state == DISK_DATASET_DELETING) {
        if (dataset->name_length != 0)
            return corrupt(why, "is a dataset that is being deleted and still has a name");
        return STATUS_OK;
    }
    if (dataset->state != DISK_DATASET_LIVE && dataset->state != DISK_DATASET_DELETED)
        return corrupt(why, UNKNOWN_FEATURE ": another state of a dataset");
    if (!lfsx_name_is_valid((const char *)dataset->name, dataset->name_length))
        return corrupt(why, "is a dataset whose name is not valid");
    return STATUS_OK;
}

static enum status validate_counts(uint64_t nodes, uint64_t data, uint64_t shared,
                                   const struct geometry *geometry, const char **why) {
    uint64_t space = geometry->data_end - geometry->data_start;
    if (nodes == 0 || nodes > space || data > space || shared > nodes + data)
        return corrupt(why, "has an impossible count of blocks");
    return STATUS_OK;
}

static enum status validate_dead_root(const struct disk_dataset *dataset,
                                      const struct geometry *geometry, const char **why) {
    if (mem_is_zero(&dataset->dead, sizeof dataset->dead)) {
        if (le64_get(dataset->dead_nodes) != 0)
            return corrupt(why, "counts nodes of a dead tree that it does not have");
        return STATUS_OK;
    }
    if (le64_get(dataset->dead_nodes) == 0)
        return corrupt(why, "has a dead tree without nodes");
    return validate_root(&dataset->dead, geometry, why);
}

static enum status validate_origin(const struct disk_dataset *dataset, const char **why) {
    uint64_t origin = le64_get(dataset->origin);
    uint64_t epoch = le64_get(dataset->origin_epoch);
    if (origin == 0) {
        if (epoch != 0 || le64_get(dataset->shared_blocks) != 0)
            return corrupt(why, "shares blocks with an origin that it does not have");
        return STATUS_OK;
    }
    if (origin < DISK_FIRST_DATASET || origin >= le64_get(dataset->id) || epoch == 0 ||
        epoch >= le64_get(dataset->birth))
        return corrupt(why, "has an origin that is younger than itself");
    return STATUS_OK;
}

static enum status validate_bounds(const struct disk_dataset *dataset,
                                   const struct geometry *geometry, const char **why) {
    uint64_t quota = le64_get(dataset->quota_blocks);
    uint64_t reserved = le64_get(dataset->reserved_blocks);
    if (quota > LFSX_VOLUME_SIZE_MAX / LFSX_BLOCK_SIZE || (quota > 0 && reserved > quota) ||
        reserved > geometry->data_end - geometry->data_start)
        return corrupt(why, "is a dataset with an impossible quota or reservation");
    return STATUS_OK;
}

static enum status validate_dataset_rest(const struct disk_dataset *dataset, const char **why) {
    uint64_t next_inode = le64_get(dataset->next_inode);
    bool possible = next_inode > DISK_ROOT_INODE && next_inode <= DISK_INODE_MAX + 1;
    if (dataset->kind == DISK_DATASET_SHARE ? !possible : next_inode != 0)
        return corrupt(why, "is a dataset with an impossible number for its next inode");
    if (le64_get(dataset->flags) & ~(uint64_t)DISK_DATASET_PROTECTED)
        return corrupt(why, UNKNOWN_FEATURE ": flags of a dataset");
    if (dataset->state != DISK_DATASET_DELETED && le64_get(dataset->deleted_ns) != 0)
        return corrupt(why, "is a dataset that was deleted and is not");
    if (!mem_is_zero(dataset->reserved, sizeof dataset->reserved) ||
        !mem_is_zero(dataset->reserved2, sizeof dataset->reserved2))
        return corrupt(why, "is a dataset whose reserved bytes are not zero");
    return STATUS_OK;
}

static enum status validate_dataset(const struct item *item, const struct geometry *geometry,
                                    const char **why) {
    const struct disk_dataset *dataset = item->value;
    if (item->key.offset != 0)
        return corrupt(why, "is a dataset with an offset in its key");
    if (item->length < sizeof *dataset)
        return corrupt(why, "is a dataset of a wrong length");
    if (le64_get(dataset->id) != item->key.inode || item->key.inode < DISK_FIRST_DATASET)
        return corrupt(why, "is a dataset with a wrong identifier");
    if (dataset->kind != DISK_DATASET_VOLUME && dataset->kind != DISK_DATASET_SHARE)
        return corrupt(why, UNKNOWN_FEATURE ": another kind of dataset");
    enum status status = validate_dataset_name(item, why);
    if (status == STATUS_OK)
        status = validate_root(&dataset->root, geometry, why);
    if (status == STATUS_OK)
        status = validate_counts(le64_get(dataset->node_blocks), le64_get(dataset->data_blocks),
                                 le64_get(dataset->shared_blocks), geometry, why);
    if (status == STATUS_OK)
        status = validate_dead_root(dataset, geometry, why);
    if (status == STATUS_OK)
        status = validate_origin(dataset, why);
    if (status == STATUS_OK)
        status = validate_bounds(dataset, geometry, why);
    return status == STATUS_OK ? validate_dataset_rest(dataset, why) : status;
}

static enum status validate_snapshot_name(const struct disk_snapshot *snapshot, const char **why) {
    if (snapshot->state == DISK_SNAPSHOT_DELETING) {
        if (snapshot->name_length != 0)
            return corrupt(why, "is a snapshot that is being deleted and still has a name");
        return STATUS_OK;
    }
    if (snapshot->state != DISK_SNAPSHOT_LIVE)
        return corrupt(why, UNKNOWN_FEATURE ": another state of a snapshot");
    if (!lfsx_name_is_valid((const char *)snapshot->name, snapshot->name_length))
        return corrupt(why, "is a snapshot whose name is not valid");
    return STATUS_OK;
}

static enum status validate_snapshot(const struct item *item, const struct geometry *geometry,
                                     const char **why) {
    const struct disk_snapshot *snapshot = item->value;
    if (item->key.inode < DISK_FIRST_DATASET || item->key.offset == 0 ||
        item->key.offset >= DISK_EPOCH_MAX)
        return corrupt(why, "is a snapshot of an impossible dataset or epoch");
    if (item->length < sizeof *snapshot || item->length != sizeof *snapshot + snapshot->name_length)
        return corrupt(why, "is a snapshot of a wrong length");
    enum status status = validate_snapshot_name(snapshot, why);
    if (status == STATUS_OK)
        status = validate_root(&snapshot->root, geometry, why);
    if (status == STATUS_OK)
        status = validate_counts(le64_get(snapshot->node_blocks), le64_get(snapshot->data_blocks),
                                 le64_get(snapshot->shared_blocks), geometry, why);
    if (status != STATUS_OK)
        return status;
    if (le64_get(snapshot->root.birth) > item->key.offset)
        return corrupt(why, "is a snapshot of a tree that is younger");
    if (snapshot->flags & ~DISK_SNAPSHOT_AUTOMATIC)
        return corrupt(why, UNKNOWN_FEATURE ": flags of a snapshot");
    if (!mem_is_zero(snapshot->reserved, sizeof snapshot->reserved))
        return corrupt(why, "is a snapshot whose reserved bytes are not zero");
    return STATUS_OK;
}

static enum status validate_schedule(const struct item *item, const char **why) {
    const struct disk_schedule_rule *rules = item->value;
    size_t count = item->length / sizeof *rules;
    if (item->key.inode < DISK_FIRST_DATASET || item->key.offset != 0)
        return corrupt(why, "is a schedule of an impossible dataset");
    if (count == 0 || count > DISK_SCHEDULE_RULES_MAX || item->length % sizeof *rules != 0)
        return corrupt(why, "is a schedule of a wrong length");
    uint64_t before = SCHEDULE_INTERVAL_MIN_NS - 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t interval = le64_get(rules[i].interval_ns);
        if (interval <= before || le64_get(rules[i].keep) == 0)
            return corrupt(why, "is a schedule with an impossible rule");
        before = interval;
    }
    return STATUS_OK;
}

enum status value_validate_catalog(const struct item *item, const struct geometry *geometry,
                                   const char **why) {
    switch (item->key.type) {
    case DISK_TYPE_ENTRY:
        return validate_entry(item, why);
    case DISK_TYPE_DATASET:
        return validate_dataset(item, geometry, why);
    case DISK_TYPE_SNAPSHOT:
        return validate_snapshot(item, geometry, why);
    case DISK_TYPE_SCHEDULE:
        return validate_schedule(item, why);
    default:
        return corrupt(why, UNKNOWN_FEATURE ": another type of item in the catalog");
    }
}
