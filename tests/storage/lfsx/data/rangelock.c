/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: overlapping ranges exclude each other in order of arrival, others do not meet. */
#include "storage/lfsx/data/rangelock.h"
#include "base/assert.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BLOCKS 64u
#define THREADS 6u
#define ROUNDS 3000u
#define MS 1000000ull

static struct rangelock lock;
static uint32_t owners[BLOCKS]; /* who holds a block; guarded by the lock under test */

struct worker {
    uint32_t number;
    struct random random;
};

static void work(void *argument) {
    struct worker *worker = argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t first = random_below(&worker->random, BLOCKS);
        uint64_t count = 1 + random_below(&worker->random, BLOCKS - first > 8 ? 8 : BLOCKS - first);
        struct rangelock_hold hold;
        rangelock_acquire(&lock, &hold, first, count);
        for (uint64_t i = first; i < first + count; i++) {
            ASSERT(owners[i] == 0);
            owners[i] = worker->number;
        }
        if (random_one_in(&worker->random, 4))
            os_thread_yield();
        for (uint64_t i = first; i < first + count; i++) {
            ASSERT(owners[i] == worker->number);
            owners[i] = 0;
        }
        rangelock_release(&lock, &hold);
    }
}

static void overlapping_ranges_exclude(void **state) {
    (void)state;
    struct random random = random_start("rangelock");
    struct worker workers[THREADS];
    struct os_thread *threads[THREADS];
    rangelock_init(&lock);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){i + 1, {random_next(&random)}};
        assert_int_equal(os_thread_start(&threads[i], "worker", work, &workers[i]), STATUS_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(threads[i]);
    rangelock_destroy(&lock);
}

/* Neighbours do not wait for each other: this would hang. */
static void neighbours_do_not_meet(void **state) {
    (void)state;
    struct rangelock_hold holds[4];
    rangelock_init(&lock);
    rangelock_acquire(&lock, &holds[0], 0, 10);
    rangelock_acquire(&lock, &holds[1], 10, 1);
    rangelock_acquire(&lock, &holds[2], 11, 100);
    rangelock_acquire(&lock, &holds[3], UINT64_MAX / 2, UINT64_MAX / 4);
    for (int i = 0; i < 4; i++)
        rangelock_release(&lock, &holds[i]);
    rangelock_destroy(&lock);
}

struct arrival {
    uint64_t first, count;
    _Atomic bool holds;
    _Atomic bool may_go;
};

static void arrive(void *argument) {
    struct arrival *arrival = argument;
    struct rangelock_hold hold;
    rangelock_acquire(&lock, &hold, arrival->first, arrival->count);
    arrival->holds = true;
    while (!arrival->may_go)
        os_sleep_ns(MS / 10);
    rangelock_release(&lock, &hold);
}

static void wait_until_queued(unsigned count) {
    for (;;) {
        unsigned queued = 0;
        os_mutex_lock(&lock.lock);
        LIST_FOR_EACH(node, &lock.ranges)
        queued++;
        os_mutex_unlock(&lock.lock);
        if (queued == count)
            return;
        os_sleep_ns(MS / 10);
    }
}

static void wait_until(_Atomic bool *flag) {
    while (!*flag)
        os_sleep_ns(MS / 10);
}

/* A small range that comes late does not pass a large one that waits already. */
static void first_come_first_served(void **state) {
    (void)state;
    struct arrival arrivals[3] = {
        {.first = 0, .count = 4}, {.first = 2, .count = 8}, {.first = 8, .count = 1}};
    struct os_thread *threads[3];
    rangelock_init(&lock);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(os_thread_start(&threads[i], "arrival", arrive, &arrivals[i]), STATUS_OK);
        wait_until_queued(i + 1);
    }
    wait_until(&arrivals[0].holds);
    os_sleep_ns(5 * MS);
    assert_false(arrivals[1].holds);
    assert_false(arrivals[2].holds); /* it meets only the second, which came earlier */
    arrivals[0].may_go = true;
    wait_until(&arrivals[1].holds);
    os_sleep_ns(5 * MS);
    assert_false(arrivals[2].holds);
    arrivals[1].may_go = true;
    wait_until(&arrivals[2].holds);
    arrivals[2].may_go = true;
    for (unsigned i = 0; i < 3; i++)
        os_thread_join(threads[i]);
    rangelock_destroy(&lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlapping_ranges_exclude),
        cmocka_unit_test(neighbours_do_not_meet),
        cmocka_unit_test(first_come_first_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
