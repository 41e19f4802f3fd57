/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: an item is taken for what it says only if this version of the format has such an item;
 * names and labels are clean text. */
#include "storage/lfsx/format/values.h"
#include "base/math.h"
#include "storage/lfsx/lfsx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define VOLUME 20u
#define EPOCH 7ull

static struct geometry geometry;
static uint8_t value[DISK_VALUE_MAX];

static struct item make_inode(void) {
    memset(value, 0, sizeof value);
    *(struct disk_inode *)value = (struct disk_inode){
        .mode = le32_make(DISK_MODE_REGULAR | 0644), .links = le32_make(1), .size = le64_make(512)};
    return (struct item){.key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE},
                         .value = value,
                         .length = sizeof(struct disk_inode)};
}

static struct item make_extent(void) {
    memset(value, 0, sizeof value);
    *(struct disk_extent *)value = (struct disk_extent){.block = le64_make(geometry.data_start),
                                                        .birth = le64_make(1),
                                                        .block_count = le32_make(3),
                                                        .stored_blocks = le32_make(3)};
    return (struct item){.key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_EXTENT, .offset = 7},
                         .value = value,
                         .length = sizeof(struct disk_extent) + 3 * sizeof(le64)};
}

static struct item make_entry(void) {
    memset(value, 0, sizeof value);
    struct disk_entry *entry = (struct disk_entry *)value;
    *entry = (struct disk_entry){
        .target = le64_make(VOLUME), .kind = DISK_ENTRY_DATASET, .name_length = 4};
    memcpy(entry->name, "name", 4);
    return (struct item){.key = {.inode = DISK_CATALOG_NAMES, .type = DISK_TYPE_ENTRY, .offset = 9},
                         .value = value,
                         .length = sizeof *entry + 4};
}

static struct item make_dataset(void) {
    memset(value, 0, sizeof value);
    struct disk_dataset *dataset = (struct disk_dataset *)value;
    *dataset = (struct disk_dataset){.id = le64_make(VOLUME),
                                     .kind = DISK_DATASET_VOLUME,
                                     .name_length = 4,
                                     .node_blocks = le64_make(1)};
    dataset->root.block = le64_make(geometry.data_start);
    memcpy(dataset->name, "name", 4);
    return (struct item){.key = {.inode = VOLUME, .type = DISK_TYPE_DATASET},
                         .value = value,
                         .length = sizeof *dataset + 4};
}

static struct item make_snapshot(void) {
    struct disk_snapshot *snapshot = (struct disk_snapshot *)value;
    memset(value, 0, sizeof value);
    snapshot->root.block = le64_make(geometry.data_start);
    snapshot->root.birth = le64_make(EPOCH);
    snapshot->node_blocks = le64_make(1);
    snapshot->name_length = 4;
    memcpy(snapshot->name, "name", 4);
    return (struct item){.key = {.inode = VOLUME, .type = DISK_TYPE_SNAPSHOT, .offset = EPOCH},
                         .value = value,
                         .length = sizeof *snapshot + 4};
}

static struct item make_schedule(void) {
    struct disk_schedule_rule *rule = (struct disk_schedule_rule *)value;
    *rule = (struct disk_schedule_rule){le64_make(1000000000), le64_make(60)};
    return (struct item){.key = {.inode = VOLUME, .type = DISK_TYPE_SCHEDULE},
                         .value = value,
                         .length = sizeof *rule};
}

static struct item make_dead(void) {
    struct disk_dead *dead = (struct disk_dead *)value;
    dead->count = le64_make(3);
    return (struct item){.key = {.inode = EPOCH << 32 | EPOCH,
                                 .type = DISK_TYPE_DEAD,
                                 .offset = geometry.data_start},
                         .value = value,
                         .length = sizeof *dead};
}

static struct item make_sum(void) {
    struct disk_dead_sum *sum = (struct disk_dead_sum *)value;
    sum->blocks = le64_make(3);
    return (struct item){.key = {.inode = EPOCH << 32 | EPOCH, .type = DISK_TYPE_DEAD_SUM},
                         .value = value,
                         .length = sizeof *sum};
}

static enum status validate(const struct item *item, uint64_t owner) {
    const char *why = NULL;
    enum status status = value_validate(item, &geometry, owner, &why);
    assert_int_equal(status == STATUS_OK, why == NULL);
    return status;
}

