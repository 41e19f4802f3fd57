/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open pool: what everything that works with it shares.
 *
 * Lock order: grow_lock; share_lock -> dataset range lock -> record locks of transactions ->
 * commit_lock -> lock -> space.lock -> journal's, allocator.lock -> latch's, state_lock,
 * data.cache.lock. No lock of these is held across I/O but grow_lock, share_lock, the range lock
 * (which only overlapping writes of one file wait for), record locks and, by whoever runs the
 * checkpoint, the right to run it (checkpoint_running). Nothing is taken under data.cache.lock.
 *
 * Generations: changes belong to the running generation, whose number is that of the checkpoint
 * that will make them durable. Gathering (checkpoint.c) ends it in one instant under the
 * exclusive lock.
 */
#ifndef STORAGE_LFSX_POOL_POOL_H
#define STORAGE_LFSX_POOL_POOL_H

#include "base/blockdev.h"
#include "base/list.h"
#include "base/os.h"
#include "storage/journal/journal.h"
#include "storage/lfsx/data/data_path.h"
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/pool/reaper.h"
#include "storage/lfsx/pool/reserve.h"
#include "storage/lfsx/space/alloc.h"
#include "storage/lfsx/tree/btree.h"
#include "storage/lfsx/tree/forest.h"
#include "storage/lfsx/tree/latch.h"

struct mvcc;
struct prefetcher;

struct lfsx_pool {
    struct blockdev *device;
    struct label label; /* its geometry and written_blocks change: lock */
    bool read_only;

    struct os_rwlock lock; /* guards the trees, the cache, the datasets and the fields below */
    struct forest forest;  /* nodes in memory, and the update under way */
    struct os_shrinker shrinker; /* gives clean nodes back when memory is short */
    struct btree catalog;
    struct mvcc *catalog_records; /* transactions on it (catalog_records.h); has its own lock */
    struct list_node datasets;    /* struct dataset.link */
    uint64_t next_dataset;        /* only rises, atomically */
    uint64_t
        unjournaled_generation; /* newest that has changes of which the journal knows nothing */
    bool changed;               /* something belongs to the running generation */
    struct list_node writing;   /* nodes of the checkpoint on its way; its runner's between locks */

    struct allocator allocator; /* has its own lock */
    struct pool_space space;    /* has its own lock */

    struct data_path data;         /* has locks of its own; shares its budget with the nodes */
    struct prefetcher *prefetcher; /* NULL: nothing is read ahead */

    bool mending;  /* opened by pool_open_to_mend() (open.h) */
    bool replayed; /* the journal told of changes when the pool was opened */

    struct journal *journal; /* has its own lock; NULL while formatting and while recovering */
    struct journal_position journal_start; /* for the superblock while there is no journal */
    bool
        recovering; /* the journal is being replayed: changes stay in memory, reserve may be used */

    struct os_mutex grow_lock; /* one grows the pool at a time; held across I/O; see mount/grow.c */
    struct os_mutex share_lock; /* guards dataset.share; see share.h */

    struct os_mutex commit_lock; /* guards those below; see checkpoint.c */
    struct os_condition commit_done;
    bool checkpoint_running;
    uint64_t durable_generation; /* newest checkpoint on the device */
    struct os_thread *keeper;    /* checkpoints what nobody flushes */
    struct os_condition keeper_wake;
    bool closing;

    struct reaper reaper; /* has its own lock */

    struct latch latch; /* has its own lock */

    struct os_mutex state_lock; /* guards `loads` */
    struct list_node loads;     /* nodes that are being read (pool.c) */
    struct os_condition loaded;
    struct lfsx_pool_statistics statistics; /* relaxed atomics */
};

/* Reads a node that an operation missed and adds it to the cache; or waits for another thread that
 * does just that, whose error it does not learn: OK asks for another attempt anyway. No lock held.
 * IO, CHECKSUM and CORRUPT are logged with the address; NO_MEMORY. */
enum status pool_load(struct lfsx_pool *pool, const struct btree_miss *miss);

/*
 * One attempt at an operation on trees. AGAIN with cursor->miss set asks for a node and for another
 * attempt: nothing was changed so far.
 */
typedef enum status pool_step(void *context, struct btree_cursor *cursor);

/* Attempts the step, with the lock shared, until it finds all it needs in memory. A node that
 * cannot be read ends it only if the step asks for the very same one again: it may have moved
 * meanwhile. */
