/* SPDX-License-Identifier: Apache-2.0 */
/* Creations and deletions, and what the model learns of them. */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#define ATTEMPTS 3u

bool name_is_idle(const struct run *run, unsigned name) {
    return run->users[name] == 0 && !run->creating[name] && !run->deleting[name];
}

uint64_t draw_size(struct run *run) {
    uint64_t size = run->plan.volume_bytes / 2 + run_below(run, run->plan.volume_bytes / 2);
    return math_round_up(MATH_MAX(size, 8192), MODEL_CELL);
}

/* Whether there is a volume of the name: 1, 0, or -1 if nobody can tell. */
static int look_up(struct run *run, unsigned name, uint64_t *id) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct lfsx_volume *volume;
        enum status status = lfsx_volume_open(run->pool, model_name(name), &volume);
        if (status == STATUS_NOT_FOUND)
            return 0;
        run_expect(run, status, 0, "looking for a volume");
        if (status != STATUS_OK)
            continue;
        struct lfsx_volume_info info;
        lfsx_volume_info(volume, &info);
        *id = info.id;
        lfsx_volume_close(volume);
        return 1;
    }
    return -1;
}

void name_learn(struct run *run, unsigned name) {
    uint64_t id;
    int instance = model_present(&run->model, name);
    if (instance >= 0 && look_up(run, name, &id) == 1)
        run->model.instances[instance].id = id;
}

void name_finish(struct run *run, unsigned name, uint32_t op, enum status status,
                 bool exists_then) {
    uint64_t id;
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), true);
    int exists = look_up(run, name, &id);
    run->in_doubt |= exists < 0;
    if (exists >= 0 && exists != exists_then && status == STATUS_OK)
        report_violation("volume %s: acknowledged, and not so", model_name(name));
    if (exists >= 0 && exists != exists_then)
        model_undo(&run->model, op);
    else if (exists == 1)
        run->model.instances[model_present(&run->model, name)].id = id;
}

void op_create(struct run *run, unsigned name, uint64_t size) {
    run->creating[name] = true;
    unsigned instance = model_add_instance(&run->model, size, NULL);
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, (int)instance);
    enum status status = lfsx_volume_create(run->pool, model_name(name), size);
    name_finish(run, name, op, status, true);
    run->creating[name] = false;
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a creation");
}

/* Deletes it with its snapshots, or finds that it cannot be done. */
void op_delete(struct run *run, unsigned name) {
    unsigned instance = (unsigned)model_present(&run->model, name);
    bool has_snapshots = false;
    bool cloned = false;
    for (uint32_t i = 0; i < run->model.snapshot_count; i++) {
        bool counts = run->model.snapshots[i].instance == instance;
        has_snapshots |= counts && model_has_snapshot(&run->model, i);
        cloned |= counts && run->model.snapshots[i].cloned;
    }
    bool with_snapshots = has_snapshots && run_one_in(run, 2);
    run->deleting[name] = true;
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, -1);
    enum status status =
        lfsx_volume_delete(run->pool, model_name(name), with_snapshots ? LFSX_DELETE_SNAPSHOTS : 0);
    name_finish(run, name, op, status, false);
    run->deleting[name] = false;
    bool may_be_busy = with_snapshots ? cloned : has_snapshots;
    run_expect(run, status, may_be_busy ? RUN_MAY(STATUS_BUSY) : 0, "a deletion");
    if (status == STATUS_OK && has_snapshots && !with_snapshots)
        report_violation("volume %s was deleted with its snapshots", model_name(name));
}
