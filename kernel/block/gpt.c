/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing on the disk is trusted: a copy counts only if its header and entries have the right
 * checksums and every number in it makes sense on this device.
 */
#include "kernel/block/gpt.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/block/gpt_format.h"

#define CRC32_POLYNOMIAL 0xedb88320u /* UEFI 5.3.2 means that of ISO 3309, bits reflected */

static uint32_t crc32(const void *data, size_t length) {
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC32_POLYNOMIAL : 0);
    }
    return ~crc;
}

/* Reads whole blocks into fresh pages of *bytes. */
static enum status read_blocks(struct blockdev *device, uint64_t lba, uint64_t blocks,
                               void **memory, uint64_t *bytes) {
    uint32_t block_size = device->limits.block_size;
    *bytes = math_round_up(blocks * block_size, OS_PAGE_SIZE);
    *memory = os_page_alloc(*bytes);
    if (*memory == NULL)
        return STATUS_NO_MEMORY;
    enum status status = blockdev_read(device, lba * block_size, *memory, blocks * block_size);
    if (status != STATUS_OK)
        os_page_free(*memory, *bytes);
    return status;
}

static enum status check_protective_mbr(struct blockdev *device) {
    void *memory;
    uint64_t bytes;
    if (device->size < 3ull * device->limits.block_size)
        return STATUS_NOT_FOUND;
    enum status status = read_blocks(device, 0, 1, &memory, &bytes);
    if (status != STATUS_OK)
        return status;
    const struct gpt_mbr *mbr = memory;
    status = STATUS_NOT_FOUND;
    for (size_t i = 0; i < ARRAY_LENGTH(mbr->records); i++)
        if (le16_get(mbr->signature) == GPT_MBR_SIGNATURE &&
            mbr->records[i].type == GPT_MBR_PROTECTIVE)
            status = STATUS_OK;
    os_page_free(memory, bytes);
    return status;
}

/* 128 * 2^n, as UEFI 5.3.2 says of SizeOfPartitionEntry. */
static bool entry_size_is_valid(uint32_t size) {
    return size >= sizeof(struct gpt_entry) && math_is_power_of_two(size);
}

/* The entries lie on the device, behind the MBR and apart from what partitions may use. */
static bool entries_place_is_valid(const struct gpt_header *header, uint64_t blocks,
                                   uint32_t block_size) {
    uint64_t first = le64_get(header->entries_lba);
    uint64_t bytes = (uint64_t)le32_get(header->entry_count) * le32_get(header->entry_size);
    uint64_t count = math_divide_up(bytes, block_size);
    if (first < 2 || !math_range_inside(first, count, blocks))
        return false;
    return first + count <= le64_get(header->first_usable_lba) ||
           first > le64_get(header->last_usable_lba);
}

/* `block` is a whole block of the device; its copy of the checksum field is cleared. */
static bool header_is_valid(void *block, uint64_t lba, const struct blockdev *device) {
    struct gpt_header *header = block;
    uint32_t block_size = device->limits.block_size;
    uint64_t blocks = device->size / block_size;
    if (memcmp(header->signature, GPT_SIGNATURE, sizeof header->signature) != 0 ||
        le32_get(header->revision) < GPT_REVISION)
        return false;
    uint32_t size = le32_get(header->header_size);
    if (size < sizeof *header || size > block_size)
        return false;
    uint32_t crc = le32_get(header->header_crc32);
    header->header_crc32 = le32_make(0);
    if (crc32(block, size) != crc || le64_get(header->my_lba) != lba)
        return false;
    uint64_t first = le64_get(header->first_usable_lba);
    uint64_t last = le64_get(header->last_usable_lba);
    /* A table without room for a partition has last = first - 1. */
    if (first < 2 || last >= blocks || last + 1 < first)
        return false;
    return entry_size_is_valid(le32_get(header->entry_size)) &&
           entries_place_is_valid(header, blocks, block_size);
}

static enum status read_header(struct blockdev *device, uint64_t lba, struct gpt_header *header) {
    void *memory;
    uint64_t bytes;
    if (lba >= device->size / device->limits.block_size)
        return STATUS_CORRUPT;
    enum status status = read_blocks(device, lba, 1, &memory, &bytes);
    if (status != STATUS_OK)
        return status;
    if (header_is_valid(memory, lba, device))
        memcpy(header, memory, sizeof *header);
    else
        status = STATUS_CORRUPT;
    os_page_free(memory, bytes);
    return status;
}

static const struct gpt_entry *entry_at(const struct gpt_header *header, const void *entries,
                                        uint32_t index) {
    return (const struct gpt_entry *)((const char *)entries +
                                      (size_t)index * le32_get(header->entry_size));
}

static bool is_used(const struct gpt_entry *entry) {
    static const uint8_t unused[sizeof entry->type_guid];
    return memcmp(entry->type_guid, unused, sizeof unused) != 0;
}

