/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. A target is tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput();
 * its input is a compact description of what to do, so that every input means something and small
 * ones reach far. An input always does the same: random numbers and the wall clock are replaced
 * (common.c), and nothing lives from one input to the next.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "tests/storage/lfsx/ramdisk.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* What must be so whatever the input: a finding otherwise. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input, read from the front; zeros when it is used up. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t input_take(struct input *input, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && input->left > 0; i++, input->left--)
        value |= (uint64_t)*input->at++ << 8 * i;
    return value;
}

/* A device that holds `content` and remembers nothing else: the same one each time, since fresh
 * memory would take longer than most inputs do. One size for each program. */
struct ramdisk *fuzz_disk(const unsigned char *content, uint64_t bytes);

/* Starts the sequence of replaced random numbers again. */
void fuzz_random_restart(void);

#endif
