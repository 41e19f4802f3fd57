/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wait-for graph: a transaction that waits points to all who stand in its way, holders of locks
 * and those who came before it. It is not kept, but read from the requests.
 *
 * A circle comes into being only when a transaction begins to wait: locks that are granted later
 * are granted to transactions that then run. So it is enough to look then, for a circle through
 * that transaction, breadth first (the shortest circle, no recursion).
 *
 * A circle may be due to the order of arrival alone: A has what B waits for, and now A comes again,
 * behind B. It dissolves if A goes first. Only a circle of held locks costs a victim: the member
 * that weighs least: it changed the fewest records, counted twice for each time that it had to
 * start over, so that nobody is a victim for ever. Among equals that with the fewest locks; among
 * equals the one that began last. Who does not want to wait makes no victim: it gives up by itself.
 */
#include "base/assert.h"
#include "base/log.h"
#include "storage/mvcc/mvcc_internal.h"

struct search {
    struct mvcc_transaction *goal;    /* where the circle begins and ends */
    struct mvcc_transaction *current; /* whose obstacles are looked at */
    struct mvcc_transaction *tail;    /* the last one found */
    bool found;                       /* `current` waits for the goal */
};

static bool follow(struct mvcc_request *other, void *context) {
    struct search *search = context;
    struct mvcc_transaction *owner = other->owner;
    enum mvcc_obstacle obstacle = mvcc_request_obstacle(search->current->waiting, other);
    if (obstacle == MVCC_OBSTACLE_NONE)
        return true;
    if (owner == search->goal) {
        ASSERT(obstacle == MVCC_OBSTACLE_HELD); /* it came last: nobody queues behind it */
        search->found = true;
        return false;
    }
    if (owner->waiting == NULL || owner->search == owner->mvcc->search)
        return true;
    owner->search = owner->mvcc->search;
    owner->search_from = search->current;
    owner->search_queue = obstacle == MVCC_OBSTACLE_QUEUE;
    owner->search_next = NULL;
    search->tail->search_next = owner;
    search->tail = owner;
    return true;
}

/* False if nobody waits for what the transaction holds, as is mostly so: then it is in no circle.
 * To find out takes a look at each of its locks. The search for a circle takes one from each who
 * waits at each who waits: if that is less, the answer is true. */
static bool may_be_waited_for(const struct mvcc_transaction *transaction) {
    uint64_t waiting = transaction->mvcc->info.waiting;
    if (transaction->request_count / waiting > waiting)
        return true;
    LIST_FOR_EACH(link, &transaction->requests) {
        if (mvcc_request_is_waited_for(LIST_CONTAINER(link, struct mvcc_request, link)))
            return true;
    }
    return false;
}

/* Afterwards the circle is search->current, its search_from and so on up to the goal. */
static bool find_circle(struct search *search) {
    struct mvcc *mvcc = search->goal->mvcc;
    mvcc->search++;
    search->goal->search_next = NULL;
    search->tail = search->goal;
    for (search->current = search->goal; search->current != NULL;
         search->current = search->current->search_next) {
        const struct mvcc_request *waiting = search->current->waiting;
        mvcc_request_overlapping(mvcc, &waiting->first, &waiting->last, follow, search);
        if (search->found)
            return true;
    }
    return false;
}

/* Who in the circle waits for the next one only because it comes later; NULL: nobody. */
static struct mvcc_transaction *find_queued(const struct search *search) {
    for (struct mvcc_transaction *t = search->current; t != search->goal; t = t->search_from) {
        ASSERT(t != NULL); /* the way back ends at the goal */
        if (t->search_queue)
            return t->search_from;
    }
    return NULL;
}

/* Lets somebody of the circle pass the queue; false if nobody waits for a queue only. */
static bool pass_queue(const struct search *search) {
    struct mvcc_transaction *waiter = find_queued(search);
    if (waiter == NULL)
        return false;
    waiter->waiting->overtakes = true;
    mvcc_request_try(waiter->waiting);
    return true;
}

static uint64_t weight(const struct mvcc_transaction *transaction) {
    uint64_t weight = transaction->record_count + 1;
    for (unsigned i = 0; i < transaction->restarts && weight <= UINT64_MAX / 2; i++)
        weight *= 2;
    return weight;
}

static bool is_cheaper(const struct mvcc_transaction *a, const struct mvcc_transaction *b) {
    if (weight(a) != weight(b))
        return weight(a) < weight(b);
    if (a->request_count != b->request_count)
        return a->request_count < b->request_count;
    return a->id > b->id;
}

static void doom_one(const struct search *search) {
    struct mvcc_transaction *victim = search->goal;
    unsigned members = 1;
    for (struct mvcc_transaction *t = search->current; t != search->goal; t = t->search_from) {
        members++;
        if (is_cheaper(t, victim))
            victim = t;
    }
    ASSERT(victim != NULL && victim->waiting != NULL);
    log_debug("mvcc",
              "deadlock of %u transactions: number %llu (%llu records changed, %llu locks) is to "
              "start over",
              members, (unsigned long long)victim->id, (unsigned long long)victim->record_count,
              (unsigned long long)victim->request_count);
    victim->doomed = true;
    victim->mvcc->info.deadlocks++;
    mvcc_request_cancel(victim->waiting);
}

void mvcc_deadlock_resolve(struct mvcc_transaction *transaction) {
    while (transaction->waiting != NULL) {
        struct search search = {.goal = transaction};
        if (!may_be_waited_for(transaction) || !find_circle(&search))
            return;
        if (pass_queue(&search))
            continue;
        if (transaction->timeout_ns == 0)
            return;
        doom_one(&search);
    }
}
