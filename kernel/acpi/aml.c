/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thing that Holdfast takes from AML: the sleep type of S5, which firmware must give as a
 * constant package (ACPI 6.5, section 7.4.2). It is found by its bytes; no code is interpreted, and
 * no read leaves the table.
 */
#include "base/mem.h"
#include "kernel/acpi/acpi_internal.h"

struct cursor {
    const uint8_t *next;
    const uint8_t *end;
};

static bool take(struct cursor *cursor, uint8_t *byte) {
    if (cursor->next == cursor->end)
        return false;
    *byte = *cursor->next++;
    return true;
}

/* Section 20.2.4: the two top bits of the first byte count the bytes that follow. */
static bool skip_package_length(struct cursor *cursor) {
    uint8_t lead, ignored;
    if (!take(cursor, &lead))
        return false;
    for (unsigned follow = lead >> 6; follow > 0; follow--)
        if (!take(cursor, &ignored))
            return false;
    return true;
}

/* Section 20.2.3; the sleep type is in the low byte, whatever the width. */
static bool take_integer(struct cursor *cursor, uint8_t *value) {
    uint8_t opcode, ignored;
    if (!take(cursor, &opcode))
        return false;
    unsigned width = opcode == ACPI_AML_BYTE    ? 1
                     : opcode == ACPI_AML_WORD  ? 2
                     : opcode == ACPI_AML_DWORD ? 4
                                                : 0;
    if (width == 0) {
        *value = opcode;
        return opcode == ACPI_AML_ZERO || opcode == ACPI_AML_ONE || opcode == ACPI_AML_ONES;
    }
    if (!take(cursor, value))
        return false;
    while (--width > 0)
        if (!take(cursor, &ignored))
            return false;
    return true;
}

static bool parse_package(struct cursor cursor, uint8_t *type_a, uint8_t *type_b) {
    uint8_t opcode, elements;
    if (!take(&cursor, &opcode) || opcode != ACPI_AML_PACKAGE || !skip_package_length(&cursor))
        return false;
    if (!take(&cursor, &elements) || elements == 0 || !take_integer(&cursor, type_a))
        return false;
    *type_b = *type_a;
    return elements < 2 || take_integer(&cursor, type_b);
}

bool acpi_aml_find_s5(const uint8_t *aml, size_t length, uint8_t *type_a, uint8_t *type_b) {
    for (size_t at = 1; at + 4 <= length; at++) {
        if (memcmp(aml + at, "_S5_", 4) != 0)
            continue;
        bool named = aml[at - 1] == ACPI_AML_NAME ||
                     (at >= 2 && aml[at - 1] == '\\' && aml[at - 2] == ACPI_AML_NAME);
        struct cursor cursor = {aml + at + 4, aml + length};
        if (named && parse_package(cursor, type_a, type_b))
            return true;
    }
    return false;
}
