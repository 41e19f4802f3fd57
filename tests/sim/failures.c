/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures in turn: every allocation, every request, and pairs of them.
 *
 * A workload is run again and again, and one thing more goes well each time, until all do. Odd
 * seeds have drawn workloads, even ones all core operations after each other; every other two of
 * them in a share.
 */
#include "tests/sim/sim_test.h"

static struct plan drawn_plan(struct sim_random *random, bool share) {
    struct plan plan = plan_draw(random, MOOD_ORDINARY, share);
    plan.disk_blocks = 2048;
    plan.volume_bytes = 64u << 10;
    plan.clients = 1 + (unsigned)sim_random_below(random, 2);
    plan.ops = 12;
    plan.preempt = 0;
    plan.delays.stall_one_in = 0;
    return plan;
}

/* What all runs of a seed have in common. */
struct subject {
    struct plan plan;
    struct scene scene;
    uint64_t seed; /* of the runs */
    bool scripted;
};

static void subject_make(struct subject *subject, uint64_t seed, bool scripted, bool share,
                         bool closed) {
    struct sim_random random = {seed};
    struct plan plan = script_plan();
    plan.shares = share;
    subject->plan = scripted ? plan : drawn_plan(&random, share);
    subject->seed = sim_random_next(&random);
    subject->scripted = scripted;
    scene_make(&subject->scene, &plan, subject->seed, closed);
}

static void begin(struct run *run, const struct subject *subject) {
    run_init_from(run, &subject->plan, subject->seed, &subject->scene.image, &subject->scene.seen);
    run->close = true;
    run->script = subject->scripted ? script_all : NULL;
}

/* Runs it, and has the model judge what the disk holds at the end, read by a machine that works
 * again. */
static void go(struct run *run, const struct subject *subject) {
    run_go(run);
    struct sim_disk disk;
    struct verify_options options = {
        .seed = subject->seed, .check = true, .leaks = run->leaks, .close = true};
    verify_image(&run->model, run_cut_time(run->disk.event_count), &run->disk.image, &options,
                 &disk);
    sim_disk_destroy(&disk);
    counters.failures++;
}

/* ---- memory ---- */

/* Whether the failures happened: the first, and the second or all behind it. */
struct happened {
    bool first, second;
};

static struct happened fail_memory(const struct subject *subject, struct sim_shortage shortage) {
    uint64_t mark = sim_store_mark();
    struct run run;
    begin(&run, subject);
    run.short_of_memory = true;
    run.shortage = shortage;
    go(&run, subject);
    struct happened happened = {run.allocation_failed, run.allocation_failed_too};
    run_destroy(&run);
    sim_store_release(mark);
    return happened;
}

void failures_memory(uint64_t seed) {
    uint64_t mark = sim_store_mark();
    struct subject subject;
    subject_make(&subject, seed, seed % 2 == 0, seed % 4 >= 2, false);
    for (unsigned forever = 0; forever < 2; forever++) {
        bool failed = true;
        for (uint64_t k = 0; failed; k++) {
            struct sim_shortage shortage = {k, SIM_NEVER, forever};
            failed = fail_memory(&subject, shortage).first;
        }
    }
    scene_destroy(&subject.scene);
    sim_store_release(mark);
}

/* ---- the device ---- */

static const uint32_t kinds[] = {1u << BLOCK_READ, 1u << BLOCK_WRITE | 1u << BLOCK_FLUSH,
                                 1u << BLOCK_DISCARD};
#define KINDS (sizeof kinds / sizeof *kinds)

enum extent { ONCE, THERE, FOREVER }; /* of a failure */

/* The power is cut at each moment of a run in which the pool leaked: no more is lost than that. */
static void cut_leaks(struct run *run, const struct subject *subject) {
    struct sim_random random = {subject->seed};
    struct sim_cutter cutter;
    struct sim_image image;
    sim_cutter_init(&cutter, &run->disk, &run->start);
    sim_image_init(&image, run->start.blocks);
    for (uint64_t i = 0; i <= run->disk.event_count; i++) {
        if (!sim_cutter_matters(&run->disk, i))
            continue;
        uint64_t mark = sim_store_mark();
        sim_cutter_advance(&cutter, i);
        enum sim_fate *fates = crash_fates(cutter.waiting_count);
        for (uint64_t j = 0; j < cutter.waiting_count; j++)
            fates[j] = (enum sim_fate)sim_random_below(&random, 4);
        sim_cutter_cut(&cutter, fates, &random, &image);
        struct sim_disk disk;
        struct verify_options options = {
            .seed = subject->seed, .check = true, .leaks = true, .close = true};
        verify_image(&run->model, run_cut_time(i), &image, &options, &disk);
        sim_disk_destroy(&disk);
        sim_store_release(mark);
        counters.cuts++;
    }
    sim_image_destroy(&image);
    sim_cutter_destroy(&cutter);
}

static struct happened fail_request(const struct subject *subject, uint32_t failing, uint64_t at,
                                    uint64_t too, enum extent extent) {
    uint64_t mark = sim_store_mark();
    struct run run;
    begin(&run, subject);
    run.failing = failing;
    run.disk.faults.fail_kinds = failing;
    run.disk.faults.fail_at = at;
    run.disk.faults.fail_too = too;
    run.disk.faults.fail_there = extent == THERE;
    run.disk.faults.fail_forever = extent == FOREVER;
    go(&run, subject);
    if (run.leaks)
        cut_leaks(&run, subject);
    struct happened happened = {run.disk.failed, run.disk.failed_too};
    run_destroy(&run);
    sim_store_release(mark);
    return happened;
}

static void fail_each(const struct subject *subject, uint32_t kind, enum extent extent) {
    bool failed = true;
    for (uint64_t k = 0; failed; k++)
        failed = fail_request(subject, kind, k, SIM_NEVER, extent).first;
}

/* A pool that was closed has dead trees on the disk, which a journal has not. */
void failures_device(uint64_t seed) {
    for (unsigned closed = 0; closed < 2; closed++) {
        uint64_t mark = sim_store_mark();
        struct subject subject;
        subject_make(&subject, seed, seed % 2 == 0, seed % 4 >= 2, closed);
        fail_each(&subject, 1u << BLOCK_READ, THERE);
        for (unsigned i = 0; i < KINDS && !closed; i++) {
            fail_each(&subject, kinds[i], ONCE);
            fail_each(&subject, kinds[i], FOREVER);
        }
        scene_destroy(&subject.scene);
        sim_store_release(mark);
    }
}

/* ---- pairs ---- */

void failures_pairs(uint64_t number) {
    uint64_t mark = sim_store_mark();
    uint64_t first = number / 2;
    struct subject subject;
    subject_make(&subject, 0, true, number % 2 == 1, false);
    struct happened happened = {true, true};
    for (uint64_t too = first + 1; happened.first && happened.second; too++)
        happened = fail_memory(&subject, (struct sim_shortage){first, too, false});
    for (unsigned i = 0; i < KINDS; i++) {
        happened = (struct happened){true, true};
        for (uint64_t too = first + 1; happened.first && happened.second; too++)
            happened = fail_request(&subject, kinds[i], first, too, ONCE);
    }
    scene_destroy(&subject.scene);
    sim_store_release(mark);
}
