/* SPDX-License-Identifier: Apache-2.0 */
#include "base/blockdev.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/os.h"

static bool has_data(enum block_operation operation) {
    return operation == BLOCK_READ || operation == BLOCK_WRITE;
}

static enum status validate_spans(const struct block_request *request) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request->span_count; i++) {
        const struct span *span = &request->spans[i];
        bool last = i + 1 == request->span_count;
        if ((uintptr_t)span->base % OS_PAGE_SIZE != 0 || span->length == 0)
            return STATUS_INVALID;
        if (!last && span->length % OS_PAGE_SIZE != 0)
            return STATUS_INVALID;
        if (!math_add(sum, span->length, &sum))
            return STATUS_INVALID;
    }
    return sum == request->length ? STATUS_OK : STATUS_INVALID;
}

static enum status validate(const struct blockdev *device, const struct block_request *request) {
    const struct blockdev_limits *limits = &device->limits;
    if ((unsigned)request->operation >= BLOCK_OPERATION_COUNT)
        return STATUS_INVALID;
    if (request->operation != BLOCK_READ && limits->read_only)
        return STATUS_READ_ONLY;
    if (request->operation == BLOCK_FLUSH)
        return STATUS_OK;
    if (request->offset % limits->block_size != 0 || request->length % limits->block_size != 0)
        return STATUS_UNALIGNED;
    uint64_t size = __atomic_load_n(&device->size, __ATOMIC_RELAXED);
    if (!math_range_inside(request->offset, request->length, size))
        return STATUS_OUT_OF_RANGE;
    if (request->length == 0)
        return STATUS_INVALID;
    if (request->operation == BLOCK_DISCARD) {
        if (limits->max_discard == 0)
            return STATUS_UNSUPPORTED;
        return request->length <= limits->max_discard ? STATUS_OK : STATUS_INVALID;
    }
    return request->length <= limits->max_transfer ? validate_spans(request) : STATUS_INVALID;
}

void blockdev_submit(struct blockdev *device, struct block_request *request) {
    ASSERT(request->done != NULL);
    list_init(&request->link);
    request->status = validate(device, request);
    if (request->status != STATUS_OK) {
        request->done(request);
        return;
    }
    device->operations->submit(device, request);
}

static void signal_waiter(struct block_request *request) {
    os_completion_signal(request->context);
}

static enum status run(struct blockdev *device, struct block_request *request) {
    struct os_completion completion;
    os_completion_init(&completion);
    os_completion_expect(&completion, 1);
    request->done = signal_waiter;
    request->context = &completion;
    request->waits = true;
    blockdev_submit(device, request);
    os_completion_wait(&completion);
    os_completion_destroy(&completion);
    request->context = NULL;
    return request->status;
}

static enum status run_split(struct blockdev *device, enum block_operation operation,
                             uint32_t flags, uint64_t offset, char *buffer, uint64_t length) {
    uint64_t limit = has_data(operation) ? device->limits.max_transfer : device->limits.max_discard;
    if (limit == 0)
        return STATUS_UNSUPPORTED;
    while (length > 0) {
        uint64_t piece = MATH_MIN(length, limit);
        struct span span = {buffer, piece};
        struct block_request request = {.operation = operation,
                                        .flags = flags,
                                        .offset = offset,
                                        .length = piece,
                                        .spans = &span,
                                        .span_count = has_data(operation) ? 1 : 0};
        enum status status = run(device, &request);
        if (status != STATUS_OK)
            return status;
        offset += piece;
        length -= piece;
        if (has_data(operation))
            buffer += piece;
    }
    return STATUS_OK;
}

enum status blockdev_read(struct blockdev *device, uint64_t offset, void *buffer, uint64_t length) {
    return run_split(device, BLOCK_READ, 0, offset, buffer, length);
}

enum status blockdev_write(struct blockdev *device, uint64_t offset, const void *buffer,
                           uint64_t length, uint32_t flags) {
    return run_split(device, BLOCK_WRITE, flags, offset, (char *)buffer, length);
}

enum status blockdev_flush(struct blockdev *device) {
    struct block_request request = {.operation = BLOCK_FLUSH};
    return run(device, &request);
}

enum status blockdev_discard(struct blockdev *device, uint64_t offset, uint64_t length) {
    return run_split(device, BLOCK_DISCARD, 0, offset, NULL, length);
}

void blockdev_measure(struct blockdev *device) {
    uint64_t size = device->operations->measure == NULL ? 0 : device->operations->measure(device);
    if (size > device->size)
        __atomic_store_n(&device->size, size, __ATOMIC_RELAXED);
}

void blockdev_close(struct blockdev *device) {
    if (device->operations->close != NULL)
        device->operations->close(device);
}
