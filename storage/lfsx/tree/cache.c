/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. At most one node that is not an orphan stands in the table for a block.
 * 2. Clean nodes, and only they, are in `clean`; spare ones are in `spare` and not in the table.
 * 3. node_count counts the table and the orphans; it exceeds the budget only by nodes that are
 * dirty or writing, which cannot be given up.
 */
#include "storage/lfsx/tree/cache.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"

/* Clean nodes that are never evicted: more than any single operation walks over, so that it finds
 * what it had loaded even while dirty nodes take the whole budget. */
#define MIN_CLEAN 1024u
#define SPARE_KEEP 64u /* nodes kept ready between updates */

enum status cache_init(struct node_cache *cache, uint64_t budget_bytes) {
    memset(cache, 0, sizeof *cache);
    list_init(&cache->clean);
    list_init(&cache->spare);
    cache->budget = MATH_MAX(budget_bytes / DISK_BLOCK_SIZE, MIN_CLEAN);
    cache->bucket_count = 1;
    while (cache->bucket_count < cache->budget)
        cache->bucket_count *= 2;
    cache->buckets = os_alloc_zeroed(cache->bucket_count * sizeof *cache->buckets);
    return cache->buckets == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static void node_free(struct cached_node *node) {
    os_page_free(node->page, DISK_BLOCK_SIZE);
    os_free(node);
}

static void free_spares(struct node_cache *cache, uint64_t keep) {
    while (cache->spare_count > keep) {
        struct list_node *link = list_pop_front(&cache->spare);
        ASSERT(link != NULL);
        node_free(LIST_CONTAINER(link, struct cached_node, link));
        cache->spare_count--;
    }
}

void cache_destroy(struct node_cache *cache) {
    for (uint64_t i = 0; cache->buckets != NULL && i < cache->bucket_count; i++) {
        struct cached_node *next;
        for (struct cached_node *node = cache->buckets[i]; node != NULL; node = next) {
            next = node->hash_next;
            ASSERT(node->state != CACHED_WRITING);
            node_free(node);
        }
    }
    free_spares(cache, 0);
    os_free(cache->buckets);
    cache->buckets = NULL;
}

static struct cached_node **bucket(struct node_cache *cache, uint64_t block) {
    return &cache->buckets[block * 0x9E3779B97F4A7C15ull >> 20 & (cache->bucket_count - 1)];
}

static struct cached_node *find(struct node_cache *cache, uint64_t block) {
    struct cached_node *node = *bucket(cache, block);
    while (node != NULL && node->block != block)
        node = node->hash_next;
    return node;
}

struct cached_node *cache_find(struct node_cache *cache, const struct pointer *pointer) {
    struct cached_node *node = find(cache, pointer->block);
    /* A clean node under the same address may be an older tenant that was loaded late. */
    if (node != NULL && node->state == CACHED_CLEAN &&
        le64_get(node->page->checksum) != pointer->checksum)
        node = NULL;
    if (node == NULL) {
        __atomic_fetch_add(&cache->misses, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    __atomic_fetch_add(&cache->hits, 1, __ATOMIC_RELAXED);
    if (!__atomic_load_n(&node->referenced, __ATOMIC_RELAXED))
        __atomic_store_n(&node->referenced, true, __ATOMIC_RELAXED);
    return node;
}

/* Read without the lock by those who share the budget. */
static void count_nodes(struct node_cache *cache, int change) {
    __atomic_store_n(&cache->node_count, cache->node_count + (uint64_t)(int64_t)change,
                     __ATOMIC_RELAXED);
}

static void table_insert(struct node_cache *cache, struct cached_node *node) {
    struct cached_node **head = bucket(cache, node->block);
    ASSERT(find(cache, node->block) == NULL);
    node->hash_next = *head;
    *head = node;
    count_nodes(cache, 1);
}

static void table_remove(struct node_cache *cache, struct cached_node *node) {
    struct cached_node **at = bucket(cache, node->block);
    while (*at != node) {
        ASSERT(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = node->hash_next;
    count_nodes(cache, -1);
}

static struct cached_node *node_new(struct disk_node *page) {
    struct cached_node *node = os_alloc_zeroed(sizeof *node);
    if (node == NULL)
        return NULL;
    list_init(&node->link);
    node->page = page;
    return node;
}

enum status cache_reserve(struct node_cache *cache, uint64_t count) {
    free_spares(cache, MATH_MAX(count, SPARE_KEEP));
    while (cache->spare_count < count) {
        struct disk_node *page = os_page_alloc(DISK_BLOCK_SIZE);
        struct cached_node *node = page == NULL ? NULL : node_new(page);
        if (node == NULL) {
            os_page_free(page, DISK_BLOCK_SIZE);
            return STATUS_NO_MEMORY;
        }
        list_push_back(&cache->spare, &node->link);
        cache->spare_count++;
    }
    return STATUS_OK;
}

static void drop_clean(struct node_cache *cache, struct cached_node *node) {
    ASSERT(node->state == CACHED_CLEAN);
    table_remove(cache, node);
    list_remove(&node->link);
    cache->clean_count--;
    node_free(node);
}

/* Gives up clean nodes, those first that nobody looked at since the hand passed. */
static uint64_t evict(struct node_cache *cache, uint64_t count) {
    uint64_t evicted = 0;
    uint64_t steps = 2 * cache->node_count; /* each may get a second chance */
    while (evicted < count && steps-- > 0 && cache->clean_count > MIN_CLEAN) {
        struct cached_node *node = LIST_CONTAINER(cache->clean.next, struct cached_node, link);
        if (node->referenced) {
            node->referenced = false;
            list_remove(&node->link);
            list_push_back(&cache->clean, &node->link);
            continue;
        }
        drop_clean(cache, node);
        evicted++;
    }
    return evicted;
}

static void make_clean(struct node_cache *cache, struct cached_node *node) {
    node->state = CACHED_CLEAN;
    list_push_back(&cache->clean, &node->link);
    cache->clean_count++;
    if (cache->node_count > cache->budget)
        evict(cache, cache->node_count - cache->budget);
}

enum status cache_add_clean(struct node_cache *cache, struct disk_node *page, uint64_t block) {
    struct cached_node *old = find(cache, block);
    bool newer = old != NULL && old->state != CACHED_CLEAN;
    if (newer || (old != NULL && le64_get(old->page->checksum) == le64_get(page->checksum))) {
        os_page_free(page, DISK_BLOCK_SIZE);
        return newer ? STATUS_CORRUPT : STATUS_OK;
    }
    struct cached_node *node = node_new(page);
    if (node == NULL) {
        os_page_free(page, DISK_BLOCK_SIZE);
        return STATUS_NO_MEMORY;
    }
    if (old != NULL)
        drop_clean(cache, old);
    node->block = block;
    node->referenced = true;
    table_insert(cache, node);
    make_clean(cache, node);
    return STATUS_OK;
}

struct cached_node *cache_add_dirty(struct node_cache *cache, uint64_t block) {
    struct cached_node *old = find(cache, block);
    if (old != NULL) /* loaded late, long after its block was released */
        drop_clean(cache, old);
    struct list_node *link = list_pop_front(&cache->spare);
    ASSERT(link != NULL);
    cache->spare_count--;
    struct cached_node *node = LIST_CONTAINER(link, struct cached_node, link);
    node->block = block;
    node->state = CACHED_DIRTY;
    node->orphan = false;
    table_insert(cache, node);
    cache->dirty_count++;
    return node;
}

void cache_drop(struct node_cache *cache, struct cached_node *node) {
    ASSERT(!node->orphan);
    switch (node->state) {
    case CACHED_CLEAN:
        drop_clean(cache, node);
        return;
    case CACHED_DIRTY:
        table_remove(cache, node);
        cache->dirty_count--;
        node_free(node);
        return;
    case CACHED_WRITING:
        table_remove(cache, node);
        count_nodes(cache, 1); /* still there, though no longer to be found */
        node->orphan = true;
        return;
    }
}

void cache_freeze(struct node_cache *cache, struct cached_node *node, struct list_node *writing) {
    ASSERT(node->state == CACHED_DIRTY);
    node->state = CACHED_WRITING;
    cache->dirty_count--;
    list_push_back(writing, &node->link);
}

void cache_written(struct node_cache *cache, struct cached_node *node) {
    ASSERT(node->state == CACHED_WRITING);
    list_remove(&node->link);
    if (node->orphan) {
        count_nodes(cache, -1);
        node_free(node);
        return;
    }
    make_clean(cache, node);
}

uint64_t cache_shrink(struct node_cache *cache, uint64_t bytes) {
    uint64_t spare = cache->spare_count;
    free_spares(cache, 0);
    uint64_t want = bytes == 0 ? cache->node_count : math_divide_up(bytes, DISK_BLOCK_SIZE);
    return (spare + evict(cache, want)) * DISK_BLOCK_SIZE;
}
