/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock manager: locks on ranges of keys, of which a record is the smallest.
 *
 * Requests are granted in order of arrival among those that stand in each other's way. A new
 * request of a transaction that holds a weaker lock there (an upgrade) waits for the other holders,
 * and goes before those who wait for it: see deadlock.c.
 *
 * Invariants:
 * 1. No two granted requests of different transactions stand in each other's way.
 * 2. A request that is not granted is its owner's `waiting`, and something is in its way.
 * 3. Requests end only when their owner ends (strict two-phase locking), but for waiting ones.
 */
#include "base/assert.h"
#include "base/math.h"
#include "storage/mvcc/mvcc_internal.h"

/* What a mode takes for itself now, and what it says it will take of the range's parts. */
enum strength { STRENGTH_NONE, STRENGTH_SHARED, STRENGTH_EXCLUSIVE };

static const struct {
    enum strength own, parts;
} modes[] = {
    [MVCC_LOCK_INTENTION_SHARED] = {STRENGTH_NONE, STRENGTH_SHARED},
    [MVCC_LOCK_INTENTION_EXCLUSIVE] = {STRENGTH_NONE, STRENGTH_EXCLUSIVE},
    [MVCC_LOCK_SHARED] = {STRENGTH_SHARED, STRENGTH_SHARED},
    [MVCC_LOCK_SHARED_INTENTION_EXCLUSIVE] = {STRENGTH_SHARED, STRENGTH_EXCLUSIVE},
    [MVCC_LOCK_EXCLUSIVE] = {STRENGTH_EXCLUSIVE, STRENGTH_EXCLUSIVE},
};

static struct mvcc_request *request_of(const struct mvcc_tree_node *node) {
    return LIST_CONTAINER(node, struct mvcc_request, node);
}

static int compare_requests(const struct mvcc_tree_node *a, const struct mvcc_tree_node *b) {
    const struct mvcc_request *one = request_of(a);
    const struct mvcc_request *other = request_of(b);
    int order = mvcc_key_compare(&one->first, &other->first);
    if (order != 0)
        return order;
    return one->arrival < other->arrival ? -1 : one->arrival > other->arrival;
}

static void find_reach(struct mvcc_tree_node *node) {
    struct mvcc_request *request = request_of(node);
    struct mvcc_tree_node *children[] = {node->left, node->right};
    request->reach = request;
    for (unsigned i = 0; i < 2; i++) {
        if (children[i] == NULL)
            continue;
        struct mvcc_request *reach = request_of(children[i])->reach;
        if (mvcc_key_compare(&reach->last, &request->reach->last) > 0)
            request->reach = reach;
    }
}

void mvcc_request_init_tree(struct mvcc *mvcc) {
    mvcc->requests = (struct mvcc_tree){.compare = compare_requests, .summarize = find_reach};
}

static bool visit_below(const struct mvcc_tree_node *top, const struct mvcc_key *first,
                        const struct mvcc_key *last, mvcc_request_visit *visit, void *context) {
    if (top == NULL || mvcc_key_compare(&request_of(top)->reach->last, first) < 0)
        return true;
    if (!visit_below(top->left, first, last, visit, context))
        return false;
    struct mvcc_request *request = request_of(top);
    if (mvcc_key_compare(&request->first, last) > 0)
        return true;
    if (mvcc_key_compare(&request->last, first) >= 0 && !visit(request, context))
        return false;
    return visit_below(top->right, first, last, visit, context);
}

void mvcc_request_overlapping(const struct mvcc *mvcc, const struct mvcc_key *first,
                              const struct mvcc_key *last, mvcc_request_visit *visit,
                              void *context) {
    visit_below(mvcc->requests.root, first, last, visit, context);
}

static bool contains(const struct mvcc_request *outer, const struct mvcc_request *inner) {
    return mvcc_key_compare(&outer->first, &inner->first) <= 0 &&
           mvcc_key_compare(&outer->last, &inner->last) >= 0;
}

static bool is_too_much(enum strength one, enum strength other) {
    return one != STRENGTH_NONE && other != STRENGTH_NONE &&
           (one == STRENGTH_EXCLUSIVE || other == STRENGTH_EXCLUSIVE);
}

/* Both overlap. What one takes meets what the other takes; and if it takes all of the other's
 * range, it also meets the parts that the other is going to take, wherever they are. On the same
 * range that makes the well-known table of the five modes. */
