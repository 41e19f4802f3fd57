/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the items of a share are taken for what they say only if the format has them: inodes of
 * three kinds, names, extended attributes, targets, orders to clean up; a volume has none of them
 * but a file. */
#include "base/math.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/lfsx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SHARE 21u
#define INODE 77u

static struct geometry geometry;
static uint8_t value[DISK_VALUE_MAX + 1];

static struct item make(uint8_t type, uint64_t offset, size_t length) {
    memset(value, 0, sizeof value);
    return (struct item){.key = {.inode = INODE, .type = type, .offset = offset},
                         .value = value,
                         .length = (uint16_t)length};
}

static struct item make_inode(uint32_t mode, uint64_t size, uint64_t parent) {
    struct item item = make(DISK_TYPE_INODE, 0, sizeof(struct disk_inode));
    *(struct disk_inode *)value = (struct disk_inode){.mode = le32_make(mode),
                                                      .links = le32_make(1),
                                                      .size = le64_make(size),
                                                      .parent = le64_make(parent)};
    return item;
}

static struct item make_entry(const char *name, size_t length) {
    struct item item = make(DISK_TYPE_ENTRY, 9, sizeof(struct disk_entry) + length);
    struct disk_entry *entry = (struct disk_entry *)value;
    *entry = (struct disk_entry){
        .target = le64_make(INODE + 1), .kind = DISK_ENTRY_REGULAR, .name_length = (uint8_t)length};
    memcpy(entry->name, name, length);
    return item;
}

/* A piece of an attribute that has the name "name". */
static struct item make_piece(uint64_t piece, uint32_t value_length, size_t bytes) {
    struct item item = make(DISK_TYPE_XATTR, 3 * DISK_XATTR_PIECES * DISK_XATTR_SLOTS + piece,
                            sizeof(struct disk_xattr) + bytes);
    struct disk_xattr *xattr = (struct disk_xattr *)value;
    xattr->value_length = le32_make(value_length);
    xattr->name_length = 4;
    memcpy(xattr->bytes, "name", 4);
    return item;
}

static bool passes(const struct item *item) {
    const char *why = NULL;
    enum status status = value_validate(item, &geometry, SHARE, &why);
    assert_true(status == STATUS_OK ? why == NULL : status == STATUS_CORRUPT && why != NULL);
    return status == STATUS_OK;
}

static bool inode_passes(uint32_t mode, uint64_t size, uint64_t parent) {
    struct item item = make_inode(mode, size, parent);
    return passes(&item);
}

static void inodes_of_three_kinds(void **state) {
    (void)state;
    assert_true(inode_passes(0100644, 0, 0));
    assert_true(inode_passes(0100644, LFSX_VOLUME_SIZE_MAX, 0));
    assert_false(inode_passes(0100644, LFSX_VOLUME_SIZE_MAX + 1, 0));
    assert_false(inode_passes(0100644, 0, 1));
    assert_true(inode_passes(0047777, 0, 1));
    assert_false(inode_passes(0040755, 0, 0));
    assert_false(inode_passes(0040755, 1, 1));
    assert_true(inode_passes(0120777, 1, 0));
    assert_true(inode_passes(0120777, DISK_SYMLINK_MAX, 0));
    assert_false(inode_passes(0120777, 0, 0));
    assert_false(inode_passes(0120777, DISK_SYMLINK_MAX + 1, 0));
    assert_false(inode_passes(0120777, 9, 1));
    for (uint32_t kind = 0; kind < 16; kind++) {
        bool known = kind == 04 || kind == 010 || kind == 012;
        assert_int_equal(inode_passes(kind << 12, kind == 012, kind == 04), known);
    }
}

static void numbers_of_inodes(void **state) {
    (void)state;
    struct item item = make_inode(0100644, 0, 0);
    static const uint64_t good[] = {1, 2, DISK_INODE_MAX};
    static const uint64_t bad[] = {0, DISK_INODE_MAX + 1, UINT64_MAX};
    for (unsigned i = 0; i < 3; i++) {
        item.key.inode = good[i];
        assert_true(passes(&item));
        item.key.inode = bad[i];
        assert_false(passes(&item));
    }
}

static void directories_have_one_name_and_no_data(void **state) {
    (void)state;
    struct disk_inode *inode = (struct disk_inode *)value;
    struct item item = make_inode(0040755, 0, 1);
    inode->links = le32_make(0);
    assert_true(passes(&item));
    inode->links = le32_make(2);
    assert_false(passes(&item));
    item = make_inode(0040755, 0, 1);
    inode->data_blocks = le64_make(1);
    assert_false(passes(&item));
    item = make_inode(0100600, 0, 0);
    inode->links = le32_make(UINT32_MAX);
    inode->data_blocks = le64_make(7);
    assert_true(passes(&item));
}

static bool name_passes(const char *name, size_t length) {
    struct item item = make_entry(name, length);
    return passes(&item);
}

