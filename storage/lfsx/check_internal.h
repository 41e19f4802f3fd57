/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the check share.
 *
 * A check is one thread's. It believes nothing but what it has verified: a part that is damaged is
 * a finding and is not looked into, and what can only be told with all parts at hand (what is not
 * reachable, sums) is then left out instead of reported as a consequence.
 */
#ifndef STORAGE_LFSX_CHECK_INTERNAL_H
#define STORAGE_LFSX_CHECK_INTERNAL_H

#include "base/blockdev.h"
#include "storage/lfsx/check_findings.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/super.h"

#include <stdbool.h>
#include <stdint.h>

#define CHECK_NO_BLOCK UINT64_MAX

/* A dataset as its record in the catalog says. */
struct check_dataset {
    uint64_t id;
    uint64_t node_blocks, data_blocks;
    uint64_t leaf;        /* where the record stands */
    uint64_t file_blocks; /* of its file, by its inode; no limit before that was seen */
    struct pointer root;
    uint8_t state;
    char name[LFSX_NAME_MAX + 1];
};

/* A name as its entry in the catalog says. */
struct check_name {
    uint64_t target;
    uint64_t leaf;
    char name[LFSX_NAME_MAX + 1];
};

/* An array that grows. */
struct check_array {
    void *items;
    uint64_t count, capacity;
};

struct check {
    struct blockdev *device;
    const struct lfsx_check_options *options;
    struct lfsx_check_summary *summary;
    struct label label;
    struct superblock super;

    /* One bit for each block of the whole regions: what the trees have named so far, and
     * everything that is not the data area. */
    uint64_t *claimed;
    uint64_t claimed_data; /* blocks of the data area among them */
    uint64_t used_data;    /* as many there should be, by the superblock; for the progress */

    bool incomplete;     /* some nodes could not be looked into */
    enum status failure; /* why the check must end: NO_MEMORY, GONE */

    struct check_array datasets; /* struct check_dataset, ascending id */
    struct check_array names;    /* struct check_name */

    void *data;                                 /* DISK_EXTENT_MAX blocks, if data is checked */
    struct disk_node *path[DISK_LEVEL_MAX + 1]; /* pages, by level */
};

/* ---- check.c ---- */

/* Reports one finding to the caller of the check. */
void check_report(struct check *check, enum check_finding finding, uint64_t block,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Whether a read's status is about the block, and not about the machine: no memory and a device
 * that is gone end the check. */
bool check_is_damage(struct check *check, enum status status);

/* Adds room for one more item; NULL ends the check. */
void *check_array_add(struct check *check, struct check_array *array, size_t item_size);

/* Marks blocks of the data area as named by `who`; reports those that were already. Returns how
 * many were not. */
uint64_t check_claim(struct check *check, uint64_t block, uint64_t count, const char *who);

/* ---- check_super.c ---- */

/* Labels and ring; false if the check cannot go on, *status then says whether that is a finding
 * (OK) or a refusal. */
bool check_super(struct check *check, enum status *status);

/* ---- check_tree.c ---- */

/* A walk over one tree. */
struct check_tree {
    struct check *check;
    uint64_t owner;
    const char *name; /* for people: "the catalog", "volume NAME" */
    struct pointer root;
    /* Called for every valid item, in ascending order. */
    void (*visit)(struct check_tree *tree, const struct item *item, uint64_t leaf);
    void *context;
    uint64_t nodes;  /* that the walk saw */
    bool incomplete; /* some were not looked into */
};

void check_tree_walk(struct check_tree *tree);

/* ---- check_catalog.c ---- */

/* Walks the catalog, collects datasets and names, and compares them with each other. */
void check_catalog(struct check *check);

/* The dataset with this identifier; NULL if there is none. */
const struct check_dataset *check_find_dataset(const struct check *check, uint64_t id);

/* ---- check_dataset.c ---- */

/* Walks the tree of one dataset, and its data if that was asked for. */
void check_dataset(struct check *check, struct check_dataset *dataset);

/* ---- check_map.c ---- */

/* Reads the allocation maps and compares them with what was claimed. */
void check_map(struct check *check);

/* ---- check_journal.c ---- */

/* Reads the journal and compares its records with what was claimed. */
void check_journal(struct check *check);

#endif
