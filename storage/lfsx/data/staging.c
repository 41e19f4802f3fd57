/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. `staged` holds the staged pages in the order of their tickets, unless `failure` is set; each
 *    ticket is larger than all before.
 * 2. A writer takes pages from the front only. So all that has a smaller ticket than the front of
 *    `staged` and than each writer's `oldest` is on the device.
 * 3. Every page that is staged or being written is counted in the throttle's total.
 * 4. After a failure nothing is taken any more; what is staged stays readable until the pool is
 *    closed.
 */
#include "storage/lfsx/data/staging.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/journal/journal.h"
#include "storage/lfsx/data/throttle.h"
#include "storage/lfsx/lfsx.h"

#define LARGE_BLOCKS 64u    /* 256 KiB: a write of this size goes to the device at once */
#define BATCH_BLOCKS 512u   /* 2 MiB: what one writer takes at a time */
#define FULL_BLOCKS 128u    /* 512 KiB: the stager does not wait for more */
#define BATCH_REQUESTS 64u  /* in flight together */
#define STAGED_SHARE 4u     /* of the cache may be staged */
#define AGE_NS 100000000ull /* the stager lets nothing wait for much longer */
#define FINISH_AT_ONCE 64u  /* pages, so that nobody waits long for the lock */

struct writer {
    struct data_window window;
    struct block_request requests[BATCH_REQUESTS];
    struct span spans[BATCH_BLOCKS];
    struct data_page *pages[BATCH_BLOCKS];
    unsigned count;  /* being written */
    uint64_t oldest; /* of their tickets; UINT64_MAX: none */
    uint64_t until;  /* what a flush covers: smaller tickets */
    uint64_t started_ns;
};

struct staging {
    struct list_node staged;
    uint64_t staged_count;
    uint64_t next_ticket;
    struct writer writers[STAGING_ROLES]; /* each also used without the lock, by its thread */
    struct throttle throttle;
    struct journal *journal; /* fails with a write */
    uint64_t held_back_ns;
    enum status failure; /* sticky */
    struct os_thread *stager;
    struct os_condition wake; /* the stager's */
    bool idle;                /* it waits for the first page */
    bool stopping;
};

static struct data_page *page_of(struct list_node *link) {
    return LIST_CONTAINER(link, struct data_page, link);
}

/* The smallest ticket in the list. */
static uint64_t front_ticket(const struct staging *s) {
    return list_is_empty(&s->staged) ? UINT64_MAX : page_of(s->staged.next)->ticket;
}

/* Everything with a smaller ticket is on the device. */
static uint64_t outstanding_from(const struct staging *s) {
    uint64_t oldest = front_ticket(s);
    for (unsigned i = 0; i < STAGING_ROLES; i++)
        oldest = MATH_MIN(oldest, s->writers[i].oldest);
    return oldest;
}

/* ---- writing out ---- */

/* Takes what is staged with tickets below `until`, as far as there is room. */
static bool take_batch(struct staging *s, struct writer *writer, uint64_t until) {
    ASSERT(writer->count == 0);
    while (s->failure == STATUS_OK && writer->count < BATCH_BLOCKS && front_ticket(s) < until) {
        struct data_page *page = page_of(list_pop_front(&s->staged));
        page->state = DATA_PAGE_WRITING;
        writer->pages[writer->count++] = page;
        s->staged_count--;
    }
    if (writer->count == 0)
        return false;
    writer->oldest = writer->pages[0]->ticket;
    writer->started_ns = os_now_ns();
    return true;
}

/* By address. They come nearly sorted: space is given out in order. */
static void sort(struct data_page **pages, unsigned count) {
    for (unsigned gap = count / 2; gap > 0; gap /= 2) {
        for (unsigned i = gap; i < count; i++) {
            struct data_page *page = pages[i];
            unsigned at = i;
            for (; at >= gap && pages[at - gap]->block > page->block; at -= gap)
                pages[at] = pages[at - gap];
            pages[at] = page;
        }
    }
}

