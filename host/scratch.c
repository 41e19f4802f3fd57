/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scratch space: a file without a name, which is gone when the process is. Its user waits for each
 * request and does not care what a crash leaves, so requests are carried out by the caller's own
 * thread and flushes do nothing.
 */
#include "base/log.h"
#include "base/math.h"
#include "base/os.h"
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_SPANS 256u

struct scratch {
    struct blockdev base;
    int fd;
};

static ssize_t transfer_once(const struct scratch *scratch, const struct block_request *request,
                             uint64_t done) {
    struct iovec vector[MAX_SPANS];
    int count = 0;
    uint64_t skip = done;
    for (uint32_t i = 0; i < request->span_count && count < (int)MAX_SPANS; i++) {
        const struct span *span = &request->spans[i];
        uint64_t skipped = MATH_MIN(skip, span->length);
        skip -= skipped;
        if (skipped < span->length)
            vector[count++] = (struct iovec){(char *)span->base + skipped, span->length - skipped};
    }
    off_t offset = (off_t)(request->offset + done);
    return request->operation == BLOCK_READ ? preadv(scratch->fd, vector, count, offset)
                                            : pwritev(scratch->fd, vector, count, offset);
}

static enum status transfer(const struct scratch *scratch, const struct block_request *request) {
    for (uint64_t done = 0; done < request->length;) {
        ssize_t got = transfer_once(scratch, request, done);
        if (got == 0)
            return STATUS_IO;
        if (got < 0 && errno != EINTR)
            return host_status(errno);
        done += got < 0 ? 0 : (uint64_t)got;
    }
    return STATUS_OK;
}

static void scratch_submit(struct blockdev *device, struct block_request *request) {
    const struct scratch *scratch = LIST_CONTAINER(device, struct scratch, base);
    request->status = request->operation == BLOCK_FLUSH ? STATUS_OK : transfer(scratch, request);
    request->done(request);
}

static void scratch_close(struct blockdev *device) {
    struct scratch *scratch = LIST_CONTAINER(device, struct scratch, base);
    close(scratch->fd);
    os_free(scratch);
}

/* Not every file system has files that never had a name. */
static int open_unnamed(const char *directory) {
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    char *path;
    if (asprintf(&path, "%s/holdfast-XXXXXX", directory) < 0) {
        errno = ENOMEM;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    int error = errno;
    free(path);
    errno = error;
    return fd;
}

/* As large as there is room and a file may be; it takes that only where it is written. */
static enum status set_size(int fd, uint64_t *size) {
    struct statvfs space;
    struct rlimit limit;
    if (fstatvfs(fd, &space) < 0)
        return host_status(errno);
    uint64_t most = (uint64_t)INT64_MAX;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0)
        most = MATH_MIN(most, (uint64_t)limit.rlim_cur);
    uint64_t room;
    if (!math_multiply(space.f_bavail, space.f_frsize, &room))
        room = most;
    *size = math_round_down(MATH_MIN(room, most), OS_PAGE_SIZE);
    while (ftruncate(fd, (off_t)*size) < 0) {
        if (errno != EFBIG)
            return host_status(errno);
        *size = math_round_down(*size / 2, OS_PAGE_SIZE);
    }
    return STATUS_OK;
}

enum status host_scratch_open(const char *directory, struct blockdev **device) {
    static const struct blockdev_operations operations = {.submit = scratch_submit,
                                                          .close = scratch_close};
    int fd = open_unnamed(directory);
    if (fd < 0)
        return host_status(errno);
    uint64_t size = 0;
    enum status status = set_size(fd, &size);
    struct scratch *scratch = os_alloc_zeroed(sizeof *scratch);
    if (status == STATUS_OK && scratch == NULL)
        status = STATUS_NO_MEMORY;
    if (status != STATUS_OK) {
        os_free(scratch);
        close(fd);
        return status;
    }
    scratch->fd = fd;
    scratch->base = (struct blockdev){
        .operations = &operations,
        .size = size,
        .limits = {.block_size = 512, .max_transfer = MAX_SPANS * OS_PAGE_SIZE, .queue_depth = 1}};
    snprintf(scratch->base.name, sizeof scratch->base.name, "the scratch file");
    *device = &scratch->base;
    return STATUS_OK;
}
