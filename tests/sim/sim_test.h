/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the simulator's program share. */
#ifndef TESTS_SIM_SIM_TEST_H
#define TESTS_SIM_SIM_TEST_H

#include "host/sim/sim_disk.h"
#include "tests/sim/model.h"
#include "tests/sim/observation.h"

#define MAX_CLIENTS 8u

/* ---- plan.c: how a workload is; drawn from the seed ---- */

enum mood {
    MOOD_ORDINARY,
    MOOD_FULL,       /* hardly any space */
    MOOD_FRAGMENTED, /* a volume of many small extents */
    MOOD_MANY,       /* small volumes that come and go */
    MOOD_JOURNAL,    /* many commits: the ring goes round and fills up */
    MOOD_STALLS,     /* a disk that takes a nap every now and then */
    MOOD_LARGE,      /* writes of up to LFSX_MAX_IO */
    MOOD_COUNT
};

struct plan {
    enum mood mood;
    uint64_t disk_blocks;
    uint64_t volume_bytes; /* about, at most */
    uint64_t cache_bytes;
    uint64_t max_length;   /* of what a client does at once */
    uint32_t max_transfer; /* of the disk */
    unsigned clients, ops; /* of each client */
    unsigned volumes;      /* at the start */
    unsigned shares;       /* at the start, too */
    unsigned names;        /* in use, at most MODEL_NAMES */
    unsigned preempt, pause;
    unsigned flush_one_in, fua_one_in; /* 0: never, as below */
    unsigned names_one_in;             /* creations and deletions */
    unsigned snapshots_one_in;         /* and all that is done with them */
    unsigned share_one_in;             /* what is done in shares */
    uint64_t file_bytes;               /* at most, of a file in a share */
    bool tails;                        /* files there are mostly cut off and made longer */
    unsigned grow_one_in;              /* of what is done with names: the disk grows */
    unsigned sleep_one_in;
    unsigned long_one_in; /* lengths up to max_length, else a few blocks */
    unsigned prepare;     /* unrecorded operations of one client before all others */
    unsigned lazy;        /* so many clients never ask for anything to be durable */
    bool late;            /* they pause until the keeper's first checkpoint is under way */
    bool only_whole_blocks;
    bool flusher; /* the last client does nothing but flush */
    struct sim_delays delays;
    uint64_t cuts_share;   /* a cut costs as much as so many ordinary ones */
    unsigned check_one_in; /* of what cuts leave is also checked */
};

#define PLAN_CHECK_ONE_IN 12u /* but where a check tells more than elsewhere */

struct plan plan_draw(struct sim_random *random, enum mood mood, bool share);
bool plan_draw_share(struct sim_random *random);
enum mood plan_draw_mood(struct sim_random *random);

/* ---- run.c: one run of a workload on one disk ---- */

struct run;

struct client {
    struct run *run;
    unsigned number;
    struct os_thread *thread;
    unsigned held;                /* the name of what it has a range of */
    unsigned char *data, *before; /* run->plan.max_length each */
};

struct range {
    int instance;    /* -1: none */
    uint32_t object; /* of a share; of a volume: 0 */
    uint64_t offset, length;
};

struct run {
    struct plan plan;
    uint64_t seed;
    struct sim_random random; /* for what clients do */
    struct sim_disk disk;
    struct sim_image start; /* what the disk held at the beginning */
    struct model model;
    struct lfsx_pool *pool;
    struct client clients[MAX_CLIENTS];
    struct range ranges[MAX_CLIENTS]; /* being changed */
    unsigned users[MODEL_NAMES];      /* operations that need the name to stay */
    bool creating[MODEL_NAMES], deleting[MODEL_NAMES];
    bool resizing[MODEL_NAMES]; /* it becomes larger */
    bool growing;               /* the pool */
    int64_t later_ns;           /* than other runs begin */
    uint64_t tick;
    void (*script)(struct client *client); /* what client 0 does; NULL: what is drawn */
    const void *script_argument;
    bool close; /* the pool at the end, else the power is cut there */
    /* Faults that are expected. */
    struct sim_shortage shortage; /* of memory */
    bool short_of_memory;
    uint32_t failing; /* kinds of requests, bits 1 << enum block_operation */
    bool lying;       /* the device: checksum errors are expected */
    bool in_doubt;    /* an operation failed and nobody can tell what it did: no more of them */
    bool allocation_failed, allocation_failed_too;
    bool leaks; /* the pool said so */
    enum status open_status, close_status;
};

/* Formats a disk; the run begins there. */
void run_init(struct run *run, const struct plan *plan, uint64_t seed);
/* The run begins with an image and the model with what was seen there. */
void run_init_from(struct run *run, const struct plan *plan, uint64_t seed,
                   const struct sim_image *image, const struct observation *seen);
