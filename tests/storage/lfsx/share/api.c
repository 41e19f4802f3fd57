/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: each call on a share does what its header says, also after the pool was opened again. */
#include "base/math.h"
#include "storage/lfsx/lfsx_print.h"
#include "tests/storage/lfsx/sharetest.h"

#define DISK_BYTES (32ull << 20)
#define ROOT LFSX_ROOT

static void reopen(struct sharetest *test) {
    sharetest_close(test);
    pooltest_assert_clean(test->disk);
    sharetest_open(test);
}

static void files_and_directories(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t directory = sharetest_mkdir(&test, ROOT, "d");
    uint64_t file = sharetest_create(&test, directory, "f");
    uint64_t inode = 0;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(sharetest_lookup(&test, ROOT, "d"), directory);
        assert_int_equal(lfsx_share_resolve(test.share, "/d//f", &inode), STATUS_OK);
        assert_int_equal(inode, file);
        assert_int_equal(lfsx_share_resolve(test.share, "", &inode), STATUS_OK);
        assert_int_equal(inode, ROOT);
        assert_int_equal(lfsx_share_resolve(test.share, "d/f/g", &inode), STATUS_NOT_DIRECTORY);
        assert_int_equal(lfsx_share_resolve(test.share, "d/g", &inode), STATUS_NOT_FOUND);
        assert_int_equal(lfsx_share_resolve(test.share, "d/../d", &inode), STATUS_INVALID);
        struct lfsx_attributes a = sharetest_attributes(&test, directory);
        assert_int_equal(a.kind, LFSX_DIRECTORY);
        assert_int_equal(a.parent, ROOT);
        assert_int_equal(a.links, 1);
        a = sharetest_attributes(&test, file);
        assert_int_equal(a.kind, LFSX_REGULAR);
        assert_int_equal(a.mode, 0644);
        assert_int_equal(a.uid, 1000);
        assert_int_equal(a.gid, 100);
        assert_int_equal(a.size, 0);
        assert_true(a.created_ns > 0 && a.modified_ns == a.created_ns);
        reopen(&test);
    }
    assert_int_equal(lfsx_share_rmdir(test.share, ROOT, sharetest_name("d"), 0), STATUS_NOT_EMPTY);
    assert_int_equal(sharetest_unlink(&test, ROOT, "d"), STATUS_IS_DIRECTORY);
    assert_int_equal(lfsx_share_rmdir(test.share, directory, sharetest_name("f"), 0),
                     STATUS_NOT_DIRECTORY);
    assert_int_equal(sharetest_unlink(&test, directory, "f"), STATUS_OK);
    assert_int_equal(sharetest_unlink(&test, directory, "f"), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_share_rmdir(test.share, ROOT, sharetest_name("d"), 0), STATUS_OK);
    struct lfsx_attributes a;
    assert_int_equal(lfsx_share_getattr(test.share, file, &a), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_share_getattr(test.share, directory, &a), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_share_getattr(test.share, 0, &a), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_share_create_file(test.share, directory, sharetest_name("x"),
                                            &sharetest_owner, &inode, 0),
                     STATUS_NOT_FOUND);
    assert_true(sharetest_create(&test, ROOT, "new") > file);
    sharetest_end(&test);
}

static void names_that_exist(void **state) {
    (void)state;
    struct sharetest test;
    uint64_t inode;
    sharetest_start(&test, DISK_BYTES);
    sharetest_create(&test, ROOT, "f");
    struct lfsx_name name = sharetest_name("f");
    assert_int_equal(lfsx_share_create_file(test.share, ROOT, name, &sharetest_owner, &inode, 0),
                     STATUS_EXISTS);
    assert_int_equal(lfsx_share_mkdir(test.share, ROOT, name, &sharetest_owner, &inode, 0),
                     STATUS_EXISTS);
    assert_int_equal(lfsx_share_symlink(test.share, ROOT, name, name, &sharetest_owner, &inode, 0),
                     STATUS_EXISTS);
    struct lfsx_owner bad = {.mode = 010000};
    assert_int_equal(lfsx_share_create_file(test.share, ROOT, sharetest_name("g"), &bad, &inode, 0),
                     STATUS_INVALID);
    sharetest_end(&test);
}

