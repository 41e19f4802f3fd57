/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model.h"
#include "base/math.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_OP UINT32_MAX

const char *const model_names[MODEL_NAMES] = {"alpha", "beta", "gamma", "delta"};

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

static uint32_t add_cell(struct model *model, uint64_t hash) {
    model->cells =
        grow(model->cells, model->cell_count, &model->cell_capacity, sizeof *model->cells);
    struct model_cell *cell = &model->cells[model->cell_count];
    *cell = (struct model_cell){0};
    cell->history = grow(NULL, 0, &cell->capacity, sizeof *cell->history);
    cell->history[cell->count++] = (struct model_state){NO_OP, hash};
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
    for (unsigned i = 0; i < model->instance_count; i++)
        free(model->instances[i].content);
    free(model->ops);
    free(model->cells);
    free(model->flushes);
}

unsigned model_add_instance(struct model *model, unsigned name, uint64_t size,
                            const unsigned char *content) {
    unsigned number = model->instance_count++;
    struct model_instance *instance = &model->instances[number];
    *instance = (struct model_instance){.name = name,
                                        .size = size,
                                        .first_cell = model->cell_count,
                                        .cell_count = (uint32_t)(size / MODEL_CELL),
                                        .content = must(calloc(1, size))};
    if (content != NULL)
        memcpy(instance->content, content, size);
    for (uint32_t i = 0; i < instance->cell_count; i++)
        add_cell(model, model_hash(instance->content + (uint64_t)i * MODEL_CELL));
    return number;
}

int model_present(const struct model *model, unsigned name) {
    const struct model_cell *cell = &model->cells[name];
    uint64_t size = cell->history[cell->count - 1].hash;
    for (unsigned i = 0; i < model->instance_count && size != 0; i++)
        if (model->instances[i].size == size)
            return (int)i;
    return -1;
}

void model_set_present(struct model *model, unsigned name, unsigned instance) {
    model->cells[name].history[0].hash = model->instances[instance].size;
}

static uint32_t add_op(struct model *model, uint64_t now, uint32_t cells) {
    model->ops = grow(model->ops, model->op_count, &model->op_capacity, sizeof *model->ops);
    model->ops[model->op_count] = (struct model_op){
        .started = now, .acknowledged = MODEL_NEVER, .cells = must(calloc(cells + 1, 4))};
    return model->op_count++;
}

static void add_state(struct model *model, uint32_t op, uint32_t number, uint64_t hash) {
    struct model_cell *cell = &model->cells[number];
    cell->history = grow(cell->history, cell->count, &cell->capacity, sizeof *cell->history);
    cell->history[cell->count++] = (struct model_state){op, hash};
    struct model_op *own = &model->ops[op];
    own->cells[own->cell_count++] = number;
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
    uint32_t op = add_op(model, now, (uint32_t)(end - first));
    for (uint64_t i = first; i < end; i++)
        add_state(model, op, instance->first_cell + (uint32_t)i,
                  model_hash(instance->content + i * MODEL_CELL));
    return op;
}

uint32_t model_name_change(struct model *model, uint64_t now, unsigned name, int instance) {
    uint32_t op = add_op(model, now, 1);
    add_state(model, op, name, instance < 0 ? 0 : model->instances[instance].size);
    return op;
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

/* ---- judging ---- */

void model_judge_begin(struct model *model) {
    model->judgements++;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        model->cells[i].now = 0;
        model->cells[i].looked_at = i < MODEL_NAMES;
        model->cells[i].seen = 0;
    }
}

bool model_saw_volume(struct model *model, const char *name, uint64_t size,
                      struct model_instance **out) {
    for (unsigned i = 0; i < model->instance_count; i++) {
        struct model_instance *instance = &model->instances[i];
        if (instance->size != size || strcmp(model_names[instance->name], name) != 0)
            continue;
        model->cells[instance->name].seen = size;
        *out = instance;
        return true;
    }
    snprintf(model->wrong, sizeof model->wrong,
             "there is a volume %s of %llu bytes, which nobody ever created", name,
             (unsigned long long)size);
    return false;
}

