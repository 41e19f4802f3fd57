/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts requests into pieces that the driver takes. Memory is never copied; the list of spans is
 * only where a cut goes through a span.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/block/block_internal.h"

struct cursor {
    uint64_t position; /* bytes of the request that were cut off already */
    uint32_t span;     /* the span in which it lies */
    uint64_t inside;   /* bytes of that span that lie before it */
};

/* Bytes of the whole spans that follow the cursor and fit; *count of them. */
static uint64_t whole_spans(const struct block_request *request, const struct cursor *cursor,
                            uint64_t limit, uint32_t block_size, uint32_t *count) {
    uint64_t sum = 0;
    *count = 0;
    if (cursor->inside != 0)
        return 0;
    for (uint32_t i = cursor->span; i < request->span_count; i++) {
        if (request->spans[i].length > limit - sum)
            break;
        sum += request->spans[i].length;
        ++*count;
    }
    return sum % block_size == 0 ? sum : 0;
}

/* Fills the part's own spans with what follows the cursor, as much as fits, in whole blocks. */
static uint64_t cut_spans(struct block_part *part, const struct block_request *request,
                          const struct cursor *cursor, uint64_t limit, uint32_t block_size,
                          uint32_t *count) {
    uint64_t sum = 0;
    uint64_t inside = cursor->inside;
    *count = 0;
    for (uint32_t i = cursor->span; i < request->span_count && sum < limit; i++, inside = 0) {
        if (*count == BLOCK_PART_SPANS)
            break;
        uint64_t length = MATH_MIN(request->spans[i].length - inside, limit - sum);
        part->spans[(*count)++] =
            (struct span){(char *)request->spans[i].base + inside, (size_t)length};
        sum += length;
    }
    uint64_t excess = sum % block_size;
    sum -= excess;
    ASSERT(sum > 0);
    while (excess > 0) {
        struct span *last = &part->spans[*count - 1];
        uint64_t less = MATH_MIN(excess, last->length);
        last->length -= less;
        excess -= less;
        if (last->length == 0)
            --*count;
    }
    return sum;
}

static void advance(const struct block_request *request, struct cursor *cursor, uint64_t length) {
    cursor->position += length;
    cursor->inside += length;
    while (cursor->span < request->span_count &&
           cursor->inside >= request->spans[cursor->span].length)
        cursor->inside -= request->spans[cursor->span++].length;
}

static uint64_t cut_data(struct block_part *part, const struct block_request *request,
                         struct cursor *cursor) {
    const struct blockdev_limits *limits = &part->disk->driver->limits;
    uint64_t limit = MATH_MIN(limits->max_transfer, request->length - cursor->position);
    uint32_t count, cut_count;
    uint64_t whole = whole_spans(request, cursor, limit, limits->block_size, &count);
    uint64_t length = whole;
    part->request.spans = &request->spans[cursor->span];
    if (whole < limit) {
        length = cut_spans(part, request, cursor, limit, limits->block_size, &cut_count);
        if (whole < length) {
            part->request.spans = part->spans;
            count = cut_count;
        } else {
            length = whole;
        }
    }
    part->request.span_count = count;
    advance(request, cursor, length);
    return length;
}

static void cut(struct block_part *part, const struct block_view *view,
                const struct block_request *request, struct cursor *cursor) {
    struct block_request *piece = &part->request;
    piece->operation = request->operation;
    piece->flags = request->flags;
    piece->offset = 0;
    piece->length = 0;
    piece->spans = NULL;
    piece->span_count = 0;
    if (request->operation == BLOCK_FLUSH)
        return;
    piece->offset = view->start + request->offset + cursor->position;
    if (request->operation == BLOCK_DISCARD) {
        const struct blockdev_limits *limits = &part->disk->driver->limits;
        uint64_t limit = math_round_down(limits->max_discard, limits->block_size);
        piece->length = MATH_MIN(limit, request->length - cursor->position);
        cursor->position += piece->length;
    } else {
        piece->length = cut_data(part, request, cursor);
    }
}

static void finish(struct block_request *request) {
    struct block_view *view = (struct block_view *)(uintptr_t)request->device[BLOCK_WORD_VIEW];
    enum status status =
        (enum status)__atomic_load_n(&request->device[BLOCK_WORD_STATUS], __ATOMIC_RELAXED);
    uint64_t latency = os_now_ns() - request->device[BLOCK_WORD_START];
    block_statistics_record(view, request, status, latency);
    if (latency > BLOCK_SLOW_NS) {
        block_count(&view->disk->slow, 1);
        if (block_may_log(view->disk))
            log_warning(BLOCK_ROOM, "%s: %s of %llu bytes at %llu took %llu ms", view->device.name,
                        block_operation_name(request->operation),
                        (unsigned long long)request->length, (unsigned long long)request->offset,
                        (unsigned long long)(latency / 1000000));
    }
    request->status = status;
    request->done(request);
}

void block_piece_ended(struct block_request *request, enum status status) {
    uint64_t none = STATUS_OK;
    if (status != STATUS_OK)
        __atomic_compare_exchange_n(&request->device[BLOCK_WORD_STATUS], &none, (uint64_t)status,
                                    false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    if (__atomic_sub_fetch(&request->device[BLOCK_WORD_OUTSTANDING], 1, __ATOMIC_ACQ_REL) == 0)
        finish(request);
}

void block_submit(struct blockdev *device, struct block_request *request) {
    struct block_view *view = block_view_of(device);
    struct cursor cursor = {.position = 0};
    request->device[BLOCK_WORD_OUTSTANDING] = 1;
    request->device[BLOCK_WORD_STATUS] = STATUS_OK;
    request->device[BLOCK_WORD_START] = os_now_ns();
    request->device[BLOCK_WORD_VIEW] = (uintptr_t)view;
    uint64_t length = request->operation == BLOCK_FLUSH ? 0 : request->length;
    do {
        struct block_part *part = block_part_take(view->disk);
        part->parent = request;
        part->started_ns = request->device[BLOCK_WORD_START];
        cut(part, view, request, &cursor);
        __atomic_fetch_add(&request->device[BLOCK_WORD_OUTSTANDING], 1, __ATOMIC_RELAXED);
        block_part_start(part);
        /* What has failed already fails as a whole: the rest would be wasted. */
    } while (cursor.position < length &&
             __atomic_load_n(&request->device[BLOCK_WORD_STATUS], __ATOMIC_RELAXED) == STATUS_OK);
    block_piece_ended(request, STATUS_OK);
}
