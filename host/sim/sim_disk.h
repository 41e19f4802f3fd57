/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of a simulated world: blocks in memory, behind a write cache that a power cut empties in
 * any way that base/blockdev.h allows, and with faults to order.
 *
 * A recording disk writes down what it was asked and when it answered, together with marks of its
 * user. From that record a cutter tells, for every moment, what was durable and what was on its
 * way, and makes an image of the medium for each choice among the latter. So one run gives as many
 * power cuts as there are moments and choices.
 *
 * Requests are multiples of SIM_BLOCK_SIZE: what LFSX sends. Tearing is by SIM_SECTOR.
 */
#ifndef HOST_SIM_SIM_DISK_H
#define HOST_SIM_SIM_DISK_H

#include "base/blockdev.h"
#include "host/sim/sim.h"

#define SIM_BLOCK_SIZE 4096u
#define SIM_SECTOR 512u

/* ---- pages that outlive worlds ---- */

unsigned char *sim_store_page(void);
uint64_t sim_store_mark(void);
/* All pages given out since the mark are gone. */
void sim_store_release(uint64_t mark);
/* What a block holds that was never written, or discarded. */
const unsigned char *sim_store_junk(void);

/* ---- images: what a medium holds ---- */

struct sim_image {
    uint64_t blocks, capacity;
    const unsigned char **pages; /* never NULL; in the store, or sim_store_junk() */
};
void sim_image_init(struct sim_image *image, uint64_t blocks);
/* `to` gets as many blocks as `from` has. */
void sim_image_copy(struct sim_image *to, const struct sim_image *from);
/* More blocks, with junk in them. */
void sim_image_grow(struct sim_image *image, uint64_t blocks);
void sim_image_destroy(struct sim_image *image);
/* Flips a bit, counted from the medium's start. */
void sim_image_flip(struct sim_image *image, uint64_t bit);

/* ---- disks ---- */

enum sim_event_kind {
    SIM_EVENT_WRITE,      /* submitted; also a discard */
    SIM_EVENT_WRITE_DONE, /* `write` was acknowledged */
    SIM_EVENT_FLUSH,
    SIM_EVENT_FLUSH_DONE, /* `write` is the number of the event FLUSH */
    SIM_EVENT_GROWN,      /* the disk; `write` is how many blocks it has */
};

struct sim_event {
    enum sim_event_kind kind;
    uint64_t write; /* index in writes */
};

struct sim_write {
    uint64_t block, count;
    const unsigned char **pages; /* count of them; sim_store_junk() for a discard */
    bool fua;
    uint64_t submitted, done; /* numbers of events; UINT64_MAX: not yet */
};

/* Requests of the kinds in fail_kinds are counted together; reads and writes also each for
 * themselves; all from 0. SIM_NEVER: not at all. */
struct sim_faults {
    uint32_t fail_kinds;                 /* bits 1 << enum block_operation */
    uint64_t fail_at;                    /* this request fails with IO, */
    uint64_t fail_too;                   /* and this one, */
    bool fail_forever;                   /* and all behind fail_at, */
    bool fail_there;                     /* and all reads of its place before that is written */
    uint64_t lose_at;                    /* this write is acknowledged and not done */
    uint64_t misdirect_at, misdirect_to; /* this write goes to that block instead */
    uint64_t misread_at, misread_from;   /* this read returns what that block holds */
    uint64_t rot_at, rot_bit; /* before this read a bit of the medium flips: counted from its start
                               */
};
#define SIM_NO_FAULTS                                                                              \
    (struct sim_faults) {                                                                          \
        .fail_at = SIM_NEVER, .fail_too = SIM_NEVER, .lose_at = SIM_NEVER,                         \
        .misdirect_at = SIM_NEVER, .misread_at = SIM_NEVER, .rot_at = SIM_NEVER                    \
    }

/* How long requests take: up to `usual`, and once in `stall_one_in` times up to `stall`; those for
 * a place on the disk only before the block `stall_end`. */
struct sim_delays {
    uint64_t usual_ns, stall_ns, stall_one_in, stall_end;
};

struct sim_disk {
    struct blockdev device;
    struct sim_image image; /* what a read returns now */
    struct sim_faults faults;
    struct sim_delays delays; /* answers come later, in any order; all zero: at once */
    unsigned char *looked_at; /* NULL, or for each block: whether it was read */
    bool recording;           /* into the two arrays */
    struct sim_event *events;
    uint64_t event_count, event_capacity;
    struct sim_write *writes;
    uint64_t write_count, write_capacity;
    uint64_t requests, all_writes, all_reads; /* counted for faults */
    bool failed;                              /* fail_at came */
    bool failed_too;                          /* fail_too came */
    uint64_t bad, bad_count;                  /* blocks that cannot be read: faults.fail_there */
};

/* A disk with the image's content, or junk if it is NULL. Outside of worlds or inside. */
void sim_disk_init(struct sim_disk *disk, uint64_t blocks, const struct sim_image *image);
void sim_disk_destroy(struct sim_disk *disk);
/* It has more blocks from now on: whoever measures the device sees them. */
void sim_disk_grow(struct sim_disk *disk, uint64_t blocks);

/* ---- power cuts ---- */

struct sim_cutter {
    const struct sim_disk *disk;
    struct sim_image durable;
    uint64_t *newest;  /* for each block: 1 + the durable write that it holds; 0: the start's */
    uint64_t position; /* events looked at */
    uint64_t *waiting; /* writes that a cut may lose, in order */
    uint64_t waiting_count, waiting_capacity;
};

/* Starts before the record's first event. `start` is what the disk began with. */
void sim_cutter_init(struct sim_cutter *cutter, const struct sim_disk *disk,
                     const struct sim_image *start);
void sim_cutter_destroy(struct sim_cutter *cutter);
/* Goes to the moment just before event number `position`, which is not earlier than the last. */
void sim_cutter_advance(struct sim_cutter *cutter, uint64_t position);
/* Whether a cut before this event can leave something else than one before the next. */
bool sim_cutter_matters(const struct sim_disk *disk, uint64_t position);

enum sim_fate {
    SIM_FATE_LOST,
    SIM_FATE_WRITTEN,
    SIM_FATE_TORN,  /* some sectors, drawn */
    SIM_FATE_BEGUN, /* the first sectors, drawn how many */
};
/* Makes the image that a cut leaves, each waiting write having its fate. Pages come from the store.
 */
void sim_cutter_cut(const struct sim_cutter *cutter, const enum sim_fate *fates,
                    struct sim_random *random, struct sim_image *image);

#endif
