/* SPDX-License-Identifier: Apache-2.0 */
/* Whether there is a set of operations that explains what was seen: model.h. */
#include "base/math.h"
#include "tests/sim/model_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The set that grows. */
struct judge {
    struct model *model;
    uint64_t end;    /* nothing that was asked for then or later belongs to it */
    uint64_t latest; /* all that was acknowledged before does */
    bool thin_air;
};

void model_look(struct model *model) {
    model->judgements++;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        model->cells[i].now = 0;
        model->cells[i].looked_at = false;
        model->cells[i].seen = 0;
    }
}

void model_look_at_cell(struct model *model, uint32_t cell, uint64_t value) {
    model->cells[cell].looked_at = true;
    model->cells[cell].seen = value;
}

bool model_wrong(struct model *model, const char *what, const char *name) {
    snprintf(model->wrong, sizeof model->wrong, "%s: %s", name, what);
    return false;
}

/* ---- saying what a cell is ---- */

/* 0: the cell is not the instance's. */
static int describe_part(const struct model_instance *one, uint32_t number, char *text,
                         size_t size) {
    if (one->share != NULL && number != one->schedule)
        return model_describe_share(one->share, number, text, size);
    if (number == one->bytes.size)
        return snprintf(text, size, "size");
    if (number == one->schedule)
        return snprintf(text, size, "schedule");
    if (number == one->quota || number == one->reserved)
        return snprintf(text, size, number == one->quota ? "quota" : "reservation");
    for (uint32_t i = 0; i < one->bytes.count; i++)
        if (one->bytes.cells[i] == number)
            return snprintf(text, size, "sector %u", i);
    return 0;
}

static int describe(const struct model *model, uint32_t number, char *text, size_t size) {
    if (number < MODEL_NAMES)
        return snprintf(text, size, "volume %s", model_name(number));
    if (number == MODEL_POOL_SIZE)
        return snprintf(text, size, "the pool's size");
    for (uint32_t i = 0; i < model->snapshot_count; i++)
        if (model->snapshots[i].cell == number)
            return snprintf(text, size, "snapshot %s of instance %u", model->snapshots[i].name,
                            model->snapshots[i].instance);
    for (uint32_t i = 0; i < model->instance_count; i++) {
        const struct model_instance *one = &model->instances[i];
        int used =
            snprintf(text, size, "instance %u (identifier %llu), ", i, (unsigned long long)one->id);
        int more = describe_part(one, number, text + used, size - (size_t)used);
        if (more > 0)
            return used + more;
    }
    return snprintf(text, size, "cell %u", number);
}

static void explain(const struct judge *judge, uint32_t number) {
    struct model *model = judge->model;
    const struct model_cell *cell = &model->cells[number];
    int used = describe(model, number, model->wrong, sizeof model->wrong);
    uint32_t at = 0;
    while (at < cell->count && cell->history[at].value != cell->seen)
        at++;
    char holds[48] = "what nobody ever made of it";
    if (at < cell->count)
        snprintf(holds, sizeof holds, "state %u", at);
    snprintf(model->wrong + used, sizeof model->wrong - (size_t)used,
             ": must hold state %u of %u or a later one, and holds %s (of before %llx)", cell->now,
             cell->count - 1, holds, (unsigned long long)judge->end);
}

/* ---- growing ---- */

