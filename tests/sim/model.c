/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model.h"
#include "base/math.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
    if (memory == NULL)
        abort();
    return memory;
}

static void *grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 4 : 2 * *capacity;
    return must(realloc(array, *capacity * size));
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

static uint32_t add_cell(struct model *model, uint64_t value) {
    model->cells =
        grow(model->cells, model->cell_count, &model->cell_capacity, sizeof *model->cells);
    struct model_cell *cell = &model->cells[model->cell_count];
    *cell = (struct model_cell){0};
    cell->history = grow(NULL, 0, &cell->capacity, sizeof *cell->history);
    cell->history[cell->count++] = (struct model_state){MODEL_NO_OP, value};
    return model->cell_count++;
}

void model_init(struct model *model) {
    memset(model, 0, sizeof *model);
    for (unsigned i = 0; i < MODEL_NAMES; i++)
        add_cell(model, 0);
}

void model_destroy(struct model *model) {
    for (uint32_t i = 0; i < model->op_count; i++)
        free(model->ops[i].cells);
    for (uint32_t i = 0; i < model->cell_count; i++)
        free(model->cells[i].history);
    for (uint32_t i = 0; i < model->instance_count; i++)
        free(model->instances[i].content);
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

unsigned model_add_instance(struct model *model, uint64_t size, const unsigned char *content) {
    model->instances = grow(model->instances, model->instance_count, &model->instance_capacity,
                            sizeof *model->instances);
    struct model_instance *instance = &model->instances[model->instance_count];
    *instance = (struct model_instance){.size = size,
                                        .first_cell = model->cell_count,
                                        .cell_count = (uint32_t)(size / MODEL_CELL),
                                        .content = must(calloc(1, size))};
    if (content != NULL)
        memcpy(instance->content, content, size);
    for (uint32_t i = 0; i < instance->cell_count; i++)
        add_cell(model, model_hash(instance->content + (uint64_t)i * MODEL_CELL));
    return model->instance_count++;
}

int model_present(const struct model *model, unsigned name) {
    const struct model_cell *cell = &model->cells[name];
    return (int)cell->history[cell->count - 1].value - 1;
}

void model_set_present(struct model *model, unsigned name, unsigned instance) {
    model->cells[name].history[0].value = 1 + instance;
}

uint32_t model_begin(struct model *model, uint64_t now) {
    model->ops = grow(model->ops, model->op_count, &model->op_capacity, sizeof *model->ops);
    model->ops[model->op_count] = (struct model_op){.started = now, .acknowledged = MODEL_NEVER};
    return model->op_count++;
}

static void add_state(struct model *model, uint32_t op, uint32_t number, uint64_t value) {
    struct model_cell *cell = &model->cells[number];
    cell->history = grow(cell->history, cell->count, &cell->capacity, sizeof *cell->history);
    cell->history[cell->count++] = (struct model_state){op, value};
    struct model_op *own = &model->ops[op];
    own->cells[own->cell_count++] = number;
}

/* Room for so many more cells of the operation. */
static void expect_cells(struct model *model, uint32_t op, uint64_t count) {
    struct model_op *own = &model->ops[op];
    own->cells = must(realloc(own->cells, (own->cell_count + count) * sizeof *own->cells));
}

uint32_t model_change(struct model *model, uint64_t now, unsigned number, uint64_t offset,
                      uint64_t length, const unsigned char *data) {
    struct model_instance *instance = &model->instances[number];
    if (data == NULL)
        memset(instance->content + offset, 0, length);
    else
        memcpy(instance->content + offset, data, length);
    uint64_t first = offset / MODEL_CELL;
    uint64_t end = math_divide_up(offset + length, MODEL_CELL);
    uint32_t op = model_begin(model, now);
    expect_cells(model, op, end - first);
    for (uint64_t i = first; i < end; i++)
        add_state(model, op, instance->first_cell + (uint32_t)i,
                  model_hash(instance->content + i * MODEL_CELL));
    return op;
}

void model_rename(struct model *model, uint32_t op, unsigned name, int instance) {
    expect_cells(model, op, 1);
    add_state(model, op, name, (uint64_t)(instance + 1));
}

static unsigned add_snapshot(struct model *model, unsigned instance, const char *name,
                             bool exists) {
    model->snapshots = grow(model->snapshots, model->snapshot_count, &model->snapshot_capacity,
                            sizeof *model->snapshots);
    struct model_snapshot *snapshot = &model->snapshots[model->snapshot_count];
    *snapshot = (struct model_snapshot){
        .instance = instance, .cell = add_cell(model, exists), .op = MODEL_NO_OP};
    snprintf(snapshot->name, sizeof snapshot->name, "%s", name);
    return model->snapshot_count++;
}

unsigned model_add_snapshot(struct model *model, uint32_t op, unsigned instance, const char *name) {
    unsigned snapshot = add_snapshot(model, instance, name, false);
    model->snapshots[snapshot].op = op;
    expect_cells(model, op, 1);
    add_state(model, op, model->snapshots[snapshot].cell, 1);
    return snapshot;
}

unsigned model_set_snapshot(struct model *model, unsigned instance, const char *name,
                            const unsigned char *content, bool cloned) {
    unsigned snapshot = add_snapshot(model, instance, name, true);
    model->snapshots[snapshot].cloned = cloned;
    uint64_t size = model->instances[instance].size;
    model->snapshots[snapshot].content = must(malloc(size));
    memcpy(model->snapshots[snapshot].content, content, size);
    return snapshot;
}

void model_drop_snapshot(struct model *model, uint32_t op, unsigned snapshot) {
    expect_cells(model, op, 1);
    add_state(model, op, model->snapshots[snapshot].cell, 0);
}

bool model_has_snapshot(const struct model *model, unsigned snapshot) {
    const struct model_cell *cell = &model->cells[model->snapshots[snapshot].cell];
    return cell->history[cell->count - 1].value != 0;
}

int model_find_snapshot(const struct model *model, unsigned instance, const char *name) {
    for (uint32_t i = 0; i < model->snapshot_count; i++)
        if (model->snapshots[i].instance == instance && strcmp(model->snapshots[i].name, name) == 0)
            return (int)i;
    return -1;
}

void model_acknowledge(struct model *model, uint32_t op, uint64_t now, bool durable) {
    model->ops[op].acknowledged = now;
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
    model->flushes =
        grow(model->flushes, model->flush_count, &model->flush_capacity, sizeof *model->flushes);
    model->flushes[model->flush_count++] = (struct model_flush){started, now};
}
