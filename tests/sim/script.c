/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads step by step, and the pool that they begin with. */
#include "base/os.h"
#include "tests/sim/sim_test.h"

enum kind {
    WRITE,
    ERASE,
    READ,
    FLUSH,
    CREATE,
    DELETE,
    WAIT,
    SNAPSHOT, /* of `volume`, or of all */
    SNAPSHOT_READ,
    SNAPSHOT_DELETE, /* these four the oldest of `volume` */
    CLONE,
    ROLLBACK,
    SETTLE,
    KEEP,
    UNDELETE /* the first that can be brought back */
};
#define ALL MODEL_NAMES

struct step {
    const char *name;
    enum kind kind;
    unsigned volume;
    uint64_t offset, length;
    bool fua;
    enum erasure erasure;
};

#define FUA true

/* v00 has at least 20 KiB, of which the first 12 were written, v01 at least as much; both have a
 * snapshot. v02 is not there at the start. The order is also that in which all are done after each
 * other. */
static const struct step steps[] = {
    {"read", READ, 0, 1000, 12000, false, 0},
    {"write a block", WRITE, 0, 4096, 4096, false, 0},
    {"write a block, durably", WRITE, 0, 0, 4096, FUA, 0},
    {"write a sector", WRITE, 0, 512, 512, false, 0},
    {"write a sector, durably", WRITE, 0, 8192, 512, FUA, 0},
    {"write across blocks", WRITE, 0, 3584, 9216, false, 0},
    {"write across blocks, durably", WRITE, 0, 3000, 9000, FUA, 0},
    {"write into a hole, durably", WRITE, 0, 16384, 4096, FUA, 0},
    {"write the other volume, durably", WRITE, 1, 0, 8192, FUA, 0},
    {"flush", FLUSH, 0, 0, 0, false, 0},
    {"zero", ERASE, 0, 2048, 8192, false, ERASE_ZERO},
    {"zero, durably", ERASE, 0, 0, 10000, FUA, ERASE_ZERO},
    {"zero without a hole, durably", ERASE, 0, 4096, 8192, FUA, ERASE_ZERO_NO_HOLE},
    {"trim", ERASE, 0, 0, 8192, false, ERASE_TRIM},
    {"trim, durably", ERASE, 0, 4096, 8192, FUA, ERASE_TRIM},
    {"create", CREATE, 2, 0, 20480, false, 0},
    {"write the new volume", WRITE, 2, 512, 8192, false, 0},
    {"wait for a checkpoint", WAIT, 0, 0, 0, false, 0},
    {"take a snapshot", SNAPSHOT, 0, 0, 0, false, 0},
    {"write after the snapshot", WRITE, 0, 1000, 5000, false, 0},
    {"read the snapshot", SNAPSHOT_READ, 0, 0, 0, false, 0},
    {"take snapshots of all", SNAPSHOT, ALL, 0, 0, false, 0},
    {"clone", CLONE, 0, 0, 0, false, 0},
    {"delete the other snapshot", SNAPSHOT_DELETE, 1, 0, 0, false, 0},
    {"settle", SETTLE, 0, 0, 0, false, 0},
    {"roll back", ROLLBACK, 1, 0, 0, false, 0},
    {"keep the other volume if it is deleted", KEEP, 1, 0, 0, false, 0},
    {"delete the other volume", DELETE, 1, 0, 0, false, 0},
    {"bring it back", UNDELETE, 1, 0, 0, false, 0},
    {"delete", DELETE, 0, 0, 0, false, 0},
};
#define STEPS (sizeof steps / sizeof *steps)

unsigned script_step_count(void) {
    return STEPS;
}

const char *script_step_name(unsigned step) {
    return steps[step].name;
}

struct plan script_plan(void) {
    return (struct plan){.disk_blocks = 2048,
                         .volume_bytes = 40u << 10,
                         .cache_bytes = 8u << 20,
                         .max_length = 64u << 10,
                         .max_transfer = 128u << 10,
                         .clients = 1,
                         .volumes = 2,
                         .names = 6};
}