static void hostile_names(void **state) {
    (void)state;
    static const struct lfsx_name bad[] = {
        {"", 0},     {".", 1},    {"..", 2},       {"a/b", 3},          {"/", 1},
        {"a\0b", 3}, {"\xff", 1}, {"\xc0\xaf", 2}, {"\xed\xa0\x80", 3}, {"ab\xe2\x82", 4}};
    static const struct lfsx_name good[] = {{"...", 3},     {".a", 2},  {"a\nb", 3},
                                            {"\x1b[2J", 4}, {" ", 1},   {"@", 1},
                                            {"\\..\\", 4},  {"%2e", 3}, {"\xf0\x9f\x92\xbe", 4}};
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode;
    uint64_t file = sharetest_create(&test, ROOT, "file");
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct lfsx_share *s = test.share;
        struct lfsx_name ok = sharetest_name("file");
        assert_int_equal(lfsx_share_create_file(s, ROOT, bad[i], &sharetest_owner, &inode, 0),
                         STATUS_INVALID);
        assert_int_equal(lfsx_share_mkdir(s, ROOT, bad[i], &sharetest_owner, &inode, 0),
                         STATUS_INVALID);
        assert_int_equal(lfsx_share_symlink(s, ROOT, bad[i], ok, &sharetest_owner, &inode, 0),
                         STATUS_INVALID);
        assert_int_equal(lfsx_share_link(s, file, ROOT, bad[i], 0), STATUS_INVALID);
        assert_int_equal(lfsx_share_lookup(s, ROOT, bad[i], &inode), STATUS_INVALID);
        assert_int_equal(lfsx_share_unlink(s, ROOT, bad[i], 0), STATUS_INVALID);
        assert_int_equal(lfsx_share_rmdir(s, ROOT, bad[i], 0), STATUS_INVALID);
        assert_int_equal(lfsx_share_rename(s, ROOT, ok, ROOT, bad[i], 0), STATUS_INVALID);
        assert_int_equal(lfsx_share_rename(s, ROOT, bad[i], ROOT, ok, 0), STATUS_INVALID);
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(good); i++)
        assert_int_equal(
            lfsx_share_create_file(test.share, ROOT, good[i], &sharetest_owner, &inode, 0),
            STATUS_OK);
    char longest[256];
    memset(longest, 'x', sizeof longest);
    struct lfsx_name name = {longest, 256};
    assert_int_equal(lfsx_share_create_file(test.share, ROOT, name, &sharetest_owner, &inode, 0),
                     STATUS_INVALID);
    name.length = 255;
    assert_int_equal(lfsx_share_create_file(test.share, ROOT, name, &sharetest_owner, &inode, 0),
                     STATUS_OK);
    sharetest_end(&test);
}

static void symbolic_links(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    static const size_t lengths[] = {1, 999, 1000, 1001, 2000, 4094, 4095};
    char target[LFSX_TARGET_MAX + 1];
    for (size_t i = 0; i < sizeof target; i++)
        target[i] = (char)(1 + i % 255);
    uint64_t inodes[ARRAY_LENGTH(lengths)];
    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        char name[8];
        snprintf(name, sizeof name, "l%u", i);
        struct lfsx_name to = {target, lengths[i]};
        assert_int_equal(lfsx_share_symlink(test.share, ROOT, sharetest_name(name), to,
                                            &sharetest_owner, &inodes[i], 0),
                         STATUS_OK);
    }
    reopen(&test);
    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        char got[LFSX_TARGET_MAX];
        size_t length = 0;
        memset(got, 0, sizeof got);
        assert_int_equal(lfsx_share_readlink(test.share, inodes[i], got, sizeof got, &length),
                         STATUS_OK);
        assert_int_equal(length, lengths[i]);
        assert_memory_equal(got, target, length);
        memset(got, 0, sizeof got);
        assert_int_equal(lfsx_share_readlink(test.share, inodes[i], got, 5, &length), STATUS_OK);
        assert_int_equal(length, lengths[i]);
        assert_int_equal(got[5], 0);
        assert_int_equal(sharetest_attributes(&test, inodes[i]).size, lengths[i]);
    }
    uint64_t inode;
    struct lfsx_name name = sharetest_name("n");
    struct lfsx_name bad[] = {{target, 0}, {target, LFSX_TARGET_MAX + 1}, {"a\0b", 3}};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(
            lfsx_share_symlink(test.share, ROOT, name, bad[i], &sharetest_owner, &inode, 0),
            STATUS_INVALID);
    size_t length;
    assert_int_equal(lfsx_share_readlink(test.share, ROOT, target, 9, &length), STATUS_INVALID);
    struct lfsx_file *file;
    assert_int_equal(lfsx_file_open(test.share, inodes[0], &file), STATUS_INVALID);
    assert_int_equal(lfsx_file_open(test.share, ROOT, &file), STATUS_IS_DIRECTORY);
    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        char text[8];
        snprintf(text, sizeof text, "l%u", i);
        assert_int_equal(sharetest_unlink(&test, ROOT, text), STATUS_OK);
    }
    sharetest_end(&test);
}

