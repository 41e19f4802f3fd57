/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: format_text does what printf does with the conversions that it has, and never writes more
 * than it may. */
#include "base/format.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Both in one: what libc says is what is expected, text and length. */
#define SAME(...)                                                                                  \
    do {                                                                                           \
        char ours[300], theirs[300];                                                               \
        size_t length = format_text(ours, sizeof ours, __VA_ARGS__);                               \
        int expected = snprintf(theirs, sizeof theirs, __VA_ARGS__);                               \
        assert_string_equal(ours, theirs);                                                         \
        assert_int_equal(length, expected);                                                        \
    } while (0)

static void integers(void **state) {
    (void)state;
    SAME("%d %i %u", 0, -1, 42u);
    SAME("%d %d", INT32_MAX, INT32_MIN);
    SAME("%u %x %X", UINT32_MAX, 0xdeadbeefu, 0xdeadbeefu);
    SAME("%lld %lld", (long long)INT64_MAX, (long long)INT64_MIN);
    SAME("%llu %llx", (unsigned long long)UINT64_MAX, (unsigned long long)UINT64_MAX);
    SAME("%ld %lu %lx", -5l, 5ul, 0xffff0000ul);
    SAME("%zu %zx %jd %ju", SIZE_MAX, (size_t)17, INTMAX_MIN, UINTMAX_MAX);
    SAME("%td", (ptrdiff_t)-9);
    SAME("%hhd %hhu %hd %hu", (signed char)-128, (unsigned char)255, (short)-32768,
         (unsigned short)65535);
    SAME("%" PRIu64 " %" PRIx64 " %" PRId32, UINT64_MAX, UINT64_C(0x123456789abcdef), -7);
}

static void widths_and_precisions(void **state) {
    (void)state;
    SAME("[%5d] [%-5d] [%05d] [%5u] [%-5u]", 42, 42, 42, 42u, 42u);
    SAME("[%5d] [%-6d] [%06d] [%.4d] [%8.4d] [%-8.4d]", -42, -42, -42, -42, -42, -42);
    SAME("[%016llx] [%8x] [%-8X]", 0x1234ull, 0xabu, 0xabu);
    SAME("[%*d] [%-*d] [%.*u]", 7, 3, 7, 3, 5, 9u);
    SAME("[%1d] [%2x] [%08x]", 12345, 0x12345u, 0x23456789u);
    SAME("[%10s] [%-10s] [%.3s] [%8.2s] [%.*s]", "text", "text", "text", "text", 2, "text");
    SAME("[%c] [%3c] [%-3c]", 'a', 'b', 'c');
}

static void texts(void **state) {
    (void)state;
    SAME("%s", "");
    SAME("plain text without anything, 100%%");
    SAME("%s and %s", "one", "two");
    char unterminated[3] = {'a', 'b', 'c'};
    SAME("%.3s|", unterminated);
    const char *volatile nothing = NULL;
    SAME("%s", nothing);
}

static void pointers(void **state) {
    (void)state;
    SAME("%p", (void *)(uintptr_t)0x12345678u);
}

/* Cut where the buffer ends, terminated, and the full length told. */
static void cuts_what_does_not_fit(void **state) {
    (void)state;
    for (size_t size = 0; size < 20; size++) {
        char out[24];
        memset(out, '#', sizeof out);
        assert_int_equal(format_text(out, size, "%s-%d", "abcdef", 12345), 12);
        size_t kept = size == 0 ? 0 : size - 1 < 12 ? size - 1 : 12;
        assert_memory_equal(out, "abcdef-12345", kept);
        if (size > 0)
            assert_int_equal(out[kept], '\0');
        for (size_t i = size == 0 ? 0 : kept + 1; i < sizeof out; i++)
            assert_int_equal(out[i], '#');
    }
}

static void byte_counts(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } values[] = {
        {0, "0 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1ull << 20, "1 MiB"},
        {(1ull << 30) + (1ull << 29), "1.5 GiB"},
        {1ull << 30, "1 GiB"},
        {(1ull << 40) - 1, "1023.9 GiB"},
        {1ull << 62, "4 EiB"},
        {UINT64_MAX, "15.9 EiB"},
    };
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        char out[FORMAT_BYTES_SIZE];
        assert_string_equal(format_bytes(out, values[i].bytes), values[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),    cmocka_unit_test(widths_and_precisions),
        cmocka_unit_test(texts),       cmocka_unit_test(pointers),
        cmocka_unit_test(byte_counts), cmocka_unit_test(cuts_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
