/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each way in which a share's names, inodes and files can contradict each other is found by
 * its number, and a pool with it opens, and is read and written without harm.
 */
#include "storage/lfsx/check/check_findings.h"
#include "tests/storage/lfsx/sharescene.h"

#define ROOT LFSX_ROOT

/* ---- what must be found ---- */

struct found {
    uint32_t numbers[32];
    unsigned count;
};

static void note(void *context, const struct lfsx_finding *finding) {
    struct found *found = context;
    if (found->count < 32)
        found->numbers[found->count++] = finding->number;
}

/* Uses whatever is there; only that it ends counts. */
static void use(struct scene *s) {
    struct sharetest *t = &s->test;
    uint64_t inodes[] = {ROOT, s->directory, s->file, s->link, 77};
    for (unsigned i = 0; i < sizeof inodes / sizeof *inodes; i++) {
        static char buffer[70000];
        struct lfsx_entry entries[8];
        struct lfsx_attributes a;
        struct lfsx_file *file;
        size_t length;
        uint64_t inode;
        (void)lfsx_share_getattr(t->share, inodes[i], &a);
        (void)lfsx_share_readdir(t->share, inodes[i], 0, entries, 8, &length);
        (void)lfsx_share_readlink(t->share, inodes[i], buffer, sizeof buffer, &length);
        (void)lfsx_share_xattr_list(t->share, inodes[i], buffer, sizeof buffer, &length);
        (void)lfsx_share_xattr_get(t->share, inodes[i], sharetest_name("attribute"), buffer,
                                   sizeof buffer, &length);
        (void)lfsx_share_xattr_remove(t->share, inodes[i], sharetest_name("attribute"), 0);
        (void)lfsx_share_create_file(t->share, inodes[i], sharetest_name("x"), &sharetest_owner,
                                     &inode, 0);
        (void)sharetest_rename(t, ROOT, "directory", inodes[i], "moved", 0);
        (void)sharetest_rename(t, inodes[i], "moved", s->directory, "again", 0);
        (void)sharetest_rename(t, inodes[i], "file", ROOT, "file", LFSX_EXCHANGE);
        (void)sharetest_unlink(t, inodes[i], "file");
        (void)sharetest_unlink(t, inodes[i], "link");
        (void)lfsx_share_rmdir(t->share, ROOT, sharetest_name("directory"), 0);
        if (lfsx_file_open(t->share, inodes[i], &file) != STATUS_OK)
            continue;
        (void)sharetest_write(file, 300000, "x", 1, 0);
        (void)lfsx_file_truncate(file, 10, 0);
        lfsx_file_close(file);
    }
}

/* The check finds this, and nothing of what would hide it. */
static void assert_found(struct scene *s, uint32_t number) {
    sharetest_close(&s->test);
    struct found found = {{0}, 0};
    struct lfsx_check_options options = {.data = true, .finding = note, .context = &found};
    struct lfsx_check_summary summary;
    assert_int_equal(lfsx_check(&s->test.disk->device, &options, &summary), STATUS_OK);
    bool is_found = false;
    for (unsigned i = 0; i < found.count; i++) {
        is_found |= found.numbers[i] == number;
        assert_true(found.numbers[i] >= 60 || found.numbers[i] == CHECK_NAME_HASH);
    }
    assert_true(is_found);
    s->test.pool = pooltest_open(s->test.disk);
    if (lfsx_share_open(s->test.pool, SHARETEST_NAME, &s->test.share) == STATUS_OK) {
        use(s);
        lfsx_share_close(s->test.share);
    }
    (void)lfsx_pool_close(s->test.pool);
    ramdisk_destroy(s->test.disk);
}

static void links(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.file);
    s.value.inode.links = le32_make(3);
    scene_replace_inode(&s, s.file);
    assert_found(&s, CHECK_INODE_LINKS);
}

static void a_name_too_few(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_take(&s, scene_entry_key(s.directory));
    assert_found(&s, CHECK_INODE_LINKS);
}

static void names_of_nothing(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    struct key key = scene_entry_key(s.directory);
    scene_look(&s, &key);
    s.value.entry.target = le64_make(s.link + 1000);
    scene_begin(&s);
    btree_replace(&scene_dataset_of(&s)->tree, &key, s.value.bytes, s.length);
    scene_end_update(&s);
    assert_found(&s, CHECK_ENTRY_WRONG);
}

static void names_of_another_kind(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    struct key key = scene_entry_key(s.directory);
    scene_look(&s, &key);
    s.value.entry.kind = DISK_ENTRY_DIRECTORY;
    scene_begin(&s);
    btree_replace(&scene_dataset_of(&s)->tree, &key, s.value.bytes, s.length);
    scene_end_update(&s);
    assert_found(&s, CHECK_ENTRY_WRONG);
}

