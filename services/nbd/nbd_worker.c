/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execution and answers. A connection's workers take requests from its queue, so that many are in
 * flight in the storage; replies leave in the order in which they are ready, one at a time.
 *
 * Invariants:
 * 1. A request belongs to exactly one of: the reader (being parsed), the queue, a worker.
 * 2. Whoever ends a request does it through nbd_request_free(), the one place where outstanding
 *    falls and its memory is given back.
 * 3. After a failed write to the stream nothing more is written to it: a half-sent reply would make
 *    what follows look like data.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "services/nbd/nbd_internal.h"

/* Spans of one piece of a reply; see NBD_PIECE_BYTES. */
#define PIECE_SPANS 64u

/* ---- replies ---- */

struct reply {
    struct span spans[PIECE_SPANS];
    uint32_t count;
    size_t bytes;
};

static enum status send_piece(struct nbd_connection *connection, struct reply *reply) {
    if (reply->count == 0)
        return STATUS_OK;
    __atomic_store_n(&connection->account.reply_since, os_now_ns(), __ATOMIC_RELAXED);
    enum status status = stream_write(connection->stream, reply->spans, reply->count);
    __atomic_store_n(&connection->account.reply_since, 0, __ATOMIC_RELAXED);
    reply->count = 0;
    reply->bytes = 0;
    return status;
}

