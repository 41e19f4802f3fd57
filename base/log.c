/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/format.h"

#include <stddef.h>

static log_sink *current_sink;
static enum log_level current_level = LOG_LEVEL_INFO;

void log_set_sink(log_sink *sink) {
    current_sink = sink;
}

void log_set_level(enum log_level level) {
    current_level = level;
}

void log_write(enum log_level level, const char *room, const char *format, ...) {
    log_sink *sink = current_sink;
    if (sink == NULL || level > current_level)
        return;
    char line[LOG_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    format_text_v(line, sizeof line, format, arguments);
    va_end(arguments);
    sink(level, room, line);
}
