/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of scripts: what is done one after the other, in small pools, where every cut is looked at.
 * The order of a table is also that in which all of its steps are done. */
#ifndef TESTS_SIM_SCRIPT_H
#define TESTS_SIM_SCRIPT_H

#include "tests/sim/sim_test.h"

struct script_step {
    const char *name;
    /* Does nothing if an earlier step took away what it is about. */
    void (*run)(struct client *client, const struct script_step *step);
    unsigned kind;
    unsigned volume; /* name, or what the kind makes of it */
    uint64_t offset, length;
    uint32_t flags;
};

enum script_volume_kind {
    SCRIPT_WRITE,
    SCRIPT_TRIM,
    SCRIPT_ZERO,
    SCRIPT_ZERO_NO_HOLE,
    SCRIPT_READ,
    SCRIPT_FLUSH,
    SCRIPT_CREATE,
    SCRIPT_DELETE,
    SCRIPT_WAIT,
    SCRIPT_SNAPSHOT, /* of `volume`, or of all */
    SCRIPT_SNAPSHOT_READ,
    SCRIPT_SNAPSHOT_DELETE, /* these four the oldest of `volume` */
    SCRIPT_CLONE,
    SCRIPT_ROLLBACK,
    SCRIPT_RESIZE,      /* to `length` */
    SCRIPT_TRANSACTION, /* drawn, by `length` */
    SCRIPT_SCHEDULE,    /* rules, drawn, or none if `length` is 0 */
    SCRIPT_GROW,        /* the disk and the pool, by `length` blocks */
    SCRIPT_QUOTA,       /* `length` blocks */
    SCRIPT_RESERVATION,
    SCRIPT_SETTLE,
    SCRIPT_KEEP,
    SCRIPT_UNDELETE /* the first that can be brought back */
};
/* A step of one of these kinds, on a volume or, if it can be done with one, a share. */
void script_volume_step(struct client *client, const struct script_step *step);

struct script_table {
    const struct script_step *steps;
    unsigned count;
};

/* script_volume.c, script_share.c: by group. */
extern const struct script_table script_volume_steps, script_share_steps;
/* What the pools hold that they begin with. */
extern const struct script_table script_volume_beginning, script_share_beginning;

#define SCRIPT_SHARE_NAME 5u /* the share's */

#endif
