/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/console: a serial port, output only, polled. The console's lock is held. */
#ifndef KERNEL_CONSOLE_SERIAL_H
#define KERNEL_CONSOLE_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False if no port answers there. 115200 baud, 8 data bits, no parity. */
bool serial_initialize(uint16_t port);
/* '\n' goes out as CR LF. A port that stops taking bytes is given up. */
void serial_write(const char *text, size_t length);

#endif
