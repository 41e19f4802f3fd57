/* SPDX-License-Identifier: Apache-2.0 */
/* A spill over a device in memory, and arrays of items that tell where they came from. */
#ifndef TESTS_STORAGE_LFSX_SPILL_SPILLTEST_H
#define TESTS_STORAGE_LFSX_SPILL_SPILLTEST_H

#include "storage/lfsx/spill/spill.h"
#include "tests/storage/lfsx/ramdisk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct spilltest {
    struct ramdisk *disk; /* NULL: no scratch device */
    struct spill *spill;
    enum status failure;
};

/* `scratch` in bytes; 0: none. */
static inline enum status spilltest_try(struct spilltest *test, uint64_t budget, uint64_t scratch) {
    *test = (struct spilltest){.disk = scratch == 0 ? NULL : ramdisk_create(scratch)};
    return spill_open(budget, scratch == 0 ? NULL : &test->disk->device, &test->failure,
                      &test->spill);
}

static inline void spilltest_start(struct spilltest *test, uint64_t budget, uint64_t scratch) {
    assert_int_equal(spilltest_try(test, budget, scratch), STATUS_OK);
}

static inline uint64_t spilltest_peak(const struct spilltest *test) {
    uint64_t memory, peak, scratch;
    spill_usage(test->spill, &memory, &peak, &scratch);
    return peak;
}

static inline uint64_t spilltest_scratch(const struct spilltest *test) {
    uint64_t memory, peak, scratch;
    spill_usage(test->spill, &memory, &peak, &scratch);
    return scratch;
}

static inline void spilltest_end(struct spilltest *test) {
    spill_close(test->spill);
    if (test->disk != NULL)
        ramdisk_destroy(test->disk);
}

/* An item of an array: sorted by key; equal ones stay in the order of their numbers. */
struct spilltest_item {
    uint64_t key, number;
    unsigned char filling[24];
};

static inline bool spilltest_before(const void *one, const void *two) {
    const struct spilltest_item *a = one;
    const struct spilltest_item *b = two;
    return a->key < b->key;
}

#endif
