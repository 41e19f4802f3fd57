/* SPDX-License-Identifier: Apache-2.0 */
/* A pool's memory before anything is in it: what opening and formatting share. */
#ifndef STORAGE_LFSX_POOL_OPEN_H
#define STORAGE_LFSX_POOL_OPEN_H

#include "storage/lfsx/pool/pool.h"

/* A pool without trees and allocator. `options` may be NULL. NO_MEMORY. */
enum status pool_new(struct blockdev *device, const struct label *label,
                     const struct lfsx_open_options *options, struct lfsx_pool **pool);
/* Releases it and its datasets; the allocator is its owner's to destroy before. */
void pool_free(struct lfsx_pool *pool);

#endif
