/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the validators of nodes stand between the disk and everything else. A page that was changed
 * is found by its checksum; a page that was changed and has a right checksum (a hostile image) is
 * either refused, or such that everything in it can be used without reading outside of the page.
 */
#include "base/os.h"
#include "storage/lfsx/format/node.h"
#include "storage/lfsx/format/values.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OWNER 17u
#define BLOCK 3000u

static struct pointer pointer = {.block = BLOCK, .birth = 3};

static void seal(struct disk_node *node) {
    pointer.checksum = node_seal(node);
}

static void start(struct disk_node *node, uint8_t level) {
    node_init(node, level, OWNER);
    node->block = le64_make(BLOCK);
    node->birth = le64_make(3);
    node->checkpoint = le64_make(12);
    pointer.level = level;
}

static void fill_leaf(struct disk_node *node) {
    start(node, 0);
    struct disk_inode inode = {.mode = le32_make(DISK_MODE_REGULAR | 0600),
                               .links = le32_make(1),
                               .size = le64_make(1 << 20)};
    node_insert(node, 0, &(struct key){.inode = 1, .type = DISK_TYPE_INODE}, &inode, sizeof inode);
    uint64_t offset = 0;
    for (unsigned i = 1; i <= 12; i++) {
        uint8_t value[sizeof(struct disk_extent) + 16 * sizeof(le64)] = {0};
        struct disk_extent *extent = (struct disk_extent *)value;
        extent->block = le64_make(1000 + 20 * i);
        extent->birth = le64_make(3);
        extent->block_count = extent->stored_blocks = le32_make(i);
        memset(extent->checksums, 0x5a, i * sizeof(le64));
        struct key key = {.inode = 1, .type = DISK_TYPE_EXTENT, .offset = offset};
        node_insert(node, i, &key, value, (uint16_t)(sizeof *extent + i * sizeof(le64)));
        offset += i + i % 2;
    }
    seal(node);
}

static void fill_inner(struct disk_node *node) {
    start(node, 2);
    for (unsigned i = 0; i < 30; i++) {
        struct disk_pointer child;
        pointer_store(&child,
                      &(struct pointer){.block = 900 + i, .birth = 2, .checksum = i, .level = 1});
        struct key key = {.inode = i, .type = i == 0 ? 0 : DISK_TYPE_EXTENT};
        node_insert(node, i, &key, &child, sizeof child);
    }
    seal(node);
}

static struct geometry test_geometry(void) {
    struct geometry geometry;
    assert_int_equal(geometry_plan(4096, &geometry), STATUS_OK);
    return geometry;
}

static enum status validate(const struct disk_node *node) {
    struct geometry geometry = test_geometry();
    const char *why = NULL;
    enum status status = node_validate(node, &pointer, OWNER, &why);
    if (status == STATUS_OK)
        status = node_values_validate(node, &geometry, &why);
    if (status != STATUS_OK) {
        assert_non_null(why);
        assert_true(strlen(why) > 0);
    }
    return status;
}

/* Touches all that an accepted node offers; the sanitizer watches. */
static void use(const struct disk_node *node) {
    volatile uint8_t sum = 0;
    struct key before = {0};
    assert_true(node_used(node) <= DISK_NODE_PAYLOAD);
    for (unsigned i = 0; i < node_count(node); i++) {
        struct item item = node_item(node, i);
        assert_true((const char *)item.value >= (const char *)node + sizeof *node);
        assert_true((const char *)item.value + item.length <= (const char *)node + DISK_BLOCK_SIZE);
        for (unsigned j = 0; j < item.length; j++)
            sum ^= ((const uint8_t *)item.value)[j];
        assert_true(i == 0 || key_compare(&before, &item.key) < 0);
        before = item.key;
        assert_int_equal(node_lower_bound(node, &item.key), i);
        if (node->level > 0)
            assert_int_equal(node_child(node, i).level + 1, node->level);
    }
}

static void fresh_nodes_are_valid(void **state) {
    (void)state;
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    fill_leaf(node);
    assert_int_equal(validate(node), STATUS_OK);
    fill_inner(node);
    assert_int_equal(validate(node), STATUS_OK);
    start(node, 0);
    seal(node);
    assert_int_equal(validate(node), STATUS_OK);
    os_page_free(node, DISK_BLOCK_SIZE);
}

