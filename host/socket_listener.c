/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners over sockets.
 *
 * Invariants:
 * 1. `wake` is an eventfd that stays readable from the first abort on: accept polls it with the
 *    socket, so that it ends however often and early the abort came.
 * 2. A unix socket's path is removed at close only while it still is the one that was bound.
 */
#include "base/os.h"
#include "host/host.h"
#include "host/host_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct socket_listener {
    struct listener base;
    int fd;
    int wake;
    struct sockaddr_un path; /* a unix socket's */
    dev_t path_device;
    ino_t path_inode; /* 0: no path was bound */
};

static struct socket_listener *socket_of(struct listener *listener) {
    return LIST_CONTAINER(listener, struct socket_listener, base);
}

static enum status wait_for_connection(const struct socket_listener *own) {
    struct pollfd poll_fds[2] = {{.fd = own->fd, .events = POLLIN},
                                 {.fd = own->wake, .events = POLLIN}};
    if (poll(poll_fds, 2, -1) < 0)
        return errno == EINTR ? STATUS_OK : host_status(errno);
    return poll_fds[1].revents != 0 ? STATUS_CLOSED : STATUS_OK;
}

static enum status socket_accept(struct listener *listener, struct stream **stream) {
    struct socket_listener *own = socket_of(listener);
    for (;;) {
        enum status status = wait_for_connection(own);
        if (status != STATUS_OK)
            return status;
        int fd = accept4(own->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            return host_socket_stream(fd, stream);
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            continue;
        return host_status(errno) == STATUS_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_IO;
    }
}

static void socket_abort(struct listener *listener) {
    uint64_t one = 1;
    /* A full counter is as readable as one that was just raised. */
    ssize_t written = write(socket_of(listener)->wake, &one, sizeof one);
    (void)written;
}

static void socket_close(struct listener *listener) {
    struct socket_listener *own = socket_of(listener);
    struct stat info;
    if (own->path_inode != 0 && lstat(own->path.sun_path, &info) == 0 &&
        info.st_dev == own->path_device && info.st_ino == own->path_inode)
        unlink(own->path.sun_path);
    if (own->fd >= 0)
        close(own->fd);
    if (own->wake >= 0)
        close(own->wake);
    os_free(own);
}

static const struct listener_operations socket_operations = {
    .accept = socket_accept,
    .abort = socket_abort,
    .close = socket_close,
};

/* True if the path is a socket that nobody answers on. */
static bool is_abandoned(const struct sockaddr_un *address) {
    struct stat info;
    if (lstat(address->sun_path, &info) < 0 || !S_ISSOCK(info.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused =
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static enum status bind_unix(struct socket_listener *own, const struct host_address *address) {
    own->path = *(const struct sockaddr_un *)&address->storage;
    const struct sockaddr *name = (const struct sockaddr *)&own->path;
    int error = bind(own->fd, name, address->length) < 0 ? errno : 0;
    if (error == EADDRINUSE && is_abandoned(&own->path)) {
        unlink(own->path.sun_path);
        error = bind(own->fd, name, address->length) < 0 ? errno : 0;
    }
    struct stat info;
    if (error == 0 && lstat(own->path.sun_path, &info) < 0)
        error = errno;
    if (error != 0)
        return host_status(error);
    own->path_device = info.st_dev;
    own->path_inode = info.st_ino;
    return STATUS_OK;
}

static enum status bind_internet(struct socket_listener *own, const struct host_address *address) {
    int on = 1;
    if (setsockopt(own->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return host_status(errno);
    /* An address means what it says: [::] does not take IPv4's port too. */
    if (address->storage.ss_family == AF_INET6 &&
        setsockopt(own->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return host_status(errno);
    if (bind(own->fd, (const struct sockaddr *)&address->storage, address->length) < 0)
        return host_status(errno);
    return STATUS_OK;
}

static enum status start(struct socket_listener *own, const struct host_address *address) {
    own->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (own->wake < 0)
        return host_status(errno);
    own->fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (own->fd < 0)
        return host_status(errno);
    bool is_unix = address->storage.ss_family == AF_UNIX;
    enum status status = is_unix ? bind_unix(own, address) : bind_internet(own, address);
    if (status != STATUS_OK)
        return status;
    if (listen(own->fd, SOMAXCONN) < 0)
        return host_status(errno);
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    if (getsockname(own->fd, (struct sockaddr *)&bound, &length) < 0)
        return host_status(errno);
    host_address_print((struct sockaddr *)&bound, length, own->base.address,
                       sizeof own->base.address);
    return STATUS_OK;
}

enum status host_listen(const char *address, struct listener **listener) {
    struct host_address parsed;
    enum status status = host_address_parse(address, &parsed);
    if (status != STATUS_OK)
        return status;
    struct socket_listener *own = os_alloc_zeroed(sizeof *own);
    if (own == NULL)
        return STATUS_NO_MEMORY;
    own->base.operations = &socket_operations;
    own->fd = -1;
    own->wake = -1;
    status = start(own, &parsed);
    if (status != STATUS_OK) {
        socket_close(&own->base);
        return status;
    }
    *listener = &own->base;
    return STATUS_OK;
}
