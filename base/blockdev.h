/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of a block device: what a driver publishes and what storage uses. Everything is
 * asynchronous with a completion; the helpers at the end wait for it.
 *
 * Ordering: requests in flight together complete, and reach the medium, in any order. FLUSH makes
 * durable every write whose `done` was called before the flush was submitted. A write whose request
 * carries BLOCK_FUA is durable when its `done` is called with STATUS_OK.
 */
#ifndef BASE_BLOCKDEV_H
#define BASE_BLOCKDEV_H

#include "base/list.h"
#include "base/span.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum block_operation {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,   /* no range */
    BLOCK_DISCARD, /* the range's content is no longer needed; reads give anything after */
    BLOCK_OPERATION_COUNT
};

#define BLOCK_FUA 1u /* with BLOCK_WRITE: durable at completion */

struct block_request;

/* Called once per submitted request, in any context including interrupt: must not sleep, may signal
 * an os_completion and submit no more than it must. The request may be freed inside. */
typedef void block_done(struct block_request *request);

/* Owned by the submitter, lent to the device from submit to done. */
struct block_request {
    enum block_operation operation;
    uint32_t flags;     /* BLOCK_FUA */
    uint64_t offset;    /* bytes, multiple of limits.block_size */
    uint64_t length;    /* bytes, multiple of limits.block_size; the sum of the spans for data */
    struct span *spans; /* os_page_alloc memory; each base page-aligned, and each length but the
                           last's a multiple of OS_PAGE_SIZE; not changed by the device */
    uint32_t span_count;
    bool waits; /* a hint: the submitter only waits, so it may be done in this thread */
    block_done *done;
    void *context;         /* the submitter's */
    enum status status;    /* set before done */
    struct list_node link; /* the device's while it holds the request */
    uint64_t device[4];    /* the device's while it holds the request */
};

struct blockdev_limits {
    uint32_t block_size; /* bytes, a power of two: smallest unit of a request */
    uint32_t
        max_transfer; /* bytes of one read or write the device takes; a multiple of the page size */
    uint32_t queue_depth; /* requests that can usefully be in flight */
    uint64_t max_discard; /* bytes of one discard; 0: the device has none (then UNSUPPORTED) */
    bool volatile_cache;  /* writes need a flush to be durable */
    bool read_only;
};

struct blockdev;

struct blockdev_operations {
    /* Takes a request that blockdev_submit() validated. Thread context; may sleep while a queue is
     * full. Always ends in done(), also for errors. */
    void (*submit)(struct blockdev *device, struct block_request *request);
    /* Releases the device; no request is in flight. NULL if there is nothing to release. */
    void (*close)(struct blockdev *device);
    /* The size in bytes that the device has now, as `size` below; 0 if it cannot be told. May
     * sleep. NULL if a device of this kind keeps its size. */
    uint64_t (*measure)(struct blockdev *device);
};

/* Embedded by the driver in its own structure. Constant after publication but for driver data and
 * the size, which may rise. */
struct blockdev {
    const struct blockdev_operations *operations;
    char name[32];   /* "nvme0n1", or the path's last part on Linux */
    char model[48];  /* for people; may be empty */
    char serial[32]; /* for people; may be empty */
    uint64_t size;   /* bytes, a multiple of limits.block_size */
    struct blockdev_limits limits;
};

/*
 * Validates and submits. A request outside of the device, unaligned, larger than the limits or of
 * an operation that the device lacks completes at once with OUT_OF_RANGE, UNALIGNED, INVALID,
 * UNSUPPORTED or READ_ONLY and never reaches the driver. A FLUSH of a device without a volatile
 * cache still reaches it.
 */
void blockdev_submit(struct blockdev *device, struct block_request *request);

/* Blocking helpers. Buffers are os_page_alloc memory; any length that is a multiple of the block
 * size (longer ones are split at max_transfer). The status is the first error. */
enum status blockdev_read(struct blockdev *device, uint64_t offset, void *buffer, uint64_t length);
enum status blockdev_write(struct blockdev *device, uint64_t offset, const void *buffer,
                           uint64_t length, uint32_t flags);
enum status blockdev_flush(struct blockdev *device);
/* UNSUPPORTED if the device has no discard. */
enum status blockdev_discard(struct blockdev *device, uint64_t offset, uint64_t length);

/* Brings `size` up to date if the device has become larger. What one thread at a time calls; others
 * may use the device meanwhile. */
void blockdev_measure(struct blockdev *device);

/* Calls operations->close if there is one. */
void blockdev_close(struct blockdev *device);

#endif