static void names_of_files(void **state) {
    (void)state;
    static const char *const good[] = {"a", "...", "a@b", "\x01", "\x7f", "a\nb", "\xc3\xa9"};
    static const char *const bad[] = {"",    ".",    "..",        "/",
                                      "a/b", "\xff", "a\xc0\xaf", "\xed\xa0\x80"};
    for (unsigned i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(name_passes(good[i], strlen(good[i])));
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(name_passes(bad[i], strlen(bad[i])));
    assert_false(name_passes("a\0b", 3));
    char longest[255];
    memset(longest, 'x', sizeof longest);
    assert_true(name_passes(longest, sizeof longest));
}

static void entries(void **state) {
    (void)state;
    struct disk_entry *entry = (struct disk_entry *)value;
    for (unsigned kind = 0; kind < 256; kind++) {
        struct item item = make_entry("name", 4);
        entry->kind = (uint8_t)kind;
        assert_int_equal(passes(&item), kind >= DISK_ENTRY_REGULAR && kind <= DISK_ENTRY_SYMLINK);
    }
    for (uint64_t target = 0; target < 4; target++) {
        struct item item = make_entry("name", 4);
        entry->target = le64_make(target);
        assert_int_equal(passes(&item), target > DISK_ROOT_INODE);
    }
    struct item item = make_entry("name", 4);
    item.key.offset = UINT64_MAX;
    assert_false(passes(&item));
    item = make_entry("name", 4);
    item.key.inode = 0;
    assert_false(passes(&item));
    item = make_entry("name", 4);
    item.length++;
    assert_false(passes(&item));
    item = make_entry("name", 4);
    entry->reserved[0] = 1;
    assert_false(passes(&item));
}

static bool piece_passes(uint64_t piece, uint32_t value_length, size_t bytes) {
    struct item item = make_piece(piece, value_length, bytes);
    return passes(&item);
}

/* Each piece has just the length that the whole leaves for it. */
static void pieces_of_attributes(void **state) {
    (void)state;
    assert_true(piece_passes(0, 0, 4));
    assert_true(piece_passes(0, 988, 992));
    assert_false(piece_passes(0, 988, 991));
    assert_false(piece_passes(1, 988, 1));
    assert_true(piece_passes(1, 989, 1));
    assert_true(piece_passes(66, DISK_XATTR_MAX, 4 + DISK_XATTR_MAX - 66 * 992));
    assert_false(piece_passes(66, DISK_XATTR_MAX, 4 + DISK_XATTR_MAX - 66 * 992 - 1));
    assert_false(piece_passes(67, DISK_XATTR_MAX, 1));
    assert_false(piece_passes(0, DISK_XATTR_MAX + 1, 992));
    assert_false(piece_passes(0, UINT32_MAX, 992));
    struct disk_xattr *xattr = (struct disk_xattr *)value;
    struct item item = make_piece(0, 10, 14);
    xattr->bytes[1] = 0;
    assert_false(passes(&item));
    item = make_piece(0, 10, 14);
    xattr->reserved[2] = 1;
    assert_false(passes(&item));
    item = make_piece(0, 14, 14);
    xattr->name_length = 0;
    assert_false(passes(&item));
    item = make_piece(0, 0, 0);
    item.length = 3;
    assert_false(passes(&item));
}

static void targets(void **state) {
    (void)state;
    for (uint16_t length = 0; length <= DISK_VALUE_MAX; length++) {
        struct item item = make(DISK_TYPE_SYMLINK, 0, length);
        memset(value, 'x', length);
        assert_int_equal(passes(&item), length > 0);
    }
    struct item item = make(DISK_TYPE_SYMLINK, 4, 10);
    memset(value, 0xff, 10);
    assert_true(passes(&item));
    item.key.offset = 5;
    assert_false(passes(&item));
    item.key.offset = 4;
    value[9] = 0;
    assert_false(passes(&item));
}

static void orders_to_clean_up(void **state) {
    (void)state;
    struct item item = make(DISK_TYPE_CLEANUP, INODE, 0);
    assert_false(passes(&item));
    item.key.inode = DISK_CLEANUP_INODE;
    assert_true(passes(&item));
    item.length = 1;
    assert_false(passes(&item));
    item.length = 0;
    item.key.offset = 0;
    assert_false(passes(&item));
}

static bool suits_volume(const struct item *item) {
    const char *why = NULL;
    return value_validate_volume(item, &why) == STATUS_OK;
}

static void a_volume_is_one_file(void **state) {
    (void)state;
    struct item item = make_inode(0100600, 512, 0);
    assert_false(suits_volume(&item));
    item.key.inode = DISK_ROOT_INODE;
    assert_true(suits_volume(&item));
    ((struct disk_inode *)value)->size = le64_make(513);
    assert_false(suits_volume(&item));
    ((struct disk_inode *)value)->size = le64_make(0);
    assert_false(suits_volume(&item));
    item = make_inode(0040700, 0, 1);
    item.key.inode = DISK_ROOT_INODE;
    assert_false(suits_volume(&item));
    item = make_entry("name", 4);
    item.key.inode = DISK_ROOT_INODE;
    assert_false(suits_volume(&item));
}

static int set_up(void **state) {
    (void)state;
    return geometry_plan(4096, &geometry) == STATUS_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inodes_of_three_kinds),
        cmocka_unit_test(numbers_of_inodes),
        cmocka_unit_test(directories_have_one_name_and_no_data),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(entries),
        cmocka_unit_test(pieces_of_attributes),
        cmocka_unit_test(targets),
        cmocka_unit_test(orders_to_clean_up),
        cmocka_unit_test(a_volume_is_one_file),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
