/* SPDX-License-Identifier: Apache-2.0 */
/* <limits.h> of the C library that the compiler's own header looks for: it needs nothing of it. */
#ifndef NET_LIBC_LIMITS_H
#define NET_LIBC_LIMITS_H
#endif
