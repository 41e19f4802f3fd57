/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes, trims, zeroes, reads and flushes, and what the model learns of them.
 *
 * Invariant: no two operations on the same cell are under way together.
 */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

/* An operation that failed for want of memory may have come further than its error tells. Asking
 * again and again is no use if memory never comes back. */
#define ATTEMPTS 3u

/* ---- ranges ---- */

bool range_is_free(struct run *run, const struct range *range) {
    uint64_t begin = math_round_down(range->offset, MODEL_CELL);
    uint64_t end = math_round_up(range->offset + range->length, MODEL_CELL);
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        const struct range *other = &run->ranges[i];
        if (other->instance == range->instance && other->object == range->object &&
            begin < other->offset + other->length && other->offset < end)
            return false;
    }
    return true;
}

struct model_bytes *bytes_of(struct run *run, int instance) {
    return &run->model.instances[instance].bytes;
}

uint64_t size_of(struct run *run, int instance) {
    return model_value(&run->model, bytes_of(run, instance)->size);
}

unsigned name_of_instance(struct run *run, int instance) {
    unsigned name = 0;
    while (name < MODEL_NAMES && model_present(&run->model, name) != instance)
        name++;
    return name;
}

/* The name, since the volume may lose it meanwhile: one that is being created, if that fails. */
static void hold_name(struct client *client, int instance) {
    client->held = name_of_instance(client->run, instance);
    client->run->users[client->held]++;
}

void range_claim(struct client *client, const struct range *range) {
    struct range *own = &client->run->ranges[client->number];
    own->instance = range->instance;
    own->object = range->object;
    own->offset = math_round_down(range->offset, MODEL_CELL);
    own->length = math_round_up(range->offset + range->length, MODEL_CELL) - own->offset;
    hold_name(client, range->instance);
}

void range_share(struct client *client, const struct range *range) {
    struct range *own = &client->run->ranges[client->number];
    *own = (struct range){.instance = range->instance};
    hold_name(client, range->instance);
}

void range_release(struct client *client) {
    client->run->users[client->held]--;
    client->run->ranges[client->number].instance = -1;
}

static struct lfsx_volume *open_volume(struct run *run, int instance) {
    unsigned name = name_of_instance(run, instance);
    struct lfsx_volume *volume;
    bool creating = run->creating[name];
    bool resizing = run->resizing[name]; /* that may end while the pool is asked */
    enum status status = lfsx_volume_open(run->pool, model_name(name), &volume);
    run_expect(run, status, creating ? RUN_MAY(STATUS_NOT_FOUND) : 0, "opening a volume");
    if (status != STATUS_OK)
        return NULL;
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    struct model_instance *own = &run->model.instances[instance];
    if ((info.size != size_of(run, instance) && !resizing && !run->resizing[name]) ||
        (own->id != 0 && info.id != own->id))
        report_violation("volume %s is another one", model_name(name));
    own->id = info.id;
    return volume;
}

/* ---- bytes ---- */

static enum status read_bytes(struct lfsx_volume *volume, uint64_t offset, uint64_t length,
                              unsigned char *to) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, (uint32_t)length, &buffer);
    if (status != STATUS_OK)
        return status;
    status = lfsx_volume_read(volume, buffer);
    for (uint32_t i = 0; i < buffer->span_count && status == STATUS_OK; i++) {
        memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
        to += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

static enum status write_bytes(struct lfsx_volume *volume, uint64_t offset, uint64_t length,
                               const unsigned char *from, bool fua) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, (uint32_t)length, &buffer);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < buffer->span_count; i++) {
        memcpy(buffer->spans[i].base, from, buffer->spans[i].length);
        from += buffer->spans[i].length;
    }
    status = lfsx_volume_write(volume, buffer, fua ? LFSX_FUA : 0);
    lfsx_buffer_free(buffer);
    return status;
}

static bool look_again(struct run *run, struct lfsx_volume *volume, uint64_t offset,
                       uint64_t length, unsigned char *to) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        enum status status = read_bytes(volume, offset, length, to);
        run_expect(run, status, 0, "a read after a failure");
        if (status == STATUS_OK)
            return true;
    }
    run->in_doubt = true;
    return false;
}

/* ---- operations ---- */

/* A write that failed is there as a whole or not at all. */
static void settle_write(struct client *client, struct lfsx_volume *volume,
                         const struct range *range, uint32_t op) {
    struct run *run = client->run;
    unsigned char *now = model_must(malloc(range->length)); /* others may do the same meanwhile */
    if (!look_again(run, volume, range->offset, range->length, now)) {
        free(now);
        return;
    }
    if (memcmp(now, client->before, range->length) == 0) {
        model_undo(&run->model, op);
        memcpy(bytes_of(run, range->instance)->content + range->offset, client->before,
               range->length);
    } else if (memcmp(now, client->data, range->length) != 0) {
        report_violation("a write that failed left a part of itself");
    }
    free(now);
}

