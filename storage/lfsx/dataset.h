/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets in memory, one for each record in the catalog (catalog.c).
 */
#ifndef STORAGE_LFSX_DATASET_H
#define STORAGE_LFSX_DATASET_H

#include "base/list.h"
#include "storage/lfsx/btree.h"
#include "storage/lfsx/file.h"
#include "storage/lfsx/lfsx.h"

#include <stdbool.h>
#include <stdint.h>

struct lfsx_pool;

struct dataset {
    struct lfsx_pool *pool;
    struct list_node link; /* pool->datasets; pool->lock */
    uint64_t id;
    uint8_t uuid[16];
    char name[LFSX_NAME_MAX + 1];
    uint64_t created_ns;
    uint64_t birth; /* epoch */

    /* pool->lock */
    struct btree tree;
    uint64_t data_blocks;
    struct file file; /* the volume's */
    uint32_t open_count;
    uint64_t created_in; /* generation; 0: it was there when the pool was opened */
    bool deleting;
    bool reaped; /* somebody is freeing what it holds */
};

/* A handle. */
struct lfsx_volume {
    struct dataset *dataset;
    struct file *file;
};

/* Reads every dataset record into pool->datasets. No lock held. */
enum status catalog_load(struct lfsx_pool *pool);
/* In an update, prefetched: makes the nodes on the way to a dataset's record dirty. */
void catalog_touch(struct dataset *dataset);
/* After catalog_touch and with the tree sealed: brings the record up to date in place. */
void catalog_store(struct dataset *dataset);
/* The live dataset with the name, NULL if there is none. Lock shared or exclusive. */
struct dataset *catalog_find(struct lfsx_pool *pool, const char *name);
/* The dataset with the identifier, live or deleting, NULL if there is none. Lock shared or
 * exclusive. */
struct dataset *catalog_find_id(struct lfsx_pool *pool, uint64_t id);
/* Releases a dataset in memory that is in no list. */
void catalog_free(struct dataset *dataset);
/* Frees what datasets hold whose deletion a crash interrupted. No lock held. */
void catalog_reap(struct lfsx_pool *pool);
struct key catalog_dataset_key(uint64_t id);

#endif