enum status pool_look(struct lfsx_pool *pool, pool_step *step, void *context);

/* The same with the lock exclusive, for a step that changes something (in an update). On NO_SPACE
 * frees what is pending and attempts again. */
enum status pool_change(struct lfsx_pool *pool, pool_step *step, void *context);

/* What both are made of, for a caller with a loop of its own: after an attempt, loads what was
 * missed; false when *status is final. No lock held. */
struct pool_retry {
    bool failed;
    bool gave_up; /* dead_give_up() of the tree that the pointer is in */
    struct pointer pointer;
};
bool pool_again(struct lfsx_pool *pool, struct pool_retry *retry, const struct btree_miss *miss,
                enum status *status);

/* ---- updates: the only way to change anything ---- */

/* What an update may use up. */
struct update_need {
    uint64_t nodes;    /* new nodes */
    uint64_t releases; /* calls of alloc_release() beyond those for nodes */
    bool frees;        /* it gives space back, so it may dip into the reserve */
    bool held;         /* ... unless a snapshot holds what it drops */
    bool checkpoint;   /* a checkpoint needs it, which all others wait for */
    bool entitled;     /* as struct space_claim */
    bool background;   /* nobody waits for it to be durable */
    uint64_t record; /* bytes of the journal record that it will add; 0: only a checkpoint makes it
                        durable */
};

/* With the lock held exclusive, before the first change: NO_MEMORY, NO_SPACE, READ_ONLY. Afterwards
 * no change can fail. */
enum status pool_update_begin(struct lfsx_pool *pool, const struct update_need *need);
/* Before the lock is released. */
void pool_update_end(struct lfsx_pool *pool);

/* pool_change() for what frees blocks in the background: does not wait for itself. */
enum status pool_change_background(struct lfsx_pool *pool, pool_step *step, void *context);

/* Waits for what is being freed, and runs checkpoints so that pending blocks become free. False if
 * there are none to gain. No lock. */
bool pool_reclaim(struct lfsx_pool *pool);
/* So often somebody who finds no space does that: others may take what becomes free. */
#define POOL_RECLAIM_TRIES 4u

/* ---- checkpoints ---- */

/* Makes all that was changed before the call durable, by the journal where it can; shares the work
 * of others. No lock held. */
enum status pool_commit(struct lfsx_pool *pool);
/* The same by a checkpoint. */
enum status pool_checkpoint(struct lfsx_pool *pool);
/* After a change: sees to it that dirty nodes do not outgrow the cache; may wait. No lock held. */
void pool_throttle(struct lfsx_pool *pool);
/* There may be something to do before the keeper's rest is over (mount/keeper.h). No lock held. */
void pool_keeper_wake(struct lfsx_pool *pool);
/* Writes a checkpoint even if nothing changed. No lock held. */
enum status pool_checkpoint_force(struct lfsx_pool *pool);

/* Something that happens in the instant in which a checkpoint gathers; all with the lock exclusive.
 */
struct checkpoint_rider {
    /* Adds to what the checkpoint needs. AGAIN, or an error that ends the checkpoint. */
    enum status (*prepare)(struct checkpoint_rider *rider, struct btree_cursor *cursor,
                           struct update_need *need);
    /* Changes trees; what datasets drop no snapshot holds. From here on nothing can fail. */
    void (*change)(struct checkpoint_rider *rider);
    /* Datasets are sealed: may bring records up to date in place. */
    void (*seal)(struct checkpoint_rider *rider);
};
/* Writes a checkpoint with the rider. After an error it may have changed and sealed all the same:
 * then the pool is latched, and nothing of it will be durable. No lock held. */
enum status pool_checkpoint_with(struct lfsx_pool *pool, struct checkpoint_rider *rider);

/* Latches the pool read-only with its cause; the first cause stays. Any lock may be held. */
void pool_fail(struct lfsx_pool *pool, enum status cause, const char *what);
/* As forest_contradiction(). */
void pool_contradiction(struct lfsx_pool *pool);
/* READ_ONLY, or OK if the pool takes changes. Any lock may be held. */
enum status pool_writable(struct lfsx_pool *pool);

/* Adds to a counter of pool->statistics. Any lock may be held. */
#define POOL_COUNT(pool, counter, amount)                                                          \
    __atomic_fetch_add(&(pool)->statistics.counter, (amount), __ATOMIC_RELAXED)

#endif
