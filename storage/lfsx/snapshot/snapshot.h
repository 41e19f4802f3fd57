/* SPDX-License-Identifier: Apache-2.0 */
/* What the schedule needs of snapshots beyond lfsx_snapshot.h. */
#ifndef STORAGE_LFSX_SNAPSHOT_SNAPSHOT_H
#define STORAGE_LFSX_SNAPSHOT_SNAPSHOT_H

#include "storage/lfsx/pool/dataset.h"

/* As lfsx_snapshot_create(), by a schedule and at a time (since 1970 UTC), without waiting: as
 * transaction_run() has it when it is quiet. */
enum status snapshot_take_scheduled(struct lfsx_pool *pool, const char *const *volumes,
                                    uint32_t count, const char *name, uint64_t now_ns);

/* Deletes the dataset's snapshot of an epoch, if nobody uses it: by and by, since nobody waits for
 * that to be durable. NOT_FOUND, BUSY, TIMEOUT (a transaction has it locked). No lock held. */
enum status snapshot_discard(struct lfsx_pool *pool, uint64_t dataset, uint64_t epoch);

#endif
