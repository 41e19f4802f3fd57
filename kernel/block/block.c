/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that the block layer offers: whole disks and their partitions.
 *
 * Invariant: the list of views only grows; a view and its disk stay for ever, as the driver's
 * device does, so that a pointer to one is good without a lock.
 */
#include "kernel/block/block.h"
#include "base/assert.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/block/block_internal.h"
#include "kernel/block/gpt.h"
#include "kernel/device.h"

#define BLOCK_SIZE_MAX (64u << 10) /* BLOCK_PART_SPANS pages hold it */

static struct spinlock views_lock; /* guards `views` while it grows */
static struct list_node views = {&views, &views};

const struct blockdev_operations block_operations = {.submit = block_submit, .close = NULL};

struct block_view *block_view_of(struct blockdev *device) {
    ASSERT(device->operations == &block_operations);
    return LIST_CONTAINER(device, struct block_view, device);
}

static void add_view(struct block_view *view) {
    uint64_t flags = spinlock_lock(&views_lock);
    list_push_back(&views, &view->link);
    spinlock_unlock(&views_lock, flags);
}

static struct block_view *create_view(struct block_disk *disk, uint64_t start, uint64_t size) {
    struct block_view *view = os_alloc_zeroed(sizeof *view);
    if (view == NULL)
        return NULL;
    const struct blockdev *driver = disk->driver;
    view->disk = disk;
    view->start = start;
    view->device = *driver;
    view->device.operations = &block_operations;
    view->device.size = size;
    struct blockdev_limits *limits = &view->device.limits;
    limits->max_transfer = MATH_MAX(limits->max_transfer, BLOCK_MAX_TRANSFER);
    if (limits->max_discard >= limits->block_size)
        limits->max_discard = size;
    else
        limits->max_discard = 0;
    return view;
}

enum status block_attach(struct blockdev *driver, struct blockdev **device) {
    if (driver->limits.block_size > BLOCK_SIZE_MAX)
        return STATUS_UNSUPPORTED;
    struct block_disk *disk = os_alloc_zeroed(sizeof *disk);
    if (disk == NULL)
        return STATUS_NO_MEMORY;
    disk->driver = driver;
    struct block_view *view = create_view(disk, 0, driver->size);
    enum status status = view == NULL ? STATUS_NO_MEMORY : block_dispatch_create(disk);
    if (status != STATUS_OK) {
        os_free(view);
        os_free(disk);
        return status;
    }
    add_view(view);
    *device = &view->device;
    return STATUS_OK;
}

/* "nvme0n1" has "nvme0n1p1". */
static enum status add_partition(struct block_view *disk, const struct gpt_partition *partition) {
    struct block_view *view = create_view(disk->disk, partition->offset, partition->size);
    if (view == NULL)
        return STATUS_NO_MEMORY;
    format_text(view->device.name, sizeof view->device.name, "%sp%u", disk->device.name,
                partition->number);
    add_view(view);
    char size[FORMAT_BYTES_SIZE];
    log_info(BLOCK_ROOM, "%s: partition of %s at byte %llu", view->device.name,
             format_bytes(size, partition->size), (unsigned long long)partition->offset);
    return STATUS_OK;
}

enum status block_add_partitions(struct blockdev *device, uint32_t *count) {
    struct block_view *disk = block_view_of(device);
    struct gpt_table table;
    *count = 0;
    enum status status = gpt_read(device, &table);
    if (status != STATUS_OK)
        return status;
    __atomic_store_n(&disk->disk->has_partitions, true, __ATOMIC_RELAXED);
    if (table.from_backup)
        log_warning(BLOCK_ROOM,
                    "%s: its partition table is damaged; the backup at the disk's end is used: "
                    "repair the first copy",
                    device->name);
    for (uint32_t i = 0; status == STATUS_OK && i < table.count; i++, ++*count)
        status = add_partition(disk, &table.partitions[i]);
    gpt_free(&table);
    return status;
}

static void start_one(struct blockdev *driver) {
    struct blockdev *disk;
    uint32_t partitions = 0;
    enum status status = block_attach(driver, &disk);
    if (status != STATUS_OK) {
        log_error(BLOCK_ROOM, "%s: not attached: %s", driver->name, status_text(status));
        return;
    }
    status = block_add_partitions(disk, &partitions);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        log_error(BLOCK_ROOM, "%s: its partition table cannot be used: %s", driver->name,
                  status_text(status));
}

void block_start(void) {
    struct blockdev *driver;
    for (uint32_t i = 0; (driver = device_block(i)) != NULL; i++)
        start_one(driver);
}

static struct blockdev *search(uint32_t index, const char *name) {
    struct blockdev *found = NULL;
    uint64_t flags = spinlock_lock(&views_lock);
    LIST_FOR_EACH(node, &views) {
        struct block_view *view = LIST_CONTAINER(node, struct block_view, link);
        bool is_it = name != NULL ? strcmp(view->device.name, name) == 0 : index-- == 0;
        if (is_it) {
            found = &view->device;
            break;
        }
    }
    spinlock_unlock(&views_lock, flags);
    return found;
}

struct blockdev *block_device(uint32_t index) {
    return search(index, NULL);
}

struct blockdev *block_find(const char *name) {
    return search(0, name);
}

bool block_has_partitions(const struct blockdev *device) {
    const struct block_view *view = block_view_of((struct blockdev *)device);
    return view->start == 0 && view->device.size == view->disk->driver->size &&
           __atomic_load_n(&view->disk->has_partitions, __ATOMIC_RELAXED);
}
