/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/format/values.h"
#include "base/mem.h"
#include "storage/lfsx/format/values_internal.h"
#include "storage/lfsx/lfsx.h"

static enum status validate_extent(const struct item *item, const struct geometry *geometry,
                                   const char **why) {
    const struct disk_extent *extent = item->value;
    if (item->key.inode < DISK_ROOT_INODE)
        return corrupt(why, "is an extent of an impossible inode");
    if (item->length < sizeof *extent)
        return corrupt(why, "is an extent of a wrong length");
    if (extent->compression != 0)
        return corrupt(why, UNKNOWN_FEATURE ": compression");
    if (extent->encryption != 0)
        return corrupt(why, UNKNOWN_FEATURE ": encryption");
    if (le16_get(extent->group) != 0)
        return corrupt(why, UNKNOWN_FEATURE ": another group of devices");
    uint32_t count = le32_get(extent->block_count);
    if (count == 0 || count > DISK_EXTENT_MAX || le32_get(extent->stored_blocks) != count)
        return corrupt(why, "is an extent with an impossible count of blocks");
    if (item->length != sizeof *extent + count * sizeof extent->checksums[0])
        return corrupt(why, "is an extent of a wrong length");
    if (le64_get(extent->birth) == 0 || le64_get(extent->birth) > DISK_EPOCH_MAX)
        return corrupt(why, "is an extent of an impossible epoch");
    if (item->key.offset >= DISK_FILE_BLOCKS_MAX || count > DISK_FILE_BLOCKS_MAX - item->key.offset)
        return corrupt(why, "is an extent behind the end of any file");
    if (!geometry_is_data(geometry, le64_get(extent->block), count))
        return corrupt(why, "is an extent outside of the data area");
    if (!mem_is_zero(extent->reserved, sizeof extent->reserved))
        return corrupt(why, "is an extent whose reserved bytes are not zero");
    return STATUS_OK;
}

enum status value_validate(const struct item *item, const struct geometry *geometry, uint64_t owner,
                           const char **why) {
    if (owner == DISK_OWNER_CATALOG)
        return value_validate_catalog(item, geometry, why);
    if (owner & DISK_OWNER_DEAD)
        return value_validate_dead(item, geometry, why);
    if (owner < DISK_FIRST_DATASET)
        return corrupt(why, "belongs to a tree that the format does not have");
    if (item->key.type == DISK_TYPE_EXTENT)
        return validate_extent(item, geometry, why);
    return value_validate_file(item, why);
}

/* Both items are valid ones. */
static bool extents_overlap(const struct item *before, const struct item *item) {
    if (before->key.type != DISK_TYPE_EXTENT || item->key.type != DISK_TYPE_EXTENT ||
        before->key.inode != item->key.inode)
        return false;
    const struct disk_extent *extent = before->value;
    return item->key.offset - before->key.offset < le32_get(extent->block_count);
}

static enum status validate_leaf(const struct disk_node *node, const struct geometry *geometry,
                                 const char **why) {
    struct item before = {0};
    for (unsigned i = 0; i < node_count(node); i++) {
        struct item item = node_item(node, i);
        enum status status = value_validate(&item, geometry, le64_get(node->owner), why);
        if (status != STATUS_OK)
            return status;
        if (i > 0 && extents_overlap(&before, &item))
            return corrupt(why, "is an extent that overlaps the one before it");
        before = item;
    }
    return STATUS_OK;
}

enum status node_values_validate(const struct disk_node *node, const struct geometry *geometry,
                                 const char **why) {
    if (node->level == 0)
        return validate_leaf(node, geometry, why);
    for (unsigned i = 0; i < node_count(node); i++)
        if (!geometry_is_data(geometry, node_child(node, i).block, 1))
            return corrupt(why, "points to a node outside of the data area");
    return STATUS_OK;
}
