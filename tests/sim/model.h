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
 *   - each cell (512 bytes of a volume or of a file; a size; a name; whether a snapshot exists)
 *     holds what the last operation of the set made of it. Operations on one cell are never under
 * way together, so their order is known. The smallest such set is found by growing it from what
 * must be in it; a write is one operation, all or nothing, while trims and zeroes may be there
 * block by block.
 *
 * The content of a snapshot is right if there is such a set that has all that was acknowledged
 * before the snapshot was asked for and nothing that was asked for after it was acknowledged; one
 * set for all volumes of a group. With the snapshot its set belongs to the state. What a snapshot
 * was once seen to hold it must hold for ever: after all other cuts of the same run, too. Of one
 * that a schedule took only its time is known: all that was acknowledged before is in it.
 *
 * Memory is the process's, not a world's.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "tests/sim/observation.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_CELL 512u
#define MODEL_NEVER UINT64_MAX
#define MODEL_NAMES 48u
#define MODEL_NO_OP UINT32_MAX
#define MODEL_POOL_SIZE MODEL_NAMES /* the cell of it, behind those of the names: bytes */

struct model_op {
    uint64_t started, acknowledged; /* MODEL_NEVER: it was not */
    uint64_t acknowledged_ns;       /* by the wall clock */
    bool durable;                   /* once acknowledged */
    bool void_;                     /* it failed and changed nothing */
    uint32_t cell_count;
    uint32_t *cells;
    uint64_t mark; /* the model's, while judging */
};

struct model_state {
    uint32_t op; /* that made it */
    uint64_t value;
};

struct model_cell {
    struct model_state *history; /* [0] is the start's, made by no operation */
    uint32_t count, capacity;
    uint32_t now; /* while judging */
    uint64_t seen;
    bool looked_at;
};

/* Whether it can be brought back once it is deleted. */
enum model_keep { MODEL_KEEP_NOT, MODEL_KEEP_PERHAPS, MODEL_KEEP };

/* What a volume holds, or a file of a share. */
struct model_bytes {
    uint32_t size;          /* cell: how many */
    uint32_t *cells;        /* of its sectors; what is behind its end is zeros */
    uint32_t count;         /* of cells: as many as it ever had */
    unsigned char *content; /* of all cells, as of the newest operation */
};

enum model_block { MODEL_HOLE, MODEL_DATA, MODEL_PERHAPS };

struct model_share; /* model_share.h */

/* One volume or share from its creation on; a name may have several after each other, and a
 * rollback gives one another name. */
struct model_instance {
    uint64_t id; /* the pool's; 0: not known yet */
    struct model_bytes bytes;
    struct model_share *share; /* NULL: it is a volume */
    uint32_t quota, reserved;  /* cells: blocks, 0: none */
    uint32_t schedule;         /* cell: a hash of the rules, 0: none */
    bool is_clone;
    bool is_scheduled;     /* it has, or had, snapshots that take themselves */
    unsigned char *blocks; /* of a volume: enum model_block of each; space.c */
    uint64_t block_count;
    uint64_t erasures; /* that began or ended */
    uint64_t grown;    /* blocks at most by all writes and zeroings that began */
    enum model_keep keep;
    uint64_t kept_until; /* it is deleted, and can be brought back until then; 0: it cannot */
};

/* One snapshot of one volume or share. Those with the same operation were taken together. */
struct model_snapshot {
    char name[24];
    unsigned instance;
    bool automatic;             /* it comes and goes by itself */
    uint64_t epoch, created_ns; /* of an automatic one */
    uint32_t cell;              /* whether it exists; of an automatic one nobody asks */
    uint32_t op;                /* that took it; MODEL_NO_OP: it was there at the start */
    bool cloned;                /* now or once */
    unsigned busy;              /* operations under way on it */
    unsigned char *content;     /* NULL: nobody has seen it yet */
    uint64_t size;              /* of the content */
    uint32_t *set; /* operations that explain it, of set_count; once seen, if op is one */
    uint32_t set_count;
};

struct model_flush {
    uint64_t started, acknowledged;
};

struct model {
    struct model_op *ops;
    uint32_t op_count, op_capacity;
    struct model_cell *cells; /* the names' come first: 1 + the instance, 0: none */
    uint32_t cell_count, cell_capacity;
    struct model_instance *instances;
    uint32_t instance_count, instance_capacity;
    struct model_snapshot *snapshots;
    uint32_t snapshot_count, snapshot_capacity;
    struct model_flush *flushes;
    uint32_t flush_count, flush_capacity;
    uint64_t now_ns; /* the wall clock */
    uint64_t judgements;
    char wrong[512]; /* why the last judgement was "no" */
};

