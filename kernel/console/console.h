/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consoles: a 16550 serial port and the VGA text screen. What is written goes to each that is
 * there; the last CONSOLE_HISTORY_SIZE bytes are kept for the status page and for a screen that
 * comes up later.
 */
#ifndef KERNEL_CONSOLE_CONSOLE_H
#define KERNEL_CONSOLE_CONSOLE_H

#include "base/log.h"

#include <stddef.h>
#include <stdint.h>

#define CONSOLE_HISTORY_SIZE 65536u

/* Serial port and log sink; first thing at boot. */
void console_initialize(void);

/* The VGA screen, if there is one, with the history so far; after memory_initialize(). The command
 * line's `console=serial` or `console=vga` leaves the other one silent. */
void console_screen_initialize(void);

/* The clock that log lines are stamped with; 0 is shown before. */
void console_set_clock(uint64_t (*now_ns)(void));

/* Any context; a line of one call is not torn by another's. '\n' is a whole line end. */
void console_write(const char *text, size_t length);
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on nobody waits for the console's lock: for panic. */
void console_enter_panic(void);

/* Copies the last bytes written, at most size; returns how many. Any context. */
size_t console_history(char *out, size_t size);

#endif
