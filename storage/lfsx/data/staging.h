/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staging: a write is acknowledged when its blocks stand in memory with their place, checksum and
 * journal record; they go to the device later, many together, in the order of the device.
 *
 * A staged page is in the data cache, where readers find it, and stays there until it is on the
 * device. It gets there
 *   - by the stager, a thread, once a batch is full or a page has waited for long;
 *   - with a commit, before its flush: all that was staged before the entry was sealed, so that
 *     every record in an entry has its data written when the flush begins;
 *   - with a checkpoint, before its flush: all that was staged before its trees were sealed.
 * So no state becomes durable that names data which is not. A write that fails latches the pool,
 * and every commit from then on fails.
 *
 * What is staged cannot get lost for want of memory: writing it out needs no more than is there
 * from the start. Staging itself may find no memory; then the data is written through, at once.
 * So are large writes, which need no gathering.
 *
 * Lock order: the data cache's lock guards everything here.
 */
#ifndef STORAGE_LFSX_DATA_STAGING_H
#define STORAGE_LFSX_DATA_STAGING_H

#include "base/status.h"
#include "storage/lfsx/data/data_path.h"

#include <stdint.h>

struct journal;
struct staging;

/* Who writes staged pages out; one thread at a time in each role. */
enum staging_role { STAGING_STAGER, STAGING_COMMIT, STAGING_CHECKPOINT, STAGING_ROLES };

/* Starts staging for a pool that is open for writing; with no data cache there is none, and all is
 * written through. NO_MEMORY. */
enum status staging_start(struct data_path *data, struct journal *journal);
/* No writer is under way any more. What is staged stays so: a checkpoint writes it. The calls that
 * stop do nothing if nothing was started. */
void staging_stop(struct data_path *data);
/* After the last checkpoint. What could not be written is lost, as the log said. */
void staging_free(struct data_path *data);

/* What a writer may stage. */
struct staging_room {
    uint64_t pages; /* 0: it writes through */
    unsigned share;
};
/* Asks for room for a write of so many blocks of a file, and waits while too much is staged. No
 * lock held. */
void staging_enter(struct data_path *data, uint64_t dataset, uint64_t inode, uint64_t count,
                   struct staging_room *room);
/* Gives back what was not used. */
void staging_leave(struct data_path *data, struct staging_room *room);

/* Stages the mapped blocks, which are in flight, or, without room (NULL: none), writes them;
 * pages[] is copied. An error is that of the device, and the pool is latched. */
enum status staging_write(struct data_path *data, const struct block_map *map, void *const *pages,
                          struct staging_room *room);
/* The mapped blocks, which staging_write() took, will not be named by anything: returns when none
 * of them is on its way to the device any more. */
void staging_cancel(struct data_path *data, const struct block_map *map);

/* Starts to write what is staged at this moment; `end` waits until it is on the device. IO, as all
 * later ones. Neither allocates. */
void staging_flush_begin(struct data_path *data, enum staging_role role);
enum status staging_flush_end(struct data_path *data, enum staging_role role);

/* Bytes that are staged or admitted, and nanoseconds that writers were held back. */
void staging_statistics(struct data_path *data, uint64_t *bytes, uint64_t *held_back_ns);

#endif
