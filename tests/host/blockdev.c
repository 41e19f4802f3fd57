/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the file block device keeps its contract, also when the file system fails it. Two system
 * calls are replaced here, because no file can be made to fail a flush on demand.
 */
#include "base/blockdev.h"
#include "base/os.h"
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (16ull << 20)
#define KIB64 65536u

static _Atomic int fdatasync_calls, fdatasync_error, dsync_error, write_error;

int fdatasync(int fd) {
    fdatasync_calls++;
    if (fdatasync_error != 0) {
        errno = fdatasync_error;
        fdatasync_error = 0; /* Linux reports it once */
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags) {
    int error = (flags & RWF_DSYNC) ? dsync_error : write_error;
    if (error != 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pwritev2, fd, vector, (long)count, offset, 0l, flags);
}

struct fixture {
    char path[64];
    struct blockdev *device;
    unsigned char *buffer; /* KIB64 bytes of a pattern */
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->path, sizeof fixture->path, "/tmp/holdfast-blockdev-XXXXXX");
    int fd = mkstemp(fixture->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE + 100), 0);
    close(fd);
    assert_int_equal(host_blockdev_open(fixture->path, 0, &fixture->device), STATUS_OK);
    fixture->buffer = os_page_alloc(KIB64);
    for (unsigned i = 0; i < KIB64; i++)
        fixture->buffer[i] = (unsigned char)(i * 7 + i / 4096);
    fdatasync_calls = fdatasync_error = dsync_error = write_error = 0;
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    os_page_free(fixture->buffer, KIB64);
    if (fixture->device != NULL)
        blockdev_close(fixture->device);
    unlink(fixture->path);
    free(fixture);
    return 0;
}

/* What was written is read back, by another offset too, and stands in the file. */
static void writes_are_read_back(void **state) {
    struct fixture *fixture = *state;
    unsigned char *back = os_page_alloc(KIB64);
    assert_int_equal(blockdev_write(fixture->device, 512, fixture->buffer, KIB64, 0), STATUS_OK);
    assert_int_equal(blockdev_read(fixture->device, 512, back, KIB64), STATUS_OK);
    assert_memory_equal(back, fixture->buffer, KIB64);
    assert_int_equal(blockdev_read(fixture->device, 1024, back, KIB64 - 512), STATUS_OK);
    assert_memory_equal(back, fixture->buffer + 512, KIB64 - 512);
    int fd = open(fixture->path, O_RDONLY);
    assert_int_equal(pread(fd, back, KIB64, 512), KIB64);
    assert_memory_equal(back, fixture->buffer, KIB64);
    close(fd);
    os_page_free(back, KIB64);
}

/* The size is whole blocks; a flush is needed; the end cannot be crossed. */
static void limits_are_true(void **state) {
    struct fixture *fixture = *state;
    struct blockdev *device = fixture->device;
    assert_int_equal(device->size, SIZE);
    assert_true(device->limits.volatile_cache);
    assert_false(device->limits.read_only);
    assert_string_equal(device->name, strrchr(fixture->path, '/') + 1);
    assert_int_equal(blockdev_read(device, SIZE, fixture->buffer, 512), STATUS_OUT_OF_RANGE);
    assert_int_equal(blockdev_read(device, SIZE - 512, fixture->buffer, 1024), STATUS_OUT_OF_RANGE);
    assert_int_equal(blockdev_write(device, 100, fixture->buffer, 512, 0), STATUS_UNALIGNED);
}

struct job {
    struct block_request request;
    struct span spans[3];
    struct os_completion *completion;
};

static void job_done(struct block_request *request) {
    struct job *job = request->context;
    os_completion_signal(job->completion);
}

/* Many scattered requests in flight at once each reach their own place, those that the submitter's
 * thread does and those that others do. */