void run_destroy(struct run *run);
/* Opens the pool, lets the clients work, and ends as run->close says. */
enum sim_end run_go(struct run *run);
/* The model's time. */
uint64_t run_now(struct run *run);
/* The model's time of a cut just before this event. */
uint64_t run_cut_time(uint64_t position);
uint64_t run_below(struct run *run, uint64_t limit);
/* False if n is 0. */
bool run_one_in(struct run *run, uint64_t n);

/* Whether an operation may end so. Bits of `expected`: 1ull << enum status. A status that faults
 * explain puts nothing in doubt. */
#define RUN_MAY(status) (1ull << (status))
void run_expect(struct run *run, enum status status, uint64_t expected, const char *what);
/* It must not end well: either as is wanted, or as faults explain. */
void run_expect_refusal(struct run *run, enum status status, enum status wanted, const char *what);

/* ---- ops_data.c, ops_name.c: what clients do, and tell the model ---- */

enum erasure { ERASE_TRIM, ERASE_ZERO, ERASE_ZERO_NO_HOLE };

/* The range is not being changed by another client; it must have been claimed. */
void op_write(struct client *client, const struct range *range, bool fua);
void op_erase(struct client *client, const struct range *range, enum erasure kind, bool fua);
void op_read(struct client *client, const struct range *range);
/* Reads what others may be writing: whole cells, each as it was at some moment meanwhile. */
void op_read_race(struct client *client, const struct range *range);
void op_flush(struct run *run);
bool range_is_free(struct run *run, const struct range *range);
void range_claim(struct client *client, const struct range *range);
/* Only sees to it that the volume stays. */
void range_share(struct client *client, const struct range *range);
void range_release(struct client *client);

struct model_bytes *bytes_of(struct run *run, int instance);
/* In the model's present. */
uint64_t size_of(struct run *run, int instance);
/* The name that it has in the model's present. */
unsigned name_of_instance(struct run *run, int instance);
bool name_is_idle(const struct run *run, unsigned name);
/* Size 0: a share. */
void op_create(struct run *run, unsigned name, uint64_t size);
void op_delete(struct run *run, unsigned name);
/* From now on it can be brought back for a while after it was deleted. */
void op_keep(struct run *run, unsigned name);
/* Brings a deleted volume back under a free name. */
void op_undelete(struct run *run, unsigned instance, unsigned name);
/* Frees a deleted volume that could have been brought back. */
void op_purge(struct run *run, unsigned instance);
/* Ends an operation that gave a name to a volume, or took it away: whether the name exists then is
 * looked up. */
void name_finish(struct run *run, unsigned name, uint32_t op, enum status status, bool exists_then);
/* Whether there is a volume or share of the name: 1, 0, or -1 if nobody can tell. */
int name_look_up(struct run *run, unsigned name, uint64_t *id);
/* Tells the model the identifier of the volume that has the name. */
void name_learn(struct run *run, unsigned name);
/* A positive multiple of MODEL_CELL. */
uint64_t draw_size(struct run *run);

/* ---- ops_schedule.c ---- */

/* Sets rules, drawn, or none; of a volume or share that is idle. */
void op_schedule(struct run *run, unsigned name, bool any);

/* ---- ops_grow.c ---- */

/* So many blocks. */
void op_grow(struct run *run, uint64_t blocks);

/* ---- ops_resize.c ---- */

void op_resize(struct client *client, unsigned name, uint64_t size);
/* What a volume gives up that becomes smaller, and nobody else uses meanwhile, may be gone before,
 * block by block: operations [first, behind). The size is the caller's. */
struct shrinking {
    uint64_t size, old;
    uint32_t first, behind;
};
struct shrinking shrink_begin(struct run *run, unsigned name, uint64_t size);
/* Once the volume has the new size, or has failed to. */
void shrink_end(struct run *run, unsigned name, const struct shrinking *shrinking,
                enum status status);

/* ---- space.c ---- */

/* What is to be said of a write beforehand. */
struct forecast {
    bool must_fail;        /* because of the quota */
    bool grows;            /* perhaps */
    bool is_small;         /* enough for a reservation to be sure to have nodes for */
    uint64_t most, grown;  /* blocks, at that time */
    uint64_t erasures;     /* one meanwhile may have made room, or holes */
    unsigned char *before; /* enum model_block of each block */
};
/* Until space_compare() nothing is sure of these blocks. */
struct forecast space_forecast(struct run *run, const struct range *range);
void space_compare(struct run *run, const struct range *range, struct forecast *forecast,
                   enum status status);
/* What is known of blocks [first, end) of a volume. */
void space_set(struct run *run, unsigned instance, uint64_t first, uint64_t end,
               enum model_block state);
/* Nothing is, unless they are so already. */
void space_doubt(struct run *run, unsigned instance, uint64_t first, uint64_t end,
                 enum model_block but);
/* Of a volume with content: from that, and from how many blocks have data. */
void space_init(struct run *run, unsigned instance, uint64_t logical_blocks);
/* A quota, or else a reservation; of a volume that is idle. */
void op_bound(struct run *run, unsigned name, bool quota, uint64_t blocks);

