/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: requests in flight hold no more memory than they may, and no client starves another. */
#include "host/host.h"
#include "services/nbd/nbd_budget.h"
#include "storage/lfsx/lfsx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define MS 1000000ull
#define SECOND 1000000000ull
#define SMALL_MACHINE (64 * MIB)

struct client {
    struct nbd_budget *budget;
    struct nbd_account account;
    struct stream *stream, *peer;
    uint64_t bytes;
    struct os_thread *thread;
    enum status status;
    _Atomic bool done;
};

static void client_open(struct client *client, struct nbd_budget *budget) {
    *client = (struct client){.budget = budget};
    assert_int_equal(host_stream_pair(&client->stream, &client->peer), STATUS_OK);
    nbd_account_open(budget, &client->account, client->stream);
}

static void client_close(struct client *client) {
    nbd_account_close(client->budget, &client->account);
    stream_close(client->stream);
    stream_close(client->peer);
}

static void take_main(void *argument) {
    struct client *client = argument;
    client->status = nbd_account_take(client->budget, &client->account, client->bytes);
    client->done = true;
}

static void take_later(struct client *client, uint64_t bytes) {
    client->bytes = bytes;
    client->done = false;
    assert_int_equal(os_thread_start(&client->thread, "take", take_main, client), STATUS_OK);
    os_sleep_ns(30 * MS);
}

static enum status take(struct client *client, uint64_t bytes) {
    return nbd_account_take(client->budget, &client->account, bytes);
}

static void release(struct client *client, uint64_t bytes) {
    nbd_account_release(client->budget, &client->account, bytes);
}

/* Even on the smallest machine the largest request is granted, and the total is a share. */
static void largest_request_fits(void **state) {
    (void)state;
    struct nbd_budget budget;
    struct client one;
    nbd_budget_init(&budget, SMALL_MACHINE);
    client_open(&one, &budget);
    assert_int_equal(take(&one, LFSX_MAX_IO), STATUS_OK);
    release(&one, LFSX_MAX_IO);
    client_close(&one);
    nbd_budget_destroy(&budget);
    nbd_budget_init(&budget, 64 * 1024 * MIB);
    assert_int_equal(budget.total, 8 * 1024 * MIB);
    nbd_budget_destroy(&budget);
}

/* Who is over the total waits until another releases. */
static void total_is_kept(void **state) {
    (void)state;
    struct nbd_budget budget;
    struct client one, other;
    nbd_budget_init(&budget, SMALL_MACHINE);
    client_open(&one, &budget);
    client_open(&other, &budget);
    assert_int_equal(take(&one, 20 * MIB), STATUS_OK);
    take_later(&other, 20 * MIB);
    assert_false(other.done);
    release(&one, 20 * MIB);
    os_thread_join(other.thread);
    assert_int_equal(other.status, STATUS_OK);
    release(&other, 20 * MIB);
    client_close(&one);
    client_close(&other);
    nbd_budget_destroy(&budget);
}

/* Small requests that would fit do not pass a large one that has waited longer. */
static void large_requests_are_not_starved(void **state) {
    (void)state;
    struct nbd_budget budget;
    struct client one, large, small;
    nbd_budget_init(&budget, SMALL_MACHINE);
    client_open(&one, &budget);
    client_open(&large, &budget);
    client_open(&small, &budget);
    assert_int_equal(take(&one, 10 * MIB), STATUS_OK);
    take_later(&large, 30 * MIB);
    take_later(&small, 1 * MIB);
    assert_false(large.done);
    assert_false(small.done);
    release(&one, 10 * MIB);
    os_thread_join(large.thread);
    os_thread_join(small.thread);
    release(&large, 30 * MIB);
    release(&small, 1 * MIB);
    client_close(&one);
    client_close(&large);
    client_close(&small);
    nbd_budget_destroy(&budget);
}

/* Who fills its own account waits alone. */
static void full_account_holds_up_nobody(void **state) {
    (void)state;
    struct nbd_budget budget;
    struct client greedy, other;
    const uint64_t limit = 64 * MIB; /* an eighth of an eighth */
    nbd_budget_init(&budget, 4096 * MIB);
    client_open(&greedy, &budget);
    client_open(&other, &budget);
    for (uint64_t held = 0; held < limit; held += 16 * MIB)
        assert_int_equal(take(&greedy, 16 * MIB), STATUS_OK);
    greedy.account.reply_since = os_now_ns() - 100 * SECOND;
    take_later(&greedy, 1 * MIB);
    assert_false(greedy.done);
    assert_int_equal(take(&other, 32 * MIB), STATUS_OK);
    release(&other, 32 * MIB);
    os_sleep_ns(1200 * MS); /* its stalling is nobody's business, so nobody ends it */
    assert_false(greedy.done);
    release(&greedy, 1 * MIB);
    os_thread_join(greedy.thread);
    assert_int_equal(greedy.status, STATUS_OK);
    release(&greedy, limit);
    client_close(&greedy);
    client_close(&other);
    nbd_budget_destroy(&budget);
}

