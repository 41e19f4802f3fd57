/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: checksum_xxh64 is XXH64. The expected values were made with the reference library. */
#include "base/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DATA_SIZE 4200u
#define GOLDEN 0x9e3779b97f4a7c15ull

static void fill(uint8_t *data) {
    for (unsigned i = 0; i < DATA_SIZE; i++)
        data[i] = (uint8_t)(i * 131 + i / 256 * 7 + 5);
}

/* Every path through the algorithm, with and without a seed. */
static void known_values(void **state) {
    (void)state;
    static const struct {
        size_t length;
        uint64_t seed, expected;
    } values[] = {
        {0, 0, 0xef46db3751d8e999ull},         {1, 0, 0x50ff15a81340970full},
        {3, 0, 0x8c704fa7bd712bdfull},         {4, 0, 0xd71f1e996cd4cb3aull},
        {7, 0, 0xf782c3848e532481ull},         {8, 0, 0xe1df83c269c49579ull},
        {12, 0, 0xc8a87e154a7018e4ull},        {31, 0, 0x87c2cbbb147a5ad0ull},
        {32, 0, 0x35fd97a9e4141fa0ull},        {33, 0, 0xf75077d1257ca1b2ull},
        {63, 0, 0x7d790ad7d27bd8c0ull},        {64, 0, 0x2ce01112832b1039ull},
        {100, 0, 0x4568dd5b02a2e5e3ull},       {4088, 0, 0x7a84dd1aa9663218ull},
        {4096, 0, 0x76a7c66fbf8239adull},      {0, GOLDEN, 0xc4349fc93c010000ull},
        {1, GOLDEN, 0xdef36d6ab0a6cc87ull},    {3, GOLDEN, 0x1c8d1c4efd6a14b9ull},
        {11, GOLDEN, 0x40427f59c2bb96ccull},   {31, GOLDEN, 0x46aaa4efb96c0036ull},
        {64, GOLDEN, 0xa01a6a40d3436419ull},   {100, GOLDEN, 0xd887a6294c98b55full},
        {4096, GOLDEN, 0x1e61703d69dd80a0ull},
    };
    uint8_t data[DATA_SIZE];
    fill(data);
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(checksum_xxh64(data, values[i].length, values[i].seed),
                         values[i].expected);
    assert_int_equal(checksum_xxh64("abc", 3, 0), 0x44bc2cf5ad770999ull);
}

/* All lengths up to 1,024, each with its own seed, folded into one value. */
static void every_length(void **state) {
    (void)state;
    uint8_t data[DATA_SIZE];
    fill(data);
    static uint64_t sums[1025];
    for (unsigned length = 0; length <= 1024; length++)
        sums[length] = checksum_xxh64(data, length, length);
    assert_int_equal(checksum_xxh64(sums, sizeof sums, 0), 0xba8ab42d1b4fcc6bull);
}

/* Where the data lies does not matter. */
static void any_alignment(void **state) {
    (void)state;
    uint8_t data[DATA_SIZE], moved[DATA_SIZE + 8];
    fill(data);
    for (unsigned shift = 0; shift < 8; shift++) {
        memcpy(moved + shift, data, DATA_SIZE);
        assert_int_equal(checksum_xxh64(moved + shift, 4096, 0), 0x76a7c66fbf8239adull);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_length),
        cmocka_unit_test(any_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
