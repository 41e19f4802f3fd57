/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: accepts, keeps the list of connections, stops.
 *
 * Invariants:
 * 1. A connection is on the list from before its thread starts until just before that thread
 *    destroys it; both happen under the server's mutex, so that whoever finds one on the list under
 *    it may stop or abort it.
 * 2. Every connection's thread is expected by `threads` and signals it as its very last act: when
 *    the wait for it returns, nothing refers to the server any more.
 * 3. Once `stopping` is set nothing is added to the list.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "services/nbd/nbd_internal.h"

#define HANDSHAKE_TIMEOUT_NS (10 * NBD_SECOND)
#define STOP_TIMEOUT_NS (5 * NBD_SECOND)
#define ACCEPT_PAUSE_NS (NBD_SECOND / 100)
/* Strangers may hold this part of the memory, at 64 KiB each, before they have negotiated. */
#define NEGOTIATING_SHARE 256
#define NEGOTIATING_BYTES 65536u
#define NEGOTIATING_MIN 16u

static void connection_main(void *argument) {
    struct nbd_connection *connection = argument;
    struct nbd_server *server = connection->server;
    nbd_connection_run(connection);
    os_mutex_lock(&server->mutex);
    list_remove(&connection->link);
    server->counters.connections_now--;
    os_mutex_unlock(&server->mutex);
    nbd_connection_destroy(connection);
    os_completion_signal(&server->threads);
}

/* With the server's mutex held: a flood of strangers must not keep others from getting in, so the
 * one that has negotiated longest makes room. */
static void end_oldest_negotiation(struct nbd_server *server) {
    LIST_FOR_EACH(node, &server->connections) {
        struct nbd_connection *connection = LIST_CONTAINER(node, struct nbd_connection, link);
        if (connection->negotiating && !connection->evicted) {
            connection->evicted = true;
            nbd_connection_abort(connection);
            return;
        }
    }
}

/* False if the server is stopping. */
static bool add_connection(struct nbd_server *server, struct nbd_connection *connection) {
    os_mutex_lock(&server->mutex);
    bool added = !server->stopping;
    if (added) {
        if (server->negotiating >= server->negotiating_max)
            end_oldest_negotiation(server);
        server->negotiating++;
        server->counters.connections_now++;
        server->counters.connections_total++;
        list_push_back(&server->connections, &connection->link);
        os_completion_expect(&server->threads, 1);
    }
    os_mutex_unlock(&server->mutex);
    return added;
}

static void abandon_connection(struct nbd_server *server, struct nbd_connection *connection) {
    log_warning("nbd", "%s: turned away: no memory for its thread", connection->stream->peer);
    os_mutex_lock(&server->mutex);
    list_remove(&connection->link);
    server->negotiating--;
    server->counters.connections_now--;
    os_mutex_unlock(&server->mutex);
    nbd_connection_destroy(connection);
    os_completion_signal(&server->threads);
}

static void welcome(struct nbd_server *server, struct stream *stream) {
    struct nbd_connection *connection;
    if (nbd_connection_create(server, stream, &connection) != STATUS_OK) {
        log_warning("nbd", "a client was turned away: out of memory");
        return;
    }
    if (!add_connection(server, connection)) {
        nbd_connection_destroy(connection);
        return;
    }
    if (os_thread_start(NULL, "nbd-reader", connection_main, connection) != STATUS_OK)
        abandon_connection(server, connection);
}

/* Out of memory or descriptors: who has not even negotiated gives way first. */
static void make_room(struct nbd_server *server, enum status status, bool again) {
    if (!again)
        log_warning("nbd", "%s: cannot accept connections for now: %s", server->listener->address,
                    status_text(status));
    os_mutex_lock(&server->mutex);
    end_oldest_negotiation(server);
    os_mutex_unlock(&server->mutex);
    os_sleep_ns(ACCEPT_PAUSE_NS);
}

