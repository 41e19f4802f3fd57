/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What turns a pool read-only: a write or a flush that failed, or a tree that contradicts the
 * allocation maps. The first cause stays until the pool is opened again.
 */
#ifndef STORAGE_LFSX_TREE_LATCH_H
#define STORAGE_LFSX_TREE_LATCH_H

#include "base/os.h"
#include "base/status.h"

struct latch {
    const char *name;     /* the device's, for the log */
    struct os_mutex lock; /* guards what follows; nothing is taken below it */
    enum status cause;    /* OK: nothing happened */
};

void latch_init(struct latch *latch, const char *name);
void latch_destroy(struct latch *latch);

/* The first time: keeps the cause, and the log says it with `what` happened. Any lock may be held.
 */
void latch_set(struct latch *latch, enum status cause, const char *what);
/* Any lock may be held. */
enum status latch_cause(struct latch *latch);

#endif
