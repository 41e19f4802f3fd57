/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device over a regular file or a disk, by buffered I/O on a pool of threads.
 *
 * Invariants:
 * 1. `failure` is OK until a flush, a write with FUA, or a write for a reason of the medium fails;
 *    from then on it is that error, and every flush and every write with FUA returns it. Linux
 *    reports a failed write-back to one fsync only and then drops the pages: a second fsync that
 *    says OK proves nothing.
 * 2. A flush is one fdatasync() that starts after the flush was submitted, so that it covers every
 *    write that was done by then.
 */
#include "base/assert.h"
#include "base/blockdev.h"
#include "base/math.h"
#include "base/os.h"
#include "host/host.h"
#include "host/host_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_BLOCK_SIZE 512u
#define MAX_TRANSFER (4u << 20)
#define MAX_DISCARD (1ull << 40)
#define THREADS_PER_CPU 2u
#define THREADS_MIN 8u
#define SMALL_WRITE (64u << 10) /* bytes: less than a switch of threads to and back */
#define LOCK_TRIES 5
#define LOCK_PAUSE_NS 50000000ull

struct file_blockdev {
    struct blockdev base;
    int fd;
    bool is_disk;
    _Atomic bool try_nowait;  /* until the file system says that it cannot */
    _Atomic bool try_dsync;   /* likewise */
    _Atomic unsigned failure; /* enum status; sticky, see invariant 1 */
    struct host_queue *queue;
};

static struct file_blockdev *file_of(struct blockdev *device) {
    return LIST_CONTAINER(device, struct file_blockdev, base);
}

/* Copies what is left of the spans after `skip` bytes into at most IOV_MAX elements. */
static int fill_vector(const struct block_request *request, uint64_t skip, struct iovec *vector) {
    int count = 0;
    for (uint32_t i = 0; i < request->span_count && count < IOV_MAX; i++) {
        const struct span *span = &request->spans[i];
        if (skip >= span->length) {
            skip -= span->length;
            continue;
        }
        vector[count++] = (struct iovec){(char *)span->base + skip, span->length - skip};
        skip = 0;
    }
    return count;
}

static ssize_t transfer_once(struct file_blockdev *file, const struct block_request *request,
                             uint64_t done, int flags) {
    struct iovec vector[IOV_MAX];
    int count = fill_vector(request, done, vector);
    off_t offset = (off_t)(request->offset + done);
    if (request->operation == BLOCK_READ)
        return preadv2(file->fd, vector, count, offset, flags);
    return pwritev2(file->fd, vector, count, offset, flags);
}

static enum status transfer(struct file_blockdev *file, const struct block_request *request,
                            int flags) {
    uint64_t done = 0;
    while (done < request->length) {
        ssize_t got = transfer_once(file, request, done, flags);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return host_status(errno);
        if (got == 0) {
            log_error("host", "%s: ended at byte %llu: was it truncated while in use?",
                      file->base.name, (unsigned long long)(request->offset + done));
            return STATUS_IO;
        }
        done += (uint64_t)got;
    }
    return STATUS_OK;
}

/* Latches the first failure of something that had to become durable; returns what is latched. */
static enum status latch(struct file_blockdev *file, enum status status) {
    unsigned before = STATUS_OK;
    if (status != STATUS_OK && atomic_compare_exchange_strong(&file->failure, &before, status))
        log_error(
            "host",
            "%s: a write or flush failed (%s); all later flushes fail until it is opened again",
            file->base.name, status_text(status));
    return file->failure;
}

static enum status flush(struct file_blockdev *file) {
    if (file->failure != STATUS_OK)
        return file->failure;
    int result;
    do
        result = fdatasync(file->fd);
    while (result < 0 && errno == EINTR);
    return latch(file, result < 0 ? host_status(errno) : STATUS_OK);
}

/* A write that the medium refused is lost, and so is the promise of the next flush. One that found
 * no memory or no space was never taken. */
static enum status write_back(struct file_blockdev *file, const struct block_request *request) {
    enum status status = transfer(file, request, 0);
    if (status == STATUS_IO || status == STATUS_GONE)
        latch(file, status);
    return status;
}