static void acceptor_main(void *argument) {
    struct nbd_server *server = argument;
    enum status last = STATUS_OK;
    for (;;) {
        struct stream *stream;
        enum status status = listener_accept(server->listener, &stream);
        if (status == STATUS_CLOSED)
            return;
        if (status == STATUS_OK)
            welcome(server, stream);
        else
            make_room(server, status, status == last);
        last = status;
    }
}

static void server_init(struct nbd_server *server, struct lfsx_pool *pool,
                        struct listener *listener, const struct nbd_options *options) {
    struct os_memory_info memory;
    os_memory_info(&memory);
    server->pool = pool;
    server->listener = listener;
    server->read_only = options != NULL && options->read_only;
    server->handshake_timeout_ns = HANDSHAKE_TIMEOUT_NS;
    if (options != NULL && options->handshake_timeout_ns != 0)
        server->handshake_timeout_ns = options->handshake_timeout_ns;
    uint64_t strangers = memory.total_bytes / NEGOTIATING_SHARE / NEGOTIATING_BYTES;
    server->negotiating_max = (unsigned)MATH_MIN(MATH_MAX(strangers, NEGOTIATING_MIN), UINT32_MAX);
    os_completion_init(&server->threads);
    nbd_budget_init(&server->budget, memory.total_bytes);
    os_mutex_init(&server->mutex);
    list_init(&server->connections);
}

/* Nothing refers to it any more. */
static void server_destroy(struct nbd_server *server) {
    ASSERT(list_is_empty(&server->connections));
    os_mutex_destroy(&server->mutex);
    nbd_budget_destroy(&server->budget);
    os_completion_destroy(&server->threads);
    os_free(server);
}

enum status nbd_server_start(struct lfsx_pool *pool, struct listener *listener,
                             const struct nbd_options *options, struct nbd_server **server) {
    struct nbd_server *new = os_alloc_zeroed(sizeof *new);
    if (new == NULL)
        return STATUS_NO_MEMORY;
    server_init(new, pool, listener, options);
    enum status status = os_thread_start(&new->acceptor, "nbd-acceptor", acceptor_main, new);
    if (status != STATUS_OK) {
        server_destroy(new);
        return status;
    }
    *server = new;
    return STATUS_OK;
}

static void for_each_connection(struct nbd_server *server,
                                void (*act)(struct nbd_connection *connection)) {
    os_mutex_lock(&server->mutex);
    server->stopping = true;
    LIST_FOR_EACH(node, &server->connections)
    act(LIST_CONTAINER(node, struct nbd_connection, link));
    os_mutex_unlock(&server->mutex);
}

void nbd_server_stop(struct nbd_server *server) {
    listener_abort(server->listener);
    os_thread_join(server->acceptor);
    for_each_connection(server, nbd_connection_stop);
    if (!os_completion_wait_timeout(&server->threads, STOP_TIMEOUT_NS)) {
        log_warning("nbd", "%s: some clients did not take their replies and are cut off",
                    server->listener->address);
        for_each_connection(server, nbd_connection_abort);
        os_completion_wait(&server->threads);
    }
    listener_close(server->listener);
    server_destroy(server);
}

void nbd_server_statistics(struct nbd_server *server, struct nbd_statistics *statistics) {
    struct nbd_statistics *counters = &server->counters;
    os_mutex_lock(&server->mutex);
    statistics->connections_total = counters->connections_total;
    statistics->connections_now = counters->connections_now;
    os_mutex_unlock(&server->mutex);
    statistics->requests = __atomic_load_n(&counters->requests, __ATOMIC_RELAXED);
    statistics->errors = __atomic_load_n(&counters->errors, __ATOMIC_RELAXED);
    statistics->bytes_read = __atomic_load_n(&counters->bytes_read, __ATOMIC_RELAXED);
    statistics->bytes_written = __atomic_load_n(&counters->bytes_written, __ATOMIC_RELAXED);
}
