/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h's pages.
 *
 * glibc spends two pages on every page-aligned page (the second holds a header of 16 bytes), and a
 * cache consists of such pages. So pages come from regions: REGION_BYTES of address space, aligned
 * to their size, whose first page is a header with one bit per page. Runs longer than
 * REGION_MAX_RUN are mapped on their own. Under AddressSanitizer every run is an allocation of its
 * own instead, so that it sees each overrun, leak and use after free.
 *
 * Invariants:
 * 1. A region belongs to one shard for ever; everything in its header but `shard` and `magic` is
 *    guarded by that shard's lock. A thread holds at most one shard's lock, and nothing is taken
 *    under it.
 * 2. used_pages is the number of bits set in `used`; bit 0 (the header) is always set.
 * 3. A region is on its shard's list exactly while used_pages < REGION_PAGES.
 */
#include "base/assert.h"
#include "base/list.h"
#include "base/math.h"
#include "base/os.h"
#include "host/host_internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__

static void *page_alloc(size_t bytes) {
    return aligned_alloc(OS_PAGE_SIZE, bytes);
}

static void page_free(void *memory, size_t bytes) {
    (void)bytes;
    free(memory);
}

#else

#define REGION_BYTES ((size_t)4 << 20)
#define REGION_PAGES ((unsigned)(REGION_BYTES / OS_PAGE_SIZE))
#define REGION_MAX_RUN (REGION_PAGES / 4)
#define REGION_MAGIC 0x6e6f6967655f6468ull
#define REGION_TRIES 16       /* regions that one allocation looks at before it makes a new one */
#define EMPTY_REGIONS_KEPT 16 /* in all: 64 MiB that need not be mapped again */
#define SHARD_COUNT 16        /* stripes of the lock, picked by CPU */

struct shard {
    pthread_mutex_t lock;
    struct list_node regions; /* those with a free page */
    bool ready;
};

struct region {
    uint64_t magic;
    struct shard *shard;
    struct list_node link;
    unsigned used_pages;
    uint64_t used[REGION_PAGES / 64];
};
_Static_assert(sizeof(struct region) <= OS_PAGE_SIZE, "a region's header is one page");

