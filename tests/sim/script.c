/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads step by step, and the pools that they begin with. */
#include "tests/sim/script.h"

static const struct script_table *const tables[] = {&script_volume_steps, &script_share_steps};
#define TABLES (sizeof tables / sizeof *tables)

/* The table that the step is in; `step` becomes its number in it. */
static const struct script_table *table_of(unsigned *step) {
    unsigned table = 0;
    while (*step >= tables[table]->count)
        *step -= tables[table++]->count;
    return tables[table];
}

unsigned script_step_count(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < TABLES; i++)
        count += tables[i]->count;
    return count;
}

bool script_needs_share(unsigned step) {
    return table_of(&step) == &script_share_steps;
}

struct plan script_plan(void) {
    return (struct plan){.disk_blocks = 2048,
                         .volume_bytes = 40u << 10,
                         .cache_bytes = 8u << 20,
                         .max_length = 64u << 10,
                         .max_transfer = 128u << 10,
                         .file_bytes = 24u << 10,
                         .clients = 1,
                         .volumes = 2,
                         .check_one_in = PLAN_CHECK_ONE_IN,
                         .names = SCRIPT_SHARE_NAME + 1};
}

static void do_step(struct client *client, const struct script_step *step) {
    counters.ops++;
    step->run(client, step);
}

void script_steps(struct client *client) {
    const unsigned *numbers = client->run->script_argument;
    for (unsigned i = 0; numbers[i] != SCRIPT_END && !client->run->in_doubt; i++) {
        unsigned step = numbers[i];
        const struct script_table *table = table_of(&step);
        do_step(client, &table->steps[step]);
    }
}

static void do_table(struct client *client, const struct script_table *table) {
    for (unsigned i = 0; i < table->count && !client->run->in_doubt; i++)
        do_step(client, &table->steps[i]);
}

void script_all(struct client *client) {
    do_table(client, client->run->plan.shares > 0 ? &script_share_steps : &script_volume_steps);
}

/* ---- where they begin ---- */

static void do_beginning(struct client *client) {
    do_table(client, &script_volume_beginning);
    if (client->run->plan.shares > 0)
        do_table(client, &script_share_beginning);
}

void scene_make(struct scene *scene, const struct plan *plan, uint64_t seed, bool closed) {
    *scene = (struct scene){0};
    struct run run;
    run_init(&run, plan, ~seed); /* what begins there must not draw the same */
    run.disk.delays = (struct sim_delays){0};
    run.script = do_beginning;
    run.close = closed;
    run_go(&run);
    sim_image_init(&scene->image, plan->disk_blocks);
    sim_image_copy(&scene->image, &run.disk.image);
    struct sim_disk disk;
    struct verify_options options = {.seed = seed, .check = true, .seen = &scene->seen};
    verify_image(&run.model, run_cut_time(run.disk.event_count), &scene->image, &options, &disk);
    sim_disk_destroy(&disk);
    run_destroy(&run);
}

void scene_destroy(struct scene *scene) {
    sim_image_destroy(&scene->image);
    observation_destroy(&scene->seen);
}