static void do_data(struct client *client, const struct step *step) {
    int instance = model_present(&client->run->model, step->volume);
    if (instance < 0)
        return; /* an earlier step deleted it */
    struct range range = {instance, 0, step->offset, step->length};
    range_claim(client, &range);
    if (step->kind == WRITE)
        op_write(client, &range, step->fua);
    else if (step->kind == ERASE)
        op_erase(client, &range, step->erasure, step->fua);
    else
        op_read(client, &range);
    range_release(client);
}

static void take_snapshot(struct run *run, unsigned volume) {
    unsigned names[MODEL_NAMES];
    unsigned count = 0;
    for (unsigned i = 0; i < run->plan.names; i++)
        if ((volume == ALL || i == volume) && model_present(&run->model, i) >= 0)
            names[count++] = i;
    if (count > 0)
        op_snapshot(run, names, count);
}

static void use_snapshot(struct run *run, const struct step *step) {
    int instance = model_present(&run->model, step->volume);
    int oldest = -1;
    for (uint32_t i = run->model.snapshot_count; i > 0; i--)
        if ((int)run->model.snapshots[i - 1].instance == instance &&
            model_has_snapshot(&run->model, i - 1))
            oldest = (int)i - 1;
    unsigned free_name = 0;
    while (free_name < run->plan.names && model_present(&run->model, free_name) >= 0)
        free_name++;
    if (oldest < 0)
        return; /* an earlier step deleted it */
    if (step->kind == SNAPSHOT_READ)
        op_snapshot_read(run, oldest);
    else if (step->kind == SNAPSHOT_DELETE)
        op_snapshot_delete(run, oldest);
    else if (free_name < run->plan.names && step->kind == CLONE)
        op_clone(run, oldest, free_name);
    else if (free_name < run->plan.names)
        op_rollback(run, oldest, free_name);
}

static void do_step(struct client *client, const struct step *step) {
    struct run *run = client->run;
    bool there = model_present(&run->model, step->volume) >= 0;
    counters.ops++;
    switch (step->kind) {
    case WRITE:
    case ERASE:
    case READ:
        do_data(client, step);
        return;
    case FLUSH:
        op_flush(run);
        return;
    case CREATE:
        if (!there)
            op_create(run, step->volume, step->length);
        return;
    case DELETE:
        if (there)
            op_delete(run, step->volume);
        return;
    case SNAPSHOT:
        take_snapshot(run, step->volume);
        return;
    case SNAPSHOT_READ:
    case SNAPSHOT_DELETE:
    case CLONE:
    case ROLLBACK:
        use_snapshot(run, step);
        return;
    case KEEP:
        if (there)
            op_keep(run, step->volume);
        return;
    case UNDELETE:
        if (!there)
            bring_back(run, step->volume);
        return;
    case SETTLE:
        op_settle(run);
        return;
    case WAIT:
        os_sleep_ns(6000000000ull); /* the keeper wakes up every five seconds */
        return;
    }
}

void script_steps(struct client *client) {
    const unsigned *numbers = client->run->script_argument;
    for (unsigned i = 0; numbers[i] != SCRIPT_END && !client->run->in_doubt; i++)
        do_step(client, &steps[numbers[i]]);
}

void script_all(struct client *client) {
    for (unsigned i = 0; i < STEPS && !client->run->in_doubt; i++)
        do_step(client, &steps[i]);
}

/* ---- where they begin ---- */

static const struct step beginning[] = {
    {"", WRITE, 0, 0, 12288, false, 0},  {"", WRITE, 1, 0, 12288, false, 0},
    {"", SNAPSHOT, ALL, 0, 0, false, 0}, {"", WRITE, 0, 4096, 4096, false, 0},
    {"", WRITE, 1, 512, 512, FUA, 0},    {"", ERASE, 1, 8192, 4096, false, ERASE_TRIM},
    {"", WRITE, 0, 0, 512, FUA, 0},
};

static void do_beginning(struct client *client) {
    for (unsigned i = 0; i < sizeof beginning / sizeof *beginning; i++)
        do_step(client, &beginning[i]);
}

void scene_make(struct scene *scene, const struct plan *plan, uint64_t seed, bool closed) {
    *scene = (struct scene){0};
    struct run run;
    run_init(&run, plan, seed);
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
