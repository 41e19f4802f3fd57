/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: streams are found, several at once and out of order, and what is asked to be read ahead of
 * each is all that follows, once, in growing pieces; reads at random ask for nothing.
 */
#include "storage/lfsx/data/readahead.h"
#include "base/math.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WINDOW 1024u

static struct readahead readahead;

/* What was asked to be read ahead of one stream. */
struct ahead {
    uint64_t end; /* 0: nothing yet */
    uint64_t largest;
};

/* Reads, and sees that what is to be read ahead follows what already is. */
static void read_next(struct ahead *ahead, uint64_t first, uint64_t count) {
    struct readahead_range range;
    if (!readahead_note(&readahead, first, count, WINDOW, &range))
        return;
    assert_true(range.count > 0);
    if (ahead->end != 0)
        assert_int_equal(range.first, MATH_MAX(ahead->end, first + count));
    ahead->end = range.first + range.count;
    ahead->largest = MATH_MAX(ahead->largest, range.count);
    assert_true(ahead->end <= first + count + WINDOW);
}

static void a_stream_is_read_ahead(void **state) {
    (void)state;
    static const uint64_t counts[] = {1, 2, 8, 32, 60};
    for (unsigned i = 0; i < ARRAY_LENGTH(counts); i++) {
        struct ahead ahead = {0};
        readahead_init(&readahead);
        for (uint64_t at = 7; at < 20000; at += counts[i]) {
            read_next(&ahead, at, counts[i]);
            if (at > 7 + 3 * counts[i]) /* from then on it is always ahead */
                assert_true(ahead.end > at + counts[i]);
        }
        assert_in_range(ahead.largest, WINDOW / 2, WINDOW);
        readahead_destroy(&readahead);
    }
}

static void the_first_reads_ask_for_nothing(void **state) {
    (void)state;
    struct readahead_range range;
    readahead_init(&readahead);
    assert_false(readahead_note(&readahead, 0, 1, WINDOW, &range));
    assert_false(readahead_note(&readahead, 1, 1, WINDOW, &range));
    assert_true(readahead_note(&readahead, 2, 1, WINDOW, &range));
    assert_int_equal(range.first, 3);
    for (unsigned i = 0; i < 100; i++) /* the same again is no progress */
        assert_false(readahead_note(&readahead, 2, 1, WINDOW, &range));
    assert_false(readahead_note(&readahead, 3, 1, 0, &range)); /* no room to read ahead into */
    readahead_destroy(&readahead);
}

static void several_streams(void **state) {
    (void)state;
    struct ahead ahead[READAHEAD_STREAMS] = {{0}};
    readahead_init(&readahead);
    for (uint64_t at = 0; at < 3000; at++)
        for (unsigned i = 0; i < READAHEAD_STREAMS; i++)
            read_next(&ahead[i], i * 1000000ull + at, 1);
    for (unsigned i = 0; i < READAHEAD_STREAMS; i++)
        assert_true(ahead[i].end > i * 1000000ull + 3000);
    readahead_destroy(&readahead);
}

/* As eight workers send what a client asked for in order: each overtakes some of the others. */
static void out_of_order(void **state) {
    (void)state;
    struct random random = random_start("readahead");
    struct ahead ahead = {0};
    unsigned asked = 0;
    readahead_init(&readahead);
    for (uint64_t first = 0; first < 5000; first += 8) {
        uint64_t order[8];
        for (uint64_t i = 0; i < 8; i++) {
            uint64_t place = random_below(&random, i + 1);
            order[i] = order[place];
            order[place] = first + i;
        }
        for (unsigned i = 0; i < 8; i++) {
            struct readahead_range range;
            if (!readahead_note(&readahead, order[i], 1, WINDOW, &range))
                continue;
            assert_true(range.first >= ahead.end);
            ahead.end = range.first + range.count;
            asked++;
        }
    }
    assert_true(ahead.end > 5000);
    assert_in_range(asked, 5, 30);
    readahead_destroy(&readahead);
}

/* A thread that comes late leaves out what the reader has read itself by then. */
static void what_was_passed_is_left_out(void **state) {
    (void)state;
    struct readahead_range range;
    readahead_init(&readahead);
    for (uint64_t at = 0; at < 2; at++)
        assert_false(readahead_note(&readahead, 100 + at, 1, WINDOW, &range));
    assert_true(readahead_note(&readahead, 102, 1, WINDOW, &range));
    const struct readahead_range asked = range;
    assert_true(readahead_left(&readahead, &range));
    assert_int_equal(range.first, asked.first);
    assert_int_equal(range.count, asked.count);
    struct readahead_range later;
    for (uint64_t at = asked.first; at < asked.first + asked.count; at++) {
        assert_true(readahead_left(&readahead, &range));
        assert_int_equal(range.first, at);
        assert_int_equal(range.first + range.count, asked.first + asked.count);
        (void)readahead_note(&readahead, at, 1, WINDOW, &later);
    }
    assert_false(readahead_left(&readahead, &range));
    assert_true(readahead_left(&readahead, &later));
    for (uint64_t i = 1; i <= READAHEAD_STREAMS; i++) /* others take its place */
        (void)readahead_note(&readahead, i * 1000000, 1, WINDOW, &range);
    assert_false(readahead_left(&readahead, &later));
    readahead_destroy(&readahead);
}

static void at_random_nothing(void **state) {
    (void)state;
    struct random random = random_start("readahead");
    struct readahead_range range;
    unsigned asked = 0;
    readahead_init(&readahead);
    for (unsigned i = 0; i < 100000; i++)
        asked += readahead_note(&readahead, random_below(&random, 1u << 22), 1, WINDOW, &range);
    assert_in_range(asked, 0, 2); /* chance continues a stream twice, once in a blue moon */
    readahead_destroy(&readahead);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_read_ahead),
        cmocka_unit_test(the_first_reads_ask_for_nothing),
        cmocka_unit_test(several_streams),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(what_was_passed_is_left_out),
        cmocka_unit_test(at_random_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