static void write_to(struct client *client, struct lfsx_volume *volume, const struct range *range,
                     bool fua) {
    struct run *run = client->run;
    for (uint64_t i = 0; i < range->length; i += 8) {
        uint64_t word = sim_random_next(&run->random);
        memcpy(client->data + i, &word, MATH_MIN(8, range->length - i));
    }
    memcpy(client->before, bytes_of(run, range->instance)->content + range->offset, range->length);
    struct forecast forecast = space_forecast(run, range);
    uint32_t op = model_change(&run->model, run_now(run), bytes_of(run, range->instance),
                               range->offset, range->length, client->data);
    enum status status = write_bytes(volume, range->offset, range->length, client->data, fua);
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), fua);
    else
        settle_write(client, volume, range, op);
    space_compare(run, range, &forecast, status);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a write");
}

void op_write(struct client *client, const struct range *range, bool fua) {
    struct lfsx_volume *volume = open_volume(client->run, range->instance);
    if (volume == NULL)
        return;
    write_to(client, volume, range, fua);
    lfsx_volume_close(volume);
}

/* Operations [first, behind) of one block each, from `begin` on. */
struct erasure_ops {
    uint64_t begin, end;
    uint32_t first, behind;
};

/* Trims and zeroes may be there block by block. */
static struct erasure_ops add_erasures(struct client *client, const struct range *range,
                                       bool trim) {
    struct run *run = client->run;
    struct erasure_ops ops = {range->offset, range->offset + range->length, 0, 0};
    if (trim) {
        ops.begin = math_round_up(ops.begin, LFSX_BLOCK_SIZE);
        if (ops.end != size_of(run, range->instance))
            ops.end = math_round_down(ops.end, LFSX_BLOCK_SIZE);
    }
    ops.first = run->model.op_count;
    uint64_t started = run_now(run);
    for (uint64_t at = ops.begin; at < ops.end;) {
        uint64_t next = MATH_MIN(ops.end, math_round_down(at, LFSX_BLOCK_SIZE) + LFSX_BLOCK_SIZE);
        model_change(&run->model, started, bytes_of(run, range->instance), at, next - at, NULL);
        at = next;
    }
    ops.behind = run->model.op_count;
    return ops;
}

static void settle_erasure(struct client *client, struct lfsx_volume *volume,
                           const struct range *range, const struct erasure_ops *ops) {
    struct run *run = client->run;
    uint64_t at = ops->begin;
    for (uint32_t op = ops->first; op < ops->behind && !run->in_doubt; op++) {
        uint64_t next = MATH_MIN(ops->end, math_round_down(at, LFSX_BLOCK_SIZE) + LFSX_BLOCK_SIZE);
        const unsigned char *before = client->before + (at - range->offset);
        if (!look_again(run, volume, at, next - at, client->data))
            return;
        unsigned char *content = bytes_of(run, range->instance)->content;
        if (memcmp(client->data, before, next - at) == 0) {
            model_undo(&run->model, op);
            memcpy(content + at, before, next - at);
        } else if (memcmp(client->data, content + at, next - at) != 0) {
            report_violation("a trim or zeroing that failed left something else");
        }
        at = next;
    }
}

static enum status erase(struct lfsx_volume *volume, const struct range *range, enum erasure kind,
                         bool fua) {
    uint32_t flags = (fua ? LFSX_FUA : 0) | (kind == ERASE_ZERO_NO_HOLE ? LFSX_NO_HOLE : 0);
    return kind == ERASE_TRIM ? lfsx_volume_trim(volume, range->offset, range->length, flags)
                              : lfsx_volume_zero(volume, range->offset, range->length, flags);
}

/* What becomes of the blocks: holes, for certain only once it is done, where they are wholly in it.
 */
static void note_erasure(struct run *run, const struct range *range, const struct erasure_ops *ops,
                         enum erasure kind, bool done) {
    unsigned instance = (unsigned)range->instance;
    uint64_t first = ops->begin / LFSX_BLOCK_SIZE;
    uint64_t end = math_divide_up(ops->end, LFSX_BLOCK_SIZE);
    if (ops->begin >= ops->end)
        return;
    run->model.instances[instance].erasures++;
    space_doubt(run, instance, first, end, kind == ERASE_ZERO_NO_HOLE ? MODEL_DATA : MODEL_HOLE);
    if (kind == ERASE_ZERO && ops->begin % LFSX_BLOCK_SIZE != 0) {
        space_set(run, instance, first, first + 1, MODEL_PERHAPS);
        first++;
    }
    if (kind == ERASE_ZERO && ops->end % LFSX_BLOCK_SIZE != 0) {
        end--;
        space_set(run, instance, end, end + 1, MODEL_PERHAPS);
    }
    if (kind != ERASE_ZERO_NO_HOLE && done && first < end)
        space_set(run, instance, first, end, MODEL_HOLE);
}

