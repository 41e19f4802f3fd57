/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/format/super.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/format/values.h"

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
    label->written_blocks = label->geometry.device_blocks;
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

bool superblock_is_whole(const struct disk_superblock *disk, uint64_t block) {
    return memcmp(disk->magic, DISK_SUPERBLOCK_MAGIC, sizeof disk->magic) == 0 &&
           le64_get(disk->checksum) == block_checksum(disk) && le64_get(disk->block) == block;
}

/* How many blocks the pool uses, as the newest superblock of the head area says; as many as the
 * device has if there is none. */
static uint64_t presumed_size(struct blockdev *device, void *page) {
    const struct disk_superblock *disk = page;
    uint64_t device_blocks = device->size / DISK_BLOCK_SIZE;
    uint64_t size = device_blocks;
    uint64_t newest = 0;
    for (uint64_t block = DISK_AREA_RING; block < DISK_AREA_RING + DISK_RING_SLOTS; block++) {
        if (read_block(device, block, page) != STATUS_OK || !superblock_is_whole(disk, block) ||
            le64_get(disk->checkpoint) <= newest || le64_get(disk->device_blocks) > device_blocks ||
            le64_get(disk->device_blocks) < DISK_MIN_DEVICE_BLOCKS)
            continue;
        newest = le64_get(disk->checkpoint);
        size = le64_get(disk->device_blocks);
    }
    return size;
}

/* Whether a superblock stands in a ring: then this is a pool, although its labels are lost. */
static bool has_superblock(struct blockdev *device, uint64_t ring, void *page) {
    for (uint64_t block = ring; block < ring + DISK_RING_SLOTS; block++)
        if (read_block(device, block, page) == STATUS_OK && superblock_is_whole(page, block))
            return true;
    return false;
}

/* For when the head's label cannot be read. */
static enum status read_tail_label(struct blockdev *device, uint64_t size, void *page,
                                   struct label *label) {
    uint64_t block = size - DISK_AREA_BLOCKS + DISK_AREA_LABEL;
    struct label found;
    enum status status = read_block(device, block, page);
    if (status == STATUS_OK)
        status = label_parse(page, block, device, &found);
    if (status != STATUS_OK)
        return status;
    log_warning("lfsx", "%s: the label at block %u is damaged; using the copy at %llu",
                device->name, DISK_AREA_LABEL, (unsigned long long)block);
    *label = found;
    return STATUS_OK;
}

