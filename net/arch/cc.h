/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler and the C library as lwIP wants them described. */
#ifndef NET_ARCH_CC_H
#define NET_ARCH_CC_H

#include "base/assert.h"
#include "base/os.h"

#include <stddef.h>
#include <stdint.h>

/* The kernel has only the compiler's own headers and net/libc; the host has a C library, whose
 * ssize_t must not be defined twice. */
#if !__STDC_HOSTED__
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_INTTYPES_H 1
#define X8_F "02x"
#define U16_F "hu"
#define S16_F "hd"
#define X16_F "hx"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"
#endif

#define LWIP_PLATFORM_DIAG(message)                                                                \
    do {                                                                                           \
    } while (0)
#define LWIP_PLATFORM_ASSERT(message) assert_failed(__FILE__, __LINE__, message)

#define LWIP_RAND() net_random()
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS
#define lwip_htons(number) __builtin_bswap16(number)
#define lwip_htonl(number) __builtin_bswap32(number)
/* Lengths that the compiler knows: worth its own code even where memcpy is an ordinary function. */
#define SMEMCPY(to, from, length) __builtin_memcpy(to, from, length)

/* For lwIP's use of this port only. */
uint32_t net_random(void);
void *net_calloc(size_t count, size_t size);
void net_assert_core_locked(void);

#endif
