/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots and clones. Everything here is called from threads and may block, as in lfsx.h, which
 * tells the errors that any call may return.
 *
 * A snapshot is a volume as it was at one moment: nothing changes it. Taking one costs the same
 * whatever the volume holds. It shares what it has in common with the volume and with other
 * snapshots; deleting it frees, in the background, what nothing else has. A clone is a new volume
 * that begins as a snapshot was; the snapshot stays as long as the clone does.
 *
 * lfsx_volume_open() with "VOLUME@SNAPSHOT" gives a read-only handle on a snapshot. That is why
 * names of volumes and snapshots have no '@'.
 */
#ifndef STORAGE_LFSX_LFSX_SNAPSHOT_H
#define STORAGE_LFSX_LFSX_SNAPSHOT_H

#include "storage/lfsx/lfsx.h"

#define LFSX_BYTES_UNKNOWN UINT64_MAX /* what says it is damaged */

struct lfsx_snapshot_info {
    char name[LFSX_NAME_MAX + 1];
    uint8_t uuid[16];
    uint64_t epoch;         /* rises with time; the same for all that were taken in one instant */
    uint64_t created_ns;    /* since 1970 UTC */
    uint64_t size;          /* bytes, as clients see it */
    uint64_t logical_bytes; /* data that it holds */
    uint64_t referenced_bytes; /* with the nodes; shared or not */
    uint64_t unique_bytes;     /* what deleting it would free, or LFSX_BYTES_UNKNOWN */
    uint32_t open_count;
    uint32_t clone_count;
    bool automatic; /* taken by a schedule */
};

#define LFSX_SNAPSHOT_AUTOMATIC 1u /* a schedule's: it may delete it again */

/* Takes a snapshot of every volume named, all in the same instant: what was acknowledged before the
 * call is in it, a write that is under way is in it as a whole or not at all. Durable on return;
 * after an error none was taken. NOT_FOUND, EXISTS (a volume has a snapshot of this name), INVALID
 * (name; no volume; one named twice), CORRUPT and IO (a volume is damaged), NO_SPACE, READ_ONLY. */
enum status lfsx_snapshot_create(struct lfsx_pool *pool, const char *const *volumes,
                                 uint32_t volume_count, const char *name, uint32_t flags);

/* Deletes a snapshot, durably on return; what only it had is free soon afterwards. Works on a full
 * pool. NOT_FOUND, BUSY (a handle is open, or a clone depends on it), READ_ONLY. */
enum status lfsx_snapshot_delete(struct lfsx_pool *pool, const char *volume, const char *name);

/* Calls visit for every snapshot of the volume, the oldest first, with no lock held, until it
 * returns false. NOT_FOUND. */
enum status lfsx_snapshot_list(struct lfsx_pool *pool, const char *volume,
                               bool (*visit)(void *context, const struct lfsx_snapshot_info *info),
                               void *context);

/* How many bytes of the volume are in no snapshot of it and not in what it was cloned from: what
 * deleting it, but not its snapshots, would free; or LFSX_BYTES_UNKNOWN. NOT_FOUND. */
enum status lfsx_volume_unique(struct lfsx_pool *pool, const char *volume, uint64_t *bytes);

/* How many bytes the volume takes together with all its snapshots, nodes included: what deleting it
 * with them would free. What it has of its origin counts there, so that the sum over all volumes
 * and shares is what they take of the pool while nobody writes. Costs a look at the sums of what
 * was dropped between snapshots. May be LFSX_BYTES_UNKNOWN. NOT_FOUND. */
enum status lfsx_volume_total(struct lfsx_pool *pool, const char *volume, uint64_t *bytes);

/* Waits until what deleted snapshots and volumes held is free: SHUTDOWN if the pool closes first.
 */
enum status lfsx_pool_settle(struct lfsx_pool *pool);

/* Makes a volume that begins as the snapshot was, durable on return. NOT_FOUND, EXISTS, INVALID
 * (name), NO_SPACE, READ_ONLY. */
enum status lfsx_clone_create(struct lfsx_pool *pool, const char *volume, const char *snapshot,
                              const char *name);

/* Takes the volume back to a snapshot, in one step and durably: the volume's present state lives
 * on, with all its snapshots, as the volume `keep_as`; a clone of the snapshot takes its name. The
 * clone takes over quota and reservation, which the other loses; schedule and protection both have,
 * so that nothing is less guarded than before, and automatic snapshots go when the schedule says.
 * EXISTS (keep_as), BUSY (a handle is open), else as lfsx_clone_create(). */
enum status lfsx_volume_rollback(struct lfsx_pool *pool, const char *volume, const char *snapshot,
                                 const char *keep_as);

/* The newest snapshot of the volume that was taken at or before the time (ns since 1970 UTC).
 * NOT_FOUND. */
enum status lfsx_snapshot_at(struct lfsx_pool *pool, const char *volume, uint64_t time_ns,
                             struct lfsx_snapshot_info *info);

/* ---- snapshots that are taken and deleted by themselves ---- */

/* Time is cut into intervals, counted from 1970 on. Of each of the newest `keep` intervals, the
 * present one included, the first snapshot is kept, if the volume changed in it. */
struct lfsx_schedule_rule {
    uint64_t interval_ns; /* a second or more */
    uint64_t keep;        /* 1 or more */
};
#define LFSX_SCHEDULE_RULES_MAX 32u

/* Sets when snapshots of a volume are taken and which are kept, durably on return; count 0: none
 * are taken any more, and those that were taken go. Snapshots that somebody took by name, has open
 * or made a clone of are never touched. INVALID (rules), NOT_FOUND, NO_SPACE, READ_ONLY. */
enum status lfsx_schedule_set(struct lfsx_pool *pool, const char *volume,
                              const struct lfsx_schedule_rule *rules, uint32_t count);

/* Copies the rules, sorted by interval. NOT_FOUND. */
enum status lfsx_schedule_get(struct lfsx_pool *pool, const char *volume,
                              struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX],
                              uint32_t *count);

#endif
