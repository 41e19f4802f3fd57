/* SPDX-License-Identifier: Apache-2.0 */
/* <stdio.h> for third-party source in the kernel, which includes it and prints nothing. */
#ifndef NET_LIBC_STDIO_H
#define NET_LIBC_STDIO_H

#include <stddef.h>

#endif