static bool collide(const struct mvcc_request *a, const struct mvcc_request *b) {
    return is_too_much(modes[a->mode].own, modes[b->mode].own) ||
           (contains(a, b) && is_too_much(modes[a->mode].own, modes[b->mode].parts)) ||
           (contains(b, a) && is_too_much(modes[b->mode].own, modes[a->mode].parts));
}

enum mvcc_obstacle mvcc_request_obstacle(const struct mvcc_request *request,
                                         const struct mvcc_request *other) {
    if (other->owner == request->owner || !collide(request, other))
        return MVCC_OBSTACLE_NONE;
    if (other->granted)
        return MVCC_OBSTACLE_HELD;
    return other->arrival < request->arrival && !request->overtakes ? MVCC_OBSTACLE_QUEUE
                                                                    : MVCC_OBSTACLE_NONE;
}

/* What is asked about a request, and the answer so far. */
struct question {
    const struct mvcc_request *request;
    bool yes;
};

static bool ask(const struct mvcc_request *request, mvcc_request_visit *visit) {
    struct question question = {.request = request};
    mvcc_request_overlapping(request->owner->mvcc, &request->first, &request->last, visit,
                             &question);
    return question.yes;
}

static bool obstructs(struct mvcc_request *other, void *context) {
    struct question *question = context;
    question->yes = mvcc_request_obstacle(question->request, other) != MVCC_OBSTACLE_NONE;
    return !question->yes;
}

static bool is_obstructed(const struct mvcc_request *request) {
    return ask(request, obstructs);
}

static bool covers(struct mvcc_request *other, void *context) {
    struct question *question = context;
    const struct mvcc_request *request = question->request;
    question->yes = other->owner == request->owner && other->granted && contains(other, request) &&
                    modes[other->mode].own >= modes[request->mode].own &&
                    modes[other->mode].parts >= modes[request->mode].parts;
    return !question->yes;
}

/* Whether its owner has as much already. */
static bool is_covered(const struct mvcc_request *request) {
    return ask(request, covers);
}

static bool waits_for(struct mvcc_request *other, void *context) {
    struct question *question = context;
    question->yes =
        !other->granted && mvcc_request_obstacle(other, question->request) != MVCC_OBSTACLE_NONE;
    return !question->yes;
}

bool mvcc_request_is_waited_for(const struct mvcc_request *request) {
    return ask(request, waits_for);
}

static void stop_waiting(struct mvcc_transaction *transaction) {
    ASSERT(transaction->waiting != NULL && transaction->mvcc->info.waiting > 0);
    transaction->waiting = NULL;
    transaction->mvcc->info.waiting--;
    os_condition_signal(&transaction->wake);
}

void mvcc_request_try(struct mvcc_request *request) {
    ASSERT(!request->granted && request->owner->waiting == request);
    if (is_obstructed(request))
        return;
    request->granted = true;
    stop_waiting(request->owner);
}

static bool try_one(struct mvcc_request *other, void *context) {
    (void)context;
    if (!other->granted)
        mvcc_request_try(other);
    return true;
}

static void enter(struct mvcc_request *request) {
    struct mvcc_transaction *owner = request->owner;
    mvcc_tree_insert(&owner->mvcc->requests, &request->node);
    list_push_back(&owner->requests, &request->link);
    owner->request_count++;
    owner->mvcc->info.locks++;
}

static void leave(struct mvcc_request *request) {
    struct mvcc_transaction *owner = request->owner;
    mvcc_tree_remove(&owner->mvcc->requests, &request->node);
    list_remove(&request->link);
    owner->request_count--;
    owner->mvcc->info.locks--;
}

void mvcc_request_cancel(struct mvcc_request *request) {
    struct mvcc_transaction *owner = request->owner;
    ASSERT(!request->granted && owner->waiting == request);
    leave(request);
    stop_waiting(owner);
    mvcc_request_overlapping(owner->mvcc, &request->first, &request->last, try_one, NULL);
    os_free(request);
}

