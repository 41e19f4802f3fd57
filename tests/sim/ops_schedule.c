/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules. Snapshots come and go by themselves as time goes by; what they hold is judged when one
 * is seen after a cut (model.h).
 */
#include "base/os.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/sim/sim_test.h"
#include "tests/sim/tree.h"

#define ATTEMPTS 3u
#define SECOND_NS 1000000000ull

static uint32_t draw_rules(struct run *run, struct lfsx_schedule_rule *rules) {
    static const uint64_t seconds[] = {1, 5, 30, 3600};
    uint32_t count = 0;
    for (unsigned i = 0; i < sizeof seconds / sizeof *seconds; i++)
        if (run_one_in(run, 2))
            rules[count++] =
                (struct lfsx_schedule_rule){seconds[i] * SECOND_NS, 1 + run_below(run, 3)};
    return count;
}

/* What changes nothing has nothing to make durable. */
static void finish(struct run *run, unsigned name, uint32_t op, enum status status, bool changes) {
    uint32_t cell = run->model.instances[model_present(&run->model, name)].schedule;
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), changes);
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        uint64_t hash;
        enum status looked = observation_schedule(run->pool, model_name(name), &hash);
        run_expect(run, looked, 0, "looking at a schedule");
        if (looked != STATUS_OK)
            continue;
        if (hash != model_value(&run->model, cell) && status == STATUS_OK)
            report_violation("the schedule of %s: acknowledged, and not so", model_name(name));
        if (hash != model_value(&run->model, cell))
            model_undo(&run->model, op);
        return;
    }
    run->in_doubt = true;
}

void op_schedule(struct run *run, unsigned name, bool any) {
    if (!name_is_idle(run, name))
        return;
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count = any ? draw_rules(run, rules) : 0;
    struct model_instance *own = &run->model.instances[model_present(&run->model, name)];
    own->is_scheduled |= count > 0;
    run->deleting[name] = true;
    uint32_t op = model_begin(&run->model, run_now(run));
    uint64_t hash = count == 0 ? 0 : tree_hash(rules, count * sizeof *rules);
    bool changes = hash != model_value(&run->model, own->schedule);
    model_set(&run->model, op, own->schedule, hash);
    enum status status = lfsx_schedule_set(run->pool, model_name(name), rules, count);
    finish(run, name, op, status, changes);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "setting a schedule");
    run->deleting[name] = false;
}
