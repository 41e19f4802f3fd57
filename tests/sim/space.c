/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas and reservations, and when there must be space, or none.
 *
 * Of each block of a volume it is known whether it is a hole, or has data, or neither (a change of
 * it is under way or failed; it was zeros when this run began). So there are bounds for what a
 * volume references: a write that would go beyond the quota for certain must be refused; one that
 * cannot, in a pool with room, must not; nor one of few blocks that the volume reserved.
 */
#include "base/math.h"
#include "storage/lfsx/lfsx_space.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 3u
#define ROOM (2u << 20) /* bytes: with as much there is space for anything but a large write */
#define FEW 2u          /* blocks that a reservation is sure to have nodes for */

/* ---- which blocks have data ---- */

void space_init(struct run *run, unsigned instance, uint64_t logical_blocks) {
    struct model_instance *own = &run->model.instances[instance];
    uint64_t size = model_value(&run->model, own->bytes.size);
    uint64_t used = 0;
    space_set(run, instance, 0, math_divide_up(size, LFSX_BLOCK_SIZE), MODEL_HOLE);
    for (uint64_t i = 0; i * LFSX_BLOCK_SIZE < size; i++) {
        uint64_t at = i * LFSX_BLOCK_SIZE;
        uint64_t end = MATH_MIN(size, at + LFSX_BLOCK_SIZE);
        while (at < end && own->bytes.content[at] == 0)
            at++;
        own->blocks[i] = at < end ? MODEL_DATA : MODEL_HOLE;
        used += at < end;
    }
    for (uint64_t i = 0; i < own->block_count && logical_blocks != used; i++)
        if (own->blocks[i] == MODEL_HOLE)
            own->blocks[i] = MODEL_PERHAPS;
}

void space_set(struct run *run, unsigned instance, uint64_t first, uint64_t end,
               enum model_block state) {
    struct model_instance *own = &run->model.instances[instance];
    if (end > own->block_count) {
        own->blocks = model_must(realloc(own->blocks, end));
        memset(own->blocks + own->block_count, MODEL_HOLE, end - own->block_count);
        own->block_count = end;
    }
    if (first < end)
        memset(own->blocks + first, (int)state, end - first);
}

/* Whoever is not sure that it stays what it is says so first. */
void space_doubt(struct run *run, unsigned instance, uint64_t first, uint64_t end,
                 enum model_block but) {
    struct model_instance *own = &run->model.instances[instance];
    space_set(run, instance, end, end, but);
    for (uint64_t i = first; i < end; i++)
        if (own->blocks[i] != but)
            own->blocks[i] = MODEL_PERHAPS;
}

static bool is_entangled(const struct run *run, unsigned instance) {
    for (uint32_t i = 0; i < run->model.snapshot_count; i++)
        if (run->model.snapshots[i].instance == instance || run->model.snapshots[i].cloned)
            return true;
    return run->model.instances[instance].is_clone || run->model.instances[instance].is_scheduled;
}

struct blocks {
    uint64_t first, end;
};

static struct blocks blocks_of(const struct range *range) {
    return (struct blocks){range->offset / LFSX_BLOCK_SIZE,
                           math_divide_up(range->offset + range->length, LFSX_BLOCK_SIZE)};
}

struct forecast space_forecast(struct run *run, const struct range *range) {
    struct model_instance *own = &run->model.instances[range->instance];
    struct blocks blocks = blocks_of(range);
    size_t count = blocks.end - blocks.first;
    space_set(run, (unsigned)range->instance, blocks.end, blocks.end, MODEL_HOLE);
    uint64_t of[] = {[MODEL_HOLE] = 0, [MODEL_DATA] = 0, [MODEL_PERHAPS] = 0};
    uint64_t own_of[] = {[MODEL_HOLE] = 0, [MODEL_DATA] = 0, [MODEL_PERHAPS] = 0};
    for (uint64_t i = 0; i < own->block_count; i++) {
        of[own->blocks[i]]++;
        own_of[own->blocks[i]] += i >= blocks.first && i < blocks.end;
    }
    uint64_t holes = own_of[MODEL_HOLE];
    uint64_t quota = model_value(&run->model, own->quota);
    own->grown += holes;
    struct forecast forecast = {.must_fail =
                                    quota > 0 && holes > 0 && of[MODEL_DATA] + holes > quota,
                                .grows = own_of[MODEL_DATA] < count,
                                .is_small = count <= FEW,
                                .most = of[MODEL_DATA] + of[MODEL_PERHAPS] + holes,
                                .grown = own->grown,
                                .erasures = own->erasures,
                                .before = model_must(malloc(count))};
    memcpy(forecast.before, own->blocks + blocks.first, count);
    space_doubt(run, (unsigned)range->instance, blocks.first, blocks.end, MODEL_DATA);
    return forecast;
}

