/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: keys are ordered as their bytes are, nothing comes between a key and the next one, and
 * every key can be read. */
#include "tests/storage/lfsx/random.h"
#include "tests/storage/mvcc/memstore.h"

static struct mvcc_key make(unsigned length, uint8_t byte) {
    struct mvcc_key key = {.length = (uint8_t)length};
    memset(key.bytes, byte, length);
    return key;
}

static void order(void **state) {
    (void)state;
    const struct mvcc_key ascending[] = {
        make(0, 0), make(1, 0),    make(2, 0),   make(1, 1),
        make(2, 1), make(1, 0x80), make(1, 255), make(MVCC_KEY_SIZE, 255)};
    unsigned count = sizeof ascending / sizeof ascending[0];
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < count; j++) {
            int found = mvcc_key_compare(&ascending[i], &ascending[j]);
            assert_true(i < j ? found < 0 : i > j ? found > 0 : found == 0);
        }
    }
}

static void the_next_key(void **state) {
    (void)state;
    struct mvcc_key key = make(2, 7);
    assert_true(mvcc_key_advance(&key));
    assert_int_equal(key.length, 3);
    assert_int_equal(key.bytes[2], 0);
    key = make(MVCC_KEY_SIZE, 255);
    key.bytes[4] = 9;
    assert_true(mvcc_key_advance(&key));
    assert_int_equal(key.length, 5);
    assert_int_equal(key.bytes[4], 10);
    key = make(MVCC_KEY_SIZE, 255);
    struct mvcc_key last = key;
    assert_false(mvcc_key_advance(&key));
    assert_int_equal(mvcc_key_compare(&key, &last), 0);
}

/* Of two random keys, one is the other, or the next of the smaller is at most the greater. */
static void nothing_lies_between(void **state) {
    (void)state;
    struct random random = random_start("keys");
    for (unsigned i = 0; i < 20000; i++) {
        struct mvcc_key keys[2];
        for (unsigned k = 0; k < 2; k++) {
            keys[k] = make((unsigned)random_below(&random, MVCC_KEY_SIZE + 1), 255);
            for (unsigned at = 0; at < keys[k].length; at += 1 + random_below(&random, 8))
                keys[k].bytes[at] = (uint8_t)(254 + random_below(&random, 2));
        }
        int found = mvcc_key_compare(&keys[0], &keys[1]);
        struct mvcc_key next = keys[found < 0 ? 0 : 1];
        struct mvcc_key before = next;
        if (mvcc_key_advance(&next)) {
            assert_true(mvcc_key_compare(&before, &next) < 0);
            assert_true(found == 0 || mvcc_key_compare(&next, &keys[found < 0 ? 1 : 0]) <= 0);
        } else {
            assert_int_equal(found, 0);
        }
    }
}

static void text(void **state) {
    (void)state;
    char out[MVCC_KEY_TEXT_SIZE];
    struct mvcc_key key = {.length = 3, .bytes = {0, 0xab, 0x0c}};
    assert_string_equal(mvcc_key_text(&key, out), "00ab0c");
    key = make(0, 0);
    assert_string_equal(mvcc_key_text(&key, out), "''");
    key = make(MVCC_KEY_SIZE, 0xfe);
    assert_int_equal(strlen(mvcc_key_text(&key, out)), 2 * MVCC_KEY_SIZE);
    key.length = 255; /* broken: no byte behind its room is read */
    assert_int_equal(strlen(mvcc_key_text(&key, out)), 2 * MVCC_KEY_SIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(the_next_key),
        cmocka_unit_test(nothing_lies_between),
        cmocka_unit_test(text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
