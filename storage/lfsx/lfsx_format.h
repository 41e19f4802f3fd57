/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte that LFSX puts on a device. docs/FORMAT.md is the normative text; no other file knows
 * an offset. All integers are little-endian, all reserved bytes are zero when written and checked
 * when read. Addresses count blocks of LFSX_BLOCK_SIZE from the start of the device.
 *
 *   0            64                                                      N-64           N
 *   | head area  | journal | data and nodes ...         | allocation maps | tail area   |
 *   | -,label,ring                                                        | -,label,ring|
 */
#ifndef STORAGE_LFSX_LFSX_FORMAT_H
#define STORAGE_LFSX_LFSX_FORMAT_H

#include "base/endian.h"

#include <stddef.h>
#include <stdint.h>

#define DISK_BLOCK_SIZE 4096u
#define DISK_VERSION 2u
#define DISK_CHECKSUM_XXH64 1u

/* Feature bits that this program knows, by what an ignorant program may still do. */
#define DISK_COMPAT_KNOWN 0ull    /* read and write */
#define DISK_RO_COMPAT_KNOWN 0ull /* read */
#define DISK_INCOMPAT_KNOWN 0ull  /* nothing */

/* ---- the areas at both ends ---- */

#define DISK_AREA_BLOCKS 64u /* head area and tail area */
#define DISK_AREA_LABEL 1u   /* the label's block inside of an area */
#define DISK_AREA_RING 16u   /* the superblock ring's first block inside of an area */
#define DISK_RING_SLOTS 32u  /* checkpoint C is in slot C % DISK_RING_SLOTS */
#define DISK_MIN_DEVICE_BLOCKS 2048u

#define DISK_LABEL_MAGIC "LFSXLABL"
#define DISK_SUPERBLOCK_MAGIC "LFSXSUPR"
#define DISK_MAP_MAGIC "LFSXMAPB"
#define DISK_NODE_MAGIC 0x4e58464cu /* "LFXN" */

/* Written when the pool is made and when it has grown, at both ends: who the device is and how it
 * is laid out. */
struct disk_label {
    le64 checksum; /* XXH64 of the block's bytes 8..4095 */
    uint8_t magic[8];
    le32 version;
    le32 checksum_kind;
    le64 compat, ro_compat, incompat;
    uint8_t pool_uuid[16];
    uint8_t device_uuid[16];
    le32 device_index; /* in the pool; 0 */
    le32 device_count; /* 1 */
    le64 block;        /* where this copy stands */
    le64 device_blocks;
    le64 map_start; /* first block of the allocation maps */
    le64 map_blocks;
    le64 journal_start;
    le64 journal_blocks;
    le64 data_start; /* first block that the allocator may give out */
    le64 data_end;   /* the block behind the last one */
    le64 created_ns;
    uint8_t label[64]; /* UTF-8, zero-padded, at least one zero */
    uint8_t reserved[3872];
};
_Static_assert(sizeof(struct disk_label) == DISK_BLOCK_SIZE, "label");
_Static_assert(offsetof(struct disk_label, pool_uuid) == 48, "label");
_Static_assert(offsetof(struct disk_label, device_blocks) == 96, "label");
_Static_assert(offsetof(struct disk_label, label) == 160, "label");

/* ---- pointers ---- */

/* Names a node or block and what must be found there. All zero: nothing. */
struct disk_pointer {
    le64 block;
    le64 birth; /* epoch in which it was written */
    le64 checksum;
    le16 group; /* of devices; 0 */
    uint8_t level;
    uint8_t reserved[5];
};
_Static_assert(sizeof(struct disk_pointer) == 32, "pointer");

/* Names one block of the allocation maps: which of its two copies counts. */
struct disk_map_entry {
    le64 checksum; /* XXH64 of the whole map block, bytes 8..4095: equals its own field */
    le32 free_blocks;
    uint8_t copy; /* 0 or 1 */
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct disk_map_entry) == 16, "map entry");

/* ---- superblock ---- */

/* One per checkpoint, in the ring of the head area first and, once that is durable, of the tail
 * area.
 */
struct disk_superblock {
    le64 checksum; /* XXH64 of the block's bytes 8..4095 */
    uint8_t magic[8];
    uint8_t pool_uuid[16];
    le64 block; /* where this copy stands */
    le64 checkpoint;
    le64 epoch;
    le64 written_ns;
    struct disk_pointer catalog; /* root node of the catalog tree */
    le64 catalog_nodes;
    le64 next_dataset; /* identifier that the next dataset gets */
    le64 used_blocks;  /* set bits in all bitmaps */
    struct disk_map_entry map_root;
    le64 journal_sequence; /* first journal entry that is newer than this checkpoint */
    le64 journal_block;    /* where it stands, counted from the journal's start */
    le64 journal_previous; /* checksum of the entry before it */
    le64 device_blocks;    /* that the pool uses */
    uint8_t reserved[3928];
};
_Static_assert(sizeof(struct disk_superblock) == DISK_BLOCK_SIZE, "superblock");
_Static_assert(offsetof(struct disk_superblock, catalog) == 64, "superblock");
_Static_assert(offsetof(struct disk_superblock, map_root) == 120, "superblock");

