/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much may be staged, and by whom.
 *
 * All writers share a limit: what memory allows, and not more than the device writes in a moment,
 * so that no flush has to wait for long. Each file may take as much as is left for others: one
 * that writes without end takes half of the limit, two take a third each, and there is always room
 * for who comes new. A writer that comes near its bound is slowed to the device's pace; at the
 * bound it waits for its turn.
 *
 * Files are told apart by a hash: two that meet in one slot count as one.
 *
 * Invariant: total is the sum of the shares: pages admitted and not yet written.
 */
#ifndef STORAGE_LFSX_DATA_THROTTLE_H
#define STORAGE_LFSX_DATA_THROTTLE_H

#include "base/list.h"
#include "base/os.h"

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_SHARES 64u

/* Guarded by the lock that its user names in throttle_init(). */
struct throttle {
    struct os_mutex *lock;
    uint64_t limit; /* pages, by the memory that there is */
    uint64_t rate;  /* bytes that the device writes in a second, as seen; 0: not known yet */
    uint64_t total;
    uint64_t shares[THROTTLE_SHARES];
    uint64_t paced[THROTTLE_SHARES]; /* os_now_ns() at which the next write may go on */
    struct list_node waiters;        /* in order of arrival */
    struct os_condition turn;
    bool closed;
};

void throttle_init(struct throttle *throttle, struct os_mutex *lock, uint64_t limit_pages);
void throttle_destroy(struct throttle *throttle);
/* Largest number of pages that one write may ask for. */
uint64_t throttle_max(const struct throttle *throttle);
/* Number of pages that should be on their way to the device before writers come near the limit. */
uint64_t throttle_batch(const struct throttle *throttle);
/* Waits until the share may have so many more pages, and has them. False: throttle_close(). The
 * lock is held, and let go while it waits. */
bool throttle_admit(struct throttle *throttle, unsigned share, uint64_t pages);
/* Nanoseconds that a writer that was just admitted should sleep, without any lock. */
uint64_t throttle_pace(struct throttle *throttle, unsigned share, uint64_t pages);
/* The pages were written, or were not needed. */
void throttle_release(struct throttle *throttle, unsigned share, uint64_t pages);
/* The device took so long for so many bytes. */
void throttle_measure(struct throttle *throttle, uint64_t bytes, uint64_t nanoseconds);
/* Nobody is admitted any more. */
void throttle_close(struct throttle *throttle);

#endif
