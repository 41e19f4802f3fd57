/* SPDX-License-Identifier: Apache-2.0 */
/* The share of tests/fuzz/everything.h. */
#ifndef TESTS_FUZZ_EVERYTHING_SHARE_H
#define TESTS_FUZZ_EVERYTHING_SHARE_H

#include "storage/lfsx/lfsx_share.h"

/* Makes the share and fills it; then it is to get a snapshot. */
struct lfsx_share *everything_share_begin(struct lfsx_pool *pool);

/* Changes it, and leaves a file that was removed while it is open. */
struct lfsx_file *everything_share_change(struct lfsx_share *share);

/* A step of its own in the journal. */
void everything_share_record(struct lfsx_share *share);

/* Reads the share and its snapshot, as everything_read(). */
uint64_t everything_share_read(struct lfsx_pool *pool);

/* Whether this is what reading damaged things may end with. */
bool everything_is_damage(enum status status);

#endif
