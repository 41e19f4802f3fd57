/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lfsx-sim: simulated power cuts and failures of LFSX, by seed.
 *
 *   lfsx-sim [--mode MODE] [--seeds A-B] [--jobs N] [--cuts N] [--ops N] [--progress]
 *
 * Modes: random (default), exhaustive (a seed is the number of a workload of --ops steps), memory,
 * device, pairs, silent, progress. Each job is a process of its own.
 */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct mode;

struct options {
    const struct mode *mode;
    uint64_t first, last;
    unsigned jobs, ops;
    uint64_t cuts;
    bool progress;
};

/* Shared by all jobs. */
struct shared {
    struct counters counters;
    uint64_t next_seed, seeds;
    struct job {
        pid_t process;
        uint64_t seed; /* that it is at */
    } jobs[];
};

static void run_exhaustive(const struct options *options, uint64_t seed) {
    crash_exhaustive(seed, options->ops);
}

static void run_random(const struct options *options, uint64_t seed) {
    crash_random(seed, options->cuts);
}

static void run_memory(const struct options *options, uint64_t seed) {
    (void)options;
    failures_memory(seed);
}

static void run_device(const struct options *options, uint64_t seed) {
    (void)options;
    failures_device(seed);
}

static void run_pairs(const struct options *options, uint64_t seed) {
    (void)options;
    failures_pairs(seed);
}

static void run_progress(const struct options *options, uint64_t seed) {
    (void)options;
    progress(seed);
}

static void run_silent(const struct options *options, uint64_t seed) {
    (void)options;
    failures_silent(seed);
}

static const struct mode {
    const char *name;
    void (*run)(const struct options *options, uint64_t seed);
} modes[] = {{"random", run_random},    {"exhaustive", run_exhaustive}, {"memory", run_memory},
             {"device", run_device},    {"pairs", run_pairs},           {"silent", run_silent},
             {"progress", run_progress}};
#define MODES (sizeof modes / sizeof *modes)

static const struct mode *mode_of(const char *name) {
    for (unsigned i = 0; i < MODES; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

static void run_seed(const struct options *options, uint64_t seed) {
    report_replay("repeat: lfsx-sim --mode %s --seeds %llu --cuts %llu --ops %u",
                  options->mode->name, (unsigned long long)seed, (unsigned long long)options->cuts,
                  options->ops);
    options->mode->run(options, seed);
}

static void add_counters(struct counters *to) {
    uint64_t *sum = (uint64_t *)to;
    const uint64_t *own = (const uint64_t *)&counters;
    for (size_t i = 0; i < sizeof counters / sizeof *own; i++)
        __atomic_fetch_add(&sum[i], own[i], __ATOMIC_RELAXED);
    memset(&counters, 0, sizeof counters);
}

static void work(const struct options *options, struct shared *shared, struct job *job) {
    for (;;) {
        uint64_t seed = __atomic_fetch_add(&shared->next_seed, 1, __ATOMIC_RELAXED);
        if (seed > options->last)
            return;
        job->seed = seed;
        run_seed(options, seed);
        add_counters(&shared->counters);
        __atomic_fetch_add(&shared->seeds, 1, __ATOMIC_RELAXED);
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_state(const struct options *options, const struct shared *shared,
                        double seconds) {
    const struct counters *c = &shared->counters;
    printf("%s: %llu seeds, %llu runs, %llu operations, %llu power cuts verified (%llu during "
           "recovery), %llu checks, %llu failures; %.1f s, %.0f cuts/s\n",
           options->mode->name, (unsigned long long)shared->seeds, (unsigned long long)c->runs,
           (unsigned long long)c->ops, (unsigned long long)c->cuts,
           (unsigned long long)c->second_cuts, (unsigned long long)c->checks,
           (unsigned long long)c->failures, seconds, (double)c->cuts / seconds);
    fflush(stdout);
}

static bool parse(int argc, char **argv, struct options *options) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--progress") == 0) {
            options->progress = true;
            continue;
        }
        if (i + 1 == argc)
            return false;
        const char *name = argv[i++];
        const char *value = argv[i];
        if (strcmp(name, "--mode") == 0) {
            options->mode = mode_of(value);
        } else if (strcmp(name, "--seeds") == 0) {
            char *end;
            options->first = options->last = strtoull(value, &end, 0);
            if (*end == '-')
                options->last = strtoull(end + 1, NULL, 0);
        } else if (strcmp(name, "--jobs") == 0) {
            options->jobs = (unsigned)strtoul(value, NULL, 0);
        } else if (strcmp(name, "--cuts") == 0) {
            options->cuts = strtoull(value, NULL, 0);
        } else if (strcmp(name, "--ops") == 0) {
            options->ops = (unsigned)strtoul(value, NULL, 0);
        } else {
            return false;
        }
    }
    return options->mode != NULL && options->jobs > 0 && options->cuts > 0 && options->ops > 0;
}

/* Whether it did all that it had to. A pool that asserts is the seed's violation, and said by the
 * job itself; what ends the job with a signal nobody has said yet. */
static bool ended_well(const struct options *options, const struct shared *shared, pid_t process,
                       int state) {
    if (WIFEXITED(state))
        return WEXITSTATUS(state) == 0;
    for (unsigned i = 0; i < options->jobs; i++)
        if (shared->jobs[i].process == process)
            fprintf(stderr, "seed %llu: ended by signal %d, %s, maybe of what came before it\n",
                    (unsigned long long)shared->jobs[i].seed, WTERMSIG(state),
                    strsignal(WTERMSIG(state)));
    return false;
}

static bool wait_for_jobs(const struct options *options, const struct shared *shared,
                          double started) {
    bool good = true;
    unsigned left = options->jobs;
    double said = started;
    while (left > 0) {
        int state;
        pid_t process = waitpid(-1, &state, WNOHANG);
        if (process > 0) {
            left--;
            good = ended_well(options, shared, process, state) && good;
            continue;
        }
        usleep(20000);
        if (options->progress && seconds_now() - said >= 5) {
            said = seconds_now();
            print_state(options, shared, said - started);
        }
    }
    return good;
}

int main(int argc, char **argv) {
    struct options options = {
        .mode = mode_of("random"), .first = 1, .last = 10, .jobs = 1, .ops = 1, .cuts = 200};
    if (!parse(argc, argv, &options)) {
        fprintf(stderr,
                "usage: %s [--mode random|exhaustive|memory|device|pairs|silent|progress] [--seeds "
                "A-B] "
                "[--jobs N] [--cuts N] [--ops N] [--progress]\n",
                argv[0]);
        return 2;
    }
    if (options.mode == mode_of("exhaustive")) /* there are only so many */
        options.last = MATH_MIN(options.last, crash_exhaustive_count(options.ops) - 1);
    report_start();
    size_t bytes = sizeof(struct shared) + options.jobs * sizeof(struct job);
    struct shared *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    shared->next_seed = options.first;
    double started = seconds_now();
    for (unsigned i = 0; i < options.jobs; i++) {
        pid_t process = fork();
        if (process < 0)
            return 2;
        if (process == 0) {
            work(&options, shared, &shared->jobs[i]);
            _Exit(0);
        }
        shared->jobs[i].process = process;
    }
    bool good = wait_for_jobs(&options, shared, started);
    print_state(&options, shared, seconds_now() - started);
    printf(good ? "no violation\n" : "FAILED: see above\n");
    return good ? 0 : 1;
}
