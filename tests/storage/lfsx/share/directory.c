/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: renaming does what POSIX says, to the letter of each case; a directory of very many entries
 * is as good as a small one: names are found by way of few nodes, and every entry is listed once
 * although others come and go. ENTRIES in the environment: how many; a million takes a minute.
 */
#include "base/math.h"
#include "tests/storage/lfsx/sharetest.h"

#define ROOT LFSX_ROOT

struct scene {
    struct sharetest test;
    uint64_t left, right; /* directories in the root */
    uint64_t inner;       /* left/inner, not empty */
    uint64_t hollow;      /* right/hollow, empty */
    uint64_t file;        /* left/file */
    uint64_t other;       /* right/other */
};

static void start(struct scene *s) {
    sharetest_start(&s->test, 32ull << 20);
    s->left = sharetest_mkdir(&s->test, ROOT, "left");
    s->right = sharetest_mkdir(&s->test, ROOT, "right");
    s->inner = sharetest_mkdir(&s->test, s->left, "inner");
    s->hollow = sharetest_mkdir(&s->test, s->right, "hollow");
    s->file = sharetest_create(&s->test, s->left, "file");
    s->other = sharetest_create(&s->test, s->right, "other");
    sharetest_create(&s->test, s->inner, "deep");
}

static void replaces_files(void **state) {
    (void)state;
    struct scene s;
    struct lfsx_attributes a;
    start(&s);
    assert_int_equal(sharetest_rename(&s.test, s.left, "file", s.right, "other", 0), STATUS_OK);
    assert_int_equal(sharetest_lookup(&s.test, s.left, "file"), 0);
    assert_int_equal(sharetest_lookup(&s.test, s.right, "other"), s.file);
    assert_int_equal(lfsx_share_getattr(s.test.share, s.other, &a), STATUS_NOT_FOUND);
    assert_int_equal(sharetest_rename(&s.test, s.right, "other", s.right, "new", 0), STATUS_OK);
    assert_int_equal(sharetest_lookup(&s.test, s.right, "new"), s.file);
    assert_int_equal(sharetest_rename(&s.test, s.right, "nothing", s.right, "new", 0),
                     STATUS_NOT_FOUND);
    sharetest_end(&s.test);
}

static void what_is_replaced_while_open(void **state) {
    (void)state;
    struct scene s;
    struct lfsx_attributes a;
    start(&s);
    struct lfsx_file *file = sharetest_file(&s.test, s.other);
    assert_int_equal(sharetest_write(file, 0, "content", 7, 0), STATUS_OK);
    assert_int_equal(sharetest_rename(&s.test, s.left, "file", s.right, "other", 0), STATUS_OK);
    sharetest_assert_content(file, (const unsigned char *)"content", 7);
    lfsx_file_close(file);
    assert_int_equal(lfsx_share_getattr(s.test.share, s.other, &a), STATUS_NOT_FOUND);
    sharetest_end(&s.test);
}

static void same_file_twice(void **state) {
    (void)state;
    struct scene s;
    start(&s);
    assert_int_equal(lfsx_share_link(s.test.share, s.file, s.right, sharetest_name("b"), 0),
                     STATUS_OK);
    assert_int_equal(sharetest_rename(&s.test, s.left, "file", s.right, "b", 0), STATUS_OK);
    assert_int_equal(sharetest_lookup(&s.test, s.left, "file"), s.file); /* both stay */
    assert_int_equal(sharetest_lookup(&s.test, s.right, "b"), s.file);
    assert_int_equal(sharetest_rename(&s.test, s.left, "file", s.left, "file", 0), STATUS_OK);
    assert_int_equal(sharetest_rename(&s.test, s.left, "file", s.left, "file", LFSX_NO_REPLACE),
                     STATUS_EXISTS);
    sharetest_end(&s.test);
}

