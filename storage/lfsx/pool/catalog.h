/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: the pool's tree of names, datasets, snapshots and settings. What of it is a record
 * changes by transactions (catalog_records.h). The rest is changed by checkpoints and the reaper,
 * in two halves, as everything is (pool.h): first the look, which may give AGAIN, then, in an
 * update, what cannot fail. Lock exclusive for all.
 */
#ifndef STORAGE_LFSX_POOL_CATALOG_H
#define STORAGE_LFSX_POOL_CATALOG_H

#include "storage/lfsx/pool/dataset.h"

struct update_need;

struct key catalog_dataset_key(uint64_t id);
struct key catalog_snapshot_key(uint64_t dataset, uint64_t epoch);
struct key catalog_schedule_key(uint64_t dataset);

/* What may stand in the catalog about a dataset or snapshot, with its name. */
union catalog_item {
    struct disk_dataset dataset;
    struct disk_snapshot snapshot;
    unsigned char bytes[sizeof(struct disk_dataset) + LFSX_NAME_MAX];
};

/* The snapshot's item; returns its length. */
uint16_t catalog_snapshot_item(const struct snapshot *snapshot, union catalog_item *item);

/* ---- the look ---- */

/* Adds what a change of the record of a dataset or snapshot needs. AGAIN. */
enum status catalog_prefetch_dataset(struct lfsx_pool *pool, uint64_t id,
                                     struct btree_cursor *cursor, struct update_need *need);
enum status catalog_prefetch_snapshot(struct lfsx_pool *pool, uint64_t dataset, uint64_t epoch,
                                      struct btree_cursor *cursor, struct update_need *need);
enum status catalog_prefetch_schedule(struct lfsx_pool *pool, uint64_t dataset,
                                      struct btree_cursor *cursor, struct update_need *need);

/* ---- in an update ---- */

void catalog_insert_dataset(struct dataset *dataset);
/* Writes the record anew: its length may differ. */
void catalog_replace_dataset(struct dataset *dataset);
void catalog_remove_dataset(struct dataset *dataset);
/* After catalog_replace_dataset() and with the trees sealed: brings the record up to date in place.
 */
void catalog_store_dataset(struct dataset *dataset);

void catalog_insert_snapshot(struct snapshot *snapshot);
void catalog_replace_snapshot(struct snapshot *snapshot);
void catalog_remove_snapshot(struct snapshot *snapshot);
void catalog_store_snapshot(struct snapshot *snapshot);

/* Removes the dataset's schedule, if it has one. */
void catalog_remove_schedule(struct dataset *dataset);

#endif