/* ---- allocation maps ---- */

#define DISK_MAP_PAYLOAD (DISK_BLOCK_SIZE - 64u)
#define DISK_REGION_BLOCKS (DISK_MAP_PAYLOAD * 8u)                         /* 32,256 */
#define DISK_MAP_FANOUT (DISK_MAP_PAYLOAD / sizeof(struct disk_map_entry)) /* 252 */

/*
 * Level 0: the bitmap of one region, bit b of byte B standing for the region's block 8 B + b, set
 * if in use. Level n > 0: entries of DISK_MAP_FANOUT blocks of level n - 1. The highest level has
 * one block, which the superblock's map_root names. Levels stand in the map area one after the
 * other, level 0 first, and each block has two places side by side: copy 0 and copy 1.
 */
struct disk_map_block {
    le64 checksum; /* XXH64 of the block's bytes 8..4095 */
    uint8_t magic[8];
    le64 block;      /* where this copy stands */
    le64 checkpoint; /* that wrote it */
    le64 index;      /* in its level */
    uint8_t level;
    uint8_t reserved[23];
    union {
        uint8_t bitmap[DISK_MAP_PAYLOAD];
        struct disk_map_entry entries[DISK_MAP_FANOUT];
    };
};
_Static_assert(sizeof(struct disk_map_block) == DISK_BLOCK_SIZE, "map block");
_Static_assert(offsetof(struct disk_map_block, bitmap) == 64, "map block");

/* ---- nodes ---- */

/* Items are ordered by inode, then type, then offset. */
struct disk_item {
    le64 inode;
    le64 offset;
    uint8_t type;
    uint8_t reserved;
    le16 value_offset; /* bytes from the start of the node */
    le16 value_length;
    le16 reserved2;
};
_Static_assert(sizeof(struct disk_item) == 24, "item");

/*
 * Items follow the header in ascending order. Values lie at the end of the node, back to back: the
 * first item's value ends at the node's end, each next one ends where the one before begins. The
 * bytes between items and values are zero. In a node of level > 0 each value is a disk_pointer to
 * a node of the next lower level, whose keys are all at least the item's key and below the next
 * item's.
 */
struct disk_node {
    le64 checksum; /* XXH64 of the node's bytes 8..4095; the pointer to the node holds the same */
    le32 magic;
    uint8_t level; /* 0: leaf */
    uint8_t reserved;
    le16 item_count;
    le64 block;      /* where it stands */
    le64 owner;      /* dataset whose tree it belongs to */
    le64 birth;      /* epoch */
    le64 checkpoint; /* that wrote it */
    uint8_t reserved2[16];
    struct disk_item items[];
};
_Static_assert(sizeof(struct disk_node) == 64, "node");

#define DISK_NODE_PAYLOAD (DISK_BLOCK_SIZE - sizeof(struct disk_node))
#define DISK_VALUE_MAX 1000u /* so that any node splits into two that are at most full */
#define DISK_LEVEL_MAX 31u

/* ---- item types and values ---- */

enum disk_item_type {
    DISK_TYPE_INODE = 1,     /* (inode, 0): disk_inode */
    DISK_TYPE_ENTRY = 2,     /* (directory inode, name hash and slot): disk_entry and the name */
    DISK_TYPE_XATTR = 3,     /* (inode, name hash, slot and piece): disk_xattr */
    DISK_TYPE_EXTENT = 4,    /* (inode, first block): disk_extent and its checksums */
    DISK_TYPE_SYMLINK = 5,   /* (inode, piece): bytes of the target */
    DISK_TYPE_CLEANUP = 6,   /* (DISK_CLEANUP_INODE, inode): nothing */
    DISK_TYPE_DATASET = 16,  /* catalog only: (dataset id, 0): disk_dataset and the name */
    DISK_TYPE_SNAPSHOT = 17, /* catalog only: (dataset id, epoch): disk_snapshot and the name */
    DISK_TYPE_SCHEDULE = 18, /* catalog only: (dataset id, 0): disk_schedule_rule, one or more */
    DISK_TYPE_DEAD_SUM = 24, /* dead tree only: (era and birth, 0): disk_dead_sum */
    DISK_TYPE_DEAD = 25      /* dead tree only: (era and birth, first block): disk_dead */
};