static enum status write_through(struct file_blockdev *file, const struct block_request *request) {
    if (file->failure != STATUS_OK)
        return file->failure;
    if (file->try_dsync) {
        enum status status = transfer(file, request, RWF_DSYNC);
        if (status != STATUS_UNSUPPORTED)
            return latch(file, status);
        file->try_dsync = false;
    }
    enum status status = write_back(file, request);
    return status == STATUS_OK ? flush(file) : status;
}

static enum status discard(struct file_blockdev *file, const struct block_request *request) {
    int result;
    if (file->is_disk) {
        uint64_t range[2] = {request->offset, request->length};
        result = ioctl(file->fd, BLKDISCARD, range);
    } else {
        result = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           (off_t)request->offset, (off_t)request->length);
    }
    return result < 0 ? host_status(errno) : STATUS_OK;
}

static enum status execute(struct file_blockdev *file, const struct block_request *request) {
    switch (request->operation) {
    case BLOCK_READ:
        return transfer(file, request, 0);
    case BLOCK_WRITE:
        if (request->flags & BLOCK_FUA)
            return write_through(file, request);
        return write_back(file, request);
    case BLOCK_FLUSH:
        return flush(file);
    case BLOCK_DISCARD:
        return discard(file, request);
    default:
        ASSERT_UNREACHABLE();
    }
}

static void run_request(void *context, struct block_request *request) {
    request->status = execute(context, request);
    request->done(request);
}

/* Reads what lies in the page cache at once: a hit is not worth two switches of threads. */
static bool read_cached(struct file_blockdev *file, struct block_request *request) {
    if (request->operation != BLOCK_READ || !file->try_nowait)
        return false;
    ssize_t got = transfer_once(file, request, 0, RWF_NOWAIT);
    if (got < 0 && errno == EOPNOTSUPP)
        file->try_nowait = false;
    return got >= 0 && (uint64_t)got == request->length;
}

/* Whether handing it to another thread costs more than doing it: nobody here has anything else to
 * do, or it is a copy into the page cache. */
static bool belongs_here(const struct block_request *request) {
    return request->waits || (request->operation == BLOCK_WRITE && request->flags == 0 &&
                              request->length <= SMALL_WRITE);
}

static void file_submit(struct blockdev *device, struct block_request *request) {
    struct file_blockdev *file = file_of(device);
    if (belongs_here(request)) {
        run_request(file, request);
    } else if (read_cached(file, request)) {
        request->status = STATUS_OK;
        request->done(request);
    } else {
        host_queue_push(file->queue, request);
    }
}

static void file_close(struct blockdev *device) {
    struct file_blockdev *file = file_of(device);
    host_queue_stop(file->queue);
    close(file->fd);
    os_free(file);
}

static uint64_t file_measure(struct blockdev *device) {
    struct file_blockdev *file = file_of(device);
    struct stat info;
    uint64_t size = 0;
    if (file->is_disk)
        return ioctl(file->fd, BLKGETSIZE64, &size) < 0
                   ? 0
                   : math_round_down(size, (uint64_t)device->limits.block_size);
    return fstat(file->fd, &info) < 0 ? 0
                                      : math_round_down((uint64_t)info.st_size, FILE_BLOCK_SIZE);
}

static const struct blockdev_operations file_operations = {
    .submit = file_submit,
    .close = file_close,
    .measure = file_measure,
};

/* One line of a file below /sys/dev/block/MAJOR:MINOR/; false if it is not there. */
static bool read_sysfs(dev_t disk, const char *name, char *out, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s", major(disk), minor(disk), name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool found = fgets(out, (int)size, file) != NULL;
    fclose(file);
    if (!found)
        return false;
    size_t length = strcspn(out, "\n");
    while (length > 0 && out[length - 1] == ' ')
        length--;
    out[length] = '\0';
    return true;
}

