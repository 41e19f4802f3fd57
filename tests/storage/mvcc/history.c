/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: serializable transactions of many threads have the effect of some serial order. Each value
 * written is unique, the store notes in which order it gets them, and each transaction notes what
 * it read. So it is known who must come before whom: the writer of a value before who read or
 * replaced it, and who read a value (or found none) before who replaced it. A serial order exists
 * if that has no circle. Records are made and changed, not deleted: absence says "before the first
 * writer".
 */
#include "base/math.h"
#include "tests/storage/lfsx/random.h"
#include "tests/storage/mvcc/memstore.h"

#include <stdatomic.h>

#define KEYS 10u
#define THREADS 4u
#define PER_THREAD 150u
#define TRANSACTIONS (THREADS * PER_THREAD)
#define VALUES (TRANSACTIONS * 100u)
#define READS (TRANSACTIONS * 60u)
#define STEPS 5u

static struct memstore store;

struct read {
    uint64_t transaction, key, value;
};

static struct history {
    atomic_uint values; /* given out */
    uint64_t writer[VALUES];
    uint64_t order[KEYS][VALUES];
    size_t changes[KEYS];
    struct read reads[READS];
    atomic_uint read_count;
    atomic_uint retries;
} history;

static void note_change(uint64_t key, uint64_t value) {
    history.order[key][history.changes[key]++] = value;
}

struct session {
    struct mvcc_transaction *transaction;
    uint64_t number;
    bool wrote[KEYS];
    struct read reads[STEPS * KEYS];
    size_t read_count;
};

static void note_read(struct session *session, uint64_t key, uint64_t value) {
    if (!session->wrote[key])
        session->reads[session->read_count++] = (struct read){session->number, key, value};
}

static enum status read_step(struct session *session, uint64_t key) {
    uint64_t value = 0;
    enum status status = get(session->transaction, key, &value);
    if (status == STATUS_OK)
        note_read(session, key, value);
    return status;
}

static enum status scan_step(struct session *session, uint64_t first, uint64_t last) {
    uint64_t values[KEYS];
    enum status status = scan(session->transaction, first, last, values);
    for (uint64_t i = first; status == STATUS_OK && i <= last; i++)
        note_read(session, i, values[i - first]);
    return status;
}

static enum status write_step(struct session *session, uint64_t key) {
    uint64_t value = atomic_fetch_add(&history.values, 1);
    ASSERT(value < VALUES);
    history.writer[value] = session->number;
    enum status status = put(session->transaction, key, value);
    if (status == STATUS_OK)
        session->wrote[key] = true;
    return status;
}

/* Ends the transaction, or has it start over; what it read counts if it is committed. */
static bool end(struct session *session, enum status status) {
    if (status == STATUS_OK)
        status = mvcc_commit(session->transaction, NULL);
    if (status != STATUS_OK) {
        ASSERT(status == STATUS_DEADLOCK || status == STATUS_TIMEOUT);
        mvcc_restart(session->transaction);
        atomic_fetch_add(&history.retries, 1);
        return false;
    }
    for (size_t i = 0; i < session->read_count; i++)
        history.reads[atomic_fetch_add(&history.read_count, 1)] = session->reads[i];
    return true;
}

static enum status step(struct session *session, struct random *random) {
    uint64_t key = random_below(random, KEYS);
    switch (random_below(random, 5)) {
    case 0:
    case 1:
        return read_step(session, key);
    case 2:
        return scan_step(session, key, MATH_MIN(key + 3, KEYS - 1));
    default:
        return write_step(session, key);
    }
}

static bool attempt(struct mvcc_transaction *transaction, uint64_t number, struct random *random) {
    struct session session = {.transaction = transaction, .number = number};
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < STEPS && status == STATUS_OK; i++) {
        status = step(&session, random);
        if (random_one_in(random, 3))
            os_thread_yield();
    }
    return end(&session, status);
}

struct worker {
    uint64_t first;
    struct random random;
    struct os_thread *thread;
};

