/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the compiler calls where the processor it builds for has no instruction. Its own library is
 * not linked: it is compiled with a red zone, which an interrupt on the same stack would overwrite.
 */
#include <stdint.h>

int __popcountdi2(uint64_t value);

int __popcountdi2(uint64_t value) {
    value -= value >> 1 & 0x5555555555555555ull;
    value = (value & 0x3333333333333333ull) + (value >> 2 & 0x3333333333333333ull);
    value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (int)(value * 0x0101010101010101ull >> 56);
}