static enum status add_span(struct nbd_connection *connection, struct reply *reply,
                            struct span span) {
    while (span.length > 0) {
        size_t length = MATH_MIN(span.length, NBD_PIECE_BYTES - reply->bytes);
        reply->spans[reply->count++] = (struct span){span.base, length};
        reply->bytes += length;
        span.base = (char *)span.base + length;
        span.length -= length;
        if (reply->count < PIECE_SPANS && reply->bytes < NBD_PIECE_BYTES)
            continue;
        enum status status = send_piece(connection, reply);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status send_reply(struct nbd_connection *connection, struct nbd_simple_reply *header,
                              const struct lfsx_buffer *buffer) {
    struct reply reply = {.count = 0};
    enum status status = add_span(connection, &reply, (struct span){header, sizeof *header});
    for (uint32_t i = 0; buffer != NULL && i < buffer->span_count && status == STATUS_OK; i++)
        status = add_span(connection, &reply, buffer->spans[i]);
    return status == STATUS_OK ? send_piece(connection, &reply) : status;
}

static bool is_dead(struct nbd_connection *connection) {
    os_mutex_lock(&connection->mutex);
    bool dead = connection->dead;
    os_mutex_unlock(&connection->mutex);
    return dead;
}

void nbd_reply(struct nbd_connection *connection, uint64_t cookie, uint32_t error,
               const struct lfsx_buffer *buffer) {
    struct nbd_simple_reply header = {.magic = be32_make(NBD_SIMPLE_REPLY_MAGIC),
                                      .error = be32_make(error),
                                      .cookie = be64_make(cookie)};
    struct nbd_statistics *counters = &connection->server->counters;
    nbd_count(&counters->requests, 1);
    if (error != 0)
        nbd_count(&counters->errors, 1);
    os_mutex_lock(&connection->reply_mutex);
    if (!is_dead(connection)) {
        enum status status = send_reply(connection, &header, buffer);
        if (status != STATUS_OK) {
            log_info("nbd", "%s: a reply could not be sent (%s)", connection->stream->peer,
                     status_text(status));
            nbd_connection_abort(connection);
        }
    }
    os_mutex_unlock(&connection->reply_mutex);
}

/* ---- execution of one request that nbd_validate() let pass ---- */

/* A read-only export has nothing that it could make durable. */
static enum status flush(struct nbd_connection *connection) {
    if (connection->export.read_only)
        return STATUS_OK;
    return lfsx_pool_commit(connection->server->pool);
}

static enum status execute(struct nbd_connection *connection, const struct nbd_request *request) {
    struct lfsx_volume *volume = connection->export.volume;
    uint32_t flags = 0;
    if (request->flags & NBD_CMD_FLAG_FUA)
        flags |= LFSX_FUA;
    if (request->flags & NBD_CMD_FLAG_NO_HOLE)
        flags |= LFSX_NO_HOLE;
    switch (request->type) {
    case NBD_CMD_READ:
        return lfsx_volume_read(volume, request->buffer);
    case NBD_CMD_WRITE:
        return lfsx_volume_write(volume, request->buffer, flags);
    case NBD_CMD_FLUSH:
        return flush(connection);
    case NBD_CMD_TRIM:
        return lfsx_volume_trim(volume, request->offset, request->length, flags);
    case NBD_CMD_WRITE_ZEROES:
        return lfsx_volume_zero(volume, request->offset, request->length, flags);
    default:
        ASSERT_UNREACHABLE();
    }
}

static void count_bytes(struct nbd_connection *connection, const struct nbd_request *request) {
    struct nbd_statistics *counters = &connection->server->counters;
    if (request->type == NBD_CMD_READ)
        nbd_count(&counters->bytes_read, request->length);
    if (request->type == NBD_CMD_WRITE)
        nbd_count(&counters->bytes_written, request->length);
}

/* Gives back the memory of the data, before the reply where the reply does not need it. */
static void release_data(struct nbd_connection *connection, struct nbd_request *request) {
    lfsx_buffer_free(request->buffer);
    request->buffer = NULL;
    if (request->charged > 0)
        nbd_account_release(&connection->server->budget, &connection->account, request->charged);
    request->charged = 0;
}

/* Once for each run of equal failures: a full pool must not fill the log too. */
static void log_failure(struct nbd_connection *connection, const struct nbd_request *request,
                        enum status status) {
    unsigned before =
        __atomic_exchange_n(&connection->logged_failure, (unsigned)status, __ATOMIC_RELAXED);
    if (before != (unsigned)status)
        log_warning("nbd",
                    "%s: \"%s\": %s of %u bytes at %llu failed: %s (the next like it are "
                    "not logged)",
                    connection->stream->peer, connection->export.name,
                    nbd_command_name(request->type), request->length,
                    (unsigned long long)request->offset, status_text(status));
}

static void serve(struct nbd_connection *connection, struct nbd_request *request) {
    if (!is_dead(connection)) {
        enum status status = execute(connection, request);
        if (status == STATUS_OK)
            count_bytes(connection, request);
        else
            log_failure(connection, request, status);
        bool carries_data = request->type == NBD_CMD_READ && status == STATUS_OK;
        if (!carries_data)
            release_data(connection, request);
        nbd_reply(connection, request->cookie, nbd_error(status), request->buffer);
    }
    nbd_request_free(connection, request);
}

void nbd_request_free(struct nbd_connection *connection, struct nbd_request *request) {
    release_data(connection, request);
    os_mutex_lock(&connection->mutex);
    ASSERT(connection->outstanding > 0);
    connection->outstanding--;
    list_push_back(&connection->spare, &request->link);
    bool last = connection->stopping && connection->outstanding == 0;
    os_condition_signal(&connection->room);
    os_mutex_unlock(&connection->mutex);
    if (last)
        nbd_connection_abort(connection);
}

/* ---- workers ---- */

/* With the connection's mutex held; NULL if the queue is empty. */
static struct nbd_request *take_request(struct nbd_connection *connection) {
    struct list_node *node = list_pop_front(&connection->queue);
    if (node == NULL)
        return NULL;
    connection->queued--;
    return LIST_CONTAINER(node, struct nbd_request, link);
}

static void worker_main(void *argument) {
    struct nbd_connection *connection = argument;
    os_mutex_lock(&connection->mutex);
    for (;;) {
        struct nbd_request *request = take_request(connection);
        if (request == NULL && connection->ending)
            break;
        if (request == NULL) {
            connection->idle_workers++;
            os_condition_wait(&connection->work, &connection->mutex, OS_FOREVER);
            connection->idle_workers--;
            continue;
        }
        os_mutex_unlock(&connection->mutex);
        serve(connection, request);
        os_mutex_lock(&connection->mutex);
    }
    os_mutex_unlock(&connection->mutex);
}

/* With the mutex held. Only the reader starts workers, so that the array is its own to fill. */
static void start_worker(struct nbd_connection *connection) {
    struct os_thread **slot = &connection->workers[connection->worker_count];
    if (os_thread_start(slot, "nbd-worker", worker_main, connection) == STATUS_OK)
        connection->worker_count++;
}

void nbd_dispatch(struct nbd_connection *connection, struct nbd_request *request) {
    os_mutex_lock(&connection->mutex);
    list_push_back(&connection->queue, &request->link);
    connection->queued++;
    if (connection->queued > connection->idle_workers && connection->worker_count < NBD_WORKERS_MAX)
        start_worker(connection);
    /* Without memory for even one worker the reader does the work. */
    struct nbd_request *own = connection->worker_count == 0 ? take_request(connection) : NULL;
    os_condition_signal(&connection->work);
    os_mutex_unlock(&connection->mutex);
    if (own != NULL)
        serve(connection, own);
}

void nbd_workers_finish(struct nbd_connection *connection) {
    os_mutex_lock(&connection->mutex);
    connection->ending = true;
    os_condition_broadcast(&connection->work);
    os_mutex_unlock(&connection->mutex);
    for (unsigned i = 0; i < connection->worker_count; i++)
        os_thread_join(connection->workers[i]);
    connection->worker_count = 0;
    ASSERT(list_is_empty(&connection->queue));
}
