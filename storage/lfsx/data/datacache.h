/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data in memory: blocks of files, found by where they lie on the device.
 *
 * A block's content never changes while something names it, and whoever names it has its checksum.
 * So a page is asked for by address and checksum, and nothing is ever invalidated: when a block has
 * a new tenant, the checksum that is asked for is another one. What is in here was verified when it
 * came in, or is what its checksum was made from.
 *
 *   datacache_keep ─────────────────────────────────────────> clean, may be given up at any time
 *   datacache_load_begin ──> loading ── datacache_load_end ─────┤ (or gone, if the read failed)
 *   datacache_stage ──> staged ──> writing ── datacache_written ┘   (staging.h)
 *
 * Who stays is decided as S3-FIFO does: a page comes into a small queue, a tenth of the whole; what
 * was used there twice and more moves to the main queue, the rest leaves, and only its key is
 * remembered; what is wanted again while its key is remembered goes to the main queue at once. So a
 * scan passes through the small queue and evicts nothing that is in use.
 *
 * The lock is below every other lock of the pool; nothing is allocated, no I/O done and no other
 * lock taken under it. Memory that there is not only means that something is not cached.
 */
#ifndef STORAGE_LFSX_DATA_DATACACHE_H
#define STORAGE_LFSX_DATA_DATACACHE_H

#include "base/list.h"
#include "base/os.h"
#include "storage/lfsx/data/data.h"
#include "storage/lfsx/data/ghost.h"
#include "storage/lfsx/tree/cache.h"

#include <stdbool.h>
#include <stdint.h>

enum data_page_state { DATA_PAGE_CLEAN, DATA_PAGE_LOADING, DATA_PAGE_STAGED, DATA_PAGE_WRITING };

struct data_page {
    struct data_page *hash_next;
    struct list_node link; /* in a queue while clean; its maker's, or staging's, otherwise */
    void *content;         /* LFSX_BLOCK_SIZE bytes of os_page_alloc memory */
    uint64_t block, checksum;
    uint64_t ticket;  /* while staged: its place in the order of staging */
    uint32_t holders; /* atomic: who copies from it, and whether it was dropped meanwhile */
    uint16_t share;   /* while staged: whose it is (throttle.h) */
    uint8_t state;
    uint8_t uses;
    bool in_main; /* the queue that it belongs to */
    bool ahead;   /* read ahead and not asked for yet */
};

struct datacache {
    struct os_mutex lock;        /* guards everything below, and the pages but for `holders` */
    struct os_condition settled; /* a page is no longer loading, or no longer staged */
    struct data_page **buckets;  /* NULL: there is no cache */
    uint64_t bucket_mask;
    uint64_t budget;                /* pages, shared with the nodes */
    const struct node_cache *nodes; /* they come first, up to a share; may be NULL */
    uint64_t count;                 /* pages in the table */
    struct list_node small, main;   /* clean pages, the oldest first */
    uint64_t small_count, main_count;
    struct ghost ghost;
    uint64_t hits, misses;
};

/* The share of the budget that nodes may take. */
#define DATACACHE_NODES_OF(budget) ((budget) / 4 * 3)

/* With a budget too small for a cache, or without memory, there is none: nothing is ever in it. */
void datacache_init(struct datacache *cache, uint64_t budget_bytes, const struct node_cache *nodes);
/* Nobody uses it any more. Frees the clean pages; staging has taken the others out. */
void datacache_destroy(struct datacache *cache);
bool datacache_exists(const struct datacache *cache);
/* Pages that data may take at this moment. */
uint64_t datacache_limit(const struct datacache *cache);

/* ---- for readers; no lock held ---- */

/* Copies what is in memory of the mapped blocks to pages[]; waits for what is just being loaded.
 * rest[i] is blocks[i] where it is not in memory, else 0. Returns how many blocks those are. */
uint64_t datacache_copy(struct datacache *cache, const struct block_map *map, void *const *pages,
                        uint64_t *rest);
/* Keeps a copy of the blocks with numbers below `count` that rest[] names, if there is memory; they
 * were verified. */
void datacache_keep(struct datacache *cache, const struct block_map *map, uint64_t count,
                    void *const *pages, const uint64_t *rest);
/* The blocks have new tenants, that are not in here: forgets the old ones. */
void datacache_forget(struct datacache *cache, const struct block_map *map);
/* Gives up clean pages until about `bytes` are free (0: all); returns how many were. */
uint64_t datacache_shrink(struct datacache *cache, uint64_t bytes);

/* Makes pages to be filled in for what is not in memory of the mapped blocks, as far as there is
 * memory; the others of pages[] are NULL. Whoever wants one of those blocks waits until load_end.
 */
void datacache_load_begin(struct datacache *cache, const struct block_map *map,
                          struct data_page **pages);
/* The pages were filled in; the good ones are what their checksum says. */
void datacache_load_end(struct datacache *cache, uint64_t count, struct data_page **pages,
                        const bool *good);

/* ---- pages that nobody else has seen ---- */

/* Appends up to `count` pages to the list, from what is given up or new; returns how many. */
uint64_t datacache_take(struct datacache *cache, uint64_t count, struct list_node *pages);
/* Frees what is in the list. */
void datacache_give_back(struct list_node *pages);

/* ---- for staging; the lock is held ---- */

/* The page at the block in whatever state, NULL if there is none. */
struct data_page *datacache_find(struct datacache *cache, uint64_t block);
/* Makes a filled-in page findable that is not on the device yet. */
void datacache_stage(struct datacache *cache, struct data_page *page);
/* A page that was staged is on the device. */
void datacache_written(struct datacache *cache, struct data_page *page);
/* Takes a page out of the table that was staged, or is clean; freed once nobody copies from it. */
void datacache_drop(struct datacache *cache, struct data_page *page);

#endif
