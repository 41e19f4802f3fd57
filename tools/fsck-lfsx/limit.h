/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of memory that --memory sets, and the scratch space for what is beyond. */
#ifndef TOOLS_FSCK_LFSX_LIMIT_H
#define TOOLS_FSCK_LFSX_LIMIT_H

#include "base/blockdev.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct limit {
    uint64_t memory;       /* bytes; 0: none */
    const char *directory; /* for the scratch file; NULL: none was named */
    struct blockdev *scratch;
};

/* Opens the scratch file if there is a limit: in the directory that was named, else in $TMPDIR or
 * /var/tmp, without which it goes on. False, explained on standard error: the directory that was
 * named cannot be used. */
bool limit_open(struct limit *limit);
void limit_close(struct limit *limit);

/* Tells on standard error what to do if the memory was not enough. */
void limit_explain(const struct limit *limit, enum status status);

#endif