/* ---- ops_snapshot.c ---- */

/* Of volumes that are there, all in one instant. */
void op_snapshot(struct run *run, const unsigned *names, unsigned count);
/* Of snapshots that nobody is busy with, of a volume that has a name. */
void op_snapshot_delete(struct run *run, int snapshot);
void op_snapshot_read(struct run *run, int snapshot);
/* Nothing happens if nobody has read the snapshot yet. The name is free. */
void op_clone(struct run *run, int snapshot, unsigned name);
void op_rollback(struct run *run, int snapshot, unsigned keep_as); /* of a volume that is idle */
void op_settle(struct run *run);
/* The model's new volume or share: its content is the snapshot's, which must have been seen. */
unsigned add_clone(struct run *run, int snapshot);

/* ---- ops_transaction.c ---- */

/* Some changes of volumes and shares that are idle, drawn, as one. */
void op_transaction(struct run *run);

/* ---- workload.c: what they do at random ---- */

void workload_client(struct client *client);
void workload_prepare(struct client *client);
/* Brings back a volume that was deleted, under a free name, or gives it up for good, if it is
 * drawn; false: there is none. */
bool bring_back(struct run *run, unsigned name);

/* ---- script.c: what one of them does step by step ---- */

/* Small enough to be cut everywhere. */
struct plan script_plan(void);
unsigned script_step_count(void);
/* Whether the pool must begin with a share: plan.shares. */
bool script_needs_share(unsigned step);
/* run->script; the argument is an array of steps' numbers that ends with SCRIPT_END. */
#define SCRIPT_END UINT32_MAX
void script_steps(struct client *client);
/* run->script: all steps in the share after each other, or, if there is none, all others. */
void script_all(struct client *client);

/* Where a script begins: a pool with something of everything, closed or left with a journal. */
struct scene {
    struct sim_image image;
    struct observation seen;
};
void scene_make(struct scene *scene, const struct plan *plan, uint64_t seed, bool closed);
void scene_destroy(struct scene *scene);

/* ---- report.c ---- */

struct counters {
    uint64_t runs, cuts, second_cuts, checks, ops, failures;
};
extern struct counters counters;
/* Before anything else: keeps the last lines of the log for violations. */
void report_start(void);
/* Whether the log said, since the last call, that a pool leaks. */
bool report_leak_told(void);
/* How to repeat what is under way; also what a failed assertion prints. */
void report_replay(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints what is wrong and how to repeat it, and ends the process. */
_Noreturn void report_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- verify.c ---- */

/* Who looks at what a run left is earlier than all runs by the wall clock. So the pool's schedules
 * delete nothing while it is looked at, and what they take then is told by its time. */
#define VERIFY_LATER_NS (-1000000000000000)

struct verify_options {
    uint64_t seed;
    bool check;               /* before and after */
    bool leaks;               /* that space is lost is expected; it is repaired first */
    bool close;               /* write what recovery leaves to write */
    bool record;              /* what the recovery writes */
    struct observation *seen; /* where to leave what is seen; NULL: nowhere */
};
/* Opens the pool on a disk with the image in a world of its own and asks the model. Any violation
 * ends the process. The disk must be destroyed by the caller. */
void verify_image(struct model *model, uint64_t cut, const struct sim_image *image,
                  const struct verify_options *options, struct sim_disk *disk);
/* Runs the check; anything that it finds is a violation. */
void check_disk(struct sim_disk *disk);

/* ---- crash.c, exhaustive.c ---- */

/* Verifies what a cut left, now and then also what a cut of the recovery leaves. */
void crash_verify(struct run *run, uint64_t position, const struct sim_image *image,
                  struct sim_random *random, struct observation *seen);
/* Room for so many fates, until the next call. */
enum sim_fate *crash_fates(uint64_t count);
/* One seed: some generations of workload, each from what a cut of the one before left. */
void crash_random(uint64_t seed, uint64_t cuts_of_a_run);
/* Every moment of the small workload with this number, and every choice among what was on its way.
 */
void crash_exhaustive(uint64_t number, unsigned ops);
/* How many workloads of so many operations there are. */
uint64_t crash_exhaustive_count(unsigned ops);

/* ---- progress.c ---- */

/* A commit returns while a checkpoint hangs. */
void progress(uint64_t seed);

/* ---- failures.c, silent.c ---- */

/* A workload with its k-th allocation failing, for each k. */
void failures_memory(uint64_t seed);
/* A workload with its k-th request failing, once, for its place and from then on, for each k. */
void failures_device(uint64_t seed);
/* The core operations with two allocations, or two requests, failing: all pairs that begin with the
 * one of this number. */
void failures_pairs(uint64_t number);
/* One lost, misdirected, misread or rotten block at a time: never wrong bytes. */
void failures_silent(uint64_t seed);

#endif
