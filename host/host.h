/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux-process home: os.h over pthreads, a block device over a file or disk, streams over
 * sockets.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "base/blockdev.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stream.h"

#include <stdbool.h>
#include <stdint.h>

/* Log lines go to standard error, prefixed with the program's name. Once, first. */
void host_start(const char *program);

#define HOST_BLOCKDEV_READ_ONLY 1u
#define HOST_BLOCKDEV_SHARED 2u /* do not take the lock that keeps two programs from one pool */

/* Opens a regular file or block device. Writes go through the page cache; FLUSH is fdatasync.
 * DISCARD punches holes. NOT_FOUND, PERMISSION, BUSY (another program has it, or it is mounted),
 * INVALID (not a file or disk), IO. */
enum status host_blockdev_open(const char *path, uint32_t flags, struct blockdev **device);

/* Scratch space in a directory: a file without a name that is gone when it is closed or the process
 * ends, as large as there is room, which it takes only where it was written. Its content is
 * undefined. Not for what must survive a crash: FLUSH does nothing. Requests are carried out in the
 * caller's thread. NOT_FOUND, PERMISSION, READ_ONLY, NO_SPACE, NO_MEMORY, IO. */
enum status host_scratch_open(const char *directory, struct blockdev **device);

/* Listens on "HOST:PORT", "[V6]:PORT" or "unix:PATH" (an abandoned socket there is replaced).
 * Port 0 takes a free one; listener->address tells. INVALID, BUSY, PERMISSION, NOT_FOUND. */
enum status host_listen(const char *address, struct listener **listener);

/* Connects a pair of streams to each other (for tests and for services in one process). */
enum status host_stream_pair(struct stream **one, struct stream **other);

/* Makes allocations fail, for tests: after `after` more of them one (or, with forever, each)
 * returns NULL, of os_alloc, os_alloc_zeroed and os_page_alloc together. HOST_MEMORY_FAIL_NEVER
 * ends it. */
#define HOST_MEMORY_FAIL_NEVER UINT64_MAX
void host_memory_fail(uint64_t after, bool forever);

/* The status that an errno value means: this home's one mapping. */
enum status host_status(int error);

#endif