static bool entry_is_valid(const struct gpt_header *header, const struct gpt_entry *entry) {
    uint64_t first = le64_get(entry->first_lba);
    uint64_t last = le64_get(entry->last_lba);
    return first <= last && first >= le64_get(header->first_usable_lba) &&
           last <= le64_get(header->last_usable_lba);
}

static void sift_down(struct gpt_partition *heap, uint32_t at, uint32_t count) {
    for (;;) {
        uint64_t child = 2ull * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && heap[child + 1].offset > heap[child].offset)
            child++;
        if (heap[child].offset <= heap[at].offset)
            return;
        struct gpt_partition swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = (uint32_t)child;
    }
}

/* By offset. A heap sort, because a hostile table may have millions of entries. */
static void sort(struct gpt_partition *partitions, uint32_t count) {
    for (uint32_t i = count / 2; i-- > 0;)
        sift_down(partitions, i, count);
    for (uint32_t end = count; end > 1; end--) {
        struct gpt_partition swap = partitions[0];
        partitions[0] = partitions[end - 1];
        partitions[end - 1] = swap;
        sift_down(partitions, 0, end - 1);
    }
}

static bool overlap(const struct gpt_table *table) {
    for (uint32_t i = 1; i < table->count; i++) {
        const struct gpt_partition *before = &table->partitions[i - 1];
        if (before->offset + before->size > table->partitions[i].offset)
            return true;
    }
    return false;
}

static enum status collect(const struct gpt_header *header, const void *entries,
                           uint32_t block_size, struct gpt_table *table) {
    uint32_t entry_count = le32_get(header->entry_count);
    uint32_t used = 0;
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct gpt_entry *entry = entry_at(header, entries, i);
        if (is_used(entry) && !entry_is_valid(header, entry))
            return STATUS_CORRUPT;
        used += is_used(entry);
    }
    table->partitions = os_alloc(used * sizeof *table->partitions);
    if (table->partitions == NULL)
        return STATUS_NO_MEMORY;
    table->count = 0;
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct gpt_entry *entry = entry_at(header, entries, i);
        if (!is_used(entry))
            continue;
        uint64_t first = le64_get(entry->first_lba);
        uint64_t blocks = le64_get(entry->last_lba) - first + 1;
        struct gpt_partition *partition = &table->partitions[table->count++];
        partition->number = i + 1;
        partition->offset = first * block_size;
        partition->size = blocks * block_size;
        memcpy(partition->type_guid, entry->type_guid, sizeof partition->type_guid);
        memcpy(partition->unique_guid, entry->unique_guid, sizeof partition->unique_guid);
    }
    sort(table->partitions, table->count);
    if (!overlap(table))
        return STATUS_OK;
    gpt_free(table);
    return STATUS_CORRUPT;
}

static enum status read_entries(struct blockdev *device, const struct gpt_header *header,
                                struct gpt_table *table) {
    uint32_t block_size = device->limits.block_size;
    uint64_t bytes = (uint64_t)le32_get(header->entry_count) * le32_get(header->entry_size);
    if (bytes == 0)
        return crc32(NULL, 0) == le32_get(header->entries_crc32) ? STATUS_OK : STATUS_CORRUPT;
    void *memory;
    uint64_t allocated;
    enum status status = read_blocks(device, le64_get(header->entries_lba),
                                     math_divide_up(bytes, block_size), &memory, &allocated);
    if (status != STATUS_OK)
        return status;
    if (crc32(memory, bytes) == le32_get(header->entries_crc32))
        status = collect(header, memory, block_size, table);
    else
        status = STATUS_CORRUPT;
    os_page_free(memory, allocated);
    return status;
}

static enum status read_copy(struct blockdev *device, uint64_t lba, struct gpt_table *table,
                             uint64_t *alternate) {
    struct gpt_header header;
    enum status status = read_header(device, lba, &header);
    if (status != STATUS_OK)
        return status;
    *alternate = le64_get(header.alternate_lba);
    return read_entries(device, &header, table);
}

enum status gpt_read(struct blockdev *device, struct gpt_table *table) {
    memset(table, 0, sizeof *table);
    enum status status = check_protective_mbr(device);
    if (status != STATUS_OK)
        return status;
    /* The backup is where a sound first header says, else in the last block: a disk that grew has
     * it elsewhere (UEFI 5.3.1). */
    uint64_t last = device->size / device->limits.block_size - 1;
    uint64_t backup = last;
    status = read_copy(device, GPT_PRIMARY_LBA, table, &backup);
    if (status == STATUS_OK || status == STATUS_NO_MEMORY)
        return status;
    uint64_t ignored;
    table->from_backup = true;
    status = read_copy(device, backup, table, &ignored);
    if (status != STATUS_OK && backup != last)
        status = read_copy(device, last, table, &ignored);
    return status;
}

void gpt_free(struct gpt_table *table) {
    os_free(table->partitions);
    memset(table, 0, sizeof *table);
}
