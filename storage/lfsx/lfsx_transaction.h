/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several changes of a pool's volumes, shares, snapshots and settings as one: all of them are made
 * in one instant and durable together, or none is.
 *
 *     static enum status publish(struct lfsx_transaction *t, void *context) {
 *         const struct release *release = context;
 *         enum status status = lfsx_transaction_rename(t, "current", release->old_name);
 *         if (status == STATUS_OK)
 *             status = lfsx_transaction_clone_create(t, "master", release->snapshot, "current");
 *         return status;
 *     }
 *     ...
 *     status = lfsx_transaction_run(pool, NULL, publish, &release);
 *
 * The calls of lfsx.h, lfsx_share.h, lfsx_snapshot.h and lfsx_space.h that change one of these
 * things are transactions of one change.
 *
 * Snapshots are of the instant of the commit, whenever the call was: all that a transaction takes
 * are of one instant, and hold what was written up to it. They can be cloned, rolled back to and
 * deleted in the same transaction. While one has taken a snapshot, another that wants to waits for
 * its end.
 *
 * A volume that gets smaller (LFSX_RESIZE_SHRINK) gives up what lies behind its new end in the
 * commit, before that instant. If the commit then fails, or the power does, a part of that may be
 * gone although the volume has its old size.
 *
 * INVALID, since nobody could tell which came first: two snapshots of one volume; a snapshot and
 * another size; two sizes; another size, or a snapshot, of a clone of a snapshot that the
 * transaction takes. A clone that it makes can only be made larger.
 *
 * A transaction is used by one thread at a time; different ones by any threads at once. Nothing of
 * it is seen by others, or by calls outside of it, before it commits. Volumes cannot be opened
 * before that; a volume that was opened meanwhile is not deleted: lfsx_transaction_commit() gives
 * BUSY. A call that fails has changed nothing; the transaction goes on without it, except after
 * DEADLOCK, where everything that it did is undone and only lfsx_transaction_restart() and
 * lfsx_transaction_abort() are left. What it locked, also by calls that failed, is locked until it
 * ends: the names and volumes that it changes, and if it is serializable also what it read. The
 * calls of one change wait for these, too; so a transaction should not wait for people.
 *
 * All calls may also give
 *     DEADLOCK   chosen to end a deadlock: start over
 *     CONFLICT   a snapshot transaction wants to change, or needs unchanged, what another changed
 *                since it began: start over
 *     TIMEOUT    what it needs stayed locked for too long
 * and what lfsx.h says of any call.
 */
#ifndef STORAGE_LFSX_LFSX_TRANSACTION_H
#define STORAGE_LFSX_LFSX_TRANSACTION_H

#include "storage/lfsx/lfsx_snapshot.h"

struct lfsx_transaction;

/* What a transaction sees of others. Changes lock what they change at each level. */
enum lfsx_isolation {
    LFSX_READ_COMMITTED, /* each call sees what was committed when it began */
    LFSX_SNAPSHOT,       /* each call sees what was committed when the transaction began */
    LFSX_SERIALIZABLE    /* as if alone: what it reads, and found missing, stays so to its end */
};

struct lfsx_transaction_options {
    enum lfsx_isolation isolation;
    uint64_t timeout_ns; /* for each wait for a lock: OS_FOREVER, or 0 to never wait */
};

/* Runs the body in a transaction and commits that: what most callers want. After DEADLOCK and
 * CONFLICT the body runs anew, as often as it takes; a few times also after NO_SPACE, when what is
 * being freed is free. After any other error nothing was changed. `options` NULL: serializable,
 * waiting for ever. What the body gives, and what begin and commit give. */
typedef enum status lfsx_transaction_body(struct lfsx_transaction *transaction, void *context);
enum status lfsx_transaction_run(struct lfsx_pool *pool,
                                 const struct lfsx_transaction_options *options,
                                 lfsx_transaction_body *body, void *context);

/* `options` as above. All transactions have ended before the pool is closed. NO_MEMORY, INVALID. */
enum status lfsx_transaction_begin(struct lfsx_pool *pool,
                                   const struct lfsx_transaction_options *options,
                                   struct lfsx_transaction **transaction);

/*
 * Makes all changes in one instant, then makes them durable and releases the transaction. *done
 * says whether that instant was: if so, an error means that they may not be durable, and the
 * transaction is gone; if not, it is as it was before the call, to be tried again, restarted or
 * aborted. `done` may be NULL: then an error aborts it. BUSY (somebody uses what it deletes),
 * NO_SPACE (what is being freed may still help: see lfsx_transaction_run()), READ_ONLY.
 */
