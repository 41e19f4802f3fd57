/* SPDX-License-Identifier: Apache-2.0 */
/* Frees what deleted snapshots, volumes and shares held: the reaper's work (pool/reaper.h). */
#ifndef STORAGE_LFSX_SNAPSHOT_REAP_H
#define STORAGE_LFSX_SNAPSHOT_REAP_H

#include "storage/lfsx/pool/reaper.h"

void reap(struct lfsx_pool *pool);

#endif
