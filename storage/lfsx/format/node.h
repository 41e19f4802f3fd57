/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One B+tree node as it lies in its block: finding, adding, removing items, and the one validator
 * that stands between the disk and everything else. Pure functions on a page; no I/O, no
 * allocation.
 */
#ifndef STORAGE_LFSX_FORMAT_NODE_H
#define STORAGE_LFSX_FORMAT_NODE_H

#include "base/status.h"
#include "storage/lfsx/lfsx_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Items are ordered by inode, type, offset. */
struct key {
    uint64_t inode;
    uint64_t offset;
    uint8_t type;
};

static inline int key_compare(const struct key *a, const struct key *b) {
    if (a->inode != b->inode)
        return a->inode < b->inode ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return 0;
}

/* A pointer in memory. */
struct pointer {
    uint64_t block; /* 0: nothing */
    uint64_t birth;
    uint64_t checksum;
    uint8_t level;
};

struct pointer pointer_load(const struct disk_pointer *disk);
void pointer_store(struct disk_pointer *disk, const struct pointer *pointer);

/* An item in place; the value stays valid as long as the node is not changed. */
struct item {
    struct key key;
    const void *value;
    uint16_t length;
};

/* Makes the page an empty node; block, birth and checkpoint are set by its owner. */
void node_init(struct disk_node *node, uint8_t level, uint64_t owner);

static inline unsigned node_count(const struct disk_node *node) {
    return le16_get(node->item_count);
}

struct key node_key(const struct disk_node *node, unsigned index);
struct item node_item(const struct disk_node *node, unsigned index);
/* The value to overwrite in place, of the same length. */
void *node_value(struct disk_node *node, unsigned index);

/* First index whose key is at least `key`: node_count() if there is none. */
unsigned node_lower_bound(const struct disk_node *node, const struct key *key);
/* Index of the child that covers `key` in a node of level > 0. */
unsigned node_child_index(const struct disk_node *node, const struct key *key);
/* The child pointer at index, of a node of level > 0. */
struct pointer node_child(const struct disk_node *node, unsigned index);
void node_set_child(struct disk_node *node, unsigned index, const struct pointer *child);
/* Changes an item's key; the order stays right (asserted). */
void node_set_key(struct disk_node *node, unsigned index, const struct key *key);

/* Bytes that items and values take of DISK_NODE_PAYLOAD. */
size_t node_used(const struct disk_node *node);
static inline size_t node_item_size(uint16_t value_length) {
    return sizeof(struct disk_item) + value_length;
}
static inline bool node_has_room(const struct disk_node *node, size_t bytes) {
    return node_used(node) + bytes <= DISK_NODE_PAYLOAD;
}

/* There is room (asserted), and the order stays right (asserted). */
void node_insert(struct disk_node *node, unsigned index, const struct key *key, const void *value,
                 uint16_t length);
void node_remove(struct disk_node *node, unsigned index);
/* Moves the items from `index` on to the front of `to`, which has room. */
void node_move_tail(struct disk_node *node, unsigned index, struct disk_node *to);
/* Moves the first `count` items to the end of `to`, which has room. */
void node_move_head(struct disk_node *node, unsigned count, struct disk_node *to);

/* Computes and stores the checksum; returns it. */
uint64_t node_seal(struct disk_node *node);

/*
 * Everything about a node read from a device that can be told from the page and the pointer to it.
 * STATUS_CHECKSUM (also: stands elsewhere, or is an older version), STATUS_CORRUPT (its content
 * breaks the format); *why then says what.
 */
enum status node_validate(const struct disk_node *node, const struct pointer *pointer,
                          uint64_t owner, const char **why);

/* What the way down to a node says about it: its keys are at least low and, unless it is one of the
 * rightmost, less than high. */
struct node_bounds {
    struct key low, high;
    bool has_high;
    bool is_root; /* then nothing is known of its keys, and it may be empty */
};

/* The bounds of the child at `index` of a node that has `bounds` itself. */
struct node_bounds node_child_bounds(const struct disk_node *node, unsigned index,
                                     const struct node_bounds *bounds);

/* Whether a valid node is where its keys belong (invariants 1 to 3 of btree.h). CORRUPT, *why as
 * above. */
enum status node_bounds_validate(const struct disk_node *node, const struct node_bounds *bounds,
                                 const char **why);

#endif
