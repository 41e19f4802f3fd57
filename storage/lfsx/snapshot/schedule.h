/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORAGE_LFSX_SNAPSHOT_SCHEDULE_H
#define STORAGE_LFSX_SNAPSHOT_SCHEDULE_H

#include <stdint.h>

struct lfsx_pool;

/* Takes what is due at a time (since 1970 UTC), of all volumes in one instant, and deletes what no
 * rule keeps. Returns how long nothing more will be due, in nanoseconds. No lock held; one thread
 * at a time. */
uint64_t schedule_run(struct lfsx_pool *pool, uint64_t now_ns);

#endif
