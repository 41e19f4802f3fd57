/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: the pool's tree of names, datasets, snapshots and settings. What changes it does so
 * in two halves, as everything does (pool.h): first the look, which may give AGAIN, then, in an
 * update, what cannot fail. Lock exclusive for all but catalog_load().
 */
#ifndef STORAGE_LFSX_CATALOG_H
#define STORAGE_LFSX_CATALOG_H

#include "storage/lfsx/dataset.h"

struct update_need;

struct key catalog_dataset_key(uint64_t id);
struct key catalog_snapshot_key(uint64_t dataset, uint64_t epoch);
struct key catalog_schedule_key(uint64_t dataset);

/* Reads every record into pool->datasets. No lock held. CORRUPT (logged) and as pool_load(). */
enum status catalog_load(struct lfsx_pool *pool);

/* ---- the look ---- */

/* Adds what a change of the record of a dataset or snapshot needs. AGAIN. */
enum status catalog_prefetch_dataset(struct lfsx_pool *pool, uint64_t id,
                                     struct btree_cursor *cursor, struct update_need *need);
enum status catalog_prefetch_snapshot(struct lfsx_pool *pool, uint64_t dataset, uint64_t epoch,
                                      struct btree_cursor *cursor, struct update_need *need);
enum status catalog_prefetch_schedule(struct lfsx_pool *pool, uint64_t dataset,
                                      struct btree_cursor *cursor, struct update_need *need);
/* Adds what a change of the name needs, and finds its slot. OK: it is taken; NOT_FOUND: it is
 * free; NO_SPACE: it is free, and has no slot; AGAIN. */
enum status catalog_prefetch_name(struct lfsx_pool *pool, const char *name, struct key *slot,
                                  struct btree_cursor *cursor, struct update_need *need);
/* The same for a name that must be there: CORRUPT if it is not. */
enum status catalog_prefetch_entry(struct dataset *dataset, struct key *slot,
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

/* Brings the dataset's schedule up to date: a record, or none if it has no rules. */
void catalog_set_schedule(struct dataset *dataset);

/* The dataset's name gets the slot that catalog_prefetch_name() found. */
void catalog_insert_name(const struct dataset *dataset, const struct key *slot);
void catalog_remove_name(struct lfsx_pool *pool, const struct key *slot);

#endif
