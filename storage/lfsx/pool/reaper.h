/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that frees, in the background, what deleted snapshots and volumes held. A crash loses
 * no more of its work than of any other: the records say what is left to do.
 */
#ifndef STORAGE_LFSX_POOL_REAPER_H
#define STORAGE_LFSX_POOL_REAPER_H

#include "base/os.h"
#include "base/status.h"

#include <stdbool.h>

struct lfsx_pool;

/* Frees what can be freed; returns early once reaper_is_closing(). No lock held; one thread at a
 * time. */
typedef void reaper_work(struct lfsx_pool *pool);

struct reaper {
    reaper_work *work;
    struct os_mutex lock; /* guards what follows; nothing is taken below it */
    struct os_condition wake, idle;
    struct os_thread *thread;
    bool wanted;  /* there may be something to do */
    bool working; /* it is being done */
    bool closing;
};

void reaper_init(struct reaper *reaper, reaper_work *work);
void reaper_destroy(struct reaper *reaper);

/* Starts the thread, which looks for work at once. NO_MEMORY. */
enum status reaper_start(struct lfsx_pool *pool);
/* Ends it after the step that it is at. */
void reaper_stop(struct lfsx_pool *pool);

/* There is something to free. */
void reaper_wake(struct lfsx_pool *pool);
/* Waits until there is nothing left to free, or nothing that can be. Not from the reaper itself.
 * Without a thread, does the work. */
void reaper_settle(struct lfsx_pool *pool);
/* The work is to end at once. */
bool reaper_is_closing(struct reaper *reaper);

#endif
