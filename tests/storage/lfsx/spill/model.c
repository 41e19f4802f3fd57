/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: bitmaps and arrays that share a small budget do what plain arrays do, whatever is called in
 * whatever order; memory stays within the budget, and what was never set takes nothing.
 */
#include "tests/storage/lfsx/spill/spilltest.h"

#define BITS 3000000u /* 92 pages, the last one short */
#define BITMAPS 3u    /* together with the array more than the budget */
#define ITEMS 60000u
#define STEPS 12000u
#define RANGE 70000u

struct model {
    struct spilltest test;
    struct spill_bits *bits[BITMAPS];
    uint8_t *bytes[BITMAPS]; /* the same, plainly */
    struct spill_array *array;
    struct spilltest_item *items;
    uint64_t count, number;
};

static void start(struct model *model, uint64_t budget, uint64_t scratch) {
    *model = (struct model){0};
    spilltest_start(&model->test, budget, scratch);
    for (unsigned i = 0; i < BITMAPS; i++) {
        model->bits[i] = spill_bits_open(model->test.spill, BITS);
        model->bytes[i] = calloc(BITS, 1);
    }
    model->array = spill_array_open(model->test.spill, sizeof *model->items);
    model->items = calloc(ITEMS, sizeof *model->items);
}

static void end(struct model *model) {
    assert_int_equal(model->test.failure, STATUS_OK);
    for (unsigned i = 0; i < BITMAPS; i++) {
        spill_bits_close(model->bits[i]);
        free(model->bytes[i]);
    }
    spill_array_close(model->array);
    free(model->items);
    spilltest_end(&model->test);
}

static uint64_t find(const uint8_t *bytes, uint64_t index, bool value) {
    while (index < BITS && bytes[index] != value)
        index++;
    return index;
}

static uint64_t count(const uint8_t *bytes, uint64_t index, uint64_t length) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < length; i++)
        sum += bytes[index + i];
    return sum;
}

/* Words that are not all different from what the bitmap has, else it is soon full of noise. */
static void do_words(struct model *model, struct random *random, unsigned which) {
    static uint64_t words[RANGE / 64 + 1], read[RANGE / 64 + 1];
    uint64_t length = random_below(random, RANGE) / 64 * 64;
    uint64_t index = random_below(random, BITS - length) / 64 * 64;
    for (uint64_t i = 0; i < length / 64; i++)
        words[i] = random_one_in(random, 3) ? random_next(random) & random_next(random) : 0;
    spill_bits_write(model->bits[which], index, length, words);
    for (uint64_t i = 0; i < length; i++)
        model->bytes[which][index + i] = words[i / 64] >> i % 64 & 1;
    spill_bits_read(model->bits[which], index, length, read);
    assert_memory_equal(words, read, length / 8);
}

static void do_bits(struct model *model, struct random *random) {
    unsigned which = (unsigned)random_below(random, BITMAPS);
    struct spill_bits *bits = model->bits[which];
    uint8_t *bytes = model->bytes[which];
    uint64_t length = random_below(random, random_one_in(random, 4) ? RANGE : 100);
    uint64_t index = random_below(random, BITS - length);
    bool value = random_one_in(random, 2);
    switch (random_below(random, 6)) {
    case 0:
        assert_int_equal(spill_bit_put(bits, index, value), bytes[index]);
        bytes[index] = value;
        break;
    case 1:
        spill_bits_put(bits, index, length, value);
        memset(bytes + index, value, length);
        break;
    case 2:
        assert_int_equal(spill_bits_count(bits, index, length), count(bytes, index, length));
        break;
    case 3:
        assert_int_equal(spill_bits_find(bits, index, value), find(bytes, index, value));
        break;
    case 4:
        do_words(model, random, which);
        break;
    default:
        assert_int_equal(spill_bit(bits, index), bytes[index]);
    }
    if (random_one_in(random, 2000)) {
        spill_bits_clear(bits);
        memset(bytes, 0, BITS);
    }
}

