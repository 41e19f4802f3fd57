/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/data/readahead.h"
#include "base/assert.h"
#include "base/math.h"

#define RUN_MIN 3u       /* reads in a row that make a stream */
#define WINDOW_MIN 32u   /* 128 KiB */
#define SLACK_AHEAD 8u   /* times its length may a read come early, */
#define SLACK_BEHIND 16u /* or late */

void readahead_init(struct readahead *readahead) {
    *readahead = (struct readahead){0};
    os_mutex_init(&readahead->lock);
}

void readahead_destroy(struct readahead *readahead) {
    ASSERT(readahead->fetching == 0);
    os_mutex_destroy(&readahead->lock);
}

static bool continues(const struct readahead_stream *stream, uint64_t first, uint64_t count) {
    return stream->run > 0 && first <= stream->next + SLACK_AHEAD * count &&
           first + SLACK_BEHIND * count >= stream->next;
}

/* The stream that the read continues, or a new one. */
static struct readahead_stream *find_stream(struct readahead *readahead, uint64_t first,
                                            uint64_t count) {
    struct readahead_stream *quiet = &readahead->streams[0];
    for (unsigned i = 0; i < READAHEAD_STREAMS; i++) {
        struct readahead_stream *stream = &readahead->streams[i];
        if (continues(stream, first, count))
            return stream;
        if (stream->used < quiet->used)
            quiet = stream;
    }
    *quiet = (struct readahead_stream){.next = first, .ahead = first};
    return quiet;
}

/* Once what is ahead has shrunk to half of the window, it is filled up and the window grows. */
static bool widen(struct readahead_stream *stream, uint64_t count, uint64_t window_max,
                  struct readahead_range *range) {
    uint64_t least = MATH_MIN(MATH_MAX(WINDOW_MIN, 4 * count), window_max);
    stream->window = MATH_MIN(MATH_MAX(stream->window, least), window_max);
    stream->ahead = MATH_MAX(stream->ahead, stream->next);
    if (stream->ahead - stream->next > stream->window / 2)
        return false;
    uint64_t end = stream->next + stream->window;
    *range = (struct readahead_range){stream->ahead, end - stream->ahead};
    stream->ahead = end;
    stream->window *= 2;
    return range->count > 0;
}

bool readahead_note(struct readahead *readahead, uint64_t first, uint64_t count,
                    uint64_t window_max, struct readahead_range *range) {
    bool wanted = false;
    os_mutex_lock(&readahead->lock);
    struct readahead_stream *stream = find_stream(readahead, first, count);
    stream->used = ++readahead->clock;
    if (first + count > stream->next) {
        stream->next = first + count;
        if (stream->run < RUN_MIN)
            stream->run++;
        if (stream->run == RUN_MIN)
            wanted = widen(stream, count, window_max, range);
    }
    os_mutex_unlock(&readahead->lock);
    return wanted;
}

bool readahead_left(struct readahead *readahead, struct readahead_range *range) {
    uint64_t end = range->first + range->count;
    bool left = false;
    os_mutex_lock(&readahead->lock);
    for (unsigned i = 0; i < READAHEAD_STREAMS && !left; i++) {
        const struct readahead_stream *stream = &readahead->streams[i];
        left = stream->run == RUN_MIN && stream->next < end && end <= stream->ahead;
        if (left)
            range->first = MATH_MAX(range->first, stream->next);
    }
    os_mutex_unlock(&readahead->lock);
    range->count = end - range->first;
    return left && range->count > 0;
}