static void hard_links(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t directory = sharetest_mkdir(&test, ROOT, "d");
    uint64_t file = sharetest_create(&test, ROOT, "a");
    assert_int_equal(lfsx_share_link(test.share, file, directory, sharetest_name("b"), 0),
                     STATUS_OK);
    assert_int_equal(lfsx_share_link(test.share, file, ROOT, sharetest_name("a"), 0),
                     STATUS_EXISTS);
    assert_int_equal(lfsx_share_link(test.share, directory, ROOT, sharetest_name("c"), 0),
                     STATUS_IS_DIRECTORY);
    assert_int_equal(sharetest_attributes(&test, file).links, 2);
    assert_int_equal(sharetest_unlink(&test, ROOT, "a"), STATUS_OK);
    reopen(&test);
    assert_int_equal(sharetest_attributes(&test, file).links, 1);
    assert_int_equal(sharetest_lookup(&test, directory, "b"), file);
    assert_int_equal(sharetest_unlink(&test, directory, "b"), STATUS_OK);
    assert_int_equal(lfsx_share_link(test.share, file, ROOT, sharetest_name("a"), 0),
                     STATUS_NOT_FOUND);
    sharetest_end(&test);
}

static void attributes(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t file = sharetest_create(&test, ROOT, "f");
    struct lfsx_attributes new = {
        .mode = 06111, .uid = 7, .gid = 8, .modified_ns = 123, .accessed_ns = 456};
    struct lfsx_attributes before = sharetest_attributes(&test, file);
    assert_int_equal(lfsx_share_setattr(test.share, file, LFSX_SET_MODE, &new, 0), STATUS_OK);
    struct lfsx_attributes a = sharetest_attributes(&test, file);
    assert_int_equal(a.mode, 06111);
    assert_int_equal(a.uid, before.uid);
    assert_int_equal(a.modified_ns, before.modified_ns);
    assert_true(a.changed_ns >= before.changed_ns);
    assert_int_equal(lfsx_share_setattr(test.share, file,
                                        LFSX_SET_OWNER | LFSX_SET_MODIFIED | LFSX_SET_ACCESSED,
                                        &new, LFSX_FUA),
                     STATUS_OK);
    reopen(&test);
    a = sharetest_attributes(&test, file);
    assert_int_equal(a.uid, 7);
    assert_int_equal(a.gid, 8);
    assert_int_equal(a.modified_ns, 123);
    assert_int_equal(a.accessed_ns, 456);
    assert_int_equal(lfsx_share_setattr(test.share, file, 1u << 20, &new, 0), STATUS_INVALID);
    new.mode = 010000;
    assert_int_equal(lfsx_share_setattr(test.share, file, LFSX_SET_MODE, &new, 0), STATUS_INVALID);
    assert_int_equal(lfsx_share_setattr(test.share, 999, 0, &new, 0), STATUS_NOT_FOUND);
    sharetest_end(&test);
}

