/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the check share.
 *
 * A check is one thread's. It believes nothing but what it has verified: a part that is damaged is
 * a finding and is not looked into, and what can only be told with all parts at hand (what is not
 * reachable, sums) is then left out instead of reported as a consequence.
 *
 * What grows with the pool is kept by check->spill, within the budget. Records are taken out of it,
 * and put back when they changed. Once `failure` is set what comes out of it counts for nothing: no
 * finding is reported any more, and every loop ends.
 */
#ifndef STORAGE_LFSX_CHECK_CHECK_INTERNAL_H
#define STORAGE_LFSX_CHECK_CHECK_INTERNAL_H

#include "base/blockdev.h"
#include "base/math.h"
#include "storage/lfsx/check/check_findings.h"
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/format/trail.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/spill/spill.h"

#include <stdbool.h>
#include <stdint.h>

#define CHECK_NO_BLOCK UINT64_MAX

/* A tree as a record in the catalog says. */
struct check_root {
    struct pointer root;
    uint64_t node_blocks, data_blocks, shared_blocks;

    /* What the check saw. */
    uint64_t younger_nodes, younger_data; /* that older trees do not have */
    uint64_t dropped; /* blocks that the next younger live tree does not have, by the dead tree */
    bool doubtful;    /* some of this is not for certain */
};

/* A dataset as its record in the catalog says. */
struct check_dataset {
    uint64_t id, birth;
    struct check_root head;
    struct pointer dead;
    uint64_t dead_nodes;
    uint64_t origin, origin_epoch;
    uint64_t leaf; /* where the record stands */
    uint64_t size; /* of its file, by the inode seen last; no limit before one was seen */
    uint64_t first_snapshot, snapshot_count; /* in check->snapshots */
    uint64_t next_inode;                     /* of a share */
    uint8_t kind;
    bool incomplete; /* some of its trees, or of its origin's, could not be looked into */
    uint8_t state;
    char name[LFSX_NAME_MAX + 1];
};

/* A snapshot as its record in the catalog says. */
struct check_snapshot {
    uint64_t dataset, epoch;
    struct check_root tree;
    uint64_t size; /* bytes */
    uint64_t leaf;
    uint64_t live_before; /* live snapshots of the dataset that are older */
    uint8_t state;
    char name[LFSX_NAME_MAX + 1];
};

/* A name as its entry in the catalog says. */
struct check_name {
    uint64_t target;
    uint64_t leaf;
    char name[LFSX_NAME_MAX + 1];
};

struct check {
    struct blockdev *device;
    const struct lfsx_check_options *options;
    struct lfsx_check_summary *summary;
    struct label label;
    struct superblock super;

    struct spill *spill;

    /* One bit for each block of the whole regions: what the trees have named so far, and
     * everything that is not the data area. */
    struct spill_bits *claimed;
    uint64_t claimed_data; /* blocks of the data area among them */
    uint64_t used_data;    /* as many there should be, by the superblock; for the progress */

    bool incomplete;     /* some nodes could not be looked into */
    enum status failure; /* why the check must end: NO_MEMORY, GONE; the spill's, too */

    struct spill_array *datasets;  /* struct check_dataset, ascending id */
    struct spill_array *snapshots; /* struct check_snapshot, ascending dataset and epoch */
    struct spill_array *names;     /* struct check_name */

    void *data;                                 /* DISK_EXTENT_MAX blocks, if data is checked */
    struct disk_node *path[DISK_LEVEL_MAX + 1]; /* pages, by level */
    struct trail trail;                         /* in the tree next older than the one walked */
};

/* ---- check.c ---- */

