/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps datasets and snapshots from being deleted while there are handles on them. */
#ifndef STORAGE_LFSX_FILE_HOLDING_H
#define STORAGE_LFSX_FILE_HOLDING_H

#include "storage/lfsx/pool/dataset.h"

/* What a handle is on: it cannot be deleted meanwhile. */
struct holding {
    struct dataset *dataset;
    struct snapshot *snapshot; /* NULL: the live dataset */
};

/* A handle on a volume. */
struct lfsx_volume {
    struct holding holding;
    struct file *file;
};

/* No lock held: holds what is named "NAME" or "NAME@SNAPSHOT" and of that kind; its creation is
 * durable then. NOT_FOUND, BUSY (a volume that is being made smaller), CORRUPT and IO (it is
 * damaged), and as pool_commit(). */
enum status holding_open(struct lfsx_pool *pool, const char *name, uint8_t kind,
                         struct holding *holding);
void holding_close(struct holding *holding);

#endif
