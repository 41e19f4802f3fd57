/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "base/math.h"
#include "base/os.h"
#include "storage/lfsx/lfsx.h"

/* Whole blocks come in chunks of this size, so that a large buffer needs no large contiguous memory
 * and yet travels in few pieces. */
#define CHUNK_BYTES (128u << 10)

/* What lfsx_buffer_alloc() really makes: one allocation with both arrays behind it. */
static struct lfsx_buffer *allocate_arrays(uint32_t chunks, uint32_t blocks) {
    size_t size =
        sizeof(struct lfsx_buffer) + chunks * sizeof(struct span) + (size_t)blocks * sizeof(void *);
    struct lfsx_buffer *buffer = os_alloc_zeroed(size);
    if (buffer == NULL)
        return NULL;
    buffer->spans = (struct span *)(buffer + 1);
    buffer->blocks = (void **)(buffer->spans + chunks);
    buffer->span_count = chunks;
    buffer->block_count = blocks;
    return buffer;
}

static uint64_t chunk_bytes(const struct lfsx_buffer *buffer, uint32_t chunk) {
    uint64_t whole = (uint64_t)buffer->block_count * LFSX_BLOCK_SIZE;
    return MATH_MIN(whole - (uint64_t)chunk * CHUNK_BYTES, CHUNK_BYTES);
}

static enum status allocate_chunks(struct lfsx_buffer *buffer) {
    const uint32_t blocks_per_chunk = CHUNK_BYTES / LFSX_BLOCK_SIZE;
    for (uint32_t i = 0; i < buffer->span_count; i++) {
        uint64_t bytes = chunk_bytes(buffer, i);
        char *chunk = os_page_alloc(bytes);
        if (chunk == NULL)
            return STATUS_NO_MEMORY;
        buffer->spans[i] = (struct span){chunk, bytes};
        for (uint64_t at = 0; at < bytes; at += LFSX_BLOCK_SIZE)
            buffer->blocks[i * blocks_per_chunk + at / LFSX_BLOCK_SIZE] = chunk + at;
    }
    return STATUS_OK;
}

enum status lfsx_buffer_alloc(uint64_t offset, uint32_t length, struct lfsx_buffer **out) {
    if (length == 0 || length > LFSX_MAX_IO)
        return STATUS_INVALID;
    if (!math_range_inside(offset, length, LFSX_VOLUME_SIZE_MAX))
        return STATUS_OUT_OF_RANGE;
    uint64_t first = offset / LFSX_BLOCK_SIZE;
    uint64_t end = math_divide_up(offset + length, LFSX_BLOCK_SIZE);
    uint32_t blocks = (uint32_t)(end - first);
    uint64_t whole = (uint64_t)blocks * LFSX_BLOCK_SIZE;
    struct lfsx_buffer *buffer =
        allocate_arrays((uint32_t)math_divide_up(whole, CHUNK_BYTES), blocks);
    if (buffer == NULL)
        return STATUS_NO_MEMORY;
    buffer->offset = offset;
    buffer->length = length;
    if (allocate_chunks(buffer) != STATUS_OK) {
        lfsx_buffer_free(buffer);
        return STATUS_NO_MEMORY;
    }
    /* The spans name the payload: without what precedes and follows it in the outer blocks. */
    uint32_t before = (uint32_t)(offset % LFSX_BLOCK_SIZE);
    struct span *last = &buffer->spans[buffer->span_count - 1];
    last->length -= whole - before - length;
    buffer->spans[0].base = (char *)buffer->spans[0].base + before;
    buffer->spans[0].length -= before;
    *out = buffer;
    return STATUS_OK;
}

void lfsx_buffer_free(struct lfsx_buffer *buffer) {
    if (buffer == NULL)
        return;
    const uint32_t blocks_per_chunk = CHUNK_BYTES / LFSX_BLOCK_SIZE;
    for (uint32_t i = 0; i < buffer->span_count; i++)
        os_page_free(buffer->blocks[i * blocks_per_chunk], chunk_bytes(buffer, i));
    os_free(buffer);
}