static bool has_room(struct run *run) {
    struct lfsx_pool_info info;
    lfsx_pool_info(run->pool, &info);
    return run->plan.mood != MOOD_FULL && run->plan.mood != MOOD_LARGE &&
           info.available_bytes >= ROOM + run->plan.max_length;
}

/* The write failed. A block that it had in part may be one that another write changes. */
static void put_back(struct model_instance *own, const struct range *range,
                     const unsigned char *before) {
    struct blocks blocks = blocks_of(range);
    memcpy(own->blocks + blocks.first, before, blocks.end - blocks.first);
    if (range->offset % LFSX_BLOCK_SIZE != 0)
        own->blocks[blocks.first] = MODEL_PERHAPS;
    if ((range->offset + range->length) % LFSX_BLOCK_SIZE != 0)
        own->blocks[blocks.end - 1] = MODEL_PERHAPS;
}

void space_compare(struct run *run, const struct range *range, struct forecast *forecast,
                   enum status status) {
    struct model_instance *own = &run->model.instances[range->instance];
    struct blocks blocks = blocks_of(range);
    uint64_t quota = model_value(&run->model, own->quota);
    bool undisturbed = own->erasures == forecast->erasures;
    uint64_t most = forecast->most + own->grown - forecast->grown; /* a later one may be faster */
    bool may_fail = quota > 0 && most > quota && (forecast->grows || !undisturbed);
    bool is_reserved = forecast->is_small && most <= model_value(&run->model, own->reserved) &&
                       !is_entangled(run, (unsigned)range->instance);
    if (status == STATUS_OK)
        space_set(run, (unsigned)range->instance, blocks.first, blocks.end, MODEL_DATA);
    else if (status == STATUS_NO_SPACE)
        put_back(own, range, forecast->before);
    free(forecast->before);
    if (run->in_doubt)
        return;
    if (status == STATUS_OK && forecast->must_fail && undisturbed)
        report_violation("a write went beyond its volume's quota");
    if (status == STATUS_NO_SPACE && !may_fail && has_room(run))
        report_violation("no space for a write though there is room");
    if (status == STATUS_NO_SPACE && !may_fail && is_reserved)
        report_violation("no space for a write though it was reserved");
}

/* ---- setting bounds ---- */

/* False: nobody can tell. */
static bool look(struct run *run, unsigned name, uint64_t *quota, uint64_t *reserved) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct lfsx_volume *volume;
        enum status status = lfsx_volume_open(run->pool, model_name(name), &volume);
        run_expect(run, status, 0, "looking at a volume after a failure");
        if (status != STATUS_OK)
            continue;
        struct lfsx_volume_info info;
        lfsx_volume_info(volume, &info);
        lfsx_volume_close(volume);
        *quota = info.quota_bytes / LFSX_BLOCK_SIZE;
        *reserved = info.reserved_bytes / LFSX_BLOCK_SIZE;
        return true;
    }
    run->in_doubt = true;
    return false;
}

static void finish(struct run *run, unsigned name, uint32_t op, enum status status, bool quota) {
    uint64_t now[2];
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), true);
    if (!look(run, name, &now[0], &now[1]))
        return;
    const struct model_instance *own = &run->model.instances[model_present(&run->model, name)];
    bool done = now[quota ? 0 : 1] == model_value(&run->model, quota ? own->quota : own->reserved);
    if (status == STATUS_OK && !done)
        report_violation("a bound of volume %s: acknowledged, and not so", model_name(name));
    if (!done)
        model_undo(&run->model, op);
}

void op_bound(struct run *run, unsigned name, bool quota, uint64_t blocks) {
    if (!name_is_idle(run, name))
        return;
    const struct model_instance *own = &run->model.instances[model_present(&run->model, name)];
    uint64_t other = model_value(&run->model, quota ? own->reserved : own->quota);
    uint64_t bytes = blocks * LFSX_BLOCK_SIZE;
    bool wrong = other > 0 && (quota ? blocks > 0 && blocks < other : blocks > other);
    uint32_t cell = quota ? own->quota : own->reserved;
    uint32_t op = 0;
    run->deleting[name] = true;
    if (!wrong) {
        op = model_begin(&run->model, run_now(run));
        model_set(&run->model, op, cell, blocks);
    }
    enum status status = quota ? lfsx_dataset_set_quota(run->pool, model_name(name), bytes)
                               : lfsx_dataset_set_reservation(run->pool, model_name(name), bytes);
    if (!wrong) {
        finish(run, name, op, status, quota);
        run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "setting a bound");
    } else {
        run_expect_refusal(run, status, STATUS_INVALID, "a quota below the reservation");
    }
    run->deleting[name] = false;
}
