/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that requests in flight may hold: a share of the machine's for the server, and a part
 * of that for each connection. A reader that would exceed either waits, and so does its client.
 *
 * A client may hold memory for as long as it likes by not sending a payload's rest or not taking a
 * reply. That must not delay others: so a part of the total is kept for connections that hold
 * nothing yet, and if even that is used up, who has owed progress longest is ended.
 *
 * Invariants:
 * 1. used is the sum of the accounts' used, and at most total. What exceeds total - reserve was
 *    taken by accounts that held nothing.
 * 2. An account that holds something waits for its own limit or the reserve, holds up nobody
 *    meanwhile, and can go on at the latest when its own requests have ended. One that holds
 *    nothing waits in the queue, which is served in order of arrival, so that small requests do
 *    not starve large ones; any request that there can be fits into an unused total.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "services/nbd/nbd_internal.h"

#define SHARE_OF_MEMORY 8 /* total is this part of what the home may use */
#define SHARE_OF_TOTAL 8  /* an account's limit is at most this part of the total */
#define SHARE_RESERVED 4  /* this part of the total is for accounts that hold nothing */
#define LARGEST_REQUEST (LFSX_MAX_IO + (1u << 20)) /* with its structures */
#define PATIENCE_NS (NBD_SECOND / 4)               /* between two looks for a victim */
#define OWING_TOO_LONG_NS (3 * NBD_SECOND)

struct waiter {
    struct list_node link;
};

void nbd_budget_init(struct nbd_budget *budget, uint64_t memory_bytes) {
    budget->total = MATH_MAX(memory_bytes / SHARE_OF_MEMORY, (uint64_t)LARGEST_REQUEST);
    budget->used = 0;
    budget->account_count = 0;
    budget->sleepers = 0;
    os_mutex_init(&budget->mutex);
    os_condition_init(&budget->released);
    list_init(&budget->accounts);
    list_init(&budget->queue);
}

void nbd_budget_destroy(struct nbd_budget *budget) {
    ASSERT(budget->used == 0);
    ASSERT(list_is_empty(&budget->accounts));
    os_condition_destroy(&budget->released);
    os_mutex_destroy(&budget->mutex);
}

void nbd_account_open(struct nbd_budget *budget, struct nbd_account *account,
                      struct stream *stream) {
    *account = (struct nbd_account){.stream = stream};
    os_mutex_lock(&budget->mutex);
    list_push_back(&budget->accounts, &account->link);
    budget->account_count++;
    os_mutex_unlock(&budget->mutex);
}

void nbd_account_close(struct nbd_budget *budget, struct nbd_account *account) {
    os_mutex_lock(&budget->mutex);
    ASSERT(account->used == 0);
    list_remove(&account->link);
    budget->account_count--;
    os_mutex_unlock(&budget->mutex);
}

/* Since when the client has owed progress; UINT64_MAX: it owes none. */
static uint64_t owing_since(const struct nbd_account *account) {
    uint64_t payload = __atomic_load_n(&account->payload_since, __ATOMIC_RELAXED);
    uint64_t reply = __atomic_load_n(&account->reply_since, __ATOMIC_RELAXED);
    return MATH_MIN(payload == 0 ? UINT64_MAX : payload, reply == 0 ? UINT64_MAX : reply);
}

/* Only if somebody waits in the queue: who fills its own account is in nobody's way. */
static void end_worst_debtor(struct nbd_budget *budget) {
    if (list_is_empty(&budget->queue))
        return;
    struct nbd_account *worst = NULL;
    uint64_t worst_since = UINT64_MAX;
    LIST_FOR_EACH(node, &budget->accounts) {
        struct nbd_account *account = LIST_CONTAINER(node, struct nbd_account, link);
        uint64_t since = owing_since(account);
        if (account->used > 0 && !account->closed && since < worst_since) {
            worst = account;
            worst_since = since;
        }
    }
    uint64_t now = os_now_ns();
    if (worst == NULL || now < worst_since || now - worst_since < OWING_TOO_LONG_NS)
        return;
    log_warning("nbd",
                "%s: ended: it has stalled for %llu s on %llu bytes that others wait for; "
                "look at that client or its network",
                worst->stream->peer, (unsigned long long)((now - worst_since) / NBD_SECOND),
                (unsigned long long)worst->used);
    worst->closed = true;
    stream_abort(worst->stream);
}

static void sleep_for_release(struct nbd_budget *budget) {
    budget->sleepers++;
    bool woken = os_condition_wait(&budget->released, &budget->mutex, PATIENCE_NS);
    budget->sleepers--;
    if (!woken)
        end_worst_debtor(budget);
}

static void wait_in_queue(struct nbd_budget *budget, struct nbd_account *account, uint64_t bytes) {
    struct waiter own;
    list_push_back(&budget->queue, &own.link);
    while (!account->closed &&
           (budget->queue.next != &own.link || budget->used + bytes > budget->total))
        sleep_for_release(budget);
    list_remove(&own.link);
    if (budget->sleepers > 0)
        os_condition_broadcast(&budget->released); /* the next in the queue may fit too */
}

/* What an account may hold: less the more there are, so that all of them together leave room. */
static uint64_t account_limit(const struct nbd_budget *budget) {
    uint64_t most = budget->total / SHARE_OF_TOTAL;
    uint64_t fair = budget->total / 2 / budget->account_count;
    return MATH_MAX(MATH_MIN(most, fair), (uint64_t)LARGEST_REQUEST);
}

/* True if an account that holds something may take this much more. */
static bool may_grow(const struct nbd_budget *budget, const struct nbd_account *account,
                     uint64_t bytes) {
    uint64_t unreserved = budget->total - budget->total / SHARE_RESERVED;
    return account->used + bytes <= account_limit(budget) && budget->used + bytes <= unreserved;
}

enum status nbd_account_take(struct nbd_budget *budget, struct nbd_account *account,
                             uint64_t bytes) {
    ASSERT(bytes <= LARGEST_REQUEST);
    os_mutex_lock(&budget->mutex);
    while (!account->closed && account->used > 0 && !may_grow(budget, account, bytes))
        sleep_for_release(budget);
    if (account->used == 0 &&
        (!list_is_empty(&budget->queue) || budget->used + bytes > budget->total))
        wait_in_queue(budget, account, bytes);
    enum status status = account->closed ? STATUS_CLOSED : STATUS_OK;
    if (status == STATUS_OK) {
        account->used += bytes;
        budget->used += bytes;
        ASSERT(budget->used <= budget->total);
    }
    os_mutex_unlock(&budget->mutex);
    return status;
}

void nbd_account_release(struct nbd_budget *budget, struct nbd_account *account, uint64_t bytes) {
    os_mutex_lock(&budget->mutex);
    ASSERT(account->used >= bytes);
    account->used -= bytes;
    budget->used -= bytes;
    if (budget->sleepers > 0)
        os_condition_broadcast(&budget->released);
    os_mutex_unlock(&budget->mutex);
}

void nbd_account_cancel(struct nbd_budget *budget, struct nbd_account *account) {
    os_mutex_lock(&budget->mutex);
    account->closed = true;
    os_condition_broadcast(&budget->released);
    os_mutex_unlock(&budget->mutex);
}
