/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of spill/ share: frames of memory, and pages found through trees.
 *
 * A sequence of pages is a radix tree: a directory has an entry for each of the SPILL_FANOUT pages
 * or directories below it. Directories are pages like others and go to the scratch device too.
 *
 * Invariants:
 * 1. An entry is 0 (the page was never written), a slot of the scratch device (odd), or the frame
 *    that the page is in. An entry's own directory is in memory whenever the entry is a frame.
 * 2. So only a frame without children can be evicted, and a directory that is written has no
 *    entries that are frames.
 * 3. A slot belongs to one page, to the list of free slots, or lies at or behind `next_slot`.
 * 4. With a budget, memory <= budget.
 */
#ifndef STORAGE_LFSX_SPILL_SPILL_INTERNAL_H
#define STORAGE_LFSX_SPILL_SPILL_INTERNAL_H

#include "base/list.h"
#include "base/os.h"
#include "storage/lfsx/spill/spill.h"

#define SPILL_FANOUT (OS_PAGE_SIZE / sizeof(uint64_t))
#define SPILL_FANOUT_BITS 9u
#define SPILL_RUN 16u /* pages written with one request */

_Static_assert(1u << SPILL_FANOUT_BITS == SPILL_FANOUT, "a directory is one page");

struct spill_free_slots; /* spill/scratch.c */

struct spill {
    uint64_t budget;           /* bytes; 0: none */
    struct blockdev *scratch;  /* NULL: none */
    enum status *failure;      /* the caller's */
    uint64_t memory, peak;     /* bytes */
    struct list_node frames;   /* all, in the order in which the clock's hand passes */
    struct list_node *hand;    /* a frame's link, or the list's head */
    uint64_t slots, next_slot; /* that the device has; that none before it was used */
    struct spill_free_slots *free_slots;
};

struct spill_pages;

/* A page in memory. */
struct spill_frame {
    struct list_node link;
    struct spill_pages *owner;
    struct spill_frame *parent; /* NULL: it is the root */
    void *page;
    uint64_t slot;     /* one more than its slot; 0: it has none */
    unsigned index;    /* of its entry in the parent */
    unsigned children; /* entries that are frames; one more while something is put below it */
    bool dirty;        /* its slot has not what it has */
    bool referenced;   /* since the hand passed */
};

/* A sequence of pages. */
struct spill_pages {
    struct spill *spill;
    uint64_t root;   /* an entry */
    unsigned levels; /* of directories */
    uint64_t last_index;
    struct spill_frame *last; /* the page that was asked for last, if it is in memory */
};

/* ---- spill/spill.c ---- */

void spill_fail(struct spill *spill, enum status status);
static inline bool spill_failed(const struct spill *spill) {
    return *spill->failure != STATUS_OK;
}
/* Memory within the budget; NULL is a failure. Released with the same size. */
void *spill_alloc(struct spill *spill, uint64_t bytes);
void spill_free(struct spill *spill, void *memory, uint64_t bytes);
/* A frame with an undefined page, belonging to nothing; NULL is a failure. */
struct spill_frame *spill_frame_take(struct spill *spill);
void spill_frame_give(struct spill *spill, struct spill_frame *frame);

/* ---- spill/scratch.c ---- */

enum status spill_scratch_open(struct spill *spill);
void spill_scratch_close(struct spill *spill);
/* A free slot; false is a failure. */
bool spill_slot_take(struct spill *spill, uint64_t *slot);
void spill_slot_give(struct spill *spill, uint64_t slot);
bool spill_slot_read(struct spill *spill, uint64_t slot, void *page);
/* Writes pages to slots that follow each other; at most SPILL_RUN. */
bool spill_slots_write(struct spill *spill, uint64_t slot, void *const *pages, unsigned count);

/* ---- spill/pages.c ---- */

void spill_pages_init(struct spill_pages *pages, struct spill *spill);
/* All of them are as if never written. */
void spill_pages_clear(struct spill_pages *pages);
/* Index of the first page at or behind that was written; UINT64_MAX: none. */
uint64_t spill_pages_next(struct spill_pages *pages, uint64_t index);
/* Puts what the frame has into its slot, with neighbours; false is a failure. */
bool spill_frame_write(struct spill_frame *frame);
/* Its parent's entry, or the root. */
uint64_t *spill_frame_entry(struct spill_frame *frame);
void *spill_page_find(struct spill_pages *pages, uint64_t index, bool write);

/* The content of a page, until the next call. NULL: it was never written and is not to be, which
 * means zeros; or a failure. */
static inline void *spill_page(struct spill_pages *pages, uint64_t index, bool write) {
    if (pages->last_index != index || pages->last == NULL)
        return spill_page_find(pages, index, write);
    pages->last->dirty |= write;
    return pages->last->page;
}

#endif
