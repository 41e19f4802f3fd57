/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library functions that freestanding code may use. On Linux libc provides them, in the
 * kernel kernel/lib does; both with ISO C semantics.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);
char *strchr(const char *text, int byte);

/* True if all bytes are zero; so it is for none. */
static inline bool mem_is_zero(const void *memory, size_t length) {
    const uint8_t *bytes = memory;
    uint64_t all = 0;
    size_t at = 0;
    for (; length - at >= sizeof all; at += sizeof all) {
        uint64_t word;
        __builtin_memcpy(&word, bytes + at, sizeof word);
        all |= word;
    }
    for (; at < length; at++)
        all |= bytes[at];
    return all == 0;
}

#endif
