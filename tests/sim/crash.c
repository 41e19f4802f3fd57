/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts: drawn ones of large workloads, all of small ones; and cuts of the recovery too. */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

#define GENERATIONS 4u
#define SECOND_ONE_IN 24u
#define CHECK_ONE_IN 12u
#define EXHAUSTIVE_WRITES 8u

/* What becomes of the writes under way: by moods, since pure chance hardly ever draws extremes. */
static void draw_fates(struct sim_random *random, uint64_t count, enum sim_fate *fates) {
    uint64_t mood = sim_random_below(random, 8);
    uint64_t special = count == 0 ? 0 : sim_random_below(random, count);
    for (uint64_t i = 0; i < count; i++) {
        bool half = sim_random_one_in(random, 2);
        switch (mood) {
        case 0:
            fates[i] = SIM_FATE_LOST;
            break;
        case 1:
            fates[i] = SIM_FATE_WRITTEN;
            break;
        case 2: /* in order */
            fates[i] = i < special   ? SIM_FATE_WRITTEN
                       : i > special ? SIM_FATE_LOST
                                     : SIM_FATE_BEGUN;
            break;
        case 3: /* all but one */
            fates[i] = i == special ? SIM_FATE_LOST : SIM_FATE_WRITTEN;
            break;
        case 4: /* only one */
            fates[i] = i == special ? SIM_FATE_WRITTEN : SIM_FATE_LOST;
            break;
        case 5: /* all but a torn one */
            fates[i] = i == special ? SIM_FATE_TORN : SIM_FATE_WRITTEN;
            break;
        case 6:
            fates[i] = half ? SIM_FATE_WRITTEN : SIM_FATE_LOST;
            break;
        default:
            fates[i] = (enum sim_fate)sim_random_below(random, 4);
        }
    }
}

static enum sim_fate *room_for(uint64_t count) {
    static enum sim_fate *fates;
    static uint64_t capacity;
    if (count > capacity) {
        capacity = 2 * count;
        fates = realloc(fates, capacity * sizeof *fates);
        if (fates == NULL)
            abort();
    }
    return fates;
}

/* Cuts the power once more while the first cut is recovered from. */
static void cut_recovery(struct model *model, uint64_t cut, const struct sim_image *image,
                         struct sim_disk *disk, struct sim_random *random) {
    struct sim_cutter cutter;
    struct sim_image second;
    sim_cutter_init(&cutter, disk, image);
    sim_image_init(&second, image->blocks);
    for (uint64_t i = 0; i <= disk->event_count; i++) {
        sim_cutter_advance(&cutter, i);
        if (!sim_cutter_matters(disk, i))
            continue;
        enum sim_fate *fates = room_for(cutter.waiting_count);
        draw_fates(random, cutter.waiting_count, fates);
        sim_cutter_cut(&cutter, fates, random, &second);
        struct sim_disk again;
        struct verify_options options = {.seed = sim_random_next(random), .close = true};
        verify_image(model, cut, &second, &options, &again);
        sim_disk_destroy(&again);
        counters.cuts++;
        counters.second_cuts++;
    }
    sim_image_destroy(&second);
    sim_cutter_destroy(&cutter);
}

static void verify_cut(struct run *run, uint64_t position, const struct sim_image *image,
                       struct sim_random *random) {
    uint64_t mark = sim_store_mark();
    bool twice = sim_random_one_in(random, SECOND_ONE_IN);
    struct verify_options options = {.seed = sim_random_next(random),
                                     .check = sim_random_one_in(random, CHECK_ONE_IN),
                                     .close = twice || sim_random_one_in(random, 4),
                                     .record = twice};
    struct sim_disk disk;
    uint64_t cut = run_cut_time(position);
    verify_image(&run->model, cut, image, &options, &disk);
    counters.cuts++;
    if (twice)
        cut_recovery(&run->model, cut, image, &disk, random);
    sim_disk_destroy(&disk);
    sim_store_release(mark);
}

