/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. At most one page stands in the table for a block. One that is staged or being written stays
 *    there until it is on the device; its block cannot get a new tenant before.
 * 2. Clean pages, and only they, are in the queue that in_main says.
 * 3. `count` is what stands in the table. It exceeds the limit only by what is not clean.
 * 4. A page that left the table is freed by who took it out, or, while somebody copies from it, by
 *    the last of those.
 */
#include "storage/lfsx/data/datacache.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/lfsx.h"

#define MIN_PAGES 64u
#define SMALL_SHARE 10u    /* of the clean pages are in the small queue */
#define USES_TO_STAY 2u    /* in the small queue, to be moved to the main one */
#define USES_MAX 3u        /* that are counted */
#define EVICT_STEPS 64u    /* pages that may get another chance before one is given up */
#define COPY_BATCH 16u     /* pages held at a time */
#define DROPPED (1u << 31) /* in holders: it left the table */
#define MIN_BUCKETS 256u

void datacache_init(struct datacache *cache, uint64_t budget_bytes,
                    const struct node_cache *nodes) {
    *cache = (struct datacache){.budget = budget_bytes / LFSX_BLOCK_SIZE, .nodes = nodes};
    os_mutex_init(&cache->lock);
    os_condition_init(&cache->settled);
    list_init(&cache->small);
    list_init(&cache->main);
    if (cache->budget < MIN_PAGES)
        return;
    uint64_t buckets = MIN_BUCKETS;
    while (buckets < cache->budget)
        buckets *= 2;
    while (cache->buckets == NULL && buckets >= MIN_BUCKETS) {
        cache->buckets = os_alloc_zeroed(buckets * sizeof *cache->buckets);
        cache->bucket_mask = buckets - 1;
        buckets /= 2;
    }
    if (cache->buckets != NULL)
        ghost_init(&cache->ghost, cache->budget);
}

static struct data_page *page_of(struct list_node *link) {
    return LIST_CONTAINER(link, struct data_page, link);
}

static void page_free(struct data_page *page) {
    os_page_free(page->content, LFSX_BLOCK_SIZE);
    os_free(page);
}

void datacache_give_back(struct list_node *pages) {
    struct list_node *link;
    while ((link = list_pop_front(pages)) != NULL)
        page_free(page_of(link));
}

void datacache_destroy(struct datacache *cache) {
    ASSERT(cache->count == cache->small_count + cache->main_count);
    datacache_give_back(&cache->small);
    datacache_give_back(&cache->main);
    ghost_destroy(&cache->ghost);
    os_free(cache->buckets);
    os_condition_destroy(&cache->settled);
    os_mutex_destroy(&cache->lock);
}

bool datacache_exists(const struct datacache *cache) {
    return cache->buckets != NULL;
}

/* How many nodes there are changes meanwhile; a guess of the moment will do. */
uint64_t datacache_limit(const struct datacache *cache) {
    if (cache->nodes == NULL)
        return cache->budget;
    uint64_t nodes = __atomic_load_n(&cache->nodes->node_count, __ATOMIC_RELAXED);
    return cache->budget - MATH_MIN(nodes, DATACACHE_NODES_OF(cache->budget));
}

/* ---- the table ---- */

static struct data_page **bucket(struct datacache *cache, uint64_t block) {
    return &cache->buckets[block * 0x9E3779B97F4A7C15ull >> 20 & cache->bucket_mask];
}

struct data_page *datacache_find(struct datacache *cache, uint64_t block) {
    if (!datacache_exists(cache))
        return NULL;
    struct data_page *page = *bucket(cache, block);
    while (page != NULL && page->block != block)
        page = page->hash_next;
    return page;
}

static void table_insert(struct datacache *cache, struct data_page *page) {
    struct data_page **head = bucket(cache, page->block);
    page->hash_next = *head;
    *head = page;
    cache->count++;
}

