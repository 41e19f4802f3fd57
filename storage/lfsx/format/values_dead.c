/* SPDX-License-Identifier: Apache-2.0 */
/* Items of dead trees. */
#include "storage/lfsx/format/values_internal.h"

static enum status validate_group(const struct item *item, const char **why) {
    uint64_t era = item->key.inode >> 32;
    uint64_t birth = item->key.inode & DISK_EPOCH_MAX;
    if (birth == 0 || birth > era)
        return corrupt(why, "is of dead blocks that are younger than their era");
    return STATUS_OK;
}

static enum status validate_dead(const struct item *item, const struct geometry *geometry,
                                 const char **why) {
    const struct disk_dead *dead = item->value;
    if (item->length != sizeof *dead)
        return corrupt(why, "is a run of dead blocks of a wrong length");
    uint64_t count = le64_get(dead->count);
    if (count == 0 || !geometry_is_data(geometry, item->key.offset, count))
        return corrupt(why, "is a run of dead blocks outside of the data area");
    return STATUS_OK;
}

static enum status validate_sum(const struct item *item, const struct geometry *geometry,
                                const char **why) {
    const struct disk_dead_sum *sum = item->value;
    if (item->length != sizeof *sum)
        return corrupt(why, "is a sum of dead blocks of a wrong length");
    uint64_t blocks = le64_get(sum->blocks);
    if (item->key.offset != 0 || blocks == 0 || blocks > geometry->data_end - geometry->data_start)
        return corrupt(why, "is an impossible sum of dead blocks");
    return STATUS_OK;
}

enum status value_validate_dead(const struct item *item, const struct geometry *geometry,
                                const char **why) {
    enum status status = validate_group(item, why);
    if (status != STATUS_OK)
        return status;
    switch (item->key.type) {
    case DISK_TYPE_DEAD:
        return validate_dead(item, geometry, why);
    case DISK_TYPE_DEAD_SUM:
        return validate_sum(item, geometry, why);
    default:
        return corrupt(why, UNKNOWN_FEATURE ": another type of item in a dead tree");
    }
}