/* Blocks, at most, into which zeros are written: these were holes, perhaps. */
static uint64_t zeros_written(const struct range *range, enum erasure kind) {
    uint64_t ends = (range->offset % LFSX_BLOCK_SIZE != 0) +
                    ((range->offset + range->length) % LFSX_BLOCK_SIZE != 0);
    return kind == ERASE_TRIM ? 0 : kind == ERASE_ZERO ? ends : range->length / LFSX_BLOCK_SIZE + 2;
}

/* What a snapshot holds a trim does not give back. */
static bool has_snapshot(const struct run *run, unsigned instance) {
    for (uint32_t i = 0; i < run->model.snapshot_count; i++)
        if (run->model.snapshots[i].instance == instance || run->model.snapshots[i].cloned)
            return true;
    return run->model.instances[instance].is_scheduled;
}

void op_erase(struct client *client, const struct range *range, enum erasure kind, bool fua) {
    struct run *run = client->run;
    struct lfsx_volume *volume = open_volume(run, range->instance);
    if (volume == NULL)
        return;
    memcpy(client->before, bytes_of(run, range->instance)->content + range->offset, range->length);
    struct erasure_ops ops = add_erasures(client, range, kind == ERASE_TRIM);
    note_erasure(run, range, &ops, kind, false);
    run->model.instances[range->instance].grown += zeros_written(range, kind);
    enum status status = erase(volume, range, kind, fua);
    uint64_t now = run_now(run);
    for (uint32_t op = ops.first; op < ops.behind && status == STATUS_OK; op++)
        model_acknowledge(&run->model, op, now, fua);
    if (status != STATUS_OK)
        settle_erasure(client, volume, range, &ops);
    note_erasure(run, range, &ops, kind, status == STATUS_OK);
    bool may_be_full = kind != ERASE_TRIM || has_snapshot(run, (unsigned)range->instance);
    run_expect(run, status, may_be_full ? RUN_MAY(STATUS_NO_SPACE) : 0,
               kind == ERASE_TRIM ? "a trim" : "a zeroing");
    lfsx_volume_close(volume);
}

void op_read(struct client *client, const struct range *range) {
    struct run *run = client->run;
    struct lfsx_volume *volume = open_volume(run, range->instance);
    if (volume == NULL)
        return;
    enum status status = read_bytes(volume, range->offset, range->length, client->data);
    const unsigned char *wanted = bytes_of(run, range->instance)->content + range->offset;
    if (status == STATUS_OK && !run->in_doubt && memcmp(client->data, wanted, range->length) != 0)
        report_violation("a read returned something else than was written last");
    run_expect(run, status, 0, "a read");
    lfsx_volume_close(volume);
}

/* The newest state that the cell was known to have reached. */
static uint32_t reached(const struct model *model, uint32_t number) {
    const struct model_cell *cell = &model->cells[number];
    uint32_t newest = cell->count - 1;
    uint32_t op = cell->history[newest].op;
    bool under_way = op != MODEL_NO_OP && model->ops[op].acknowledged == MODEL_NEVER;
    return under_way && newest > 0 ? newest - 1 : newest;
}

static void judge_race(struct run *run, uint32_t number, uint32_t least, const void *content) {
    const struct model_cell *cell = &run->model.cells[number];
    uint64_t hash = model_hash(content);
    uint32_t at = MATH_MIN(least, cell->count - 1); /* a write that failed is forgotten */
    while (at < cell->count && cell->history[at].value != hash)
        at++;
    if (at == cell->count && !run->in_doubt)
        report_violation("a read during writes returned what was not there then");
}

void op_read_race(struct client *client, const struct range *range) {
    struct run *run = client->run;
    uint32_t first = (uint32_t)(range->offset / MODEL_CELL);
    uint32_t cells = (uint32_t)(range->length / MODEL_CELL);
    uint32_t *least = (uint32_t *)(void *)client->before;
    for (uint32_t i = 0; i < cells; i++)
        least[i] = reached(&run->model, bytes_of(run, range->instance)->cells[first + i]);
    bool growing = run->resizing[name_of_instance(run, range->instance)];
    struct lfsx_volume *volume = open_volume(run, range->instance);
    if (volume == NULL)
        return;
    enum status status = read_bytes(volume, range->offset, range->length, client->data);
    for (uint32_t i = 0; i < cells && status == STATUS_OK; i++)
        judge_race(run, bytes_of(run, range->instance)->cells[first + i], least[i],
                   client->data + (uint64_t)i * MODEL_CELL);
    run_expect(run, status, growing ? RUN_MAY(STATUS_OUT_OF_RANGE) : 0, "a read during writes");
    lfsx_volume_close(volume);
}

void op_flush(struct run *run) {
    uint64_t started = run_now(run);
    enum status status = lfsx_pool_commit(run->pool);
    if (status == STATUS_OK)
        model_add_flush(&run->model, started, run_now(run));
    run_expect(run, status, 0, "a flush");
}
