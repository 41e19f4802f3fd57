/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pool may hold after a power cut.
 *
 * The model knows every operation that was asked of a pool: when it was started, when it was
 * acknowledged, what it changed. Times are numbers of events of the disk's record. LFSX promises
 * that what a cut leaves is the effect of all operations up to one moment in the order in which
 * they took effect; the order is not seen from outside, but an operation that was acknowledged
 * before another one was started came before it. So a state is right if there is a set of
 * operations such that
 *   - what was acknowledged before a flush was started that was acknowledged before the cut is in
 *     it, and so is what is durable on return; what was started after the cut is not;
 *   - with an operation also all that were acknowledged before its start are in it;
 *   - each cell (512 bytes of a volume; a name) holds what the last operation of the set made of
 * it. Operations on one cell are never under way together, so their order is known. The smallest
 * such set is found by growing it from what must be in it; a write is one operation, all or
 * nothing, while trims and zeroes may be there block by block.
 *
 * Memory is the process's, not a world's.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "storage/lfsx/lfsx.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_CELL 512u
#define MODEL_NEVER UINT64_MAX
#define MODEL_NAMES 4u
#define MODEL_INSTANCES_MAX 64u

struct model_op {
    uint64_t started, acknowledged; /* MODEL_NEVER: it was not */
    bool durable;                   /* once acknowledged */
    bool void_;                     /* it failed and changed nothing */
    uint32_t cell_count;
    uint32_t *cells;
    uint64_t mark; /* the model's, while judging */
};

struct model_state {
    uint32_t op; /* that made it */
    uint64_t hash;
};

struct model_cell {
    struct model_state *history; /* [0] is the start's, made by no operation */
    uint32_t count, capacity;
    uint32_t now; /* while judging */
    uint64_t seen;
    bool looked_at;
};

/* One volume from its creation on; a name may have several after each other. Its size tells it from
 * all others. */
struct model_instance {
    unsigned name;
    uint64_t size;
    uint32_t first_cell, cell_count;
    unsigned char *content; /* as of the newest operation */
};

struct model_flush {
    uint64_t started, acknowledged;
};

struct model {
    struct model_op *ops;
    uint32_t op_count, op_capacity;
    struct model_cell *cells; /* the names' come first */
    uint32_t cell_count, cell_capacity;
    struct model_instance instances[MODEL_INSTANCES_MAX];
    unsigned instance_count;
    struct model_flush *flushes;
    uint32_t flush_count, flush_capacity;
    uint64_t judgements;
    char wrong[512]; /* why the last judgement was "no" */
};

extern const char *const model_names[MODEL_NAMES];

void model_init(struct model *model);
void model_destroy(struct model *model);

uint64_t model_hash(const void *cell);

/* Adds a volume; its cells are zeros, or what `content` (copied) says. */
unsigned model_add_instance(struct model *model, unsigned name, uint64_t size,
                            const unsigned char *content);
/* The newest instance of the name in the model's present; -1 if there is none. */
int model_present(const struct model *model, unsigned name);
/* At the start, before any operation: the name holds the instance. */
void model_set_present(struct model *model, unsigned name, unsigned instance);

/* Operations. Each returns its number, to be acknowledged. */
uint32_t model_change(struct model *model, uint64_t now, unsigned instance, uint64_t offset,
                      uint64_t length, const unsigned char *data); /* NULL: zeros */
uint32_t model_name_change(struct model *model, uint64_t now, unsigned name, int instance);
void model_acknowledge(struct model *model, uint32_t op, uint64_t now, bool durable);
/* The operation failed and did nothing; the caller puts the instance's content back. */
void model_undo(struct model *model, uint32_t op);
void model_add_flush(struct model *model, uint64_t started, uint64_t now);

/* ---- judging: begin, say what was seen, end ---- */

void model_judge_begin(struct model *model);
/* False if no such volume was ever created: out of thin air. */
bool model_saw_volume(struct model *model, const char *name, uint64_t size,
                      struct model_instance **instance);
void model_saw_content(struct model *model, const struct model_instance *instance,
                       const unsigned char *content);
/* Whether what was seen may be there after a cut just before event `cut`. */
bool model_judge(struct model *model, uint64_t cut);

#endif
