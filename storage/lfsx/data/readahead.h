/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which reads of a file are a stream, and what of it will be wanted next.
 *
 * A file may have several streams at once. A read that begins about where one ended continues it:
 * about, because reads that a client sends one after the other arrive in any order. From the third
 * in a row on there is something to be read ahead, at first a little, then twice as much each time.
 * Reads that continue nothing begin a stream in the place of the one that was quiet for longest.
 */
#ifndef STORAGE_LFSX_DATA_READAHEAD_H
#define STORAGE_LFSX_DATA_READAHEAD_H

#include "base/os.h"

#include <stdbool.h>
#include <stdint.h>

#define READAHEAD_STREAMS 8u

/* All in blocks of the file. */
struct readahead_stream {
    uint64_t next;   /* behind the last read */
    uint64_t ahead;  /* behind what was asked to be read ahead */
    uint64_t window; /* how far to be ahead */
    uint32_t run;    /* reads in a row; 0: no stream */
    uint64_t used;   /* when last */
};

struct readahead {
    struct os_mutex lock; /* guards all; below every other lock */
    struct readahead_stream streams[READAHEAD_STREAMS];
    uint64_t clock; /* counts reads */
    /* prefetch.c's, with its lock */
    unsigned fetching; /* requests for this file not done yet */
    bool busy;         /* one of them is being done */
    bool closing;
};

struct readahead_range {
    uint64_t first, count;
};

void readahead_init(struct readahead *readahead);
void readahead_destroy(struct readahead *readahead);
/* Notes a read of [first, first + count). True if *range should be read ahead, of at most
 * `window_max` blocks. */
bool readahead_note(struct readahead *readahead, uint64_t first, uint64_t count,
                    uint64_t window_max, struct readahead_range *range);
/* Takes off the range, which was asked for once, what its stream has passed meanwhile. False if
 * nothing is left, or the stream was given up for another. */
bool readahead_left(struct readahead *readahead, struct readahead_range *range);

#endif
