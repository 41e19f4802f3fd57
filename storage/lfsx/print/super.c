/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and superblocks as text. */
#include "base/checksum.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/print/print_internal.h"

static const char *const areas[2] = {"start", "end"};

bool print_parse(const char *text, uint64_t *number) {
    *number = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || *number > (UINT64_MAX - 9) / 10)
            return false;
        *number = *number * 10 + (uint64_t)(*at - '0');
    }
    return *text != '\0';
}

/* What is wrong with a block that begins with its checksum. */
static const char *seal_of(const void *page, le64 checksum) {
    if (mem_is_zero(page, DISK_BLOCK_SIZE))
        return "empty";
    bool right =
        le64_get(checksum) == checksum_xxh64((const char *)page + 8, DISK_BLOCK_SIZE - 8, 0);
    return right ? "checksum right" : "CHECKSUM WRONG";
}

static void print_label_fields(struct print *print, const struct disk_label *label) {
    char name[PRINT_NAME_SIZE], uuid[PRINT_UUID_SIZE], time[PRINT_TIME_SIZE];
    print_line(print, 1, "magic %s version %u checksum_kind %u",
               print_name(name, label->magic, sizeof label->magic), le32_get(label->version),
               le32_get(label->checksum_kind));
    print_line(print, 1, "compat %llx ro_compat %llx incompat %llx",
               (unsigned long long)le64_get(label->compat),
               (unsigned long long)le64_get(label->ro_compat),
               (unsigned long long)le64_get(label->incompat));
    print_line(print, 1, "pool_uuid %s", print_uuid(uuid, label->pool_uuid));
    print_line(print, 1, "device_uuid %s index %u of %u", print_uuid(uuid, label->device_uuid),
               le32_get(label->device_index), le32_get(label->device_count));
    print_line(print, 1, "block %llu device_blocks %llu",
               (unsigned long long)le64_get(label->block),
               (unsigned long long)le64_get(label->device_blocks));
    print_line(print, 1, "maps %llu + %llu journal %llu + %llu data %llu..%llu",
               (unsigned long long)le64_get(label->map_start),
               (unsigned long long)le64_get(label->map_blocks),
               (unsigned long long)le64_get(label->journal_start),
               (unsigned long long)le64_get(label->journal_blocks),
               (unsigned long long)le64_get(label->data_start),
               (unsigned long long)le64_get(label->data_end) - 1);
    print_line(print, 1, "created %s", print_time(time, le64_get(label->created_ns)));
    print_line(print, 1, "label %s",
               print_name(name, label->label, strnlen((const char *)label->label, LFSX_LABEL_MAX)));
}

enum status print_label(struct print *print, const char *argument) {
    (void)argument;
    struct disk_label *label = os_page_alloc(DISK_BLOCK_SIZE);
    if (label == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned area = 0; area < 2; area++) {
        uint64_t block = geometry_label_address(&print->label.geometry, area);
        enum status status =
            blockdev_read(print->device, block * DISK_BLOCK_SIZE, label, DISK_BLOCK_SIZE);
        print_line(print, 0, "label at the device's %s, block %llu: %s", areas[area],
                   (unsigned long long)block,
                   status == STATUS_OK ? seal_of(label, label->checksum) : status_text(status));
        if (status == STATUS_OK && !mem_is_zero(label, DISK_BLOCK_SIZE))
            print_label_fields(print, label);
    }
    os_page_free(label, DISK_BLOCK_SIZE);
    return STATUS_OK;
}

enum status print_superblocks(struct print *print, const char *argument) {
    (void)argument;
    char time[PRINT_TIME_SIZE];
    for (unsigned i = 0; i < DISK_RING_SLOTS; i++)
        for (unsigned area = 0; area < 2; area++) {
            const struct slot *slot = &print->ring.slots[area][i];
            const struct superblock *super = &slot->superblock;
            if (slot->state == SLOT_VALID)
                print_line(print, 0,
                           "slot %2u at the %-5s checkpoint %llu epoch %llu written %s catalog at "
                           "block %llu journal from entry %llu%s",
                           i, areas[area], (unsigned long long)super->checkpoint,
                           (unsigned long long)super->epoch, print_time(time, super->written_ns),
                           (unsigned long long)super->catalog.block,
                           (unsigned long long)super->journal.sequence,
                           print->has_super && super->checkpoint == print->super.checkpoint
                               ? ": the newest one"
                               : "");
            else
                print_line(print, 0, "slot %2u at the %-5s %s", i, areas[area],
                           slot->state == SLOT_EMPTY ? "empty" : "DAMAGED");
        }
    return STATUS_OK;
}

static void print_superblock_fields(struct print *print, const struct disk_superblock *super) {
    char name[PRINT_NAME_SIZE], uuid[PRINT_UUID_SIZE], time[PRINT_TIME_SIZE];
    char pointer[PRINT_POINTER_SIZE];
    struct pointer catalog = pointer_load(&super->catalog);
    print_line(print, 1, "magic %s block %llu pool_uuid %s",
               print_name(name, super->magic, sizeof super->magic),
               (unsigned long long)le64_get(super->block), print_uuid(uuid, super->pool_uuid));
    print_line(print, 1, "checkpoint %llu epoch %llu written %s",
               (unsigned long long)le64_get(super->checkpoint),
               (unsigned long long)le64_get(super->epoch),
               print_time(time, le64_get(super->written_ns)));
    print_line(print, 1, "catalog %s, %llu nodes", print_pointer(pointer, &catalog),
               (unsigned long long)le64_get(super->catalog_nodes));
    print_line(print, 1, "next_dataset %llu used_blocks %llu",
               (unsigned long long)le64_get(super->next_dataset),
               (unsigned long long)le64_get(super->used_blocks));
    print_line(print, 1, "map_root copy %u checksum %016llx free_blocks %u", super->map_root.copy,
               (unsigned long long)le64_get(super->map_root.checksum),
               le32_get(super->map_root.free_blocks));
    print_line(print, 1, "journal from entry %llu at block %llu of the ring, previous %016llx",
               (unsigned long long)le64_get(super->journal_sequence),
               (unsigned long long)le64_get(super->journal_block),
               (unsigned long long)le64_get(super->journal_previous));
}

enum status print_superblock(struct print *print, const char *argument) {
    uint64_t checkpoint;
    if (!print_parse(argument, &checkpoint))
        return STATUS_INVALID;
    struct disk_superblock *super = os_page_alloc(DISK_BLOCK_SIZE);
    if (super == NULL)
        return STATUS_NO_MEMORY;
    unsigned slot = (unsigned)(checkpoint % DISK_RING_SLOTS);
    for (unsigned area = 0; area < 2; area++) {
        uint64_t block = geometry_slot_address(&print->label.geometry, area, slot);
        enum status status =
            blockdev_read(print->device, block * DISK_BLOCK_SIZE, super, DISK_BLOCK_SIZE);
        bool other = status == STATUS_OK && le64_get(super->checkpoint) != checkpoint;
        print_line(print, 0, "slot %u at the device's %s, block %llu: %s%s", slot, areas[area],
                   (unsigned long long)block,
                   status == STATUS_OK ? seal_of(super, super->checksum) : status_text(status),
                   other ? ", of another checkpoint" : "");
        if (status == STATUS_OK && !mem_is_zero(super, DISK_BLOCK_SIZE))
            print_superblock_fields(print, super);
    }
    os_page_free(super, DISK_BLOCK_SIZE);
    return STATUS_OK;
}
