/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: history holds the bytes written - history_size .. written; everything goes there,
 * whether or not a device shows it.
 */
#include "kernel/console/console.h"

#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/boot/command_line.h"
#include "kernel/console/screen.h"
#include "kernel/console/serial.h"
#include "kernel/console/uart_regs.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/memory.h"

#define NANOSECONDS_PER_SECOND 1000000000u
#define STAMP_SIZE 24u

static struct spinlock lock; /* guards everything below and both devices */
static char history[CONSOLE_HISTORY_SIZE];
static uint64_t written;
static bool serial_on;

static bool in_panic;
static uint64_t (*clock)(void);

static uint64_t enter(void) {
    if (__atomic_load_n(&in_panic, __ATOMIC_ACQUIRE))
        return 0;
    return spinlock_lock(&lock);
}

static void leave(uint64_t flags) {
    if (!__atomic_load_n(&in_panic, __ATOMIC_ACQUIRE))
        spinlock_unlock(&lock, flags);
}

void console_enter_panic(void) {
    __atomic_store_n(&in_panic, true, __ATOMIC_RELEASE);
}

static void put(const char *text, size_t length, uint8_t colour) {
    for (size_t i = 0; i < length; i++)
        history[written++ % CONSOLE_HISTORY_SIZE] = text[i];
    if (serial_on)
        serial_write(text, length);
    screen_write(text, length, colour);
}

void console_write(const char *text, size_t length) {
    uint64_t flags = enter();
    put(text, length, SCREEN_WHITE);
    leave(flags);
}

void console_print(const char *format, ...) {
    char text[LOG_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_v(text, sizeof text, format, arguments);
    va_end(arguments);
    console_write(text, MATH_MIN(length, sizeof text - 1));
}

static uint8_t colour_of(enum log_level level) {
    switch (level) {
    case LOG_LEVEL_ERROR:
        return SCREEN_RED;
    case LOG_LEVEL_WARNING:
        return SCREEN_YELLOW;
    default:
        return SCREEN_GREY;
    }
}

static void sink(enum log_level level, const char *room, const char *line) {
    char stamp[STAMP_SIZE];
    uint64_t (*now)(void) = __atomic_load_n(&clock, __ATOMIC_ACQUIRE);
    uint64_t ns = now == NULL ? 0 : now();
    size_t length = format_text(stamp, sizeof stamp, "[%5lu.%06lu] ", ns / NANOSECONDS_PER_SECOND,
                                ns % NANOSECONDS_PER_SECOND / 1000);
    uint64_t flags = enter();
    put(stamp, MATH_MIN(length, sizeof stamp - 1), SCREEN_GREY);
    put(room, strlen(room), SCREEN_WHITE);
    put(": ", 2, SCREEN_WHITE);
    put(line, strlen(line), colour_of(level));
    put("\n", 1, SCREEN_GREY);
    leave(flags);
}

void console_set_clock(uint64_t (*now_ns)(void)) {
    __atomic_store_n(&clock, now_ns, __ATOMIC_RELEASE);
}

void console_initialize(void) {
    serial_on = serial_initialize(UART_COM1) || serial_initialize(UART_COM2);
    log_set_sink(sink);
}

/* The lock is held. */
static size_t copy_history(char *out, size_t size) {
    size_t length = MATH_MIN(MATH_MIN(written, CONSOLE_HISTORY_SIZE), size);
    for (size_t i = 0; i < length; i++)
        out[i] = history[(written - length + i) % CONSOLE_HISTORY_SIZE];
    return length;
}

size_t console_history(char *out, size_t size) {
    uint64_t flags = enter();
    size_t length = copy_history(out, size);
    leave(flags);
    return length;
}

void console_screen_initialize(void) {
    const char *wanted = command_line_get("console");
    if (wanted != NULL && strcmp(wanted, "serial") == 0)
        return;
    volatile void *memory = memory_map_device(SCREEN_PHYSICAL, SCREEN_BYTES);
    if (memory == NULL)
        return;
    /* What was said before the screen: its last screenful at most is seen. */
    static char recent[80 * 25];
    uint64_t flags = enter();
    bool screen = screen_initialize(memory);
    if (screen)
        screen_write(recent, copy_history(recent, sizeof recent), SCREEN_GREY);
    if (screen && wanted != NULL && strcmp(wanted, "vga") == 0)
        serial_on = false;
    leave(flags);
}