/* Sends a batch on its way. No lock held. */
static void submit_batch(struct writer *writer) {
    sort(writer->pages, writer->count);
    for (unsigned i = 0; i < writer->count; i++)
        data_window_add(&writer->window, writer->pages[i]->block, writer->pages[i]->content);
    data_window_start(&writer->window);
}

static void settle_page(struct data_path *data, struct data_page *page, bool good) {
    struct staging *s = data->staging;
    if (!good) {
        page->state = DATA_PAGE_STAGED;
        list_push_front(&s->staged, &page->link);
        s->staged_count++;
        return;
    }
    throttle_release(&s->throttle, page->share, 1);
    datacache_written(&data->cache, page);
}

static void latch(struct data_path *data, enum status status) {
    latch_set(data->latch, status, "data could not be written");
    journal_fail(data->staging->journal);
}

/* Waits for a batch on its way. No lock held. */
static void finish_batch(struct data_path *data, struct writer *writer) {
    struct staging *s = data->staging;
    enum status status = data_window_wait(&writer->window);
    uint64_t took = os_now_ns() - writer->started_ns;
    for (unsigned i = 0; i < writer->count;) {
        os_mutex_lock(&data->cache.lock);
        if (i == 0)
            throttle_measure(&s->throttle, (uint64_t)writer->count * LFSX_BLOCK_SIZE, took);
        if (status != STATUS_OK && s->failure == STATUS_OK) {
            s->failure = status;
            throttle_close(&s->throttle); /* nothing will make room any more */
        }
        for (unsigned end = MATH_MIN(i + FINISH_AT_ONCE, writer->count); i < end; i++)
            settle_page(data, writer->pages[i], status == STATUS_OK);
        if (i == writer->count)
            writer->oldest = UINT64_MAX;
        os_condition_broadcast(&data->cache.settled);
        os_mutex_unlock(&data->cache.lock);
    }
    writer->count = 0;
    if (status != STATUS_OK)
        latch(data, status);
}

void staging_flush_begin(struct data_path *data, enum staging_role role) {
    struct staging *s = data->staging;
    if (s == NULL)
        return;
    struct writer *writer = &s->writers[role];
    os_mutex_lock(&data->cache.lock);
    writer->until = s->next_ticket;
    while (take_batch(s, writer, writer->until)) {
        bool last = front_ticket(s) >= writer->until;
        os_mutex_unlock(&data->cache.lock);
        submit_batch(writer);
        if (last)
            return;
        finish_batch(data, writer);
        os_mutex_lock(&data->cache.lock);
    }
    os_mutex_unlock(&data->cache.lock);
}

enum status staging_flush_end(struct data_path *data, enum staging_role role) {
    struct staging *s = data->staging;
    if (s == NULL)
        return STATUS_OK;
    struct writer *writer = &s->writers[role];
    if (writer->count > 0)
        finish_batch(data, writer);
    os_mutex_lock(&data->cache.lock);
    while (s->failure == STATUS_OK && outstanding_from(s) < writer->until)
        os_condition_wait(&data->cache.settled, &data->cache.lock, OS_FOREVER);
    enum status status = s->failure;
    os_mutex_unlock(&data->cache.lock);
    return status;
}

/* ---- the stager ---- */

static uint64_t full_batch(const struct staging *s) {
    return MATH_MIN(FULL_BLOCKS, throttle_batch(&s->throttle));
}

/* Waits until there is something to write; returns the ticket up to which. */
static uint64_t wait_for_work(struct data_path *data) {
    struct staging *s = data->staging;
    while (!s->stopping) {
        if (s->failure != STATUS_OK || list_is_empty(&s->staged)) {
            s->idle = true;
            os_condition_wait(&s->wake, &data->cache.lock, OS_FOREVER);
            s->idle = false;
            continue;
        }
        uint64_t seen = s->next_ticket;
        if (s->staged_count >= full_batch(s))
            return seen;
        if (!os_condition_wait(&s->wake, &data->cache.lock, AGE_NS) && front_ticket(s) < seen)
            return seen;
    }
    return 0;
}