static const struct {
    struct item (*make)(void);
    uint64_t owner, other_owner, bad_inode;
} kinds[] = {
    {make_inode, VOLUME, DISK_OWNER_CATALOG, 0},
    {make_extent, VOLUME, DISK_OWNER_CATALOG, 0},
    {make_entry, DISK_OWNER_CATALOG, VOLUME, 1},
    {make_dataset, DISK_OWNER_CATALOG, VOLUME, VOLUME + 1},
    {make_snapshot, DISK_OWNER_CATALOG, VOLUME, DISK_FIRST_DATASET - 1},
    {make_schedule, DISK_OWNER_CATALOG, VOLUME | DISK_OWNER_DEAD, DISK_FIRST_DATASET - 1},
    {make_dead, VOLUME | DISK_OWNER_DEAD, VOLUME, EPOCH << 32 | (EPOCH + 1)},
    {make_sum, VOLUME | DISK_OWNER_DEAD, DISK_OWNER_CATALOG, EPOCH << 32},
};

static void items_belong_to_their_trees(void **state) {
    (void)state;
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++) {
        struct item item = kinds[i].make();
        assert_int_equal(validate(&item, kinds[i].owner), STATUS_OK);
        assert_int_equal(validate(&item, kinds[i].other_owner), STATUS_CORRUPT);
        assert_int_equal(validate(&item, DISK_FIRST_DATASET - 1), STATUS_CORRUPT);
    }
}

static void unknown_types_are_refused(void **state) {
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++) {
            struct item item = kinds[i].make();
            if (item.key.type == type)
                continue;
            item.key.type = (uint8_t)type;
            assert_int_equal(validate(&item, kinds[i].owner), STATUS_CORRUPT);
        }
    }
}

/* No other length and no other key form passes. */
static void lengths_and_keys(void **state) {
    (void)state;
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++) {
        struct item item = kinds[i].make();
        uint16_t right = item.length;
        for (uint16_t length = 0; length <= DISK_VALUE_MAX; length++) {
            item.length = length;
            assert_int_equal(validate(&item, kinds[i].owner),
                             length == right ? STATUS_OK : STATUS_CORRUPT);
        }
        item = kinds[i].make();
        item.key.inode = kinds[i].bad_inode;
        assert_int_equal(validate(&item, kinds[i].owner), STATUS_CORRUPT);
        item = kinds[i].make();
        item.key.offset = UINT64_MAX;
        bool hash = item.key.type == DISK_TYPE_ENTRY;
        assert_int_equal(validate(&item, kinds[i].owner), hash ? STATUS_OK : STATUS_CORRUPT);
    }
}

static uint64_t owner_of(struct item (*make)(void)) {
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (kinds[i].make == make)
            return kinds[i].owner;
    fail_msg("not in the list");
    return 0;
}

/* Sets one field of an item to a value that it must not have. */
#define REFUSES(make_item, structure, field, wrong)                                                \
    do {                                                                                           \
        struct item bad_item = make_item();                                                        \
        ((structure *)value)->field = wrong;                                                       \
        assert_int_equal(validate(&bad_item, owner_of(make_item)), STATUS_CORRUPT);                \
    } while (0)

