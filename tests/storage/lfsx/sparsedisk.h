/* SPDX-License-Identifier: Apache-2.0 */
/* A large device in memory that takes no more than what was written to it; the rest is zeros. */
#ifndef TESTS_STORAGE_LFSX_SPARSEDISK_H
#define TESTS_STORAGE_LFSX_SPARSEDISK_H

#include "base/blockdev.h"
#include "base/math.h"
#include "base/os.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SPARSEDISK_PAGE 4096u
#define SPARSEDISK_GROUP 256u /* pages */

struct sparsedisk {
    struct blockdev device;
    struct os_mutex lock;    /* guards everything below */
    unsigned char ***groups; /* of pages; NULL where nothing was written */
    uint64_t group_count;
    uint64_t pages; /* that were written */
};

/* NULL: it was never written. */
static inline unsigned char *sparsedisk_page(const struct sparsedisk *disk, uint64_t page) {
    unsigned char **group = disk->groups[page / SPARSEDISK_GROUP];
    return group == NULL ? NULL : group[page % SPARSEDISK_GROUP];
}

static inline unsigned char *sparsedisk_page_for_writing(struct sparsedisk *disk, uint64_t page) {
    unsigned char ***group = &disk->groups[page / SPARSEDISK_GROUP];
    if (*group == NULL)
        *group = calloc(SPARSEDISK_GROUP, sizeof **group);
    unsigned char **place = &(*group)[page % SPARSEDISK_GROUP];
    if (*place == NULL) {
        *place = calloc(1, SPARSEDISK_PAGE);
        disk->pages++;
    }
    return *place;
}

/* Inside of one page. */
static inline void sparsedisk_copy(struct sparsedisk *disk, bool write, uint64_t offset,
                                   unsigned char *memory, uint64_t length) {
    uint64_t page = offset / SPARSEDISK_PAGE;
    if (write) {
        memcpy(sparsedisk_page_for_writing(disk, page) + offset % SPARSEDISK_PAGE, memory, length);
        return;
    }
    const unsigned char *from = sparsedisk_page(disk, page);
    if (from == NULL)
        memset(memory, 0, length);
    else
        memcpy(memory, from + offset % SPARSEDISK_PAGE, length);
}

static inline void sparsedisk_submit(struct blockdev *device, struct block_request *request) {
    struct sparsedisk *disk = (struct sparsedisk *)device;
    bool write = request->operation == BLOCK_WRITE;
    uint64_t at = request->offset;
    os_mutex_lock(&disk->lock);
    for (uint32_t i = 0; i < request->span_count && request->operation != BLOCK_FLUSH; i++) {
        unsigned char *memory = request->spans[i].base;
        for (uint64_t done = 0; done < request->spans[i].length;) {
            uint64_t length =
                MATH_MIN(request->spans[i].length - done, SPARSEDISK_PAGE - at % SPARSEDISK_PAGE);
            sparsedisk_copy(disk, write, at, memory + done, length);
            done += length;
            at += length;
        }
    }
    os_mutex_unlock(&disk->lock);
    request->status = STATUS_OK;
    request->done(request);
}

/* `bytes` is a multiple of SPARSEDISK_PAGE. */
static inline struct sparsedisk *sparsedisk_create(uint64_t bytes) {
    static const struct blockdev_operations operations = {.submit = sparsedisk_submit};
    struct sparsedisk *disk = calloc(1, sizeof *disk);
    disk->device = (struct blockdev){
        .operations = &operations,
        .name = "sparse",
        .size = bytes,
        .limits = {.block_size = 512, .max_transfer = 1u << 20, .queue_depth = 8}};
    disk->group_count = math_divide_up(bytes / SPARSEDISK_PAGE, SPARSEDISK_GROUP);
    disk->groups = calloc(disk->group_count, sizeof *disk->groups);
    os_mutex_init(&disk->lock);
    return disk;
}

static inline void sparsedisk_destroy(struct sparsedisk *disk) {
    for (uint64_t i = 0; i < disk->group_count; i++) {
        for (unsigned j = 0; disk->groups[i] != NULL && j < SPARSEDISK_GROUP; j++)
            free(disk->groups[i][j]);
        free(disk->groups[i]);
    }
    free(disk->groups);
    os_mutex_destroy(&disk->lock);
    free(disk);
}

#endif
