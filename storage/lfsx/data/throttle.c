/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/data/throttle.h"
#include "base/assert.h"
#include "base/math.h"
#include "storage/lfsx/lfsx.h"

#define SECOND_NS 1000000000ull
#define STAGED_PART 4u             /* what is staged is written in about a quarter of a second */
#define FLOOR_PAGES 256u           /* may be staged however slow the device is */
#define MEASURE_BYTES (256u << 10) /* shorter transfers tell of latency, not of the rate */
#define PACE_MIN_NS (SECOND_NS / 1000) /* shorter sleeps are saved up */
#define PACE_MAX_NS (SECOND_NS / 20)

/* Who waits, on its stack. */
struct waiter {
    struct list_node link;
    unsigned share;
    uint64_t pages;
    bool admitted;
};

void throttle_init(struct throttle *throttle, struct os_mutex *lock, uint64_t limit_pages) {
    *throttle = (struct throttle){.lock = lock, .limit = limit_pages};
    list_init(&throttle->waiters);
    os_condition_init(&throttle->turn);
}

void throttle_destroy(struct throttle *throttle) {
    ASSERT(list_is_empty(&throttle->waiters));
    os_condition_destroy(&throttle->turn);
}

static uint64_t limit_now(const struct throttle *throttle) {
    if (throttle->rate == 0)
        return throttle->limit;
    uint64_t written = throttle->rate / LFSX_BLOCK_SIZE / STAGED_PART;
    return MATH_MIN(throttle->limit, MATH_MAX(written, FLOOR_PAGES));
}

uint64_t throttle_max(const struct throttle *throttle) {
    return MATH_MIN(throttle->limit, FLOOR_PAGES) / 4;
}

uint64_t throttle_batch(const struct throttle *throttle) {
    return limit_now(throttle) / 4;
}

/* Pages that are not taken. */
static uint64_t left(const struct throttle *throttle) {
    uint64_t limit = limit_now(throttle);
    return limit - MATH_MIN(throttle->total, limit);
}

/* Lets those in for whom there is room, in order. Who waits because of its own share holds nobody
 * up; who has nothing yet and finds no room is waited for by all behind it. */
static void let_in(struct throttle *throttle) {
    bool any = false;
    LIST_FOR_EACH_SAFE(link, &throttle->waiters) {
        struct waiter *waiter = LIST_CONTAINER(link, struct waiter, link);
        uint64_t *share = &throttle->shares[waiter->share];
        if (*share + waiter->pages > left(throttle)) {
            if (*share == 0)
                break;
            continue;
        }
        *share += waiter->pages;
        throttle->total += waiter->pages;
        waiter->admitted = true;
        list_remove(&waiter->link);
        any = true;
    }
    if (any)
        os_condition_broadcast(&throttle->turn);
}

bool throttle_admit(struct throttle *throttle, unsigned share, uint64_t pages) {
    ASSERT(pages <= throttle_max(throttle));
    struct waiter waiter = {.share = share, .pages = pages};
    list_push_back(&throttle->waiters, &waiter.link);
    let_in(throttle);
    while (!waiter.admitted && !throttle->closed)
        os_condition_wait(&throttle->turn, throttle->lock, OS_FOREVER);
    list_remove(&waiter.link);
    return waiter.admitted;
}

/* From half of its bound on, a share is slowed: at three quarters to the device's pace, and to half
 * of it at the bound. */
uint64_t throttle_pace(struct throttle *throttle, unsigned share, uint64_t pages) {
    uint64_t own = throttle->shares[share];
    uint64_t bound = left(throttle);
    if (throttle->rate == 0 || 2 * own <= bound)
        return 0;
    uint64_t needed = pages * LFSX_BLOCK_SIZE * SECOND_NS / throttle->rate;
    uint64_t most = 2 * needed;
    uint64_t part = bound == 0 ? most : needed * 2 * (2 * own - bound) / bound;
    uint64_t now = os_now_ns();
    uint64_t *until = &throttle->paced[share];
    uint64_t wait = MATH_MAX(*until, now) + MATH_MIN(part, most) - now;
    wait = MATH_MIN(wait, PACE_MAX_NS);
    *until = now + wait;
    return wait < PACE_MIN_NS ? 0 : wait;
}

void throttle_release(struct throttle *throttle, unsigned share, uint64_t pages) {
    ASSERT(throttle->shares[share] >= pages);
    ASSERT(throttle->total >= pages);
    throttle->shares[share] -= pages;
    throttle->total -= pages;
    if (!list_is_empty(&throttle->waiters))
        let_in(throttle);
}

void throttle_measure(struct throttle *throttle, uint64_t bytes, uint64_t nanoseconds) {
    if (bytes < MEASURE_BYTES || nanoseconds == 0)
        return;
    uint64_t rate = MATH_MAX(bytes * SECOND_NS / nanoseconds, 1u);
    throttle->rate = throttle->rate == 0 ? rate : (3 * throttle->rate + rate) / 4;
}

void throttle_close(struct throttle *throttle) {
    throttle->closed = true;
    os_condition_broadcast(&throttle->turn);
}
