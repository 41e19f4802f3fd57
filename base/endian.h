/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of a fixed byte order for disk, wire and device structures. They are byte arrays: no
 * alignment, no padding, and no way to use one as a number by accident.
 */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

#include <stdint.h>

typedef struct {
    uint8_t bytes[2];
} le16;
typedef struct {
    uint8_t bytes[4];
} le32;
typedef struct {
    uint8_t bytes[8];
} le64;
typedef struct {
    uint8_t bytes[2];
} be16;
typedef struct {
    uint8_t bytes[4];
} be32;
typedef struct {
    uint8_t bytes[8];
} be64;

#define ENDIAN_DEFINE(type, bits, swap)                                                            \
    static inline uint##bits##_t type##_get(type value) {                                          \
        uint##bits##_t number;                                                                     \
        __builtin_memcpy(&number, value.bytes, sizeof number);                                     \
        return swap(number);                                                                       \
    }                                                                                              \
    static inline type type##_make(uint##bits##_t number) {                                        \
        type value;                                                                                \
        number = (uint##bits##_t)swap(number);                                                     \
        __builtin_memcpy(value.bytes, &number, sizeof number);                                     \
        return value;                                                                              \
    }

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Holdfast runs on x86-64");
#define ENDIAN_SAME(number) (number)
ENDIAN_DEFINE(le16, 16, ENDIAN_SAME)
ENDIAN_DEFINE(le32, 32, ENDIAN_SAME)
ENDIAN_DEFINE(le64, 64, ENDIAN_SAME)
ENDIAN_DEFINE(be16, 16, __builtin_bswap16)
ENDIAN_DEFINE(be32, 32, __builtin_bswap32)
ENDIAN_DEFINE(be64, 64, __builtin_bswap64)
#undef ENDIAN_SAME
#undef ENDIAN_DEFINE

#endif
