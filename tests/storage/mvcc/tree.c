/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the tree keeps its order, its balance and its summaries whatever is put in and taken out.
 */
#include "storage/mvcc/tree.h"
#include "base/list.h"
#include "base/math.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NUMBERS 500u

struct number {
    struct mvcc_tree_node node;
    unsigned value;
    unsigned sum; /* of the values at and below it */
    bool there;
};

static struct number *number_of(const struct mvcc_tree_node *node) {
    return LIST_CONTAINER(node, struct number, node);
}

static int compare(const struct mvcc_tree_node *a, const struct mvcc_tree_node *b) {
    return (int)number_of(a)->value - (int)number_of(b)->value;
}

static void add_up(struct mvcc_tree_node *node) {
    number_of(node)->sum = number_of(node)->value +
                           (node->left == NULL ? 0 : number_of(node->left)->sum) +
                           (node->right == NULL ? 0 : number_of(node->right)->sum);
}

/* Checks all below `top`, whose values lie in [low, high); returns how many there are. */
static unsigned check(const struct mvcc_tree_node *top, unsigned low, unsigned high) {
    if (top == NULL)
        return 0;
    struct number *number = number_of(top);
    assert_true(number->there && number->value >= low && number->value < high);
    unsigned left = top->left == NULL ? 0 : top->left->height;
    unsigned right = top->right == NULL ? 0 : top->right->height;
    assert_true(left <= right + 1 && right <= left + 1);
    assert_int_equal(top->height, 1 + MATH_MAX(left, right));
    unsigned sum = number->sum;
    add_up(&number->node);
    assert_int_equal(sum, number->sum);
    return 1 + check(top->left, low, number->value) + check(top->right, number->value + 1, high);
}

static void any_order_is_right(void **state) {
    (void)state;
    struct random random = random_start("tree");
    struct mvcc_tree tree = {.compare = compare, .summarize = add_up};
    static struct number numbers[NUMBERS];
    memset(numbers, 0, sizeof numbers);
    unsigned count = 0;
    for (unsigned i = 0; i < 6000; i++) {
        unsigned most = i / 1000 % 2 == 0 ? 4 : 1; /* of five: it grows, it shrinks */
        struct number *number = &numbers[random_below(&random, NUMBERS)];
        bool insert = random_below(&random, 5) < most;
        if (number->there == insert)
            continue;
        number->value = (unsigned)(number - numbers);
        number->there = insert;
        if (insert)
            mvcc_tree_insert(&tree, &number->node);
        else
            mvcc_tree_remove(&tree, &number->node);
        count += insert ? 1 : -1u;
        assert_int_equal(check(tree.root, 0, NUMBERS), count);
    }
}

static void sorted_input_stays_flat(void **state) {
    (void)state;
    struct mvcc_tree tree = {.compare = compare};
    static struct number numbers[NUMBERS];
    memset(numbers, 0, sizeof numbers);
    for (unsigned i = 0; i < NUMBERS; i++) {
        numbers[i].value = i;
        mvcc_tree_insert(&tree, &numbers[i].node);
        assert_true(tree.root->height <= 1 + 3 * (32 - (unsigned)__builtin_clz(i + 1)) / 2);
    }
    for (unsigned i = 0; i < NUMBERS; i++)
        mvcc_tree_remove(&tree, &numbers[i].node);
    assert_null(tree.root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_is_right),
        cmocka_unit_test(sorted_input_stays_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
