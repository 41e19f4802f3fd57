/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. A page that an image or a record names is never changed again.
 * 2. A write is seen by reads from its submission on; nobody may count on it before its answer.
 * 3. A read returns what is there at its submission, or at its answer: drawn.
 */
#include "host/sim/sim_disk.h"
#include "base/assert.h"
#include "base/math.h"
#include "host/sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

void sim_image_init(struct sim_image *image, uint64_t blocks) {
    *image = (struct sim_image){0};
    sim_image_grow(image, blocks);
}

static void need_room(struct sim_image *image, uint64_t blocks) {
    if (blocks <= image->capacity)
        return;
    image->capacity = blocks;
    image->pages = realloc(image->pages, blocks * sizeof *image->pages);
    ASSERT(image->pages != NULL);
}

void sim_image_grow(struct sim_image *image, uint64_t blocks) {
    need_room(image, blocks);
    for (; image->blocks < blocks; image->blocks++)
        image->pages[image->blocks] = sim_store_junk();
}

void sim_image_copy(struct sim_image *to, const struct sim_image *from) {
    need_room(to, from->blocks);
    to->blocks = from->blocks;
    memcpy(to->pages, from->pages, from->blocks * sizeof *from->pages);
}

void sim_image_destroy(struct sim_image *image) {
    free(image->pages);
    image->pages = NULL;
}

void sim_image_flip(struct sim_image *image, uint64_t bit) {
    uint64_t block = bit / 8 / SIM_BLOCK_SIZE;
    ASSERT(block < image->blocks);
    unsigned char *page = sim_store_page();
    memcpy(page, image->pages[block], SIM_BLOCK_SIZE);
    page[bit / 8 % SIM_BLOCK_SIZE] ^= (unsigned char)(1u << bit % 8);
    image->pages[block] = page;
}

static uint64_t record(struct sim_disk *disk, enum sim_event_kind kind, uint64_t write) {
    if (!disk->recording)
        return 0;
    if (disk->event_count == disk->event_capacity) {
        disk->event_capacity = 2 * disk->event_capacity + 256;
        disk->events = realloc(disk->events, disk->event_capacity * sizeof *disk->events);
        ASSERT(disk->events != NULL);
    }
    disk->events[disk->event_count] = (struct sim_event){kind, write};
    return disk->event_count++;
}

/* Copies what the request carries into pages of the store. */
static void copy_in(const struct block_request *request, const unsigned char **pages) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < request->span_count; i++) {
        ASSERT(request->spans[i].length % SIM_BLOCK_SIZE == 0);
        for (uint64_t from = 0; from < request->spans[i].length; from += SIM_BLOCK_SIZE) {
            unsigned char *page = sim_store_page();
            memcpy(page, (const char *)request->spans[i].base + from, SIM_BLOCK_SIZE);
            pages[at++] = page;
        }
    }
}

/* Returns the write's index in the record. */
static uint64_t do_write(struct sim_disk *disk, const struct block_request *request) {
    uint64_t block = request->offset / SIM_BLOCK_SIZE;
    uint64_t count = request->length / SIM_BLOCK_SIZE;
    uint64_t number = disk->all_writes++;
    if (number == disk->faults.misdirect_at)
        block = MATH_MIN(disk->faults.misdirect_to, disk->image.blocks - count);
    const unsigned char **pages = malloc(count * sizeof *pages);
    ASSERT(pages != NULL);
    if (request->operation == BLOCK_WRITE)
        copy_in(request, pages);
    else
        for (uint64_t i = 0; i < count; i++)
            pages[i] = sim_store_junk();
    if (number != disk->faults.lose_at)
        memcpy(disk->image.pages + block, pages, count * sizeof *pages);
    if (!disk->recording) {
        free(pages);
        return 0;
    }
    if (disk->write_count == disk->write_capacity) {
        disk->write_capacity = 2 * disk->write_capacity + 256;
        disk->writes = realloc(disk->writes, disk->write_capacity * sizeof *disk->writes);
        ASSERT(disk->writes != NULL);
    }
    uint64_t index = disk->write_count++;
    disk->writes[index] = (struct sim_write){.block = block,
                                             .count = count,
                                             .pages = pages,
                                             .fua = (request->flags & BLOCK_FUA) != 0,
                                             .done = UINT64_MAX};
    disk->writes[index].submitted = record(disk, SIM_EVENT_WRITE, index);
    return index;
}

static void do_read(struct sim_disk *disk, const struct block_request *request) {
    uint64_t block = request->offset / SIM_BLOCK_SIZE;
    uint64_t number = disk->all_reads++;
    if (number == disk->faults.rot_at)
        sim_image_flip(&disk->image, disk->faults.rot_bit);
    if (number == disk->faults.misread_at)
        block = MATH_MIN(disk->faults.misread_from,
                         disk->image.blocks - request->length / SIM_BLOCK_SIZE);
    if (disk->looked_at != NULL)
        memset(disk->looked_at + block, 1, request->length / SIM_BLOCK_SIZE);
    for (uint32_t i = 0; i < request->span_count; i++)
        for (uint64_t to = 0; to < request->spans[i].length; to += SIM_BLOCK_SIZE)
            memcpy((char *)request->spans[i].base + to, disk->image.pages[block++], SIM_BLOCK_SIZE);
}

