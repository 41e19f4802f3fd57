/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of an image that an input of a fuzzer describes: 14 bytes each, how (1), width (1), place
 * (2), offset (2), value (8). */
#ifndef TESTS_FUZZ_EDITS_H
#define TESTS_FUZZ_EDITS_H

#include "tests/fuzz/image.h"

/* Takes edits from the input, and makes them. */
void edits_apply(const struct image *image, unsigned char *content, struct input *input);

/* LLVMFuzzerCustomMutator() for inputs that are `header` bytes and edits. */
size_t edits_mutate(uint8_t *data, size_t size, size_t max_size, unsigned seed, size_t header);

#endif
