/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/super.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/values.h"

static uint64_t block_checksum(const void *page) {
    return checksum_xxh64((const char *)page + 8, DISK_BLOCK_SIZE - 8, 0);
}

static enum status read_block(struct blockdev *device, uint64_t block, void *page) {
    return blockdev_read(device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE);
}

static enum status label_parse(const struct disk_label *disk, uint64_t block,
                               const struct blockdev *device, struct label *label) {
    if (memcmp(disk->magic, DISK_LABEL_MAGIC, sizeof disk->magic) != 0)
        return STATUS_NOT_LFSX;
    if (le64_get(disk->checksum) != block_checksum(disk) || le64_get(disk->block) != block)
        return STATUS_CORRUPT;
    memset(label, 0, sizeof *label);
    memcpy(label->pool_uuid, disk->pool_uuid, sizeof label->pool_uuid);
    memcpy(label->device_uuid, disk->device_uuid, sizeof label->device_uuid);
    memcpy(label->text, disk->label, LFSX_LABEL_MAX);
    label->version = le32_get(disk->version);
    label->created_ns = le64_get(disk->created_ns);
    label->geometry.device_blocks = le64_get(disk->device_blocks);
    if (label->version != DISK_VERSION || le64_get(disk->incompat) & ~DISK_INCOMPAT_KNOWN ||
        le64_get(disk->ro_compat) & ~DISK_RO_COMPAT_KNOWN ||
        le32_get(disk->checksum_kind) != DISK_CHECKSUM_XXH64 || le32_get(disk->device_count) != 1)
        return STATUS_VERSION;
    size_t text_length = strnlen(label->text, sizeof label->text);
    if (!mem_is_zero(disk->reserved, sizeof disk->reserved) ||
        !mem_is_zero(disk->label + text_length, sizeof disk->label - text_length) ||
        !text_is_valid(label->text, text_length) || le32_get(disk->device_index) != 0)
        return STATUS_CORRUPT;
    enum status status = geometry_load(disk, &label->geometry);
    if (status == STATUS_OK && label->geometry.device_blocks > device->size / DISK_BLOCK_SIZE)
        return STATUS_TOO_SMALL;
    return status;
}

/* Where the tail's label would be if the pool uses the whole device: all that is known while the
 * head's label cannot be read. */
static uint64_t presumed_tail_label(const struct blockdev *device) {
    return device->size / DISK_BLOCK_SIZE - DISK_AREA_BLOCKS + DISK_AREA_LABEL;
}