static void table_remove(struct datacache *cache, struct data_page *page) {
    struct data_page **at = bucket(cache, page->block);
    while (*at != page) {
        ASSERT(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = page->hash_next;
    cache->count--;
}

/* ---- queues ---- */

static uint64_t ghost_key(const struct data_page *page) {
    return page->block * 0x9E3779B97F4A7C15ull ^ page->checksum;
}

static void queue_push(struct datacache *cache, struct data_page *page) {
    page->state = DATA_PAGE_CLEAN;
    list_push_back(page->in_main ? &cache->main : &cache->small, &page->link);
    *(page->in_main ? &cache->main_count : &cache->small_count) += 1;
}

static void queue_remove(struct datacache *cache, struct data_page *page) {
    list_remove(&page->link);
    *(page->in_main ? &cache->main_count : &cache->small_count) -= 1;
}

/* The oldest page of the queue that has more than its share; NULL if both are empty. */
static struct data_page *oldest(struct datacache *cache) {
    bool small = cache->small_count * SMALL_SHARE > cache->small_count + cache->main_count ||
                 cache->main_count == 0;
    struct list_node *queue = small ? &cache->small : &cache->main;
    return list_is_empty(queue) ? NULL : page_of(queue->next);
}

/* Gives a page that was used another turn; false if its time has come. */
static bool spare(struct datacache *cache, struct data_page *page) {
    if (page->uses < (page->in_main ? 1 : USES_TO_STAY))
        return false;
    queue_remove(cache, page);
    page->uses = page->in_main ? page->uses - 1 : 0;
    page->in_main = true;
    queue_push(cache, page);
    return true;
}

/* Takes the page out that is needed least; NULL if none is clean. */
static struct data_page *evict(struct datacache *cache) {
    struct data_page *page = oldest(cache);
    for (unsigned i = 0; i < EVICT_STEPS && page != NULL && spare(cache, page); i++)
        page = oldest(cache);
    if (page == NULL)
        return NULL;
    if (!page->in_main)
        ghost_add(&cache->ghost, ghost_key(page));
    queue_remove(cache, page);
    table_remove(cache, page);
    return page;
}

/* True if nobody copies from a page that left the table: it is the caller's. */
static bool own(struct data_page *page) {
    return __atomic_fetch_or(&page->holders, DROPPED, __ATOMIC_ACQ_REL) == 0;
}

static void let_go(struct data_page *page) {
    if (__atomic_fetch_sub(&page->holders, 1, __ATOMIC_ACQ_REL) == (DROPPED | 1))
        page_free(page);
}

/* Evicts what is too much. */
static void trim(struct datacache *cache) {
    uint64_t limit = datacache_limit(cache);
    while (cache->count > limit) {
        struct data_page *page = evict(cache);
        if (page == NULL)
            return;
        if (own(page))
            page_free(page);
    }
}

void datacache_drop(struct datacache *cache, struct data_page *page) {
    ASSERT(os_mutex_is_held(&cache->lock));
    if (page->state == DATA_PAGE_CLEAN)
        queue_remove(cache, page);
    list_remove(&page->link);
    table_remove(cache, page);
    if (page->state == DATA_PAGE_LOADING)
        os_condition_broadcast(&cache->settled);
    if (own(page))
        page_free(page);
}

/* ---- pages ---- */

static struct data_page *page_new(void) {
    struct data_page *page = os_alloc(sizeof *page);
    void *content = page == NULL ? NULL : os_page_alloc(LFSX_BLOCK_SIZE);
    if (content == NULL) {
        os_free(page);
        return NULL;
    }
    page->content = content;
    return page;
}

static void take_page(struct data_page *page, struct list_node *pages) {
    *page = (struct data_page){.content = page->content};
    list_push_back(pages, &page->link);
}

uint64_t datacache_take(struct datacache *cache, uint64_t count, struct list_node *pages) {
    uint64_t taken = 0;
    if (!datacache_exists(cache))
        return 0;
    os_mutex_lock(&cache->lock);
    uint64_t limit = datacache_limit(cache);
    for (uint64_t i = 0; i < count && cache->count + taken >= limit; i++) {
        struct data_page *page = evict(cache);
        if (page == NULL)
            break;
        if (!own(page))
            continue;
        take_page(page, pages);
        taken++;
    }
    os_mutex_unlock(&cache->lock);
    for (; taken < count; taken++) {
        struct data_page *page = page_new();
        if (page == NULL)
            break;
        take_page(page, pages);
    }
    return taken;
}

/* Makes room in the table for the block. False if something is there that must stay. */
static bool displace(struct datacache *cache, uint64_t block, uint64_t checksum) {
    struct data_page *old = datacache_find(cache, block);
    if (old == NULL)
        return true;
    if (old->state != DATA_PAGE_CLEAN || old->checksum == checksum)
        return false;
    datacache_drop(cache, old);
    return true;
}

/* Puts a page with its key into the table, for the queue that it deserves. */
static void enter(struct datacache *cache, struct data_page *page) {
    table_insert(cache, page);
    page->in_main = ghost_take(&cache->ghost, ghost_key(page));
}

void datacache_forget(struct datacache *cache, const struct block_map *map) {
    os_mutex_lock(&cache->lock);
    for (uint64_t i = 0; i < map->count; i++) {
        struct data_page *page = datacache_find(cache, map->blocks[i]);
        ASSERT(page == NULL || page->state == DATA_PAGE_CLEAN || page->state == DATA_PAGE_LOADING);
        if (page != NULL)
            datacache_drop(cache, page);
    }
    os_mutex_unlock(&cache->lock);
}

uint64_t datacache_shrink(struct datacache *cache, uint64_t bytes) {
    uint64_t want = bytes == 0 ? UINT64_MAX : math_divide_up(bytes, LFSX_BLOCK_SIZE);
    uint64_t freed = 0;
    os_mutex_lock(&cache->lock);
    while (freed < want) {
        struct data_page *page = evict(cache);
        if (page == NULL)
            break;
        if (own(page))
            page_free(page);
        freed++;
    }
    os_mutex_unlock(&cache->lock);
    return freed * LFSX_BLOCK_SIZE;
}

/* ---- reading ---- */

/* Pages that a reader holds while it copies, and where their content goes. */
struct held {
    struct data_page *pages[COPY_BATCH];
    void *to[COPY_BATCH];
    unsigned count;
};

static void note_use(struct data_page *page) {
    if (page->ahead)
        page->ahead = false;
    else if (page->uses < USES_MAX)
        page->uses++;
}

/* Holds what there is from block number `at` on, until the batch is full or it would have to wait
 * with something in hand. Returns the first number not looked at. */
static uint64_t hold_some(struct datacache *cache, const struct block_map *map, uint64_t at,
                          void *const *pages, uint64_t *rest, struct held *held) {
    os_mutex_lock(&cache->lock);
    while (at < map->count && held->count < COPY_BATCH) {
        struct data_page *page = NULL;
        if (map->blocks[at] != 0)
            page = datacache_find(cache, map->blocks[at]);
        if (page != NULL && page->checksum != map->checksums[at])
            page = NULL;
        if (page != NULL && page->state == DATA_PAGE_LOADING) {
            if (held->count > 0)
                break;
            os_condition_wait(&cache->settled, &cache->lock, OS_FOREVER);
            continue;
        }
        rest[at] = page == NULL ? map->blocks[at] : 0;
        if (page != NULL) {
            note_use(page);
            __atomic_fetch_add(&page->holders, 1, __ATOMIC_RELAXED);
            held->pages[held->count] = page;
            held->to[held->count++] = pages[at];
            cache->hits++;
        }
        cache->misses += rest[at] != 0;
        at++;
    }
    os_mutex_unlock(&cache->lock);
    return at;
}

uint64_t datacache_copy(struct datacache *cache, const struct block_map *map, void *const *pages,
                        uint64_t *rest) {
    for (uint64_t at = 0; at < map->count;) {
        struct held held;
        held.count = 0;
        at = hold_some(cache, map, at, pages, rest, &held);
        for (unsigned i = 0; i < held.count; i++) {
            memcpy(held.to[i], held.pages[i]->content, LFSX_BLOCK_SIZE);
            let_go(held.pages[i]);
        }
    }
    uint64_t missing = 0;
    for (uint64_t i = 0; i < map->count; i++)
        missing += rest[i] != 0;
    return missing;
}

/* Copies the `wanted` blocks among [first, end) into pages of its own first, then makes them
 * known. No page is given up for the others, which are in memory. */
static void keep_some(struct datacache *cache, const struct block_map *map, uint64_t first,
                      uint64_t end, uint64_t wanted, void *const *from, const uint64_t *rest) {
    struct list_node pages;
    struct list_node fresh;
    list_init(&pages);
    list_init(&fresh);
    (void)datacache_take(cache, wanted, &fresh);
    for (uint64_t i = first; i < end && !list_is_empty(&fresh); i++) {
        if (rest[i] == 0)
            continue;
        struct data_page *page = page_of(list_pop_front(&fresh));
        memcpy(page->content, from[i], LFSX_BLOCK_SIZE);
        page->block = rest[i];
        page->checksum = map->checksums[i];
        list_push_back(&pages, &page->link);
    }
    os_mutex_lock(&cache->lock);
    LIST_FOR_EACH_SAFE(link, &pages) {
        struct data_page *page = page_of(link);
        if (!displace(cache, page->block, page->checksum))
            continue;
        list_remove(link);
        enter(cache, page);
        queue_push(cache, page);
    }
    trim(cache);
    os_mutex_unlock(&cache->lock);
    datacache_give_back(&pages);
    datacache_give_back(&fresh);
}

void datacache_keep(struct datacache *cache, const struct block_map *map, uint64_t count,
                    void *const *pages, const uint64_t *rest) {
    for (uint64_t first = 0; first < count;) {
        uint64_t end = first;
        uint64_t wanted = 0;
        for (; end < count && wanted < COPY_BATCH; end++)
            wanted += rest[end] != 0;
        if (wanted > 0)
            keep_some(cache, map, first, end, wanted, pages, rest);
        first = end;
    }
}

/* ---- loading ---- */

void datacache_load_begin(struct datacache *cache, const struct block_map *map,
                          struct data_page **pages) {
    struct list_node fresh;
    uint64_t missing = 0;
    list_init(&fresh);
    os_mutex_lock(&cache->lock);
    for (uint64_t i = 0; i < map->count; i++)
        missing += map->blocks[i] != 0 && datacache_find(cache, map->blocks[i]) == NULL;
    os_mutex_unlock(&cache->lock);
    (void)datacache_take(cache, missing, &fresh);
    os_mutex_lock(&cache->lock);
    for (uint64_t i = 0; i < map->count; i++) {
        pages[i] = NULL;
        if (map->blocks[i] == 0 || list_is_empty(&fresh) ||
            !displace(cache, map->blocks[i], map->checksums[i]))
            continue;
        struct data_page *page = page_of(list_pop_front(&fresh));
        page->block = map->blocks[i];
        page->checksum = map->checksums[i];
        page->state = DATA_PAGE_LOADING;
        page->ahead = true;
        page->holders = 1; /* the loader */
        enter(cache, page);
        pages[i] = page;
    }
    os_mutex_unlock(&cache->lock);
    datacache_give_back(&fresh);
}

void datacache_load_end(struct datacache *cache, uint64_t count, struct data_page **pages,
                        const bool *good) {
    os_mutex_lock(&cache->lock);
    for (uint64_t i = 0; i < count; i++) {
        struct data_page *page = pages[i];
        if (page == NULL || __atomic_load_n(&page->holders, __ATOMIC_ACQUIRE) & DROPPED)
            continue;
        ASSERT(page->state == DATA_PAGE_LOADING);
        if (good[i])
            queue_push(cache, page);
        else
            datacache_drop(cache, page);
    }
    trim(cache);
    os_condition_broadcast(&cache->settled);
    os_mutex_unlock(&cache->lock);
    for (uint64_t i = 0; i < count; i++)
        if (pages[i] != NULL)
            let_go(pages[i]);
}

/* ---- staging ---- */

void datacache_stage(struct datacache *cache, struct data_page *page) {
    ASSERT(os_mutex_is_held(&cache->lock));
    struct data_page *old = datacache_find(cache, page->block);
    ASSERT(old == NULL || old->state == DATA_PAGE_CLEAN || old->state == DATA_PAGE_LOADING);
    if (old != NULL)
        datacache_drop(cache, old);
    table_insert(cache, page);
    page->state = DATA_PAGE_STAGED;
}

void datacache_written(struct datacache *cache, struct data_page *page) {
    ASSERT(os_mutex_is_held(&cache->lock));
    ASSERT(page->state == DATA_PAGE_WRITING);
    queue_push(cache, page);
    trim(cache);
}
