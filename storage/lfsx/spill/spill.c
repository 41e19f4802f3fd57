/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget: who gets a frame, and which page has to leave for it. A clock: its hand passes over
 * pages that were found through their directory since it came by last. What is read or written in
 * order is found so only once for each page, and leaves first.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/spill/spill_internal.h"

#define ALLOCATION_BYTES 16u /* that one takes besides what it gives, about */
#define FRAME_BYTES (sizeof(struct spill_frame) + ALLOCATION_BYTES + OS_PAGE_SIZE)

void spill_fail(struct spill *spill, enum status status) {
    ASSERT(status != STATUS_OK);
    if (!spill_failed(spill))
        *spill->failure = status;
}

static struct spill_frame *frame_of(struct list_node *link) {
    return LIST_CONTAINER(link, struct spill_frame, link);
}

static void count(struct spill *spill, uint64_t bytes) {
    spill->memory += bytes;
    spill->peak = MATH_MAX(spill->peak, spill->memory);
    ASSERT(spill->budget == 0 || spill->memory <= spill->budget);
}

static void unlink(struct spill *spill, struct spill_frame *frame) {
    if (spill->hand == &frame->link)
        spill->hand = frame->link.next;
    list_remove(&frame->link);
}

/* The frame's page stays reachable, by its slot. */
static void detach(struct spill_frame *frame) {
    ASSERT(frame->children == 0 && !frame->dirty && frame->slot != 0);
    *spill_frame_entry(frame) = (frame->slot - 1) << 1 | 1;
    if (frame->parent != NULL)
        frame->parent->children--;
    if (frame->owner->last == frame)
        frame->owner->last = NULL;
}

static void report_full(struct spill *spill) {
    log_error("lfsx", "%llu MiB of memory are not enough, and there is no scratch space",
              (unsigned long long)(spill->budget >> 20));
    spill_fail(spill, STATUS_NO_MEMORY);
}

/* Takes the memory of the page that is missed least; NULL is a failure. */
static struct spill_frame *evict(struct spill *spill) {
    if (spill->scratch == NULL) {
        report_full(spill);
        return NULL;
    }
    for (;;) {
        if (spill->hand == &spill->frames)
            spill->hand = spill->frames.next;
        ASSERT(spill->hand != &spill->frames);
        struct spill_frame *frame = frame_of(spill->hand);
        spill->hand = spill->hand->next;
        bool stays = frame->children > 0 || frame->referenced;
        frame->referenced = false;
        if (stays)
            continue;
        if (frame->dirty && !spill_frame_write(frame))
            return NULL;
        detach(frame);
        unlink(spill, frame);
        return frame;
    }
}

static void destroy(struct spill *spill, struct spill_frame *frame) {
    os_page_free(frame->page, OS_PAGE_SIZE);
    os_free(frame);
    spill->memory -= FRAME_BYTES;
}

static struct spill_frame *create(struct spill *spill) {
    struct spill_frame *frame = os_alloc(sizeof *frame);
    void *page = os_page_alloc(OS_PAGE_SIZE);
    if (frame == NULL || page == NULL) {
        os_free(frame);
        os_page_free(page, OS_PAGE_SIZE);
        spill_fail(spill, STATUS_NO_MEMORY);
        return NULL;
    }
    frame->page = page;
    count(spill, FRAME_BYTES);
    return frame;
}

struct spill_frame *spill_frame_take(struct spill *spill) {
    bool fits = spill->budget == 0 || spill->budget - spill->memory >= FRAME_BYTES;
    struct spill_frame *frame = fits ? create(spill) : evict(spill);
    if (frame == NULL)
        return NULL;
    *frame = (struct spill_frame){.page = frame->page};
    /* Behind the hand: it comes there last. */
    list_insert_after(spill->hand->previous, &frame->link);
    return frame;
}

void spill_frame_give(struct spill *spill, struct spill_frame *frame) {
    unlink(spill, frame);
    destroy(spill, frame);
}

void *spill_alloc(struct spill *spill, uint64_t bytes) {
    ASSERT(spill->budget == 0 || bytes <= spill->budget / 2);
    while (spill->budget != 0 && spill->budget - spill->memory < bytes) {
        struct spill_frame *frame = evict(spill);
        if (frame == NULL)
            return NULL;
        destroy(spill, frame);
    }
    void *memory = os_alloc(bytes);
    if (memory == NULL)
        spill_fail(spill, STATUS_NO_MEMORY);
    else
        count(spill, bytes);
    return memory;
}

void spill_free(struct spill *spill, void *memory, uint64_t bytes) {
    if (memory == NULL)
        return;
    os_free(memory);
    spill->memory -= bytes;
}

enum status spill_open(uint64_t budget, struct blockdev *scratch, enum status *failure,
                       struct spill **opened) {
    ASSERT(*failure == STATUS_OK);
    if (budget != 0 && budget < SPILL_BUDGET_MIN)
        return STATUS_INVALID;
    struct spill *spill = os_alloc_zeroed(sizeof *spill);
    if (spill == NULL)
        return STATUS_NO_MEMORY;
    spill->budget = budget;
    spill->scratch = budget == 0 ? NULL : scratch;
    spill->failure = failure;
    list_init(&spill->frames);
    spill->hand = &spill->frames;
    enum status status = spill_scratch_open(spill);
    if (status != STATUS_OK) {
        os_free(spill);
        return status;
    }
    *opened = spill;
    return STATUS_OK;
}

void spill_close(struct spill *spill) {
    if (spill == NULL)
        return;
    ASSERT(list_is_empty(&spill->frames));
    spill_scratch_close(spill);
    ASSERT(spill->memory == 0);
    os_free(spill);
}

void spill_usage(const struct spill *spill, uint64_t *memory, uint64_t *peak, uint64_t *scratch) {
    *memory = spill->memory;
    *peak = spill->peak;
    *scratch = spill->next_slot * OS_PAGE_SIZE;
}
