/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/values.h"
#include "base/mem.h"
#include "storage/lfsx/lfsx.h"

#define SECTOR_SIZE 512u
#define PERMISSION_BITS 07777u
#define FILE_BLOCKS_MAX (LFSX_VOLUME_SIZE_MAX / LFSX_BLOCK_SIZE)
#define UNKNOWN_FEATURE "uses what this program does not know"

static enum status corrupt(const char **why, const char *reason) {
    *why = reason;
    return STATUS_CORRUPT;
}

static enum status validate_inode(const struct item *item, const char **why) {
    const struct disk_inode *inode = item->value;
    if (item->key.inode != DISK_ROOT_INODE)
        return corrupt(why, UNKNOWN_FEATURE ": a second inode");
    if (item->key.offset != 0)
        return corrupt(why, "is an inode with an offset in its key");
    if (item->length != sizeof *inode)
        return corrupt(why, "is an inode of a wrong length");
    if ((le32_get(inode->mode) & ~PERMISSION_BITS) != DISK_MODE_REGULAR)
        return corrupt(why, UNKNOWN_FEATURE ": an inode that is not a regular file");
    if (le32_get(inode->links) == 0)
        return corrupt(why, "is an inode without links");
    uint64_t size = le64_get(inode->size);
    if (size == 0 || size > LFSX_VOLUME_SIZE_MAX || size % SECTOR_SIZE != 0)
        return corrupt(why, "is an inode of an impossible size");
    if (le64_get(inode->data_blocks) > FILE_BLOCKS_MAX)
        return corrupt(why, "is an inode with more data than a file can have");
    if (le64_get(inode->flags) != 0)
        return corrupt(why, UNKNOWN_FEATURE ": inode flags");
    if (!mem_is_zero(inode->reserved, sizeof inode->reserved))
        return corrupt(why, "is an inode whose reserved bytes are not zero");
    return STATUS_OK;
}

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

static enum status validate_extent(const struct item *item, const struct geometry *geometry,
                                   const char **why) {
    const struct disk_extent *extent = item->value;
    if (item->key.inode != DISK_ROOT_INODE)
        return corrupt(why, UNKNOWN_FEATURE ": an extent of a second inode");
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
    if (item->key.offset >= FILE_BLOCKS_MAX || count > FILE_BLOCKS_MAX - item->key.offset)
        return corrupt(why, "is an extent behind the end of any file");
    if (!geometry_is_data(geometry, le64_get(extent->block), count))
        return corrupt(why, "is an extent outside of the data area");
    if (!mem_is_zero(extent->reserved, sizeof extent->reserved))
        return corrupt(why, "is an extent whose reserved bytes are not zero");
    return STATUS_OK;
}

static enum status validate_root(const struct disk_pointer *root, const struct geometry *geometry,
                                 const char **why) {
    if (le16_get(root->group) != 0)
        return corrupt(why, UNKNOWN_FEATURE ": another group of devices");
    if (root->level > DISK_LEVEL_MAX || !mem_is_zero(root->reserved, sizeof root->reserved))
        return corrupt(why, "is a dataset with a malformed root pointer");
    if (!geometry_is_data(geometry, le64_get(root->block), 1))
        return corrupt(why, "is a dataset whose root is outside of the data area");
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
    if (dataset->state != DISK_DATASET_LIVE)
        return corrupt(why, UNKNOWN_FEATURE ": another state of a dataset");
    if (!lfsx_name_is_valid((const char *)dataset->name, dataset->name_length))
        return corrupt(why, "is a dataset whose name is not valid");
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
    if (dataset->kind != DISK_DATASET_VOLUME)
        return corrupt(why, UNKNOWN_FEATURE ": another kind of dataset");
    enum status status = validate_dataset_name(item, why);
    if (status == STATUS_OK)
        status = validate_root(&dataset->root, geometry, why);
    if (status != STATUS_OK)
        return status;
    uint64_t space = geometry->data_end - geometry->data_start;
    if (le64_get(dataset->node_blocks) == 0 || le64_get(dataset->node_blocks) > space ||
        le64_get(dataset->data_blocks) > space)
        return corrupt(why, "is a dataset with an impossible count of blocks");
    if (!mem_is_zero(dataset->reserved, sizeof dataset->reserved) ||
        !mem_is_zero(dataset->reserved2, sizeof dataset->reserved2))
        return corrupt(why, "is a dataset whose reserved bytes are not zero");
    return STATUS_OK;
}

enum status value_validate(const struct item *item, const struct geometry *geometry, uint64_t owner,
                           const char **why) {
    bool in_catalog = owner == DISK_OWNER_CATALOG;
    if (!in_catalog && owner < DISK_FIRST_DATASET)
        return corrupt(why, "belongs to a tree that the format does not have");
    switch (item->key.type) {
    case DISK_TYPE_INODE:
        return in_catalog ? corrupt(why, "is an inode in the catalog") : validate_inode(item, why);
    case DISK_TYPE_EXTENT:
        return in_catalog ? corrupt(why, "is an extent in the catalog")
                          : validate_extent(item, geometry, why);
    case DISK_TYPE_ENTRY:
        return in_catalog ? validate_entry(item, why)
                          : corrupt(why, "is a name outside of the catalog");
    case DISK_TYPE_DATASET:
        return in_catalog ? validate_dataset(item, geometry, why)
                          : corrupt(why, "is a dataset outside of the catalog");
    default:
        return corrupt(why, UNKNOWN_FEATURE ": another type of item");
    }
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
