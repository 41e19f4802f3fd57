/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that write, trim, zero, flush, read, create and delete at once, as their plan says. */
#include "base/math.h"
#include "base/os.h"
#include "tests/sim/ops_share.h"

#define KEEPER_NS 5000000000ull /* after so long it looks what there is to do */
#define SNAPSHOTS_MAX 8u        /* at a time, more or less */

/* Draws a range of a volume, which somebody may be changing. */
static bool draw_range(struct run *run, struct range *range) {
    unsigned name = (unsigned)run_below(run, run->plan.names);
    int instance = model_present(&run->model, name);
    if (instance < 0 || run->deleting[name] || run->model.instances[instance].share != NULL)
        return false;
    static const uint64_t units[] = {1, 512, 512, 4096, 4096, 4096};
    uint64_t unit = run->plan.only_whole_blocks ? 4096 : units[run_below(run, 6)];
    uint64_t size = size_of(run, instance);
    uint64_t offset = math_round_down(run_below(run, size), unit);
    uint64_t limit = run_one_in(run, run->plan.long_one_in) ? run->plan.max_length : 12288;
    if (limit > LFSX_MAX_IO / 2 && run_one_in(run, 2))
        offset = run_below(run, 2) * unit; /* as much as there can be at once */
    uint64_t most = MATH_MIN(size - offset, MATH_MIN(limit, run->plan.max_length));
    uint64_t length = run_one_in(run, 8) ? most : 1 + run_below(run, most);
    if (length > unit)
        length = math_round_down(length, unit);
    else
        length = MATH_MIN(unit, most);
    *range = (struct range){instance, 0, offset, length};
    return true;
}

static void do_race(struct client *client) {
    struct range range;
    if (!draw_range(client->run, &range))
        return;
    range.offset = math_round_down(range.offset, MODEL_CELL);
    range.length = math_round_up(range.length, MODEL_CELL);
    range_share(client, &range);
    op_read_race(client, &range);
    range_release(client);
}

static void do_data(struct client *client) {
    struct run *run = client->run;
    struct range range;
    if (!draw_range(run, &range) || !range_is_free(run, &range))
        return;
    range_claim(client, &range);
    uint64_t dice = run_below(run, 20);
    bool lazy = client->number < run->plan.lazy;
    bool fua = !lazy && run_one_in(run, run->plan.fua_one_in);
    if (dice < 13)
        op_write(client, &range, fua);
    else if (dice < 17)
        op_erase(client, &range,
                 run_one_in(run, 2)   ? ERASE_TRIM
                 : run_one_in(run, 2) ? ERASE_ZERO
                                      : ERASE_ZERO_NO_HOLE,
                 fua);
    else
        op_read(client, &range);
    range_release(client);
}

bool bring_back(struct run *run, unsigned name) {
    for (uint32_t i = 0; i < run->model.instance_count; i++) {
        if (run->model.instances[i].kept_until == 0 || run->model.instances[i].id == 0)
            continue; /* also if it was deleted before anybody learnt its number */
        if (run->script == NULL && run_one_in(run, 4))
            op_purge(run, i);
        else
            op_undelete(run, i, name);
        return true;
    }
    return false;
}

/* Blocks: none, or about as many as the volume has room for. */
static uint64_t draw_bound(struct run *run, unsigned name) {
    uint64_t blocks = size_of(run, model_present(&run->model, name)) / LFSX_BLOCK_SIZE;
    return run_one_in(run, 4) ? 0 : 1 + run_below(run, blocks);
}

static void do_setting(struct client *client, unsigned name) {
    struct run *run = client->run;
    bool is_share = run->model.instances[model_present(&run->model, name)].share != NULL;
    uint64_t dice = run_below(run, 5);
    if (!is_share && dice == 0)
        op_resize(client, name, draw_size(run));
    else if (!is_share && dice == 1)
        op_bound(run, name, run_one_in(run, 2), draw_bound(run, name));
    else if (dice == 2)
        op_schedule(run, name, !run_one_in(run, 4));
    else
        op_keep(run, name);
}

static void do_name(struct client *client) {
    struct run *run = client->run;
    if (run_one_in(run, 5)) {
        op_transaction(run);
        return;
    }
    unsigned name = (unsigned)run_below(run, run->plan.names);
    if (!name_is_idle(run, name))
        return;
    if (run_one_in(run, run->plan.grow_one_in)) {
        op_grow(run, 1 + run_below(run, run_one_in(run, 3) ? 60 : 600));
    } else if (model_present(&run->model, name) < 0) {
        if (!run_one_in(run, 2) || !bring_back(run, name))
            op_create(run, name, run_one_in(run, run->plan.share_one_in) ? 0 : draw_size(run));
    } else if (run_one_in(run, 3)) {
        do_setting(client, name);
    } else {
        op_delete(run, name);
    }
}