static void content(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode = sharetest_create(&test, ROOT, "f");
    struct lfsx_file *file = sharetest_file(&test, inode);
    static unsigned char data[100000];
    static unsigned char model[300000];
    memset(data, 7, sizeof data);
    assert_int_equal(sharetest_write(file, 5000, data, 100, 0), STATUS_OK);
    memset(model + 5000, 7, 100);
    sharetest_assert_content(file, model, 5100);
    assert_int_equal(sharetest_write(file, 200001, data, 9, LFSX_FUA), STATUS_OK);
    memset(model + 200001, 7, 9);
    sharetest_assert_content(file, model, 200010);
    assert_int_equal(sharetest_attributes(&test, inode).used_bytes, 2 * LFSX_BLOCK_SIZE);
    assert_int_equal(lfsx_file_truncate(file, 5050, 0), STATUS_OK);
    memset(model + 5050, 0, sizeof model - 5050);
    sharetest_assert_content(file, model, 5050);
    assert_int_equal(sharetest_attributes(&test, inode).used_bytes, LFSX_BLOCK_SIZE);
    assert_int_equal(lfsx_file_truncate(file, 6000, 0), STATUS_OK);
    sharetest_assert_content(file, model, 6000);
    lfsx_file_close(file);
    reopen(&test);
    file = sharetest_file(&test, inode);
    sharetest_assert_content(file, model, 6000);
    assert_int_equal(lfsx_file_truncate(file, 5020, 0), STATUS_OK);
    assert_int_equal(sharetest_write(file, 9000, data, 1, 0), STATUS_OK);
    memset(model + 5020, 0, sizeof model - 5020);
    model[9000] = 7;
    sharetest_assert_content(file, model, 9001);
    assert_int_equal(lfsx_file_zero(file, 5001, 3, 0), STATUS_OK);
    memset(model + 5001, 0, 3);
    sharetest_assert_content(file, model, 9001);
    assert_int_equal(lfsx_file_zero(file, 100, UINT64_MAX, 0), STATUS_OK);
    memset(model, 0, sizeof model);
    sharetest_assert_content(file, model, 9001);
    assert_int_equal(sharetest_attributes(&test, inode).used_bytes, 0);
    assert_int_equal(lfsx_file_truncate(file, LFSX_VOLUME_SIZE_MAX, 0), STATUS_OK);
    assert_int_equal(sharetest_write(file, LFSX_VOLUME_SIZE_MAX - 3, data, 3, 0), STATUS_OK);
    assert_int_equal(lfsx_file_truncate(file, LFSX_VOLUME_SIZE_MAX + 1, 0), STATUS_OUT_OF_RANGE);
    assert_int_equal(lfsx_file_truncate(file, 0, 0), STATUS_OK);
    assert_int_equal(sharetest_attributes(&test, inode).used_bytes, 0);
    lfsx_file_close(file);
    sharetest_end(&test);
}

static void what_is_removed_while_open(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode = sharetest_create(&test, ROOT, "f");
    struct lfsx_file *file = sharetest_file(&test, inode);
    struct lfsx_file *again = sharetest_file(&test, inode);
    static unsigned char data[50000];
    memset(data, 9, sizeof data);
    assert_int_equal(sharetest_write(file, 0, data, sizeof data, 0), STATUS_OK);
    assert_int_equal(sharetest_unlink(&test, ROOT, "f"), STATUS_OK);
    assert_int_equal(sharetest_attributes(&test, inode).links, 0);
    sharetest_create(&test, ROOT, "f");
    lfsx_file_close(again);
    assert_int_equal(sharetest_write(file, 50000, data, sizeof data, 0), STATUS_OK);
    assert_int_equal(lfsx_file_truncate(file, 40000, 0), STATUS_OK);
    sharetest_assert_content(file, data, 40000);
    lfsx_file_close(file);
    struct lfsx_attributes a;
    assert_int_equal(lfsx_share_getattr(test.share, inode, &a), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_file_open(test.share, inode, &file), STATUS_NOT_FOUND);
    struct lfsx_share_info info;
    lfsx_share_info(test.share, &info);
    assert_int_equal(info.used_bytes, 0);
    sharetest_end(&test);
}

