/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatted text, the same in every home. Understands %d %i %u %x %X %c %s %p %%, the lengths hh h
 * l ll z j t, the flags 0 and -, a width and a precision (also as *). No floating point.
 */
#ifndef BASE_FORMAT_H
#define BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes at most size - 1 bytes and a NUL (nothing if size is 0). Returns the length that the whole
 * text has, as snprintf does. Any context; does not allocate.
 */
size_t format_text(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t format_text_v(char *out, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* Room for any text of format_bytes(). */
#define FORMAT_BYTES_SIZE 24

/* "1 GiB", "1.5 MiB", "512 B": a byte count for people. `out` has FORMAT_BYTES_SIZE bytes; is
 * returned. */
const char *format_bytes(char *out, uint64_t bytes);

#endif
