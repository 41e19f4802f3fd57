/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUID partition tables. Input: flags (1), then edits of 11 bytes (offset 2, width 1, value 8) to a
 * sound table of three partitions; unless a flag says otherwise all checksums are right again after
 * the edits, so that only the reader's own judgement stands in the way.
 */
#include "kernel/block/gpt.h"
#include "kernel/block/gpt_format.h"
#include "tests/fuzz/fuzz.h"

#define BLOCKS 128u
#define ENTRIES 16u
#define KEEP_CHECKSUMS 1u
#define NO_BACKUP 2u
#define BIG_BLOCKS 4u

static uint32_t crc32(const unsigned char *bytes, size_t length) {
    uint32_t crc = UINT32_MAX;
    while (length-- > 0) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* Makes a header's checksums right, wherever it says that its entries are. */
static void seal(const struct ramdisk *disk, struct gpt_header *header) {
    uint64_t block_size = disk->device.limits.block_size;
    uint64_t length = (uint64_t)le32_get(header->entry_count) * le32_get(header->entry_size);
    uint64_t lba = le64_get(header->entries_lba);
    if (lba < BLOCKS && length <= disk->device.size - lba * block_size)
        header->entries_crc32 = le32_make(crc32(disk->content + lba * block_size, length));
    uint32_t size = le32_get(header->header_size);
    header->header_crc32 = le32_make(0);
    if (size <= block_size)
        header->header_crc32 = le32_make(crc32((unsigned char *)header, size));
}

static void make_copy(struct ramdisk *disk, uint64_t lba, uint64_t other, uint64_t entries) {
    uint64_t block_size = disk->device.limits.block_size;
    struct gpt_header *header = (struct gpt_header *)(disk->content + lba * block_size);
    *header = (struct gpt_header){.revision = le32_make(GPT_REVISION),
                                  .header_size = le32_make(sizeof *header),
                                  .my_lba = le64_make(lba),
                                  .alternate_lba = le64_make(other),
                                  .first_usable_lba = le64_make(10),
                                  .last_usable_lba = le64_make(BLOCKS - 11),
                                  .entries_lba = le64_make(entries),
                                  .entry_count = le32_make(ENTRIES),
                                  .entry_size = le32_make(sizeof(struct gpt_entry))};
    memcpy(header->signature, GPT_SIGNATURE, sizeof header->signature);
    struct gpt_entry *entry = (struct gpt_entry *)(disk->content + entries * block_size);
    for (unsigned i = 0; i < 3; i++) {
        entry[i].type_guid[0] = entry[i].unique_guid[0] = (uint8_t)(i + 1);
        entry[i].first_lba = le64_make(80 - 30 * i);
        entry[i].last_lba = le64_make(80 - 30 * i + 9);
    }
    seal(disk, header);
}

static void make_disk(struct ramdisk *disk, uint8_t flags) {
    memset(disk->content, 0, disk->device.size);
    struct gpt_mbr *mbr = (struct gpt_mbr *)disk->content;
    mbr->signature = le16_make(GPT_MBR_SIGNATURE);
    mbr->records[0].type = GPT_MBR_PROTECTIVE;
    mbr->records[0].first_lba = le32_make(1);
    mbr->records[0].blocks = le32_make(BLOCKS - 1);
    make_copy(disk, 1, BLOCKS - 1, 2);
    if ((flags & NO_BACKUP) == 0)
        make_copy(disk, BLOCKS - 1, 1, BLOCKS - 9);
}

static void edit(struct ramdisk *disk, struct input *input) {
    uint64_t at = input_take(input, 2) % disk->device.size;
    if (at >= 0x2000) /* the upper numbers lead to the backup */
        at = disk->device.size - 1 - at % 0x1200;
    unsigned width = 1u << input_take(input, 1) % 4;
    uint64_t value = input_take(input, 8);
    for (unsigned i = 0; i < width && at + i < disk->device.size; i++)
        disk->content[at + i] = (unsigned char)(value >> 8 * i);
}

static void judge(const struct ramdisk *disk, const struct gpt_table *table) {
    uint64_t end = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct gpt_partition *partition = &table->partitions[i];
        REQUIRE(partition->size > 0 && partition->offset >= end);
        REQUIRE(partition->offset % disk->device.limits.block_size == 0);
        REQUIRE(partition->size % disk->device.limits.block_size == 0);
        REQUIRE(partition->offset <= disk->device.size);
        REQUIRE(partition->size <= disk->device.size - partition->offset);
        end = partition->offset + partition->size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint8_t flags = (uint8_t)input_take(&input, 1);
    uint32_t block_size = flags & BIG_BLOCKS ? 4096 : 512;
    struct ramdisk *disk = ramdisk_create((uint64_t)BLOCKS * block_size);
    disk->device.limits.block_size = block_size;
    make_disk(disk, flags);
    bool edited = input.left > 0;
    while (input.left > 0)
        edit(disk, &input);
    if ((flags & KEEP_CHECKSUMS) == 0) {
        seal(disk, (struct gpt_header *)(disk->content + block_size));
        if ((flags & NO_BACKUP) == 0)
            seal(disk, (struct gpt_header *)(disk->content + (BLOCKS - 1) * block_size));
    }
    struct gpt_table table;
    enum status status = gpt_read(&disk->device, &table);
    if (status == STATUS_OK) {
        judge(disk, &table);
        REQUIRE(edited || table.count == 3);
        gpt_free(&table);
    } else {
        REQUIRE(edited);
        REQUIRE(status == STATUS_NOT_FOUND || status == STATUS_CORRUPT ||
                status == STATUS_NO_MEMORY);
    }
    ramdisk_destroy(disk);
    return 0;
}
