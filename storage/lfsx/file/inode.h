/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inode items of shares, and who changes what of them.
 *
 * Invariants:
 * 1. What says what an inode is (kind, permissions, owner, links, parent, created_ns) is a record:
 *    only transactions change it (records.c).
 * 2. What follows from its content (size, data_blocks, and the other times) changes in any update,
 *    with the lock held exclusive: with the extents (file.c), or with records of others, as when a
 *    directory gets an entry. A transaction sees zeros there, and what it replaces keeps them.
 * 3. data_blocks is the sum of the lengths of the inode's extents.
 * 4. While a file is open, struct file.size is its item's.
 */
#ifndef STORAGE_LFSX_FILE_INODE_H
#define STORAGE_LFSX_FILE_INODE_H

#include "base/status.h"
#include "storage/lfsx/lfsx_format.h"
#include "storage/lfsx/tree/btree.h"

#include <stdint.h>

struct file;
struct update_need;

struct key inode_key(uint64_t inode);

/* Copies the item. NOT_FOUND, AGAIN. Lock shared or exclusive. */
enum status inode_look(struct btree *tree, uint64_t inode, struct disk_inode *item,
                       struct btree_cursor *cursor);

/* Leaves of an item what is a record (invariant 1). */
void inode_strip(struct disk_inode *item);
/* Gives a stripped item back what invariant 2 is about, from `stored`. */
void inode_complete(struct disk_inode *item, const struct disk_inode *stored);

/* Adds to the need of an update of the file's extents what inode_content_changed() takes. CORRUPT
 * (there is no item), AGAIN. Lock exclusive. */
enum status inode_prefetch(struct file *file, struct btree_cursor *cursor,
                           struct update_need *need);

/* The file has `added` blocks more (modulo 2^64: or less) and is at least `end` bytes long; 0
 * nanoseconds leave its times. In an update. */
void inode_content_changed(struct file *file, uint64_t added, uint64_t end, uint64_t now_ns);

#endif
