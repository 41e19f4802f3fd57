/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at what in a share, and how an operation on it ended. */
#include "tests/sim/ops_share.h"

#include <string.h>

#define ATTEMPTS 3u

struct model_object *object_of(struct run *run, unsigned instance, uint32_t object) {
    return &run->model.instances[instance].share->objects[object];
}

bool claim_object(struct run *run, unsigned instance, uint32_t object) {
    if (object_of(run, instance, object)->leaving)
        return false;
    object_of(run, instance, object)->held++;
    return true;
}

void unclaim_object(struct run *run, unsigned instance, uint32_t object) {
    object_of(run, instance, object)->held--;
}

bool claim_spot(struct run *run, unsigned instance, struct spot spot) {
    struct model_object *directory = object_of(run, instance, spot.directory);
    if ((directory->claimed >> spot.name & 1) || !claim_object(run, instance, spot.directory))
        return false;
    directory->claimed |= 1u << spot.name;
    return true;
}

void unclaim_spot(struct run *run, unsigned instance, struct spot spot) {
    object_of(run, instance, spot.directory)->claimed &= ~(1u << spot.name);
    unclaim_object(run, instance, spot.directory);
}

bool claim_leaving(struct run *run, unsigned instance, uint32_t object) {
    if (object == MODEL_NO_OBJECT)
        return true;
    struct model_object *own = object_of(run, instance, object);
    if (own->held > 0 || own->leaving)
        return false;
    own->leaving = true;
    return true;
}

void unclaim_leaving(struct run *run, unsigned instance, uint32_t object) {
    if (object != MODEL_NO_OBJECT)
        object_of(run, instance, object)->leaving = false;
}

struct lfsx_share *share_enter(struct run *run, unsigned instance) {
    unsigned name = name_of_instance(run, (int)instance);
    struct lfsx_share *share;
    bool creating = run->creating[name];
    run->users[name]++;
    enum status status = lfsx_share_open(run->pool, model_name(name), &share);
    run_expect(run, status, creating ? RUN_MAY(STATUS_NOT_FOUND) : 0, "opening a share");
    if (status == STATUS_OK)
        return share;
    run->users[name]--;
    return NULL;
}

void share_leave(struct run *run, unsigned instance, struct lfsx_share *share) {
    lfsx_share_close(share);
    run->users[name_of_instance(run, (int)instance)]--;
}

/* ---- what became of an operation that failed ---- */

static bool look_again(struct run *run, struct lfsx_share *share, struct seen *one) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        enum status status = tree_observe(one, share, TREE_CHANGING);
        run_expect(run, status, 0, "looking at a share after a failure");
        if (status == STATUS_OK)
            return true;
    }
    run->in_doubt = true;
    return false;
}

/* Puts the sector's content back to what was seen. */
static void restore(struct model_object *file, const struct tree_node *node, uint32_t cell) {
    uint32_t sector = 0;
    while (sector < file->file.count && file->file.cells[sector] != cell)
        sector++;
    if (sector == file->file.count)
        return;
    uint64_t at = (uint64_t)sector * MODEL_CELL;
    unsigned char *to = file->file.content + at;
    if (at < node->size)
        memcpy(to, tree_content(node) + at, MODEL_CELL);
    else
        memset(to, 0, MODEL_CELL);
}

static void undo(struct run *run, unsigned instance, uint32_t number, const struct seen *one) {
    struct model_op *op = &run->model.ops[number];
    struct model_share *share = run->model.instances[instance].share;
    uint32_t count = op->cell_count;
    model_undo(&run->model, number); /* the list of its cells stays */
    const struct tree_node *node = NULL;
    while ((node = tree_next(one->content, one->size, node)) != NULL) {
        uint32_t object = 0;
        while (share->objects[object].inode != node->inode)
            object++;
        if (node->kind != LFSX_REGULAR || node->bad)
            continue;
        for (uint32_t i = 0; i < count; i++)
            restore(&share->objects[object], node, op->cells[i]);
    }
}

/* What failed is there as a whole or not at all. */
static void settle(struct run *run, unsigned instance, uint32_t number, const struct seen *one) {
    const struct model_op *op = &run->model.ops[number];
    bool is_done = true;
    bool is_undone = true;
    for (uint32_t i = 0; i < op->cell_count; i++) {
        const struct model_cell *cell = &run->model.cells[op->cells[i]];
        if (!cell->looked_at)
            continue;
        is_done = is_done && cell->seen == cell->history[cell->count - 1].value;
        is_undone = is_undone && cell->seen == cell->history[cell->count - 2].value;
    }
    if (is_undone)
        undo(run, instance, number, one);
    else if (!is_done)
        report_violation("an operation on a share that failed left a part of itself");
}

void share_finish(struct run *run, unsigned instance, struct lfsx_share *share, uint32_t first,
                  enum status status, bool durable) {
    uint32_t behind = first + 1;
    uint64_t started = run->model.ops[first].started;
    while (behind < run->model.op_count && run->model.ops[behind].started == started)
        behind++;
    uint64_t now = run_now(run);
    for (uint32_t op = first; op < behind && status == STATUS_OK; op++)
        model_acknowledge(&run->model, op, now, durable);
    if (status == STATUS_OK)
        return;
    struct observation seen = {0};
    struct seen *one = observation_add(&seen, "", -1, 0, 0);
    if (look_again(run, share, one)) {
        model_look(&run->model);
        if (!model_look_at_share(&run->model, instance, one->content, one->size, false))
            report_violation("after a failure: %s", run->model.wrong);
        for (uint32_t op = first; op < behind; op++)
            settle(run, instance, op, one);
    }
    observation_destroy(&seen);
}
