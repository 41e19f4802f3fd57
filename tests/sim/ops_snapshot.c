/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots, clones and rollbacks, and what the model learns of them. */
#include "base/math.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/sim/model_share.h"
#include "tests/sim/sim_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 3u

static struct model_snapshot *get(struct run *run, int snapshot) {
    return &run->model.snapshots[snapshot];
}

/* The snapshot's name; the model's list moves when others take snapshots meanwhile. */
struct label {
    char text[sizeof((struct model_snapshot *)0)->name];
};

static struct label label_of(struct run *run, int snapshot) {
    struct label label;
    memcpy(label.text, get(run, snapshot)->name, sizeof label.text);
    return label;
}

static const char *volume_of(struct run *run, int snapshot) {
    return model_name(name_of_instance(run, (int)get(run, snapshot)->instance));
}

/* ---- whether one exists ---- */

struct search {
    const char *name;
    bool found;
};

static bool compare_name(void *context, const struct lfsx_snapshot_info *info) {
    struct search *search = context;
    search->found |= strcmp(info->name, search->name) == 0;
    return !search->found;
}

/* 1, 0, or -1 if nobody can tell. */
static int look_up(struct run *run, const char *volume, const char *name) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct search search = {.name = name};
        enum status status = lfsx_snapshot_list(run->pool, volume, compare_name, &search);
        run_expect(run, status, 0, "looking for a snapshot");
        if (status == STATUS_OK)
            return search.found;
    }
    return -1;
}

/* What failed has happened or has not; with a device that fails, nobody knows what it has kept. */
static void finish(struct run *run, uint32_t op, enum status status, int exists, bool wanted) {
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), true);
    else if (exists >= 0 && exists != wanted && status != STATUS_IO)
        model_undo(&run->model, op);
    else
        run->in_doubt |= exists < 0 || exists != wanted;
    if (status == STATUS_OK && exists >= 0 && exists != wanted)
        report_violation("a snapshot: acknowledged, and not so");
}

/* ---- taking and deleting ---- */

void op_snapshot(struct run *run, const unsigned *names, unsigned count) {
    char label[16];
    snprintf(label, sizeof label, "s%09llx",
             (unsigned long long)sim_random_next(&run->random) & 0xfffffffff);
    const char *volumes[MODEL_NAMES];
    int taken[MODEL_NAMES];
    uint32_t op = model_begin(&run->model, run_now(run));
    for (unsigned i = 0; i < count; i++) {
        run->users[names[i]]++;
        volumes[i] = model_name(names[i]);
        taken[i] = (int)model_add_snapshot(&run->model, op,
                                           (unsigned)model_present(&run->model, names[i]), label);
        get(run, taken[i])->busy++;
    }
    enum status status = lfsx_snapshot_create(run->pool, volumes, count, label, 0);
    int exists = look_up(run, volumes[0], label);
    for (unsigned i = 1; i < count; i++)
        if (exists >= 0 && look_up(run, volumes[i], label) == !exists)
            report_violation("a part of a group of snapshots was taken");
    if (exists == 1 && status != STATUS_OK && run->failing == 0)
        report_violation("a snapshot that failed was taken");
    finish(run, op, status, exists, true);
    for (unsigned i = 0; i < count; i++) {
        run->users[names[i]]--;
        get(run, taken[i])->busy--;
    }
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "taking a snapshot");
}

void op_snapshot_delete(struct run *run, int snapshot) {
    unsigned name = name_of_instance(run, (int)get(run, snapshot)->instance);
    const char *volume = volume_of(run, snapshot);
    struct label label = label_of(run, snapshot);
    run->users[name]++;
    get(run, snapshot)->busy++;
    uint32_t op = model_begin(&run->model, run_now(run));
    model_drop_snapshot(&run->model, op, (unsigned)snapshot);
    enum status status = lfsx_snapshot_delete(run->pool, volume, label.text);
    finish(run, op, status, look_up(run, volume, label.text), false);
    get(run, snapshot)->busy--;
    run->users[name]--;
    run_expect(run, status, get(run, snapshot)->cloned ? RUN_MAY(STATUS_BUSY) : 0,
               "deleting a snapshot");
}

/* ---- reading ---- */

/* Fills `one` from what has the name, VOLUME@SNAPSHOT. */
static enum status read_volume(struct run *run, const char *name, struct seen *one) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(run->pool, name, &volume);
    if (status != STATUS_OK)
        return status;
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    observation_room(one, info.size);
    one->size = info.size;
    status = observe_content(one, volume, false);
    lfsx_volume_close(volume);
    return status;
}

