/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whichever allocation or request to the scratch device fails, and however small that device
 * is: the first failure is told, nothing is lost or used after it was given back, and all that was
 * opened can be closed. Without a failure the work's result is right.
 */
#include "host/host.h"
#include "tests/storage/lfsx/spill/spilltest.h"

#define BUDGET (1u << 20)
#define ITEMS 40000u /* 1.5 MiB, sorted into as much again */
#define BITS (1u << 24)
#define STRIDE 4099u
#define SCRATCH (8u << 20)
#define ALLOCATIONS_STEP 7u /* every so many; most of them are alike: the pages of the budget */
#define REQUESTS_STEP 5u

/* A device of which one request fails. */
struct flaky {
    struct blockdev device;
    struct blockdev *below;
    uint64_t requests;
    uint64_t fails; /* this one; 0: none */
    enum status status;
};

static void flaky_submit(struct blockdev *device, struct block_request *request) {
    struct flaky *flaky = (struct flaky *)device;
    if (++flaky->requests != flaky->fails) {
        blockdev_submit(flaky->below, request);
        return;
    }
    request->status = flaky->status;
    request->done(request);
}

static uint64_t key_of(uint64_t i) {
    return i * 7919 % ITEMS;
}

static void fill(struct spill_array *array, struct spill_bits *bits, const enum status *failure) {
    for (uint64_t i = 0; i < ITEMS && *failure == STATUS_OK; i++) {
        struct spilltest_item item = {.key = key_of(i), .number = i};
        spill_array_add(array, &item);
        spill_bit_put(bits, i * STRIDE % BITS, true);
    }
}

/* What is read after a failure counts for nothing. */
static void assert_result(struct spill_array *array, struct spill_bits *bits,
                          const enum status *failure) {
    for (uint64_t i = 0; i < ITEMS; i++) {
        struct spilltest_item item;
        spill_array_get(array, i, &item);
        bool is_set = spill_bit(bits, i * STRIDE % BITS);
        if (*failure != STATUS_OK)
            return;
        assert_int_equal(item.key, i);
        assert_int_equal(key_of(item.number), i);
        assert_true(is_set);
    }
    uint64_t count = spill_bits_count(bits, 0, BITS);
    assert_true(*failure != STATUS_OK || count == ITEMS);
}

/* Returns how it ended. */
static enum status work(struct blockdev *scratch) {
    enum status failure = STATUS_OK;
    struct spill *spill;
    enum status status = spill_open(BUDGET, scratch, &failure, &spill);
    if (status != STATUS_OK)
        return status;
    struct spill_array *array = spill_array_open(spill, sizeof(struct spilltest_item));
    struct spill_bits *bits = spill_bits_open(spill, BITS);
    if (failure == STATUS_OK)
        fill(array, bits, &failure);
    if (failure == STATUS_OK)
        spill_array_sort(array, spilltest_before);
    if (failure == STATUS_OK)
        assert_result(array, bits, &failure);
    spill_array_close(array);
    spill_bits_close(bits);
    spill_close(spill);
    return failure;
}

static void each_allocation_fails(void **state) {
    (void)state;
    struct ramdisk *disk = ramdisk_create(SCRATCH);
    uint64_t after = 0;
    enum status status = STATUS_NO_MEMORY;
    for (; status == STATUS_NO_MEMORY; after += ALLOCATIONS_STEP) {
        host_memory_fail(after, after % 2 != 0);
        status = work(&disk->device);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(after > 100);
    ramdisk_destroy(disk);
}

static void each_request_fails(void **state) {
    (void)state;
    static const struct blockdev_operations operations = {.submit = flaky_submit};
    struct ramdisk *disk = ramdisk_create(SCRATCH);
    uint64_t fails = 1;
    enum status status;
    do {
        struct flaky flaky = {.device = disk->device,
                              .below = &disk->device,
                              .fails = fails,
                              .status = fails % 2 == 0 ? STATUS_IO : STATUS_GONE};
        flaky.device.operations = &operations;
        status = work(&flaky.device);
        bool reached = flaky.requests >= fails;
        assert_int_equal(status, reached ? flaky.status : STATUS_OK);
        fails += REQUESTS_STEP * (fails > 100 ? 23 : 1);
    } while (status != STATUS_OK);
    assert_true(fails > 1000);
    ramdisk_destroy(disk);
}

static void the_scratch_device_is_full(void **state) {
    (void)state;
    uint64_t size = OS_PAGE_SIZE;
    enum status status;
    do {
        struct ramdisk *disk = ramdisk_create(size);
        status = work(&disk->device);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        ramdisk_destroy(disk);
        size += 37 * OS_PAGE_SIZE;
    } while (status != STATUS_OK);
    assert_true(size > BUDGET);
}

static void without_a_scratch_device(void **state) {
    (void)state;
    assert_int_equal(work(NULL), STATUS_NO_MEMORY);
}

/* What the caller's own failure leaves undone must not keep anything from ending. */
static void the_caller_fails(void **state) {
    (void)state;
    struct spilltest test;
    spilltest_start(&test, BUDGET, SCRATCH);
    struct spill_array *array = spill_array_open(test.spill, sizeof(struct spilltest_item));
    struct spill_bits *bits = spill_bits_open(test.spill, BITS);
    fill(array, bits, &test.failure);
    test.failure = STATUS_GONE;
    spill_array_sort(array, spilltest_before);
    assert_true(spill_bits_find(bits, BITS / 2, true) <= BITS);
    spill_array_close(array);
    spill_bits_close(bits);
    assert_int_equal(test.failure, STATUS_GONE);
    spilltest_end(&test);
}

static void what_cannot_be_used_is_refused(void **state) {
    (void)state;
    struct spilltest test;
    assert_int_equal(spilltest_try(&test, SPILL_BUDGET_MIN - 1, 0), STATUS_INVALID);
    struct ramdisk *disk = ramdisk_create(SCRATCH);
    disk->device.limits.read_only = true;
    assert_int_equal(work(&disk->device), STATUS_INVALID);
    disk->device.limits.read_only = false;
    disk->device.limits.block_size = 2 * OS_PAGE_SIZE;
    assert_int_equal(work(&disk->device), STATUS_INVALID);
    ramdisk_destroy(disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(each_request_fails),
        cmocka_unit_test(the_scratch_device_is_full),
        cmocka_unit_test(without_a_scratch_device),
        cmocka_unit_test(the_caller_fails),
        cmocka_unit_test(what_cannot_be_used_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