void mvcc_request_release_all(struct mvcc_transaction *transaction) {
    ASSERT(os_mutex_is_held(&transaction->mvcc->lock) && transaction->waiting == NULL);
    struct list_node gone;
    list_init(&gone);
    while (!list_is_empty(&transaction->requests)) {
        struct mvcc_request *request =
            LIST_CONTAINER(transaction->requests.next, struct mvcc_request, link);
        leave(request);
        list_push_back(&gone, &request->link);
    }
    while (!list_is_empty(&gone)) {
        struct mvcc_request *request = LIST_CONTAINER(gone.next, struct mvcc_request, link);
        mvcc_request_overlapping(transaction->mvcc, &request->first, &request->last, try_one, NULL);
        list_remove(&request->link);
        os_free(request);
    }
}

/* Sleeps until the request is granted. */
static enum status wait_for(struct mvcc_request *request) {
    struct mvcc_transaction *transaction = request->owner;
    struct mvcc *mvcc = transaction->mvcc;
    uint64_t start = os_now_ns();
    transaction->waiting = request;
    mvcc->info.waiting++;
    mvcc_deadlock_resolve(transaction);
    while (transaction->waiting != NULL) {
        uint64_t left = OS_FOREVER;
        if (transaction->timeout_ns != OS_FOREVER) {
            uint64_t waited = os_now_ns() - start;
            if (waited >= transaction->timeout_ns) {
                mvcc_request_cancel(request);
                return STATUS_TIMEOUT;
            }
            left = transaction->timeout_ns - waited;
        }
        (void)os_condition_wait(&transaction->wake, &mvcc->lock, left);
    }
    if (!transaction->doomed)
        return STATUS_OK;
    mvcc_transaction_rollback(transaction);
    return STATUS_DEADLOCK;
}

/* Makes one lock of two that adjoin, so that reading a long range does not need one for each
 * record. The sum may contain all of a range of which somebody intends to lock parts, when neither
 * lock did: then they stay two. */
static void merge_with_previous(struct mvcc_request *request) {
    struct mvcc_transaction *owner = request->owner;
    if (request->link.previous == &owner->requests)
        return;
    struct mvcc_request *previous =
        LIST_CONTAINER(request->link.previous, struct mvcc_request, link);
    struct mvcc_key end = previous->last;
    if (previous->mode != request->mode || !mvcc_key_advance(&end) ||
        mvcc_key_compare(&end, &request->first) != 0)
        return;
    struct mvcc_request sum = *previous;
    sum.last = request->last;
    if (is_obstructed(&sum))
        return;
    leave(request);
    mvcc_tree_remove(&owner->mvcc->requests, &previous->node);
    previous->last = request->last;
    mvcc_tree_insert(&owner->mvcc->requests, &previous->node);
    os_free(request);
}

enum status mvcc_request_lock(struct mvcc_transaction *transaction, const struct mvcc_key *first,
                              const struct mvcc_key *last, enum mvcc_lock_mode mode) {
    struct mvcc *mvcc = transaction->mvcc;
    ASSERT(os_mutex_is_held(&mvcc->lock));
    ASSERT(!transaction->doomed && transaction->waiting == NULL);
    struct mvcc_request draft = {.owner = transaction,
                                 .first = *first,
                                 .last = *last,
                                 .mode = mode,
                                 .arrival = mvcc->request_count + 1};
    if (is_covered(&draft))
        return STATUS_OK;
    struct mvcc_request *request = os_alloc(sizeof *request);
    if (request == NULL)
        return STATUS_NO_MEMORY;
    *request = draft;
    mvcc->request_count++;
    request->granted = !is_obstructed(request);
    enter(request);
    enum status status = request->granted ? STATUS_OK : wait_for(request);
    /* The parts that somebody intends to lock may be anywhere in the range: it has to stay. */
    if (status == STATUS_OK && modes[mode].own == modes[mode].parts)
        merge_with_previous(request);
    return status;
}

enum status mvcc_lock(struct mvcc_transaction *transaction, const struct mvcc_key *first,
                      const struct mvcc_key *last, enum mvcc_lock_mode mode) {
    if (!mvcc_key_is_valid(first) || !mvcc_key_is_valid(last) ||
        mvcc_key_compare(first, last) > 0 || (unsigned)mode >= ARRAY_LENGTH(modes))
        return STATUS_INVALID;
    if (transaction->doomed)
        return STATUS_DEADLOCK;
    os_mutex_lock(&transaction->mvcc->lock);
    enum status status = mvcc_request_lock(transaction, first, last, mode);
    os_mutex_unlock(&transaction->mvcc->lock);
    return status;
}
