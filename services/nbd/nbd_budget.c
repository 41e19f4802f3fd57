/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that requests in flight may hold: a share of the machine's for the server, and a part
 * of that for each connection. A reader that would exceed either waits, and so does its client.
 *
 * A client may hold memory for as long as it likes by not sending a payload's rest or not taking a
 * reply, but not while others wait for it: then who has owed progress longest is ended.
 *
 * Invariants:
 * 1. used is the sum of the accounts' used, and at most total.
 * 2. An account's used is at most per_account. per_account holds at least one maximal request, so
 *    that every request is granted in the end.
 * 3. Who waits for the total is served in order of arrival, so that small requests do not starve
 *    large ones. Who waits for its own account is not in that queue and holds nobody up.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "services/nbd/nbd_internal.h"

#define SHARE_OF_MEMORY 8                          /* total is this part of what the home may use */
#define SHARE_OF_TOTAL 8                           /* an account is this part of the total */
#define LARGEST_REQUEST (LFSX_MAX_IO + (1u << 20)) /* with its structures */
#define PATIENCE_NS NBD_SECOND                     /* between two looks for a victim */
#define OWING_TOO_LONG_NS (10 * NBD_SECOND)

struct waiter {
    struct list_node link;
};

void nbd_budget_init(struct nbd_budget *budget, uint64_t memory_bytes) {
    budget->total = MATH_MAX(memory_bytes / SHARE_OF_MEMORY, (uint64_t)LARGEST_REQUEST);
    budget->per_account = MATH_MAX(budget->total / SHARE_OF_TOTAL, (uint64_t)LARGEST_REQUEST);
    budget->used = 0;
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
    os_mutex_unlock(&budget->mutex);
}

void nbd_account_close(struct nbd_budget *budget, struct nbd_account *account) {
    os_mutex_lock(&budget->mutex);
    ASSERT(account->used == 0);
    list_remove(&account->link);
    os_mutex_unlock(&budget->mutex);
}

/* Since when the client has owed progress; UINT64_MAX: it owes none. */
static uint64_t owing_since(const struct nbd_account *account) {
    uint64_t payload = __atomic_load_n(&account->payload_since, __ATOMIC_RELAXED);
    uint64_t reply = __atomic_load_n(&account->reply_since, __ATOMIC_RELAXED);
    return MATH_MIN(payload == 0 ? UINT64_MAX : payload, reply == 0 ? UINT64_MAX : reply);
}

/* Only if somebody waits for the total: who fills its own account is in nobody's way. */
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

static void wait_for_total(struct nbd_budget *budget, struct nbd_account *account, uint64_t bytes) {
    struct waiter own;
    list_push_back(&budget->queue, &own.link);
    while (!account->closed &&
           (budget->queue.next != &own.link || budget->used + bytes > budget->total))
        sleep_for_release(budget);
    list_remove(&own.link);
    if (budget->sleepers > 0)
        os_condition_broadcast(&budget->released); /* the next in the queue may fit too */
}

enum status nbd_account_take(struct nbd_budget *budget, struct nbd_account *account,
                             uint64_t bytes) {
    ASSERT(bytes <= budget->per_account);
    os_mutex_lock(&budget->mutex);
    while (!account->closed && account->used + bytes > budget->per_account)
        sleep_for_release(budget);
    if (!list_is_empty(&budget->queue) || budget->used + bytes > budget->total)
        wait_for_total(budget, account, bytes);
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
