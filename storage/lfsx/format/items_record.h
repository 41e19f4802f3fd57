/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the journal's records of changed items: the one validator of disk_record_items. Pure
 * functions; any context. */
#ifndef STORAGE_LFSX_FORMAT_ITEMS_RECORD_H
#define STORAGE_LFSX_FORMAT_ITEMS_RECORD_H

#include "base/status.h"
#include "storage/lfsx/format/geometry.h"
#include "storage/lfsx/format/node.h"

#include <stdbool.h>
#include <stdint.h>

struct items_record {
    uint64_t dataset;
    uint32_t count; /* of changes; at least 1, and fewer than the record has bytes */

    /* Of the reader. */
    const struct geometry *geometry;
    const uint8_t *bytes;
    uint32_t length, at, done;
    struct key last;
};

/* Starts to read. CORRUPT. */
enum status items_record_open(const void *payload, uint32_t length, const struct geometry *geometry,
                              struct items_record *record);

/* The next change: the item as it is afterwards, or the key of the one that goes (*put: false, no
 * value). NOT_FOUND: that was the last one. CORRUPT. */
enum status items_record_next(struct items_record *record, struct item *item, bool *put);

#endif