enum status label_read(struct blockdev *device, struct label *label) {
    memset(label, 0, sizeof *label);
    uint64_t device_blocks = device->size / DISK_BLOCK_SIZE;
    if (device_blocks < DISK_MIN_DEVICE_BLOCKS)
        return STATUS_NOT_LFSX;
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    enum status status = read_block(device, DISK_AREA_LABEL, page);
    if (status == STATUS_OK)
        status = label_parse(page, DISK_AREA_LABEL, device, label);
    if (status != STATUS_OK && status != STATUS_VERSION && status != STATUS_TOO_SMALL) {
        uint64_t size = presumed_size(device, page);
        if (read_tail_label(device, size, page, label) == STATUS_OK ||
            (size != device_blocks &&
             read_tail_label(device, device_blocks, page, label) == STATUS_OK))
            status = STATUS_OK;
    }
    if (status == STATUS_NOT_LFSX &&
        (has_superblock(device, DISK_AREA_RING, page) ||
         has_superblock(device, device_blocks - DISK_AREA_BLOCKS + DISK_AREA_RING, page)))
        status = STATUS_CORRUPT;
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

static void label_store(const struct label *label, struct disk_label *disk) {
    memset(disk, 0, sizeof *disk);
    memcpy(disk->magic, DISK_LABEL_MAGIC, sizeof disk->magic);
    disk->version = le32_make(DISK_VERSION);
    disk->checksum_kind = le32_make(DISK_CHECKSUM_XXH64);
    memcpy(disk->pool_uuid, label->pool_uuid, sizeof disk->pool_uuid);
    memcpy(disk->device_uuid, label->device_uuid, sizeof disk->device_uuid);
    disk->device_count = le32_make(1);
    geometry_store(&label->geometry, disk);
    disk->created_ns = le64_make(label->created_ns);
    memcpy(disk->label, label->text, LFSX_LABEL_MAX);
}

static enum status write_label(struct blockdev *device, const struct label *label, unsigned area,
                               struct disk_label *page) {
    label_store(label, page);
    uint64_t block = geometry_label_address(&label->geometry, area);
    page->block = le64_make(block);
    page->checksum = le64_make(block_checksum(page));
    return blockdev_write(device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE, BLOCK_FUA);
}

static enum status write_labels(struct blockdev *device, const struct label *label, void *page) {
    enum status status = write_label(device, label, 0, page);
    return status == STATUS_OK ? write_label(device, label, 1, page) : status;
}

enum status label_write_tail(struct blockdev *device, const struct label *label) {
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    enum status status = page == NULL ? STATUS_NO_MEMORY : write_label(device, label, 1, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

enum status label_write(struct blockdev *device, const struct label *label) {
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    enum status status = page == NULL ? STATUS_NO_MEMORY : write_labels(device, label, page);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

enum status label_settle(struct blockdev *device, struct label *label, void *page) {
    if (label->written_blocks == label->geometry.device_blocks)
        return STATUS_OK;
    enum status status = write_labels(device, label, page);
    if (status == STATUS_OK)
        label->written_blocks = label->geometry.device_blocks;
    return status;
}

void superblock_load(const struct disk_superblock *disk, struct superblock *superblock) {
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

/* Whether the superblock can be one of the label's pool in this slot; the layout that it speaks of
 * is in *geometry. */
static bool superblock_is_sane(const struct disk_superblock *disk, const struct label *label,
                               unsigned slot, struct geometry *geometry) {
    return geometry_resize(&label->geometry, le64_get(disk->device_blocks), geometry) ==
               STATUS_OK &&
           le64_get(disk->checkpoint) % DISK_RING_SLOTS == slot && le64_get(disk->epoch) > 0 &&
           le64_get(disk->epoch) <= DISK_EPOCH_MAX &&
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
    struct geometry geometry;
    slot->state = SLOT_EMPTY;
    if (mem_is_zero(disk, DISK_BLOCK_SIZE))
        return;
    slot->state = SLOT_DAMAGED;
    if (!superblock_is_whole(disk, block) || !superblock_is_sane(disk, label, index, &geometry))
        return;
    slot->state = SLOT_VALID;
    superblock_load(disk, &slot->superblock);
    slot->superblock.geometry = geometry;
}

/* What reading the ring shares. */
struct ring_reader {
    struct blockdev *device;
    const struct label *label;
    struct disk_superblock *page;
    unsigned read; /* slots that could be */
    enum status error;
};

static void read_area(struct ring_reader *reader, const struct geometry *geometry, unsigned area,
                      struct slot *slots) {
    for (unsigned i = 0; i < DISK_RING_SLOTS; i++) {
        uint64_t block = geometry_slot_address(geometry, area, i);
        enum status status = read_block(reader->device, block, reader->page);
        slots[i].state = SLOT_DAMAGED;
        slots[i].unreadable = status != STATUS_OK;
        if (status == STATUS_OK) {
            slot_load(reader->page, block, reader->label, i, &slots[i]);
            reader->read++;
        } else {
            reader->error = status;
        }
    }
}

/* NULL if the area has none. */
static const struct superblock *newest_of_area(const struct slot *slots) {
    const struct superblock *newest = NULL;
    for (unsigned i = 0; i < DISK_RING_SLOTS; i++)
        if (slots[i].state == SLOT_VALID &&
            (newest == NULL || slots[i].superblock.checkpoint > newest->checkpoint))
            newest = &slots[i].superblock;
    return newest;
}

static bool is_newer(const struct superblock *a, const struct superblock *b) {
    return a != NULL && (b == NULL || a->checkpoint > b->checkpoint);
}

/* The tail where the label says, and where the head's newest superblock says, if that is elsewhere;
 * the one that counts comes first. Returns the geometry that counts. */
static struct geometry read_tails(struct ring_reader *reader, struct ring *ring) {
    struct geometry geometry = reader->label->geometry;
    const struct superblock *head = newest_of_area(ring->slots[RING_HEAD]);
    read_area(reader, &geometry, 1, ring->slots[RING_TAIL]);
    for (unsigned i = 0; i < DISK_RING_SLOTS; i++)
        ring->slots[RING_OTHER_TAIL][i].state = SLOT_EMPTY;
    if (head == NULL || head->geometry.device_blocks == geometry.device_blocks)
        return geometry;
    if (is_newer(newest_of_area(ring->slots[RING_TAIL]), head)) {
        read_area(reader, &head->geometry, 1, ring->slots[RING_OTHER_TAIL]);
        return geometry;
    }
    for (unsigned i = 0; i < DISK_RING_SLOTS; i++)
        ring->slots[RING_OTHER_TAIL][i] = ring->slots[RING_TAIL][i];
    read_area(reader, &head->geometry, 1, ring->slots[RING_TAIL]);
    return head->geometry;
}

enum status ring_read(struct blockdev *device, struct label *label, struct ring *ring) {
    struct ring_reader reader = {.device = device,
                                 .label = label,
                                 .page = os_page_alloc(DISK_BLOCK_SIZE),
                                 .error = STATUS_OK};
    if (reader.page == NULL)
        return STATUS_NO_MEMORY;
    read_area(&reader, &label->geometry, 0, ring->slots[RING_HEAD]);
    struct geometry geometry = read_tails(&reader, ring);
    os_page_free(reader.page, DISK_BLOCK_SIZE);
    label->geometry = geometry;
    if (geometry.device_blocks > device->size / DISK_BLOCK_SIZE)
        return STATUS_TOO_SMALL;
    return reader.read > 0 ? STATUS_OK : reader.error;
}

static bool any_unreadable(const struct ring *ring) {
    bool any = false;
    for (unsigned area = 0; area < RING_AREAS; area++)
        for (unsigned i = 0; i < DISK_RING_SLOTS; i++)
            any |= ring->slots[area][i].state == SLOT_DAMAGED && ring->slots[area][i].unreadable;
    return any;
}

/* Whether nothing that was acknowledged can have been in the slot: OK, CORRUPT, IO. */
static enum status judge_slot(const struct ring *ring, unsigned slot) {
    const struct slot *head = &ring->slots[RING_HEAD][slot];
    if (head->state != SLOT_DAMAGED)
        return STATUS_OK;
    enum status status = STATUS_OK;
    for (unsigned area = RING_TAIL; area < RING_AREAS; area++) {
        const struct slot *tail = &ring->slots[area][slot];
        if (tail->state == SLOT_DAMAGED && status != STATUS_IO)
            status = head->unreadable || tail->unreadable ? STATUS_IO : STATUS_CORRUPT;
    }
    return status;
}

enum status ring_newest(const struct ring *ring, struct superblock *newest) {
    const struct superblock *found = NULL;
    for (unsigned area = 0; area < RING_AREAS; area++) {
        const struct superblock *candidate = newest_of_area(ring->slots[area]);
        if (is_newer(candidate, found))
            found = candidate;
    }
    if (found == NULL)
        return any_unreadable(ring) ? STATUS_IO : STATUS_CORRUPT;
    *newest = *found;
    return judge_slot(ring, (unsigned)((newest->checkpoint + 1) % DISK_RING_SLOTS));
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
    disk->device_blocks = le64_make(superblock->geometry.device_blocks);
}

/* Writes one of the two copies. The page holds the superblock. */
static enum status write_copy(struct blockdev *device, const struct label *label, unsigned area,
                              struct disk_superblock *page) {
    unsigned slot = (unsigned)(le64_get(page->checkpoint) % DISK_RING_SLOTS);
    struct geometry geometry;
    ASSERT(superblock_is_sane(page, label, slot, &geometry));
    ASSERT(geometry.device_blocks == label->geometry.device_blocks);
    uint64_t block = geometry_slot_address(&geometry, area, slot);
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
    for (unsigned area = RING_HEAD; area <= RING_TAIL; area++) {
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

enum status area_clear(struct blockdev *device, const struct geometry *geometry, unsigned area) {
    uint64_t bytes = (uint64_t)DISK_AREA_BLOCKS * DISK_BLOCK_SIZE;
    void *zeros = os_page_alloc(bytes);
    if (zeros == NULL)
        return STATUS_NO_MEMORY;
    memset(zeros, 0, bytes);
    uint64_t start = geometry_label_address(geometry, area) - DISK_AREA_LABEL;
    enum status status = blockdev_write(device, start * DISK_BLOCK_SIZE, zeros, bytes, BLOCK_FUA);
    os_page_free(zeros, bytes);
    return status;
}
