/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550 serial port (PC16550D data sheet, section 8); offsets from its base port. */
#ifndef KERNEL_CONSOLE_UART_REGS_H
#define KERNEL_CONSOLE_UART_REGS_H

#define UART_COM1 0x3f8u
#define UART_COM2 0x2f8u

#define UART_DATA 0u
#define UART_INTERRUPT_ENABLE 1u
#define UART_FIFO_CONTROL 2u
#define UART_LINE_CONTROL 3u
#define UART_MODEM_CONTROL 4u
#define UART_LINE_STATUS 5u
#define UART_SCRATCH 7u

#define UART_FIFO_ON_AND_CLEAR 0x07u
#define UART_LINE_8N1 0x03u
#define UART_LINE_DIVISOR 0x80u /* offsets 0 and 1 are the divisor */
#define UART_MODEM_DTR_RTS_OUT2 0x0bu
#define UART_STATUS_TRANSMIT_EMPTY 0x20u

#define UART_FIFO_SIZE 16u
#define UART_DIVISOR_115200 1u

#endif