static void include(struct judge *judge, uint32_t number) {
    struct model *model = judge->model;
    struct model_op *op = &model->ops[number];
    if (op->mark == model->judgements)
        return;
    op->mark = model->judgements;
    if (op->started >= judge->end || op->void_)
        judge->thin_air = true;
    judge->latest = MATH_MAX(judge->latest, op->started);
    for (uint32_t i = 0; i < op->cell_count; i++) {
        struct model_cell *cell = &model->cells[op->cells[i]];
        uint32_t at = cell->count - 1;
        while (cell->history[at].op != number)
            at--;
        cell->now = MATH_MAX(cell->now, at);
    }
    for (uint32_t i = 0; i < model->snapshot_count; i++)
        for (uint32_t j = 0; model->snapshots[i].op == number && j < model->snapshots[i].set_count;
             j++)
            include(judge, model->snapshots[i].set[j]);
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

/* Grows the set until it explains every cell that was looked at. */
static bool grow(struct judge *judge) {
    struct model *model = judge->model;
    bool grew = true;
    while (grew) {
        grew = false;
        close_set(judge);
        for (uint32_t i = 0; i < model->cell_count; i++) {
            struct model_cell *cell = &model->cells[i];
            if (!cell->looked_at || cell->history[cell->now].value == cell->seen)
                continue;
            uint32_t at = cell->now;
            while (at < cell->count && cell->history[at].value != cell->seen)
                at++;
            if (at == cell->count) {
                explain(judge, i);
                return false;
            }
            include(judge, cell->history[at].op);
            cell->now = MATH_MAX(cell->now, at);
            grew = true;
        }
        if (judge->thin_air)
            return model_wrong(model, "was only asked for later, or was refused", "what is there");
    }
    return true;
}

void model_look_at_bytes(struct model *model, const struct model_bytes *bytes,
                         const unsigned char *content, uint64_t size,
                         const unsigned char *unreadable) {
    static const unsigned char zeros[MODEL_CELL];
    model_look_at_cell(model, bytes->size, size);
    for (uint32_t i = 0; i < bytes->count; i++) {
        uint64_t at = (uint64_t)i * MODEL_CELL;
        if (unreadable == NULL || at >= size || !unreadable[at / LFSX_BLOCK_SIZE])
            model_look_at_cell(model, bytes->cells[i],
                               model_hash(at < size ? content + at : zeros));
    }
}

static bool look_at(struct model *model, unsigned instance, const unsigned char *content,
                    uint64_t size, const unsigned char *unreadable) {
    if (model->instances[instance].share != NULL)
        return model_look_at_share(model, instance, content, size, true);
    model_look_at_bytes(model, &model->instances[instance].bytes, content, size, unreadable);
    return true;
}

/* ---- snapshots ---- */

static void keep_set(struct model *model, struct model_snapshot *snapshot) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->op_count; i++)
        count += model->ops[i].mark == model->judgements;
    free(snapshot->set);
    snapshot->set = malloc((count + 1) * sizeof *snapshot->set);
    if (snapshot->set == NULL)
        abort();
    snapshot->set_count = 0;
    for (uint32_t i = 0; i < model->op_count; i++)
        if (model->ops[i].mark == model->judgements)
            snapshot->set[snapshot->set_count++] = i;
}

static bool taken_together(const struct model_snapshot *one, const struct model_snapshot *other) {
    if (one->automatic || other->automatic)
        return one->automatic && other->automatic && one->epoch == other->epoch;
    return one->op == other->op;
}

/* What must be in it, and what cannot be. */
static struct judge judge_of(struct model *model, const struct model_snapshot *own,
                             uint64_t cut_time) {
    struct judge judge = {.model = model, .end = cut_time};
    if (!own->automatic) {
        judge.end = MATH_MIN(cut_time, model->ops[own->op].acknowledged);
        judge.latest = model->ops[own->op].started;
    }
    for (uint32_t i = 0; i < model->op_count && own->automatic; i++)
        if (model->ops[i].acknowledged != MODEL_NEVER &&
            model->ops[i].acknowledged_ns < own->created_ns)
            judge.latest = MATH_MAX(judge.latest, model->ops[i].acknowledged + 1);
    return judge;
}

bool model_judge_snapshot(struct model *model, unsigned number, const unsigned char *content,
                          uint64_t size, uint64_t cut_time) {
    struct model_snapshot *own = &model->snapshots[number];
    if (own->content != NULL)
        return (own->size == size && memcmp(own->content, content, size) == 0) ||
               model_wrong(model, "the snapshot's content has changed", own->name);
    model_look(model);
    struct judge judge = judge_of(model, own, cut_time);
    own->content = model_must(malloc(size));
    own->size = size;
    memcpy(own->content, content, size);
    for (uint32_t i = 0; i < model->snapshot_count; i++) {
        const struct model_snapshot *one = &model->snapshots[i];
        if (taken_together(one, own) && one->content != NULL &&
            !look_at(model, one->instance, one->content, one->size, NULL))
            return false;
    }
    if (!grow(&judge))
        return false;
    for (uint32_t i = 0; i < model->snapshot_count; i++)
        if (taken_together(&model->snapshots[i], own))
            keep_set(model, &model->snapshots[i]);
    return true;
}

/* As far as it could be read; who sees it first must have read all of it. */
static bool judge_seen_snapshot(struct model *model, unsigned number, const struct seen *seen,
                                uint64_t cut_time) {
    const struct model_snapshot *own = &model->snapshots[number];
    if (seen->bad_blocks == 0)
        return model_judge_snapshot(model, number, seen->content, seen->size, cut_time);
    if (seen->is_share)
        return true;
    for (uint64_t at = 0; at < seen->size && own->content != NULL; at += LFSX_BLOCK_SIZE)
        if (!seen->unreadable[at / LFSX_BLOCK_SIZE] &&
            memcmp(own->content + at, seen->content + at,
                   MATH_MIN(seen->size - at, LFSX_BLOCK_SIZE)) != 0)
            return model_wrong(model, "the snapshot's content has changed", own->name);
    return true;
}

/* ---- all of it ---- */