static void work(void *argument) {
    struct worker *worker = argument;
    for (uint64_t i = 0; i < PER_THREAD; i++) {
        struct mvcc_transaction *transaction = begin_waiting(&store, MVCC_SERIALIZABLE, OS_FOREVER);
        while (!attempt(transaction, worker->first + i, &worker->random))
            ;
    }
}

/* before[a][b]: a must come before b. */
static bool before[TRANSACTIONS][TRANSACTIONS];

static void must_precede(uint64_t a, uint64_t b) {
    if (a != b)
        before[a][b] = true;
}

static size_t place_of(uint64_t key, uint64_t value) {
    for (size_t i = 0; i < history.changes[key]; i++) {
        if (history.order[key][i] == value)
            return i;
    }
    fail_msg("a value was read that was never committed");
    return 0;
}

static void build_graph(void) {
    memset(before, 0, sizeof before);
    for (uint64_t key = 0; key < KEYS; key++)
        for (size_t i = 1; i < history.changes[key]; i++)
            must_precede(history.writer[history.order[key][i - 1]],
                         history.writer[history.order[key][i]]);
    for (unsigned i = 0; i < history.read_count; i++) {
        const struct read *read = &history.reads[i];
        size_t next = read->value == ABSENT ? 0 : place_of(read->key, read->value) + 1;
        if (next > 0)
            must_precede(history.writer[read->value], read->transaction);
        if (next < history.changes[read->key])
            must_precede(read->transaction, history.writer[history.order[read->key][next]]);
    }
}

/* Takes away whoever nobody must precede, until nobody is left. */
static bool has_serial_order(void) {
    static bool placed[TRANSACTIONS];
    memset(placed, 0, sizeof placed);
    build_graph();
    unsigned left = TRANSACTIONS;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned b = 0; b < TRANSACTIONS; b++) {
            bool ready = !placed[b];
            for (unsigned a = 0; a < TRANSACTIONS && ready; a++)
                ready = placed[a] || !before[a][b];
            if (ready) {
                placed[b] = true;
                left--;
                moved = true;
            }
        }
    }
    return left == 0;
}

static void begin_history(void) {
    memset(&history, 0, sizeof history);
    memstore_start(&store);
    store.changed = note_change;
}

static void serializable_is_serial(void **state) {
    (void)state;
    struct random random = random_start("history");
    struct worker workers[THREADS];
    begin_history();
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] =
            (struct worker){.first = (uint64_t)i * PER_THREAD, .random = {random_next(&random)}};
        assert_int_equal(os_thread_start(&workers[i].thread, "history", work, &workers[i]),
                         STATUS_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(workers[i].thread);
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_int_equal(info.commits, TRANSACTIONS);
    assert_int_equal(info.restarts, history.retries);
    assert_int_equal(info.deadlocks, history.retries);
    print_message("%u reads, %llu deadlocks\n", history.read_count,
                  (unsigned long long)info.deadlocks);
    assert_true(has_serial_order());
    memstore_stop(&store);
}

/* The same in one thread, so that the seed replays it: transactions take turns, and one that would
 * have to wait starts over. */
#define SESSIONS 5u

static void any_interleaving_is_serial(void **state) {
    (void)state;
    struct random random = random_start("history");
    struct session sessions[SESSIONS];
    unsigned steps[SESSIONS] = {0};
    uint64_t next = 0;
    begin_history();
    for (unsigned i = 0; i < SESSIONS; i++)
        sessions[i] = (struct session){begin(&store, MVCC_SERIALIZABLE), .number = next++};
    for (unsigned left = SESSIONS; left > 0;) {
        unsigned i = (unsigned)random_below(&random, SESSIONS);
        struct session *session = &sessions[i];
        if (session->transaction == NULL)
            continue;
        enum status status = STATUS_OK;
        if (steps[i]++ < STEPS)
            status = step(session, &random);
        if (status == STATUS_OK && steps[i] <= STEPS)
            continue;
        bool ended = end(session, status);
        steps[i] = 0;
        if (!ended) {
            *session = (struct session){session->transaction, .number = session->number};
        } else if (next < TRANSACTIONS) {
            *session = (struct session){begin(&store, MVCC_SERIALIZABLE), .number = next++};
        } else {
            session->transaction = NULL;
            left--;
        }
    }
    print_message("%u reads, %u restarts\n", history.read_count, history.retries);
    assert_true(has_serial_order());
    memstore_stop(&store);
}

