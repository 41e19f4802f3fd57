/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams over connected sockets.
 *
 * Invariants:
 * 1. The descriptor is open from creation to close, so that an abort never meets a number that
 *    another thread reuses: contract of stream_close().
 * 2. Once `aborted` is set no call returns OK any more. It is set before the shutdown that wakes
 *    the sleepers, so that they see it.
 */
#include "base/log.h"
#include "base/math.h"
#include "base/os.h"
#include "host/host.h"
#include "host/host_internal.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* 30 + 3 * 10 seconds: base/stream.h promises that a peer that vanished is found within 60 s. */
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_COUNT 3
/* Keep-alive rests while sent data waits for its acknowledgement; this covers that time. */
#define UNACKNOWLEDGED_MS 60000

#define NS_PER_MS 1000000ull
#define VECTOR_LENGTH 256 /* spans handed to one sendmsg() */
#define DRAIN_BYTES 4096
#define DRAIN_ROUNDS 64

struct socket_stream {
    struct stream base;
    int fd;
    _Atomic bool aborted;
    _Atomic uint64_t timeout_ns; /* 0: none */
};

static struct socket_stream *socket_of(struct stream *stream) {
    return LIST_CONTAINER(stream, struct socket_stream, base);
}

/* Whatever ended the connection, it is CLOSED; only a lack of memory is not its end. */
static enum status socket_error(int error) {
    return host_status(error) == STATUS_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_CLOSED;
}

/* Sleeps until the socket can do `events` or something ended it. */
static enum status wait_for(struct socket_stream *own, short events) {
    uint64_t timeout = own->timeout_ns;
    uint64_t deadline = host_deadline_after(timeout == 0 ? OS_FOREVER : timeout);
    for (;;) {
        int wait_ms = -1;
        if (deadline != OS_FOREVER) {
            uint64_t now = os_now_ns();
            uint64_t left = deadline > now ? math_divide_up(deadline - now, NS_PER_MS) : 0;
            wait_ms = (int)MATH_MIN(left, (uint64_t)INT_MAX);
        }
        struct pollfd poll_fd = {.fd = own->fd, .events = events};
        int ready = poll(&poll_fd, 1, wait_ms);
        if (own->aborted)
            return STATUS_CLOSED;
        if (ready > 0)
            return STATUS_OK;
        if (ready == 0 && os_now_ns() >= deadline)
            return STATUS_TIMEOUT;
        if (ready < 0 && errno != EINTR)
            return socket_error(errno);
    }
}

static enum status socket_read(struct stream *stream, void *buffer, size_t size, size_t *got) {
    struct socket_stream *own = socket_of(stream);
    *got = 0;
    while (!own->aborted) {
        ssize_t result = recv(own->fd, buffer, size, MSG_DONTWAIT);
        if (result >= 0) {
            if (own->aborted)
                return STATUS_CLOSED;
            *got = (size_t)result;
            return STATUS_OK;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return socket_error(errno);
        enum status status = wait_for(own, POLLIN);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_CLOSED;
}

/* Sends once as much as fits; what was taken is cut off the vector. */
static enum status send_some(struct socket_stream *own, struct msghdr *message) {
    ssize_t sent = sendmsg(own->fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR)
        return STATUS_OK;
    if (sent < 0 && errno == EAGAIN)
        return wait_for(own, POLLOUT);
    if (sent < 0)
        return socket_error(errno);
    size_t left = (size_t)sent;
    while (message->msg_iovlen > 0 && left >= message->msg_iov->iov_len) {
        left -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (message->msg_iovlen > 0) {
        message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + left;
        message->msg_iov->iov_len -= left;
    }
    return STATUS_OK;
}

static enum status socket_write(struct stream *stream, const struct span *spans, uint32_t count) {
    struct socket_stream *own = socket_of(stream);
    while (count > 0) {
        struct iovec vector[VECTOR_LENGTH];
        uint32_t batch = MATH_MIN(count, (uint32_t)VECTOR_LENGTH);
        for (uint32_t i = 0; i < batch; i++)
            vector[i] = (struct iovec){spans[i].base, spans[i].length};
        struct msghdr message = {.msg_iov = vector, .msg_iovlen = batch};
        while (message.msg_iovlen > 0) {
            if (own->aborted)
                return STATUS_CLOSED;
            enum status status = send_some(own, &message);
            if (status != STATUS_OK)
                return status;
        }
        spans += batch;
        count -= batch;
    }
    return own->aborted ? STATUS_CLOSED : STATUS_OK;
}

static void socket_set_timeout(struct stream *stream, uint64_t nanoseconds) {
    socket_of(stream)->timeout_ns = nanoseconds;
}

static void socket_abort(struct stream *stream) {
    struct socket_stream *own = socket_of(stream);
    own->aborted = true;
    shutdown(own->fd, SHUT_RDWR);
}

/* A socket closed with unread input answers with a reset, which makes the peer drop the last thing
 * that was sent to it: so what already came is read away first. */
static void socket_close(struct stream *stream) {
    struct socket_stream *own = socket_of(stream);
    char discarded[DRAIN_BYTES];
    if (!own->aborted) {
        shutdown(own->fd, SHUT_WR);
        for (int i = 0; i < DRAIN_ROUNDS; i++)
            if (recv(own->fd, discarded, sizeof discarded, MSG_DONTWAIT) <= 0)
                break;
    }
    close(own->fd);
    os_free(own);
}

static const struct stream_operations socket_operations = {
    .read = socket_read,
    .write = socket_write,
    .set_timeout = socket_set_timeout,
    .abort = socket_abort,
    .close = socket_close,
};

static void set_option(int fd, int level, int name, int value) {
    if (setsockopt(fd, level, name, &value, sizeof value) < 0)
        log_warning("host",
                    "socket option %d of level %d could not be set (errno %d); "
                    "a peer that vanishes may be noticed late",
                    name, level, errno);
}

static void set_up_tcp(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
}

enum status host_socket_stream(int fd, struct stream **stream) {
    struct socket_stream *own = os_alloc_zeroed(sizeof *own);
    if (own == NULL) {
        close(fd);
        return STATUS_NO_MEMORY;
    }
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0) {
        char name[HOST_ADDRESS_SIZE];
        host_address_print((struct sockaddr *)&peer, length, name, sizeof name);
        snprintf(own->base.peer, sizeof own->base.peer, "%.63s", name);
    }
    if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
        set_up_tcp(fd);
    own->base.operations = &socket_operations;
    own->fd = fd;
    *stream = &own->base;
    return STATUS_OK;
}

enum status host_stream_pair(struct stream **one, struct stream **other) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return host_status(errno);
    enum status status = host_socket_stream(fds[0], one);
    if (status != STATUS_OK) {
        close(fds[1]);
        return status;
    }
    status = host_socket_stream(fds[1], other);
    if (status != STATUS_OK)
        stream_close(*one);
    return status;
}
