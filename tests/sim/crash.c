/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts at drawn moments, and cuts of the recovery from them. */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

#define GENERATIONS 4u
#define SECOND_ONE_IN 24u

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

enum sim_fate *crash_fates(uint64_t count) {
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
        enum sim_fate *fates = crash_fates(cutter.waiting_count);
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

void crash_verify(struct run *run, uint64_t position, const struct sim_image *image,
                  struct sim_random *random, struct observation *seen) {
    uint64_t mark = sim_store_mark();
    bool twice = sim_random_one_in(random, SECOND_ONE_IN);
    struct verify_options options = {.seed = sim_random_next(random),
                                     .check = sim_random_one_in(random, run->plan.check_one_in),
                                     .close = twice || sim_random_one_in(random, 4),
                                     .record = twice,
                                     .seen = seen};
    struct sim_disk disk;
    uint64_t cut = run_cut_time(position);
    verify_image(&run->model, cut, image, &options, &disk);
    counters.cuts++;
    if (twice)
        cut_recovery(&run->model, cut, image, &disk, random);
    sim_disk_destroy(&disk);
    sim_store_release(mark);
}

/* What the last cut of a run left, which was verified. */
struct left {
    struct sim_image image;
    struct observation seen;
};

/* Cuts the run at drawn moments. */
static void cut_run(struct run *run, uint64_t cuts, struct sim_random *random, struct left *left) {
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
            enum sim_fate *fates = crash_fates(cutter.waiting_count);
            draw_fates(random, cutter.waiting_count, fates);
            sim_cutter_cut(&cutter, fates, random, &left->image);
            crash_verify(run, i, &left->image, random, &left->seen);
            if (!last || j + 1 < each)
                sim_store_release(mark);
        }
    }
    sim_cutter_destroy(&cutter);
}

/* Another mood for the next generation, if the pool that there is will do for it. */
static enum mood next_mood(struct sim_random *random, enum mood mood) {
    enum mood next = plan_draw_mood(random);
    bool suits = next != MOOD_LARGE && next != MOOD_FULL && next != MOOD_FRAGMENTED;
    return mood == MOOD_ORDINARY && suits ? next : mood;
}

void crash_random(uint64_t seed, uint64_t cuts_of_a_run) {
    struct sim_random random = {seed};
    uint64_t mark = sim_store_mark();
    bool share = plan_draw_share(&random);
    struct plan plan = plan_draw(&random, plan_draw_mood(&random), share);
    struct run run;
    struct left left = {0};
    run_init(&run, &plan, sim_random_next(&random));
    sim_image_init(&left.image, plan.disk_blocks);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        run.close = sim_random_one_in(&random, 3);
        run_go(&run);
        cut_run(&run, MATH_MAX(cuts_of_a_run / run.plan.cuts_share, 2), &random, &left);
        struct plan next = plan_draw(&random, next_mood(&random, run.plan.mood), share);
        run_destroy(&run);
        next.disk_blocks = plan.disk_blocks;
        run_init_from(&run, &next, sim_random_next(&random), &left.image, &left.seen);
        run.later_ns = (int64_t)((generation + 1) * SIM_TIME_LIMIT_NS);
    }
    run_destroy(&run);
    sim_image_destroy(&left.image);
    observation_destroy(&left.seen);
    sim_store_release(mark);
}