/* Cuts the run at drawn moments; the last of them is left in `left`, which is verified. */
static void cut_run(struct run *run, uint64_t cuts, struct sim_random *random,
                    struct sim_image *left) {
    struct sim_cutter cutter;
    sim_cutter_init(&cutter, &run->disk, &run->start);
    uint64_t moments = 0;
    for (uint64_t i = 0; i <= run->disk.event_count; i++)
        moments += sim_cutter_matters(&run->disk, i);
    uint64_t each = math_divide_up(cuts, moments);
    uint64_t one_in = MATH_MAX(moments / cuts, 1);
    for (uint64_t i = 0; i <= run->disk.event_count; i++) {
        bool last = i == run->disk.event_count;
        if (!sim_cutter_matters(&run->disk, i) ||
            (!last && one_in > 1 && !sim_random_one_in(random, one_in)))
            continue;
        sim_cutter_advance(&cutter, i);
        for (uint64_t j = 0; j < each; j++) {
            uint64_t mark = sim_store_mark();
            enum sim_fate *fates = room_for(cutter.waiting_count);
            draw_fates(random, cutter.waiting_count, fates);
            sim_cutter_cut(&cutter, fates, random, left);
            verify_cut(run, i, left, random);
            if (!last || j + 1 < each)
                sim_store_release(mark);
        }
    }
    sim_cutter_destroy(&cutter);
}

void crash_random(uint64_t seed, uint64_t cuts_of_a_run) {
    struct sim_random random = {seed};
    uint64_t mark = sim_store_mark();
    struct plan plan = plan_draw(&random);
    struct run run;
    run_init(&run, &plan, sim_random_next(&random));
    struct sim_image left;
    sim_image_init(&left, plan.disk_blocks);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        run.close = sim_random_one_in(&random, 3);
        run_go(&run);
        cut_run(&run, cuts_of_a_run, &random, &left);
        run_destroy(&run);
        struct plan next = plan_draw(&random);
        next.disk_blocks = plan.disk_blocks;
        run_init_from(&run, &next, sim_random_next(&random), &left);
    }
    run_destroy(&run);
    sim_image_destroy(&left);
    sim_store_release(mark);
}

/* Every choice among the writes under way, the last one that arrives also torn. */
static void cut_moment(struct run *run, uint64_t position, const struct sim_cutter *cutter,
                       struct sim_random *random, struct sim_image *image) {
    uint64_t count = cutter->waiting_count;
    enum sim_fate *fates = room_for(count);
    uint64_t free_choice = MATH_MIN(count, EXHAUSTIVE_WRITES);
    for (uint64_t choice = 0; choice < 2ull << free_choice; choice++) {
        /* With more writes than that, those in front of the last few are all there. */
        uint64_t last = UINT64_MAX;
        for (uint64_t i = 0; i < count; i++) {
            bool there = i < count - free_choice || (choice >> (i - (count - free_choice)) & 1);
            fates[i] = there ? SIM_FATE_WRITTEN : SIM_FATE_LOST;
            last = there ? i : last;
        }
        if (choice >> free_choice & 1) {
            if (last == UINT64_MAX)
                continue;
            fates[last] = sim_random_one_in(random, 2) ? SIM_FATE_TORN : SIM_FATE_BEGUN;
        }
        uint64_t mark = sim_store_mark();
        sim_cutter_cut(cutter, fates, random, image);
        verify_cut(run, position, image, random);
        sim_store_release(mark);
    }
}

void crash_exhaustive(uint64_t number, unsigned ops) {
    struct sim_random random = {number};
    uint64_t mark = sim_store_mark();
    struct plan plan = {.disk_blocks = 2048,
                        .volume_bytes = 24u << 10,
                        .clients = 1,
                        .ops = ops,
                        .volumes = 2,
                        .flush_one_in = 4,
                        .fua_one_in = 2,
                        .names_one_in = 4};
    struct run run;
    run_init(&run, &plan, sim_random_next(&random));
    run.disk.delays = false;
    run.close = true;
    run_go(&run);
    struct sim_cutter cutter;
    struct sim_image image;
    sim_image_init(&image, plan.disk_blocks);
    sim_cutter_init(&cutter, &run.disk, &run.start);
    for (uint64_t i = 0; i <= run.disk.event_count; i++) {
        if (!sim_cutter_matters(&run.disk, i))
            continue;
        sim_cutter_advance(&cutter, i);
        cut_moment(&run, i, &cutter, &random, &image);
    }
    sim_cutter_destroy(&cutter);
    sim_image_destroy(&image);
    run_destroy(&run);
    sim_store_release(mark);
}
