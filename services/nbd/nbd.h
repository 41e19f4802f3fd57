/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD service: volumes of a pool as block devices for Linux, QEMU and libnbd (the NBD protocol
 * specification, doc/proto.md of the NetworkBlockDevice project).
 */
#ifndef SERVICES_NBD_NBD_H
#define SERVICES_NBD_NBD_H

#include "base/status.h"
#include "base/stream.h"
#include "storage/lfsx/lfsx.h"

#include <stdint.h>

#define NBD_PORT 10809

struct nbd_server;

struct nbd_options {
    bool read_only;                /* refuse every write */
    uint64_t handshake_timeout_ns; /* 0: 10 s for a client to finish the negotiation */
};

/* Serves every volume of the pool to whoever connects, on threads of its own, until
 * nbd_server_stop(). `options` may be NULL. The listener becomes the server's. Several servers may
 * share a pool. */
enum status nbd_server_start(struct lfsx_pool *pool, struct listener *listener,
                             const struct nbd_options *options, struct nbd_server **server);

/* Stops accepting, ends every connection once its requests in flight are answered (at most 5 s),
 * and releases the server and the listener. Commits nothing: the pool's owner does. */
void nbd_server_stop(struct nbd_server *server);

struct nbd_statistics {
    uint64_t connections_total, connections_now, requests, errors, bytes_read, bytes_written;
};
void nbd_server_statistics(struct nbd_server *server, struct nbd_statistics *statistics);

#endif
