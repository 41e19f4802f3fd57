/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks between memory and the device. */
#ifndef STORAGE_LFSX_DATA_DATA_H
#define STORAGE_LFSX_DATA_DATA_H

#include "base/blockdev.h"
#include "base/os.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* What a file's blocks are: for each, its address (0: hole) and checksum. */
struct block_map {
    uint64_t count;
    uint64_t *blocks;
    uint64_t *checksums;
};
enum status block_map_alloc(struct block_map *map, uint64_t count);
void block_map_free(struct block_map *map);

/* Reads or writes the blocks that the map names from or to pages[], holes skipped, runs as large
 * requests. The first error; all requests have ended. May sleep; allocates nothing. */
enum status data_transfer(struct blockdev *device, enum block_operation operation,
                          const struct block_map *map, void *const *pages);

/*
 * Requests that travel together: blocks added one after the other that are neighbours on the device
 * become one request. Used by one thread; the room for requests and spans is the user's.
 */
struct data_window {
    struct blockdev *device;
    enum block_operation operation;
    struct os_completion completion;
    struct block_request *requests;
    struct span *spans;
    unsigned request_limit, span_limit; /* what there is room for */
    unsigned request_count, span_count;
    bool running;
    enum status status; /* the first error since the last wait */
};

/* The fields for the room are set. */
void data_window_init(struct data_window *window, struct blockdev *device,
                      enum block_operation operation);
void data_window_destroy(struct data_window *window);
/* Adds a block; a full window is run first (may sleep). */
void data_window_add(struct data_window *window, uint64_t block, void *page);
/* Submits what was added. */
void data_window_start(struct data_window *window);
/* Waits for what was submitted; the first error since the last wait. The window is empty. */
enum status data_window_wait(struct data_window *window);

#endif
