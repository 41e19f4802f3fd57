/* SPDX-License-Identifier: Apache-2.0 */
/* What workloads are like. The smallest pool that there can be has 2,048 blocks, 256 of them
 * journal. */
#include "storage/lfsx/lfsx_format.h"
#include "tests/sim/sim_test.h"

#define DELAY_NS 100000u
#define STALL_NS 8000000000ull

static unsigned one_or(struct sim_random *random, unsigned low, unsigned more) {
    return low + (unsigned)sim_random_below(random, more);
}

static struct plan ordinary(struct sim_random *random) {
    static const uint64_t volume_bytes[] = {24u << 10, 64u << 10, 160u << 10, 1600u << 10};
    static const uint64_t cache_bytes[] = {1, 384u << 10, 8u << 20}; /* none; writers wait; room */
    static const uint32_t max_transfer[] = {16u << 10, 128u << 10, 128u << 10, 1u << 20};
    return (struct plan){
        .disk_blocks = 2048 + sim_random_below(random, 512),
        .volume_bytes =
            volume_bytes[sim_random_below(random, 20) == 0 ? 3 : sim_random_below(random, 3)],
        .cache_bytes = cache_bytes[sim_random_below(random, 3)],
        .max_length = 96u << 10,
        .max_transfer = max_transfer[sim_random_below(random, 4)],
        .clients = one_or(random, 1, 6),
        .ops = one_or(random, 5, 40),
        .volumes = one_or(random, 1, 3),
        .names = 6,
        .preempt = one_or(random, 0, 3) * 10,
        .pause = sim_random_one_in(random, 2) ? 0 : one_or(random, 2, 8),
        .flush_one_in = sim_random_one_in(random, 4) ? 0 : one_or(random, 3, 20),
        .fua_one_in = sim_random_one_in(random, 3) ? 0 : one_or(random, 2, 12),
        .names_one_in = sim_random_one_in(random, 2) ? 0 : 8,
        .snapshots_one_in = sim_random_one_in(random, 3) ? 0 : one_or(random, 4, 12),
        .grow_one_in = sim_random_one_in(random, 8) ? 4 : 40,
        .sleep_one_in = sim_random_one_in(random, 4) ? 10 : 60,
        .long_one_in = 6,
        .only_whole_blocks = sim_random_one_in(random, 3),
        .flusher = sim_random_one_in(random, 3),
        .delays = {DELAY_NS, STALL_NS, 5000, SIM_NEVER},
        .cuts_share = 1,
        .check_one_in = PLAN_CHECK_ONE_IN,
    };
}

/* Three volumes that together are larger than the pool. */
static void make_full(struct sim_random *random, struct plan *plan) {
    plan->volume_bytes = 4u << 20;
    plan->max_length = 512u << 10;
    plan->long_one_in = 2;
    plan->volumes = 3;
    plan->clients = one_or(random, 1, 4);
    plan->ops = one_or(random, 20, 40);
    plan->prepare = 60;
    plan->cuts_share = 12;
    if (sim_random_one_in(random, 2))
        plan->delays.stall_one_in = 30;
}

static void make_many(struct sim_random *random, struct plan *plan) {
    plan->volume_bytes = 16u << 10;
    plan->max_length = 8u << 10;
    plan->names = MODEL_NAMES;
    plan->volumes = one_or(random, 20, 25);
    plan->names_one_in = one_or(random, 2, 4);
    plan->cuts_share = 2;
}

static void make_fragmented(struct sim_random *random, struct plan *plan) {
    plan->volume_bytes = 3u << 20;
    plan->volumes = one_or(random, 1, 2);
    plan->only_whole_blocks = true;
    plan->max_length = 256u << 10;
    plan->long_one_in = 30;
    plan->prepare = 900;
    plan->names_one_in = sim_random_one_in(random, 2) ? 0 : 30;
    plan->cuts_share = 6;
}

/* Many small entries, or long ones; half of the time in a ring that fills up, because checkpoints
 * hang. */
