/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORAGE_LFSX_CATALOG_DELETION_H
#define STORAGE_LFSX_CATALOG_DELETION_H

struct lfsx_pool;

/* Gives up deleted volumes and shares that cannot be brought back any more. No lock held. */
void deletion_expire(struct lfsx_pool *pool);

#endif
