/* SPDX-License-Identifier: Apache-2.0 */
/* From records in the catalog to datasets and snapshots in memory. */
#ifndef STORAGE_LFSX_CATALOG_CATALOG_LOAD_H
#define STORAGE_LFSX_CATALOG_CATALOG_LOAD_H

#include "storage/lfsx/pool/catalog.h"

/* Reads every record into pool->datasets. No lock held. CORRUPT (logged) and as pool_load(). */
enum status catalog_load(struct lfsx_pool *pool);

/* ---- one record; lock exclusive, or the pool is being opened ---- */

/* Makes a new dataset in memory what the item says of it that is a record (catalog_records.h). */
void catalog_take_record(struct dataset *dataset, const struct disk_dataset *item);
/* The same of what may change: its name, state and settings. */
void catalog_take_settings(struct dataset *dataset, const struct disk_dataset *item);
/* Gives it the rules of a schedule's item. */
void catalog_take_schedule(struct dataset *dataset, const void *value, size_t length);

#endif