void model_saw_content(struct model *model, const struct model_instance *instance,
                       const unsigned char *content) {
    for (uint32_t i = 0; i < instance->cell_count; i++) {
        struct model_cell *cell = &model->cells[instance->first_cell + i];
        cell->looked_at = true;
        cell->seen = model_hash(content + (uint64_t)i * MODEL_CELL);
    }
}

static void explain(struct model *model, uint32_t number, uint64_t cut) {
    const struct model_cell *cell = &model->cells[number];
    int used = 0;
    if (number < MODEL_NAMES)
        used = snprintf(model->wrong, sizeof model->wrong, "volume %s (size seen: %llu)",
                        model_names[number], (unsigned long long)cell->seen);
    for (unsigned i = 0; i < model->instance_count; i++) {
        const struct model_instance *one = &model->instances[i];
        if (number >= one->first_cell && number - one->first_cell < one->cell_count)
            used = snprintf(model->wrong, sizeof model->wrong, "volume %s, sector %u",
                            model_names[one->name], number - one->first_cell);
    }
    unsigned at = 0;
    while (at < cell->count && cell->history[at].hash != cell->seen)
        at++;
    snprintf(model->wrong + used, sizeof model->wrong - (size_t)used,
             ": %s; it must hold state %u of %u or a later one (cut before event %llu)",
             at == cell->count ? "holds what nobody ever wrote there" : "went back in time",
             cell->now, cell->count - 1, (unsigned long long)cut);
    if (at < cell->count) {
        size_t length = strlen(model->wrong);
        snprintf(model->wrong + length, sizeof model->wrong - length, ", and holds state %u", at);
    }
}

/* The set that grows: `stack` holds operations that are in it and not looked at yet. */
struct judge {
    struct model *model;
    uint64_t cut;
    uint64_t latest; /* all that was acknowledged before belongs to the set */
    bool thin_air;
};

static void include(struct judge *judge, uint32_t number) {
    struct model *model = judge->model;
    struct model_op *op = &model->ops[number];
    if (op->mark == model->judgements)
        return;
    op->mark = model->judgements;
    if (op->started >= judge->cut || op->void_)
        judge->thin_air = true;
    judge->latest = MATH_MAX(judge->latest, op->started);
    for (uint32_t i = 0; i < op->cell_count; i++) {
        struct model_cell *cell = &model->cells[op->cells[i]];
        uint32_t at = cell->count - 1;
        while (cell->history[at].op != number)
            at--;
        cell->now = MATH_MAX(cell->now, at);
    }
}

/* Includes what must be there because of later operations. */
static void close_set(struct judge *judge) {
    uint64_t latest;
    do {
        latest = judge->latest;
        for (uint32_t i = 0; i < judge->model->op_count; i++)
            if (judge->model->ops[i].acknowledged < latest && !judge->model->ops[i].void_)
                include(judge, i);
    } while (judge->latest != latest);
}

static void include_durable(struct judge *judge) {
    struct model *model = judge->model;
    for (uint32_t i = 0; i < model->flush_count; i++)
        if (model->flushes[i].acknowledged <= judge->cut)
            judge->latest = MATH_MAX(judge->latest, model->flushes[i].started);
    for (uint32_t i = 0; i < model->op_count; i++)
        if (model->ops[i].durable && model->ops[i].acknowledged <= judge->cut)
            include(judge, i);
}

bool model_judge(struct model *model, uint64_t cut) {
    struct judge judge = {.model = model, .cut = cut};
    include_durable(&judge);
    bool grew = true;
    while (grew) {
        grew = false;
        close_set(&judge);
        for (uint32_t i = 0; i < model->cell_count; i++) {
            struct model_cell *cell = &model->cells[i];
            if (!cell->looked_at || cell->history[cell->now].hash == cell->seen)
                continue;
            uint32_t at = cell->now;
            while (at < cell->count && cell->history[at].hash != cell->seen)
                at++;
            if (at == cell->count) {
                explain(model, i, cut);
                return false;
            }
            include(&judge, cell->history[at].op);
            cell->now = at;
            grew = true;
        }
        if (judge.thin_air) {
            snprintf(model->wrong, sizeof model->wrong,
                     "holds what was only asked for after the cut, or was refused");
            return false;
        }
    }
    return true;
}
