/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets and snapshots come into memory, and go, with the files in them. Any lock may be held. */
#ifndef STORAGE_LFSX_FILE_DATASET_LIFE_H
#define STORAGE_LFSX_FILE_DATASET_LIFE_H

#include "storage/lfsx/pool/dataset.h"

/* NO_MEMORY: NULL. In no list. */
struct dataset *dataset_new(struct lfsx_pool *pool);
/* With all its snapshots. In no list. */
void dataset_free(struct dataset *dataset);
struct snapshot *snapshot_new(struct dataset *dataset);
void snapshot_free(struct snapshot *snapshot);

#endif
