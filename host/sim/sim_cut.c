/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts from a disk's record.
 *
 * Invariants:
 * 1. durable holds every write that is durable at `position`, and nothing else.
 * 2. waiting holds, in the order of submission, the other writes submitted before `position`.
 * 3. A write never undoes a later one of the same block: a cache knows the order of what it was
 *    given one after the other.
 */
#include "base/assert.h"
#include "base/math.h"
#include "host/sim/sim_disk.h"

#include <stdlib.h>
#include <string.h>

#define SECTORS (SIM_BLOCK_SIZE / SIM_SECTOR)

void sim_cutter_init(struct sim_cutter *cutter, const struct sim_disk *disk,
                     const struct sim_image *start) {
    *cutter = (struct sim_cutter){.disk = disk};
    sim_image_init(&cutter->durable, start != NULL ? start->blocks : disk->image.blocks);
    if (start != NULL)
        sim_image_copy(&cutter->durable, start);
    cutter->newest = calloc(disk->image.blocks, sizeof *cutter->newest);
    ASSERT(cutter->newest != NULL);
}

void sim_cutter_destroy(struct sim_cutter *cutter) {
    sim_image_destroy(&cutter->durable);
    free(cutter->newest);
    free(cutter->waiting);
}

static void add_waiting(struct sim_cutter *cutter, uint64_t write) {
    if (cutter->waiting_count == cutter->waiting_capacity) {
        cutter->waiting_capacity = 2 * cutter->waiting_capacity + 64;
        cutter->waiting =
            realloc(cutter->waiting, cutter->waiting_capacity * sizeof *cutter->waiting);
        ASSERT(cutter->waiting != NULL);
    }
    cutter->waiting[cutter->waiting_count++] = write;
}

static void make_durable(struct sim_cutter *cutter, uint64_t index) {
    const struct sim_write *write = &cutter->disk->writes[index];
    for (uint64_t i = 0; i < write->count; i++) {
        if (cutter->newest[write->block + i] > index + 1)
            continue;
        cutter->durable.pages[write->block + i] = write->pages[i];
        cutter->newest[write->block + i] = index + 1;
    }
}

/* Makes durable what `is` says, keeps the rest waiting. */
static void settle(struct sim_cutter *cutter, uint64_t flush, uint64_t only) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < cutter->waiting_count; i++) {
        uint64_t write = cutter->waiting[i];
        bool durable = write == only || cutter->disk->writes[write].done < flush;
        if (durable)
            make_durable(cutter, write);
        else
            cutter->waiting[kept++] = write;
    }
    cutter->waiting_count = kept;
}

void sim_cutter_advance(struct sim_cutter *cutter, uint64_t position) {
    const struct sim_disk *disk = cutter->disk;
    ASSERT(position >= cutter->position && position <= disk->event_count);
    for (; cutter->position < position; cutter->position++) {
        const struct sim_event *event = &disk->events[cutter->position];
        if (event->kind == SIM_EVENT_WRITE)
            add_waiting(cutter, event->write);
        else if (event->kind == SIM_EVENT_FLUSH_DONE)
            settle(cutter, event->write, UINT64_MAX);
        else if (event->kind == SIM_EVENT_WRITE_DONE && disk->writes[event->write].fua)
            settle(cutter, 0, event->write);
        else if (event->kind == SIM_EVENT_GROWN)
            sim_image_grow(&cutter->durable, event->write);
    }
}

bool sim_cutter_matters(const struct sim_disk *disk, uint64_t position) {
    if (position == disk->event_count)
        return true;
    const struct sim_event *event = &disk->events[position];
    return event->kind == SIM_EVENT_WRITE || event->kind == SIM_EVENT_FLUSH_DONE ||
           (event->kind == SIM_EVENT_WRITE_DONE && disk->writes[event->write].fua);
}

/* The page with some sectors of the new one over the old one. */
static const unsigned char *tear(const unsigned char *old, const unsigned char *new,
                                 uint64_t sectors) {
    if (sectors == 0)
        return old;
    if (sectors == (1u << SECTORS) - 1)
        return new;
    unsigned char *page = sim_store_page();
    for (unsigned i = 0; i < SECTORS; i++)
        memcpy(page + i * SIM_SECTOR, (sectors >> i & 1 ? new : old) + i * SIM_SECTOR, SIM_SECTOR);
    return page;
}

/* Which sectors of the write's i-th block arrive; `begun` is how many of all its sectors do. */
static uint64_t sectors_of(enum sim_fate fate, uint64_t i, uint64_t begun,
                           struct sim_random *random) {
    const uint64_t all = (1u << SECTORS) - 1;
    if (fate == SIM_FATE_WRITTEN)
        return all;
    if (fate == SIM_FATE_BEGUN)
        return begun <= i * SECTORS             ? 0
               : begun - i * SECTORS >= SECTORS ? all
                                                : (1u << (begun - i * SECTORS)) - 1;
    return sim_random_next(random) & all;
}

void sim_cutter_cut(const struct sim_cutter *cutter, const enum sim_fate *fates,
                    struct sim_random *random, struct sim_image *image) {
    sim_image_copy(image, &cutter->durable);
    for (uint64_t i = 0; i < cutter->waiting_count; i++) {
        if (fates[i] == SIM_FATE_LOST)
            continue;
        uint64_t index = cutter->waiting[i];
        const struct sim_write *write = &cutter->disk->writes[index];
        uint64_t begun =
            fates[i] == SIM_FATE_BEGUN ? sim_random_below(random, write->count * SECTORS) : 0;
        for (uint64_t j = 0; j < write->count; j++) {
            uint64_t block = write->block + j;
            if (cutter->newest[block] > index + 1)
                continue;
            image->pages[block] =
                tear(image->pages[block], write->pages[j], sectors_of(fates[i], j, begun, random));
        }
    }
}