#define DISK_OWNER_CATALOG 1u        /* the catalog tree's owner number */
#define DISK_FIRST_DATASET 16u       /* identifiers below are the format's own */
#define DISK_CATALOG_NAMES 0u        /* the catalog's inode under which dataset names stand */
#define DISK_ROOT_INODE 1u           /* in a dataset: the volume's file or the share's root */
#define DISK_CLEANUP_INODE 0u        /* in a share: under it stand the inodes to clean up */
#define DISK_OWNER_DEAD (1ull << 63) /* set in the owner number of a dataset's dead tree */
#define DISK_EPOCH_MAX UINT32_MAX

struct disk_inode {
    le32 mode; /* type and permission bits as in POSIX's st_mode */
    le32 links;
    le32 uid, gid;
    le64 size; /* bytes */
    le64 data_blocks;
    le64 modified_ns, changed_ns, accessed_ns, created_ns;
    le64 flags;
    le64 parent; /* of a directory: the one that it is in, or itself; else 0 */
    uint8_t reserved[48];
};
_Static_assert(sizeof(struct disk_inode) == 128, "inode");
#define DISK_INODE_MAX (1ull << 62) /* the highest number of an inode */
#define DISK_MODE_KIND 0170000u
#define DISK_MODE_REGULAR 0100000u
#define DISK_MODE_DIRECTORY 0040000u
#define DISK_MODE_SYMLINK 0120000u
#define DISK_MODE_PERMISSIONS 07777u

/*
 * A name. The item's offset is XXH64(name, seed = the pool UUID's first eight bytes as le64) with
 * its low four bits replaced by a slot number, so that up to 16 names may share a hash.
 */
struct disk_entry {
    le64 target;  /* inode, or dataset identifier in the catalog */
    uint8_t kind; /* DISK_ENTRY_DATASET in the catalog; else what the inode is */
    uint8_t name_length;
    uint8_t reserved[6];
    uint8_t name[];
};
_Static_assert(sizeof(struct disk_entry) == 16, "entry");
#define DISK_ENTRY_SLOTS 16u
#define DISK_ENTRY_DATASET 1u
#define DISK_ENTRY_REGULAR 2u
#define DISK_ENTRY_DIRECTORY 3u
#define DISK_ENTRY_SYMLINK 4u

/*
 * A piece of an extended attribute: of its name and then its value, each piece but the last is
 * full. The item's offset is the name's hash, as an entry's, with its low twelve bits replaced by
 * 256 times a slot number plus the piece's number.
 */
struct disk_xattr {
    le32 value_length; /* of the whole value */
    uint8_t name_length;
    uint8_t reserved[3];
    uint8_t bytes[];
};
_Static_assert(sizeof(struct disk_xattr) == 8, "extended attribute");
#define DISK_XATTR_SLOTS 16u
#define DISK_XATTR_PIECES 256u
#define DISK_XATTR_PIECE 992u /* bytes of name and value in a full piece */
#define DISK_XATTR_MAX 65536u /* bytes of a value */

#define DISK_SYMLINK_MAX 4095u   /* bytes of a target */
#define DISK_SYMLINK_PIECE 1000u /* of a target; each piece but the last is full */

/* A run of data blocks. The item's offset is its first block in the file. */
struct disk_extent {
    le64 block;
    le64 birth;          /* epoch */
    le32 block_count;    /* 1..DISK_EXTENT_MAX */
    le32 stored_blocks;  /* on the device: equal to block_count while compression is 0 */
    le16 group;          /* of devices; 0 */
    uint8_t compression; /* 0: none */
    uint8_t encryption;  /* 0: none */
    uint8_t reserved[4];
    le64 checksums[]; /* XXH64 of each block of 4,096 bytes */
};
_Static_assert(sizeof(struct disk_extent) == 32, "extent");
#define DISK_EXTENT_MAX 64u
#define DISK_FILE_BLOCKS_MAX (1ull << 50) /* a file has at most 2^62 bytes */

/* ---- records in the journal (storage/journal/journal_format.h) ---- */

enum disk_record_type { DISK_RECORD_WRITE = 1, DISK_RECORD_PUNCH = 2, DISK_RECORD_ITEMS = 3 };

/* Blocks [first, first + count) of a file were replaced. */
struct disk_record_write {
    le64 dataset;
    le64 inode;
    le64 first;
    le32 count;
    le32 reserved;
    le64 size;        /* of a share's file, afterwards; of a volume: 0 */
    le64 modified_ns; /* of a share's file; 0: its times stay */
    le64 words[];     /* the blocks' addresses, then their checksums */
};
_Static_assert(sizeof(struct disk_record_write) == 48, "write record");

/* Blocks [first, first + count) of a file became a hole. */
struct disk_record_punch {
    le64 dataset;
    le64 inode;
    le64 first;
    le64 count;
    le64 modified_ns; /* of a share's file; 0: its times stay */
};
_Static_assert(sizeof(struct disk_record_punch) == 40, "punch record");

