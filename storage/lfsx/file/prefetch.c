/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. file->readahead.fetching counts the file's requests in the queue and in the threads' hands;
 *    while it is above zero, the file stays.
 * 2. A thread that has begun to load pages ends all of them before it does anything else that may
 *    wait for more than the device.
 */
#include "storage/lfsx/file/prefetch.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

#define THREADS 2u
#define LARGE_BLOCKS 64u /* 256 KiB: a reader of so much at a time keeps the device busy alone */
#define QUEUE 32u        /* requests that may wait; more are dropped */
#define PIECE 128u       /* blocks read together: 512 KiB */
#define PIECE_REQUESTS 32u
#define WINDOW_MAX 1024u /* 4 MiB ahead of a reader, */
#define WINDOW_UNIT 16u  /* so that it ends where reads do */
#define WINDOW_SHARE 16u /* and not more than this part of the cache */

struct fetch {
    struct file *file;
    struct readahead_range range;
};

/* A thread and what it works with. */
struct fetcher {
    struct os_thread *thread;
    struct lfsx_pool *pool;
    struct data_window window;
    struct block_request requests[PIECE_REQUESTS];
    struct span spans[PIECE];
    struct data_page *pages[PIECE];
    uint64_t blocks[PIECE], checksums[PIECE];
    bool good[PIECE];
};

struct prefetcher {
    struct os_mutex lock; /* guards what follows up to the threads, and every file's `fetching` */
    struct os_condition wake, done;
    struct fetch queue[QUEUE]; /* in order of arrival */
    unsigned count;
    bool stopping;
    unsigned started;
    struct fetcher fetchers[THREADS];
};

struct look {
    struct file *file;
    uint64_t first;
    struct block_map map;
};

static enum status look_up(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    return extents_lookup(look->file, look->first, &look->map, cursor);
}

static void end_loading(struct fetcher *fetcher, const struct block_map *map, enum status status) {
    uint64_t loaded = 0;
    for (uint64_t i = 0; i < map->count; i++) {
        struct data_page *page = fetcher->pages[i];
        fetcher->good[i] = page != NULL && status == STATUS_OK &&
                           checksum_xxh64(page->content, LFSX_BLOCK_SIZE, 0) == map->checksums[i];
        loaded += fetcher->good[i];
    }
    datacache_load_end(&fetcher->pool->data.cache, map->count, fetcher->pages, fetcher->good);
    POOL_COUNT(fetcher->pool, readahead_bytes, loaded * LFSX_BLOCK_SIZE);
}

/* Reads [first, first + count), at most a piece. */
static enum status fetch_piece(struct fetcher *fetcher, struct file *file, uint64_t first,
                               uint64_t count) {
    struct look look = {file, first, {count, fetcher->blocks, fetcher->checksums}};
    enum status status = pool_look(fetcher->pool, look_up, &look);
    if (status != STATUS_OK)
        return status;
    datacache_load_begin(&fetcher->pool->data.cache, &look.map, fetcher->pages);
    for (uint64_t i = 0; i < count; i++)
        if (fetcher->pages[i] != NULL)
            data_window_add(&fetcher->window, look.map.blocks[i], fetcher->pages[i]->content);
    data_window_start(&fetcher->window);
    status = data_window_wait(&fetcher->window);
    end_loading(fetcher, &look.map, status);
    return status;
}

/* Whether the file or the pool is about to be closed. */
static bool unwanted(const struct fetcher *fetcher, const struct file *file) {
    return __atomic_load_n(&file->readahead.closing, __ATOMIC_RELAXED) ||
           __atomic_load_n(&fetcher->pool->prefetcher->stopping, __ATOMIC_RELAXED);
}

/* What readers have passed would be read in vain, and, if the cache has given it up since, would
 * come in again as if somebody had asked for it again: at the cost of what is in use. */
static void fetch_range(struct fetcher *fetcher, const struct fetch *fetch) {
    uint64_t size = math_divide_up(file_end(fetch->file), LFSX_BLOCK_SIZE);
    uint64_t end = MATH_MIN(fetch->range.first + fetch->range.count, size);
    struct readahead_range left = {MATH_MIN(fetch->range.first, end), 0};
    left.count = end - left.first;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !unwanted(fetcher, fetch->file) &&
           readahead_left(&fetch->file->readahead, &left)) {
        uint64_t count = MATH_MIN(left.count, PIECE);
        status = fetch_piece(fetcher, fetch->file, left.first, count);
        left.first += count;
        left.count -= count;
    }
}

/* Takes the oldest request for a file that no other thread reads: two at once would have a disk go
 * to and fro. False if there is none. */
