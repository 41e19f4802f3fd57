/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/console/serial.h"

#include "kernel/console/uart_regs.h"
#include "kernel/cpu/cpu.h"

/* At 115200 baud a full FIFO drains in 1.4 ms; each poll of a port takes about 1 us. */
#define POLL_LIMIT 1000000u

static uint16_t base; /* 0: no port */
static unsigned room; /* bytes that the FIFO surely still takes */

bool serial_initialize(uint16_t port) {
    cpu_out8(port + UART_SCRATCH, 0x5a);
    if (cpu_in8(port + UART_SCRATCH) != 0x5a)
        return false;
    cpu_out8(port + UART_INTERRUPT_ENABLE, 0);
    cpu_out8(port + UART_LINE_CONTROL, UART_LINE_DIVISOR);
    cpu_out8(port + UART_DATA, UART_DIVISOR_115200);
    cpu_out8(port + UART_INTERRUPT_ENABLE, 0);
    cpu_out8(port + UART_LINE_CONTROL, UART_LINE_8N1);
    cpu_out8(port + UART_FIFO_CONTROL, UART_FIFO_ON_AND_CLEAR);
    cpu_out8(port + UART_MODEM_CONTROL, UART_MODEM_DTR_RTS_OUT2);
    base = port;
    room = 0;
    return true;
}

static bool wait_for_room(void) {
    for (unsigned i = 0; i < POLL_LIMIT; i++) {
        if (cpu_in8(base + UART_LINE_STATUS) & UART_STATUS_TRANSMIT_EMPTY) {
            room = UART_FIFO_SIZE;
            return true;
        }
        cpu_pause();
    }
    base = 0;
    return false;
}

static void put(char byte) {
    if (base == 0 || (room == 0 && !wait_for_room()))
        return;
    cpu_out8(base + UART_DATA, (uint8_t)byte);
    room--;
}

void serial_write(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            put('\r');
        put(text[i]);
    }
}