/* Any one bit, anywhere. */
static void every_flipped_bit_is_found(void **state) {
    (void)state;
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    fill_leaf(node);
    for (unsigned bit = 0; bit < 8 * DISK_BLOCK_SIZE; bit++) {
        ((uint8_t *)node)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(validate(node), STATUS_CHECKSUM);
        ((uint8_t *)node)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(validate(node), STATUS_OK);
    os_page_free(node, DISK_BLOCK_SIZE);
}

static unsigned resealed_changes(struct random *random, struct disk_node *node) {
    unsigned refused = 0;
    for (unsigned at = 8; at < DISK_BLOCK_SIZE; at++) {
        uint8_t *byte = (uint8_t *)node + at;
        uint8_t old = *byte;
        uint8_t changes[] = {0x01, 0x80, 0xff, (uint8_t)(1 + random_below(random, 255))};
        for (unsigned i = 0; i < sizeof changes; i++) {
            *byte = old ^ changes[i];
            seal(node);
            if (validate(node) == STATUS_OK)
                use(node);
            else
                refused++;
        }
        *byte = old;
    }
    seal(node);
    return refused;
}

/* Every byte changed in several ways, with a right checksum. */
static void hostile_bytes_do_no_harm(void **state) {
    (void)state;
    struct random random = random_start("node_validate");
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    fill_leaf(node);
    unsigned refused = resealed_changes(&random, node);
    /* All but checksums, times, births and the like: the free bytes alone are half a node. */
    assert_true(refused > 4 * DISK_BLOCK_SIZE / 2);
    fill_inner(node);
    assert_true(resealed_changes(&random, node) > 4 * DISK_BLOCK_SIZE / 2);
    os_page_free(node, DISK_BLOCK_SIZE);
}

/* Many bytes at once, in the header and the items, where they matter. */
static void hostile_nodes_do_no_harm(void **state) {
    (void)state;
    struct random random = random_start("node_validate");
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    for (int round = 0; round < 20000; round++) {
        if (random_one_in(&random, 2))
            fill_leaf(node);
        else
            fill_inner(node);
        for (uint64_t i = 1 + random_below(&random, 6); i > 0; i--) {
            uint64_t at = random_one_in(&random, 3) ? 8 + random_below(&random, 56)
                                                    : 64 + random_below(&random, 13 * 24);
            ((uint8_t *)node)[at] = (uint8_t)random_next(&random);
        }
        seal(node);
        pointer.level = node->level;
        pointer.block = le64_get(node->block);
        pointer.birth = le64_get(node->birth);
        if (validate(node) == STATUS_OK)
            use(node);
        pointer = (struct pointer){.block = BLOCK, .birth = 3};
    }
    os_page_free(node, DISK_BLOCK_SIZE);
}

/* A page full of noise with a right checksum and a right header. */
static void noise_is_refused(void **state) {
    (void)state;
    struct random random = random_start("node_validate");
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    for (int round = 0; round < 500; round++) {
        start(node, 0);
        random_fill(&random, node->items, DISK_NODE_PAYLOAD);
        node->item_count = le16_make((uint16_t)random_next(&random));
        seal(node);
        assert_int_equal(validate(node), STATUS_CORRUPT);
    }
    os_page_free(node, DISK_BLOCK_SIZE);
}

/* What a lost or misdirected write leaves: a whole node, but not this one. */
static void another_node_is_refused(void **state) {
    (void)state;
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    const char *why;
    fill_leaf(node);
    struct pointer right = pointer;
    struct pointer wrong = right;
    wrong.block++;
    assert_int_equal(node_validate(node, &wrong, OWNER, &why), STATUS_CORRUPT);
    wrong = right;
    wrong.birth++;
    assert_int_equal(node_validate(node, &wrong, OWNER, &why), STATUS_CORRUPT);
    wrong = right;
    wrong.level++;
    assert_int_equal(node_validate(node, &wrong, OWNER, &why), STATUS_CORRUPT);
    wrong = right;
    wrong.checksum++;
    assert_int_equal(node_validate(node, &wrong, OWNER, &why), STATUS_CHECKSUM);
    assert_int_equal(node_validate(node, &right, OWNER + 1, &why), STATUS_CORRUPT);
    assert_int_equal(node_validate(node, &right, OWNER, &why), STATUS_OK);
    os_page_free(node, DISK_BLOCK_SIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_nodes_are_valid),    cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(hostile_bytes_do_no_harm), cmocka_unit_test(hostile_nodes_do_no_harm),
        cmocka_unit_test(noise_is_refused),         cmocka_unit_test(another_node_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