static void make_journal(struct sim_random *random, struct plan *plan) {
    bool small = sim_random_one_in(random, 2);
    bool hangs = sim_random_one_in(random, 2);
    plan->disk_blocks = 8192; /* its journal is as small as any */
    plan->volume_bytes = small ? 160u << 10 : 1200u << 10;
    plan->long_one_in = small ? 6 : 1;
    plan->max_length = small ? plan->max_length : 512u << 10;
    plan->clients = one_or(random, 3, 6);
    plan->ops = one_or(random, 60, hangs ? 250 : 120);
    plan->fua_one_in = small ? one_or(random, 1, 3) : 0;
    plan->flush_one_in = hangs && small ? 0 : one_or(random, 4, 30);
    plan->names_one_in = 0;
    plan->snapshots_one_in = hangs ? 0 : 30;
    plan->sleep_one_in = 0;
    plan->prepare = one_or(random, 0, 300);
    plan->cuts_share = small ? 1 : 6;
    if (!hangs)
        return;
    plan->clients = 8;
    plan->lazy = small ? 4 : 0;
    plan->late = true;
    plan->delays = (struct sim_delays){DELAY_NS, 10 * STALL_NS, 2, DISK_AREA_BLOCKS};
}

static void make_stalls(struct sim_random *random, struct plan *plan) {
    plan->delays.stall_ns = sim_random_one_in(random, 2) ? 60000000000ull : 10000000;
    plan->delays.stall_one_in = one_or(random, 3, 40);
}

static void make_large(struct sim_random *random, struct plan *plan) {
    plan->disk_blocks = 24576 + sim_random_below(random, 16384); /* one region of blocks, or two */
    plan->volume_bytes = 34u << 20;
    plan->max_length = LFSX_MAX_IO;
    plan->long_one_in = 2;
    plan->max_transfer = 1u << 20;
    plan->clients = one_or(random, 1, 2);
    plan->ops = one_or(random, 2, 4);
    plan->volumes = 1;
    plan->names_one_in = 0;
    plan->cuts_share = 40;
}

/* Files lose their ends in several steps, and commits come in between. */
static void make_tails(struct sim_random *random, struct plan *plan) {
    plan->tails = true;
    plan->file_bytes = 80u << 10;
    plan->clients = one_or(random, 2, 2);
    plan->flusher = true;
    plan->preempt = 2;
    plan->pause = 2;
    plan->check_one_in = 2; /* nobody else sees what stays behind an end */
}

/* A share beside a volume, to which most operations go. */
static void add_share(struct sim_random *random, struct plan *plan) {
    static const uint64_t file_bytes[] = {6000, 24u << 10, 24u << 10, 80u << 10};
    plan->shares = 1;
    plan->share_one_in = 1 + (unsigned)sim_random_below(random, 2);
    plan->file_bytes = file_bytes[sim_random_below(random, 4)];
    if (plan->mood == MOOD_FULL) /* what there is before is in the volumes */
        plan->file_bytes = 600u << 10;
    else
        plan->volumes = 1;
    if (plan->mood == MOOD_ORDINARY && sim_random_one_in(random, 2))
        make_tails(random, plan);
}

struct plan plan_draw(struct sim_random *random, enum mood mood, bool share) {
    struct plan plan = ordinary(random);
    plan.mood = mood;
    if (mood == MOOD_FULL)
        make_full(random, &plan);
    else if (mood == MOOD_FRAGMENTED)
        make_fragmented(random, &plan);
    else if (mood == MOOD_MANY)
        make_many(random, &plan);
    else if (mood == MOOD_JOURNAL)
        make_journal(random, &plan);
    else if (mood == MOOD_STALLS)
        make_stalls(random, &plan);
    else if (mood == MOOD_LARGE)
        make_large(random, &plan);
    if (share)
        add_share(random, &plan);
    return plan;
}

bool plan_draw_share(struct sim_random *random) {
    return sim_random_one_in(random, 4);
}

enum mood plan_draw_mood(struct sim_random *random) {
    static const enum mood moods[] = {
        MOOD_ORDINARY, MOOD_ORDINARY, MOOD_ORDINARY, MOOD_ORDINARY, MOOD_ORDINARY,   MOOD_FULL,
        MOOD_MANY,     MOOD_JOURNAL,  MOOD_JOURNAL,  MOOD_STALLS,   MOOD_FRAGMENTED,
    };
    if (sim_random_one_in(random, 50))
        return MOOD_LARGE;
    return moods[sim_random_below(random, sizeof moods / sizeof *moods)];
}
