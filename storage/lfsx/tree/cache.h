/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes in memory. A node is found by its block; who looks holds the pool's lock, shared or
 * exclusive, and keeps no reference beyond it. Everything that changes the cache needs it
 * exclusive.
 *
 *   clean ── cache_touch ──> (a copy elsewhere is) dirty ── cache_freeze ──> writing ──> clean
 *
 * A dirty node belongs to the running generation and may be changed in place. A writing one is
 * being put on the device by the checkpoint and is as immutable as a clean one.
 */
#ifndef STORAGE_LFSX_TREE_CACHE_H
#define STORAGE_LFSX_TREE_CACHE_H

#include "base/list.h"
#include "storage/lfsx/format/node.h"

#include <stdbool.h>
#include <stdint.h>

struct lfsx_pool;

enum cached_state { CACHED_CLEAN, CACHED_DIRTY, CACHED_WRITING };

struct cached_node {
    struct cached_node *hash_next;
    struct list_node link;  /* in cache.clean, or in the checkpoint's list while writing */
    struct disk_node *page; /* DISK_BLOCK_SIZE bytes of os_page_alloc memory */
    uint64_t block;
    enum cached_state state;
    bool referenced; /* since the clock hand passed; set by readers too, races are harmless */
    bool orphan;     /* writing, and replaced already: freed once written */
};

struct node_cache {
    struct cached_node **buckets;
    uint64_t bucket_count;  /* power of two */
    struct list_node clean; /* clock order */
    struct list_node spare; /* nodes with a page, for updates that must not fail */
    uint64_t spare_count;
    uint64_t clean_count;
    uint64_t node_count; /* clean, dirty and writing ones; relaxed atomic */
    uint64_t dirty_count;
    uint64_t budget;       /* nodes */
    uint64_t hits, misses; /* relaxed atomics */
};

/* Budget in bytes; at least a thousand nodes are always kept. NO_MEMORY. */
enum status cache_init(struct node_cache *cache, uint64_t budget_bytes);
void cache_destroy(struct node_cache *cache);

/* The node that the pointer means, NULL if it is not in memory. Lock shared or exclusive. */
struct cached_node *cache_find(struct node_cache *cache, const struct pointer *pointer);

/* Sees to it that `count` new nodes can be made without fail. NO_MEMORY. Lock exclusive. */
enum status cache_reserve(struct node_cache *cache, uint64_t count);

/* Adds a clean node read from the device, page and all; one that is there already stays and the
 * page is freed. May evict others. NO_MEMORY (the page is freed), CORRUPT (the block has a new
 * tenant, so that what was read is of the past or of a damaged tree). Lock exclusive. */
enum status cache_add_clean(struct node_cache *cache, struct disk_node *page, uint64_t block);

/* A new dirty node at the block, its page not filled in; takes a reserved one. Lock exclusive. */
struct cached_node *cache_add_dirty(struct node_cache *cache, uint64_t block);

/* Forgets a node whose block was released. Lock exclusive. */
void cache_drop(struct node_cache *cache, struct cached_node *node);

/* A dirty node becomes writing and moves to the list. Lock exclusive. */
void cache_freeze(struct node_cache *cache, struct cached_node *node, struct list_node *writing);
/* A writing node is on the device: becomes clean, or is freed if it is an orphan. Lock exclusive.
 */
void cache_written(struct node_cache *cache, struct cached_node *node);

/* Frees clean nodes until about `bytes` are free; returns how many were. Lock exclusive. */
uint64_t cache_shrink(struct node_cache *cache, uint64_t bytes);

#endif
