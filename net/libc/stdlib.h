/* SPDX-License-Identifier: Apache-2.0 */
/* <stdlib.h> for third-party source in the kernel. */
#ifndef NET_LIBC_STDLIB_H
#define NET_LIBC_STDLIB_H

#include <stddef.h>

#define atoi libc_number

/* Digits only, as lwIP's interface names have them; stops before it would overflow. */
static inline int libc_number(const char *text) {
    int number = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *text - '0', &number))
            return __INT_MAX__;
    }
    return number;
}

#endif
