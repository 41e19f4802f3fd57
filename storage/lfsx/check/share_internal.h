/* SPDX-License-Identifier: Apache-2.0 */
/* What is collected of a share, to be compared. */
#ifndef STORAGE_LFSX_CHECK_SHARE_INTERNAL_H
#define STORAGE_LFSX_CHECK_SHARE_INTERNAL_H

#include "storage/lfsx/check/check_internal.h"

struct check_inode {
    uint64_t number;
    uint64_t parent; /* of a directory */
    uint64_t size, data_blocks;
    uint64_t seen_blocks, seen_bytes; /* of extents; of a symbolic link's target */
    uint64_t extent_end;              /* blocks */
    uint64_t leaf;
    uint32_t mode, links;
};

struct check_entry {
    uint64_t directory, target;
    uint64_t leaf;
    uint8_t kind;
};

struct check_structure {
    struct check *check;
    const struct check_dataset *dataset;
    const char *name;            /* of the share */
    struct spill_array *inodes;  /* struct check_inode, ascending */
    struct spill_array *entries; /* struct check_entry, in the tree's order */
    struct spill_array *orders;  /* uint64_t: inodes to be cleaned up, ascending */

    /* The inode whose items come, not in `inodes` yet. */
    struct check_inode last;
    bool has_last;

    /* The attribute whose pieces come. */
    struct key piece;
    uint64_t pieces_left;
};

static inline uint32_t check_inode_kind(const struct check_inode *inode) {
    return inode->mode & DISK_MODE_KIND;
}

/* ---- check/share_names.c ---- */

/* Compares what was collected: names with inodes, inodes with what they hold, and whether every
 * directory can be reached. Sorts the entries. */
void check_structure_compare(struct check_structure *structure);

#endif