static void scattered_requests_run_together(void **state) {
    struct fixture *fixture = *state;
    struct os_completion completion;
    os_completion_init(&completion);
    static struct job jobs[64];
    for (unsigned i = 0; i < 64; i++) {
        unsigned char *page = fixture->buffer + i % 13 * 4096;
        jobs[i] = (struct job){
            .completion = &completion,
            .spans = {{page, 4096}, {page + 8192, 4096}, {page + 4096, 1024}},
            .request = {.operation = BLOCK_WRITE,
                        .flags = i % 2 == 0 ? 0 : BLOCK_FUA,
                        .offset = i * 16384,
                        .length = 9216,
                        .span_count = 3,
                        .done = job_done},
        };
        jobs[i].request.spans = jobs[i].spans;
        jobs[i].request.context = &jobs[i];
        os_completion_expect(&completion, 1);
        blockdev_submit(fixture->device, &jobs[i].request);
    }
    os_completion_wait(&completion);
    os_completion_destroy(&completion);
    unsigned char *back = os_page_alloc(12288);
    for (unsigned i = 0; i < 64; i++) {
        unsigned char *page = fixture->buffer + i % 13 * 4096;
        assert_int_equal(jobs[i].request.status, STATUS_OK);
        assert_int_equal(blockdev_read(fixture->device, i * 16384, back, 9216), STATUS_OK);
        assert_memory_equal(back, page, 4096);
        assert_memory_equal(back + 4096, page + 8192, 4096);
        assert_memory_equal(back + 8192, page + 4096, 1024);
    }
    os_page_free(back, 12288);
}

/* A discarded range gives its space back and reads as zeros on a file. */
static void discard_punches_holes(void **state) {
    struct fixture *fixture = *state;
    if (fixture->device->limits.max_discard == 0)
        skip();
    assert_int_equal(blockdev_write(fixture->device, 0, fixture->buffer, KIB64, BLOCK_FUA),
                     STATUS_OK);
    struct stat before, after;
    assert_int_equal(stat(fixture->path, &before), 0);
    assert_int_equal(blockdev_discard(fixture->device, 0, KIB64), STATUS_OK);
    assert_int_equal(stat(fixture->path, &after), 0);
    assert_true(after.st_blocks < before.st_blocks);
    assert_int_equal(after.st_size, SIZE + 100);
    static const unsigned char zeros[4096];
    assert_int_equal(blockdev_read(fixture->device, 4096, fixture->buffer, 4096), STATUS_OK);
    assert_memory_equal(fixture->buffer, zeros, 4096);
}

/* A flush is one fdatasync; a failed one is never followed by a good one. */
static void failed_flush_is_sticky(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(blockdev_flush(fixture->device), STATUS_OK);
    assert_int_equal(fdatasync_calls, 1);
    fdatasync_error = EIO;
    assert_int_equal(blockdev_flush(fixture->device), STATUS_IO);
    assert_int_equal(blockdev_flush(fixture->device), STATUS_IO);
    assert_int_equal(blockdev_write(fixture->device, 0, fixture->buffer, 4096, BLOCK_FUA),
                     STATUS_IO);
    assert_int_equal(blockdev_read(fixture->device, 0, fixture->buffer, 4096), STATUS_OK);
}

/* A write with FUA that fails is a failed flush; so is a plain write that the medium refused. */
static void failed_writes_fail_flushes(void **state) {
    struct fixture *fixture = *state;
    dsync_error = EIO;
    assert_int_equal(blockdev_write(fixture->device, 0, fixture->buffer, 4096, BLOCK_FUA),
                     STATUS_IO);
    dsync_error = 0;
    assert_int_equal(blockdev_flush(fixture->device), STATUS_IO);
    blockdev_close(fixture->device);
    assert_int_equal(host_blockdev_open(fixture->path, 0, &fixture->device), STATUS_OK);
    assert_int_equal(blockdev_flush(fixture->device), STATUS_OK);
    write_error = ENOSPC;
    assert_int_equal(blockdev_write(fixture->device, 0, fixture->buffer, 4096, 0), STATUS_NO_SPACE);
    assert_int_equal(blockdev_flush(fixture->device), STATUS_OK);
    write_error = EIO;
    assert_int_equal(blockdev_write(fixture->device, 0, fixture->buffer, 4096, 0), STATUS_IO);
    assert_int_equal(blockdev_flush(fixture->device), STATUS_IO);
}

