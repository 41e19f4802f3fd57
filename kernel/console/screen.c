/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: row < ROWS and column <= COLUMNS; a line wraps only when one more character comes. */
#include "kernel/console/screen.h"

#include "kernel/cpu/cpu.h"

#define COLUMNS 80u
#define ROWS 25u

/* The cathode-ray tube controller (IBM VGA, index and data port). */
#define CRTC_INDEX 0x3d4u
#define CRTC_DATA 0x3d5u
#define CRTC_CURSOR_HIGH 0x0eu
#define CRTC_CURSOR_LOW 0x0fu

static volatile uint16_t *cells; /* NULL: no screen */
static unsigned row;
static unsigned column;

static uint16_t cell(char byte, uint8_t colour) {
    return (uint16_t)((unsigned)colour << 8 | (unsigned char)byte);
}

bool screen_initialize(volatile void *memory) {
    volatile uint16_t *text = memory;
    text[0] = cell('H', SCREEN_GREY);
    if (text[0] != cell('H', SCREEN_GREY))
        return false;
    for (unsigned i = 0; i < COLUMNS * ROWS; i++)
        text[i] = cell(' ', SCREEN_GREY);
    cells = text;
    row = 0;
    column = 0;
    return true;
}

static void scroll(void) {
    for (unsigned i = 0; i < COLUMNS * (ROWS - 1); i++)
        cells[i] = cells[i + COLUMNS];
    for (unsigned i = COLUMNS * (ROWS - 1); i < COLUMNS * ROWS; i++)
        cells[i] = cell(' ', SCREEN_GREY);
}

static void next_line(void) {
    column = 0;
    if (row + 1 < ROWS)
        row++;
    else
        scroll();
}

static void show_cursor(void) {
    unsigned place = row * COLUMNS + (column < COLUMNS ? column : COLUMNS - 1);
    cpu_out8(CRTC_INDEX, CRTC_CURSOR_HIGH);
    cpu_out8(CRTC_DATA, (uint8_t)(place >> 8));
    cpu_out8(CRTC_INDEX, CRTC_CURSOR_LOW);
    cpu_out8(CRTC_DATA, (uint8_t)place);
}

void screen_write(const char *text, size_t length, uint8_t colour) {
    if (cells == NULL)
        return;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            next_line();
            continue;
        }
        if (column == COLUMNS)
            next_line();
        cells[row * COLUMNS + column++] = cell(text[i], colour);
    }
    show_cursor();
}