/* Reports one finding to the caller of the check. */
void check_report(struct check *check, enum check_finding finding, uint64_t block,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Whether a read's status is about the block, and not about the machine: no memory and a device
 * that is gone end the check. */
bool check_is_damage(struct check *check, enum status status);

/* Marks blocks of the data area as named by `who`; reports those that were already. Returns how
 * many were not. */
uint64_t check_claim(struct check *check, uint64_t block, uint64_t count, const char *who);

/* How many of the blocks nothing has named yet. */
uint64_t check_unclaimed(struct check *check, uint64_t block, uint64_t count);

/* Claims those; returns how many they were. */
uint64_t check_claim_missing(struct check *check, uint64_t block, uint64_t count);

/* ---- check/super.c ---- */

/* Labels and ring; false if the check cannot go on, *status then says whether that is a finding
 * (OK) or a refusal. */
bool check_super(struct check *check, enum status *status);

/* ---- check/tree.c ---- */

/* A walk over one tree. */
struct check_tree {
    struct check *check;
    uint64_t owner;
    const struct check_dataset *dataset; /* whose tree it is; NULL: the catalog, a dead tree */
    const char *name;                    /* for people: "the catalog", "volume NAME" */
    struct pointer root;
    uint64_t epoch; /* nothing in the tree is younger */
    /* What was born then or before is in an older tree, too, which was walked already. 0: there is
     * none. */
    uint64_t since;
    struct pointer older; /* root of that one; block 0: it is not known */
    bool again;           /* all of it was walked and found sound before: only to visit */
    /* Called for every valid item, in ascending order. */
    void (*visit)(struct check_tree *tree, const struct item *item, uint64_t leaf);
    void *context;
    uint64_t nodes;  /* that the walk saw: those that older trees do not have */
    bool incomplete; /* some were not looked into */
    bool disordered; /* some do not stand where their keys belong */
    bool doubtful;   /* it saw some that are as old as older trees, but not in them */
    bool begun;      /* it came to the first leaf, */
    bool is_alike;   /* which is an older tree's */
};

void check_tree_walk(struct check_tree *tree);

/* Whether the older tree has blocks of this birth. Those that it should have and has not are
 * reported, and belong to this tree then. */
bool check_tree_shares(struct check_tree *tree, uint64_t birth, uint64_t block, uint64_t count);

/* ---- check/catalog.c ---- */

/* Walks the catalog, collects datasets, snapshots and names, and compares them with each other. */
void check_catalog(struct check *check);

/* Blocks that its file may have. */
static inline uint64_t check_file_blocks(const struct check_dataset *dataset) {
    return math_divide_up(dataset->size, DISK_BLOCK_SIZE);
}

/* The dataset with this identifier; false if there is none. */
bool check_find_dataset(struct check *check, uint64_t id, struct check_dataset *dataset);

/* ---- check/snapshot.c ---- */

/* Takes the record of a snapshot or of a schedule. */
void check_snapshot_collect(struct check *check, const struct item *item, uint64_t leaf);

/* Gives every dataset its snapshots, and compares what the catalog alone can tell of them. */
void check_snapshots(struct check *check, bool complete);

/* The snapshot that a clone began as; false if there is none. */
bool check_snapshot_origin(struct check *check, const struct check_dataset *dataset,
                           struct check_snapshot *snapshot);

/* A dataset's snapshots, by rising epoch. */
static inline struct check_snapshot
check_snapshot_get(struct check *check, const struct check_dataset *dataset, uint64_t index) {
    struct check_snapshot snapshot;
    spill_array_get(check->snapshots, dataset->first_snapshot + index, &snapshot);
    return snapshot;
}
static inline void check_snapshot_put(struct check *check, const struct check_dataset *dataset,
                                      uint64_t index, const struct check_snapshot *snapshot) {
    spill_array_put(check->snapshots, dataset->first_snapshot + index, snapshot);
}

/* Index of the first of the dataset's snapshots whose epoch is at least this. */
uint64_t check_snapshot_at(struct check *check, const struct check_dataset *dataset,
                           uint64_t epoch);

/* Live ones among the dataset's snapshots before the index. */
uint64_t check_snapshots_live(struct check *check, const struct check_dataset *dataset,
                              uint64_t index);

/* ---- check/dataset.c ---- */

/* One tree of a dataset: a snapshot's or the live one. */
struct check_files {
    struct check_dataset *dataset;
    const struct check_snapshot *snapshot; /* NULL: the live one */
    struct check_root *root;
    uint64_t since;       /* as in struct check_tree, */
    struct pointer older; /* too */
    uint64_t inode;       /* of the file that the last extent is of */
    uint64_t next_block;  /* of that, behind it */
    bool has_inode;
};

/* Walks it, and its data if that was asked for. */
void check_files(struct check *check, struct check_files *files);

/* ---- check/share.c ---- */

/* Compares the names, inodes and files of a share's live tree. All of its trees are sound. */
void check_share(struct check *check, const struct check_dataset *dataset);

/* ---- check/chain.c ---- */

/* Walks all trees of a dataset, the oldest first, and compares what they have in common. */
void check_dataset(struct check *check, struct check_dataset *dataset);

/* ---- check/dead.c ---- */

/* Walks the dataset's dead tree, if there is one. All its other trees were walked. */
void check_dead(struct check *check, struct check_dataset *dataset);

/* ---- check/map.c ---- */

/* Reads the allocation maps and compares them with what was claimed. */
void check_map(struct check *check);

/* ---- check/journal.c ---- */

/* Reads the journal and compares its records with what was claimed. */
void check_journal(struct check *check);

#endif