static void another_parent(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.directory);
    s.value.inode.parent = le64_make(s.file);
    scene_replace_inode(&s, s.directory);
    assert_found(&s, CHECK_ENTRY_WRONG);
}

/* A directory in itself: the way up is a circle. */
static void circles(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    uint64_t inner = sharetest_mkdir(&s.test, s.directory, "inner");
    struct key key = scene_entry_key(ROOT);
    scene_look(&s, &key);
    if (le64_get(s.value.entry.target) != s.directory) { /* the other one */
        key.offset++;
        scene_look(&s, &key);
    }
    scene_take(&s, key);
    scene_insert(&s, (struct key){.inode = inner, .type = DISK_TYPE_ENTRY, .offset = key.offset});
    scene_look_inode(&s, s.directory);
    s.value.inode.parent = le64_make(inner);
    scene_replace_inode(&s, s.directory);
    assert_found(&s, CHECK_INODE_UNREACHABLE);
}

static void numbers_too_high(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.file);
    s.length = sizeof s.value.inode;
    scene_insert(&s, inode_key(s.link + 5000));
    assert_found(&s, CHECK_INODE_NUMBER);
}

static void counts_of_blocks(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.file);
    s.value.inode.data_blocks = le64_make(9);
    scene_replace_inode(&s, s.file);
    assert_found(&s, CHECK_INODE_BLOCKS);
}

static void no_links_and_no_order(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_take(&s, scene_entry_key(s.directory));
    scene_look_inode(&s, s.file);
    s.value.inode.links = le32_make(0);
    scene_replace_inode(&s, s.file);
    assert_found(&s, CHECK_INODE_ORPHAN);
}

static void behind_the_end(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.file);
    s.value.inode.size = le64_make(5000);
    scene_replace_inode(&s, s.file);
    assert_found(&s, CHECK_EXTENT_BEHIND_END);
}

static void items_of_nobody(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    struct key key = {.inode = s.link, .type = DISK_TYPE_SYMLINK};
    scene_look(&s, &key);
    scene_insert(&s, (struct key){.inode = s.file, .type = DISK_TYPE_SYMLINK});
    assert_found(&s, CHECK_ITEM_STRAY);
    scene_start(&s);
    scene_take(&s, inode_key(s.file));
    assert_found(&s, CHECK_ITEM_STRAY);
}

static void pieces(void **state) {
    (void)state;
    struct scene s;
    for (unsigned piece = 0; piece < 3; piece++) {
        scene_start(&s);
        struct key key = {.inode = s.file, .type = DISK_TYPE_XATTR};
        scene_look(&s, &key);
        key.offset += piece;
        scene_take(&s, key);
        assert_found(&s, CHECK_XATTR_PIECES);
    }
}

static void targets(void **state) {
    (void)state;
    struct scene s;
    for (unsigned piece = 0; piece < 3; piece++) {
        scene_start(&s);
        scene_take(&s, (struct key){.inode = s.link, .type = DISK_TYPE_SYMLINK, .offset = piece});
        assert_found(&s, CHECK_SYMLINK_TARGET);
    }
}

static void no_root(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_take(&s, inode_key(ROOT));
    sharetest_close(&s.test);
    struct found found = {{0}, 0};
    struct lfsx_check_options options = {.finding = note, .context = &found};
    struct lfsx_check_summary summary;
    assert_int_equal(lfsx_check(&s.test.disk->device, &options, &summary), STATUS_OK);
    bool is_found = false;
    for (unsigned i = 0; i < found.count; i++)
        is_found |= found.numbers[i] == CHECK_INODE_MISSING;
    assert_true(is_found);
    struct lfsx_pool *pool = pooltest_open(s.test.disk);
    struct lfsx_share *share;
    assert_int_equal(lfsx_share_open(pool, SHARETEST_NAME, &share), STATUS_CORRUPT);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    ramdisk_destroy(s.test.disk);
}

/* The name stands where its hash does not lead. */
static void hashes(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    struct key key = scene_entry_key(s.directory);
    scene_take(&s, key);
    key.offset = 12345;
    scene_insert(&s, key);
    assert_found(&s, CHECK_NAME_HASH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
        cmocka_unit_test(a_name_too_few),
        cmocka_unit_test(names_of_nothing),
        cmocka_unit_test(names_of_another_kind),
        cmocka_unit_test(another_parent),
        cmocka_unit_test(circles),
        cmocka_unit_test(numbers_too_high),
        cmocka_unit_test(counts_of_blocks),
        cmocka_unit_test(no_links_and_no_order),
        cmocka_unit_test(behind_the_end),
        cmocka_unit_test(items_of_nobody),
        cmocka_unit_test(pieces),
        cmocka_unit_test(targets),
        cmocka_unit_test(no_root),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
