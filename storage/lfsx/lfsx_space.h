/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may take how much of a pool's space.
 *
 * Both bounds count blocks of data that the live volume references, holes not counted, wherever the
 * blocks come from: what it shares with its snapshots or its origin counts, what only snapshots
 * hold does not. An overwrite of what is there takes nothing.
 */
#ifndef STORAGE_LFSX_LFSX_SPACE_H
#define STORAGE_LFSX_LFSX_SPACE_H

#include "storage/lfsx/lfsx.h"

/*
 * The most that the volume may reference, in bytes; 0: as much as there is. A write that would go
 * beyond it gets NO_SPACE and leaves a line in the log that says that it was the quota, not the
 * pool. A volume that references more than its new quota keeps what it has and takes no more.
 * Durable on return. INVALID (no multiple of LFSX_BLOCK_SIZE, or less than the reservation),
 * NOT_FOUND, READ_ONLY.
 */
enum status lfsx_dataset_set_quota(struct lfsx_pool *pool, const char *name, uint64_t bytes);

/*
 * Space that the volume is sure to get, in bytes; 0: none. What it does not reference yet of it
 * is kept from all others, with a sixteenth more for nodes. A volume with snapshots, or one that is
 * a clone, needs new space to overwrite what it shares, which this does not promise. Durable on
 * return. INVALID (no multiple of LFSX_BLOCK_SIZE, or more than the quota), NO_SPACE (the pool does
 * not have as much to give), NOT_FOUND, READ_ONLY.
 */
enum status lfsx_dataset_set_reservation(struct lfsx_pool *pool, const char *name, uint64_t bytes);

#endif
