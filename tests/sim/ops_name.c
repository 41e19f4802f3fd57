/* SPDX-License-Identifier: Apache-2.0 */
/* Creations, deletions and what brings volumes back, and what the model learns of them. */
#include "base/math.h"
#include "base/os.h"
#include "tests/sim/model_share.h"
#include "tests/sim/sim_test.h"

#define ATTEMPTS 3u
#define KEEP_NS 20000000000ull

bool name_is_idle(const struct run *run, unsigned name) {
    return run->users[name] == 0 && !run->creating[name] && !run->deleting[name];
}

uint64_t draw_size(struct run *run) {
    uint64_t size = run->plan.volume_bytes / 2 + run_below(run, run->plan.volume_bytes / 2);
    return math_round_up(MATH_MAX(size, 8192), MODEL_CELL);
}

static enum status volume_id(struct run *run, unsigned name, uint64_t *id) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(run->pool, model_name(name), &volume);
    if (status != STATUS_OK)
        return status;
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    *id = info.id;
    lfsx_volume_close(volume);
    return STATUS_OK;
}

static enum status share_id(struct run *run, unsigned name, uint64_t *id) {
    struct lfsx_share *share;
    enum status status = lfsx_share_open(run->pool, model_name(name), &share);
    if (status != STATUS_OK)
        return status;
    struct lfsx_share_info info;
    lfsx_share_info(share, &info);
    *id = info.id;
    lfsx_share_close(share);
    return STATUS_OK;
}

int name_look_up(struct run *run, unsigned name, uint64_t *id) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        enum status status = volume_id(run, name, id);
        if (status == STATUS_NOT_FOUND)
            status = share_id(run, name, id);
        if (status == STATUS_NOT_FOUND)
            return 0;
        run_expect(run, status, 0, "looking for a volume");
        if (status == STATUS_OK)
            return 1;
    }
    return -1;
}

void name_learn(struct run *run, unsigned name) {
    uint64_t id;
    int instance = model_present(&run->model, name);
    if (instance >= 0 && name_look_up(run, name, &id) == 1)
        run->model.instances[instance].id = id;
}

void name_finish(struct run *run, unsigned name, uint32_t op, enum status status,
                 bool exists_then) {
    uint64_t id;
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), true);
    int exists = name_look_up(run, name, &id);
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
    unsigned instance = size == 0 ? model_add_share(&run->model, NULL, 0)
                                  : model_add_instance(&run->model, size, NULL);
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, (int)instance);
    enum status status = size == 0 ? lfsx_share_create(run->pool, model_name(name))
                                   : lfsx_volume_create(run->pool, model_name(name), size);
    name_finish(run, name, op, status, true);
    run->creating[name] = false;
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a creation");
}

struct snapshots {
    bool any, cloned;
};

static struct snapshots snapshots_of(const struct run *run, unsigned instance) {
    struct snapshots snapshots = {0};
    for (uint32_t i = 0; i < run->model.snapshot_count; i++) {
        if (run->model.snapshots[i].instance != instance)
            continue;
        snapshots.any |= model_has_snapshot(&run->model, i);
        snapshots.cloned |= run->model.snapshots[i].cloned;
    }
    return snapshots;
}

/* With its snapshots, or in vain if it has any; unless it can be brought back with them. */
void op_delete(struct run *run, unsigned name) {
    unsigned instance = (unsigned)model_present(&run->model, name);
    struct snapshots snapshots = snapshots_of(run, instance);
    enum model_keep keep = run->model.instances[instance].keep;
    uint32_t flags = keep == MODEL_KEEP_NOT || run_one_in(run, 4) ? LFSX_DELETE_NOW : 0;
    if (snapshots.any && run_one_in(run, 2))
        flags |= LFSX_DELETE_SNAPSHOTS;
    run->deleting[name] = true;
    uint64_t began = os_now_ns(); /* from when on, at the earliest, the time runs */
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, -1);
    enum status status = run->model.instances[instance].share != NULL
                             ? lfsx_share_delete(run->pool, model_name(name), flags)
                             : lfsx_volume_delete(run->pool, model_name(name), flags);
    name_finish(run, name, op, status, false);
    run->deleting[name] = false;
    if (status == STATUS_OK && keep == MODEL_KEEP && flags == 0)
        run->model.instances[instance].kept_until = began + KEEP_NS;
    bool for_good = keep != MODEL_KEEP || flags != 0;
    bool homeless = snapshots.any && (flags & LFSX_DELETE_SNAPSHOTS) == 0;
    bool may_be_busy =
        snapshots.cloned || run->model.instances[instance].is_scheduled || (for_good && homeless);
    run_expect(run, status, may_be_busy ? RUN_MAY(STATUS_BUSY) : 0, "a deletion");
    if (status == STATUS_OK && homeless && (flags & LFSX_DELETE_NOW) != 0)
        report_violation("volume %s was deleted with its snapshots", model_name(name));
}

void op_keep(struct run *run, unsigned name) {
    struct model_instance *own = &run->model.instances[model_present(&run->model, name)];
    unsigned instance = (unsigned)(own - run->model.instances);
    run->users[name]++;
    enum status status = lfsx_volume_protect(run->pool, model_name(name), false, KEEP_NS);
    run->users[name]--;
    run->model.instances[instance].keep = status == STATUS_OK ? MODEL_KEEP : MODEL_KEEP_PERHAPS;
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "protecting a volume");
}

void op_undelete(struct run *run, unsigned instance, unsigned name) {
    uint64_t until = run->model.instances[instance].kept_until;
    run->model.instances[instance].kept_until = 0;
    run->creating[name] = true;
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, (int)instance);
    enum status status =
        lfsx_volume_undelete(run->pool, run->model.instances[instance].id, model_name(name));
    name_finish(run, name, op, status, true);
    run->creating[name] = false;
    bool may_be_gone = os_now_ns() >= until;
    run_expect(run, status,
               RUN_MAY(STATUS_NO_SPACE) | (may_be_gone ? RUN_MAY(STATUS_NOT_FOUND) : 0),
               "bringing a volume back");
}

void op_purge(struct run *run, unsigned instance) {
    uint64_t id = run->model.instances[instance].id;
    uint64_t until = run->model.instances[instance].kept_until;
    run->model.instances[instance].kept_until = 0;
    enum status status = lfsx_deleted_purge(run->pool, id);
    bool may_be_gone = os_now_ns() >= until;
    if (status == STATUS_BUSY)
        run->model.instances[instance].kept_until = until;
    run_expect(run, status,
               (may_be_gone ? RUN_MAY(STATUS_NOT_FOUND) : 0) |
                   (snapshots_of(run, instance).cloned ? RUN_MAY(STATUS_BUSY) : 0),
               "purging a volume");
    if (status == STATUS_OK)
        run_expect_refusal(run, lfsx_volume_undelete(run->pool, id, NULL), STATUS_NOT_FOUND,
                           "bringing back a volume that was purged");
}
