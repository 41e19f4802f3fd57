/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the simulator's program share. */
#ifndef TESTS_SIM_SIM_TEST_H
#define TESTS_SIM_SIM_TEST_H

#include "host/sim/sim_disk.h"
#include "tests/sim/model.h"

#define MAX_CLIENTS 6u
#define MAX_LENGTH (96u << 10)

/* How a workload is; drawn from the seed. */
struct plan {
    uint64_t disk_blocks;
    uint64_t volume_bytes; /* about, at most */
    uint64_t cache_bytes;
    unsigned clients, ops; /* of each client */
    unsigned volumes;      /* at the start */
    unsigned preempt;
    unsigned flush_one_in, fua_one_in; /* 0: never */
    unsigned names_one_in;             /* creations and deletions; 0: never */
    bool only_whole_blocks;
};

struct range {
    int instance; /* -1: none */
    uint64_t offset, length;
};

/* One run of a workload on one disk. */
struct run {
    struct plan plan;
    uint64_t seed;
    struct sim_random random; /* for what clients do */
    struct sim_disk disk;
    struct sim_image start; /* what the disk held at the beginning */
    struct model model;
    struct lfsx_pool *pool;
    struct range ranges[MAX_CLIENTS]; /* being changed */
    unsigned users[MODEL_NAMES];      /* open handles */
    bool creating[MODEL_NAMES], deleting[MODEL_NAMES];
    uint64_t tick;
    bool faulty;          /* errors of memory and device are expected */
    bool in_doubt;        /* an operation failed and may have had an effect: no more of them */
    bool close;           /* the pool at the end, else the power is cut there */
    bool tolerant;        /* the device lies: checksum errors are expected */
    void (*before)(void); /* called in the world before anything else; may be NULL */
    bool allocation_failed;
    enum status open_status, close_status;
};

/* ---- report.c ---- */

struct counters {
    uint64_t runs, cuts, second_cuts, checks, ops, failures;
};
extern struct counters counters;
/* Before anything else: keeps the last lines of the log for violations. */
void report_start(void);
/* How to repeat what is under way; also what a failed assertion prints. */
void report_replay(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints what is wrong and how to repeat it, and ends the process. */
_Noreturn void report_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- workload.c ---- */

struct plan plan_draw(struct sim_random *random);
/* Formats a disk; the run begins there. */
void run_init(struct run *run, const struct plan *plan, uint64_t seed);
/* The run begins with an image that run_observe() looked at: the model starts with that. */
void run_init_from(struct run *run, const struct plan *plan, uint64_t seed,
                   const struct sim_image *image);
void run_destroy(struct run *run);
/* Opens the pool, lets the clients work, and ends as run->close says. */
enum sim_end run_go(struct run *run);
/* The model's time. */
uint64_t run_now(struct run *run);
/* The model's time of a cut just before this event. */
uint64_t run_cut_time(uint64_t position);

/* ---- verify.c ---- */

struct verify_options {
    uint64_t seed;
    bool check;  /* before and after */
    bool close;  /* write what recovery leaves to write */
    bool record; /* what the recovery writes */
};
/* Opens the pool on a disk with the image in a world of its own and asks the model. Any violation
 * ends the process. The disk must be destroyed by the caller. */
void verify_image(struct model *model, uint64_t cut, const struct sim_image *image,
                  const struct verify_options *options, struct sim_disk *disk);

/* What the last verification saw. */
struct observed {
    char name[LFSX_NAME_MAX + 1];
    uint64_t size;
    unsigned char *content; /* kept until the next verification */
    uint64_t capacity;
};
extern struct observed observed[MODEL_NAMES];
extern unsigned observed_count;

/* Reads a whole volume into memory; the first error. */
enum status read_volume(struct lfsx_volume *volume, uint64_t size, unsigned char *content);
/* Runs the check; anything that it finds is a violation. */
void check_disk(struct sim_disk *disk);

/* ---- crash.c ---- */

/* One seed: some generations of workload, each from what a cut of the one before left. */
void crash_random(uint64_t seed, uint64_t cuts_of_a_run);
/* Every moment of the small workload with this number, and every choice among what was on its way.
 */
void crash_exhaustive(uint64_t number, unsigned ops);

/* ---- failures.c ---- */

/* A workload with its k-th allocation failing, for each k. */
void failures_memory(uint64_t seed);
/* A workload with its k-th request failing, once and from then on, for each k. */
void failures_device(uint64_t seed);
/* One lost, misdirected or rotten block at a time: never wrong bytes. */
void failures_silent(uint64_t seed);

#endif
