/* SPDX-License-Identifier: Apache-2.0 */
/* A pool's memory before anything is in it: what opening and formatting share. */
#ifndef STORAGE_LFSX_MOUNT_OPEN_H
#define STORAGE_LFSX_MOUNT_OPEN_H

#include "storage/lfsx/pool/pool.h"

/* A pool without trees and allocator. `options` may be NULL. NO_MEMORY. */
enum status pool_new(struct blockdev *device, const struct label *label,
                     const struct lfsx_open_options *options, struct lfsx_pool **pool);
/* Releases it and its datasets; the allocator is its owner's to destroy before. */
void pool_free(struct lfsx_pool *pool);

/*
 * Opens a pool whose shares are about to be mended (repair/share_mend.h). Their root directories
 * may be missing, and what the journal says of them need not fit what there is: a file that is
 * written to and not there is made, without a name, and what is removed need not be there. No
 * thread works in the background: nothing is freed, and no snapshot taken by schedule, but by
 * request. As lfsx_pool_open(); lfsx_pool_close() ends it, too.
 */
enum status pool_open_to_mend(struct blockdev *device, const struct lfsx_open_options *options,
                              struct lfsx_pool **pool);

/* ---- recover.c ---- */

/* Replays the journal from the position in memory and leaves its end in *end. CORRUPT (also: a
 * record makes no sense), IO, NO_MEMORY. *replayed says whether there was anything. */
enum status pool_recover(struct lfsx_pool *pool, const struct journal_position *from,
                         struct journal_position *end, bool *replayed);
struct journal_area pool_journal_area(const struct lfsx_pool *pool);

#endif
