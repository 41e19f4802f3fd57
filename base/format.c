/* SPDX-License-Identifier: Apache-2.0 */
#include "base/format.h"
#include "base/mem.h"

#include <stdbool.h>

/* Where text goes: counts everything, stores what fits. */
struct output {
    char *at;
    size_t size;
    size_t length;
};

/* One parsed conversion. */
struct conversion {
    bool left;
    bool zero;
    int width;
    int precision; /* -1: none */
    char length;   /* 'H' for hh, 'h', 'l', 'L' for ll, 'z', 'j', 't', or 0 */
    char kind;
};

static void put(struct output *out, char byte) {
    if (out->length + 1 < out->size)
        out->at[out->length] = byte;
    out->length++;
}

static void pad(struct output *out, char byte, int count) {
    for (; count > 0; count--)
        put(out, byte);
}

static void put_bytes(struct output *out, const struct conversion *how, const char *text,
                      size_t length) {
    int fill = how->width - (int)length;
    if (!how->left)
        pad(out, ' ', fill);
    for (size_t i = 0; i < length; i++)
        put(out, text[i]);
    if (how->left)
        pad(out, ' ', fill);
}

static void put_text(struct output *out, const struct conversion *how, const char *text) {
    if (text == NULL)
        text = "(null)";
    size_t limit = how->precision < 0 ? SIZE_MAX : (size_t)how->precision;
    put_bytes(out, how, text, strnlen(text, limit));
}

static void put_number(struct output *out, const struct conversion *how, uint64_t value,
                       unsigned base, const char *prefix) {
    const char *digits = how->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24] = {0};
    int count = 0;
    for (; value != 0 || count == 0; value /= base)
        text[count++] = digits[value % base];
    int zeros = how->precision > count ? how->precision - count : 0;
    int fill = how->width - count - zeros - (int)strlen(prefix);
    bool zero_fill = how->zero && !how->left && how->precision < 0;
    if (!how->left && !zero_fill)
        pad(out, ' ', fill);
    while (*prefix != '\0')
        put(out, *prefix++);
    pad(out, '0', zero_fill ? fill : 0);
    pad(out, '0', zeros);
    while (count > 0)
        put(out, text[--count]);
    if (how->left)
        pad(out, ' ', fill);
}

static int64_t take_signed(char length, va_list *arguments) {
    switch (length) {
    case 'H':
        return (signed char)va_arg(*arguments, int);
    case 'h':
        return (short)va_arg(*arguments, int);
    case 0:
        return va_arg(*arguments, int);
    default:
        return va_arg(*arguments, int64_t);
    }
}

static uint64_t take_unsigned(char length, va_list *arguments) {
    switch (length) {
    case 'H':
        return (unsigned char)va_arg(*arguments, unsigned);
    case 'h':
        return (unsigned short)va_arg(*arguments, unsigned);
    case 0:
        return va_arg(*arguments, unsigned);
    default:
        return va_arg(*arguments, uint64_t);
    }
}

static int take_digits(const char **at) {
    int value = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        value = value < 100000 ? value * 10 + (**at - '0') : value;
    return value;
}

static char parse_length(const char **at) {
    char length = **at;
    if (strchr("hlzjt", length) == NULL || length == '\0')
        return 0;
    (*at)++;
    if ((length == 'h' || length == 'l') && **at == length) {
        (*at)++;
        return length == 'h' ? 'H' : 'L';
    }
    return length;
}

static const char *parse(const char *at, struct conversion *how, va_list *arguments) {
    *how = (struct conversion){.precision = -1};
    for (; *at == '0' || *at == '-'; at++) {
        how->left |= *at == '-';
        how->zero |= *at == '0';
    }
    if (*at == '*') {
        how->width = va_arg(*arguments, int);
        at++;
    } else {
        how->width = take_digits(&at);
    }
    if (*at == '.') {
        at++;
        if (*at == '*') {
            how->precision = va_arg(*arguments, int);
            at++;
        } else {
            how->precision = take_digits(&at);
        }
    }
    how->length = parse_length(&at);
    how->kind = *at;
    return *at == '\0' ? at : at + 1;
}

static void convert(struct output *out, const struct conversion *how, va_list *arguments) {
    switch (how->kind) {
    case 'd':
    case 'i': {
        int64_t value = take_signed(how->length, arguments);
        uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
        put_number(out, how, magnitude, 10, value < 0 ? "-" : "");
        break;
    }
    case 'u':
        put_number(out, how, take_unsigned(how->length, arguments), 10, "");
        break;
    case 'x':
    case 'X':
        put_number(out, how, take_unsigned(how->length, arguments), 16, "");
        break;
    case 'p':
        put_number(out, how, (uintptr_t)va_arg(*arguments, void *), 16, "0x");
        break;
    case 'c': {
        char byte = (char)va_arg(*arguments, int);
        put_bytes(out, how, &byte, 1);
        break;
    }
    case 's':
        put_text(out, how, va_arg(*arguments, const char *));
        break;
    case '%':
        put(out, '%');
        break;
    default:
        put(out, '?');
        break;
    }
}

size_t format_text_v(char *out, size_t size, const char *format, va_list arguments) {
    struct output output = {out, size, 0};
    va_list copy;
    va_copy(copy, arguments);
    while (*format != '\0') {
        if (*format != '%') {
            put(&output, *format++);
            continue;
        }
        struct conversion how;
        format = parse(format + 1, &how, &copy);
        convert(&output, &how, &copy);
    }
    va_end(copy);
    if (size > 0)
        out[output.length < size ? output.length : size - 1] = '\0';
    return output.length;
}

size_t format_text(char *out, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_v(out, size, format, arguments);
    va_end(arguments);
    return length;
}

const char *format_bytes(char *out, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t divisor = 1;
    for (; bytes / divisor >= 1024; unit++)
        divisor *= 1024;
    uint64_t tenths = unit == 0 ? 0 : bytes % divisor / 2 * 10 / (divisor / 2); /* fits: < 2^63 */
    if (tenths == 0)
        format_text(out, FORMAT_BYTES_SIZE, "%llu %s", (unsigned long long)(bytes / divisor),
                    units[unit]);
    else
        format_text(out, FORMAT_BYTES_SIZE, "%llu.%llu %s", (unsigned long long)(bytes / divisor),
                    (unsigned long long)tenths, units[unit]);
    return out;
}
