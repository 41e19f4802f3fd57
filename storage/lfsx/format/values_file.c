/* SPDX-License-Identifier: Apache-2.0 */
/* The items of a dataset's tree: inodes and what belongs to them, but for extents. */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/format/values_internal.h"
#include "storage/lfsx/lfsx.h"

#define SECTOR_SIZE 512u

static enum status validate_regular(const struct disk_inode *inode, const char **why) {
    if (le64_get(inode->size) > LFSX_VOLUME_SIZE_MAX)
        return corrupt(why, "is an inode of an impossible size");
    if (le64_get(inode->data_blocks) > DISK_FILE_BLOCKS_MAX)
        return corrupt(why, "is an inode with more data than a file can have");
    if (le64_get(inode->parent) != 0)
        return corrupt(why, "is a file that claims to know its directory");
    return STATUS_OK;
}

static enum status validate_directory(const struct disk_inode *inode, const char **why) {
    if (le64_get(inode->size) != 0 || le64_get(inode->data_blocks) != 0)
        return corrupt(why, "is a directory with data");
    if (le64_get(inode->parent) < DISK_ROOT_INODE)
        return corrupt(why, "is a directory in an impossible one");
    if (le32_get(inode->links) > 1)
        return corrupt(why, "is a directory with several names");
    return STATUS_OK;
}

static enum status validate_symlink(const struct disk_inode *inode, const char **why) {
    uint64_t size = le64_get(inode->size);
    if (size == 0 || size > DISK_SYMLINK_MAX || le64_get(inode->data_blocks) != 0)
        return corrupt(why, "is a symbolic link of an impossible size");
    if (le64_get(inode->parent) != 0)
        return corrupt(why, "is a symbolic link that claims to know its directory");
    return STATUS_OK;
}

static enum status validate_inode(const struct item *item, const char **why) {
    const struct disk_inode *inode = item->value;
    if (item->key.inode < DISK_ROOT_INODE || item->key.inode > DISK_INODE_MAX ||
        item->key.offset != 0)
        return corrupt(why, "is an inode with an impossible key");
    if (item->length != sizeof *inode)
        return corrupt(why, "is an inode of a wrong length");
    if (le64_get(inode->flags) != 0)
        return corrupt(why, UNKNOWN_FEATURE ": inode flags");
    if (!mem_is_zero(inode->reserved, sizeof inode->reserved))
        return corrupt(why, "is an inode whose reserved bytes are not zero");
    switch (le32_get(inode->mode) & ~DISK_MODE_PERMISSIONS) {
    case DISK_MODE_REGULAR:
        return validate_regular(inode, why);
    case DISK_MODE_DIRECTORY:
        return validate_directory(inode, why);
    case DISK_MODE_SYMLINK:
        return validate_symlink(inode, why);
    default:
        return corrupt(why, UNKNOWN_FEATURE ": an inode of another kind");
    }
}

static enum status validate_entry(const struct item *item, const char **why) {
    const struct disk_entry *entry = item->value;
    if (item->key.inode < DISK_ROOT_INODE || item->key.offset == UINT64_MAX)
        return corrupt(why, "is a name with an impossible key");
    if (item->length < sizeof *entry || item->length != sizeof *entry + entry->name_length)
        return corrupt(why, "is a name of a wrong length");
    if (entry->kind < DISK_ENTRY_REGULAR || entry->kind > DISK_ENTRY_SYMLINK)
        return corrupt(why, UNKNOWN_FEATURE ": a name of another kind of thing");
    if (!entry_name_is_valid((const char *)entry->name, entry->name_length))
        return corrupt(why, "is a name that is not valid");
    if (le64_get(entry->target) <= DISK_ROOT_INODE)
        return corrupt(why, "is a name of an impossible inode");
    if (!mem_is_zero(entry->reserved, sizeof entry->reserved))
        return corrupt(why, "is a name whose reserved bytes are not zero");
    return STATUS_OK;
}

