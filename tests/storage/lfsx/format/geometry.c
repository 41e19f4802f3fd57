/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: every size of device gets a layout whose areas lie side by side and hold what they must,
 * and a label can only bring such a layout back. */
#include "storage/lfsx/format/geometry.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_sound(const struct geometry *g, uint64_t blocks) {
    assert_true(g->device_blocks == blocks);
    assert_true(g->journal_start == DISK_AREA_BLOCKS);
    assert_true(g->data_start == g->journal_start + g->journal_blocks);
    assert_true(g->data_start < g->data_end);
    assert_true(g->map_start == g->data_end);
    assert_true(g->map_start + g->map_blocks + DISK_AREA_BLOCKS == blocks);
    assert_true(g->regions * DISK_REGION_BLOCKS >= blocks);
    assert_true((g->regions - 1) * DISK_REGION_BLOCKS < blocks);
    unsigned top = geometry_map_top(g);
    assert_true(top >= 1);
    assert_int_equal(geometry_map_level_blocks(g, top), 1);
    assert_true(geometry_map_level_blocks(g, 0) == g->regions);
    assert_true(geometry_map_address(g, top, 0, 1) == blocks - DISK_AREA_BLOCKS - 1);
    for (unsigned level = 0; level <= top; level++) {
        uint64_t last = geometry_map_level_blocks(g, level) - 1;
        assert_true(geometry_map_address(g, level, 0, 0) >= g->map_start);
        if (level < top)
            assert_true(geometry_map_address(g, level, last, 1) + 1 ==
                        geometry_map_address(g, level + 1, 0, 0));
    }
}

static void layouts_are_sound(void **state) {
    (void)state;
    struct random random = random_start("geometry");
    struct geometry g;
    for (uint64_t blocks = DISK_MIN_DEVICE_BLOCKS; blocks < 300000; blocks += 97) {
        assert_int_equal(geometry_plan(blocks, &g), STATUS_OK);
        assert_sound(&g, blocks);
    }
    for (int i = 0; i < 100000; i++) {
        /* Up to 2^52 blocks: the largest device whose size in bytes is a 64-bit number. */
        uint64_t blocks = random_next(&random) >> (12 + random_below(&random, 40));
        enum status status = geometry_plan(blocks, &g);
        assert_int_equal(status, blocks < DISK_MIN_DEVICE_BLOCKS ? STATUS_TOO_SMALL : STATUS_OK);
        if (status == STATUS_OK)
            assert_sound(&g, blocks);
    }
}

static void too_small(void **state) {
    (void)state;
    struct geometry g;
    for (uint64_t blocks = 0; blocks < DISK_MIN_DEVICE_BLOCKS; blocks++)
        assert_int_equal(geometry_plan(blocks, &g), STATUS_TOO_SMALL);
}

static void data_area_has_two_ends(void **state) {
    (void)state;
    struct geometry g;
    assert_int_equal(geometry_plan(100000, &g), STATUS_OK);
    uint64_t whole = g.data_end - g.data_start;
    assert_true(geometry_is_data(&g, g.data_start, whole));
    assert_false(geometry_is_data(&g, g.data_start, whole + 1));
    assert_false(geometry_is_data(&g, g.data_start - 1, 1));
    assert_false(geometry_is_data(&g, g.data_end, 1));
    assert_true(geometry_is_data(&g, g.data_end - 1, 1));
    assert_false(geometry_is_data(&g, g.data_start, 0));
    assert_false(geometry_is_data(&g, g.data_start, UINT64_MAX));
    assert_false(geometry_is_data(&g, UINT64_MAX, 1));
    assert_false(geometry_is_data(&g, 0, UINT64_MAX));
}

/* The label brings back what was stored, and nothing that was not planned. */
static void labels_bring_it_back(void **state) {
    (void)state;
    struct geometry g, loaded;
    struct disk_label label = {0};
    assert_int_equal(geometry_plan(100000, &g), STATUS_OK);
    geometry_store(&g, &label);
    assert_int_equal(geometry_load(&label, &loaded), STATUS_OK);
    assert_memory_equal(&g, &loaded, sizeof g);
    size_t first = offsetof(struct disk_label, device_blocks);
    size_t end = offsetof(struct disk_label, created_ns);
    for (size_t at = first; at < end; at++) {
        uint8_t *byte = (uint8_t *)&label + at;
        *byte ^= 0x10;
        assert_int_equal(geometry_load(&label, &loaded), STATUS_CORRUPT);
        *byte ^= 0x10;
    }
}

/* A pool that grows keeps its journal, and lays out nothing where the old layout had something. One
 * that gained too little for that does not grow. */
static void pools_grow(void **state) {
    (void)state;
    struct random random = random_start("geometry");
    struct geometry g, grown, loaded;
    for (int i = 0; i < 20000; i++) {
        uint64_t blocks = DISK_MIN_DEVICE_BLOCKS +
                          (random_next(&random) >> 14) / (1ull << random_below(&random, 50));
        uint64_t added = random_next(&random) >> (14 + random_below(&random, 49));
        assert_int_equal(geometry_plan(blocks, &g), STATUS_OK);
        enum status status = geometry_grow(&g, blocks + added, &grown);
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_TOO_SMALL);
            assert_int_equal(geometry_resize(&g, blocks + added, &grown), STATUS_OK);
            assert_true(added < grown.map_blocks + DISK_AREA_BLOCKS);
            continue;
        }
        assert_sound(&grown, blocks + added);
        assert_true(grown.journal_blocks == g.journal_blocks);
        assert_true(grown.data_end >= g.device_blocks);
        struct disk_label label = {0};
        geometry_store(&grown, &label);
        assert_int_equal(geometry_load(&label, &loaded), STATUS_OK);
        assert_memory_equal(&grown, &loaded, sizeof grown);
    }
}

/* A journal of another size than any that mkfs could have chosen. */
static void impossible_journals(void **state) {
    (void)state;
    struct geometry g, loaded;
    struct disk_label label = {0};
    assert_int_equal(geometry_plan(1u << 20, &g), STATUS_OK);
    static const uint64_t sizes[] = {0, 255, (1u << 20) / 64 + 1, 262145, UINT64_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct geometry other = g;
        other.journal_blocks = sizes[i];
        other.data_start = other.journal_start + sizes[i];
        geometry_store(&other, &label);
        assert_int_equal(geometry_load(&label, &loaded), STATUS_CORRUPT);
    }
}

/* Labels and slots of both ends lie in their areas and nowhere twice. */
static void ends_do_not_overlap(void **state) {
    (void)state;
    struct geometry g;
    assert_int_equal(geometry_plan(DISK_MIN_DEVICE_BLOCKS, &g), STATUS_OK);
    static bool taken[DISK_MIN_DEVICE_BLOCKS];
    for (unsigned area = 0; area < 2; area++) {
        for (unsigned slot = 0; slot <= DISK_RING_SLOTS; slot++) {
            uint64_t block = slot == DISK_RING_SLOTS ? geometry_label_address(&g, area)
                                                     : geometry_slot_address(&g, area, slot);
            assert_true(block < g.device_blocks);
            assert_true(area == 0 ? block < DISK_AREA_BLOCKS : block >= g.data_end);
            assert_true(block != 0); /* room for a boot sector */
            assert_false(taken[block]);
            taken[block] = true;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_sound),      cmocka_unit_test(too_small),
        cmocka_unit_test(data_area_has_two_ends), cmocka_unit_test(labels_bring_it_back),
        cmocka_unit_test(ends_do_not_overlap),    cmocka_unit_test(pools_grow),
        cmocka_unit_test(impossible_journals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