static bool take_fetch(struct prefetcher *p, struct fetch *fetch) {
    unsigned i = 0;
    while (i < p->count && p->queue[i].file->readahead.busy)
        i++;
    if (i == p->count)
        return false;
    *fetch = p->queue[i];
    memmove(&p->queue[i], &p->queue[i + 1], (--p->count - i) * sizeof *fetch);
    return true;
}

static void fetch_all(void *argument) {
    struct fetcher *fetcher = argument;
    struct prefetcher *p = fetcher->pool->prefetcher;
    struct fetch fetch;
    os_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (!take_fetch(p, &fetch)) {
            os_condition_wait(&p->wake, &p->lock, OS_FOREVER);
            continue;
        }
        fetch.file->readahead.busy = true;
        os_mutex_unlock(&p->lock);
        fetch_range(fetcher, &fetch);
        os_mutex_lock(&p->lock);
        fetch.file->readahead.busy = false;
        fetch.file->readahead.fetching--;
        os_condition_broadcast(&p->done);
    }
    os_mutex_unlock(&p->lock);
}

static void enqueue(struct prefetcher *p, struct file *file, const struct readahead_range *range) {
    os_mutex_lock(&p->lock);
    ASSERT(!file->readahead.closing);
    if (p->count < QUEUE) {
        p->queue[p->count++] = (struct fetch){file, *range};
        file->readahead.fetching++;
        os_condition_signal(&p->wake);
    }
    os_mutex_unlock(&p->lock);
}

void prefetch_note(struct file *file, uint64_t first, uint64_t count) {
    struct lfsx_pool *pool = file->dataset->pool;
    if (pool->prefetcher == NULL || count >= LARGE_BLOCKS)
        return;
    uint64_t window = MATH_MIN(WINDOW_MAX, datacache_limit(&pool->data.cache) / WINDOW_SHARE);
    window = math_round_down(window, WINDOW_UNIT);
    struct readahead_range range;
    if (readahead_note(&file->readahead, first, count, window, &range))
        enqueue(pool->prefetcher, file, &range);
}

void prefetch_end(struct file *file) {
    struct prefetcher *p = file->dataset->pool->prefetcher;
    if (p == NULL)
        return;
    os_mutex_lock(&p->lock);
    __atomic_store_n(&file->readahead.closing, true, __ATOMIC_RELAXED);
    while (file->readahead.fetching > 0)
        os_condition_wait(&p->done, &p->lock, OS_FOREVER);
    os_mutex_unlock(&p->lock);
}

static enum status start_fetcher(struct lfsx_pool *pool, struct fetcher *fetcher) {
    fetcher->pool = pool;
    fetcher->window = (struct data_window){.requests = fetcher->requests,
                                           .spans = fetcher->spans,
                                           .request_limit = PIECE_REQUESTS,
                                           .span_limit = PIECE};
    data_window_init(&fetcher->window, pool->device, BLOCK_READ);
    enum status status = os_thread_start(&fetcher->thread, "lfsx-prefetch", fetch_all, fetcher);
    if (status != STATUS_OK)
        data_window_destroy(&fetcher->window);
    return status;
}

enum status prefetch_start(struct lfsx_pool *pool) {
    if (!datacache_exists(&pool->data.cache))
        return STATUS_OK;
    struct prefetcher *p = os_alloc_zeroed(sizeof *p);
    if (p == NULL)
        return STATUS_NO_MEMORY;
    os_mutex_init(&p->lock);
    os_condition_init(&p->wake);
    os_condition_init(&p->done);
    pool->prefetcher = p;
    enum status status = STATUS_OK;
    while (p->started < THREADS && status == STATUS_OK) {
        status = start_fetcher(pool, &p->fetchers[p->started]);
        p->started += status == STATUS_OK;
    }
    if (status != STATUS_OK)
        prefetch_stop(pool);
    return status;
}

void prefetch_stop(struct lfsx_pool *pool) {
    struct prefetcher *p = pool->prefetcher;
    if (p == NULL)
        return;
    os_mutex_lock(&p->lock);
    __atomic_store_n(&p->stopping, true, __ATOMIC_RELAXED);
    for (; p->count > 0; p->count--)
        p->queue[p->count - 1].file->readahead.fetching--;
    os_condition_broadcast(&p->wake);
    os_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++) {
        os_thread_join(p->fetchers[i].thread);
        data_window_destroy(&p->fetchers[i].window);
    }
    os_condition_destroy(&p->wake);
    os_condition_destroy(&p->done);
    os_mutex_destroy(&p->lock);
    os_free(p);
    pool->prefetcher = NULL;
}
