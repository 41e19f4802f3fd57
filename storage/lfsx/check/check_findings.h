/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lfsx_check() can find. A number means the same thing forever: numbers are never changed or
 * used again, new findings get new ones. docs/FORMAT.md explains each to people.
 */
#ifndef STORAGE_LFSX_CHECK_CHECK_FINDINGS_H
#define STORAGE_LFSX_CHECK_CHECK_FINDINGS_H

#include <stdbool.h>

/* X(identifier, number, name, fatal: the check could not look behind it) */
#define CHECK_FINDINGS(X)                                                                          \
    X(LABEL_COPY, 1, "label-copy", false)                                                          \
    X(LABEL_LOST, 2, "label-lost", true)                                                           \
    X(DEVICE_SHRANK, 3, "device-shrank", true)                                                     \
    X(SUPERBLOCK_COPY, 10, "superblock-copy", false)                                               \
    X(SUPERBLOCK_LOST, 11, "superblock-lost", true)                                                \
    X(SUPERBLOCK_DIFFERS, 12, "superblock-differs", false)                                         \
    X(MAP_UNREADABLE, 20, "map-unreadable", true)                                                  \
    X(MAP_CHECKSUM, 21, "map-checksum", true)                                                      \
    X(MAP_CORRUPT, 22, "map-corrupt", true)                                                        \
    X(MAP_FREE_COUNT, 23, "map-free-count", false)                                                 \
    X(MAP_FORMAT_AREA, 24, "map-format-area", false)                                               \
    X(NODE_UNREADABLE, 30, "node-unreadable", true)                                                \
    X(NODE_CHECKSUM, 31, "node-checksum", true)                                                    \
    X(NODE_CORRUPT, 32, "node-corrupt", true)                                                      \
    X(NODE_LOCATION, 33, "node-location", true)                                                    \
    X(NODE_ORDER, 34, "node-order", false)                                                         \
    X(NODE_AGE, 35, "node-age", false)                                                             \
    X(ITEM_INVALID, 36, "item-invalid", true)                                                      \
    X(BLOCK_SHARED, 40, "block-shared", false)                                                     \
    X(BLOCK_LEAKED, 41, "block-leaked", false)                                                     \
    X(BLOCK_LOST, 42, "block-lost", false)                                                         \
    X(USED_COUNT, 43, "used-count", false)                                                         \
    X(SHARED_MISSING, 44, "shared-missing", false)                                                 \
    X(CATALOG_NODES, 50, "catalog-nodes", false)                                                   \
    X(DATASET_NODES, 51, "dataset-nodes", false)                                                   \
    X(DATASET_DATA, 52, "dataset-data", false)                                                     \
    X(DATASET_NUMBER, 53, "dataset-number", false)                                                 \
    X(DATASET_AGE, 54, "dataset-age", false)                                                       \
    X(NAME_MISSING, 55, "name-missing", false)                                                     \
    X(NAME_DANGLING, 56, "name-dangling", false)                                                   \
    X(NAME_HASH, 57, "name-hash", false)                                                           \
    X(DATASET_BLOCKS, 58, "dataset-blocks", false)                                                 \
    X(DATASET_ORIGIN, 59, "dataset-origin", false)                                                 \
    X(INODE_MISSING, 60, "inode-missing", false)                                                   \
    X(INODE_LINKS, 61, "inode-links", false)                                                       \
    X(EXTENT_OVERLAP, 62, "extent-overlap", false)                                                 \
    X(EXTENT_BEHIND_END, 63, "extent-behind-end", false)                                           \
    X(EXTENT_AGE, 64, "extent-age", false)                                                         \
    X(INODE_NUMBER, 65, "inode-number", false)                                                     \
    X(INODE_BLOCKS, 66, "inode-blocks", false)                                                     \
    X(INODE_ORPHAN, 67, "inode-orphan", false)                                                     \
    X(INODE_UNREACHABLE, 68, "inode-unreachable", false)                                           \
    X(ITEM_STRAY, 69, "item-stray", false)                                                         \
    X(DATA_UNREADABLE, 70, "data-unreadable", false)                                               \
    X(DATA_CHECKSUM, 71, "data-checksum", false)                                                   \
    X(JOURNAL_DAMAGED, 80, "journal-damaged", true)                                                \
    X(JOURNAL_RECORD, 81, "journal-record", false)                                                 \
    X(SNAPSHOT_DATASET, 90, "snapshot-dataset", false)                                             \
    X(SNAPSHOT_NAME, 91, "snapshot-name", false)                                                   \
    X(SNAPSHOT_AGE, 92, "snapshot-age", false)                                                     \
    X(SNAPSHOT_BLOCKS, 93, "snapshot-blocks", false)                                               \
    X(SNAPSHOT_SIZE, 94, "snapshot-size", false)                                                   \
    X(DEAD_NODES, 95, "dead-nodes", false)                                                         \
    X(DEAD_SUM, 96, "dead-sum", false)                                                             \
    X(DEAD_NOWHERE, 97, "dead-nowhere", false)                                                     \
    X(DEAD_UNNAMED, 98, "dead-unnamed", false)                                                     \
    X(ENTRY_WRONG, 100, "entry-wrong", false)                                                      \
    X(XATTR_PIECES, 101, "xattr-pieces", false)                                                    \
    X(SYMLINK_TARGET, 102, "symlink-target", false)

enum check_finding {
#define X(identifier, number, name, fatal) CHECK_##identifier = number,
    CHECK_FINDINGS(X)
#undef X
};

#endif
