/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's command line: words `key=value` or `key`, separated by spaces. */
#ifndef KERNEL_BOOT_COMMAND_LINE_H
#define KERNEL_BOOT_COMMAND_LINE_H

#include <stddef.h>

/* The value of the last word with this key, "" for a word without '=', NULL if there is none. Stays
 * valid for ever. A value may stand in double quotes to hold spaces. Any context. */
const char *command_line_get(const char *key);

/* The index-th value of a key that may be given several times; NULL beyond the last. */
const char *command_line_get_nth(const char *key, size_t index);

/* The whole line as the boot loader gave it; "" if none. */
const char *command_line_text(void);

/* Copies and splits what the boot loader gave; once, by kernel/boot. */
void command_line_set(const char *text);

#endif
