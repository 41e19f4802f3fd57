/* SPDX-License-Identifier: Apache-2.0 */
/* Compares kernel/lib with the plainest way to say the same, for every small length and offset. */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/boot/command_line.h"
#include "kernel/selftest/selftest.h"

#define ROOM 1400u
#define STEP 37u /* between the longer lengths that are tried */

static unsigned char actual[ROOM];
static unsigned char expected[ROOM];
static unsigned char source[ROOM];

static void reset(void) {
    for (unsigned i = 0; i < ROOM; i++) {
        source[i] = (unsigned char)(i * 7 + 3);
        actual[i] = expected[i] = (unsigned char)(i * 13);
    }
}

static void compare(void) {
    for (unsigned i = 0; i < ROOM; i++)
        ASSERT(actual[i] == expected[i]);
}

static void test_copy(unsigned to, unsigned from, unsigned length) {
    reset();
    ASSERT(memcpy(actual + to, source + from, length) == actual + to);
    for (unsigned i = 0; i < length; i++)
        expected[to + i] = source[from + i];
    compare();
}

static void test_move(unsigned to, unsigned from, unsigned length) {
    reset();
    ASSERT(memmove(actual + to, actual + from, length) == actual + to);
    for (unsigned i = 0; i < length; i++)
        expected[to + i] = (unsigned char)((from + i) * 13);
    compare();
}

static void test_set(unsigned to, unsigned length) {
    reset();
    ASSERT(memset(actual + to, 0xa5, length) == actual + to);
    for (unsigned i = 0; i < length; i++)
        expected[to + i] = 0xa5;
    compare();
}

static void test_compare(unsigned offset, unsigned length) {
    reset();
    for (unsigned i = 0; i < length; i++)
        actual[i] = source[offset + i];
    ASSERT(memcmp(actual, source + offset, length) == 0);
    for (unsigned i = 0; i < length; i += 5) {
        unsigned char right = actual[i];
        actual[i] = (unsigned char)(right + 0x80);
        int order = memcmp(actual, source + offset, length);
        ASSERT(actual[i] < right ? order < 0 : order > 0);
        actual[i] = right;
    }
}

static void test_lengths(unsigned length) {
    for (unsigned offset = 0; offset < 9; offset++) {
        test_copy(offset, 8 - offset, length);
        test_move(offset, 4, length);
        test_move(offset, 60, length);
        test_move(60, offset, length);
        test_set(offset, length);
    }
    test_compare(length % 9, length);
}

static void test_strings(void) {
    ASSERT(strlen("") == 0 && strlen("four") == 4);
    ASSERT(strnlen("four", 2) == 2 && strnlen("four", 9) == 4);
    ASSERT(strcmp("a", "b") < 0 && strcmp("b", "a") > 0 && strcmp("\xff", "a") > 0);
    ASSERT(strcmp("ab", "a") > 0 && strncmp("ab", "ac", 1) == 0 && strcmp("x", "x") == 0);
    const char *text = "path/to/it";
    ASSERT(strchr(text, '/') == text + 4 && strchr(text, '#') == NULL);
    ASSERT(strchr(text, '\0') == text + 10);
}

static bool every_length(void) {
    for (unsigned length = 0; length < 80; length++)
        test_lengths(length);
    for (unsigned length = 80; length < ROOM - 64; length += STEP)
        test_lengths(length);
    return true;
}

static bool strings(void) {
    test_strings();
    return true;
}

static bool is(const char *actual_value, const char *wanted) {
    if (actual_value == NULL || wanted == NULL)
        return actual_value == wanted;
    return strcmp(actual_value, wanted) == 0;
}

static bool values(void) {
    SELFTEST_CHECK(is(command_line_get("one"), "1"));
    SELFTEST_CHECK(is(command_line_get("flag"), ""));
    SELFTEST_CHECK(is(command_line_get("two"), ""));
    SELFTEST_CHECK(is(command_line_get("quoted"), "a b=c"));
    SELFTEST_CHECK(command_line_get("on") == NULL && command_line_get("onee") == NULL);
    SELFTEST_CHECK(command_line_get("b") == NULL && command_line_get("1") == NULL);
    return true;
}

static bool repeated(void) {
    SELFTEST_CHECK(is(command_line_get("many"), "z"));
    SELFTEST_CHECK(is(command_line_get_nth("many", 0), "x"));
    SELFTEST_CHECK(is(command_line_get_nth("many", 1), "y"));
    SELFTEST_CHECK(is(command_line_get_nth("many", 2), "z"));
    SELFTEST_CHECK(command_line_get_nth("many", 3) == NULL);
    return true;
}

/* On the line that tests/kernel/command_line.py gives. */
bool selftest_command_line(void) {
    static const struct selftest_case cases[] = {
        {"values, flags, quotes", values},
        {"keys that come again", repeated},
    };
    return selftest_cases("command-line", cases, ARRAY_LENGTH(cases));
}

bool selftest_library(void) {
    static const struct selftest_case cases[] = {
        {"memory functions, every small length and offset", every_length},
        {"string functions", strings},
    };
    return selftest_cases("library", cases, ARRAY_LENGTH(cases));
}
