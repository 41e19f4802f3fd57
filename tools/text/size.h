/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as people write them on a command line. */
#ifndef TOOLS_TEXT_SIZE_H
#define TOOLS_TEXT_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* Reads "4096", "512M", "4G", "1TiB": a decimal number and a power of 1024 (K M G T P E), with or
 * without "iB" or "B". False if the text is not that or the number does not fit. */
bool size_parse(const char *text, uint64_t *bytes);

#endif
