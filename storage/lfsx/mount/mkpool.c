/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatting: an empty pool is put together in memory and written by the same checkpoint as any
 * other state. The label, which makes the device a pool, comes last: an interrupted mkfs leaves
 * none.
 */
#include "base/log.h"
#include "base/mem.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/mount/open.h"

static enum status validate(const struct lfsx_format_options *options) {
    size_t length = strlen(options->label);
    if (length > LFSX_LABEL_MAX || !text_is_valid(options->label, length)) {
        log_error("lfsx", "the label must be at most %u bytes of UTF-8", LFSX_LABEL_MAX);
        return STATUS_INVALID;
    }
    for (uint32_t i = 0; i < options->volume_count; i++) {
        const struct lfsx_new_volume *volume = &options->volumes[i];
        if (!lfsx_name_is_valid(volume->name, strlen(volume->name))) {
            log_error("lfsx", "\"%s\" is not a volume name", volume->name);
            return STATUS_INVALID;
        }
        if (volume->size == 0 || volume->size % 512 != 0 || volume->size > LFSX_VOLUME_SIZE_MAX) {
            log_error("lfsx", "volume %s: the size must be a positive multiple of 512 bytes",
                      volume->name);
            return STATUS_INVALID;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(options->volumes[j].name, volume->name) == 0) {
                log_error("lfsx", "volume %s is named twice", volume->name);
                return STATUS_INVALID;
            }
        }
    }
    return STATUS_OK;
}

/* Puts an empty catalog and empty maps into the pool. */
static enum status fill_empty(struct lfsx_pool *pool) {
    enum status status = alloc_create(&pool->allocator, &pool->label.geometry);
    if (status != STATUS_OK)
        return status;
    pool->next_dataset = DISK_FIRST_DATASET;
    pool->forest.epoch = 1;
    pool->forest.generation = 1;
    pool->journal_start = (struct journal_position){.sequence = 1};
    struct update_need need = {.nodes = 1, .frees = true};
    os_rwlock_lock_exclusive(&pool->lock);
    status = pool_update_begin(pool, &need);
    if (status == STATUS_OK) {
        btree_create(&pool->catalog, &pool->forest, DISK_OWNER_CATALOG);
        pool_update_end(pool);
    }
    os_rwlock_unlock_exclusive(&pool->lock);
    if (status != STATUS_OK)
        alloc_destroy(&pool->allocator);
    return status;
}

static enum status create_volumes(struct lfsx_pool *pool,
                                  const struct lfsx_format_options *options) {
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < options->volume_count; i++)
        status = lfsx_volume_create(pool, options->volumes[i].name, options->volumes[i].size);
    return status;
}

static enum status build(struct blockdev *device, const struct label *label,
                         const struct lfsx_format_options *options) {
    struct lfsx_pool *pool;
    enum status status = pool_new(device, label, NULL, &pool);
    if (status != STATUS_OK)
        return status;
    status = fill_empty(pool);
    if (status != STATUS_OK) {
        pool_free(pool);
        return status;
    }
    status = create_volumes(pool, options);
    enum status closed = lfsx_pool_close(pool);
    return status == STATUS_OK ? closed : status;
}

enum status lfsx_format(struct blockdev *device, const struct lfsx_format_options *options) {
    enum status status = device->limits.read_only ? STATUS_READ_ONLY : validate(options);
    if (status != STATUS_OK)
        return status;
    struct label label = {.version = DISK_VERSION, .created_ns = os_wall_clock_ns()};
    status = geometry_plan(device->size / LFSX_BLOCK_SIZE, &label.geometry);
    if (status != STATUS_OK)
        return status;
    os_random(label.pool_uuid, sizeof label.pool_uuid);
    os_random(label.device_uuid, sizeof label.device_uuid);
    memcpy(label.text, options->label, strlen(options->label));
    for (unsigned area = 0; status == STATUS_OK && area < 2; area++)
        status = area_clear(device, &label.geometry, area);
    if (status == STATUS_OK)
        status = build(device, &label, options);
    if (status == STATUS_OK)
        status = label_write(device, &label);
    if (status == STATUS_OK)
        status = blockdev_flush(device);
    return status;
}

enum status lfsx_probe(struct blockdev *device, struct lfsx_label *out) {
    struct label label;
    enum status status = label_read(device, &label);
    memset(out, 0, sizeof *out);
    if (status != STATUS_OK && status != STATUS_VERSION && status != STATUS_TOO_SMALL)
        return status;
    memcpy(out->pool_uuid, label.pool_uuid, sizeof out->pool_uuid);
    memcpy(out->label, label.text, sizeof out->label);
    out->version = label.version;
    out->size = label.geometry.device_blocks * LFSX_BLOCK_SIZE;
    return status;
}
