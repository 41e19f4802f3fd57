/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on a volume, and what they do to plain memory. */
#ifndef TESTS_STORAGE_LFSX_VOLUMEMODEL_H
#define TESTS_STORAGE_LFSX_VOLUMEMODEL_H

#include "tests/storage/lfsx/pooltest.h"

enum operation_kind { OPERATION_WRITE, OPERATION_TRIM, OPERATION_ZERO, OPERATION_FILL_ZERO };

struct operation {
    enum operation_kind kind;
    uint64_t offset;
    uint32_t length;
    uint64_t seed; /* of what is written */
};

/* A range of the volume: sectors, blocks, odd bytes; mostly small. Never empty. */
static inline struct operation operation_random(struct random *random, uint64_t size,
                                                uint32_t max_length) {
    static const uint32_t units[] = {1, 512, 4096, 4096, 65536};
    uint32_t unit = units[random_below(random, ARRAY_LENGTH(units))];
    uint64_t offset = random_below(random, size) / unit * unit;
    uint64_t limit = MATH_MIN(size - offset, max_length);
    if (!random_one_in(random, 4))
        limit = MATH_MIN(limit, 40000);
    uint64_t length = 1 + random_below(random, limit);
    if (length > unit)
        length = length / unit * unit;
    if (random_one_in(random, 12)) /* up to the end */
        length = MATH_MIN(size - offset, max_length);
    uint64_t dice = random_below(random, 20);
    return (struct operation){.kind = dice < 13   ? OPERATION_WRITE
                                      : dice < 16 ? OPERATION_TRIM
                                      : dice < 18 ? OPERATION_ZERO
                                                  : OPERATION_FILL_ZERO,
                              .offset = offset,
                              .length = (uint32_t)length,
                              .seed = random_next(random)};
}

/* What the operation does to content of the size. */
static inline void operation_apply(const struct operation *operation, unsigned char *content,
                                   uint64_t size) {
    uint64_t begin = operation->offset;
    uint64_t end = begin + operation->length;
    if (operation->kind == OPERATION_WRITE) {
        struct random random = {operation->seed};
        random_fill(&random, content + begin, operation->length);
        return;
    }
    if (operation->kind == OPERATION_TRIM) {
        begin = math_round_up(begin, LFSX_BLOCK_SIZE);
        end = end == size ? end : math_round_down(end, LFSX_BLOCK_SIZE);
    }
    if (begin < end)
        memset(content + begin, 0, end - begin);
}

static inline enum status operation_do(const struct operation *operation,
                                       struct lfsx_volume *volume, uint32_t flags) {
    if (operation->kind == OPERATION_TRIM)
        return lfsx_volume_trim(volume, operation->offset, operation->length, flags);
    if (operation->kind == OPERATION_ZERO)
        return lfsx_volume_zero(volume, operation->offset, operation->length, flags);
    if (operation->kind == OPERATION_FILL_ZERO)
        return lfsx_volume_zero(volume, operation->offset, operation->length, flags | LFSX_NO_HOLE);
    unsigned char *data = malloc(operation->length);
    struct random random = {operation->seed};
    random_fill(&random, data, operation->length);
    enum status status = pooltest_write(volume, operation->offset, data, operation->length, flags);
    free(data);
    return status;
}

/* Reads a range and compares it. */
static inline void assert_content(struct lfsx_volume *volume, const unsigned char *content,
                                  uint64_t offset, uint64_t length) {
    while (length > 0) {
        uint32_t piece = (uint32_t)MATH_MIN(length, 1u << 20);
        unsigned char *data = malloc(piece);
        assert_int_equal(pooltest_read(volume, offset, data, piece), STATUS_OK);
        if (memcmp(data, content + offset, piece) != 0) {
            uint64_t at = 0;
            while (data[at] == content[offset + at])
                at++;
            fail_msg("byte %llu of the volume is wrong", (unsigned long long)(offset + at));
        }
        free(data);
        offset += piece;
        length -= piece;
    }
}

#endif