static void fields_are_in_range(void **state) {
    (void)state;
    REFUSES(make_inode, struct disk_inode, mode, le32_make(040755)); /* a directory */
    REFUSES(make_inode, struct disk_inode, mode, le32_make(010644)); /* a pipe */
    REFUSES(make_inode, struct disk_inode, size, le64_make(LFSX_VOLUME_SIZE_MAX + 1));
    REFUSES(make_inode, struct disk_inode, data_blocks, le64_make(UINT64_MAX));
    REFUSES(make_inode, struct disk_inode, parent, le64_make(1));
    REFUSES(make_inode, struct disk_inode, flags, le64_make(1));
    REFUSES(make_inode, struct disk_inode, reserved[47], 1);
    REFUSES(make_extent, struct disk_extent, block, le64_make(geometry.data_start - 1));
    REFUSES(make_extent, struct disk_extent, block, le64_make(geometry.data_end - 2));
    REFUSES(make_extent, struct disk_extent, block, le64_make(UINT64_MAX));
    REFUSES(make_extent, struct disk_extent, block_count, le32_make(0));
    REFUSES(make_extent, struct disk_extent, block_count, le32_make(UINT32_MAX));
    REFUSES(make_extent, struct disk_extent, stored_blocks, le32_make(2));
    REFUSES(make_extent, struct disk_extent, group, le16_make(1));
    REFUSES(make_extent, struct disk_extent, compression, 1);
    REFUSES(make_extent, struct disk_extent, encryption, 1);
    REFUSES(make_extent, struct disk_extent, reserved[0], 1);
    REFUSES(make_entry, struct disk_entry, kind, 2);
    REFUSES(make_entry, struct disk_entry, name[1], '/');
    REFUSES(make_entry, struct disk_entry, target, le64_make(DISK_FIRST_DATASET - 1));
    REFUSES(make_entry, struct disk_entry, reserved[5], 1);
    REFUSES(make_dataset, struct disk_dataset, id, le64_make(VOLUME + 1));
    REFUSES(make_dataset, struct disk_dataset, kind, DISK_DATASET_SHARE); /* with no next inode */
    REFUSES(make_dataset, struct disk_dataset, kind, 3);
    REFUSES(make_dataset, struct disk_dataset, next_inode, le64_make(2));
    REFUSES(make_dataset, struct disk_dataset, state, DISK_DATASET_DELETING); /* with a name */
    REFUSES(make_dataset, struct disk_dataset, state, 3);
    REFUSES(make_dataset, struct disk_dataset, dead_nodes, le64_make(1)); /* without a root */
    REFUSES(make_dataset, struct disk_dataset, dead.block, le64_make(1));
    REFUSES(make_dataset, struct disk_dataset, origin, le64_make(DISK_FIRST_DATASET - 1));
    REFUSES(make_dataset, struct disk_dataset, origin, le64_make(VOLUME));
    REFUSES(make_dataset, struct disk_dataset, origin_epoch, le64_make(1)); /* without one */
    REFUSES(make_dataset, struct disk_dataset, shared_blocks, le64_make(1));
    REFUSES(make_dataset, struct disk_dataset, flags, le64_make(2));
    REFUSES(make_dataset, struct disk_dataset, deleted_ns, le64_make(1)); /* but live */
    REFUSES(make_dataset, struct disk_dataset, name[0], '\n');
    REFUSES(make_dataset, struct disk_dataset, root.block, le64_make(0));
    REFUSES(make_dataset, struct disk_dataset, root.level, DISK_LEVEL_MAX + 1);
    REFUSES(make_dataset, struct disk_dataset, root.group, le16_make(1));
    REFUSES(make_dataset, struct disk_dataset, root.reserved[4], 1);
    REFUSES(make_dataset, struct disk_dataset, node_blocks, le64_make(0));
    REFUSES(make_dataset, struct disk_dataset, data_blocks, le64_make(UINT64_MAX));
    REFUSES(make_dataset, struct disk_dataset, reserved[4], 1);
    REFUSES(make_dataset, struct disk_dataset, reserved2[0], 1);
    REFUSES(make_dataset, struct disk_dataset, quota_blocks, le64_make((1ull << 50) + 1));
    REFUSES(make_dataset, struct disk_dataset, reserved_blocks,
            le64_make(geometry.data_end - geometry.data_start + 1));
    REFUSES(make_snapshot, struct disk_snapshot, root.block, le64_make(0));
    REFUSES(make_snapshot, struct disk_snapshot, root.birth, le64_make(EPOCH + 1));
    REFUSES(make_snapshot, struct disk_snapshot, node_blocks, le64_make(0));
    REFUSES(make_snapshot, struct disk_snapshot, data_blocks, le64_make(UINT64_MAX));
    REFUSES(make_snapshot, struct disk_snapshot, shared_blocks, le64_make(UINT64_MAX));
    REFUSES(make_snapshot, struct disk_snapshot, state, DISK_SNAPSHOT_DELETING); /* with a name */
    REFUSES(make_snapshot, struct disk_snapshot, state, 2);
    REFUSES(make_snapshot, struct disk_snapshot, flags, 2);
    REFUSES(make_snapshot, struct disk_snapshot, name[0], '@');
    REFUSES(make_snapshot, struct disk_snapshot, reserved[36], 1);
    REFUSES(make_schedule, struct disk_schedule_rule, keep, le64_make(0));
    REFUSES(make_schedule, struct disk_schedule_rule, interval_ns, le64_make(999999999));
    REFUSES(make_dead, struct disk_dead, count, le64_make(0));
    REFUSES(make_dead, struct disk_dead, count, le64_make(UINT64_MAX));
    REFUSES(make_sum, struct disk_dead_sum, blocks, le64_make(0));
    REFUSES(make_sum, struct disk_dead_sum, blocks, le64_make(UINT64_MAX));
}

static void a_deleting_dataset_has_no_name(void **state) {
    (void)state;
    struct item item = make_dataset();
    struct disk_dataset *dataset = (struct disk_dataset *)value;
    dataset->state = DISK_DATASET_DELETING;
    dataset->name_length = 0;
    item.length = sizeof *dataset;
    assert_int_equal(validate(&item, DISK_OWNER_CATALOG), STATUS_OK);
    dataset->state = DISK_DATASET_LIVE;
    assert_int_equal(validate(&item, DISK_OWNER_CATALOG), STATUS_CORRUPT);
}

