/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that read into the data cache what readers will want next. Readers only leave requests;
 * one that comes for a block that is on its way waits for it instead of reading it a second time.
 * Nothing depends on it: a request that finds no place in the queue, no memory or an error is
 * dropped, and the reader reads for itself.
 */
#ifndef STORAGE_LFSX_FILE_PREFETCH_H
#define STORAGE_LFSX_FILE_PREFETCH_H

#include "base/status.h"

#include <stdint.h>

struct file;
struct lfsx_pool;
struct prefetcher;

/* Nothing to start without a data cache. NO_MEMORY. */
enum status prefetch_start(struct lfsx_pool *pool);
/* Nobody reads any more. What waits is dropped. */
void prefetch_stop(struct lfsx_pool *pool);

/* A reader is about to read the blocks [first, first + count) of the file. Never waits for I/O. */
void prefetch_note(struct file *file, uint64_t first, uint64_t count);
/* Returns when nothing is fetched for the file any more. Nobody reads it, so nothing will be:
 * before its tree or the file itself is released. */
void prefetch_end(struct file *file);

#endif