static void stage_out(void *argument) {
    struct data_path *data = argument;
    struct staging *s = data->staging;
    struct writer *writer = &s->writers[STAGING_STAGER];
    os_mutex_lock(&data->cache.lock);
    while (!s->stopping) {
        uint64_t until = wait_for_work(data);
        if (!take_batch(s, writer, until))
            continue;
        os_mutex_unlock(&data->cache.lock);
        submit_batch(writer);
        finish_batch(data, writer);
        os_mutex_lock(&data->cache.lock);
    }
    os_mutex_unlock(&data->cache.lock);
}

static void wake_stager(struct staging *s, uint64_t added) {
    uint64_t full = full_batch(s);
    if (s->idle || (s->staged_count >= full && s->staged_count - added < full))
        os_condition_signal(&s->wake);
}

/* ---- writers ---- */

/* Files that meet in one share are slowed together, no more. */
static unsigned share_of(uint64_t dataset, uint64_t inode) {
    uint64_t key = dataset * 0x9E3779B97F4A7C15ull + inode;
    return (unsigned)(key * 0xD6E8FEB86659FD93ull >> 32) % THROTTLE_SHARES;
}

void staging_enter(struct data_path *data, uint64_t dataset, uint64_t inode, uint64_t count,
                   struct staging_room *room) {
    struct staging *s = data->staging;
    *room = (struct staging_room){0};
    if (s == NULL || count >= LARGE_BLOCKS || count > throttle_max(&s->throttle))
        return;
    room->share = share_of(dataset, inode);
    uint64_t before = os_now_ns();
    uint64_t pace = 0;
    os_mutex_lock(&data->cache.lock);
    if (s->failure == STATUS_OK && throttle_admit(&s->throttle, room->share, count)) {
        room->pages = count;
        pace = throttle_pace(&s->throttle, room->share, count);
    }
    s->held_back_ns += os_now_ns() - before + pace;
    os_mutex_unlock(&data->cache.lock);
    if (pace > 0)
        os_sleep_ns(pace);
}

void staging_leave(struct data_path *data, struct staging_room *room) {
    if (room->pages == 0)
        return;
    os_mutex_lock(&data->cache.lock);
    throttle_release(&data->staging->throttle, room->share, room->pages);
    os_mutex_unlock(&data->cache.lock);
    room->pages = 0;
}

/* Copies the payload into pages of their own. False if there is no memory for all of them. */
static bool make_pages(struct datacache *cache, const struct block_map *map, void *const *from,
                       unsigned share, struct list_node *pages) {
    list_init(pages);
    if (datacache_take(cache, map->count, pages) < map->count) {
        datacache_give_back(pages);
        return false;
    }
    uint64_t i = 0;
    LIST_FOR_EACH(link, pages) {
        struct data_page *page = page_of(link);
        memcpy(page->content, from[i], LFSX_BLOCK_SIZE);
        page->block = map->blocks[i];
        page->checksum = map->checksums[i++];
        page->share = (uint16_t)share;
    }
    return true;
}

static enum status write_through(struct data_path *data, const struct block_map *map,
                                 void *const *pages) {
    if (datacache_exists(&data->cache))
        datacache_forget(&data->cache, map);
    enum status status = data_transfer(data->device, BLOCK_WRITE, map, pages);
    if (status != STATUS_OK)
        latch_set(data->latch, status, "data could not be written");
    return status;
}

