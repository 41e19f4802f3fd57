/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scratch device: slots of a page each. Free slots are kept in a list of which the part that is
 * used is in memory; each part that is full stands in one of the free slots itself.
 */
#include "base/log.h"
#include "base/math.h"
#include "storage/lfsx/spill/spill_internal.h"

#define LIST_SLOTS (SPILL_FANOUT - 2)

struct spill_free_slots {
    uint64_t next; /* one more than the slot with the next part; 0: there is none */
    uint64_t count;
    uint64_t slots[LIST_SLOTS];
};
_Static_assert(sizeof(struct spill_free_slots) == OS_PAGE_SIZE, "a part of the list is one page");

enum status spill_scratch_open(struct spill *spill) {
    if (spill->scratch == NULL)
        return STATUS_OK;
    const struct blockdev_limits *limits = &spill->scratch->limits;
    if (limits->block_size > OS_PAGE_SIZE || limits->max_transfer < OS_PAGE_SIZE ||
        limits->read_only)
        return STATUS_INVALID;
    spill->slots = spill->scratch->size / OS_PAGE_SIZE;
    spill->free_slots = os_page_alloc(OS_PAGE_SIZE);
    if (spill->free_slots == NULL)
        return STATUS_NO_MEMORY;
    spill->free_slots->next = spill->free_slots->count = 0;
    spill->memory = spill->peak = OS_PAGE_SIZE;
    return STATUS_OK;
}

void spill_scratch_close(struct spill *spill) {
    if (spill->free_slots == NULL)
        return;
    os_page_free(spill->free_slots, OS_PAGE_SIZE);
    spill->memory -= OS_PAGE_SIZE;
}

/* That the device is full is no lack of space in the pool. */
static void report(struct spill *spill, enum status status) {
    bool is_full = status == STATUS_NO_SPACE;
    unsigned long long used = spill->next_slot * OS_PAGE_SIZE >> 20;
    if (spill_failed(spill))
        return;
    if (is_full)
        log_error("lfsx", "%llu MiB of memory are not enough, and %s is full: it holds %llu MiB",
                  (unsigned long long)(spill->budget >> 20), spill->scratch->name, used);
    else
        log_error("lfsx", "%s, which stands in for memory: %s", spill->scratch->name,
                  status_text(status));
    spill_fail(spill, is_full ? STATUS_NO_MEMORY : status);
}

static void signal_waiter(struct block_request *request) {
    os_completion_signal(request->context);
}

static bool transfer(struct spill *spill, enum block_operation operation, uint64_t slot,
                     struct span *spans, unsigned count) {
    struct os_completion completion;
    os_completion_init(&completion);
    os_completion_expect(&completion, 1);
    struct block_request request = {.operation = operation,
                                    .offset = slot * OS_PAGE_SIZE,
                                    .length = (uint64_t)count * OS_PAGE_SIZE,
                                    .spans = spans,
                                    .span_count = count,
                                    .done = signal_waiter,
                                    .context = &completion};
    blockdev_submit(spill->scratch, &request);
    os_completion_wait(&completion);
    os_completion_destroy(&completion);
    if (request.status != STATUS_OK)
        report(spill, request.status);
    return request.status == STATUS_OK;
}

bool spill_slot_read(struct spill *spill, uint64_t slot, void *page) {
    struct span span = {page, OS_PAGE_SIZE};
    return transfer(spill, BLOCK_READ, slot, &span, 1);
}

bool spill_slots_write(struct spill *spill, uint64_t slot, void *const *pages, unsigned count) {
    unsigned most = MATH_MIN(SPILL_RUN, spill->scratch->limits.max_transfer / OS_PAGE_SIZE);
    struct span spans[SPILL_RUN];
    for (unsigned done = 0; done < count; done += most) {
        unsigned part = MATH_MIN(most, count - done);
        for (unsigned i = 0; i < part; i++)
            spans[i] = (struct span){pages[done + i], OS_PAGE_SIZE};
        if (!transfer(spill, BLOCK_WRITE, slot + done, spans, part))
            return false;
    }
    return true;
}

bool spill_slot_take(struct spill *spill, uint64_t *slot) {
    struct spill_free_slots *list = spill->free_slots;
    if (list->count > 0) {
        *slot = list->slots[--list->count];
        return true;
    }
    if (list->next != 0) { /* what the slot held is in memory then, so it is free itself */
        *slot = list->next - 1;
        return spill_slot_read(spill, *slot, list);
    }
    if (spill->next_slot == spill->slots) {
        report(spill, STATUS_NO_SPACE);
        return false;
    }
    *slot = spill->next_slot++;
    return true;
}

void spill_slot_give(struct spill *spill, uint64_t slot) {
    struct spill_free_slots *list = spill->free_slots;
    if (spill_failed(spill))
        return;
    if (list->count == LIST_SLOTS) {
        void *page = list;
        if (!spill_slots_write(spill, slot, &page, 1))
            return;
        list->next = slot + 1;
        list->count = 0;
        return;
    }
    list->slots[list->count++] = slot;
}