static void answer(void *argument) {
    struct block_request *request = argument;
    struct sim_disk *disk = (struct sim_disk *)(uintptr_t)request->device[0];
    uint64_t write = request->device[1];
    if (request->device[2] != 0)
        do_read(disk, request);
    if (request->status == STATUS_OK && disk->recording) {
        if (request->operation == BLOCK_FLUSH)
            record(disk, SIM_EVENT_FLUSH_DONE, write);
        else if (request->operation != BLOCK_READ)
            disk->writes[write].done = record(disk, SIM_EVENT_WRITE_DONE, write);
    }
    request->done(request);
}

/* Whether the request is for what cannot be read; who writes there mends it. */
static bool is_bad(struct sim_disk *disk, const struct block_request *request) {
    uint64_t first = request->offset / SIM_BLOCK_SIZE;
    bool meets = request->operation != BLOCK_FLUSH && first < disk->bad + disk->bad_count &&
                 disk->bad < first + request->length / SIM_BLOCK_SIZE;
    if (meets && request->operation != BLOCK_READ)
        disk->bad_count = 0;
    return meets && request->operation == BLOCK_READ;
}

static bool should_fail(struct sim_disk *disk, const struct block_request *request) {
    if (is_bad(disk, request))
        return true;
    if (!(disk->faults.fail_kinds & 1u << request->operation))
        return false;
    uint64_t number = disk->requests++;
    bool first = number == disk->faults.fail_at;
    bool fails = first || (disk->faults.fail_forever && number > disk->faults.fail_at);
    if (first && disk->faults.fail_there) {
        disk->bad = request->offset / SIM_BLOCK_SIZE;
        disk->bad_count = request->length / SIM_BLOCK_SIZE;
    }
    disk->failed |= fails;
    disk->failed_too |= number == disk->faults.fail_too;
    return fails || number == disk->faults.fail_too;
}

static void disk_submit(struct blockdev *device, struct block_request *request) {
    struct sim_disk *disk = LIST_CONTAINER(device, struct sim_disk, device);
    ASSERT(request->offset % SIM_BLOCK_SIZE == 0 && request->length % SIM_BLOCK_SIZE == 0);
    bool late = disk->delays.usual_ns > 0 && request->operation == BLOCK_READ &&
                sim_random_one_in(sim_world_random(), 2);
    request->device[0] = (uintptr_t)disk;
    request->device[2] = 0;
    request->status = STATUS_OK;
    if (should_fail(disk, request))
        request->status = STATUS_IO;
    else if (late)
        request->device[2] = 1;
    else if (request->operation == BLOCK_READ)
        do_read(disk, request);
    else if (request->operation == BLOCK_FLUSH)
        request->device[1] = record(disk, SIM_EVENT_FLUSH, 0);
    else
        request->device[1] = do_write(disk, request);
    const struct sim_delays *delays = &disk->delays;
    if (delays->usual_ns == 0) {
        answer(request);
        return;
    }
    struct sim_random *random = sim_world_random();
    bool here =
        delays->stall_end == SIM_NEVER ||
        (request->operation != BLOCK_FLUSH && request->offset / SIM_BLOCK_SIZE < delays->stall_end);
    bool stalls =
        here && delays->stall_one_in > 0 && sim_random_one_in(random, delays->stall_one_in);
    uint64_t delay = stalls ? delays->stall_ns : delays->usual_ns;
    sim_after(1 + sim_random_below(random, delay), answer, request);
}

static uint64_t disk_measure(struct blockdev *device) {
    return LIST_CONTAINER(device, struct sim_disk, device)->image.blocks * SIM_BLOCK_SIZE;
}

void sim_disk_grow(struct sim_disk *disk, uint64_t blocks) {
    ASSERT(blocks >= disk->image.blocks);
    sim_image_grow(&disk->image, blocks);
    record(disk, SIM_EVENT_GROWN, blocks);
}

void sim_disk_init(struct sim_disk *disk, uint64_t blocks, const struct sim_image *image) {
    static const struct blockdev_operations operations = {.submit = disk_submit,
                                                          .measure = disk_measure};
    *disk = (struct sim_disk){.device = {.operations = &operations,
                                         .name = "sim",
                                         .size = blocks * SIM_BLOCK_SIZE,
                                         .limits = {.block_size = SIM_SECTOR,
                                                    .max_transfer = 128u << 10,
                                                    .queue_depth = 32,
                                                    .max_discard = 1u << 30,
                                                    .volatile_cache = true}},
                              .faults = SIM_NO_FAULTS};
    sim_image_init(&disk->image, blocks);
    if (image != NULL)
        sim_image_copy(&disk->image, image);
}

void sim_disk_destroy(struct sim_disk *disk) {
    for (uint64_t i = 0; i < disk->write_count; i++)
        free(disk->writes[i].pages);
    free(disk->writes);
    free(disk->events);
    sim_image_destroy(&disk->image);
}