uint64_t xattr_piece_length(uint64_t total, uint64_t piece) {
    uint64_t before = piece * DISK_XATTR_PIECE;
    return before >= total ? 0 : MATH_MIN(total - before, DISK_XATTR_PIECE);
}

static enum status validate_xattr(const struct item *item, const char **why) {
    const struct disk_xattr *xattr = item->value;
    if (item->key.inode < DISK_ROOT_INODE)
        return corrupt(why, "is an extended attribute of an impossible inode");
    if (item->length < sizeof *xattr)
        return corrupt(why, "is an extended attribute of a wrong length");
    uint64_t value_length = le32_get(xattr->value_length);
    uint64_t piece = item->key.offset % DISK_XATTR_PIECES;
    uint64_t here = xattr_piece_length(xattr->name_length + value_length, piece);
    if (value_length > DISK_XATTR_MAX || here == 0 || item->length != sizeof *xattr + here)
        return corrupt(why, "is an extended attribute of a wrong length");
    if (piece == 0 && !xattr_name_is_valid((const char *)xattr->bytes, xattr->name_length))
        return corrupt(why, "is an extended attribute whose name is not valid");
    if (!mem_is_zero(xattr->reserved, sizeof xattr->reserved))
        return corrupt(why, "is an extended attribute whose reserved bytes are not zero");
    return STATUS_OK;
}

static enum status validate_target(const struct item *item, const char **why) {
    if (item->key.inode < DISK_ROOT_INODE ||
        item->key.offset > (DISK_SYMLINK_MAX - 1) / DISK_SYMLINK_PIECE)
        return corrupt(why, "is a part of a symbolic link with an impossible key");
    if (item->length == 0 || item->length > DISK_SYMLINK_PIECE)
        return corrupt(why, "is a part of a symbolic link of a wrong length");
    const uint8_t *bytes = item->value;
    for (uint16_t i = 0; i < item->length; i++)
        if (bytes[i] == 0)
            return corrupt(why, "is a part of a symbolic link with a zero byte in it");
    return STATUS_OK;
}

static enum status validate_cleanup(const struct item *item, const char **why) {
    if (item->key.inode != DISK_CLEANUP_INODE || item->key.offset < DISK_ROOT_INODE)
        return corrupt(why, "is an order to clean up with an impossible key");
    if (item->length != 0)
        return corrupt(why, "is an order to clean up of a wrong length");
    return STATUS_OK;
}

enum status value_validate_file(const struct item *item, const char **why) {
    switch (item->key.type) {
    case DISK_TYPE_INODE:
        return validate_inode(item, why);
    case DISK_TYPE_ENTRY:
        return validate_entry(item, why);
    case DISK_TYPE_XATTR:
        return validate_xattr(item, why);
    case DISK_TYPE_SYMLINK:
        return validate_target(item, why);
    case DISK_TYPE_CLEANUP:
        return validate_cleanup(item, why);
    default:
        return corrupt(why, UNKNOWN_FEATURE ": another type of item in a dataset");
    }
}

enum status value_validate_volume(const struct item *item, const char **why) {
    bool known = item->key.type == DISK_TYPE_INODE || item->key.type == DISK_TYPE_EXTENT;
    if (!known || item->key.inode != DISK_ROOT_INODE)
        return corrupt(why, "is not one that a volume has");
    if (item->key.type == DISK_TYPE_EXTENT)
        return STATUS_OK;
    const struct disk_inode *inode = item->value;
    if ((le32_get(inode->mode) & DISK_MODE_KIND) != DISK_MODE_REGULAR)
        return corrupt(why, "is a volume's inode and not a regular file");
    uint64_t size = le64_get(inode->size);
    if (size == 0 || size % SECTOR_SIZE != 0)
        return corrupt(why, "is a volume's inode of an impossible size");
    return STATUS_OK;
}
