/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a Linux process, its log, its assertions, and the one errno mapping. */
#include "host/host.h"
#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *program_name = "holdfast";

/* One write per line, so that lines of several threads do not mix. */
static void log_to_stderr(enum log_level level, const char *room, const char *line) {
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    fprintf(stderr, "%s: %s: %s%s\n", program_name, room, names[level], line);
}

void host_start(const char *program) {
    const char *name = program;
    for (const char *at = program; *at != '\0'; at++)
        if (*at == '/')
            name = at + 1;
    program_name = name;
    /* Reports have to be out before a kill -9: line by line, in one write each. */
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
    log_set_sink(log_to_stderr);
}

void assert_failed(const char *file, int line, const char *expression) {
    fprintf(stderr, "%s: %s:%d: assertion failed: %s\n", program_name, file, line, expression);
    fflush(NULL);
    abort();
}

enum status host_status(int error) {
    switch (error) {
    case 0:
        return STATUS_OK;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
        return STATUS_NO_MEMORY;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STATUS_NO_SPACE;
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
    case ENOTBLK:
    case EAFNOSUPPORT:
        return STATUS_INVALID;
    case ENOENT:
    case ENOTDIR:
    case EADDRNOTAVAIL:
        return STATUS_NOT_FOUND;
    case ENXIO:
    case ENODEV:
        return STATUS_GONE;
    case EEXIST:
        return STATUS_EXISTS;
    case EBUSY:
    case EADDRINUSE:
    case ETXTBSY:
        return STATUS_BUSY;
    case EOPNOTSUPP:
    case ENOSYS:
        return STATUS_UNSUPPORTED;
    case EROFS:
        return STATUS_READ_ONLY;
    case EACCES:
    case EPERM:
        return STATUS_PERMISSION;
    case ETIMEDOUT:
        return STATUS_TIMEOUT;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ESHUTDOWN:
        return STATUS_CLOSED;
    case EAGAIN:
    case EINTR:
        return STATUS_AGAIN;
    default:
        return STATUS_IO;
    }
}