static void extended_attributes(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode = sharetest_create(&test, ROOT, "f");
    static unsigned char value[LFSX_XATTR_MAX + 1];
    static unsigned char got[LFSX_XATTR_MAX + 1];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (unsigned char)(i * 7 + i / 300);
    static const size_t lengths[] = {0, 1, 983, 984, 985, 3000, LFSX_XATTR_MAX, 10, 1976};
    struct lfsx_name name = sharetest_name("user.a12");
    size_t length;
    assert_int_equal(lfsx_share_xattr_set(test.share, inode, name, value, 1, LFSX_XATTR_REPLACE),
                     STATUS_NOT_FOUND);
    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        assert_int_equal(lfsx_share_xattr_set(test.share, inode, name, value, lengths[i], 0),
                         STATUS_OK);
        if (i % 3 == 0)
            reopen(&test);
        assert_int_equal(lfsx_share_xattr_get(test.share, inode, name, got, sizeof got, &length),
                         STATUS_OK);
        assert_int_equal(length, lengths[i]);
        assert_memory_equal(got, value, length + (length == 0));
        memset(got, 0, sizeof got);
        assert_int_equal(lfsx_share_xattr_get(test.share, inode, name, got, 986, &length),
                         STATUS_OK);
        assert_int_equal(length, lengths[i]);
        assert_memory_equal(got, value, MATH_MIN(length, 986));
        assert_int_equal(got[986], 0);
        got[0] = value[0];
    }
    assert_int_equal(lfsx_share_xattr_set(test.share, inode, name, value, 1, LFSX_XATTR_CREATE),
                     STATUS_EXISTS);
    assert_int_equal(lfsx_share_xattr_set(test.share, inode, name, value, sizeof value, 0),
                     STATUS_INVALID);
    assert_int_equal(lfsx_share_xattr_set(test.share, inode, sharetest_name("b/"), value, 5, 0),
                     STATUS_OK);
    char names[64];
    assert_int_equal(lfsx_share_xattr_list(test.share, inode, names, sizeof names, &length),
                     STATUS_OK);
    assert_int_equal(length, 12);
    assert_true(memcmp(names, "b/\0user.a12", 12) == 0 || memcmp(names, "user.a12\0b/", 12) == 0);
    assert_int_equal(lfsx_share_xattr_remove(test.share, inode, name, 0), STATUS_OK);
    assert_int_equal(lfsx_share_xattr_remove(test.share, inode, name, 0), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_share_xattr_get(test.share, inode, name, got, 9, &length),
                     STATUS_NOT_FOUND);
    assert_int_equal(sharetest_unlink(&test, ROOT, "f"), STATUS_OK);
    sharetest_end(&test);
}

static void reading_directories(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t directory = sharetest_mkdir(&test, ROOT, "d");
    for (unsigned i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "file %u", i);
        sharetest_create(&test, directory, name);
    }
    static struct lfsx_entry entries[LFSX_READDIR_MAX];
    static bool seen[1000];
    uint64_t cookie = 0;
    size_t count = 0;
    unsigned total = 0;
    unsigned removed = 0;
    do { /* others come and go meanwhile */
        assert_int_equal(
            lfsx_share_readdir(test.share, directory, cookie, entries, 1 + total % 50, &count),
            STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            unsigned number = (unsigned)atoi(entries[i].name + 5);
            if (entries[i].name[0] != 'f')
                continue;
            assert_false(seen[number]);
            seen[number] = true;
            assert_int_equal(sharetest_lookup(&test, directory, entries[i].name), entries[i].inode);
            total++;
        }
        if (count > 0)
            cookie = entries[count - 1].cookie;
        char name[16];
        snprintf(name, sizeof name, "other %u", removed);
        sharetest_create(&test, directory, name);
        if (removed % 2 == 0)
            assert_int_equal(sharetest_unlink(&test, directory, name), STATUS_OK);
        if (removed++ == 10)
            reopen(&test);
    } while (count > 0);
    assert_int_equal(total, 1000);
    assert_int_equal(lfsx_share_readdir(test.share, 999999, 0, entries, 1, &count),
                     STATUS_NOT_FOUND);
    assert_int_equal(lfsx_share_readdir(test.share, sharetest_lookup(&test, directory, "file 1"), 0,
                                        entries, 1, &count),
                     STATUS_NOT_DIRECTORY);
    sharetest_end(&test);
}

