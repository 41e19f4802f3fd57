/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that checkpoints what nobody flushes, and does what is due at a time: it takes
 * snapshots by schedule, and gives up what was deleted long ago. pool_keeper_wake() wakes it. */
#ifndef STORAGE_LFSX_MOUNT_KEEPER_H
#define STORAGE_LFSX_MOUNT_KEEPER_H

#include "base/status.h"

struct lfsx_pool;

/* NO_MEMORY. */
enum status keeper_start(struct lfsx_pool *pool);
/* Does nothing if it was not started. */
void keeper_stop(struct lfsx_pool *pool);

#endif