/* The judge of the tests above finds fault with what snapshots allow: write skew. */
static void the_judge_can_say_no(void **state) {
    (void)state;
    begin_history();
    struct session sessions[2] = {{.number = 0}, {.number = 1}};
    for (unsigned i = 0; i < 2; i++) {
        sessions[i].transaction = begin(&store, MVCC_SNAPSHOT);
        assert_int_equal(scan_step(&sessions[i], 0, 5), STATUS_OK);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_true(end(&sessions[i], write_step(&sessions[i], i)));
    assert_false(has_serial_order());
    memstore_stop(&store);
}

/* Money moves by transfers of all levels; whoever adds it up in one view finds the same sum. */
#define ACCOUNTS 8u
#define MONEY 100u

static enum status transfer(struct mvcc_transaction *transaction, uint64_t from, uint64_t to) {
    uint64_t a = 0;
    uint64_t b = 0;
    enum status status = get_for_update(transaction, from, &a);
    if (status == STATUS_OK)
        status = get_for_update(transaction, to, &b);
    if (status == STATUS_OK && a != ABSENT && b != ABSENT && a > 0) {
        status = put(transaction, from, a - 1);
        if (status == STATUS_OK)
            status = put(transaction, to, b + 1);
    }
    return status;
}

static enum status audit(struct mvcc_transaction *transaction) {
    uint64_t values[ACCOUNTS];
    uint64_t sum = 0;
    enum status status = scan(transaction, 0, ACCOUNTS - 1, values);
    for (unsigned i = 0; i < ACCOUNTS; i++)
        sum += values[i];
    ASSERT(status != STATUS_OK || sum == (uint64_t)ACCOUNTS * MONEY);
    return status;
}

static void bank(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < 400; i++) {
        bool auditor = random_one_in(&worker->random, 3);
        enum mvcc_isolation isolation = auditor
                                            ? MVCC_SNAPSHOT + random_below(&worker->random, 2)
                                            : (enum mvcc_isolation)random_below(&worker->random, 3);
        struct mvcc_transaction *transaction = begin_waiting(&store, isolation, OS_FOREVER);
        uint64_t from = random_below(&worker->random, ACCOUNTS);
        uint64_t to = (from + 1 + random_below(&worker->random, ACCOUNTS - 1)) % ACCOUNTS;
        enum status status = auditor ? audit(transaction) : transfer(transaction, from, to);
        if (status == STATUS_OK && !random_one_in(&worker->random, 10))
            status = mvcc_commit(transaction, NULL);
        else
            mvcc_abort(transaction);
        ASSERT(status == STATUS_OK || status == STATUS_DEADLOCK || status == STATUS_CONFLICT);
    }
}

static void money_stays(void **state) {
    (void)state;
    struct random random = random_start("history");
    struct worker workers[THREADS];
    memstore_start(&store);
    for (uint64_t i = 0; i < ACCOUNTS; i++)
        assert_int_equal(commit_one(&store, i, MONEY), STATUS_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.random = {random_next(&random)}};
        assert_int_equal(os_thread_start(&workers[i].thread, "bank", bank, &workers[i]), STATUS_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(workers[i].thread);
    struct mvcc_transaction *last = begin(&store, MVCC_SERIALIZABLE);
    assert_int_equal(audit(last), STATUS_OK);
    assert_int_equal(mvcc_commit(last, NULL), STATUS_OK);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serializable_is_serial),
        cmocka_unit_test(any_interleaving_is_serial),
        cmocka_unit_test(the_judge_can_say_no),
        cmocka_unit_test(money_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
