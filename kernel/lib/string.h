/* SPDX-License-Identifier: Apache-2.0 */
/* What foreign freestanding code (lwIP, mbedTLS) needs beyond base/mem.h, with ISO C semantics. */
#ifndef KERNEL_LIB_STRING_H
#define KERNEL_LIB_STRING_H

#include "base/mem.h"

char *strcpy(char *restrict to, const char *restrict from);
char *strncpy(char *restrict to, const char *restrict from, size_t limit);
char *strrchr(const char *text, int byte);
char *strstr(const char *text, const char *part);
char *strcat(char *restrict to, const char *restrict from);
void *memchr(const void *memory, int byte, size_t length);
int atoi(const char *text);

#endif
