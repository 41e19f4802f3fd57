/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets and their snapshots in memory: one struct for each record in the catalog (catalog.h),
 * from the moment the pool is open; and their files while they are open.
 */
#ifndef STORAGE_LFSX_POOL_DATASET_H
#define STORAGE_LFSX_POOL_DATASET_H

#include "base/list.h"
#include "storage/lfsx/data/rangelock.h"
#include "storage/lfsx/data/readahead.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/pool/dead.h"
#include "storage/lfsx/pool/reserve.h"
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

/* A regular file of a dataset: what a volume is, and what a share holds many of (file/file.h). */
struct file {
    struct dataset *dataset;
    struct btree *tree; /* the dataset's, or that of one of its snapshots; pool->lock */
    uint64_t inode;
    uint64_t size;           /* bytes, as its inode says; pool->lock */
    uint64_t closed_from;    /* bytes from here on are not there yet; UINT64_MAX: all are */
    bool read_only;          /* a snapshot's */
    bool in_share;           /* updates keep its inode item (inode.h) */
    const bool *stop;        /* what it holds is being freed, until this is true; NULL: it is not */
    struct rangelock ranges; /* blocks that a write is under way to; of a share's file up to
                                DISK_FILE_BLOCKS_MAX, and whoever makes it longer holds the block
                                that it ended in, too */
    struct readahead readahead;
};

/* Where reads and writes end. Any lock or none may be held. */
static inline uint64_t file_end(const struct file *file) {
    uint64_t size = __atomic_load_n(&file->size, __ATOMIC_ACQUIRE);
    uint64_t closed_from = __atomic_load_n(&file->closed_from, __ATOMIC_ACQUIRE);
    return size < closed_from ? size : closed_from;
}

/* The inode has another size now; what is new stays closed until file_open_end(). In an update. */
static inline void file_set_size(struct file *file, uint64_t size) {
    __atomic_store_n(&file->closed_from, file_end(file), __ATOMIC_RELEASE);
    __atomic_store_n(&file->size, size, __ATOMIC_RELEASE);
}
/* The size is durable. Lock exclusive. */
static inline void file_open_end(struct file *file) {
    __atomic_store_n(&file->closed_from, UINT64_MAX, __ATOMIC_RELEASE);
}

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
    enum status dead_damage; /* why nothing is added to its dead tree before the pool is opened
                                again; OK: it is */
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

static inline struct snapshot *snapshot_of(struct list_node *link) {
    return LIST_CONTAINER(link, struct snapshot, link);
}

/* ---- dataset.c: memory; lock shared or exclusive ---- */

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

#endif