enum status lfsx_transaction_commit(struct lfsx_transaction *transaction, bool *done);

/* Undoes everything and releases the transaction. Does not fail. */
void lfsx_transaction_abort(struct lfsx_transaction *transaction);

/* Undoes everything, gives back all locks, and begins anew: possible after any error, and with each
 * time the transaction is less likely to be the next victim of a deadlock. Does not fail. */
void lfsx_transaction_restart(struct lfsx_transaction *transaction);

/* Remembers this moment of the transaction. Savepoints nest. */
enum status lfsx_transaction_savepoint(struct lfsx_transaction *transaction, uint64_t *savepoint);
/* Undoes all changes since; locks stay. The savepoint stays, later ones are gone. INVALID (no such
 * savepoint). */
enum status lfsx_transaction_rollback_to(struct lfsx_transaction *transaction, uint64_t savepoint);
/* Forgets it and all later ones; changes stay. INVALID. */
enum status lfsx_transaction_release(struct lfsx_transaction *transaction, uint64_t savepoint);

/* ---- reading: sees the transaction's own changes ---- */

/* What is known of a volume or share by its record, not by its content. */
struct lfsx_dataset_info {
    char name[LFSX_NAME_MAX + 1];
    uint64_t id;
    uint8_t uuid[16];
    bool is_share;
    bool is_protected;
    uint64_t keep_deleted_ns;
    uint64_t created_ns;   /* since 1970 UTC */
    uint64_t origin;       /* id of what it is a clone of; 0: of nothing */
    uint64_t origin_epoch; /* of the snapshot */
};

/* NOT_FOUND. */
enum status lfsx_transaction_find(struct lfsx_transaction *transaction, const char *name,
                                  struct lfsx_dataset_info *info);
/* Calls visit for every volume and share, in no order that callers may rely on, until it returns
 * false. */
enum status lfsx_transaction_list(struct lfsx_transaction *transaction,
                                  bool (*visit)(void *context,
                                                const struct lfsx_dataset_info *info),
                                  void *context);

/* ---- changing: as the calls of one change, but that nothing is durable, or even seen by others,
 * before the transaction commits; NO_SPACE and READ_ONLY come only then ---- */

enum status lfsx_transaction_volume_create(struct lfsx_transaction *transaction, const char *name,
                                           uint64_t size);
enum status lfsx_transaction_share_create(struct lfsx_transaction *transaction, const char *name);
enum status lfsx_transaction_clone_create(struct lfsx_transaction *transaction, const char *volume,
                                          const char *snapshot, const char *name);
enum status lfsx_transaction_rollback(struct lfsx_transaction *transaction, const char *volume,
                                      const char *snapshot, const char *keep_as);
enum status lfsx_transaction_resize(struct lfsx_transaction *transaction, const char *name,
                                    uint64_t size, uint32_t flags);
enum status lfsx_transaction_rename(struct lfsx_transaction *transaction, const char *from,
                                    const char *to);
enum status lfsx_transaction_volume_delete(struct lfsx_transaction *transaction, const char *name,
                                           uint32_t flags);
enum status lfsx_transaction_share_delete(struct lfsx_transaction *transaction, const char *name,
                                          uint32_t flags);
enum status lfsx_transaction_undelete(struct lfsx_transaction *transaction, uint64_t id,
                                      const char *name);
enum status lfsx_transaction_purge(struct lfsx_transaction *transaction, uint64_t id);
enum status lfsx_transaction_protect(struct lfsx_transaction *transaction, const char *name,
                                     bool is_protected, uint64_t keep_deleted_ns);
enum status lfsx_transaction_snapshot_create(struct lfsx_transaction *transaction,
                                             const char *const *volumes, uint32_t volume_count,
                                             const char *name, uint32_t flags);
enum status lfsx_transaction_snapshot_delete(struct lfsx_transaction *transaction,
                                             const char *volume, const char *name);
enum status lfsx_transaction_schedule_set(struct lfsx_transaction *transaction, const char *volume,
                                          const struct lfsx_schedule_rule *rules, uint32_t count);
enum status lfsx_transaction_set_quota(struct lfsx_transaction *transaction, const char *name,
                                       uint64_t bytes);
enum status lfsx_transaction_set_reservation(struct lfsx_transaction *transaction, const char *name,
                                             uint64_t bytes);

#endif
