/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic that says when it would overflow, and roundings to a power of two. */
#ifndef BASE_MATH_H
#define BASE_MATH_H

#include <stdbool.h>
#include <stdint.h>

#define MATH_MIN(a, b) ((a) < (b) ? (a) : (b))
#define MATH_MAX(a, b) ((a) > (b) ? (a) : (b))
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* True, and *sum valid, if a + b fits. */
static inline bool math_add(uint64_t a, uint64_t b, uint64_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}

/* True, and *product valid, if a * b fits. */
static inline bool math_multiply(uint64_t a, uint64_t b, uint64_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* True if [offset, offset + length) lies inside of [0, size); cannot overflow. */
static inline bool math_range_inside(uint64_t offset, uint64_t length, uint64_t size) {
    return offset <= size && length <= size - offset;
}

static inline bool math_is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* Unit is a power of two. */
static inline uint64_t math_round_down(uint64_t value, uint64_t unit) {
    return value & ~(unit - 1);
}

/* Unit is a power of two; value is at most UINT64_MAX - unit + 1. */
static inline uint64_t math_round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}

static inline uint64_t math_divide_up(uint64_t value, uint64_t unit) {
    return value / unit + (value % unit != 0);
}

#endif
