/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that a server's requests in flight may hold, in all and for each connection. */
#ifndef SERVICES_NBD_NBD_BUDGET_H
#define SERVICES_NBD_NBD_BUDGET_H

#include "base/list.h"
#include "base/os.h"
#include "base/stream.h"

#include <stdbool.h>
#include <stdint.h>

struct nbd_budget {
    uint64_t total;        /* bytes; constant */
    struct os_mutex mutex; /* guards what follows, and the accounts but for the two times */
    struct os_condition released;
    uint64_t used;
    struct list_node accounts;
    uint64_t account_count;
    struct list_node queue; /* accounts without anything that wait for the total, oldest first */
    unsigned sleepers;
};

/* One connection's part. */
struct nbd_account {
    struct list_node link;
    struct stream *stream; /* aborted if the client starves others */
    uint64_t used;
    bool closed; /* grants nothing any more */
    /* Since when the client has owed the rest of a payload, or has had to take a piece of a reply;
     * 0: it owes nothing. Atomic. */
    uint64_t payload_since;
    uint64_t reply_since;
};

/* A share of `memory_bytes`, which is what the home may use, for all accounts together. */
void nbd_budget_init(struct nbd_budget *budget, uint64_t memory_bytes);
void nbd_budget_destroy(struct nbd_budget *budget);
void nbd_account_open(struct nbd_budget *budget, struct nbd_account *account,
                      struct stream *stream);
/* Everything was released. */
void nbd_account_close(struct nbd_budget *budget, struct nbd_account *account);
/* Waits until the bytes (at most a maximal request's) may be used. CLOSED after a cancel. */
enum status nbd_account_take(struct nbd_budget *budget, struct nbd_account *account,
                             uint64_t bytes);
void nbd_account_release(struct nbd_budget *budget, struct nbd_account *account, uint64_t bytes);
/* Makes take return CLOSED, now and later. */
void nbd_account_cancel(struct nbd_budget *budget, struct nbd_account *account);

#endif
