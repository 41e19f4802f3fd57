/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fsck.lfsx prints: findings as they come, a progress bar on a terminal, a summary; for people
 * or as one JSON object. Standard output carries the result, standard error the bar and complaints.
 */
#ifndef TOOLS_FSCK_LFSX_REPORT_H
#define TOOLS_FSCK_LFSX_REPORT_H

#include "storage/lfsx/lfsx.h"

#include <stdbool.h>
#include <stdint.h>

struct report {
    const char *path;
    bool json;
    bool show_progress;     /* standard error is a terminal */
    bool bar_is_shown;      /* the cursor stands behind the bar */
    unsigned shown_permill; /* of the bar on the screen */
    uint64_t findings;
    uint64_t losses;
    uint64_t limit;                   /* bytes of memory; 0: none */
    uint64_t size_before, size_after; /* bytes, of a pool that was to grow; else 0 */
    bool losses_begun; /* with JSON: the list of findings is closed, that of losses open */
};

/* Starts the report: with JSON, opens the object. */
void report_start(struct report *report);

/* Callbacks of lfsx_check() and lfsx_repair(); the context is the report. */
void report_finding(void *context, const struct lfsx_finding *finding);
void report_action(void *context, const char *text);
void report_loss(void *context, const struct lfsx_loss *loss);
void report_progress(void *context, uint64_t done_blocks, uint64_t total_blocks);

/* Ends the report. A status other than OK says why it could not be done. */
void report_end(struct report *report, enum status status,
                const struct lfsx_repair_summary *summary, bool repair_wanted, int exit_status);

#endif
