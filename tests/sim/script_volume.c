/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on volumes and their snapshots. */
#include "base/os.h"
#include "tests/sim/script.h"

#define ALL MODEL_NAMES
#define FUA LFSX_FUA

static void do_data(struct client *client, const struct script_step *step) {
    int instance = model_present(&client->run->model, step->volume);
    if (instance < 0)
        return; /* an earlier step deleted it */
    if (step->offset + step->length > size_of(client->run, instance))
        return; /* none made it large enough */
    struct range range = {instance, 0, step->offset, step->length};
    bool fua = (step->flags & FUA) != 0;
    range_claim(client, &range);
    if (step->kind == SCRIPT_WRITE)
        op_write(client, &range, fua);
    else if (step->kind == SCRIPT_READ)
        op_read(client, &range);
    else
        op_erase(client, &range,
                 step->kind == SCRIPT_TRIM   ? ERASE_TRIM
                 : step->kind == SCRIPT_ZERO ? ERASE_ZERO
                                             : ERASE_ZERO_NO_HOLE,
                 fua);
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

static void use_snapshot(struct run *run, const struct script_step *step) {
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
    if (step->kind == SCRIPT_SNAPSHOT_READ)
        op_snapshot_read(run, oldest);
    else if (step->kind == SCRIPT_SNAPSHOT_DELETE)
        op_snapshot_delete(run, oldest);
    else if (free_name < run->plan.names && step->kind == SCRIPT_CLONE)
        op_clone(run, oldest, free_name);
    else if (free_name < run->plan.names)
        op_rollback(run, oldest, free_name);
}

void script_volume_step(struct client *client, const struct script_step *step) {
    struct run *run = client->run;
    bool there = model_present(&run->model, step->volume) >= 0;
    switch ((enum script_volume_kind)step->kind) {
    case SCRIPT_WRITE:
    case SCRIPT_TRIM:
    case SCRIPT_ZERO:
    case SCRIPT_ZERO_NO_HOLE:
    case SCRIPT_READ:
        do_data(client, step);
        return;
    case SCRIPT_FLUSH:
        op_flush(run);
        return;
    case SCRIPT_CREATE:
        if (!there)
            op_create(run, step->volume, step->length);
        return;
    case SCRIPT_DELETE:
        if (there)
            op_delete(run, step->volume);
        return;
    case SCRIPT_SNAPSHOT:
        take_snapshot(run, step->volume);
        return;
    case SCRIPT_SNAPSHOT_READ:
    case SCRIPT_SNAPSHOT_DELETE:
    case SCRIPT_CLONE:
    case SCRIPT_ROLLBACK:
        use_snapshot(run, step);
        return;
    case SCRIPT_KEEP:
        if (there)
            op_keep(run, step->volume);
        return;
    case SCRIPT_UNDELETE:
        if (!there)
            bring_back(run, step->volume);
        return;
    case SCRIPT_RESIZE:
        if (there)
            op_resize(client, step->volume, step->length);
        return;
    case SCRIPT_TRANSACTION:
        run->random.state = step->length;
        op_transaction(run);
        return;
    case SCRIPT_SCHEDULE:
        if (there)
            op_schedule(run, step->volume, step->length > 0);
        return;
    case SCRIPT_GROW:
        op_grow(run, step->length);
        return;
    case SCRIPT_QUOTA:
    case SCRIPT_RESERVATION:
        if (there)
            op_bound(run, step->volume, step->kind == SCRIPT_QUOTA, step->length);
        return;
    case SCRIPT_SETTLE:
        op_settle(run);
        return;
    case SCRIPT_WAIT:
        os_sleep_ns(6000000000ull); /* the keeper wakes up every five seconds */
        return;
    }
}

/* v00 has at least 20 KiB, of which the first 12 were written, v01 at least as much; both have a
 * snapshot. v02 is not there at the start. The order is also that in which all are done after each
 * other. */
static const struct script_step steps[] = {
    {"read", script_volume_step, SCRIPT_READ, 0, 1000, 12000, 0},
    {"write a block", script_volume_step, SCRIPT_WRITE, 0, 4096, 4096, 0},
    {"write a block, durably", script_volume_step, SCRIPT_WRITE, 0, 0, 4096, FUA},
    {"write a sector", script_volume_step, SCRIPT_WRITE, 0, 512, 512, 0},
    {"write a sector, durably", script_volume_step, SCRIPT_WRITE, 0, 8192, 512, FUA},
    {"write across blocks", script_volume_step, SCRIPT_WRITE, 0, 3584, 9216, 0},
    {"write across blocks, durably", script_volume_step, SCRIPT_WRITE, 0, 3000, 9000, FUA},
    {"write into a hole, durably", script_volume_step, SCRIPT_WRITE, 0, 16384, 4096, FUA},
    {"write the other volume, durably", script_volume_step, SCRIPT_WRITE, 1, 0, 8192, FUA},
    {"flush", script_volume_step, SCRIPT_FLUSH, 0, 0, 0, 0},
    {"zero", script_volume_step, SCRIPT_ZERO, 0, 2048, 8192, 0},
    {"zero, durably", script_volume_step, SCRIPT_ZERO, 0, 0, 10000, FUA},
    {"zero without a hole, durably", script_volume_step, SCRIPT_ZERO_NO_HOLE, 0, 4096, 8192, FUA},
    {"trim", script_volume_step, SCRIPT_TRIM, 0, 0, 8192, 0},
    {"trim, durably", script_volume_step, SCRIPT_TRIM, 0, 4096, 8192, FUA},
    {"set a quota", script_volume_step, SCRIPT_QUOTA, 0, 0, 4, 0},
    {"write beyond the quota", script_volume_step, SCRIPT_WRITE, 0, 12288, 8192, 0},
    {"reserve space", script_volume_step, SCRIPT_RESERVATION, 1, 0, 5, 0},
    {"write what is reserved, durably", script_volume_step, SCRIPT_WRITE, 1, 12288, 8192, FUA},
    {"take the quota away", script_volume_step, SCRIPT_QUOTA, 0, 0, 0, 0},
    {"make a volume larger", script_volume_step, SCRIPT_RESIZE, 0, 0, 70 * 512, 0},
    {"write into its new end", script_volume_step, SCRIPT_WRITE, 0, 60 * 512, 4096, FUA},
    {"make it smaller", script_volume_step, SCRIPT_RESIZE, 0, 0, 41 * 512, 0},
    {"create", script_volume_step, SCRIPT_CREATE, 2, 0, 20480, 0},
    {"write the new volume", script_volume_step, SCRIPT_WRITE, 2, 512, 8192, 0},
    {"wait for a checkpoint", script_volume_step, SCRIPT_WAIT, 0, 0, 0, 0},
    {"take a snapshot", script_volume_step, SCRIPT_SNAPSHOT, 0, 0, 0, 0},
    {"write after the snapshot", script_volume_step, SCRIPT_WRITE, 0, 1000, 5000, 0},
    {"read the snapshot", script_volume_step, SCRIPT_SNAPSHOT_READ, 0, 0, 0, 0},
    {"take snapshots of all", script_volume_step, SCRIPT_SNAPSHOT, ALL, 0, 0, 0},
    {"clone", script_volume_step, SCRIPT_CLONE, 0, 0, 0, 0},
    {"delete the other snapshot", script_volume_step, SCRIPT_SNAPSHOT_DELETE, 1, 0, 0, 0},
    {"set a schedule", script_volume_step, SCRIPT_SCHEDULE, 0, 0, 1, 0},
    {"write, for the schedule to have a reason", script_volume_step, SCRIPT_WRITE, 0, 8192, 512, 0},
    {"wait for a scheduled snapshot", script_volume_step, SCRIPT_WAIT, 0, 0, 0, 0},
    {"write after it", script_volume_step, SCRIPT_WRITE, 0, 8192, 4096, 0},
    {"wait for another", script_volume_step, SCRIPT_WAIT, 0, 0, 0, 0},
    {"several changes as one", script_volume_step, SCRIPT_TRANSACTION, 0, 0, 3, 0},
    {"several others as one", script_volume_step, SCRIPT_TRANSACTION, 0, 0, 5, 0},
    {"take the schedule away", script_volume_step, SCRIPT_SCHEDULE, 0, 0, 0, 0},
    {"let the pool grow", script_volume_step, SCRIPT_GROW, 0, 0, 300, 0},
    {"settle", script_volume_step, SCRIPT_SETTLE, 0, 0, 0, 0},
    {"roll back", script_volume_step, SCRIPT_ROLLBACK, 1, 0, 0, 0},
    {"keep the other volume if it is deleted", script_volume_step, SCRIPT_KEEP, 1, 0, 0, 0},
    {"delete the other volume", script_volume_step, SCRIPT_DELETE, 1, 0, 0, 0},
    {"bring it back", script_volume_step, SCRIPT_UNDELETE, 1, 0, 0, 0},
    {"delete", script_volume_step, SCRIPT_DELETE, 0, 0, 0, 0},
};
const struct script_table script_volume_steps = {steps, sizeof steps / sizeof *steps};

static const struct script_step beginning[] = {
    {"", script_volume_step, SCRIPT_WRITE, 0, 0, 12288, 0},
    {"", script_volume_step, SCRIPT_WRITE, 1, 0, 12288, 0},
    {"", script_volume_step, SCRIPT_SNAPSHOT, ALL, 0, 0, 0},
    {"", script_volume_step, SCRIPT_WRITE, 0, 4096, 4096, 0},
    {"", script_volume_step, SCRIPT_WRITE, 1, 512, 512, FUA},
    {"", script_volume_step, SCRIPT_TRIM, 1, 8192, 4096, 0},
    {"", script_volume_step, SCRIPT_WRITE, 0, 0, 512, FUA},
};
const struct script_table script_volume_beginning = {beginning,
                                                     sizeof beginning / sizeof *beginning};
