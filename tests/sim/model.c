/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model.h"
#include "base/math.h"
#include "tests/sim/model_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *model_must(void *memory) {
    if (memory == NULL)
        abort();
    return memory;
}

void *model_grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 4 : 2 * *capacity;
    return model_must(realloc(array, *capacity * size));
}

const char *model_name(unsigned number) {
    static char names[MODEL_NAMES][8];
    if (names[number][0] == '\0')
        snprintf(names[number], sizeof names[number], "v%02u", number % 100);
    return names[number];
}

unsigned model_name_number(const char *name) {
    unsigned number = 0;
    while (number < MODEL_NAMES && strcmp(model_name(number), name) != 0)
        number++;
    return number;
}

/* The last lanes' multiplications run side by side. */
uint64_t model_hash(const void *cell) {
    uint64_t words[MODEL_CELL / 8];
    memcpy(words, cell, sizeof words);
    uint64_t sums[4] = {1, 2, 3, 4};
    for (unsigned i = 0; i < MODEL_CELL / 8; i += 4)
        for (unsigned lane = 0; lane < 4; lane++)
            sums[lane] =
                (sums[lane] ^ words[i + lane]) * 0x9e3779b97f4a7c15ull + (sums[lane] >> 29);
    return sums[0] ^ sums[1] * 3 ^ sums[2] * 5 ^ sums[3] * 7;
}

uint32_t model_add_cell(struct model *model, uint64_t value) {
    model->cells =
        model_grow(model->cells, model->cell_count, &model->cell_capacity, sizeof *model->cells);
    struct model_cell *cell = &model->cells[model->cell_count];
    *cell = (struct model_cell){0};
    cell->history = model_grow(NULL, 0, &cell->capacity, sizeof *cell->history);
    cell->history[cell->count++] = (struct model_state){MODEL_NO_OP, value};
    return model->cell_count++;
}

void model_init(struct model *model) {
    memset(model, 0, sizeof *model);
    for (unsigned i = 0; i < MODEL_NAMES; i++)
        model_add_cell(model, 0);
    model_add_cell(model, 0); /* MODEL_POOL_SIZE */
}

void model_destroy(struct model *model) {
    for (uint32_t i = 0; i < model->op_count; i++)
        free(model->ops[i].cells);
    for (uint32_t i = 0; i < model->cell_count; i++)
        free(model->cells[i].history);
    for (uint32_t i = 0; i < model->instance_count; i++) {
        model_bytes_destroy(&model->instances[i].bytes);
        free(model->instances[i].blocks);
        model_share_destroy(model->instances[i].share);
    }
    for (uint32_t i = 0; i < model->snapshot_count; i++) {
        free(model->snapshots[i].content);
        free(model->snapshots[i].set);
    }
    free(model->ops);
    free(model->cells);
    free(model->instances);
    free(model->snapshots);
    free(model->flushes);
}

uint64_t model_value(const struct model *model, uint32_t cell) {
    const struct model_cell *own = &model->cells[cell];
    return own->history[own->count - 1].value;
}

/* ---- bytes ---- */

static uint64_t hash_of_zeros(void) {
    static uint64_t hash;
    static const unsigned char zeros[MODEL_CELL];
    if (hash == 0)
        hash = model_hash(zeros);
    return hash;
}

void model_need(struct model *model, struct model_bytes *bytes, uint64_t size) {
    uint32_t count = (uint32_t)math_divide_up(size, MODEL_CELL);
    if (count <= bytes->count)
        return;
    bytes->cells = model_must(realloc(bytes->cells, count * sizeof *bytes->cells));
    bytes->content = model_must(realloc(bytes->content, (uint64_t)count * MODEL_CELL));
    memset(bytes->content + (uint64_t)bytes->count * MODEL_CELL, 0,
           (uint64_t)(count - bytes->count) * MODEL_CELL);
    for (; bytes->count < count; bytes->count++)
        bytes->cells[bytes->count] = model_add_cell(model, hash_of_zeros());
}

void model_bytes_init(struct model *model, struct model_bytes *bytes, uint64_t size,
                      const unsigned char *content) {
    *bytes = (struct model_bytes){.size = model_add_cell(model, size)};
    model_need(model, bytes, size);
    if (content == NULL || size == 0)
        return;
    memcpy(bytes->content, content, size);
    for (uint32_t i = 0; i < bytes->count; i++)
        model->cells[bytes->cells[i]].history[0].value =
            model_hash(bytes->content + (uint64_t)i * MODEL_CELL);
}

void model_bytes_destroy(struct model_bytes *bytes) {
    free(bytes->cells);
    free(bytes->content);
}

unsigned model_add_instance(struct model *model, uint64_t size, const unsigned char *content) {
    model->instances = model_grow(model->instances, model->instance_count,
                                  &model->instance_capacity, sizeof *model->instances);
    struct model_instance *instance = &model->instances[model->instance_count];
    *instance = (struct model_instance){.quota = model_add_cell(model, 0),
                                        .reserved = model_add_cell(model, 0),
                                        .schedule = model_add_cell(model, 0)};
    model_bytes_init(model, &instance->bytes, size, content);
    return model->instance_count++;
}

int model_present(const struct model *model, unsigned name) {
    return (int)model_value(model, name) - 1;
}

void model_set_present(struct model *model, unsigned name, unsigned instance) {
    model->cells[name].history[0].value = 1 + instance;
}

uint32_t model_begin(struct model *model, uint64_t now) {
    model->ops = model_grow(model->ops, model->op_count, &model->op_capacity, sizeof *model->ops);
    model->ops[model->op_count] = (struct model_op){.started = now, .acknowledged = MODEL_NEVER};
    return model->op_count++;
}

