/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nobody reports: a write that was acknowledged and not done, or went elsewhere; a read that
 * returns another place; a bit that flips, while the pool is open or while it is not.
 *
 * Whatever is read is right or an error. If the check finds nothing, all is there, and if it looked
 * at a block, it sees that a bit of it has flipped. What one disk cannot know (docs/LIMITS.md):
 * that the newest commits were lost. So nothing must be there after a fault that hit something
 * younger than the last three flushes, but what is there must be the effect of all operations up to
 * one moment.
 */
#include "base/math.h"
#include "storage/lfsx/format/geometry.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 100u
#define FLUSHES 3u

enum fault { LOST, MISDIRECTED, MISREAD, ROT_OPEN, ROT_CLOSED, FAULTS };

/* The pool as it is found afterwards. */
struct scrutiny {
    struct run *run;
    struct sim_disk disk;
    uint64_t findings;
    bool lossy;
};

static void count_finding(void *context, const struct lfsx_finding *finding) {
    (void)finding;
    ++*(uint64_t *)context;
}

static uint64_t count_findings(struct sim_disk *disk) {
    uint64_t findings = 0;
    struct lfsx_check_options options = {
        .data = true, .finding = count_finding, .context = &findings};
    struct lfsx_check_summary summary;
    if (lfsx_check(&disk->device, &options, &summary) != STATUS_OK)
        findings++; /* it said so */
    counters.checks++;
    return findings;
}

static void judge(struct scrutiny *s, const struct observation *seen) {
    struct model_cut cut = {run_cut_time(s->run->disk.event_count), s->lossy};
    if (!model_judge(&s->run->model, seen, cut))
        report_violation("wrong bytes: %s", s->run->model.wrong);
    for (unsigned i = 0; i < seen->count; i++)
        if (s->findings == 0 && seen->all[i].bad_blocks > 0)
            report_violation("the check found nothing, and %llu blocks of %s cannot be read",
                             (unsigned long long)seen->all[i].bad_blocks, seen->all[i].name);
}

static void scrutinize_main(void *argument) {
    static struct observation seen;
    struct scrutiny *s = argument;
    s->findings = count_findings(&s->disk);
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 1u << 20};
    enum status status = lfsx_pool_open(&s->disk.device, &options, &pool);
    if (status == STATUS_OK) {
        status = observe_pool(&seen, pool, true);
        if (status == STATUS_OK)
            judge(s, &seen);
        enum status closed = lfsx_pool_close(pool);
        status = status == STATUS_OK ? closed : status;
    }
    if (status != STATUS_OK && s->findings == 0)
        report_violation("the check found nothing, and the pool does not serve: %s",
                         status_name(status));
}

static void world(void (*entry)(void *argument), void *argument, uint64_t seed) {
    struct sim_options options = {.seed = seed, .later_ns = VERIFY_LATER_NS};
    if (sim_run(&options, entry, argument) != SIM_DONE || sim_leaked() != 0)
        report_violation("it does not end, or leaks");
}

/* What was not acknowledged before this moment may be lost unseen: when the last flush but two was
 * sent. */
static uint64_t unseen_from(const struct sim_disk *disk) {
    uint64_t newest[FLUSHES] = {0};
    for (uint64_t i = 0; i < disk->event_count; i++) {
        if (disk->events[i].kind != SIM_EVENT_FLUSH_DONE || disk->events[i].write <= newest[0])
            continue;
        unsigned at = 0;
        for (; at + 1 < FLUSHES && newest[at + 1] < disk->events[i].write; at++)
            newest[at] = newest[at + 1];
        newest[at] = disk->events[i].write;
    }
    return newest[0];
}

/* Whether something that was written to the blocks may be lost unseen. */
static bool is_young(const struct sim_disk *disk, uint64_t block, uint64_t count) {
    uint64_t from = unseen_from(disk);
    for (uint64_t i = 0; i < disk->write_count; i++) {
        const struct sim_write *write = &disk->writes[i];
        if (write->done >= from && block < write->block + write->count &&
            write->block < block + count)
            return true;
    }
    return false;
}

/* Which blocks of the medium a check without findings reads. */
struct sighting {
    struct sim_disk disk;
    unsigned char *blocks;
    uint64_t pool_blocks;
};

static void sight_main(void *argument) {
    struct sighting *sighting = argument;
    struct lfsx_label label;
    if (count_findings(&sighting->disk) > 0 ||
        lfsx_probe(&sighting->disk.device, &label) != STATUS_OK)
        report_violation("the check found something though nothing was wrong");
    sighting->pool_blocks = label.size / LFSX_BLOCK_SIZE;
}

/* Whether the check reads the block although it is neither a label, nor a superblock, which may be
 * an old one, nor of the journal. */
static bool is_looked_at(struct run *run, const struct sim_image *image, uint64_t block) {
    struct sighting sighting = {.blocks = calloc(1, image->blocks)};
    if (sighting.blocks == NULL)
        abort();
    sim_disk_init(&sighting.disk, image->blocks, image);
    sighting.disk.looked_at = sighting.blocks;
    world(sight_main, &sighting, run->seed);
    bool looked_at = sighting.blocks[block];
    sim_disk_destroy(&sighting.disk);
    free(sighting.blocks);
    struct geometry geometry;
    if (geometry_plan(sighting.pool_blocks, &geometry) != STATUS_OK)
        abort();
    return looked_at && block >= geometry.data_start &&
           block < geometry.map_start + geometry.map_blocks;
}

