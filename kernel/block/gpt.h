/* SPDX-License-Identifier: Apache-2.0 */
/* Reads GUID partition tables (UEFI Specification 2.10, chapter 5); writes nothing. */
#ifndef KERNEL_BLOCK_GPT_H
#define KERNEL_BLOCK_GPT_H

#include "base/blockdev.h"

#include <stdbool.h>
#include <stdint.h>

struct gpt_partition {
    uint32_t number; /* its place in the table, from 1 */
    uint64_t offset; /* bytes, whole blocks */
    uint64_t size;   /* bytes */
    uint8_t type_guid[16];
    uint8_t unique_guid[16];
};

struct gpt_table {
    struct gpt_partition *partitions; /* in the order of their offsets, none overlaps another */
    uint32_t count;
    bool from_backup; /* the first copy was damaged */
};

/*
 * Reads and checks the table: the first copy, or the backup if that is damaged or unreadable.
 * NOT_FOUND (block 0 does not say that there is one), CORRUPT (no copy is sound), IO, NO_MEMORY.
 * After OK the table must be freed. Thread context.
 */
enum status gpt_read(struct blockdev *device, struct gpt_table *table);
void gpt_free(struct gpt_table *table);

#endif
