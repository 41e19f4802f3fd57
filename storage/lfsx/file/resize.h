/* SPDX-License-Identifier: Apache-2.0 */
/* The steps in which a volume gets another size, for the transaction that they are a part of. */
#ifndef STORAGE_LFSX_FILE_RESIZE_H
#define STORAGE_LFSX_FILE_RESIZE_H

#include "storage/lfsx/pool/dataset.h"

struct update_need;

/* Keeps others from deleting, rolling back and resizing the volume, and from opening one that
 * shrinks. Lock exclusive. BUSY. */
enum status resize_hold(struct dataset *dataset, uint64_t size);
/* Ends that. A size that did not become durable stays closed; to ask for it again is a way to go
 * on. Lock exclusive. */
void resize_let_go(struct dataset *dataset, bool is_durable);

/* What lies behind the new end of a volume that is held gives its space back, and what is left of
 * the last block is zeros. No lock held. As file_punch(). */
enum status resize_cut(struct dataset *dataset, uint64_t size);

/* In a step: makes the inode's leaf one that can be changed without taking or dropping anything, in
 * an update of its own. AGAIN, NO_SPACE, NO_MEMORY, READ_ONLY. */
enum status resize_touch(struct dataset *dataset, uint64_t size, struct btree_cursor *cursor);
/* In an update: the volume has the size, and what is new stays closed. */
void resize_apply(struct dataset *dataset, uint64_t size);

/* For a clone that is about to be made of a snapshot: adds what the change of its size takes.
 * AGAIN. */
enum status resize_prefetch_clone(struct snapshot *origin, struct btree_cursor *cursor,
                                  struct update_need *need);

#endif