/* "v00" and so on. */
const char *model_name(unsigned number);
/* MODEL_NAMES if it is none of them. */
unsigned model_name_number(const char *name);

/* Never NULL: the process ends without memory. */
void *model_must(void *memory);
/* An array with room for one more than `count`. */
void *model_grow(void *array, uint32_t count, uint32_t *capacity, size_t size);

void model_init(struct model *model);
void model_destroy(struct model *model);

/* Adds a volume; its cells are zeros, or what `content` (copied) says. */
unsigned model_add_instance(struct model *model, uint64_t size, const unsigned char *content);
/* Adds a cell with a state that no operation made. */
uint32_t model_add_cell(struct model *model, uint64_t value);
/* What the cell holds in the model's present. */
uint64_t model_value(const struct model *model, uint32_t cell);
void model_bytes_init(struct model *model, struct model_bytes *bytes, uint64_t size,
                      const unsigned char *content);
/* Sees to it that there are cells for so many bytes. */
void model_need(struct model *model, struct model_bytes *bytes, uint64_t size);
void model_bytes_destroy(struct model_bytes *bytes);
/* The instance that has the name in the model's present; -1 if there is none. */
int model_present(const struct model *model, unsigned name);
/* At the start, before any operation: the name holds the instance. */
void model_set_present(struct model *model, unsigned name, unsigned instance);

/* Operations. Each returns its number, to be acknowledged. What it does is added to one that has
 * begun. */
uint32_t model_begin(struct model *model, uint64_t now);
void model_set(struct model *model, uint32_t op, uint32_t cell, uint64_t value);
/* Makes the bytes longer, too, if it has to. */
uint32_t model_change(struct model *model, uint64_t now, struct model_bytes *bytes, uint64_t offset,
                      uint64_t length, const unsigned char *data); /* NULL: zeros */
uint32_t model_resize(struct model *model, uint64_t now, struct model_bytes *bytes, uint64_t size);
void model_rename(struct model *model, uint32_t op, unsigned name, int instance); /* -1: none */
unsigned model_add_snapshot(struct model *model, uint32_t op, unsigned instance, const char *name);
void model_drop_snapshot(struct model *model, uint32_t op, unsigned snapshot);

void model_acknowledge(struct model *model, uint32_t op, uint64_t now, bool durable);
/* The operation failed and did nothing; the caller puts the content back. */
void model_undo(struct model *model, uint32_t op);
void model_add_flush(struct model *model, uint64_t started, uint64_t now);

/* At the start, before any operation: a snapshot with its content. */
unsigned model_set_snapshot(struct model *model, unsigned instance, const char *name,
                            const unsigned char *content, uint64_t size, bool cloned);
/* One that a schedule took, as it is seen first. */
unsigned model_add_automatic(struct model *model, unsigned instance, const char *name,
                             uint64_t epoch, uint64_t created_ns);
/* Whether it exists in the model's present. */
bool model_has_snapshot(const struct model *model, unsigned snapshot);
/* The snapshot with the name; -1 if there never was one. */
int model_find_snapshot(const struct model *model, unsigned instance, const char *name);

/* ---- judge.c ---- */

struct model_cut {
    uint64_t time;
    bool lossy; /* the disk lost writes that it had acknowledged: nothing must be there, but what is
                   there must still be the effect of all operations up to one moment */
};

/* Whether what was seen may be there after a cut. */
bool model_judge(struct model *model, const struct observation *seen, struct model_cut cut);
/* Whether the snapshot may hold this. The first to see it in a run decides for all later ones. */
bool model_judge_snapshot(struct model *model, unsigned snapshot, const unsigned char *content,
                          uint64_t size, uint64_t cut_time);
/* Of a cell's bytes. */
uint64_t model_hash(const void *cell);
/* Begins to look at what is there. */
void model_look(struct model *model);
void model_look_at_cell(struct model *model, uint32_t cell, uint64_t value);
/* Content as a whole number of cells; what is in unreadable blocks (NULL: none are) is not looked
 * at. */
void model_look_at_bytes(struct model *model, const struct model_bytes *bytes,
                         const unsigned char *content, uint64_t size,
                         const unsigned char *unreadable);
/* Says that something is wrong with what has this name; returns false. */
bool model_wrong(struct model *model, const char *what, const char *name);

#endif
