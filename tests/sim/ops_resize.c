/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that become larger or smaller.
 *
 * Making one smaller frees what is behind the new end first, block by block, and is done by nobody
 * while others use it. Making one larger takes nothing from those who do; only the last block and
 * what is new are left alone meanwhile.
 */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <string.h>

#define ATTEMPTS 3u

/* ---- what became of one that failed ---- */

static bool look_again(struct run *run, unsigned name, struct seen *one) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct lfsx_volume *volume;
        enum status status = lfsx_volume_open(run->pool, model_name(name), &volume);
        if (status == STATUS_OK) {
            struct lfsx_volume_info info;
            lfsx_volume_info(volume, &info);
            observation_room(one, info.size);
            one->size = info.size;
            status = observe_content(one, volume, false);
            lfsx_volume_close(volume);
        }
        run_expect(run, status, 0, "looking at a volume after a failure");
        if (status == STATUS_OK)
            return true;
    }
    run->in_doubt = true;
    return false;
}

static bool cells_are(const struct model *model, const struct model_op *op, uint32_t back) {
    for (uint32_t i = 0; i < op->cell_count; i++) {
        const struct model_cell *cell = &model->cells[op->cells[i]];
        if (cell->looked_at && cell->seen != cell->history[cell->count - back].value)
            return false;
    }
    return true;
}

static void settle(struct run *run, unsigned name, uint32_t first, uint32_t behind) {
    struct observation seen = {0};
    struct seen *one = observation_add(&seen, "", -1, 0, 0);
    if (look_again(run, name, one)) {
        struct model_bytes *bytes = bytes_of(run, model_present(&run->model, name));
        model_look(&run->model);
        model_look_at_bytes(&run->model, bytes, one->content, one->size, NULL);
        for (uint32_t op = first; op < behind; op++) {
            const struct model_op *own = &run->model.ops[op];
            if (cells_are(&run->model, own, 1))
                continue;
            if (!cells_are(&run->model, own, 2))
                report_violation("a volume that failed to become smaller has something else");
            model_undo(&run->model, op);
        }
        memset(bytes->content, 0, (uint64_t)bytes->count * MODEL_CELL);
        memcpy(bytes->content, one->content, one->size);
    }
    observation_destroy(&seen);
}

/* ---- making one larger or smaller ---- */

static void enlarge(struct client *client, unsigned name, uint64_t size) {
    struct run *run = client->run;
    int instance = model_present(&run->model, name);
    uint64_t last = math_round_down(size_of(run, instance) - 1, LFSX_BLOCK_SIZE);
    struct range range = {instance, 0, last, size - last};
    if (run->resizing[name] || !range_is_free(run, &range))
        return;
    range_claim(client, &range);
    run->resizing[name] = true;
    uint32_t op = model_resize(&run->model, run_now(run), bytes_of(run, instance), size);
    enum status status = lfsx_volume_resize(run->pool, model_name(name), size, 0);
    /* One whose size did not become durable has a closed end until it is asked for again. */
    for (unsigned i = 1; i < ATTEMPTS && status == STATUS_NO_MEMORY; i++)
        status = lfsx_volume_resize(run->pool, model_name(name), size, 0);
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), true);
    else if (status == STATUS_NO_SPACE)
        model_undo(&run->model, op);
    else
        run->in_doubt = true;
    run->resizing[name] = false;
    range_release(client);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "making a volume larger");
}

struct shrinking shrink_begin(struct run *run, unsigned name, uint64_t size) {
    struct model_bytes *bytes = bytes_of(run, model_present(&run->model, name));
    struct shrinking shrinking = {
        .size = size, .old = model_value(&run->model, bytes->size), .first = run->model.op_count};
    uint64_t started = run_now(run);
    for (uint64_t at = size; at < shrinking.old;) {
        uint64_t next =
            MATH_MIN(shrinking.old, math_round_down(at, LFSX_BLOCK_SIZE) + LFSX_BLOCK_SIZE);
        model_change(&run->model, started, bytes, at, next - at, NULL);
        at = next;
    }
    shrinking.behind = run->model.op_count;
    return shrinking;
}

void shrink_end(struct run *run, unsigned name, const struct shrinking *shrinking,
                enum status status) {
    uint64_t size = shrinking->size;
    uint64_t now = run_now(run);
    for (uint32_t op = shrinking->first; op < shrinking->behind && status == STATUS_OK; op++)
        model_acknowledge(&run->model, op, now, true);
    if (status != STATUS_OK)
        settle(run, name, shrinking->first, shrinking->behind);
    unsigned instance = (unsigned)model_present(&run->model, name);
    uint64_t blocks = math_divide_up(shrinking->old, LFSX_BLOCK_SIZE);
    space_doubt(run, instance, size / LFSX_BLOCK_SIZE, blocks, MODEL_HOLE);
    if (size % LFSX_BLOCK_SIZE != 0) /* it may get zeros instead of a hole */
        space_doubt(run, instance, size / LFSX_BLOCK_SIZE, size / LFSX_BLOCK_SIZE + 1, MODEL_DATA);
    if (status == STATUS_OK)
        space_set(run, instance, math_divide_up(size, LFSX_BLOCK_SIZE), blocks, MODEL_HOLE);
}

static void shrink(struct run *run, unsigned name, uint64_t size) {
    if (!name_is_idle(run, name))
        return;
    uint32_t cell = bytes_of(run, model_present(&run->model, name))->size;
    run->deleting[name] = true;
    struct shrinking shrinking = shrink_begin(run, name, size);
    model_set(&run->model, model_begin(&run->model, run->model.ops[shrinking.first].started), cell,
              size);
    shrinking.behind = run->model.op_count;
    enum status status = lfsx_volume_resize(run->pool, model_name(name), size, LFSX_RESIZE_SHRINK);
    shrink_end(run, name, &shrinking, status);
    run->deleting[name] = false;
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "making a volume smaller");
}

void op_resize(struct client *client, unsigned name, uint64_t size) {
    struct run *run = client->run;
    uint64_t old = size_of(run, model_present(&run->model, name));
    if (size < old && run_one_in(run, 4)) {
        run_expect_refusal(run, lfsx_volume_resize(run->pool, model_name(name), size, 0),
                           STATUS_INVALID, "making a volume smaller without saying so");
        return;
    }
    if (size < old)
        shrink(run, name, size);
    else if (size > old)
        enlarge(client, name, size);
}
