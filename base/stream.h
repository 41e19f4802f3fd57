/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of a connected byte stream and of the listener that makes them: TCP over lwIP in the
 * kernel, sockets on Linux, a queue in the simulator, TLS on top of any of them.
 *
 * A stream is used by at most one reading and one writing thread at a time. All calls block in
 * thread context. stream_abort() may come from any thread at any time and makes both return CLOSED.
 */
#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include "base/span.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct stream;
struct listener;

struct stream_operations {
    enum status (*read)(struct stream *stream, void *buffer, size_t size, size_t *got);
    enum status (*write)(struct stream *stream, const struct span *spans, uint32_t count);
    void (*set_timeout)(struct stream *stream, uint64_t nanoseconds);
    void (*abort)(struct stream *stream);
    void (*close)(struct stream *stream);
};

struct stream {
    const struct stream_operations *operations;
    char peer[64]; /* "10.0.2.2:51234", "unix": for logs */
};

struct listener_operations {
    enum status (*accept)(struct listener *listener, struct stream **stream);
    void (*abort)(struct listener *listener);
    void (*close)(struct listener *listener);
};

struct listener {
    const struct listener_operations *operations;
    char address[128]; /* "0.0.0.0:10809", "unix:/run/holdfast.sock": for logs */
};

/* Waits for at least one byte. *got is 1..size; 0 with OK means that the peer ended the stream.
 * TIMEOUT after the timeout without a byte, CLOSED after a reset or abort, NO_MEMORY. */
static inline enum status stream_read(struct stream *stream, void *buffer, size_t size,
                                      size_t *got) {
    return stream->operations->read(stream, buffer, size, got);
}

/* Reads exactly size bytes. CLOSED if the stream ends before; else as stream_read. */
static inline enum status stream_read_all(struct stream *stream, void *buffer, size_t size) {
    while (size > 0) {
        size_t got = 0;
        enum status status = stream_read(stream, buffer, size, &got);
        if (status != STATUS_OK)
            return status;
        if (got == 0)
            return STATUS_CLOSED;
        buffer = (char *)buffer + got;
        size -= got;
    }
    return STATUS_OK;
}

/* Writes all bytes of all spans, in order. On return the memory is the caller's again. TIMEOUT if
 * the peer took nothing for the timeout, CLOSED, NO_MEMORY: after any of them, abort the stream. */
static inline enum status stream_write(struct stream *stream, const struct span *spans,
                                       uint32_t count) {
    return stream->operations->write(stream, spans, count);
}

/* How long a read or write may make no progress; 0 (the start) means for ever. A peer that vanished
 * without a word is found by TCP keep-alive within 60 s whatever the timeout. */
static inline void stream_set_timeout(struct stream *stream, uint64_t nanoseconds) {
    stream->operations->set_timeout(stream, nanoseconds);
}

/* Ends both directions at once. Any thread. The stream must still be closed. */
static inline void stream_abort(struct stream *stream) {
    stream->operations->abort(stream);
}

/* Sends what was written, ends the connection and releases the stream. No other call is running. */
static inline void stream_close(struct stream *stream) {
    stream->operations->close(stream);
}

/* Waits for a connection. CLOSED after listener_abort; NO_MEMORY and IO may pass: try again. */
static inline enum status listener_accept(struct listener *listener, struct stream **stream) {
    return listener->operations->accept(listener, stream);
}

/* Makes accept return CLOSED, now and later. Any thread. */
static inline void listener_abort(struct listener *listener) {
    listener->operations->abort(listener);
}

/* Releases the listener; no accept is running. */
static inline void listener_close(struct listener *listener) {
    listener->operations->close(listener);
}

#endif