/* The largest extent is allowed, also at the end of the largest file, and not one block more. */
static void extents_end_somewhere(void **state) {
    (void)state;
    struct item item = make_extent();
    uint64_t last = LFSX_VOLUME_SIZE_MAX / LFSX_BLOCK_SIZE - 3;
    item.key.offset = last;
    assert_int_equal(validate(&item, VOLUME), STATUS_OK);
    item.key.offset = last + 1;
    assert_int_equal(validate(&item, VOLUME), STATUS_CORRUPT);
    item = make_extent();
    struct disk_extent *extent = (struct disk_extent *)value;
    for (uint32_t count = DISK_EXTENT_MAX; count <= DISK_EXTENT_MAX + 1; count++) {
        extent->block_count = extent->stored_blocks = le32_make(count);
        item.length = (uint16_t)(sizeof *extent + count * sizeof(le64));
        assert_int_equal(validate(&item, VOLUME),
                         count == DISK_EXTENT_MAX ? STATUS_OK : STATUS_CORRUPT);
    }
}

static void extents_of_a_leaf_do_not_overlap(void **state) {
    (void)state;
    static union {
        struct disk_node node;
        uint8_t bytes[DISK_BLOCK_SIZE];
    } page;
    for (uint64_t distance = 1; distance < 6; distance++) {
        node_init(&page.node, 0, VOLUME);
        struct item item = make_extent();
        node_insert(&page.node, 0, &item.key, item.value, item.length);
        item.key.offset += distance;
        node_insert(&page.node, 1, &item.key, item.value, item.length);
        const char *why;
        assert_int_equal(node_values_validate(&page.node, &geometry, &why),
                         distance < 3 ? STATUS_CORRUPT : STATUS_OK);
    }
}

static void children_stand_in_the_data_area(void **state) {
    (void)state;
    static union {
        struct disk_node node;
        uint8_t bytes[DISK_BLOCK_SIZE];
    } page;
    uint64_t blocks[] = {geometry.data_start, geometry.data_end - 1, geometry.data_end,
                         geometry.data_start - 1, UINT64_MAX};
    for (unsigned i = 0; i < ARRAY_LENGTH(blocks); i++) {
        node_init(&page.node, 1, VOLUME);
        struct disk_pointer child;
        pointer_store(&child, &(struct pointer){.block = blocks[i]});
        node_insert(&page.node, 0, &(struct key){0}, &child, sizeof child);
        const char *why;
        assert_int_equal(node_values_validate(&page.node, &geometry, &why),
                         i < 2 ? STATUS_OK : STATUS_CORRUPT);
    }
}

static void names(void **state) {
    (void)state;
    static const char *const good[] = {"a",
                                       "...",
                                       ".a",
                                       "..a",
                                       "with blanks ",
                                       "\xc3\xa9",         /* U+00E9 */
                                       "\xe2\x82\xac",     /* U+20AC */
                                       "\xf0\x9f\x92\xbe", /* U+1F4BE */
                                       "\xf4\x8f\xbf\xbf", /* U+10FFFF */
                                       "\xed\x9f\xbf",     /* U+D7FF */
                                       "\xc2\xa0"};        /* U+00A0 */
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "a/b",
                                      "/",
                                      "a\nb",
                                      "\x7f",
                                      "\x1b[0m",
                                      "\xc2\x85",         /* U+0085, a control character */
                                      "\xc0\xaf",         /* '/' in two bytes */
                                      "\xc1\xbf",         /* too long */
                                      "\xe0\x80\xaf",     /* too long */
                                      "\xf0\x80\x80\xaf", /* too long */
                                      "\xed\xa0\x80",     /* a surrogate */
                                      "\xf4\x90\x80\x80", /* behind the last code point */
                                      "\xf8\x88\x80\x80\x80",
                                      "\x80",
                                      "\xff",
                                      "ab\xe2\x82", /* cut off */
                                      "\xe2\x28\xa1"};
    for (unsigned i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(lfsx_name_is_valid(good[i], strlen(good[i])));
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(lfsx_name_is_valid(bad[i], strlen(bad[i])));
    assert_false(lfsx_name_is_valid("a\0b", 3));
    char longest[LFSX_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_true(lfsx_name_is_valid(longest, LFSX_NAME_MAX));
    assert_false(lfsx_name_is_valid(longest, LFSX_NAME_MAX + 1));
}

static int set_up(void **state) {
    (void)state;
    return geometry_plan(4096, &geometry) == STATUS_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_belong_to_their_trees),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(lengths_and_keys),
        cmocka_unit_test(fields_are_in_range),
        cmocka_unit_test(a_deleting_dataset_has_no_name),
        cmocka_unit_test(extents_end_somewhere),
        cmocka_unit_test(extents_of_a_leaf_do_not_overlap),
        cmocka_unit_test(children_stand_in_the_data_area),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