static void directories(void **state) {
    (void)state;
    struct scene s;
    start(&s);
    struct sharetest *t = &s.test;
    assert_int_equal(sharetest_rename(t, s.left, "file", s.right, "hollow", 0),
                     STATUS_IS_DIRECTORY);
    assert_int_equal(sharetest_rename(t, s.left, "inner", s.right, "other", 0),
                     STATUS_NOT_DIRECTORY);
    assert_int_equal(sharetest_rename(t, s.right, "hollow", s.left, "inner", 0), STATUS_NOT_EMPTY);
    assert_int_equal(sharetest_rename(t, ROOT, "left", s.inner, "below", 0), STATUS_INVALID);
    assert_int_equal(sharetest_rename(t, ROOT, "left", s.left, "below", 0), STATUS_INVALID);
    assert_int_equal(sharetest_rename(t, s.left, "inner", ROOT, "left", 0), STATUS_NOT_EMPTY);
    assert_int_equal(sharetest_rename(t, s.left, "file", s.other, "x", 0), STATUS_NOT_DIRECTORY);
    assert_int_equal(sharetest_rename(t, s.left, "inner", s.right, "hollow", 0), STATUS_OK);
    assert_int_equal(sharetest_lookup(t, s.right, "hollow"), s.inner);
    assert_int_equal(sharetest_attributes(t, s.inner).parent, s.right);
    struct lfsx_attributes a;
    assert_int_equal(lfsx_share_getattr(t->share, s.hollow, &a), STATUS_NOT_FOUND);
    assert_int_equal(sharetest_rename(t, ROOT, "left", s.inner, "left", 0), STATUS_OK);
    uint64_t inode;
    assert_int_equal(lfsx_share_resolve(t->share, "right/hollow/left/file", &inode), STATUS_OK);
    assert_int_equal(inode, s.file);
    sharetest_end(t);
}

static void flags(void **state) {
    (void)state;
    struct scene s;
    start(&s);
    struct sharetest *t = &s.test;
    uint32_t both = LFSX_NO_REPLACE | LFSX_EXCHANGE;
    assert_int_equal(sharetest_rename(t, s.left, "file", s.right, "other", both), STATUS_INVALID);
    assert_int_equal(sharetest_rename(t, s.left, "file", s.right, "other", LFSX_NO_REPLACE),
                     STATUS_EXISTS);
    assert_int_equal(sharetest_rename(t, s.left, "file", s.right, "nothing", LFSX_EXCHANGE),
                     STATUS_NOT_FOUND);
    assert_int_equal(sharetest_rename(t, s.left, "inner", s.right, "other", LFSX_EXCHANGE),
                     STATUS_OK);
    assert_int_equal(sharetest_lookup(t, s.left, "inner"), s.other);
    assert_int_equal(sharetest_lookup(t, s.right, "other"), s.inner);
    assert_int_equal(sharetest_attributes(t, s.inner).parent, s.right);
    assert_int_equal(sharetest_rename(t, ROOT, "right", s.inner, "deep", LFSX_EXCHANGE),
                     STATUS_INVALID);
    assert_int_equal(sharetest_rename(t, s.inner, "deep", ROOT, "right", LFSX_EXCHANGE),
                     STATUS_INVALID);
    assert_int_equal(sharetest_rename(t, ROOT, "right", ROOT, "left", LFSX_EXCHANGE), STATUS_OK);
    assert_int_equal(sharetest_lookup(t, ROOT, "left"), s.right);
    assert_int_equal(
        sharetest_rename(t, s.left, "file", s.left, "moved", LFSX_NO_REPLACE | LFSX_FUA),
        STATUS_OK);
    sharetest_end(t);
}

static void times(void **state) {
    (void)state;
    struct scene s;
    start(&s);
    struct lfsx_attributes before = sharetest_attributes(&s.test, s.left);
    struct lfsx_attributes file = sharetest_attributes(&s.test, s.file);
    os_sleep_ns(2000000);
    assert_int_equal(sharetest_rename(&s.test, s.left, "file", s.right, "moved", 0), STATUS_OK);
    assert_true(sharetest_attributes(&s.test, s.left).modified_ns > before.modified_ns);
    assert_true(sharetest_attributes(&s.test, s.right).modified_ns > before.modified_ns);
    assert_true(sharetest_attributes(&s.test, s.file).changed_ns > file.changed_ns);
    assert_int_equal(sharetest_attributes(&s.test, s.file).modified_ns, file.modified_ns);
    sharetest_end(&s.test);
}

