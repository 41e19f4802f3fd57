/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory functions in 64-bit words: near memory speed on real processors and ten times as fast as
 * `rep movsb` in an emulator. The compiler turns fixed small copies into moves by itself; what
 * comes here is of variable length.
 */
#include "base/mem.h"

#include <stdint.h>

/* A word at any address that may alias any type. */
typedef uint64_t __attribute__((may_alias, aligned(1))) word;

#define WORD sizeof(word)
/* From this length on a string instruction's start-up cost is paid back. */
#define STRING_INSTRUCTION_MIN 512

static void copy_words(unsigned char *to, const unsigned char *from, size_t words) {
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words)::"memory");
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    unsigned char *out = to;
    const unsigned char *in = from;
    if (length >= STRING_INSTRUCTION_MIN) {
        size_t words = length / WORD;
        copy_words(out, in, words);
        out += words * WORD;
        in += words * WORD;
        length %= WORD;
    }
    for (; length >= WORD; length -= WORD, out += WORD, in += WORD)
        *(word *)out = *(const word *)in;
    for (; length > 0; length--)
        *out++ = *in++;
    return to;
}

static void copy_backwards(unsigned char *to, const unsigned char *from, size_t length) {
    for (; length >= WORD; length -= WORD)
        *(word *)(to + length - WORD) = *(const word *)(from + length - WORD);
    while (length-- > 0)
        to[length] = from[length];
}

/* Forwards a word at a time: right for any overlap where `to` is below `from`, because each word is
 * read before anything at or above it is written. */
static void copy_forwards(unsigned char *to, const unsigned char *from, size_t length) {
    for (; length >= WORD; length -= WORD, to += WORD, from += WORD)
        *(word *)to = *(const word *)from;
    for (; length > 0; length--)
        *to++ = *from++;
}

void *memmove(void *to, const void *from, size_t length) {
    size_t distance = (size_t)((uintptr_t)to - (uintptr_t)from);
    size_t gap = (size_t)((uintptr_t)from - (uintptr_t)to);
    if (distance >= length && gap >= length)
        return memcpy(to, from, length);
    if (distance < length)
        copy_backwards(to, from, length);
    else
        copy_forwards(to, from, length);
    return to;
}

void *memset(void *to, int byte, size_t length) {
    unsigned char *out = to;
    uint64_t pattern = 0x0101010101010101ull * (unsigned char)byte;
    if (length >= STRING_INSTRUCTION_MIN) {
        size_t words = length / WORD;
        __asm__ volatile("rep stosq" : "+D"(out), "+c"(words) : "a"(pattern) : "memory");
        length %= WORD;
    }
    for (; length >= WORD; length -= WORD, out += WORD)
        *(word *)out = pattern;
    for (; length > 0; length--)
        *out++ = (unsigned char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t length) {
    const unsigned char *left = a;
    const unsigned char *right = b;
    while (length >= WORD && *(const word *)left == *(const word *)right) {
        left += WORD;
        right += WORD;
        length -= WORD;
    }
    for (; length > 0; length--, left++, right++)
        if (*left != *right)
            return *left < *right ? -1 : 1;
    return 0;
}
