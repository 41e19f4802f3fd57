/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusive locks on block ranges of a volume: overlapping writes take turns, others do not meet.
 * First come, first served among those that overlap.
 */
#ifndef STORAGE_LFSX_DATA_RANGELOCK_H
#define STORAGE_LFSX_DATA_RANGELOCK_H

#include "base/list.h"
#include "base/os.h"

#include <stdint.h>

struct rangelock {
    struct os_mutex lock; /* guards `ranges` */
    struct os_condition released;
    struct list_node ranges; /* held and waiting ones, in order of arrival */
};

/* On the holder's stack. */
struct rangelock_hold {
    struct list_node link;
    uint64_t first, count;
};

void rangelock_init(struct rangelock *lock);
void rangelock_destroy(struct rangelock *lock);
/* Sleeps until nobody who came earlier holds or waits for an overlapping range. Count > 0. */
void rangelock_acquire(struct rangelock *lock, struct rangelock_hold *hold, uint64_t first,
                       uint64_t count);
void rangelock_release(struct rangelock *lock, struct rangelock_hold *hold);

#endif