/* ---- very many entries ---- */

static void number_name(uint64_t number, char name[static 32]) {
    snprintf(name, 32, "entry %llu", (unsigned long long)number);
}

static uint64_t height_of(const struct sharetest *test) {
    return dataset_find(test->pool, SHARETEST_NAME)->tree.root.level + 1u;
}

/* Looks up some names with an empty cache: a lookup reads no more nodes than the tree is high, for
 * the directory and for the entry, and one for a neighbour. */
static void assert_quick_lookups(struct sharetest *test, struct random *random, uint64_t count) {
    for (unsigned i = 0; i < 50; i++) {
        char name[32];
        number_name(random_below(random, count), name);
        os_rwlock_lock_exclusive(&test->pool->lock);
        (void)cache_shrink(&test->pool->forest.cache, UINT64_MAX);
        os_rwlock_unlock_exclusive(&test->pool->lock);
        uint64_t before = test->disk->reads;
        assert_true(sharetest_lookup(test, ROOT, name) > 0);
        assert_true(test->disk->reads - before <= 2 * height_of(test) + 1);
    }
}

static void assert_listed_once(struct sharetest *test, uint64_t count) {
    static struct lfsx_entry entries[LFSX_READDIR_MAX];
    bool *seen = calloc(count, sizeof *seen);
    uint64_t cookie = 0;
    uint64_t listed = 0;
    size_t got;
    do {
        assert_int_equal(
            lfsx_share_readdir(test->share, ROOT, cookie, entries, LFSX_READDIR_MAX, &got),
            STATUS_OK);
        for (size_t i = 0; i < got; i++) {
            assert_true(entries[i].cookie > cookie);
            cookie = entries[i].cookie;
            if (strncmp(entries[i].name, "entry ", 6) != 0)
                continue;
            uint64_t number = strtoull(entries[i].name + 6, NULL, 10);
            assert_false(seen[number]);
            seen[number] = true;
            listed++;
        }
        if (listed % 7 == 0)
            sharetest_create(test, ROOT, listed % 2 ? "guest" : "visitor");
        else
            (void)sharetest_unlink(test, ROOT, listed % 2 ? "guest" : "visitor");
        (void)sharetest_unlink(test, ROOT, "guest");
        (void)sharetest_unlink(test, ROOT, "visitor");
    } while (got > 0);
    assert_int_equal(listed, count);
    free(seen);
}

static void very_many(void **state) {
    (void)state;
    const char *text = getenv("ENTRIES");
    uint64_t count = text == NULL ? 200000 : strtoull(text, NULL, 10);
    struct random random = random_start("share_directory");
    struct sharetest test = {.disk = sharetest_disk((64ull << 20) + count * 1024)};
    struct lfsx_open_options options = {.cache_bytes = (16ull << 20) + count * 512};
    assert_int_equal(lfsx_pool_open(&test.disk->device, &options, &test.pool), STATUS_OK);
    assert_int_equal(lfsx_share_open(test.pool, SHARETEST_NAME, &test.share), STATUS_OK);
    for (uint64_t i = 0; i < count; i++) {
        char name[32];
        number_name(i, name);
        sharetest_create(&test, ROOT, name);
    }
    assert_int_equal(lfsx_share_sync(test.share), STATUS_OK);
    assert_quick_lookups(&test, &random, count);
    assert_listed_once(&test, count);
    sharetest_end(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_files),  cmocka_unit_test(what_is_replaced_while_open),
        cmocka_unit_test(same_file_twice), cmocka_unit_test(directories),
        cmocka_unit_test(flags),           cmocka_unit_test(times),
        cmocka_unit_test(very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
