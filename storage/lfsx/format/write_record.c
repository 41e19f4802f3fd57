/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/format/write_record.h"
#include "base/math.h"
#include "storage/lfsx/lfsx.h"

const char *write_record_open(const void *payload, uint32_t length, const struct geometry *geometry,
                              struct write_record *record) {
    const struct disk_record_write *disk = payload;
    if (length < sizeof *disk || le32_get(disk->reserved) != 0)
        return "is malformed";
    uint64_t count = le32_get(disk->count);
    if (length != sizeof *disk + 2 * count * sizeof(le64))
        return "is of a wrong length";
    *record = (struct write_record){.dataset = le64_get(disk->dataset),
                                    .inode = le64_get(disk->inode),
                                    .first = le64_get(disk->first),
                                    .count = count,
                                    .size = le64_get(disk->size),
                                    .modified_ns = le64_get(disk->modified_ns),
                                    .blocks = disk->words,
                                    .checksums = disk->words + count};
    for (uint64_t i = 0; i < count; i++)
        if (!geometry_is_data(geometry, le64_get(record->blocks[i]), 1))
            return "names a block outside of the data area";
    return NULL;
}

bool write_record_fits(uint64_t first, uint64_t count, uint64_t size) {
    return count > 0 && size <= LFSX_VOLUME_SIZE_MAX &&
           math_range_inside(first, count, math_divide_up(size, DISK_BLOCK_SIZE));
}