static void add_state(struct model *model, uint32_t op, uint32_t number, uint64_t value) {
    struct model_cell *cell = &model->cells[number];
    cell->history = model_grow(cell->history, cell->count, &cell->capacity, sizeof *cell->history);
    cell->history[cell->count++] = (struct model_state){op, value};
    struct model_op *own = &model->ops[op];
    own->cells[own->cell_count++] = number;
}

/* Room for so many more cells of the operation. */
static void expect_cells(struct model *model, uint32_t op, uint64_t count) {
    struct model_op *own = &model->ops[op];
    own->cells = model_must(realloc(own->cells, (own->cell_count + count) * sizeof *own->cells));
}

void model_set(struct model *model, uint32_t op, uint32_t cell, uint64_t value) {
    expect_cells(model, op, 1);
    add_state(model, op, cell, value);
}

uint32_t model_change(struct model *model, uint64_t now, struct model_bytes *bytes, uint64_t offset,
                      uint64_t length, const unsigned char *data) {
    uint64_t first = offset / MODEL_CELL;
    uint64_t end = math_divide_up(offset + length, MODEL_CELL);
    uint32_t op = model_begin(model, now);
    model_need(model, bytes, offset + length);
    if (data == NULL)
        memset(bytes->content + offset, 0, length);
    else
        memcpy(bytes->content + offset, data, length);
    expect_cells(model, op, end - first + 1);
    for (uint64_t i = first; i < end; i++)
        add_state(model, op, bytes->cells[i], model_hash(bytes->content + i * MODEL_CELL));
    if (offset + length > model_value(model, bytes->size))
        add_state(model, op, bytes->size, offset + length);
    return op;
}

uint32_t model_resize(struct model *model, uint64_t now, struct model_bytes *bytes, uint64_t size) {
    uint64_t old = model_value(model, bytes->size);
    uint32_t op = model_begin(model, now);
    model_need(model, bytes, size);
    if (size < old)
        memset(bytes->content + size, 0, old - size);
    expect_cells(model, op, bytes->count + 1u);
    for (uint64_t i = size / MODEL_CELL; i * MODEL_CELL < old; i++)
        add_state(model, op, bytes->cells[i], model_hash(bytes->content + i * MODEL_CELL));
    add_state(model, op, bytes->size, size);
    return op;
}

void model_rename(struct model *model, uint32_t op, unsigned name, int instance) {
    model_set(model, op, name, (uint64_t)(instance + 1));
}

static unsigned add_snapshot(struct model *model, unsigned instance, const char *name,
                             bool exists) {
    model->snapshots = model_grow(model->snapshots, model->snapshot_count,
                                  &model->snapshot_capacity, sizeof *model->snapshots);
    struct model_snapshot *snapshot = &model->snapshots[model->snapshot_count];
    *snapshot = (struct model_snapshot){
        .instance = instance, .cell = model_add_cell(model, exists), .op = MODEL_NO_OP};
    snprintf(snapshot->name, sizeof snapshot->name, "%s", name);
    return model->snapshot_count++;
}

unsigned model_add_snapshot(struct model *model, uint32_t op, unsigned instance, const char *name) {
    unsigned snapshot = add_snapshot(model, instance, name, false);
    model->snapshots[snapshot].op = op;
    model_set(model, op, model->snapshots[snapshot].cell, 1);
    return snapshot;
}

unsigned model_set_snapshot(struct model *model, unsigned instance, const char *name,
                            const unsigned char *content, uint64_t size, bool cloned) {
    unsigned snapshot = add_snapshot(model, instance, name, true);
    model->snapshots[snapshot].cloned = cloned;
    model->snapshots[snapshot].size = size;
    model->snapshots[snapshot].content = model_must(malloc(size));
    memcpy(model->snapshots[snapshot].content, content, size);
    return snapshot;
}

unsigned model_add_automatic(struct model *model, unsigned instance, const char *name,
                             uint64_t epoch, uint64_t created_ns) {
    unsigned number = add_snapshot(model, instance, name, false);
    model->snapshots[number].automatic = true;
    model->snapshots[number].epoch = epoch;
    model->snapshots[number].created_ns = created_ns;
    return number;
}

void model_drop_snapshot(struct model *model, uint32_t op, unsigned snapshot) {
    model_set(model, op, model->snapshots[snapshot].cell, 0);
}

bool model_has_snapshot(const struct model *model, unsigned snapshot) {
    return model_value(model, model->snapshots[snapshot].cell) != 0;
}

int model_find_snapshot(const struct model *model, unsigned instance, const char *name) {
    for (uint32_t i = 0; i < model->snapshot_count; i++)
        if (model->snapshots[i].instance == instance && strcmp(model->snapshots[i].name, name) == 0)
            return (int)i;
    return -1;
}

void model_acknowledge(struct model *model, uint32_t op, uint64_t now, bool durable) {
    model->ops[op].acknowledged = now;
    model->ops[op].acknowledged_ns = model->now_ns;
    model->ops[op].durable = durable;
}

void model_undo(struct model *model, uint32_t op) {
    struct model_op *own = &model->ops[op];
    own->void_ = true;
    for (uint32_t i = 0; i < own->cell_count; i++)
        model->cells[own->cells[i]].count--;
    own->cell_count = 0;
}

void model_add_flush(struct model *model, uint64_t started, uint64_t now) {
    model->flushes = model_grow(model->flushes, model->flush_count, &model->flush_capacity,
                                sizeof *model->flushes);
    model->flushes[model->flush_count++] = (struct model_flush){started, now};
}
