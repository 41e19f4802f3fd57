/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device in memory that knows what a power cut would leave: while it records, it keeps
 * every write since the last flush apart from what is durable, and can tell at any moment what the
 * medium would hold if each of those had reached it in whole, in part, or not at all.
 *
 * Invariant, while recording: content is durable plus all of log, in order.
 */
#ifndef TESTS_STORAGE_LFSX_RAMDISK_H
#define TESTS_STORAGE_LFSX_RAMDISK_H

#include "base/blockdev.h"
#include "base/math.h"
#include "base/os.h"
#include "tests/storage/lfsx/random.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RAMDISK_SECTOR 512u

struct ramdisk_write {
    uint64_t offset, length;
    bool durable; /* it was FUA: a cut cannot undo it */
    unsigned char *data;
};

struct ramdisk {
    struct blockdev device;
    struct os_mutex lock; /* guards everything below */
    unsigned char *content;
    uint64_t reads, writes, flushes;

    bool recording;
    unsigned char *durable;
    struct ramdisk_write *log;
    uint64_t log_count, log_capacity;

    /* After this many more writes and flushes the power is cut: what is left is in `left_over`,
     * and everything after is in vain. 0: never. */
    uint64_t cut_after;
    struct random cut_random;
    unsigned char *left_over;

    uint64_t fail_write_after; /* this many more writes, then each fails with IO; 0: none does */
    bool failing;
    uint64_t unreadable[2]; /* blocks that cannot be read; 0: none */
    uint64_t errors;        /* reads that failed */
    uint64_t errors_max;    /* the device recovers after so many; 0: never */
};

static inline void ramdisk_log_clear(struct ramdisk *disk) {
    for (uint64_t i = 0; i < disk->log_count; i++)
        free(disk->log[i].data);
    disk->log_count = 0;
}

static inline void ramdisk_log_add(struct ramdisk *disk, const struct block_request *request) {
    if (disk->log_count == disk->log_capacity) {
        disk->log_capacity = 2 * disk->log_capacity + 64;
        disk->log = realloc(disk->log, disk->log_capacity * sizeof *disk->log);
    }
    struct ramdisk_write *write = &disk->log[disk->log_count++];
    *write = (struct ramdisk_write){.offset = request->offset,
                                    .length = request->length,
                                    .durable = (request->flags & BLOCK_FUA) != 0,
                                    .data = malloc(request->length)};
    memcpy(write->data, disk->content + request->offset, request->length);
}

/* What a cut at this moment leaves, into image. */
static inline void ramdisk_leave(const struct ramdisk *disk, struct random *random,
                                 unsigned char *image) {
    memcpy(image, disk->durable, disk->device.size);
    unsigned mood = (unsigned)random_below(random, 4); /* nothing, all, or some of it arrives */
    for (uint64_t i = 0; i < disk->log_count; i++) {
        const struct ramdisk_write *write = &disk->log[i];
        bool torn = mood >= 2 && random_one_in(random, 4);
        bool arrives = write->durable || mood == 1 || (mood >= 2 && random_one_in(random, 2));
        for (uint64_t at = 0; at < write->length; at += RAMDISK_SECTOR) {
            bool sector = torn && !write->durable ? random_one_in(random, 2) : arrives;
            if (sector)
                memcpy(image + write->offset + at, write->data + at, RAMDISK_SECTOR);
        }
    }
}

static inline void ramdisk_count_to_cut(struct ramdisk *disk) {
    if (disk->cut_after == 0 || --disk->cut_after > 0)
        return;
    disk->left_over = malloc(disk->device.size);
    ramdisk_leave(disk, &disk->cut_random, disk->left_over);
}

static inline enum status ramdisk_write(struct ramdisk *disk, struct block_request *request) {
    if (disk->fail_write_after > 0 && --disk->fail_write_after == 0)
        disk->failing = true;
    if (disk->failing)
        return STATUS_IO;
    disk->writes++;
    uint64_t at = request->offset;
    for (uint32_t i = 0; i < request->span_count; i++) {
        memcpy(disk->content + at, request->spans[i].base, request->spans[i].length);
        at += request->spans[i].length;
    }
    if (disk->recording)
        ramdisk_log_add(disk, request);
    ramdisk_count_to_cut(disk);
    return STATUS_OK;
}

