/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages found through directories. A page that is put into memory is counted by its directory
 * before memory is asked for, so that the directory cannot be evicted for it.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/spill/spill_internal.h"

static bool is_slot(uint64_t entry) {
    return entry & 1;
}

static bool is_frame(uint64_t entry) {
    return entry != 0 && !is_slot(entry);
}

static struct spill_frame *frame_of(uint64_t entry) {
    return (struct spill_frame *)(uintptr_t)entry;
}

static uint64_t *entries_of(struct spill_frame *directory) {
    return directory->page;
}

uint64_t *spill_frame_entry(struct spill_frame *frame) {
    return frame->parent == NULL ? &frame->owner->root : &entries_of(frame->parent)[frame->index];
}

void spill_pages_init(struct spill_pages *pages, struct spill *spill) {
    *pages = (struct spill_pages){.spill = spill};
}

/* ---- from the scratch device and to it ---- */

/* A frame for the entry, which is none; the page is what the slot has, or zeros. */
static struct spill_frame *load(struct spill_pages *pages, struct spill_frame *parent,
                                unsigned index, uint64_t *entry) {
    struct spill *spill = pages->spill;
    if (parent != NULL)
        parent->children++;
    struct spill_frame *frame = spill_frame_take(spill);
    bool done = frame != NULL;
    if (done && is_slot(*entry)) {
        frame->slot = (*entry >> 1) + 1;
        done = spill_slot_read(spill, frame->slot - 1, frame->page);
    } else if (done) {
        memset(frame->page, 0, OS_PAGE_SIZE);
        frame->dirty = true;
    }
    if (!done) {
        if (frame != NULL)
            spill_frame_give(spill, frame);
        if (parent != NULL)
            parent->children--;
        return NULL;
    }
    frame->owner = pages;
    frame->parent = parent;
    frame->index = index;
    *entry = (uintptr_t)frame;
    return frame;
}

/* The frame and those right behind it that have to be written, too. */
static unsigned gather(struct spill_frame *first, struct spill_frame **run) {
    run[0] = first;
    unsigned count = 1;
    if (first->parent == NULL)
        return count;
    const uint64_t *entries = entries_of(first->parent);
    while (count < SPILL_RUN && first->index + count < SPILL_FANOUT) {
        uint64_t entry = entries[first->index + count];
        if (!is_frame(entry) || !frame_of(entry)->dirty || frame_of(entry)->children > 0)
            break;
        run[count++] = frame_of(entry);
    }
    return count;
}

static bool give_slot(struct spill_frame *frame) {
    uint64_t slot;
    if (frame->slot != 0)
        return true;
    if (!spill_slot_take(frame->owner->spill, &slot))
        return false;
    frame->slot = slot + 1;
    if (frame->parent != NULL)
        frame->parent->dirty = true;
    return true;
}

bool spill_frame_write(struct spill_frame *frame) {
    struct spill_frame *run[SPILL_RUN];
    void *pages[SPILL_RUN];
    if (!give_slot(frame))
        return false;
    unsigned count = gather(frame, run);
    unsigned length = 0; /* of those whose slots follow each other */
    while (length < count && give_slot(run[length]) && run[length]->slot == frame->slot + length) {
        pages[length] = run[length]->page;
        length++;
    }
    if (spill_failed(frame->owner->spill) ||
        !spill_slots_write(frame->owner->spill, frame->slot - 1, pages, length))
        return false;
    for (unsigned i = 0; i < length; i++)
        run[i]->dirty = false;
    return true;
}

/* ---- finding ---- */

/* Whether the directories are enough for the page. */
static bool reaches(const struct spill_pages *pages, uint64_t index) {
    unsigned bits = pages->levels * SPILL_FANOUT_BITS;
    return bits >= 64 || index >> bits == 0;
}

