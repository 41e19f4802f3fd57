/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets that cannot be served because nodes of theirs cannot be read. No lock held unless it is
 * said. */
#ifndef STORAGE_LFSX_FILE_DAMAGE_H
#define STORAGE_LFSX_FILE_DAMAGE_H

#include "storage/lfsx/pool/dataset.h"

/* Whether an error means that something on the device cannot be read. */
bool damage_is(enum status status);
/* Reads the dataset's first inode; *size is a volume's. CHECKSUM, CORRUPT, IO, NO_MEMORY. */
enum status damage_look(struct dataset *dataset, uint64_t *size);
/* Nobody can open the dataset from now on, which the log says. Lock exclusive, or the pool is being
 * opened. For good: not even if its inode can be read again. */
void damage_set(struct dataset *dataset, enum status cause, bool for_good);
/* Whether it may be opened: CORRUPT, IO. Lock held. */
enum status damage_status(const struct dataset *dataset);
/* The same after another look, if it is damaged. It is held. */
enum status damage_check(struct dataset *dataset);
/* Whether the snapshot's first inode can be read: CORRUPT, IO (logged), NO_MEMORY. */
enum status damage_check_snapshot(struct lfsx_pool *pool, uint64_t dataset, uint64_t epoch);

#endif