enum status label_read(struct blockdev *device, struct label *label) {
    memset(label, 0, sizeof *label);
    if (device->size / DISK_BLOCK_SIZE < DISK_MIN_DEVICE_BLOCKS)
        return STATUS_NOT_LFSX;
    struct disk_label *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = read_block(device, DISK_AREA_LABEL, page);
    if (status == STATUS_OK)
        status = label_parse(page, DISK_AREA_LABEL, device, label);
    if (status != STATUS_OK && status != STATUS_VERSION && status != STATUS_TOO_SMALL) {
        uint64_t tail = presumed_tail_label(device);
        struct label other;
        if (read_block(device, tail, page) == STATUS_OK &&
            label_parse(page, tail, device, &other) == STATUS_OK) {
            log_warning("lfsx", "%s: the label at block %u is damaged; using the copy at %llu",
                        device->name, DISK_AREA_LABEL, (unsigned long long)tail);
            *label = other;
            status = STATUS_OK;
        }
    }
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

enum status label_write(struct blockdev *device, const struct label *label) {
    struct disk_label *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    memset(page, 0, sizeof *page);
    memcpy(page->magic, DISK_LABEL_MAGIC, sizeof page->magic);
    page->version = le32_make(DISK_VERSION);
    page->checksum_kind = le32_make(DISK_CHECKSUM_XXH64);
    memcpy(page->pool_uuid, label->pool_uuid, sizeof page->pool_uuid);
    memcpy(page->device_uuid, label->device_uuid, sizeof page->device_uuid);
    page->device_count = le32_make(1);
    geometry_store(&label->geometry, page);
    page->created_ns = le64_make(label->created_ns);
    memcpy(page->label, label->text, LFSX_LABEL_MAX);
    enum status status = STATUS_OK;
    for (unsigned area = 0; status == STATUS_OK && area < 2; area++) {
        uint64_t block = geometry_label_address(&label->geometry, area);
        page->block = le64_make(block);
        page->checksum = le64_make(block_checksum(page));
        status = blockdev_write(device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE, BLOCK_FUA);
    }
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

static void superblock_load(const struct disk_superblock *disk, struct superblock *superblock) {
    *superblock = (struct superblock){.checkpoint = le64_get(disk->checkpoint),
                                      .epoch = le64_get(disk->epoch),
                                      .written_ns = le64_get(disk->written_ns),
                                      .catalog = pointer_load(&disk->catalog),
                                      .catalog_nodes = le64_get(disk->catalog_nodes),
                                      .next_dataset = le64_get(disk->next_dataset),
                                      .used_blocks = le64_get(disk->used_blocks),
                                      .map_root = disk->map_root,
                                      .journal = {.sequence = le64_get(disk->journal_sequence),
                                                  .block = le64_get(disk->journal_block),
                                                  .previous = le64_get(disk->journal_previous)}};
}

static bool superblock_is_sane(const struct disk_superblock *disk, const struct label *label,
                               unsigned slot) {
    const struct geometry *geometry = &label->geometry;
    return le64_get(disk->checkpoint) % DISK_RING_SLOTS == slot &&
           memcmp(disk->pool_uuid, label->pool_uuid, sizeof disk->pool_uuid) == 0 &&
           geometry_is_data(geometry, le64_get(disk->catalog.block), 1) &&
           disk->catalog.level <= DISK_LEVEL_MAX && le16_get(disk->catalog.group) == 0 &&
           mem_is_zero(disk->catalog.reserved, sizeof disk->catalog.reserved) &&
           disk->map_root.copy <= 1 && le64_get(disk->journal_sequence) > 0 &&
           le64_get(disk->journal_block) < geometry->journal_blocks &&
           mem_is_zero(disk->map_root.reserved, sizeof disk->map_root.reserved) &&
           le64_get(disk->next_dataset) >= DISK_FIRST_DATASET &&
           mem_is_zero(disk->reserved, sizeof disk->reserved);
}

static void slot_load(const struct disk_superblock *disk, uint64_t block, const struct label *label,
                      unsigned index, struct slot *slot) {
    if (mem_is_zero(disk, DISK_BLOCK_SIZE)) {
        slot->state = SLOT_EMPTY;
        return;
    }
    slot->state = SLOT_DAMAGED;
    if (memcmp(disk->magic, DISK_SUPERBLOCK_MAGIC, sizeof disk->magic) != 0 ||
        le64_get(disk->checksum) != block_checksum(disk) || le64_get(disk->block) != block ||
        !superblock_is_sane(disk, label, index))
        return;
    slot->state = SLOT_VALID;
    superblock_load(disk, &slot->superblock);
}

enum status ring_read(struct blockdev *device, const struct label *label, struct ring *ring) {
    struct disk_superblock *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    unsigned read = 0;
    enum status error = STATUS_OK;
    for (unsigned area = 0; area < 2; area++) {
        for (unsigned i = 0; i < DISK_RING_SLOTS; i++) {
            uint64_t block = geometry_slot_address(&label->geometry, area, i);
            enum status status = read_block(device, block, page);
            ring->slots[area][i].state = SLOT_DAMAGED;
            if (status == STATUS_OK) {
                slot_load(page, block, label, i, &ring->slots[area][i]);
                read++;
            } else {
                error = status;
            }
        }
    }
    os_page_free(page, DISK_BLOCK_SIZE);
    return read > 0 ? STATUS_OK : error;
}

enum status ring_newest(const struct ring *ring, struct superblock *newest) {
    bool found = false;
    for (unsigned i = 0; i < 2 * DISK_RING_SLOTS; i++) {
        const struct slot *slot = &ring->slots[i / DISK_RING_SLOTS][i % DISK_RING_SLOTS];
        if (slot->state != SLOT_VALID)
            continue;
        if (!found || slot->superblock.checkpoint > newest->checkpoint)
            *newest = slot->superblock;
        found = true;
    }
    if (!found)
        return STATUS_CORRUPT;
    unsigned next = (unsigned)((newest->checkpoint + 1) % DISK_RING_SLOTS);
    if (ring->slots[0][next].state == SLOT_DAMAGED && ring->slots[1][next].state == SLOT_DAMAGED)
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static void superblock_store(const struct label *label, const struct superblock *superblock,
                             struct disk_superblock *disk) {
    memset(disk, 0, sizeof *disk);
    memcpy(disk->magic, DISK_SUPERBLOCK_MAGIC, sizeof disk->magic);
    memcpy(disk->pool_uuid, label->pool_uuid, sizeof disk->pool_uuid);
    disk->checkpoint = le64_make(superblock->checkpoint);
    disk->epoch = le64_make(superblock->epoch);
    disk->written_ns = le64_make(superblock->written_ns);
    pointer_store(&disk->catalog, &superblock->catalog);
    disk->catalog_nodes = le64_make(superblock->catalog_nodes);
    disk->next_dataset = le64_make(superblock->next_dataset);
    disk->used_blocks = le64_make(superblock->used_blocks);
    disk->map_root = superblock->map_root;
    disk->journal_sequence = le64_make(superblock->journal.sequence);
    disk->journal_block = le64_make(superblock->journal.block);
    disk->journal_previous = le64_make(superblock->journal.previous);
}

/* Writes one of the two copies. The page holds the superblock. */
static enum status write_copy(struct blockdev *device, const struct label *label, unsigned area,
                              struct disk_superblock *page) {
    unsigned slot = (unsigned)(le64_get(page->checkpoint) % DISK_RING_SLOTS);
    ASSERT(superblock_is_sane(page, label, slot));
    uint64_t block = geometry_slot_address(&label->geometry, area, slot);
    page->block = le64_make(block);
    page->checksum = le64_make(block_checksum(page));
    return blockdev_write(device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE, BLOCK_FUA);
}

enum status superblock_write(struct blockdev *device, const struct label *label,
                             const struct superblock *superblock, struct disk_superblock *page) {
    superblock_store(label, superblock, page);
    enum status status = STATUS_OK;
    for (unsigned area = 0; status == STATUS_OK && area < 2; area++)
        status = write_copy(device, label, area, page);
    return status;
}

enum status superblock_complete(struct blockdev *device, const struct label *label,
                                const struct ring *ring, const struct superblock *newest) {
    bool there[2];
    for (unsigned area = 0; area < 2; area++) {
        const struct slot *slot = &ring->slots[area][newest->checkpoint % DISK_RING_SLOTS];
        there[area] =
            slot->state == SLOT_VALID && slot->superblock.checkpoint == newest->checkpoint;
    }
    if (!there[0] || there[1]) /* a damaged head is no work of a power cut, and stays to be seen */
        return STATUS_OK;
    struct disk_superblock *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    superblock_store(label, newest, page);
    enum status status = write_copy(device, label, 1, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

enum status ring_clear(struct blockdev *device, const struct geometry *geometry) {
    uint64_t bytes = (uint64_t)DISK_AREA_BLOCKS * DISK_BLOCK_SIZE;
    void *zeros = os_page_alloc(bytes);
    if (zeros == NULL)
        return STATUS_NO_MEMORY;
    memset(zeros, 0, bytes);
    uint64_t tail = (geometry->device_blocks - DISK_AREA_BLOCKS) * DISK_BLOCK_SIZE;
    enum status status = blockdev_write(device, 0, zeros, bytes, 0);
    if (status == STATUS_OK)
        status = blockdev_write(device, tail, zeros, bytes, 0);
    if (status == STATUS_OK)
        status = blockdev_flush(device);
    os_page_free(zeros, bytes);
    return status;
}
