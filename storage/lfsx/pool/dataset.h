/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets and their snapshots in memory: one struct for each record in the catalog (catalog.h),
 * from the moment the pool is open.
 */
#ifndef STORAGE_LFSX_POOL_DATASET_H
#define STORAGE_LFSX_POOL_DATASET_H

#include "base/list.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/file/space.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/pool/dead.h"
#include "storage/lfsx/tree/btree.h"

#include <stdbool.h>
#include <stdint.h>

struct lfsx_pool;
struct share;

/* When snapshots are taken by themselves; by rising interval. */
struct schedule {
    uint32_t count;
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
};

struct dataset {
    struct lfsx_pool *pool;
    struct list_node link; /* pool->datasets; pool->lock */
    uint64_t id;
    uint8_t uuid[16];
    uint8_t kind; /* DISK_DATASET_VOLUME or DISK_DATASET_SHARE */
    uint64_t created_ns;
    uint64_t birth;      /* epoch */
    uint64_t next_inode; /* of a share; only rises, atomically */
    struct share *share; /* of one that is open (share.h); pool->share_lock */

    /* pool->lock */
    char name[LFSX_NAME_MAX + 1];
    uint8_t state; /* DISK_DATASET_LIVE and so on */
    struct btree tree;
    struct btree dead; /* root.block 0: there is none */
    uint64_t data_blocks;
    struct dataset_space space;
    uint64_t flags;
    uint64_t keep_deleted_ns, deleted_ns;
    uint64_t origin_id;         /* dataset that it was cloned from; 0: no clone */
    struct snapshot *origin;    /* NULL: no clone, or one that is being freed */
    struct list_node snapshots; /* struct snapshot.link, by rising epoch */
    struct file file;           /* the volume's */
    struct schedule schedule;
    uint32_t open_count;
    bool is_resizing;        /* somebody does, and holds it open */
    bool is_shrinking;       /* ... so that nobody else may open it */
    uint32_t pin_count;      /* it is looked at, and must stay in memory */
    uint64_t created_in;     /* generation; 0: it was there when the pool was opened */
    enum status damage;      /* why nobody can open it; OK: they can */
    bool damaged_for_good;   /* ... before the pool is opened again */
    enum status dead_damage; /* why nothing can be added to its dead tree; OK: it can */
    bool is_stuck;           /* the reaper cannot go on with it */
};

struct snapshot {
    struct dataset *dataset;
    struct list_node link; /* dataset->snapshots */
    uint64_t epoch;
    uint8_t uuid[16];
    uint64_t created_ns;
    struct btree tree; /* never changes */
    uint64_t data_blocks;
    struct file file;
    bool automatic;

    /* pool->lock */
    char name[LFSX_NAME_MAX + 1];
    bool deleting;
    uint32_t open_count;
    uint32_t clone_count;
};

/* What a handle is on: it cannot be deleted meanwhile. */
struct holding {
    struct dataset *dataset;
    struct snapshot *snapshot; /* NULL: the live dataset */
};

/* A handle. */
struct lfsx_volume {
    struct holding holding;
    struct file *file;
};

static inline struct snapshot *snapshot_of(struct list_node *link) {
    return LIST_CONTAINER(link, struct snapshot, link);
}

/* ---- dataset.c: memory; lock shared or exclusive, but for new and free ---- */

/* NO_MEMORY: NULL. In no list. */
struct dataset *dataset_new(struct lfsx_pool *pool);
/* With all its snapshots. In no list. */
void dataset_free(struct dataset *dataset);
struct snapshot *snapshot_new(struct dataset *dataset);
void snapshot_free(struct snapshot *snapshot);

/* The live dataset with the name, NULL if there is none. */
struct dataset *dataset_find(struct lfsx_pool *pool, const char *name);
/* The dataset with the identifier, in whatever state, NULL if there is none. */
struct dataset *dataset_find_id(struct lfsx_pool *pool, uint64_t id);
/* The live dataset with the name, which stays in memory until it is dropped; NULL if there is none.
 * No lock held. */
struct dataset *dataset_hold(struct lfsx_pool *pool, const char *name);
void dataset_drop(struct dataset *dataset);
struct snapshot *snapshot_find(struct dataset *dataset, const char *name);
struct snapshot *snapshot_find_epoch(struct dataset *dataset, uint64_t epoch);

/* The epochs of the records next to a snapshot's, whether live or not: 0 and UINT64_MAX if there
 * is none. */
uint64_t snapshot_before(const struct snapshot *snapshot);
uint64_t snapshot_after(const struct snapshot *snapshot);
/* What of the dead tree only this snapshot has. */
struct dead_box snapshot_box(const struct snapshot *snapshot);

/* Adds a snapshot, or brings dataset->tree.kept up to date after one was removed or marked. Lock
 * exclusive. */
void dataset_add_snapshot(struct dataset *dataset, struct snapshot *snapshot);
void dataset_update_kept(struct dataset *dataset);

/* ---- damage.c: no lock held unless it is said ---- */

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

/* ---- holding.c: no lock held ---- */

/* Holds what is named "NAME" or "NAME@SNAPSHOT" and of that kind; its creation is durable then.
 * NOT_FOUND, BUSY (a volume that is being made smaller), CORRUPT and IO (it is damaged), and as
 * pool_commit(). */
enum status holding_open(struct lfsx_pool *pool, const char *name, uint8_t kind,
                         struct holding *holding);
void holding_close(struct holding *holding);

#endif
