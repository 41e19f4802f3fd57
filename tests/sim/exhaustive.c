/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every power cut of small workloads: all sequences of so many steps, from a pool that was closed
 * and from one that has a journal to replay, cut at every write, with every subset of the last
 * eight writes under way, and the last one that arrives also torn.
 *
 * A cut before a write leaves what one before the next write leaves too, with that write lost: each
 * image is made once, at the last moment at which it can arise before a flush or an answer to a FUA
 * write asks more of it.
 */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#define FREE_WRITES 8u
#define STEPS_MAX 8u

struct moment {
    struct run *run;
    const struct sim_cutter *cutter;
    struct sim_random *random;
    struct sim_image *image;
    uint64_t position;
};

/* One choice: the bits of `there` are the last writes, the others are `older`; `newest` is what
 * becomes of the last one that arrives. */
static void cut_choice(const struct moment *moment, uint64_t there, enum sim_fate older,
                       enum sim_fate newest) {
    uint64_t count = moment->cutter->waiting_count;
    uint64_t fixed = count - MATH_MIN(count, FREE_WRITES);
    enum sim_fate *fates = crash_fates(count);
    uint64_t last = count;
    for (uint64_t i = 0; i < count; i++) {
        bool arrives = i >= fixed && (there >> (i - fixed) & 1);
        fates[i] = i < fixed ? older : arrives ? SIM_FATE_WRITTEN : SIM_FATE_LOST;
        if (fates[i] == SIM_FATE_WRITTEN)
            last = i;
    }
    if (last == count && newest != SIM_FATE_WRITTEN)
        return;
    if (last < count)
        fates[last] = newest;
    uint64_t mark = sim_store_mark();
    sim_cutter_cut(moment->cutter, fates, moment->random, moment->image);
    crash_verify(moment->run, moment->position, moment->image, moment->random, NULL);
    sim_store_release(mark);
}

static void cut_torn_or_whole(const struct moment *moment, uint64_t there, enum sim_fate older) {
    cut_choice(moment, there, older, SIM_FATE_WRITTEN);
    cut_choice(moment, there, older, SIM_FATE_BEGUN);
    cut_choice(moment, there, older, SIM_FATE_TORN);
}

/* With `grown` the last write is new since the moment before, and without it all was done then. */
static void cut_moment(const struct moment *moment, bool grown) {
    uint64_t count = moment->cutter->waiting_count;
    uint64_t choices = 1ull << MATH_MIN(count, FREE_WRITES);
    for (uint64_t there = grown ? choices / 2 : 0; there < choices; there++) {
        cut_torn_or_whole(moment, there, SIM_FATE_WRITTEN);
        if (count > FREE_WRITES)
            cut_torn_or_whole(moment, there, SIM_FATE_LOST);
    }
}

static void cut_everywhere(struct run *run, struct sim_random *random) {
    struct sim_cutter cutter;
    struct sim_image image;
    sim_image_init(&image, run->start.blocks);
    sim_cutter_init(&cutter, &run->disk, &run->start);
    bool grown = false;
    for (uint64_t i = 0; i <= run->disk.event_count; i++) {
        if (!sim_cutter_matters(&run->disk, i))
            continue;
        sim_cutter_advance(&cutter, i);
        struct moment moment = {run, &cutter, random, &image, i};
        cut_moment(&moment, grown);
        grown = i < run->disk.event_count && run->disk.events[i].kind == SIM_EVENT_WRITE;
    }
    sim_cutter_destroy(&cutter);
    sim_image_destroy(&image);
}

uint64_t crash_exhaustive_count(unsigned ops) {
    uint64_t count = 2;
    for (unsigned i = 0; i < ops; i++)
        count *= script_step_count();
    return count;
}

void crash_exhaustive(uint64_t number, unsigned ops) {
    struct sim_random random = {number};
    uint64_t mark = sim_store_mark();
    struct plan plan = script_plan();
    unsigned steps[STEPS_MAX + 1];
    uint64_t rest = number / 2;
    for (unsigned i = 0; i < ops; i++) {
        steps[i] = (unsigned)(rest % script_step_count());
        rest /= script_step_count();
        if (script_needs_share(steps[i]))
            plan.shares = 1;
    }
    steps[ops] = SCRIPT_END;
    struct scene scene;
    scene_make(&scene, &plan, 1, number % 2 == 0);
    struct run run;
    run_init_from(&run, &plan, 1, &scene.image, &scene.seen);
    run.script = script_steps;
    run.script_argument = steps;
    run.close = true;
    run_go(&run);
    cut_everywhere(&run, &random);
    run_destroy(&run);
    scene_destroy(&scene);
    sim_store_release(mark);
}
