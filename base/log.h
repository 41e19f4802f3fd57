/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log. A line names its room, what happened, where, and what to do about it. Lines longer than
 * LOG_LINE_SIZE are cut. Any context, also interrupt; never allocates, never sleeps on its own (the
 * home's sink decides what it does with the line).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

#define LOG_LINE_SIZE 512

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Receives every finished line, without a newline. Called in the context of the one that logs. */
typedef void log_sink(enum log_level level, const char *room, const char *line);

/* Sets where lines go; before, they are dropped. Called once, early. */
void log_set_sink(log_sink *sink);

/* Lines above this level are dropped; LOG_LEVEL_INFO at first. */
void log_set_level(enum log_level level);

void log_write(enum log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(room, ...) log_write(LOG_LEVEL_ERROR, room, __VA_ARGS__)
#define log_warning(room, ...) log_write(LOG_LEVEL_WARNING, room, __VA_ARGS__)
#define log_info(room, ...) log_write(LOG_LEVEL_INFO, room, __VA_ARGS__)
#define log_debug(room, ...) log_write(LOG_LEVEL_DEBUG, room, __VA_ARGS__)

#endif
