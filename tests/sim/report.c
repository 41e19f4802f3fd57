/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_test.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct counters counters;
static char replay[256];

/* What the core said last. */
#define LINES 6u
static char lines[LINES][LOG_LINE_SIZE];
static unsigned line_count;

static void keep_line(enum log_level level, const char *room, const char *line) {
    (void)level;
    snprintf(lines[line_count++ % LINES], LOG_LINE_SIZE, "%s: %s", room, line);
}

void report_start(void) {
    log_set_sink(keep_line);
}

void report_replay(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(replay, sizeof replay, format, arguments);
    va_end(arguments);
    sim_set_replay(replay);
}

void report_violation(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "VIOLATION: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    for (unsigned i = line_count < LINES ? 0 : line_count - LINES; i < line_count; i++)
        fprintf(stderr, "  log: %s\n", lines[i % LINES]);
    fprintf(stderr, "%s\n", replay);
    va_end(arguments);
    fflush(NULL);
    _Exit(1);
}