static bool count_share(void *context, const struct lfsx_share_info *info) {
    assert_string_equal(info->name, SHARETEST_NAME);
    ++*(unsigned *)context;
    return true;
}

static void shares_and_volumes(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    assert_int_equal(lfsx_share_create(test.pool, SHARETEST_NAME), STATUS_EXISTS);
    assert_int_equal(lfsx_share_create(test.pool, "a/b"), STATUS_INVALID);
    assert_int_equal(lfsx_volume_create(test.pool, SHARETEST_NAME, 512), STATUS_EXISTS);
    assert_int_equal(lfsx_volume_create(test.pool, "volume", 512), STATUS_OK);
    struct lfsx_share *share;
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_share_open(test.pool, "volume", &share), STATUS_NOT_FOUND);
    assert_int_equal(lfsx_volume_open(test.pool, SHARETEST_NAME, &volume), STATUS_NOT_FOUND);
    unsigned count = 0;
    assert_int_equal(lfsx_share_list(test.pool, count_share, &count), STATUS_OK);
    assert_int_equal(count, 1);
    struct lfsx_pool_info info;
    lfsx_pool_info(test.pool, &info);
    assert_int_equal(info.share_count, 1);
    assert_int_equal(info.volume_count, 1);
    sharetest_end(&test);
}

struct text {
    char bytes[1 << 20];
    size_t length;
};

static void on_line(void *context, const char *line) {
    struct text *text = context;
    int more =
        snprintf(text->bytes + text->length, sizeof text->bytes - text->length, "%s\n", line);
    text->length += (size_t)more;
    assert_true(text->length < sizeof text->bytes);
}

/* What a share holds, and what of it is in the journal only, as text. */
static void as_text(void **state) {
    (void)state;
    static struct text text;
    static const char *const journaled[] = {"items: dataset 16, 3 changes",
                                            "entry of 1, ",
                                            "kind 4 target 2 name link",
                                            "target of inode 2: piece 0, 9 bytes: elsewhere",
                                            "(2, 1, 0) goes",
                                            "clean up inode 2"};
    struct sharetest test;
    struct lfsx_name target = sharetest_name("elsewhere");
    uint64_t inode;
    sharetest_start(&test, DISK_BYTES);
    assert_int_equal(lfsx_share_symlink(test.share, ROOT, sharetest_name("link"), target,
                                        &sharetest_owner, &inode, 0),
                     STATUS_OK);
    assert_int_equal(sharetest_unlink(&test, ROOT, "link"), STATUS_OK);
    sharetest_create(&test, ROOT, "f");
    assert_int_equal(lfsx_share_xattr_set(test.share, 3, sharetest_name("user.x"), "v", 1, 0),
                     STATUS_OK);
    assert_int_equal(lfsx_share_sync(test.share), STATUS_OK);
    struct ramdisk *disk = ramdisk_from(test.disk->content, DISK_BYTES); /* before a checkpoint */
    assert_int_equal(lfsx_print(&disk->device, "journal", NULL, on_line, &text), STATUS_OK);
    for (unsigned i = 0; i < ARRAY_LENGTH(journaled); i++)
        assert_non_null(strstr(text.bytes, journaled[i]));
    ramdisk_destroy(disk);
    sharetest_close(&test);
    assert_int_equal(lfsx_print(&test.disk->device, "tree", SHARETEST_NAME, on_line, &text),
                     STATUS_OK);
    assert_non_null(strstr(text.bytes, "piece 0 of 1 bytes, name user.x"));
    ramdisk_destroy(test.disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_directories),
        cmocka_unit_test(names_that_exist),
        cmocka_unit_test(hostile_names),
        cmocka_unit_test(symbolic_links),
        cmocka_unit_test(hard_links),
        cmocka_unit_test(attributes),
        cmocka_unit_test(content),
        cmocka_unit_test(what_is_removed_while_open),
        cmocka_unit_test(extended_attributes),
        cmocka_unit_test(reading_directories),
        cmocka_unit_test(shares_and_volumes),
        cmocka_unit_test(as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
