/* SPDX-License-Identifier: Apache-2.0 */
/* <string.h> for third-party source in the kernel: base/mem.h and what it lacks. */
#ifndef NET_LIBC_STRING_H
#define NET_LIBC_STRING_H

#include "base/mem.h"

static inline char *strncpy(char *restrict to, const char *restrict from, size_t limit) {
    size_t length = strnlen(from, limit);
    memcpy(to, from, length);
    memset(to + length, 0, limit - length);
    return to;
}

#endif
