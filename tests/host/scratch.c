/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: scratch space holds what was written to it, leaves nothing behind in its directory, is no
 * larger than a file may be, and tells when there is no directory or no room.
 */
#include "base/os.h"
#include "host/host.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define LENGTH (1u << 20)

static char directory[64];
static unsigned char *buffer;

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/holdfast-scratch-XXXXXX");
    buffer = os_page_alloc(LENGTH);
    return mkdtemp(directory) == NULL;
}

/* Fails if anything was left in the directory. */
static int tear_down(void **state) {
    (void)state;
    os_page_free(buffer, LENGTH);
    return rmdir(directory);
}

static void holds_what_was_written(void **state) {
    (void)state;
    struct blockdev *device;
    assert_int_equal(host_scratch_open(directory, &device), STATUS_OK);
    uint64_t far = (device->size - LENGTH) / OS_PAGE_SIZE * OS_PAGE_SIZE;
    for (unsigned round = 0; round < 2; round++) {
        memset(buffer, 0xa0 + (int)round, LENGTH);
        uint64_t offset = round == 0 ? 0 : far;
        assert_int_equal(blockdev_write(device, offset, buffer, LENGTH, 0), STATUS_OK);
    }
    assert_int_equal(blockdev_flush(device), STATUS_OK);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(blockdev_read(device, round == 0 ? 0 : far, buffer, LENGTH), STATUS_OK);
        for (unsigned i = 0; i < LENGTH; i++)
            assert_int_equal(buffer[i], 0xa0 + round);
    }
    blockdev_close(device);
}

static void no_directory(void **state) {
    (void)state;
    struct blockdev *device;
    assert_int_equal(host_scratch_open("/nowhere/at/all", &device), STATUS_NOT_FOUND);
    assert_int_equal(host_scratch_open("/proc/self/status", &device), STATUS_NOT_FOUND);
}

static void as_large_as_a_file_may_be(void **state) {
    (void)state;
    struct rlimit before;
    struct blockdev *device;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {10 * OS_PAGE_SIZE + 5, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(host_scratch_open(directory, &device), STATUS_OK);
    assert_int_equal(device->size, 10 * OS_PAGE_SIZE);
    assert_int_equal(blockdev_write(device, 0, buffer, device->size, 0), STATUS_OK);
    assert_int_equal(blockdev_write(device, 0, buffer, LENGTH, 0), STATUS_OUT_OF_RANGE);
    blockdev_close(device);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

/* The limit comes after the file was made: the same as a file system that others filled. */
static void no_room(void **state) {
    (void)state;
    struct rlimit before;
    struct blockdev *device;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(host_scratch_open(directory, &device), STATUS_OK);
    struct rlimit limit = {OS_PAGE_SIZE, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(blockdev_write(device, OS_PAGE_SIZE, buffer, OS_PAGE_SIZE, 0),
                     STATUS_NO_SPACE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    blockdev_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_written),
        cmocka_unit_test(no_directory),
        cmocka_unit_test(as_large_as_a_file_may_be),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