enum status staging_write(struct data_path *data, const struct block_map *map, void *const *from,
                          struct staging_room *room) {
    struct staging *s = data->staging;
    struct list_node pages;
    if (room == NULL || room->pages == 0 ||
        !make_pages(&data->cache, map, from, room->share, &pages))
        return write_through(data, map, from);
    ASSERT(room->pages == map->count);
    os_mutex_lock(&data->cache.lock);
    enum status status = s->failure;
    if (status == STATUS_OK) {
        LIST_FOR_EACH(link, &pages) {
            page_of(link)->ticket = s->next_ticket++;
            datacache_stage(&data->cache, page_of(link));
        }
        list_splice_back(&s->staged, &pages);
        s->staged_count += map->count;
        room->pages = 0; /* the pages have it now */
        wake_stager(s, map->count);
    }
    os_mutex_unlock(&data->cache.lock);
    datacache_give_back(&pages);
    return status;
}

void staging_cancel(struct data_path *data, const struct block_map *map) {
    struct staging *s = data->staging;
    if (s == NULL)
        return;
    os_mutex_lock(&data->cache.lock);
    for (uint64_t i = 0; i < map->count;) {
        struct data_page *page = datacache_find(&data->cache, map->blocks[i]);
        if (page != NULL && page->state == DATA_PAGE_WRITING) {
            os_condition_wait(&data->cache.settled, &data->cache.lock, OS_FOREVER);
            continue;
        }
        if (page != NULL && page->state == DATA_PAGE_STAGED) {
            throttle_release(&s->throttle, page->share, 1);
            s->staged_count--;
        }
        if (page != NULL)
            datacache_drop(&data->cache, page);
        i++;
    }
    os_mutex_unlock(&data->cache.lock);
}

/* ---- beginning and end ---- */

static void writer_init(struct writer *writer, struct blockdev *device) {
    writer->oldest = UINT64_MAX;
    writer->window.requests = writer->requests;
    writer->window.spans = writer->spans;
    writer->window.request_limit = BATCH_REQUESTS;
    writer->window.span_limit = BATCH_BLOCKS;
    data_window_init(&writer->window, device, BLOCK_WRITE);
}

enum status staging_start(struct data_path *data, struct journal *journal) {
    if (!datacache_exists(&data->cache))
        return STATUS_OK;
    struct staging *s = os_alloc_zeroed(sizeof *s);
    if (s == NULL)
        return STATUS_NO_MEMORY;
    s->journal = journal;
    list_init(&s->staged);
    os_condition_init(&s->wake);
    throttle_init(&s->throttle, &data->cache.lock, data->cache.budget / STAGED_SHARE);
    for (unsigned i = 0; i < STAGING_ROLES; i++)
        writer_init(&s->writers[i], data->device);
    data->staging = s;
    enum status status = os_thread_start(&s->stager, "lfsx-stager", stage_out, data);
    if (status != STATUS_OK)
        staging_free(data);
    return status;
}

void staging_stop(struct data_path *data) {
    struct staging *s = data->staging;
    if (s == NULL)
        return;
    os_mutex_lock(&data->cache.lock);
    s->stopping = true;
    os_condition_broadcast(&s->wake);
    os_mutex_unlock(&data->cache.lock);
    os_thread_join(s->stager);
}

void staging_free(struct data_path *data) {
    struct staging *s = data->staging;
    if (s == NULL)
        return;
    os_mutex_lock(&data->cache.lock);
    while (!list_is_empty(&s->staged))
        datacache_drop(&data->cache, page_of(s->staged.next));
    os_mutex_unlock(&data->cache.lock);
    for (unsigned i = 0; i < STAGING_ROLES; i++)
        data_window_destroy(&s->writers[i].window);
    throttle_destroy(&s->throttle);
    os_condition_destroy(&s->wake);
    os_free(s);
    data->staging = NULL;
}

void staging_statistics(struct data_path *data, uint64_t *bytes, uint64_t *held_back_ns) {
    struct staging *s = data->staging;
    *bytes = *held_back_ns = 0;
    if (s == NULL)
        return;
    os_mutex_lock(&data->cache.lock);
    *bytes = s->throttle.total * LFSX_BLOCK_SIZE;
    *held_back_ns = s->held_back_ns;
    os_mutex_unlock(&data->cache.lock);
}