/* Flips a bit of something that was written once. */
static uint64_t rot(struct sim_random *random, struct sim_image *image) {
    uint64_t block;
    do /* most blocks were never written */
        block = sim_random_below(random, image->blocks);
    while (image->pages[block] == sim_store_junk());
    uint64_t bit = sim_random_below(random, SIM_BLOCK_SIZE * 8);
    sim_image_flip(image, block * SIM_BLOCK_SIZE * 8 + bit);
    return block;
}

/* How many requests a run without faults makes. */
struct totals {
    uint64_t reads, writes;
};

static void order(struct run *run, enum fault fault, const struct totals *totals,
                  struct sim_random *random) {
    struct sim_faults *faults = &run->disk.faults;
    uint64_t block = sim_random_below(random, run->disk.image.blocks);
    run->lying = fault != ROT_CLOSED && totals != NULL;
    if (totals == NULL)
        return;
    if (fault == LOST)
        faults->lose_at = sim_random_below(random, totals->writes);
    if (fault == MISDIRECTED) {
        faults->misdirect_at = sim_random_below(random, totals->writes);
        faults->misdirect_to = block;
    }
    if (fault == MISREAD) {
        faults->misread_at = sim_random_below(random, totals->reads);
        faults->misread_from = block;
    }
    while (fault == ROT_OPEN && run->disk.image.pages[block] == sim_store_junk())
        block = sim_random_below(random, run->disk.image.blocks);
    if (fault == ROT_OPEN) {
        faults->rot_at = sim_random_below(random, totals->reads);
        faults->rot_bit = block * SIM_BLOCK_SIZE * 8 + sim_random_below(random, SIM_BLOCK_SIZE * 8);
    }
}

static bool fault_is_young(const struct sim_disk *disk, enum fault fault) {
    const struct sim_faults *faults = &disk->faults;
    if (fault == LOST && faults->lose_at < disk->write_count)
        return disk->writes[faults->lose_at].done >= unseen_from(disk);
    if (fault == MISDIRECTED && faults->misdirect_at < disk->write_count) {
        const struct sim_write *write = &disk->writes[faults->misdirect_at];
        return write->done >= unseen_from(disk) || is_young(disk, write->block, write->count);
    }
    if (fault == ROT_OPEN)
        return is_young(disk, faults->rot_bit / 8 / SIM_BLOCK_SIZE, 1);
    return false;
}

/* One run with the fault and a look at what it left; none at all without totals. */
static struct totals one(uint64_t seed, const struct plan *plan, const struct scene *scene,
                         enum fault fault, const struct totals *totals, struct sim_random *random) {
    uint64_t mark = sim_store_mark();
    struct run run;
    run_init_from(&run, plan, seed, &scene->image, &scene->seen);
    run.script = seed % 2 == 0 ? script_all : NULL;
    run.close = sim_random_one_in(random, 2);
    order(&run, fault, totals, random);
    run_go(&run);
    struct sim_image image;
    sim_image_init(&image, plan->disk_blocks);
    sim_image_copy(&image, &run.disk.image);
    struct scrutiny s = {.run = &run, .lossy = fault_is_young(&run.disk, fault)};
    bool must_be_found = false;
    if (totals != NULL && fault == ROT_CLOSED) {
        uint64_t block = rot(random, &image);
        s.lossy = is_young(&run.disk, block, 1);
        must_be_found = !s.lossy && is_looked_at(&run, &run.disk.image, block);
    }
    sim_disk_init(&s.disk, image.blocks, &image);
    world(scrutinize_main, &s, seed);
    if (must_be_found && s.findings == 0)
        report_violation("the check does not see that a bit of a block that it reads has flipped");
    struct totals counted = {MATH_MAX(run.disk.all_reads, 1), MATH_MAX(run.disk.all_writes, 1)};
    sim_disk_destroy(&s.disk);
    sim_image_destroy(&image);
    run_destroy(&run);
    sim_store_release(mark);
    counters.failures++;
    return counted;
}

void failures_silent(uint64_t seed) {
    struct sim_random random = {seed};
    uint64_t mark = sim_store_mark();
    struct plan plan = script_plan();
    plan.shares = seed % 4 >= 2;
    struct scene scene;
    scene_make(&scene, &plan, seed, true);
    if (seed % 2 == 1) {
        plan = plan_draw(&random, MOOD_ORDINARY, seed % 4 >= 2);
        plan.disk_blocks = scene.image.blocks;
        plan.delays.stall_one_in = 0;
    }
    struct totals totals = one(seed, &plan, &scene, LOST, NULL, &random);
    for (unsigned round = 0; round < ROUNDS; round++)
        one(seed, &plan, &scene, (enum fault)(round % FAULTS), &totals, &random);
    scene_destroy(&scene);
    sim_store_release(mark);
}