static enum status read_share(struct run *run, const char *name, struct seen *one) {
    struct lfsx_share *share;
    enum status status = lfsx_share_open(run->pool, name, &share);
    if (status != STATUS_OK)
        return status;
    status = tree_observe(one, share, TREE_STILL);
    lfsx_share_close(share);
    return status;
}

void op_snapshot_read(struct run *run, int snapshot) {
    unsigned name = name_of_instance(run, (int)get(run, snapshot)->instance);
    bool is_share = run->model.instances[get(run, snapshot)->instance].share != NULL;
    run->users[name]++;
    get(run, snapshot)->busy++;
    char full[64];
    snprintf(full, sizeof full, "%s@%s", volume_of(run, snapshot), get(run, snapshot)->name);
    struct observation seen = {0};
    struct seen *one = observation_add(&seen, full, -1, 0, 0);
    enum status status = is_share ? read_share(run, full, one) : read_volume(run, full, one);
    if (status == STATUS_OK && !run->in_doubt &&
        !model_judge_snapshot(&run->model, (unsigned)snapshot, one->content, one->size,
                              run_now(run)))
        report_violation("reading a snapshot: %s", run->model.wrong);
    observation_destroy(&seen);
    get(run, snapshot)->busy--;
    run->users[name]--;
    run_expect(run, status, 0, "reading a snapshot");
}

/* ---- clones ---- */

/* What takes from others goes over to what takes the volume's place. */
static void move_bound(struct run *run, uint32_t op, uint32_t from, uint32_t to) {
    model_set(&run->model, op, to, model_value(&run->model, from));
    model_set(&run->model, op, from, 0);
}

unsigned add_clone(struct run *run, int snapshot) {
    struct model_snapshot *own = get(run, snapshot);
    own->cloned = true;
    if (run->model.instances[own->instance].share != NULL)
        return model_add_share(&run->model, own->content, own->size);
    unsigned clone = model_add_instance(&run->model, own->size, own->content);
    space_init(run, clone, UINT64_MAX);
    run->model.instances[clone].is_clone = true;
    return clone;
}

void op_clone(struct run *run, int snapshot, unsigned name) {
    if (get(run, snapshot)->content == NULL)
        return;
    unsigned origin = name_of_instance(run, (int)get(run, snapshot)->instance);
    run->users[origin]++;
    run->creating[name] = true;
    get(run, snapshot)->busy++;
    unsigned instance = add_clone(run, snapshot);
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, (int)instance);
    struct label label = label_of(run, snapshot);
    enum status status =
        lfsx_clone_create(run->pool, model_name(origin), label.text, model_name(name));
    name_finish(run, name, op, status, true);
    get(run, snapshot)->busy--;
    run->creating[name] = false;
    run->users[origin]--;
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a clone");
}

void op_rollback(struct run *run, int snapshot, unsigned keep_as) {
    if (get(run, snapshot)->content == NULL)
        return;
    int instance = (int)get(run, snapshot)->instance;
    unsigned name = name_of_instance(run, instance);
    run->deleting[name] = run->creating[keep_as] = true;
    get(run, snapshot)->busy++;
    unsigned clone = add_clone(run, snapshot);
    run->model.instances[clone].keep = run->model.instances[instance].keep;
    uint32_t op = model_begin(&run->model, run_now(run));
    model_rename(&run->model, op, name, (int)clone);
    model_rename(&run->model, op, keep_as, instance);
    struct model_instance *from = &run->model.instances[instance];
    run->model.instances[clone].is_scheduled = from->is_scheduled; /* both have it from now on */
    model_set(&run->model, op, run->model.instances[clone].schedule,
              model_value(&run->model, from->schedule));
    move_bound(run, op, run->model.instances[instance].quota, run->model.instances[clone].quota);
    move_bound(run, op, run->model.instances[instance].reserved,
               run->model.instances[clone].reserved);
    struct label label = label_of(run, snapshot);
    enum status status =
        lfsx_volume_rollback(run->pool, model_name(name), label.text, model_name(keep_as));
    name_finish(run, keep_as, op, status, true);
    name_learn(run, name);
    get(run, snapshot)->busy--;
    run->deleting[name] = run->creating[keep_as] = false;
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a rollback");
}

void op_settle(struct run *run) {
    enum status status = lfsx_pool_settle(run->pool);
    run_expect(run, status, 0, "waiting for what is being freed");
}
