/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/lib/string.h"

#include <stdbool.h>
#include <stdint.h>

size_t strlen(const char *text) {
    const char *end = text;
    while (*end != '\0')
        end++;
    return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t limit) {
    size_t length = 0;
    while (length < limit && text[length] != '\0')
        length++;
    return length;
}

int strncmp(const char *a, const char *b, size_t limit) {
    for (; limit > 0; limit--, a++, b++) {
        if (*a != *b)
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        if (*a == '\0')
            break;
    }
    return 0;
}

int strcmp(const char *a, const char *b) {
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *text, int byte) {
    for (;; text++) {
        if (*text == (char)byte)
            return (char *)text;
        if (*text == '\0')
            return NULL;
    }
}

char *strrchr(const char *text, int byte) {
    char *found = NULL;
    for (;; text++) {
        if (*text == (char)byte)
            found = (char *)text;
        if (*text == '\0')
            return found;
    }
}

char *strcpy(char *restrict to, const char *restrict from) {
    memcpy(to, from, strlen(from) + 1);
    return to;
}

char *strcat(char *restrict to, const char *restrict from) {
    strcpy(to + strlen(to), from);
    return to;
}

char *strncpy(char *restrict to, const char *restrict from, size_t limit) {
    size_t length = strnlen(from, limit);
    memcpy(to, from, length);
    memset(to + length, 0, limit - length);
    return to;
}

char *strstr(const char *text, const char *part) {
    size_t length = strlen(part);
    for (;; text++) {
        if (strncmp(text, part, length) == 0)
            return (char *)text;
        if (*text == '\0')
            return NULL;
    }
}

void *memchr(const void *memory, int byte, size_t length) {
    const unsigned char *at = memory;
    for (; length > 0; length--, at++)
        if (*at == (unsigned char)byte)
            return (void *)at;
    return NULL;
}

int atoi(const char *text) {
    while (*text == ' ' || (*text >= '\t' && *text <= '\r'))
        text++;
    bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    unsigned value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return (int)(negative ? 0 - value : value);
}
