/* SPDX-License-Identifier: Apache-2.0 */
/* Times and durations as people write and read them. */
#ifndef TOOLS_TEXT_TIME_H
#define TOOLS_TEXT_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define TIME_TEXT_SIZE 32

/* "2026-11-21T14:00:00Z" for nanoseconds since 1970 UTC. `out` has TIME_TEXT_SIZE bytes; is
 * returned. */
const char *time_text(char *out, uint64_t ns);

/* Reads "2026-11-21T14:00:00" or "2026-11-21 14:00", with or without "Z", always UTC. False if the
 * text is not that. */
bool time_parse(const char *text, uint64_t *ns);

/* Reads "30s", "15m", "1h", "7d", "2w": a decimal number and a unit. False if the text is not that
 * or the number does not fit. */
bool duration_parse(const char *text, uint64_t *ns);

/* "15m" for 900 seconds: the largest unit that divides it. `out` has TIME_TEXT_SIZE bytes; is
 * returned. */
const char *duration_text(char *out, uint64_t ns);

#endif
