/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/console: the VGA text screen, 80 by 25. The console's lock is held. */
#ifndef KERNEL_CONSOLE_SCREEN_H
#define KERNEL_CONSOLE_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCREEN_PHYSICAL 0xb8000u
#define SCREEN_BYTES 0x8000u

#define SCREEN_GREY 0x07u
#define SCREEN_WHITE 0x0fu
#define SCREEN_YELLOW 0x0eu
#define SCREEN_RED 0x0cu

/* Clears the screen; false if there is no text memory. `memory` is the mapped text memory. */
bool screen_initialize(volatile void *memory);
void screen_write(const char *text, size_t length, uint8_t colour);

#endif