static enum status describe_disk(struct file_blockdev *file, dev_t disk) {
    struct blockdev *base = &file->base;
    int block_size;
    uint64_t size;
    if (ioctl(file->fd, BLKSSZGET, &block_size) < 0 || ioctl(file->fd, BLKGETSIZE64, &size) < 0)
        return host_status(errno);
    if (block_size < (int)FILE_BLOCK_SIZE || !math_is_power_of_two((uint64_t)block_size))
        return STATUS_INVALID;
    base->size = math_round_down(size, (uint64_t)block_size);
    base->limits.block_size = (uint32_t)block_size;
    int read_only = 0;
    if (ioctl(file->fd, BLKROGET, &read_only) == 0 && read_only != 0)
        base->limits.read_only = true;
    char text[32];
    unsigned long long most = 0;
    if (read_sysfs(disk, "queue/discard_max_bytes", text, sizeof text) &&
        sscanf(text, "%llu", &most) == 1)
        base->limits.max_discard = most == 0 ? 0 : MAX_DISCARD; /* Linux splits */
    read_sysfs(disk, "device/model", base->model, sizeof base->model);
    read_sysfs(disk, "device/serial", base->serial, sizeof base->serial);
    return STATUS_OK;
}

static void describe_file(struct file_blockdev *file, const struct stat *info) {
    struct blockdev *base = &file->base;
    base->size = math_round_down((uint64_t)info->st_size, FILE_BLOCK_SIZE);
    base->limits.block_size = FILE_BLOCK_SIZE;
    /* Punching behind the end changes nothing, and tells whether the file system can do it. */
    if (!base->limits.read_only &&
        fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)math_round_up(base->size, OS_PAGE_SIZE) + OS_PAGE_SIZE, OS_PAGE_SIZE) == 0)
        base->limits.max_discard = MAX_DISCARD;
}

static enum status describe(struct file_blockdev *file, const char *path, unsigned threads) {
    struct stat info;
    if (fstat(file->fd, &info) < 0)
        return host_status(errno);
    const char *slash = strrchr(path, '/');
    struct blockdev *base = &file->base;
    snprintf(base->name, sizeof base->name, "%s", slash == NULL ? path : slash + 1);
    base->operations = &file_operations;
    base->limits.max_transfer = MAX_TRANSFER;
    base->limits.queue_depth = threads;
    base->limits.volatile_cache = true;
    file->is_disk = S_ISBLK(info.st_mode);
    if (file->is_disk)
        return describe_disk(file, info.st_rdev);
    describe_file(file, &info);
    return STATUS_OK;
}

/* Keeps other programs of this kind out; readers do not exclude each other. The device manager may
 * hold a disk's lock for the moment that it looks at it, hence the second tries. */
static enum status lock(int fd, bool read_only) {
    for (unsigned try = 1; flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0; try++) {
        if (errno != EWOULDBLOCK)
            return host_status(errno);
        if (try == LOCK_TRIES)
            return STATUS_BUSY;
        os_sleep_ns(LOCK_PAUSE_NS);
    }
    return STATUS_OK;
}

/* O_EXCL on a disk also fails while it, or a partition of it, is mounted. */
static enum status open_path(const char *path, uint32_t flags, int *fd) {
    struct stat info;
    if (stat(path, &info) < 0)
        return host_status(errno);
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return STATUS_INVALID;
    bool read_only = (flags & HOST_BLOCKDEV_READ_ONLY) != 0;
    bool shared = (flags & HOST_BLOCKDEV_SHARED) != 0;
    int mode = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    if (S_ISBLK(info.st_mode) && !shared && !read_only)
        mode |= O_EXCL;
    *fd = open(path, mode);
    if (*fd < 0)
        return host_status(errno);
    enum status status = shared ? STATUS_OK : lock(*fd, read_only);
    if (status != STATUS_OK)
        close(*fd);
    return status;
}

static unsigned thread_count(void) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return MATH_MAX(cpus > 0 ? (unsigned)cpus * THREADS_PER_CPU : 0, THREADS_MIN);
}

enum status host_blockdev_open(const char *path, uint32_t flags, struct blockdev **device) {
    struct file_blockdev *file = os_alloc_zeroed(sizeof *file);
    if (file == NULL)
        return STATUS_NO_MEMORY;
    enum status status = open_path(path, flags, &file->fd);
    if (status != STATUS_OK) {
        os_free(file);
        return status;
    }
    file->try_nowait = true;
    file->try_dsync = true;
    file->base.limits.read_only = (flags & HOST_BLOCKDEV_READ_ONLY) != 0;
    unsigned threads = thread_count();
    status = describe(file, path, threads);
    if (status == STATUS_OK)
        status = host_queue_start(run_request, file, threads, &file->queue);
    if (status != STATUS_OK) {
        close(file->fd);
        os_free(file);
        return status;
    }
    *device = &file->base;
    return STATUS_OK;
}
