/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of services/nbd share.
 *
 * One thread per server accepts. One thread per connection negotiates, then reads requests; up to
 * NBD_WORKERS_MAX more, started when they are needed, execute and answer them.
 *
 * Lock order: server.mutex, connection.mutex, budget.mutex; connection.reply_mutex is taken with
 * none of them held, and connection.mutex may be taken under it. No lock but reply_mutex is held
 * across storage calls or stream reads and writes.
 */
#ifndef SERVICES_NBD_NBD_INTERNAL_H
#define SERVICES_NBD_NBD_INTERNAL_H

#include "base/list.h"
#include "base/os.h"
#include "services/nbd/nbd.h"
#include "services/nbd/nbd_budget.h"
#include "services/nbd/nbd_proto.h"
#include "services/nbd/nbd_request.h"

#include <stdbool.h>
#include <stdint.h>

#define NBD_WORKERS_MAX 16u
#define NBD_OUTSTANDING_MAX 256u /* parsed and not yet answered requests of one connection */
#define NBD_SECOND 1000000000ull
/* A client that takes or gives nothing for so long in the middle of a message is ended. */
#define NBD_STALL_TIMEOUT_NS (60 * NBD_SECOND)
/* Payloads travel in pieces of this size, so that progress can be seen between them. */
#define NBD_PIECE_BYTES ((size_t)1 << 20)

/* ---- nbd_export.c: a volume as a client sees it ---- */

/* Opens the volume of that name, which comes from the wire; the empty name means the pool's only
 * volume. NOT_FOUND, or what lfsx_volume_open returns. */
enum status nbd_export_open(struct nbd_server *server, const char *name, size_t length,
                            struct nbd_export *export);
/* An export without a volume is allowed. */
void nbd_export_close(struct nbd_export *export);

/* ---- nbd_server.c ---- */

struct nbd_server {
    struct lfsx_pool *pool; /* this and the next four: constant */
    struct listener *listener;
    bool read_only;
    uint64_t handshake_timeout_ns;
    unsigned negotiating_max;
    struct os_thread *acceptor;
    struct os_completion threads; /* one for each connection's thread */
    struct nbd_budget budget;
    struct os_mutex mutex;        /* guards what follows up to the counters */
    struct list_node connections; /* oldest first */
    unsigned negotiating;
    bool stopping;
    struct nbd_statistics counters; /* connections: under the mutex; the rest: atomic */
};

static inline void nbd_count(uint64_t *counter, uint64_t amount) {
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/* ---- nbd_connection.c ---- */

struct nbd_connection {
    struct list_node link; /* server.connections; guarded by server.mutex */
    bool negotiating;      /* guarded by server.mutex */
    bool evicted;          /* guarded by server.mutex: made room for a newcomer */
    struct nbd_server *server;
    struct stream *stream;
    struct nbd_export export; /* constant once the transmission phase began */
    struct nbd_account account;
    unsigned logged_failure; /* enum status, the last that was logged; atomic */

    struct os_mutex mutex;    /* guards what follows up to reply_mutex */
    struct os_condition work; /* for workers: something queued, or the end */
    struct os_condition room; /* for the reader: fewer outstanding */
    struct list_node queue;   /* requests that no worker has taken */
    struct list_node spare;   /* request structures to use again */
    unsigned queued, outstanding, idle_workers, worker_count;
    struct os_thread *workers[NBD_WORKERS_MAX];
    bool ending;   /* the reader has left; workers finish the queue and end */
    bool stopping; /* the server is: refuse new requests, abort once nothing is outstanding */
    bool dead;     /* the stream was aborted: replies are dropped, queued requests too */

    struct os_mutex reply_mutex; /* held while a reply is written */
};

/* Takes over the stream. NO_MEMORY (then the stream is closed). */
enum status nbd_connection_create(struct nbd_server *server, struct stream *stream,
                                  struct nbd_connection **connection);
/* Negotiates, serves until the end of the connection, leaves no worker and no request behind. */
void nbd_connection_run(struct nbd_connection *connection);
/* Nothing else refers to it. Ends the stream. */
void nbd_connection_destroy(struct nbd_connection *connection);
/* Ends the connection as soon as nothing is outstanding. Any thread that keeps it alive. */
void nbd_connection_stop(struct nbd_connection *connection);
/* Ends it at once. Any thread that keeps it alive. */
void nbd_connection_abort(struct nbd_connection *connection);

/* ---- nbd_handshake.c ---- */

/* Speaks the negotiation. OK: the transmission phase begins, connection.export is open. CLOSED,
 * TIMEOUT, PROTOCOL, NO_MEMORY: the connection is to be closed. */
enum status nbd_handshake(struct nbd_connection *connection);

/* ---- nbd_transmission.c: the reader ---- */

/* Reads requests and hands them to the workers until the client is done or gone. */
void nbd_transmission(struct nbd_connection *connection);

/* ---- nbd_worker.c ---- */

/* Gives back a request structure and all that it holds. Called by whoever owns the request. */
void nbd_request_free(struct nbd_connection *connection, struct nbd_request *request);
/* Hands over a request; starts a worker if all are busy. Executes it itself if there is none. */
void nbd_dispatch(struct nbd_connection *connection, struct nbd_request *request);
/* Lets the workers finish what is queued and joins them. */
void nbd_workers_finish(struct nbd_connection *connection);
/* Sends a simple reply, with the buffer's spans behind it if there is one. Errors end the
 * connection. */
void nbd_reply(struct nbd_connection *connection, uint64_t cookie, uint32_t error,
               const struct lfsx_buffer *buffer);

#endif
