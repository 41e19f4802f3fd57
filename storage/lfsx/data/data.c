/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks between memory and the device: neighbours on both sides travel as one request, several
 * requests at a time. Needs no memory beyond its stack, so that a checkpoint cannot fail for want
 * of it.
 */
#include "storage/lfsx/data/data.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/lfsx_format.h"

#define STACK_REQUESTS 16u
#define STACK_SPANS 64u

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

void data_window_init(struct data_window *window, struct blockdev *device,
                      enum block_operation operation) {
    window->device = device;
    window->operation = operation;
    window->request_count = window->span_count = 0;
    window->running = false;
    window->status = STATUS_OK;
    os_completion_init(&window->completion);
}

void data_window_destroy(struct data_window *window) {
    ASSERT(!window->running);
    os_completion_destroy(&window->completion);
}

void data_window_start(struct data_window *window) {
    ASSERT(!window->running);
    window->running = true;
    os_completion_expect(&window->completion, window->request_count);
    for (unsigned i = 0; i < window->request_count; i++)
        blockdev_submit(window->device, &window->requests[i]);
}

static void window_finish(struct data_window *window) {
    ASSERT(window->running);
    os_completion_wait(&window->completion);
    for (unsigned i = 0; i < window->request_count && window->status == STATUS_OK; i++)
        window->status = window->requests[i].status;
    window->request_count = window->span_count = 0;
    window->running = false;
}

enum status data_window_wait(struct data_window *window) {
    window_finish(window);
    enum status status = window->status;
    window->status = STATUS_OK;
    return status;
}

/* Adds a block to the last request if it continues it on the device. */
static bool window_extend(struct data_window *window, uint64_t offset, void *page) {
    if (window->request_count == 0)
        return false;
    uint64_t limit = MATH_MAX(window->device->limits.max_transfer, DISK_BLOCK_SIZE);
    struct block_request *request = &window->requests[window->request_count - 1];
    if (request->offset + request->length != offset || request->length + DISK_BLOCK_SIZE > limit)
        return false;
    struct span *last = &request->spans[request->span_count - 1];
    if ((char *)last->base + last->length == (char *)page) {
        last->length += DISK_BLOCK_SIZE;
    } else if (window->span_count < window->span_limit) {
        window->spans[window->span_count++] = (struct span){page, DISK_BLOCK_SIZE};
        request->span_count++;
    } else {
        return false;
    }
    request->length += DISK_BLOCK_SIZE;
    return true;
}

void data_window_add(struct data_window *window, uint64_t block, void *page) {
    ASSERT(!window->running);
    uint64_t offset = block * DISK_BLOCK_SIZE;
    if (window_extend(window, offset, page))
        return;
    if (window->request_count == window->request_limit ||
        window->span_count == window->span_limit) {
        data_window_start(window);
        window_finish(window);
    }
    struct span *span = &window->spans[window->span_count++];
    *span = (struct span){page, DISK_BLOCK_SIZE};
    window->requests[window->request_count++] =
        (struct block_request){.operation = window->operation,
                               .offset = offset,
                               .length = DISK_BLOCK_SIZE,
                               .spans = span,
                               .span_count = 1,
                               .done = request_done,
                               .context = &window->completion};
}

enum status data_transfer(struct blockdev *device, enum block_operation operation,
                          const struct block_map *map, void *const *pages) {
    struct block_request requests[STACK_REQUESTS];
    struct span spans[STACK_SPANS];
    struct data_window window = {.requests = requests,
                                 .spans = spans,
                                 .request_limit = STACK_REQUESTS,
                                 .span_limit = STACK_SPANS};
    data_window_init(&window, device, operation);
    for (uint64_t i = 0; i < map->count && window.status == STATUS_OK; i++)
        if (map->blocks[i] != 0)
            data_window_add(&window, map->blocks[i], pages[i]);
    enum status status = window.status;
    if (status == STATUS_OK) {
        if (window.request_count > 0)
            requests[window.request_count - 1].waits = true;
        data_window_start(&window);
        status = data_window_wait(&window);
    }
    data_window_destroy(&window);
    return status;
}