/* Without RWF_DSYNC, FUA is a write and a flush. */
static void fua_without_dsync_flushes(void **state) {
    struct fixture *fixture = *state;
    dsync_error = EOPNOTSUPP;
    assert_int_equal(blockdev_write(fixture->device, 0, fixture->buffer, 4096, BLOCK_FUA),
                     STATUS_OK);
    assert_int_equal(fdatasync_calls, 1);
}

/* A file that got shorter under us is an I/O error and not endless reading. */
static void truncated_file_is_an_error(void **state) {
    struct fixture *fixture = *state;
    assert_int_equal(truncate(fixture->path, 4096), 0);
    assert_int_equal(blockdev_read(fixture->device, 8192, fixture->buffer, 4096), STATUS_IO);
    assert_int_equal(blockdev_read(fixture->device, 0, fixture->buffer, 4096), STATUS_OK);
}

/* One writer or many readers, unless shared. */
static void lock_keeps_others_out(void **state) {
    struct fixture *fixture = *state;
    struct blockdev *one, *other;
    assert_int_equal(host_blockdev_open(fixture->path, 0, &one), STATUS_BUSY);
    assert_int_equal(host_blockdev_open(fixture->path, HOST_BLOCKDEV_READ_ONLY, &one), STATUS_BUSY);
    assert_int_equal(host_blockdev_open(fixture->path, HOST_BLOCKDEV_SHARED, &one), STATUS_OK);
    blockdev_close(one);
    blockdev_close(fixture->device);
    fixture->device = NULL;
    assert_int_equal(host_blockdev_open(fixture->path, HOST_BLOCKDEV_READ_ONLY, &one), STATUS_OK);
    assert_int_equal(host_blockdev_open(fixture->path, HOST_BLOCKDEV_READ_ONLY, &other), STATUS_OK);
    assert_true(one->limits.read_only);
    assert_int_equal(blockdev_write(one, 0, fixture->buffer, 4096, 0), STATUS_READ_ONLY);
    assert_int_equal(host_blockdev_open(fixture->path, 0, &fixture->device), STATUS_BUSY);
    blockdev_close(one);
    blockdev_close(other);
    fixture->device = NULL;
}

/* What is no file or disk is refused with the reason. */
static void wrong_paths_are_refused(void **state) {
    (void)state;
    struct blockdev *device;
    assert_int_equal(host_blockdev_open("/nonexistent/disk", 0, &device), STATUS_NOT_FOUND);
    assert_int_equal(host_blockdev_open("/tmp", 0, &device), STATUS_INVALID);
    assert_int_equal(host_blockdev_open("/dev/null", 0, &device), STATUS_INVALID);
}

/* With no memory at the k-th allocation, opening fails cleanly or succeeds, for every k. */
static void opening_survives_no_memory(void **state) {
    struct fixture *fixture = *state;
    blockdev_close(fixture->device);
    fixture->device = NULL;
    for (uint64_t k = 0; fixture->device == NULL; k++) {
        assert_true(k < 1000);
        host_memory_fail(k, false);
        enum status status = host_blockdev_open(fixture->path, 0, &fixture->device);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(writes_are_read_back),
        TEST(limits_are_true),
        TEST(scattered_requests_run_together),
        TEST(discard_punches_holes),
        TEST(failed_flush_is_sticky),
        TEST(failed_writes_fail_flushes),
        TEST(fua_without_dsync_flushes),
        TEST(truncated_file_is_an_error),
        TEST(lock_keeps_others_out),
        TEST(wrong_paths_are_refused),
        TEST(opening_survives_no_memory),
    };
    host_start("blockdev");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
