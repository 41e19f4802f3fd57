/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_test.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counters counters;
static char replay[256];

/* What the core said last. */
#define LINES 6u
static char lines[LINES][LOG_LINE_SIZE];
static unsigned line_count;

static bool leak_told;

static void keep_line(enum log_level level, const char *room, const char *line) {
    leak_told |= level == LOG_LEVEL_ERROR && strstr(line, "what it drops stays in use") != NULL;
    snprintf(lines[line_count++ % LINES], LOG_LINE_SIZE, "%s: %s", room, line);
}

bool report_leak_told(void) {
    bool told = leak_told;
    leak_told = false;
    return told;
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
