/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the journal's records of writes: the one validator of disk_record_write. Pure functions;
 * any context. */
#ifndef STORAGE_LFSX_FORMAT_WRITE_RECORD_H
#define STORAGE_LFSX_FORMAT_WRITE_RECORD_H

#include "storage/lfsx/format/geometry.h"

#include <stdbool.h>
#include <stdint.h>

/* Taken apart. */
struct write_record {
    uint64_t dataset, inode;
    uint64_t first, count; /* blocks of the file */
    uint64_t size, modified_ns;
    const le64 *blocks, *checksums; /* point into the record; the blocks are in the data area */
};

/* NULL, or what is wrong with the record, as the end of a sentence that starts with "the record".
 * What can be told without the file that it is of. */
const char *write_record_open(const void *payload, uint32_t length, const struct geometry *geometry,
                              struct write_record *record);

/* Whether the range is one of a file that has, in the end, `size` bytes. */
bool write_record_fits(uint64_t first, uint64_t count, uint64_t size);

#endif