/* Puts a directory above the root. */
static bool grow(struct spill_pages *pages) {
    uint64_t below = pages->root;
    if (below != 0) {
        uint64_t root = 0;
        if (is_frame(below))
            frame_of(below)->referenced = true;
        struct spill_frame *directory = load(pages, NULL, 0, &root);
        if (directory == NULL)
            return false;
        below = pages->root; /* it may have been evicted for the directory */
        entries_of(directory)[0] = below;
        if (is_frame(below)) {
            frame_of(below)->parent = directory;
            directory->children++;
        }
        pages->root = root;
    }
    pages->levels++;
    return true;
}

void *spill_page_find(struct spill_pages *pages, uint64_t index, bool write) {
    if (spill_failed(pages->spill))
        return NULL;
    while (!reaches(pages, index))
        if (!write || !grow(pages))
            return NULL;
    uint64_t *entry = &pages->root;
    struct spill_frame *frame = NULL;
    unsigned at = 0;
    for (unsigned level = pages->levels;; level--) {
        if (*entry == 0 && !write)
            return NULL;
        if (is_frame(*entry)) {
            frame = frame_of(*entry);
            frame->referenced = true;
        } else {
            frame = load(pages, frame, at, entry);
        }
        if (frame == NULL)
            return NULL;
        if (level == 0)
            break;
        at = index >> (level - 1) * SPILL_FANOUT_BITS & (SPILL_FANOUT - 1);
        entry = &entries_of(frame)[at];
    }
    frame->dirty |= write;
    pages->last = frame;
    pages->last_index = index;
    return frame->page;
}

/* Below the directory: its first entry at or behind the page's that is something; SPILL_FANOUT:
 * none. */
static unsigned next_entry(struct spill_frame *directory, unsigned at) {
    while (at < SPILL_FANOUT && entries_of(directory)[at] == 0)
        at++;
    return at;
}

/* Goes down towards the page; true if something is there, else *index is the next that may be. */
static bool look(struct spill_pages *pages, uint64_t *index) {
    uint64_t *entry = &pages->root;
    struct spill_frame *frame = NULL;
    unsigned at = 0;
    for (unsigned level = pages->levels; level > 0; level--) {
        unsigned bits = (level - 1) * SPILL_FANOUT_BITS;
        frame = is_frame(*entry) ? frame_of(*entry) : load(pages, frame, at, entry);
        if (frame == NULL) {
            *index = UINT64_MAX;
            return false;
        }
        at = *index >> bits & (SPILL_FANOUT - 1);
        unsigned next = next_entry(frame, at);
        if (next != at) {
            *index = ((*index >> bits) + (next - at)) << bits;
            return false;
        }
        entry = &entries_of(frame)[at];
    }
    return true;
}

uint64_t spill_pages_next(struct spill_pages *pages, uint64_t index) {
    while (!spill_failed(pages->spill) && pages->root != 0 && reaches(pages, index))
        if (look(pages, &index))
            return index;
    return UINT64_MAX;
}

/* ---- releasing ---- */

/* Calls itself, once for each level. */
static void release(struct spill_pages *pages, struct spill_frame *parent, unsigned index,
                    uint64_t *entry, unsigned level) {
    struct spill *spill = pages->spill;
    struct spill_frame *frame = is_frame(*entry) ? frame_of(*entry) : NULL;
    if (*entry != 0 && frame == NULL && level > 0 && !spill_failed(spill))
        frame = load(pages, parent, index, entry);
    uint64_t slot = frame != NULL ? frame->slot : *entry == 0 ? 0 : (*entry >> 1) + 1;
    if (frame != NULL && level > 0) {
        frame->children++; /* stays until the last below it is gone */
        for (unsigned i = 0; i < SPILL_FANOUT; i++)
            release(pages, frame, i, &entries_of(frame)[i], level - 1);
        frame->children--;
    }
    if (frame != NULL) {
        ASSERT(frame->children == 0);
        if (parent != NULL)
            parent->children--;
        spill_frame_give(spill, frame);
    }
    *entry = 0;
    if (slot != 0)
        spill_slot_give(spill, slot - 1);
}

void spill_pages_clear(struct spill_pages *pages) {
    release(pages, NULL, 0, &pages->root, pages->levels);
    spill_pages_init(pages, pages->spill);
}