static struct shard shards[SHARD_COUNT] = {
    [0 ... SHARD_COUNT - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};
static _Atomic int empty_regions;

static void *map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void unmap(void *memory, size_t bytes) {
    int error = munmap(memory, bytes);
    ASSERT(error == 0);
}

/* REGION_BYTES aligned to REGION_BYTES: maps twice as much and cuts off what is too much. */
static void *map_aligned(void) {
    char *memory = map(2 * REGION_BYTES);
    if (memory == NULL)
        return NULL;
    size_t before = -(uintptr_t)memory % REGION_BYTES;
    if (before > 0)
        unmap(memory, before);
    unmap(memory + before + REGION_BYTES, REGION_BYTES - before);
    return memory + before;
}

static struct region *region_make(struct shard *shard) {
    struct region *region = map_aligned();
    if (region == NULL)
        return NULL;
    region->magic = REGION_MAGIC;
    region->shard = shard;
    region->used[0] = 1;
    region->used_pages = 1;
    list_push_front(&shard->regions, &region->link);
    empty_regions++;
    return region;
}

/* The first page at or after `at` whose bit is `value`; REGION_PAGES if there is none. */
static unsigned next_bit(const struct region *region, unsigned at, bool value) {
    while (at < REGION_PAGES) {
        uint64_t word = value ? region->used[at / 64] : ~region->used[at / 64];
        word &= ~0ull << (at % 64);
        if (word != 0)
            return at / 64 * 64 + (unsigned)__builtin_ctzll(word);
        at = at / 64 * 64 + 64;
    }
    return REGION_PAGES;
}

/* The first page of a free run of this length; 0 if there is none. */
static unsigned find_run(const struct region *region, unsigned pages) {
    if (REGION_PAGES - region->used_pages < pages)
        return 0;
    unsigned first = next_bit(region, 1, false);
    while (first + pages <= REGION_PAGES) {
        unsigned end = next_bit(region, first, true);
        if (end - first >= pages)
            return first;
        first = next_bit(region, end, false);
    }
    return 0;
}

static void mark_run(struct region *region, unsigned first, unsigned pages, bool used) {
    for (unsigned page = first; page < first + pages; page++) {
        uint64_t bit = 1ull << (page % 64);
        ASSERT(((region->used[page / 64] & bit) != 0) != used); /* else freed twice */
        region->used[page / 64] ^= bit;
    }
}

static void *take_run(struct region *region, unsigned first, unsigned pages) {
    if (region->used_pages == 1)
        empty_regions--;
    mark_run(region, first, pages, true);
    region->used_pages += pages;
    if (region->used_pages == REGION_PAGES)
        list_remove(&region->link);
    return (char *)region + (size_t)first * OS_PAGE_SIZE;
}

static void *shard_alloc(struct shard *shard, unsigned pages) {
    unsigned tries = REGION_TRIES;
    if (!shard->ready) {
        list_init(&shard->regions);
        shard->ready = true;
    }
    LIST_FOR_EACH(node, &shard->regions) {
        struct region *region = LIST_CONTAINER(node, struct region, link);
        unsigned first = find_run(region, pages);
        if (first != 0)
            return take_run(region, first, pages);
        if (--tries == 0)
            break;
    }
    struct region *region = region_make(shard);
    return region == NULL ? NULL : take_run(region, 1, pages);
}

static void *page_alloc(size_t bytes) {
    if (bytes / OS_PAGE_SIZE > REGION_MAX_RUN)
        return map(bytes);
    int cpu = sched_getcpu();
    struct shard *shard = &shards[cpu < 0 ? 0 : (unsigned)cpu % SHARD_COUNT];
    pthread_mutex_lock(&shard->lock);
    void *memory = shard_alloc(shard, (unsigned)(bytes / OS_PAGE_SIZE));
    pthread_mutex_unlock(&shard->lock);
    return memory;
}

static void page_free(void *memory, size_t bytes) {
    if (memory == NULL)
        return;
    if (bytes / OS_PAGE_SIZE > REGION_MAX_RUN) {
        unmap(memory, bytes);
        return;
    }
    uintptr_t within = (uintptr_t)memory % REGION_BYTES;
    struct region *region = (struct region *)((char *)memory - within);
    ASSERT(within != 0 && within % OS_PAGE_SIZE == 0);
    ASSERT(region->magic == REGION_MAGIC);
    unsigned pages = (unsigned)(bytes / OS_PAGE_SIZE);
    struct shard *shard = region->shard;
    pthread_mutex_lock(&shard->lock);
    mark_run(region, (unsigned)(within / OS_PAGE_SIZE), pages, false);
    if (region->used_pages == REGION_PAGES)
        list_push_front(&shard->regions, &region->link);
    region->used_pages -= pages;
    bool drop = region->used_pages == 1 && ++empty_regions > EMPTY_REGIONS_KEPT;
    if (drop) {
        empty_regions--;
        list_remove(&region->link);
    }
    pthread_mutex_unlock(&shard->lock);
    if (drop)
        unmap(region, REGION_BYTES);
}

#endif

void *os_page_alloc(size_t bytes) {
    ASSERT(bytes > 0 && bytes % OS_PAGE_SIZE == 0);
    if (host_memory_should_fail())
        return NULL;
    void *memory = page_alloc(bytes);
    if (memory == NULL && host_memory_shrink(bytes) > 0)
        memory = page_alloc(bytes);
    return memory;
}

void os_page_free(void *memory, size_t bytes) {
    ASSERT(bytes > 0 && bytes % OS_PAGE_SIZE == 0);
    page_free(memory, bytes);
}
