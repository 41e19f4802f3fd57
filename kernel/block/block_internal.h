/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block layer's own structures.
 *
 * A request of a submitter is cut into pieces that the driver takes. Each piece is a struct
 * block_part from the disk's reserve; the request counts its outstanding pieces and finishes with
 * the last. A part waits in `pending` while the driver has its fill; a carrier is a part that takes
 * several adjacent waiting ones to the driver at once.
 *
 * Invariants:
 * - A part is free, pending, with the driver, or a member of a carrier that is with the driver.
 * - The request's memory is not touched after its last piece's part was given back and done called.
 * - The number of parts with the driver (members not counted) is `in_flight`, at most `depth`.
 */
#ifndef KERNEL_BLOCK_BLOCK_INTERNAL_H
#define KERNEL_BLOCK_BLOCK_INTERNAL_H

#include "base/list.h"
#include "base/os.h"
#include "kernel/block/block.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/sched/event.h"

#define BLOCK_ROOM "block"
#define BLOCK_PART_SPANS 16u
#define BLOCK_SLOW_NS 2000000000ull  /* a finished request that took longer is logged */
#define BLOCK_STUCK_NS 3000000000ull /* a piece that is with the driver for longer is logged */
#define BLOCK_LOG_LINES_PER_SECOND 8u

/* How a submitter's request uses block_request.device[]. */
enum block_word {
    BLOCK_WORD_OUTSTANDING, /* atomic: pieces, plus one while they are being cut */
    BLOCK_WORD_STATUS,      /* atomic: the first error */
    BLOCK_WORD_START,       /* os_now_ns() at submission */
    BLOCK_WORD_VIEW,        /* struct block_view */
};

struct block_part {
    struct block_request request; /* the driver's, while it has it */
    struct block_disk *disk;
    struct block_request *parent; /* the submitter's; NULL: a carrier */
    struct list_node link;        /* free, pending, or the carrier's members */
    struct list_node members;     /* of a carrier */
    uint64_t started_ns;          /* of the (oldest) request */
    uint8_t attempts;
    bool with_driver;
    bool alone;    /* was in a carrier that failed: not merged again */
    bool reported; /* as stuck */
    struct span spans[BLOCK_PART_SPANS];
};

struct block_fault_node {
    struct block_fault fault; /* offset on the disk */
    struct list_node link;
};

/* Lock order: `lock` is innermost but for what event_signal takes. */
struct block_disk {
    struct blockdev *driver; /* constant, as all down to `lock` */
    uint32_t depth;
    uint32_t part_count;
    struct block_part *parts;
    struct os_thread *thread;
    struct event work; /* wakes the dispatcher */
    struct event room; /* a part got free and somebody waits for one */

    struct spinlock lock; /* guards all down to `faults` */
    struct list_node free;
    struct list_node pending;
    uint32_t waiters;
    uint32_t in_flight;
    struct list_node faults;

    bool has_faults;         /* atomic: `faults` is not empty */
    bool has_partitions;     /* atomic */
    uint32_t log_budget;     /* atomic */
    uint64_t pieces, merged; /* atomic, these and below */
    uint64_t retries, recovered, slow;
};

/* A device that storage sees: a disk or a partition. */
struct block_view {
    struct blockdev device;
    struct block_disk *disk;
    uint64_t start; /* bytes on the disk */
    struct list_node link;
    struct block_operation_statistics operations[BLOCK_OPERATION_COUNT]; /* atomic counters */
};

static inline void block_count(uint64_t *counter, uint64_t add) {
    __atomic_fetch_add(counter, add, __ATOMIC_RELAXED);
}

/* True if one more line may be logged for this disk in this second. */
bool block_may_log(struct block_disk *disk);

/* block.c */
struct block_view *block_view_of(struct blockdev *device);
extern const struct blockdev_operations block_operations;

/* block_request.c: cuts a request into parts and starts them. */
void block_submit(struct blockdev *device, struct block_request *request);
/* Records a piece's end; finishes the request with the last. Any context. */
void block_piece_ended(struct block_request *request, enum status status);

/* block_dispatch.c */
enum status block_dispatch_create(struct block_disk *disk);
void block_dispatch_destroy(struct block_disk *disk);
/* Takes a part from the reserve; sleeps while there is none. */
struct block_part *block_part_take(struct block_disk *disk);
/* Sends a filled part to the driver, or queues it. */
void block_part_start(struct block_part *part);

/* block_fault.c: what the piece shall fail with; OK: nothing. */
enum status block_fault_match(struct block_disk *disk, const struct block_request *request);

/* block_statistics.c */
const char *block_operation_name(enum block_operation operation);
void block_statistics_record(struct block_view *view, const struct block_request *request,
                             enum status status, uint64_t latency_ns);

#endif
