/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: mvcc_run() commits what its body did, once, however often it has to start over; and nothing
 * if the body or the store does not want to. */
#include "host/host.h"
#include "tests/storage/mvcc/memstore.h"

static struct memstore store;

static const struct mvcc_options serializable = {MVCC_SERIALIZABLE, OS_FOREVER};

struct job {
    uint64_t numbers[2]; /* to add one to each, in this order */
    unsigned attempts;
    enum status refusal; /* given by the first `refusals` attempts, at their end */
    unsigned refusals;
    bool meets; /* its first attempt waits until another job is half done too */
    struct os_thread *thread;
    enum status status;
};

static struct os_mutex lock; /* guards half_done */
static struct os_condition changed;
static unsigned half_done;

static enum status add_one(struct mvcc_transaction *transaction, uint64_t number) {
    uint64_t value = 0;
    enum status status = get_for_update(transaction, number, &value);
    return status == STATUS_OK ? put(transaction, number, value + 1) : status;
}

static void meet(void) {
    os_mutex_lock(&lock);
    half_done++;
    os_condition_broadcast(&changed);
    while (half_done < 2)
        (void)os_condition_wait(&changed, &lock, OS_FOREVER);
    os_mutex_unlock(&lock);
}

static enum status body(struct mvcc_transaction *transaction, void *context) {
    struct job *job = context;
    job->attempts++;
    enum status status = add_one(transaction, job->numbers[0]);
    if (status == STATUS_OK && job->meets && job->attempts == 1)
        meet();
    if (status == STATUS_OK)
        status = add_one(transaction, job->numbers[1]);
    return status == STATUS_OK && job->attempts <= job->refusals ? job->refusal : status;
}

static void start(void) {
    memstore_start(&store);
    assert_int_equal(commit_one(&store, 1, 10), STATUS_OK);
    assert_int_equal(commit_one(&store, 2, 20), STATUS_OK);
}

static void assert_added(uint64_t times) {
    assert_true(committed(&store, 1) == 10 + times && committed(&store, 2) == 20 + times);
}

static void a_body_is_committed(void **state) {
    (void)state;
    int attachment = 0;
    start();
    struct job job = {.numbers = {1, 2}};
    assert_int_equal(mvcc_run(store.mvcc, &serializable, body, &job, &attachment), STATUS_OK);
    assert_true(store.attachment == &attachment);
    assert_int_equal(job.attempts, 1);
    assert_added(1);
    memstore_stop(&store);
}

/* What says that another attempt may succeed leads to one; nothing of the others stays. */
static void another_attempt(void **state) {
    (void)state;
    static const enum status statuses[] = {STATUS_AGAIN, STATUS_CONFLICT, STATUS_DEADLOCK};
    for (unsigned i = 0; i < 3; i++) {
        start();
        struct job job = {.numbers = {1, 2}, .refusal = statuses[i], .refusals = 4};
        assert_int_equal(mvcc_run(store.mvcc, &serializable, body, &job, NULL), STATUS_OK);
        assert_int_equal(job.attempts, 5);
        assert_added(1);
        memstore_stop(&store);
    }
}

static void a_body_that_fails(void **state) {
    (void)state;
    start();
    struct job job = {.numbers = {1, 2}, .refusal = STATUS_EXISTS, .refusals = 1};
    assert_int_equal(mvcc_run(store.mvcc, &serializable, body, &job, NULL), STATUS_EXISTS);
    assert_int_equal(job.attempts, 1);
    store.fail_apply = STATUS_NO_SPACE;
    assert_int_equal(mvcc_run(store.mvcc, &serializable, body, &job, NULL), STATUS_NO_SPACE);
    assert_int_equal(job.attempts, 2);
    host_memory_fail(0, false);
    assert_int_equal(mvcc_run(store.mvcc, &serializable, body, &job, NULL), STATUS_NO_MEMORY);
    assert_int_equal(job.attempts, 2);
    assert_added(0);
    memstore_stop(&store);
}

static void run(void *argument) {
    struct job *job = argument;
    job->status = mvcc_run(store.mvcc, &serializable, body, job, NULL);
}

/* Two that add to the same records in opposite order are in each other's way: one starts over, and
 * both are done. */
static void a_deadlock_ends_well(void **state) {
    (void)state;
    start();
    half_done = 0;
    os_mutex_init(&lock);
    os_condition_init(&changed);
    struct job jobs[2] = {{.numbers = {1, 2}, .meets = true}, {.numbers = {2, 1}, .meets = true}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(os_thread_start(&jobs[i].thread, "run", run, &jobs[i]), STATUS_OK);
    for (unsigned i = 0; i < 2; i++)
        os_thread_join(jobs[i].thread);
    assert_true(jobs[0].status == STATUS_OK && jobs[1].status == STATUS_OK);
    struct mvcc_info info;
    mvcc_info(store.mvcc, &info);
    assert_true(info.deadlocks > 0 && info.restarts == info.deadlocks);
    assert_int_equal(jobs[0].attempts + jobs[1].attempts, 2 + info.restarts);
    assert_added(2);
    os_condition_destroy(&changed);
    os_mutex_destroy(&lock);
    memstore_stop(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_committed),
        cmocka_unit_test(another_attempt),
        cmocka_unit_test(a_body_that_fails),
        cmocka_unit_test(a_deadlock_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
