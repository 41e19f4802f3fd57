/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of a connection ("Transmission phase"): takes requests off the wire, has them judged,
 * gets memory for them, reads payloads straight into the buffers that the storage will write, and
 * hands them to the workers.
 *
 * Invariant: when a round of the loop ends well, the stream stands right behind the payload of the
 * last request, whatever became of it; otherwise the loop ends.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "services/nbd/nbd_internal.h"

#define DRAIN_BYTES 2048u

static bool is_stopping(struct nbd_connection *connection) {
    os_mutex_lock(&connection->mutex);
    bool stopping = connection->stopping;
    os_mutex_unlock(&connection->mutex);
    return stopping;
}

/* Between requests a client may be silent for ever; within one it may not. */
static enum status read_header(struct nbd_connection *connection, struct nbd_wire_request *header) {
    size_t have = 0;
    while (have < sizeof *header) {
        size_t got = 0;
        enum status status =
            stream_read(connection->stream, (char *)header + have, sizeof *header - have, &got);
        if (status == STATUS_TIMEOUT && have == 0)
            continue;
        if (status != STATUS_OK)
            return status;
        if (got == 0)
            return STATUS_CLOSED;
        have += got;
    }
    return STATUS_OK;
}

static enum status drain(struct nbd_connection *connection, uint32_t length) {
    char discarded[DRAIN_BYTES];
    while (length > 0) {
        uint32_t piece = MATH_MIN(length, DRAIN_BYTES);
        enum status status = stream_read_all(connection->stream, discarded, piece);
        if (status != STATUS_OK)
            return status;
        length -= piece;
    }
    return STATUS_OK;
}

/* Waits until one more request may be outstanding and makes it so. NULL: no memory. */
static struct nbd_request *new_request(struct nbd_connection *connection) {
    os_mutex_lock(&connection->mutex);
    while (connection->outstanding >= NBD_OUTSTANDING_MAX)
        os_condition_wait(&connection->room, &connection->mutex, OS_FOREVER);
    struct list_node *node = list_pop_front(&connection->spare);
    struct nbd_request *request =
        node == NULL ? os_alloc(sizeof *request) : LIST_CONTAINER(node, struct nbd_request, link);
    if (request != NULL)
        connection->outstanding++;
    os_mutex_unlock(&connection->mutex);
    return request;
}

/* Answers a request that will not be executed, and steps over its payload. */
static enum status turn_down(struct nbd_connection *connection, const struct nbd_request *request,
                             const struct nbd_refusal *refusal) {
    log_debug("nbd", "%s: \"%s\": %s of %u bytes at %llu with flags 0x%x refused: %s",
              connection->stream->peer, connection->export.name, nbd_command_name(request->type),
              request->length, (unsigned long long)request->offset, request->flags,
              refusal->message);
    if (request->type == NBD_CMD_WRITE) {
        if (request->length > LFSX_MAX_IO) {
            log_warning("nbd",
                        "%s: ended: it announced a write of %u bytes; at most %u are allowed",
                        connection->stream->peer, request->length, LFSX_MAX_IO);
            return STATUS_PROTOCOL;
        }
        enum status status = drain(connection, request->length);
        if (status != STATUS_OK)
            return status;
    }
    nbd_reply(connection, request->cookie, refusal->error, NULL);
    return STATUS_OK;
}

/* In pieces, so that a client that is slow but steady is told from one that stalls. */
static enum status read_span(struct nbd_connection *connection, struct span span) {
    uint64_t *since = &connection->account.payload_since;
    enum status status = STATUS_OK;
    while (span.length > 0 && status == STATUS_OK) {
        size_t piece = MATH_MIN(span.length, NBD_PIECE_BYTES);
        __atomic_store_n(since, os_now_ns(), __ATOMIC_RELAXED);
        status = stream_read_all(connection->stream, span.base, piece);
        span.base = (char *)span.base + piece;
        span.length -= piece;
    }
    __atomic_store_n(since, 0, __ATOMIC_RELAXED);
    return status;
}

