/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one connection: negotiation, transmission, end.
 *
 * Invariants:
 * 1. outstanding is the number of requests that the reader has parsed and that are not yet answered
 *    or dropped; queued of them are on the queue. No more than NBD_OUTSTANDING_MAX.
 * 2. Workers exist only between the first dispatch and nbd_workers_finish(), which the connection's
 *    own thread calls: nothing of the connection is in use when it is destroyed.
 * 3. The stream is open from create to destroy, so that an abort always meets the right one.
 */
#include "base/assert.h"
#include "base/log.h"
#include "services/nbd/nbd_internal.h"

/* "before authentication at most 64 KiB per connection"; the negotiation adds less than 9 KiB. */
_Static_assert(sizeof(struct nbd_connection) < 16384, "a connection is small");

enum status nbd_connection_create(struct nbd_server *server, struct stream *stream,
                                  struct nbd_connection **connection) {
    struct nbd_connection *new = os_alloc_zeroed(sizeof *new);
    if (new == NULL) {
        stream_close(stream);
        return STATUS_NO_MEMORY;
    }
    new->server = server;
    new->stream = stream;
    new->negotiating = true;
    list_init(&new->link);
    list_init(&new->queue);
    list_init(&new->spare);
    os_mutex_init(&new->mutex);
    os_mutex_init(&new->reply_mutex);
    os_condition_init(&new->work);
    os_condition_init(&new->room);
    nbd_account_open(&server->budget, &new->account, stream);
    *connection = new;
    return STATUS_OK;
}

void nbd_connection_destroy(struct nbd_connection *connection) {
    ASSERT(connection->worker_count == 0);
    ASSERT(connection->outstanding == 0);
    ASSERT(list_is_empty(&connection->link));
    nbd_account_close(&connection->server->budget, &connection->account);
    stream_close(connection->stream);
    nbd_export_close(&connection->export);
    for (;;) {
        struct list_node *node = list_pop_front(&connection->spare);
        if (node == NULL)
            break;
        os_free(LIST_CONTAINER(node, struct nbd_request, link));
    }
    os_condition_destroy(&connection->room);
    os_condition_destroy(&connection->work);
    os_mutex_destroy(&connection->reply_mutex);
    os_mutex_destroy(&connection->mutex);
    os_free(connection);
}

static void end_negotiation(struct nbd_connection *connection) {
    struct nbd_server *server = connection->server;
    os_mutex_lock(&server->mutex);
    ASSERT(connection->negotiating);
    connection->negotiating = false;
    server->negotiating--;
    os_mutex_unlock(&server->mutex);
}

void nbd_connection_run(struct nbd_connection *connection) {
    const char *peer = connection->stream->peer;
    enum status status = nbd_handshake(connection);
    end_negotiation(connection);
    if (status != STATUS_OK) {
        log_debug("nbd", "%s: left before the negotiation ended (%s)", peer, status_text(status));
        return;
    }
    log_info("nbd", "%s: attached \"%s\"%s", peer, connection->export.name,
             connection->export.read_only ? " read-only" : "");
    stream_set_timeout(connection->stream, NBD_STALL_TIMEOUT_NS);
    nbd_transmission(connection);
    nbd_workers_finish(connection);
    log_info("nbd", "%s: detached \"%s\"", peer, connection->export.name);
}

void nbd_connection_stop(struct nbd_connection *connection) {
    os_mutex_lock(&connection->mutex);
    connection->stopping = true;
    bool idle = connection->outstanding == 0;
    os_mutex_unlock(&connection->mutex);
    if (idle)
        nbd_connection_abort(connection);
}

void nbd_connection_abort(struct nbd_connection *connection) {
    os_mutex_lock(&connection->mutex);
    connection->dead = true;
    os_condition_broadcast(&connection->room);
    os_mutex_unlock(&connection->mutex);
    nbd_account_cancel(&connection->server->budget, &connection->account);
    stream_abort(connection->stream);
}
