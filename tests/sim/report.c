/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct counters counters;
static char replay[256];

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
    fprintf(stderr, "\n%s\n", replay);
    va_end(arguments);
    fflush(NULL);
    _Exit(1);
}