/* Items of a share were made, replaced and removed, all at once. */
struct disk_record_items {
    le64 dataset;
    le32 count;
    le32 reserved;
    uint8_t changes[]; /* disk_record_change, each followed by its value */
};
_Static_assert(sizeof(struct disk_record_items) == 16, "items record");

struct disk_record_change {
    le64 inode;
    le64 offset;
    uint8_t type;
    uint8_t kind;
    le16 value_length;
    le32 reserved;
};
_Static_assert(sizeof(struct disk_record_change) == 24, "change");
#define DISK_CHANGE_PUT 1u
#define DISK_CHANGE_REMOVE 2u

struct disk_dataset {
    le64 id;
    uint8_t uuid[16];
    uint8_t kind;  /* DISK_DATASET_VOLUME or DISK_DATASET_SHARE */
    uint8_t state; /* DISK_DATASET_LIVE and so on */
    uint8_t name_length;
    uint8_t reserved[5];
    struct disk_pointer root; /* root node of its tree */
    le64 node_blocks;         /* nodes in its tree */
    le64 data_blocks;         /* data blocks that its extents name */
    le64 created_ns;
    le64 birth;               /* epoch */
    struct disk_pointer dead; /* root node of its dead tree; nothing: it is empty */
    le64 dead_nodes;          /* in the dead tree */
    le64 origin;              /* dataset that it was cloned from; 0: none */
    le64 origin_epoch;        /* of the snapshot that it was cloned from */
    le64 shared_blocks;       /* nodes and data blocks of its tree that belong to the origin */
    le64 flags;               /* DISK_DATASET_PROTECTED */
    le64 keep_deleted_ns;     /* how long it can be brought back after it was deleted */
    le64 deleted_ns;          /* when it was, if it is DISK_DATASET_DELETED */
    le64 next_inode;          /* of a share: the next new inode's number; of a volume: 0 */
    le64 quota_blocks;        /* data blocks that it may have at most; 0: any number */
    le64 reserved_blocks;     /* data blocks that it is sure to get */
    uint8_t reserved2[112];
    uint8_t name[]; /* none while deleting */
};
_Static_assert(sizeof(struct disk_dataset) == 320, "dataset");
_Static_assert(offsetof(struct disk_dataset, quota_blocks) == 192, "dataset");
_Static_assert(offsetof(struct disk_dataset, dead) == 96, "dataset");
#define DISK_DATASET_VOLUME 1u
#define DISK_DATASET_SHARE 2u
#define DISK_DATASET_LIVE 0u
#define DISK_DATASET_DELETING 1u  /* what it holds is being freed */
#define DISK_DATASET_DELETED 2u   /* it can still be brought back; its record has the name */
#define DISK_DATASET_PROTECTED 1u /* refuses to be deleted */

/* When snapshots of a dataset are taken by themselves, and how many are kept: of the newest
 * `keep` intervals, each `interval_ns` long, one snapshot. Rules stand by rising interval. */
struct disk_schedule_rule {
    le64 interval_ns;
    le64 keep;
};
_Static_assert(sizeof(struct disk_schedule_rule) == 16, "schedule rule");
#define DISK_SCHEDULE_RULES_MAX 32u

/* The tree of a dataset as it was at the end of an epoch, which is the item's offset. Snapshots of
 * several datasets with the same epoch were taken in one instant. */
struct disk_snapshot {
    uint8_t uuid[16];
    struct disk_pointer root;
    le64 node_blocks; /* as in disk_dataset, at that moment */
    le64 data_blocks;
    le64 shared_blocks;
    le64 size; /* bytes of the volume */
    le64 created_ns;
    uint8_t state; /* DISK_SNAPSHOT_LIVE or DISK_SNAPSHOT_DELETING */
    uint8_t flags; /* DISK_SNAPSHOT_AUTOMATIC */
    uint8_t name_length;
    uint8_t reserved[37];
    uint8_t name[]; /* none while deleting */
};
_Static_assert(sizeof(struct disk_snapshot) == 128, "snapshot");
#define DISK_SNAPSHOT_LIVE 0u
#define DISK_SNAPSHOT_DELETING 1u
#define DISK_SNAPSHOT_AUTOMATIC 1u

/*
 * The dead tree of a dataset holds what its live tree has dropped and a snapshot still has. An
 * item's inode is (era << 32 | birth): era is the epoch of the newest snapshot when the blocks were
 * dropped, birth the epoch in which they were written, birth <= era. They are in all snapshots from
 * birth to era, and in no other.
 */
struct disk_dead {
    le64 count; /* blocks, from the one that is the item's offset on */
};
_Static_assert(sizeof(struct disk_dead) == 8, "dead");

/* Of all disk_dead with the same era and birth. */
struct disk_dead_sum {
    le64 blocks;
};
_Static_assert(sizeof(struct disk_dead_sum) == 8, "dead sum");

#endif
