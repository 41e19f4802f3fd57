/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each way in which a share's names, inodes and files can contradict each other is found by
 * its number, and a pool with it opens, and is read and written without harm.
 */
#include "storage/lfsx/check/check_findings.h"
#include "tests/storage/lfsx/sharewrong.h"

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

/* ---- each contradiction, by its number ---- */

static const struct contradiction {
    const char *name;
    void (*make)(struct scene *s);
    uint32_t number;
} contradictions[] = {
    {"a link count too high", wrong_links, CHECK_INODE_LINKS},
    {"a name too few", wrong_no_name, CHECK_INODE_LINKS},
    {"a name of nothing", wrong_target, CHECK_ENTRY_WRONG},
    {"a name of another kind", wrong_kind, CHECK_ENTRY_WRONG},
    {"a name where its hash does not lead", wrong_hash, CHECK_NAME_HASH},
    {"another parent", wrong_parent, CHECK_ENTRY_WRONG},
    {"a directory in itself", wrong_circle, CHECK_INODE_UNREACHABLE},
    {"a number to come", wrong_number, CHECK_INODE_NUMBER},
    {"a count of blocks", wrong_blocks, CHECK_INODE_BLOCKS},
    {"no links, and no order to clean up", wrong_removal, CHECK_INODE_ORPHAN},
    {"extents behind the end", wrong_size, CHECK_EXTENT_BEHIND_END},
    {"an item of another kind of inode", wrong_item, CHECK_ITEM_STRAY},
    {"items of no inode", wrong_no_inode, CHECK_ITEM_STRAY},
};

static void each(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof contradictions / sizeof *contradictions; i++) {
        struct scene s;
        print_message("%s\n", contradictions[i].name);
        scene_start(&s);
        contradictions[i].make(&s);
        assert_found(&s, contradictions[i].number);
    }
}

static void pieces(void **state) {
    (void)state;
    struct scene s;
    for (unsigned piece = 0; piece < 3; piece++) {
        scene_start(&s);
        wrong_attribute(&s, piece);
        assert_found(&s, CHECK_XATTR_PIECES);
        scene_start(&s);
        wrong_link_target(&s, piece);
        assert_found(&s, CHECK_SYMLINK_TARGET);
    }
}

static void no_root(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_no_root(&s);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each),
        cmocka_unit_test(pieces),
        cmocka_unit_test(no_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
