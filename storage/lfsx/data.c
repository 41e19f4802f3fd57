/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks between memory and the device: neighbours on both sides travel as one request, several
 * requests at a time. Needs no memory beyond its stack, so that a checkpoint cannot fail for want
 * of it.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/pool.h"

#define WINDOW_REQUESTS 16u
#define WINDOW_SPANS 64u

/* Requests in flight together; on the stack of data_transfer(). */
struct window {
    struct os_completion completion;
    struct block_request requests[WINDOW_REQUESTS];
    struct span spans[WINDOW_SPANS];
    unsigned request_count, span_count;
};

enum status block_map_alloc(struct block_map *map, uint64_t count) {
    map->count = count;
    map->blocks = os_alloc_zeroed(2 * count * sizeof *map->blocks);
    map->checksums = map->blocks + (map->blocks == NULL ? 0 : count);
    return map->blocks == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

void block_map_free(struct block_map *map) {
    os_free(map->blocks);
    map->blocks = NULL;
}

static void request_done(struct block_request *request) {
    os_completion_signal(request->context);
}

/* Starts what the window holds, waits for all of it, and empties it. */
static enum status window_run(struct window *window, struct blockdev *device) {
    enum status status = STATUS_OK;
    os_completion_expect(&window->completion, window->request_count);
    for (unsigned i = 0; i < window->request_count; i++)
        blockdev_submit(device, &window->requests[i]);
    os_completion_wait(&window->completion);
    for (unsigned i = 0; i < window->request_count && status == STATUS_OK; i++)
        status = window->requests[i].status;
    window->request_count = 0;
    window->span_count = 0;
    return status;
}

/* Adds a block to the last request if it continues it on the device. */
static bool window_extend(struct window *window, uint64_t offset, void *page, uint64_t limit) {
    if (window->request_count == 0)
        return false;
    struct block_request *request = &window->requests[window->request_count - 1];
    if (request->offset + request->length != offset || request->length + DISK_BLOCK_SIZE > limit)
        return false;
    struct span *last = &request->spans[request->span_count - 1];
    if ((char *)last->base + last->length == (char *)page) {
        last->length += DISK_BLOCK_SIZE;
    } else if (window->span_count < WINDOW_SPANS) {
        window->spans[window->span_count++] = (struct span){page, DISK_BLOCK_SIZE};
        request->span_count++;
    } else {
        return false;
    }
    request->length += DISK_BLOCK_SIZE;
    return true;
}

static bool window_is_full(const struct window *window) {
    return window->request_count == WINDOW_REQUESTS || window->span_count == WINDOW_SPANS;
}

static void window_add(struct window *window, enum block_operation operation, uint64_t offset,
                       void *page) {
    struct span *span = &window->spans[window->span_count++];
    *span = (struct span){page, DISK_BLOCK_SIZE};
    window->requests[window->request_count++] =
        (struct block_request){.operation = operation,
                               .offset = offset,
                               .length = DISK_BLOCK_SIZE,
                               .spans = span,
                               .span_count = 1,
                               .done = request_done,
                               .context = &window->completion};
}

enum status data_transfer(struct blockdev *device, enum block_operation operation,
                          const struct block_map *map, void *const *pages) {
    struct window window;
    window.request_count = 0;
    window.span_count = 0;
    os_completion_init(&window.completion);
    uint64_t limit = MATH_MAX(device->limits.max_transfer, DISK_BLOCK_SIZE);
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < map->count && status == STATUS_OK; i++) {
        if (map->blocks[i] == 0)
            continue;
        uint64_t offset = map->blocks[i] * DISK_BLOCK_SIZE;
        if (window_extend(&window, offset, pages[i], limit))
            continue;
        if (window_is_full(&window))
            status = window_run(&window, device);
        window_add(&window, operation, offset, pages[i]);
    }
    if (status == STATUS_OK)
        status = window_run(&window, device);
    os_completion_destroy(&window.completion);
    return status;
}