/* Many clients that take all they can get and stall leave room for one that comes later, and are
 * not ended as long as they do. */
static void stalled_clients_leave_room(void **state) {
    (void)state;
    enum { CLIENTS = 15 };
    struct nbd_budget budget;
    struct client stalled[CLIENTS], late;
    nbd_budget_init(&budget, 4096 * MIB);
    for (int i = 0; i < CLIENTS; i++) {
        client_open(&stalled[i], &budget);
        assert_int_equal(take(&stalled[i], 30 * MIB), STATUS_OK);
        stalled[i].account.reply_since = os_now_ns() - 100 * SECOND;
    }
    for (int i = 0; i < CLIENTS; i++)
        take_later(&stalled[i], 30 * MIB);
    os_sleep_ns(SECOND);
    client_open(&late, &budget);
    uint64_t begin = os_now_ns();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(take(&late, 16 * MIB), STATUS_OK);
        release(&late, 16 * MIB);
    }
    assert_true(os_now_ns() - begin < 20 * SECOND); /* had each waited once, it were 25 */
    client_close(&late);
    for (int i = 0; i < CLIENTS; i++) {
        assert_false(stalled[i].account.closed);
        nbd_account_cancel(&budget, &stalled[i].account);
        os_thread_join(stalled[i].thread);
        release(&stalled[i], stalled[i].account.used);
        client_close(&stalled[i]);
    }
    nbd_budget_destroy(&budget);
}

/* A client that has stalled for long on memory that another waits for is ended, and it alone. */
static void stalled_client_is_ended_for_others(void **state) {
    (void)state;
    struct nbd_budget budget;
    struct client stalled, honest, waiting;
    char byte;
    size_t got;
    nbd_budget_init(&budget, SMALL_MACHINE);
    client_open(&stalled, &budget);
    client_open(&honest, &budget);
    client_open(&waiting, &budget);
    assert_int_equal(take(&honest, 10 * MIB), STATUS_OK);
    assert_int_equal(take(&stalled, 10 * MIB), STATUS_OK);
    honest.account.reply_since = os_now_ns() - 1 * SECOND;
    stalled.account.payload_since = os_now_ns() - 11 * SECOND;
    take_later(&waiting, 20 * MIB);
    assert_int_equal(stream_read(stalled.stream, &byte, 1, &got), STATUS_CLOSED);
    assert_int_equal(take(&stalled, 1), STATUS_CLOSED);
    release(&stalled, 10 * MIB);
    os_thread_join(waiting.thread);
    assert_int_equal(waiting.status, STATUS_OK);
    stream_set_timeout(honest.stream, 10 * MS);
    assert_int_equal(stream_read(honest.stream, &byte, 1, &got), STATUS_TIMEOUT);
    release(&waiting, 20 * MIB);
    release(&honest, 10 * MIB);
    client_close(&stalled);
    client_close(&honest);
    client_close(&waiting);
    nbd_budget_destroy(&budget);
}

/* A cancelled account's wait ends, whichever it waits for, and the next in the queue is served. */
static void cancel_ends_the_wait(void **state) {
    (void)state;
    struct nbd_budget budget;
    struct client one, leaving, next;
    nbd_budget_init(&budget, SMALL_MACHINE);
    client_open(&one, &budget);
    client_open(&leaving, &budget);
    client_open(&next, &budget);
    assert_int_equal(take(&one, 20 * MIB), STATUS_OK);
    take_later(&leaving, 30 * MIB);
    take_later(&next, 1 * MIB);
    nbd_account_cancel(&budget, &leaving.account);
    os_thread_join(leaving.thread);
    assert_int_equal(leaving.status, STATUS_CLOSED);
    os_thread_join(next.thread);
    assert_int_equal(next.status, STATUS_OK);
    release(&next, 1 * MIB);
    release(&one, 20 * MIB);
    client_close(&one);
    client_close(&leaving);
    client_close(&next);
    nbd_budget_destroy(&budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_request_fits),
        cmocka_unit_test(total_is_kept),
        cmocka_unit_test(large_requests_are_not_starved),
        cmocka_unit_test(full_account_holds_up_nobody),
        cmocka_unit_test(stalled_clients_leave_room),
        cmocka_unit_test(stalled_client_is_ended_for_others),
        cmocka_unit_test(cancel_ends_the_wait),
    };
    host_start("budget");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
