/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third home of base/os.h: a world with one thread of the host, virtual time and a seed.
 *
 * Threads are coroutines; which of those that can run does run next is drawn from the seed, and the
 * clock jumps to the next timer when none can. The same seed gives the same run, to the last byte.
 * A world can be abandoned at any instant, as a power cut does: everything that it allocated and
 * all of its threads are gone at once.
 *
 * There is one world at a time in a process. Nothing here may be called from two host threads.
 */
#ifndef HOST_SIM_SIM_H
#define HOST_SIM_SIM_H

#include "base/os.h"

#include <stdbool.h>
#include <stdint.h>

enum sim_end {
    SIM_DONE,    /* the first thread's entry returned */
    SIM_STOPPED, /* sim_stop() */
    SIM_STUCK,   /* nobody can run any more, or not within SIM_TIME_LIMIT_NS */
};

#define SIM_TIME_LIMIT_NS 36000000000000ull /* ten hours of virtual time are an endless loop */

#define SIM_START_NS 1800000000000000000ull /* since 1970 UTC */

struct sim_options {
    uint64_t seed;
    unsigned preempt; /* about one in so many unlocks gives way to another thread; 0: none */
    unsigned pause;   /* one in so many of these takes some time, too; 0: none */
    int64_t later_ns; /* than SIM_START_NS: when the world begins by the wall clock */
};

/* Makes a world, runs entry(argument) as its first thread until it returns, and drops the world.
 * Called from outside of any world. */
enum sim_end sim_run(const struct sim_options *options, void (*entry)(void *argument),
                     void *argument);

/* From a world's thread: abandons the world; does not return. */
_Noreturn void sim_stop(void);

/* Allocations that the world which ended last had not released when it ended. */
uint64_t sim_leaked(void);

/* Allocations that fail, counted from now on (0: the very next); SIM_NEVER: none. Starting a thread
 * counts as one. Holds for the running world only. */
#define SIM_NEVER UINT64_MAX
struct sim_shortage {
    uint64_t at;  /* this one, */
    uint64_t too; /* and this one, */
    bool forever; /* and all behind `at` */
};
void sim_fail_allocations(const struct sim_shortage *shortage);
/* Whether the failure `at`, `too` has happened; also after the world has ended. */
bool sim_allocation_failed(void);
bool sim_allocation_failed_too(void);

/* Calls function(argument) after so much virtual time, from no thread: it must not sleep. */
void sim_after(uint64_t nanoseconds, void (*function)(void *argument), void *argument);

/* Printed when an assertion fails: how to repeat this run. Kept by reference; NULL: nothing. */
void sim_set_replay(const char *text);

/* ---- numbers drawn from a seed (splitmix64) ---- */

struct sim_random {
    uint64_t state;
};
uint64_t sim_random_next(struct sim_random *random);
/* In [0, limit). */
uint64_t sim_random_below(struct sim_random *random, uint64_t limit);
/* True once in `n` times. */
bool sim_random_one_in(struct sim_random *random, uint64_t n);

#endif
