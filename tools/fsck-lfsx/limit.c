/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck-lfsx/limit.h"
#include "host/host.h"

#include <stdio.h>
#include <stdlib.h>

static const char *default_directory(void) {
    const char *directory = getenv("TMPDIR");
    return directory == NULL || *directory == '\0' ? "/var/tmp" : directory;
}

bool limit_open(struct limit *limit) {
    if (limit->memory == 0)
        return true;
    bool named = limit->directory != NULL;
    if (!named)
        limit->directory = default_directory();
    enum status status = host_scratch_open(limit->directory, &limit->scratch);
    if (status == STATUS_OK)
        return true;
    fprintf(stderr, "fsck.lfsx: no scratch file in %s: %s%s\n", limit->directory,
            status_text(status), named ? "" : "; going on with memory alone");
    return !named;
}

void limit_close(struct limit *limit) {
    if (limit->scratch != NULL)
        blockdev_close(limit->scratch);
}

void limit_explain(const struct limit *limit, enum status status) {
    if (limit->memory == 0 || status != STATUS_NO_MEMORY)
        return;
    if (limit->scratch == NULL)
        fputs("fsck.lfsx: name a directory on another disk with --scratch, or give more with "
              "--memory\n",
              stderr);
    else
        fprintf(stderr,
                "fsck.lfsx: the scratch file is in %s: make room there, name another directory "
                "with --scratch, or give more with --memory\n",
                limit->directory);
}
