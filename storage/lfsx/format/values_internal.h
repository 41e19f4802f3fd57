/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the values' validator share: one for each kind of tree. */
#ifndef STORAGE_LFSX_FORMAT_VALUES_INTERNAL_H
#define STORAGE_LFSX_FORMAT_VALUES_INTERNAL_H

#include "storage/lfsx/format/values.h"

#define UNKNOWN_FEATURE "uses what this program does not know"

static inline enum status corrupt(const char **why, const char *reason) {
    *why = reason;
    return STATUS_CORRUPT;
}

/* As value_validate(), of items in the catalog and in dead trees. */
enum status value_validate_catalog(const struct item *item, const struct geometry *geometry,
                                   const char **why);
enum status value_validate_dead(const struct item *item, const struct geometry *geometry,
                                const char **why);
/* The same of items of a dataset that are no extents. */
enum status value_validate_file(const struct item *item, const char **why);

#endif