static enum status read_payload(struct nbd_connection *connection, struct lfsx_buffer *buffer) {
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < buffer->span_count && status == STATUS_OK; i++)
        status = read_span(connection, buffer->spans[i]);
    return status;
}

/* What a buffer takes, near enough: its blocks, and a pointer and a span for each. */
static uint64_t charge_for(const struct nbd_request *request) {
    uint64_t first = request->offset / LFSX_BLOCK_SIZE;
    uint64_t end = math_divide_up(request->offset + request->length, LFSX_BLOCK_SIZE);
    return (end - first) * (LFSX_BLOCK_SIZE + sizeof(void *) + sizeof(struct span));
}

/* OK with request->buffer NULL: there is no memory, and the client is to be told. */
static enum status get_buffer(struct nbd_connection *connection, struct nbd_request *request) {
    uint64_t charge = charge_for(request);
    enum status status =
        nbd_account_take(&connection->server->budget, &connection->account, charge);
    if (status != STATUS_OK)
        return status;
    request->charged = charge;
    status = lfsx_buffer_alloc(request->offset, request->length, &request->buffer);
    if (status != STATUS_OK)
        request->buffer = NULL;
    return STATUS_OK;
}

/* A validated request: gets its memory and its payload and goes to the workers. */
static enum status accept_request(struct nbd_connection *connection,
                                  const struct nbd_request *parsed) {
    static const struct nbd_refusal no_memory = {NBD_ENOMEM, "out of memory"};
    struct nbd_request *request = new_request(connection);
    if (request == NULL)
        return turn_down(connection, parsed, &no_memory);
    *request = *parsed;
    bool has_data = request->type == NBD_CMD_READ || request->type == NBD_CMD_WRITE;
    enum status status = STATUS_OK;
    if (has_data) {
        status = get_buffer(connection, request);
        if (status == STATUS_OK && request->buffer == NULL) {
            nbd_request_free(connection, request);
            return turn_down(connection, parsed, &no_memory);
        }
    }
    if (status == STATUS_OK && request->type == NBD_CMD_WRITE)
        status = read_payload(connection, request->buffer);
    if (status != STATUS_OK) {
        nbd_request_free(connection, request);
        return status;
    }
    nbd_dispatch(connection, request);
    return STATUS_OK;
}

/* One request; SHUTDOWN is the client's orderly end. */
static enum status next_request(struct nbd_connection *connection) {
    static const struct nbd_refusal stopping = {NBD_ESHUTDOWN, "the server stops"};
    struct nbd_wire_request header;
    enum status status = read_header(connection, &header);
    if (status != STATUS_OK)
        return status;
    if (be32_get(header.magic) != NBD_REQUEST_MAGIC) {
        log_warning("nbd", "%s: ended: no NBD request where one must be", connection->stream->peer);
        return STATUS_PROTOCOL;
    }
    struct nbd_request request = {.type = be16_get(header.type),
                                  .flags = be16_get(header.flags),
                                  .cookie = be64_get(header.cookie),
                                  .offset = be64_get(header.offset),
                                  .length = be32_get(header.length)};
    if (request.type == NBD_CMD_DISC)
        return STATUS_SHUTDOWN;
    struct nbd_refusal refusal;
    if (!nbd_validate(&connection->export, &request, &refusal))
        return turn_down(connection, &request, &refusal);
    if (is_stopping(connection))
        return turn_down(connection, &request, &stopping);
    return accept_request(connection, &request);
}

void nbd_transmission(struct nbd_connection *connection) {
    enum status status;
    do
        status = next_request(connection);
    while (status == STATUS_OK);
    /* A client that broke the protocol or stalled gets no more answers; one that said goodbye, or
     * closed its half, gets all that it waits for. */
    if (status != STATUS_SHUTDOWN && status != STATUS_CLOSED)
        nbd_connection_abort(connection);
}