static inline enum status ramdisk_flush(struct ramdisk *disk) {
    if (disk->failing)
        return STATUS_IO;
    ramdisk_count_to_cut(disk);
    disk->flushes++;
    for (uint64_t i = 0; i < disk->log_count; i++)
        memcpy(disk->durable + disk->log[i].offset, disk->log[i].data, disk->log[i].length);
    ramdisk_log_clear(disk);
    return STATUS_OK;
}

static inline enum status ramdisk_read(struct ramdisk *disk, struct block_request *request) {
    disk->reads++;
    uint64_t at = request->offset;
    uint64_t length = 0;
    for (uint32_t i = 0; i < request->span_count; i++)
        length += request->spans[i].length;
    for (unsigned i = 0; i < 2; i++) {
        bool bad = disk->unreadable[i] != 0 && disk->unreadable[i] * 4096 < at + length &&
                   at < (disk->unreadable[i] + 1) * 4096;
        if (!bad || (disk->errors_max != 0 && disk->errors == disk->errors_max))
            continue;
        disk->errors++;
        return STATUS_IO;
    }
    for (uint32_t i = 0; i < request->span_count; i++) {
        memcpy(request->spans[i].base, disk->content + at, request->spans[i].length);
        at += request->spans[i].length;
    }
    return STATUS_OK;
}

static inline void ramdisk_submit(struct blockdev *device, struct block_request *request) {
    struct ramdisk *disk = (struct ramdisk *)device;
    os_mutex_lock(&disk->lock);
    request->status = STATUS_OK;
    switch (request->operation) {
    case BLOCK_READ:
        request->status = ramdisk_read(disk, request);
        break;
    case BLOCK_WRITE:
        request->status = ramdisk_write(disk, request);
        break;
    case BLOCK_FLUSH:
        request->status = ramdisk_flush(disk);
        break;
    default: /* a discarded block that is read again is seen */
        memset(disk->content + request->offset, 0xdd, request->length);
        if (disk->recording)
            ramdisk_log_add(disk, request);
        break;
    }
    os_mutex_unlock(&disk->lock);
    request->done(request);
}

/* A device full of something that is not zero. */
static inline struct ramdisk *ramdisk_create(uint64_t bytes) {
    static const struct blockdev_operations operations = {.submit = ramdisk_submit};
    struct ramdisk *disk = calloc(1, sizeof *disk);
    disk->device = (struct blockdev){.operations = &operations,
                                     .name = "ram",
                                     .size = bytes,
                                     .limits = {.block_size = RAMDISK_SECTOR,
                                                .max_transfer = 256u << 10,
                                                .queue_depth = 8,
                                                .max_discard = 1u << 30,
                                                .volatile_cache = true}};
    os_mutex_init(&disk->lock);
    disk->content = malloc(bytes);
    memset(disk->content, 0xa5, bytes);
    return disk;
}

/* A device that holds the image, which is copied. */
static inline struct ramdisk *ramdisk_from(const unsigned char *image, uint64_t bytes) {
    struct ramdisk *disk = ramdisk_create(bytes);
    memcpy(disk->content, image, bytes);
    return disk;
}

static inline void ramdisk_destroy(struct ramdisk *disk) {
    ramdisk_log_clear(disk);
    free(disk->log);
    free(disk->durable);
    free(disk->left_over);
    free(disk->content);
    os_mutex_destroy(&disk->lock);
    free(disk);
}

/* From here on; all that was written so far counts as durable. */
static inline void ramdisk_record(struct ramdisk *disk) {
    disk->durable = malloc(disk->device.size);
    memcpy(disk->durable, disk->content, disk->device.size);
    disk->recording = true;
}

#endif
