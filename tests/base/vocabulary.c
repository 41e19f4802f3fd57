/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the small words that everything is written in keep their promises: byte orders, arithmetic
 * that does not overflow, lists, status texts. */
#include "base/endian.h"
#include "base/list.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void byte_orders(void **state) {
    (void)state;
    assert_memory_equal(&(le16[]){le16_make(0x0102)}, "\x02\x01", 2);
    assert_memory_equal(&(le32[]){le32_make(0x01020304)}, "\x04\x03\x02\x01", 4);
    assert_memory_equal(&(le64[]){le64_make(0x0102030405060708)}, "\x08\7\6\5\4\3\2\1", 8);
    assert_memory_equal(&(be16[]){be16_make(0x0102)}, "\x01\x02", 2);
    assert_memory_equal(&(be32[]){be32_make(0x01020304)}, "\1\2\3\4", 4);
    assert_memory_equal(&(be64[]){be64_make(0x0102030405060708)}, "\1\2\3\4\5\6\7\x08", 8);
    assert_int_equal(le16_get(le16_make(0xfedc)), 0xfedc);
    assert_int_equal(be16_get(be16_make(0xfedc)), 0xfedc);
    assert_int_equal(le32_get(le32_make(0xfedcba98)), 0xfedcba98);
    assert_int_equal(be32_get(be32_make(0xfedcba98)), 0xfedcba98);
    assert_true(le64_get(le64_make(0xfedcba9876543210)) == 0xfedcba9876543210);
    assert_true(be64_get(be64_make(0xfedcba9876543210)) == 0xfedcba9876543210);
}

/* A structure of them has no padding and no alignment. */
static void byte_orders_pack(void **state) {
    (void)state;
    struct odd {
        uint8_t a;
        le64 b;
        le16 c;
        be32 d;
    };
    assert_int_equal(sizeof(struct odd), 15);
    assert_int_equal(_Alignof(struct odd), 1);
}

static void overflow_is_told(void **state) {
    (void)state;
    uint64_t result;
    assert_true(math_add(UINT64_MAX - 1, 1, &result));
    assert_true(result == UINT64_MAX);
    assert_false(math_add(UINT64_MAX, 1, &result));
    assert_true(math_multiply(UINT32_MAX, UINT32_MAX, &result));
    assert_false(math_multiply(1ull << 32, 1ull << 32, &result));
}

static void ranges(void **state) {
    (void)state;
    assert_true(math_range_inside(0, 0, 0));
    assert_true(math_range_inside(10, 0, 10));
    assert_true(math_range_inside(3, 7, 10));
    assert_false(math_range_inside(3, 8, 10));
    assert_false(math_range_inside(11, 0, 10));
    assert_false(math_range_inside(1, UINT64_MAX, 10));
    assert_false(math_range_inside(UINT64_MAX, 1, UINT64_MAX));
    assert_true(math_range_inside(UINT64_MAX - 1, 1, UINT64_MAX));
}

static void roundings(void **state) {
    (void)state;
    assert_int_equal(math_round_down(4097, 4096), 4096);
    assert_int_equal(math_round_up(4097, 4096), 8192);
    assert_int_equal(math_round_up(4096, 4096), 4096);
    assert_int_equal(math_round_up(0, 4096), 0);
    assert_int_equal(math_divide_up(0, 7), 0);
    assert_int_equal(math_divide_up(7, 7), 1);
    assert_int_equal(math_divide_up(8, 7), 2);
    assert_true(math_divide_up(UINT64_MAX, 2) == 1ull << 63);
    assert_true(math_is_power_of_two(1) && math_is_power_of_two(1ull << 63));
    assert_false(math_is_power_of_two(0) || math_is_power_of_two(3));
}

struct thing {
    int number;
    struct list_node link;
};

static int number(struct list_node *node) {
    return LIST_CONTAINER(node, struct thing, link)->number;
}

static void lists_keep_order(void **state) {
    (void)state;
    struct thing things[5];
    struct list_node head, other;
    list_init(&head);
    list_init(&other);
    assert_null(list_pop_front(&head));
    for (int i = 0; i < 5; i++) {
        things[i].number = i;
        list_push_back(i % 2 == 0 ? &head : &other, &things[i].link);
    }
    list_splice_back(&head, &other);
    assert_true(list_is_empty(&other));
    list_splice_back(&head, &other);
    static const int expected[] = {0, 2, 4, 1, 3};
    int at = 0;
    LIST_FOR_EACH(node, &head)
    assert_int_equal(number(node), expected[at++]);
    assert_int_equal(at, 5);
    list_remove(&things[4].link);
    list_remove(&things[4].link); /* once more does nothing */
    list_push_front(&head, &things[4].link);
    assert_int_equal(number(list_pop_front(&head)), 4);
    LIST_FOR_EACH_SAFE(node, &head) {
        list_remove(node);
    }
    assert_true(list_is_empty(&head));
}

/* No code is without a text or a name, no two share them, and garbage is answered. */
static void statuses_are_told_apart(void **state) {
    (void)state;
    assert_int_equal(STATUS_OK, 0);
    for (int i = 0; i < STATUS_COUNT; i++) {
        assert_true(strlen(status_text(i)) > 0 && strlen(status_name(i)) > 0);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(status_text(i), status_text(j));
            assert_string_not_equal(status_name(i), status_name(j));
        }
    }
    assert_string_equal(status_name(STATUS_NO_SPACE), "NO_SPACE");
    assert_non_null(status_text((enum status)STATUS_COUNT));
    assert_non_null(status_name((enum status) - 1));
}

/* One bit anywhere in a range of any place and length is seen, none outside of it. */
static void zeros_are_told(void **state) {
    (void)state;
    unsigned char memory[64];
    for (size_t begin = 0; begin < 10; begin++) {
        for (size_t end = begin; end < 40; end++) {
            memset(memory, 0xff, sizeof memory);
            memset(memory + begin, 0, end - begin);
            assert_true(mem_is_zero(memory + begin, end - begin));
            for (size_t at = begin; at < end; at++) {
                memory[at] = 0x80;
                assert_false(mem_is_zero(memory + begin, end - begin));
                memory[at] = 0;
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_orders),
        cmocka_unit_test(byte_orders_pack),
        cmocka_unit_test(overflow_is_told),
        cmocka_unit_test(ranges),
        cmocka_unit_test(roundings),
        cmocka_unit_test(lists_keep_order),
        cmocka_unit_test(statuses_are_told_apart),
        cmocka_unit_test(zeros_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
