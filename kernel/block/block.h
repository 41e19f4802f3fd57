/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block layer: what stands between a driver's block devices (kernel/device.h) and storage.
 *
 * It takes requests larger than the hardware does and of any discard length, merges neighbours that
 * wait for a busy device, retries failed reads, measures, reports what is slow, reads GPT partition
 * tables, and injects faults for tests. Its devices are `struct blockdev` like the drivers' and
 * keep the same rules; a partition is a device of its own.
 *
 * Nothing here allocates per request: pieces come from a reserve that is made at attach and is
 * large enough to keep the device busy; a submitter sleeps while it is used up.
 *
 * Errors: a read that failed with IO is tried BLOCK_READ_ATTEMPTS times in all. A failed write,
 * flush or discard is never tried again: it fails, and its range's content is unknown. A flush that
 * follows it says nothing about it.
 */
#ifndef KERNEL_BLOCK_BLOCK_H
#define KERNEL_BLOCK_BLOCK_H

#include "base/blockdev.h"

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_READ_ATTEMPTS 3u
#define BLOCK_MAX_TRANSFER (32u << 20) /* bytes of one read or write, whatever the driver takes */

/* Attaches every published device and reads its partition table. Once, at boot, thread context.
 * A device that cannot be attached is logged and left out. */
void block_start(void);

/* Wraps one driver's device; *device is the whole disk. Thread context. NO_MEMORY, UNSUPPORTED
 * (blocks larger than 64 KiB). */
enum status block_attach(struct blockdev *driver, struct blockdev **device);

/* Reads the GPT of a disk that block_attach gave and adds its partitions as devices: "nvme0n1p1".
 * *count is how many. NOT_FOUND (no partition table), CORRUPT (neither copy is sound), IO,
 * NO_MEMORY. Thread context. */
enum status block_add_partitions(struct blockdev *disk, uint32_t *count);

/* The index-th device, a disk before its partitions; NULL beyond the last. Any thread. */
struct blockdev *block_device(uint32_t index);
/* By name; NULL if there is none. Any thread. */
struct blockdev *block_find(const char *name);

/* True if the disk has partitions, so that writing to the whole of it would destroy them. */
bool block_has_partitions(const struct blockdev *device);

/* ---- statistics ---- */

#define BLOCK_HISTOGRAM_BUCKETS 32u

struct block_operation_statistics {
    uint64_t requests; /* finished */
    uint64_t bytes;    /* of those that succeeded */
    uint64_t errors;
    uint64_t latency_sum_ns;
    uint64_t latency_max_ns;
    /* Bucket i counts latencies below 2^i us that are in no lower one; the last has all others. */
    uint64_t histogram[BLOCK_HISTOGRAM_BUCKETS];
};

struct block_statistics {
    struct block_operation_statistics operations[BLOCK_OPERATION_COUNT];
    /* Of the whole disk, also when a partition is asked: */
    uint64_t pieces;    /* requests sent to the driver */
    uint64_t merged;    /* pieces that travelled in another's request */
    uint64_t retries;   /* reads sent again */
    uint64_t recovered; /* reads that succeeded when sent again */
    uint64_t slow;      /* requests that took longer than 2 s */
    uint32_t in_flight; /* pieces with the driver */
};

/* Counters since attach. Any context. */
void block_statistics(const struct blockdev *device, struct block_statistics *statistics);
/* Writes the statistics of every device to the log. Thread context. */
void block_print(void);

/* ---- faults for tests ---- */

struct block_fault {
    enum block_operation operation;
    uint64_t offset; /* bytes; a piece that touches the range fails (a flush has no range) */
    uint64_t length;
    enum status status; /* what it fails with; not OK */
    uint32_t after;     /* so many matching pieces pass first */
    uint32_t count;     /* so many fail, then the fault is used up; 0: all from then on */
};

/* Adds a fault; several may be active. Pieces fail without reaching the driver. Thread context.
 * INVALID, NO_MEMORY. */
enum status block_fault_add(struct blockdev *device, const struct block_fault *fault);
/* Removes all faults of the device's disk. Thread context. */
void block_faults_clear(struct blockdev *device);

#endif
