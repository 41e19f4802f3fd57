/* SPDX-License-Identifier: Apache-2.0 */
/* os.h's clock, sleep and randomness. */
#include "base/assert.h"
#include "base/math.h"
#include "base/os.h"
#include "host/host_internal.h"

#include <errno.h>
#include <sched.h>
#include <sys/random.h>
#include <time.h>

#define NS_PER_S 1000000000ull

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    int error = clock_gettime(clock, &now);
    ASSERT(error == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t nanoseconds) {
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / NS_PER_S),
                             .tv_nsec = (long)(nanoseconds % NS_PER_S)};
}

uint64_t os_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t os_wall_clock_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}

void os_random(void *out, size_t length) {
    char *at = out;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        length -= (size_t)got;
    }
}

void os_sleep_ns(uint64_t nanoseconds) {
    struct timespec left = timespec_of(nanoseconds);
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        continue;
}

void os_thread_yield(void) {
    sched_yield();
}

uint64_t host_deadline_after(uint64_t timeout_ns) {
    uint64_t deadline;
    if (timeout_ns == OS_FOREVER || !math_add(os_now_ns(), timeout_ns, &deadline))
        return OS_FOREVER;
    return deadline;
}

int host_condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t deadline) {
    if (deadline == OS_FOREVER)
        return pthread_cond_wait(condition, mutex);
    struct timespec until = timespec_of(deadline);
    return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &until);
}
