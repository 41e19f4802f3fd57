/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients do in shares, and tell the model.
 *
 * Each operation first sees to it that no other on the same cells is under way, or on what its
 * outcome follows from; else it does nothing. So the model knows how it must end.
 */
#ifndef TESTS_SIM_OPS_SHARE_H
#define TESTS_SIM_OPS_SHARE_H

#include "tests/sim/model_share.h"
#include "tests/sim/sim_test.h"

/* A name in a directory. */
struct spot {
    uint32_t directory;
    unsigned name;
};

/* ---- share_claim.c: what is under way ---- */

struct model_object *object_of(struct run *run, unsigned instance, uint32_t object);
/* False: not now. */
bool claim_object(struct run *run, unsigned instance, uint32_t object); /* it stays */
void unclaim_object(struct run *run, unsigned instance, uint32_t object);
bool claim_spot(struct run *run, unsigned instance, struct spot spot); /* its directory stays */
void unclaim_spot(struct run *run, unsigned instance, struct spot spot);
/* It may lose its last name; MODEL_NO_OBJECT: nothing does. */
bool claim_leaving(struct run *run, unsigned instance, uint32_t object);
void unclaim_leaving(struct run *run, unsigned instance, uint32_t object);

/* Opens the share, which stays until share_leave(). NULL: it cannot be opened. */
struct lfsx_share *share_enter(struct run *run, unsigned instance);
void share_leave(struct run *run, unsigned instance, struct lfsx_share *share);
/* Acknowledges the operations [first, behind), or finds out what became of them. */
void share_finish(struct run *run, unsigned instance, struct lfsx_share *share, uint32_t first,
                  enum status status, bool durable);

/* ---- ops_share.c ---- */

void op_share_make(struct client *client, unsigned instance, struct spot spot, enum lfsx_kind kind,
                   bool fua);
void op_share_link(struct run *run, unsigned instance, uint32_t object, struct spot spot, bool fua);
void op_share_remove(struct run *run, unsigned instance, struct spot spot, bool rmdir, bool fua);
void op_share_rename(struct run *run, unsigned instance, struct spot from, struct spot to,
                     uint32_t flags);
void op_share_list(struct run *run, unsigned instance, uint32_t directory);
void op_share_setattr(struct run *run, unsigned instance, uint32_t object, bool fua);
/* Length 0: removes it. */
void op_share_xattr(struct client *client, unsigned instance, uint32_t object, unsigned xattr,
                    uint32_t length, uint32_t flags);

/* ---- ops_file.c: range->object is a file ---- */

void op_file_write(struct client *client, const struct range *range, bool fua);
void op_file_read(struct client *client, const struct range *range);
void op_file_zero(struct client *client, const struct range *range, bool no_hole, bool fua);
void op_file_truncate(struct client *client, unsigned instance, uint32_t object, uint64_t size,
                      bool fua);
/* Removes the file's name while it is open, and goes on using it. */
void op_file_orphan(struct client *client, unsigned instance, struct spot spot);

/* ---- workload_share.c ---- */

/* Something in one of the shares, drawn. */
void workload_share(struct client *client);

#endif