/* ---- snapshots ---- */

static void take_snapshot(struct run *run) {
    unsigned names[MODEL_NAMES];
    unsigned count = 0;
    bool group = run_one_in(run, 3);
    unsigned first = (unsigned)run_below(run, run->plan.names);
    for (unsigned i = 0; i < run->plan.names && (group || count == 0); i++) {
        unsigned name = (first + i) % run->plan.names;
        if (model_present(&run->model, name) >= 0 && !run->creating[name] && !run->deleting[name])
            names[count++] = name;
    }
    if (count > 0)
        op_snapshot(run, names, count);
}

static unsigned count_snapshots(const struct run *run) {
    unsigned count = 0;
    for (uint32_t i = 0; i < run->model.snapshot_count; i++)
        count += model_has_snapshot(&run->model, i);
    return count;
}

/* One that is there and nobody is busy with; -1: none. */
static int draw_snapshot(struct run *run) {
    uint32_t count = run->model.snapshot_count;
    for (uint32_t i = 0, first = count == 0 ? 0 : (uint32_t)run_below(run, count); i < count; i++) {
        uint32_t snapshot = (first + i) % count;
        const struct model_snapshot *one = &run->model.snapshots[snapshot];
        unsigned name = name_of_instance(run, (int)one->instance);
        if (one->busy == 0 && model_has_snapshot(&run->model, snapshot) && name < MODEL_NAMES &&
            !run->deleting[name] && !run->creating[name])
            return (int)snapshot;
    }
    return -1;
}

/* One that no volume has; MODEL_NAMES: none. */
static unsigned draw_free_name(struct run *run) {
    unsigned first = (unsigned)run_below(run, run->plan.names);
    for (unsigned i = 0; i < run->plan.names; i++) {
        unsigned name = (first + i) % run->plan.names;
        if (model_present(&run->model, name) < 0 && name_is_idle(run, name))
            return name;
    }
    return MODEL_NAMES;
}

static void branch(struct run *run, int snapshot, bool roll_back) {
    unsigned name = draw_free_name(run);
    if (name == MODEL_NAMES)
        return;
    unsigned origin = name_of_instance(run, (int)run->model.snapshots[snapshot].instance);
    if (!roll_back)
        op_clone(run, snapshot, name);
    else if (name_is_idle(run, origin))
        op_rollback(run, snapshot, name);
}

static void do_snapshot(struct run *run) {
    uint64_t dice = run_below(run, 20);
    int snapshot = draw_snapshot(run);
    unsigned count = count_snapshots(run);
    if (dice < 8 && count < SNAPSHOTS_MAX)
        take_snapshot(run);
    else if (dice == 19)
        op_settle(run);
    else if (snapshot < 0)
        return;
    else if (dice < 11 || count >= SNAPSHOTS_MAX)
        op_snapshot_delete(run, snapshot);
    else if (dice < 15)
        op_snapshot_read(run, snapshot);
    else
        branch(run, snapshot, dice >= 17);
}

void workload_client(struct client *client) {
    struct run *run = client->run;
    bool flusher =
        run->plan.flusher && client->number > 0 && client->number + 1 == run->plan.clients;
    if (run->plan.late) {
        do_data(client);
        os_sleep_ns(KEEPER_NS + run_below(run, 10000000));
    }
    for (unsigned i = 0; i < run->plan.ops; i++) {
        counters.ops++;
        if (run_one_in(run, run->plan.sleep_one_in)) /* long enough for the keeper to wake up */
            os_sleep_ns(run_below(run, 12000000000ull));
        if (run->in_doubt)
            return;
        if (flusher || run_one_in(run, run->plan.flush_one_in))
            op_flush(run);
        else if (run_one_in(run, run->plan.names_one_in))
            do_name(client);
        else if (run_one_in(run, run->plan.snapshots_one_in))
            do_snapshot(run);
        else if (run_one_in(run, run->plan.share_one_in))
            workload_share(client);
        else if (run_one_in(run, 8))
            do_race(client);
        else
            do_data(client);
    }
}

void workload_prepare(struct client *client) {
    for (unsigned i = 0; i < client->run->plan.prepare; i++) {
        do_data(client);
        if (client->run->plan.mood == MOOD_JOURNAL) /* so that the ring's end is near */
            op_flush(client->run);
    }
}