static int compare(const void *one, const void *two) {
    const struct spilltest_item *a = one;
    const struct spilltest_item *b = two;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static struct spilltest_item new_item(struct model *model, struct random *random) {
    struct spilltest_item item = {random_below(random, 5000), model->number++, {0}};
    random_fill(random, item.filling, sizeof item.filling);
    return item;
}

/* Equal items are in the order of their numbers before, so the model need not sort stably. */
static void do_sort(struct model *model) {
    for (uint64_t i = 0; i < model->count; i++) {
        model->items[i].number = model->number++;
        spill_array_put(model->array, i, &model->items[i]);
    }
    qsort(model->items, model->count, sizeof *model->items, compare);
    spill_array_sort(model->array, spilltest_before);
    for (uint64_t i = 0; i < 50 && model->count > 0; i++) {
        struct spilltest_item key = {.key = i * 100};
        uint64_t index = spill_array_search(model->array, &key, spilltest_before);
        uint64_t at = 0;
        while (at < model->count && model->items[at].key < key.key)
            at++;
        assert_int_equal(index, at);
    }
}

static void do_array(struct model *model, struct random *random) {
    for (uint64_t i = random_below(random, 40); i > 0 && model->count < ITEMS; i--) {
        struct spilltest_item item = new_item(model, random);
        spill_array_add(model->array, &item);
        model->items[model->count++] = item;
    }
    assert_int_equal(spill_array_count(model->array), model->count);
    for (unsigned i = 0; i < 4 && model->count > 0; i++) {
        uint64_t index = random_below(random, model->count);
        struct spilltest_item item;
        spill_array_get(model->array, index, &item);
        assert_memory_equal(&item, &model->items[index], sizeof item);
        model->items[index] = new_item(model, random);
        spill_array_put(model->array, index, &model->items[index]);
    }
    if (random_one_in(random, 1000))
        do_sort(model);
    if (random_one_in(random, 3000)) {
        model->count = random_one_in(random, 2) ? 0 : random_below(random, model->count + 1);
        spill_array_cut(model->array, model->count);
    }
}

static void assert_same(struct model *model) {
    for (unsigned which = 0; which < BITMAPS; which++)
        for (uint64_t i = 0; i < BITS; i++)
            if (spill_bit(model->bits[which], i) != model->bytes[which][i])
                fail_msg("bitmap %u, bit %llu", which, (unsigned long long)i);
    for (uint64_t i = 0; i < model->count; i++) {
        struct spilltest_item item;
        spill_array_get(model->array, i, &item);
        assert_memory_equal(&item, &model->items[i], sizeof item);
    }
}

static void run(struct model *model, const char *name) {
    struct random random = random_start(name);
    for (uint64_t step = random_scale(STEPS); step > 0; step--) {
        if (random_one_in(&random, 2))
            do_bits(model, &random);
        else
            do_array(model, &random);
    }
    do_sort(model);
    assert_same(model);
}

static void run_within(uint64_t budget, const char *name) {
    struct model model;
    start(&model, budget, 64u << 20);
    run(&model, name);
    assert_true(spilltest_peak(&model.test) <= budget);
    assert_true(spilltest_scratch(&model.test) > 1u << 20);
    end(&model);
}

static void within_a_budget(void **state) {
    (void)state;
    run_within(1u << 20, "model within a budget");
}

static void within_the_smallest_budget(void **state) {
    (void)state;
    run_within(SPILL_BUDGET_MIN, "model within the smallest budget");
}

static void without_a_limit(void **state) {
    (void)state;
    struct model model;
    start(&model, 0, 0);
    run(&model, "model without a limit");
    assert_true(spilltest_peak(&model.test) > SPILL_BUDGET_MIN);
    end(&model);
}

/* A bitmap for 2^60 blocks; a few bits in it, far from each other. */
static void what_was_never_set_takes_nothing(void **state) {
    (void)state;
    struct spilltest test;
    spilltest_start(&test, 1u << 20, 0);
    uint64_t all = 1ull << 60;
    struct spill_bits *bits = spill_bits_open(test.spill, all);
    assert_int_equal(spill_bits_find(bits, 5, true), all);
    for (uint64_t i = 0; i < 12; i++)
        assert_false(spill_bit_put(bits, i * (all / 12) + i, true));
    uint64_t at = 0;
    for (uint64_t i = 0; i < 12; i++, at++) {
        at = spill_bits_find(bits, at, true);
        assert_int_equal(at, i * (all / 12) + i);
    }
    assert_int_equal(spill_bits_find(bits, at, true), all);
    assert_int_equal(spill_bits_find(bits, 0, false), 1);
    assert_int_equal(test.failure, STATUS_OK);
    spill_bits_close(bits);
    spilltest_end(&test);
}

/* What is closed can be used again: ten arrays one after the other take the place of one. */
static void scratch_is_used_again(void **state) {
    (void)state;
    struct spilltest test;
    spilltest_start(&test, SPILL_BUDGET_MIN, 64u << 20);
    uint64_t first = 0;
    for (unsigned round = 0; round < 10; round++) {
        struct spill_array *array = spill_array_open(test.spill, 4096);
        char page[4096];
        for (uint64_t i = 0; i < 2000; i++) {
            memset(page, (int)i, sizeof page);
            spill_array_add(array, page);
        }
        for (uint64_t i = 0; i < 2000; i++) {
            spill_array_get(array, i, page);
            assert_int_equal((unsigned char)page[4095], i % 256);
        }
        spill_array_close(array);
        if (round == 0)
            first = spilltest_scratch(&test);
    }
    assert_int_equal(test.failure, STATUS_OK);
    assert_true(spilltest_scratch(&test) <= first + first / 16);
    spilltest_end(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_a_budget),       cmocka_unit_test(within_the_smallest_budget),
        cmocka_unit_test(without_a_limit),       cmocka_unit_test(what_was_never_set_takes_nothing),
        cmocka_unit_test(scratch_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