/* The instance that a volume is; its identifier is learnt when it is seen first. */
static bool identify(struct model *model, const struct seen *seen, unsigned *out) {
    unsigned name = model_name_number(seen->name);
    if (name == MODEL_NAMES)
        return model_wrong(model, "a name that nobody ever gave", seen->name);
    for (unsigned i = 0; i < model->instance_count; i++) {
        *out = i;
        if (model->instances[i].id == seen->id)
            return (model->instances[i].share != NULL) == seen->is_share ||
                   model_wrong(model, "a volume has become a share, or a share a volume",
                               seen->name);
    }
    for (uint32_t i = model->cells[name].count; i > 0; i--) {
        uint64_t value = model->cells[name].history[i - 1].value;
        if (value == 0 || model->instances[value - 1].id != 0 ||
            (model->instances[value - 1].share != NULL) != seen->is_share)
            continue;
        *out = (unsigned)value - 1;
        model->instances[*out].id = seen->id;
        return true;
    }
    return model_wrong(model, "a volume that nobody ever created", seen->name);
}

/* For each that was seen the instance, or the snapshot's number. */
static bool identify_all(struct model *model, const struct observation *seen, unsigned *what) {
    for (unsigned i = 0; i < seen->count; i++) {
        const struct seen *one = &seen->all[i];
        if (one->volume < 0) {
            if (!identify(model, one, &what[i]))
                return false;
            continue;
        }
        int snapshot = model_find_snapshot(model, what[one->volume], one->name);
        if (snapshot < 0 && one->automatic && model->instances[what[one->volume]].is_scheduled)
            snapshot = (int)model_add_automatic(model, what[one->volume], one->name, one->id,
                                                one->created_ns);
        if (snapshot < 0)
            return model_wrong(model, "a snapshot that nobody ever took", one->name);
        what[i] = (unsigned)snapshot;
    }
    return true;
}

static void include_durable(struct judge *judge) {
    struct model *model = judge->model;
    for (uint32_t i = 0; i < model->flush_count; i++)
        if (model->flushes[i].acknowledged <= judge->end)
            judge->latest = MATH_MAX(judge->latest, model->flushes[i].started);
    for (uint32_t i = 0; i < model->op_count; i++)
        if (model->ops[i].durable && model->ops[i].acknowledged <= judge->end)
            include(judge, i);
}

/* What a schedule took is there by an operation that nobody knows. */
static void include_automatic(struct judge *judge, const struct observation *seen,
                              const unsigned *what) {
    struct model *model = judge->model;
    for (unsigned i = 0; i < seen->count; i++) {
        if (seen->all[i].volume < 0 || !model->snapshots[what[i]].automatic)
            continue;
        for (uint32_t j = 0; j < model->snapshots[what[i]].set_count; j++)
            include(judge, model->snapshots[what[i]].set[j]);
    }
}

static bool look_at_all(struct model *model, const struct observation *seen, const unsigned *what) {
    for (unsigned i = 0; i < MODEL_NAMES; i++)
        model->cells[i].looked_at = true;
    if (seen->pool_bytes != 0)
        model_look_at_cell(model, MODEL_POOL_SIZE, seen->pool_bytes);
    for (unsigned i = 0; i < seen->count; i++) {
        const struct seen *one = &seen->all[i];
        if (one->volume >= 0) {
            model->cells[model->snapshots[what[i]].cell].seen = 1;
            continue;
        }
        model->cells[model_name_number(one->name)].seen = 1 + what[i];
        model_look_at_cell(model, model->instances[what[i]].schedule, one->schedule);
        if (!one->is_share) {
            model_look_at_cell(model, model->instances[what[i]].quota, one->quota);
            model_look_at_cell(model, model->instances[what[i]].reserved, one->reserved);
        }
        if (!look_at(model, what[i], one->content, one->size, one->unreadable))
            return false;
        for (uint32_t j = 0; j < model->snapshot_count; j++)
            if (model->snapshots[j].instance == what[i] && !model->snapshots[j].automatic)
                model->cells[model->snapshots[j].cell].looked_at = true;
    }
    return true;
}

bool model_judge(struct model *model, const struct observation *seen, struct model_cut cut) {
    unsigned *what = calloc(seen->count + 1, sizeof *what);
    if (what == NULL)
        abort();
    bool right = identify_all(model, seen, what);
    for (unsigned i = 0; right && i < seen->count; i++)
        if (seen->all[i].volume >= 0)
            right = judge_seen_snapshot(model, what[i], &seen->all[i], cut.time);
    if (right) {
        struct judge judge = {.model = model, .end = cut.time};
        model_look(model);
        right = look_at_all(model, seen, what);
        if (right && !cut.lossy)
            include_durable(&judge);
        if (right)
            include_automatic(&judge, seen, what);
        right = right && grow(&judge);
    }
    free(what);
    return right;
}
