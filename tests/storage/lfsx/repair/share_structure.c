/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each way in which names, inodes and files of a share can contradict each other is mended:
 * the check finds nothing afterwards, what can be kept is kept, under its name or in lost+found,
 * and what is given up is reported.
 */
#include "storage/lfsx/check/check_findings.h"
#include "tests/storage/lfsx/sharewrong.h"

#define LOSSES_MAX 16u

struct losses {
    struct {
        enum lfsx_loss_kind kind;
        char path[64];
        uint64_t inode, last, offset, length;
    } all[LOSSES_MAX];
    unsigned count;
};

static void on_finding(void *context, const struct lfsx_finding *finding) {
    (void)context;
    if (getenv("VERBOSE") != NULL)
        printf("  [%u] %s\n", finding->number, finding->text);
}

static void on_action(void *context, const char *text) {
    (void)context;
    if (getenv("VERBOSE") != NULL)
        printf("  %s\n", text);
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    struct losses *losses = context;
    assert_true(losses->count < LOSSES_MAX);
    assert_string_equal(loss->volume, SHARETEST_NAME);
    losses->all[losses->count].kind = loss->kind;
    losses->all[losses->count].inode = loss->inode;
    losses->all[losses->count].last = loss->last_inode;
    losses->all[losses->count].offset = loss->offset;
    losses->all[losses->count].length = loss->length;
    snprintf(losses->all[losses->count].path, 64, "%s", loss->path == NULL ? "?" : loss->path);
    losses->count++;
}

/* Closes the pool, repairs it, and opens it again. */
static struct losses mend(struct scene *s, uint32_t number) {
    struct losses losses = {.count = 0};
    struct lfsx_repair_summary summary;
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_PREEN,
                                          .data = true,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = &losses};
    sharetest_close(&s->test);
    const uint32_t allowed[] = {number, 0};
    struct pooltest_findings findings = {.quiet = true, .allowed = allowed};
    struct pooltest_findings all = {.quiet = true};
    pooltest_check(s->test.disk, &findings);
    pooltest_check(s->test.disk, &all);
    assert_true(findings.count < all.count);
    assert_int_equal(lfsx_repair(&s->test.disk->device, &options, &summary), STATUS_OK);
    assert_int_equal(summary.remaining, all.count);
    options.level = LFSX_REPAIR_ALL;
    options.memory_bytes = LFSX_MEMORY_MIN; /* which is enough for these */
    assert_int_equal(lfsx_repair(&s->test.disk->device, &options, &summary), STATUS_OK);
    if (summary.remaining != 0)
        pooltest_assert_clean(s->test.disk);
    assert_int_equal(summary.losses, losses.count);
    sharetest_open(&s->test);
    return losses;
}

/* The share can be changed, and is clean when it is closed. */
static void end(struct scene *s) {
    uint64_t inode = sharetest_create(&s->test, LFSX_ROOT, "afterwards");
    struct lfsx_file *file = sharetest_file(&s->test, inode);
    assert_int_equal(sharetest_write(file, 0, "x", 1, LFSX_FUA), STATUS_OK);
    lfsx_file_close(file);
    sharetest_end(&s->test);
}

static void assert_content(struct scene *s, uint64_t inode, uint64_t size) {
    static unsigned char data[102500];
    memset(data, 0, sizeof data);
    memset(data, 't', 2500);
    memset(data + 100000, 't', 2500);
    struct lfsx_file *file = sharetest_file(&s->test, inode);
    if (size == sizeof data)
        sharetest_assert_content(file, data, sizeof data);
    else
        assert_int_equal(sharetest_attributes(&s->test, inode).size, size);
    lfsx_file_close(file);
}

static uint64_t resolve(struct scene *s, const char *path) {
    uint64_t inode = 0;
    enum status status = lfsx_share_resolve(s->test.share, path, &inode);
    return status == STATUS_OK ? inode : 0;
}

static void assert_whole(struct scene *s) {
    assert_int_equal(resolve(s, "directory"), s->directory);
    assert_int_equal(resolve(s, "directory/file"), s->file);
    assert_int_equal(resolve(s, "link"), s->link);
    assert_content(s, s->file, 102500);
}

static void numbered(char *path, const char *format, uint64_t number) {
    snprintf(path, 64, format, (unsigned long long)number);
}

/* ---- counts ---- */

static void counts(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_links(&s);
    wrong_blocks(&s);
    assert_int_equal(mend(&s, CHECK_INODE_BLOCKS).count, 0);
    assert_whole(&s);
    end(&s);
}

static void sizes(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_size(&s);
    struct losses losses = mend(&s, CHECK_EXTENT_BEHIND_END);
    assert_int_equal(losses.count, 1);
    assert_int_equal(losses.all[0].kind, LFSX_LOSS_BYTES);
    assert_string_equal(losses.all[0].path, "directory/file");
    assert_int_equal(losses.all[0].offset, 5000);
    assert_content(&s, s.file, 26ull * LFSX_BLOCK_SIZE);
    end(&s);
}

static void numbers(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    wrong_number(&s);
    assert_int_equal(mend(&s, CHECK_INODE_NUMBER).count, 0);
    assert_whole(&s);
    numbered(path, "lost+found/#%llu", s.link + WRONG_NUMBER);
    assert_int_equal(resolve(&s, path), s.link + WRONG_NUMBER);
    assert_true(sharetest_create(&s.test, LFSX_ROOT, "new") > s.link + WRONG_NUMBER);
    end(&s);
}

/* ---- names ---- */

static void without_a_name(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    wrong_no_name(&s);
    assert_int_equal(mend(&s, CHECK_INODE_LINKS).count, 0);
    numbered(path, "lost+found/#%llu", s.file);
    assert_int_equal(resolve(&s, path), s.file);
    assert_content(&s, s.file, 102500);
    end(&s);
}

/* lost+found is there, as a directory: another inode comes to what is in it. */
static void again(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    uint64_t there = sharetest_mkdir(&s.test, LFSX_ROOT, "lost+found");
    numbered(path, "#%llu", s.file);
    uint64_t other = sharetest_create(&s.test, there, path);
    wrong_no_name(&s);
    assert_int_equal(mend(&s, CHECK_INODE_LINKS).count, 0);
    numbered(path, "lost+found/#%llu", s.file);
    assert_int_equal(resolve(&s, path), other);
    numbered(path, "lost+found/#%llu.1", s.file);
    assert_int_equal(resolve(&s, path), s.file);
    assert_int_equal(resolve(&s, "lost+found"), there);
    end(&s);
}

/* lost+found is a file: the directory gets another name. */
static void taken(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    uint64_t there = sharetest_create(&s.test, LFSX_ROOT, "lost+found");
    wrong_no_name(&s);
    assert_int_equal(mend(&s, CHECK_INODE_LINKS).count, 0);
    assert_int_equal(resolve(&s, "lost+found"), there);
    numbered(path, "lost+found.1/#%llu", s.file);
    assert_int_equal(resolve(&s, path), s.file);
    end(&s);
}

static void names_of_nothing(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    wrong_target(&s);
    struct losses losses = mend(&s, CHECK_ENTRY_WRONG);
    assert_int_equal(losses.count, 1);
    assert_int_equal(losses.all[0].kind, LFSX_LOSS_FILE);
    assert_string_equal(losses.all[0].path, "directory/file");
    assert_int_equal(losses.all[0].inode, s.link + 1000);
    assert_int_equal(resolve(&s, "directory/file"), 0);
    numbered(path, "lost+found/#%llu", s.file);
    assert_int_equal(resolve(&s, path), s.file);
    end(&s);
}

static void names_of_another_kind(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_kind(&s);
    assert_int_equal(mend(&s, CHECK_ENTRY_WRONG).count, 0);
    assert_whole(&s);
    end(&s);
}

static void hashes(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_hash(&s);
    assert_int_equal(mend(&s, CHECK_NAME_HASH).count, 0);
    assert_whole(&s);
    end(&s);
}

/* The same name twice in a directory, once where it is not looked for: both are kept. */
static void names_twice(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    struct key key = scene_entry_key(s.directory);
    scene_look(&s, &key);
    uint64_t other = sharetest_create(&s.test, LFSX_ROOT, "other");
    key = scene_entry_key(s.directory);
    scene_look(&s, &key);
    s.value.entry.target = le64_make(other);
    key.offset = 12345;
    scene_insert(&s, key);
    assert_int_equal(mend(&s, CHECK_NAME_HASH).count, 0);
    assert_whole(&s);
    numbered(path, "directory/#%llu.1", other);
    assert_int_equal(resolve(&s, path), other);
    assert_int_equal(resolve(&s, "other"), other);
    end(&s);
}

/* ---- directories ---- */

static void another_parent(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_parent(&s);
    assert_int_equal(mend(&s, CHECK_ENTRY_WRONG).count, 0);
    assert_whole(&s);
    end(&s);
}

/* Of two names of a directory the one in its parent stays. */
static void two_names(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    uint64_t inner = sharetest_mkdir(&s.test, s.directory, "inner");
    uint64_t other = sharetest_mkdir(&s.test, LFSX_ROOT, "other");
    struct key key = scene_entry_key(s.directory);
    scene_look(&s, &key);
    while (le64_get(s.value.entry.target) != inner) {
        key.offset++;
        scene_look(&s, &key);
    }
    scene_insert(&s, (struct key){.inode = other, .type = DISK_TYPE_ENTRY, .offset = key.offset});
    assert_int_equal(mend(&s, CHECK_ENTRY_WRONG).count, 0);
    assert_whole(&s);
    assert_int_equal(resolve(&s, "directory/inner"), inner);
    assert_int_equal(resolve(&s, "other/inner"), 0);
    end(&s);
}

static void circles(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    uint64_t inner = wrong_circle_of(&s);
    assert_int_equal(mend(&s, CHECK_INODE_UNREACHABLE).count, 0);
    numbered(path, "lost+found/#%llu/file", s.directory);
    assert_int_equal(resolve(&s, path), s.file);
    numbered(path, "lost+found/#%llu/inner", s.directory);
    assert_int_equal(resolve(&s, path), inner);
    end(&s);
}

static void no_root(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_no_root(&s);
    assert_int_equal(mend(&s, CHECK_INODE_MISSING).count, 0);
    assert_whole(&s);
    end(&s);
}

static void root_is_a_file(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, LFSX_ROOT);
    s.value.inode.mode = le32_make(DISK_MODE_REGULAR | 0644u);
    s.value.inode.parent = le64_make(0);
    scene_replace_inode(&s, LFSX_ROOT);
    assert_int_equal(mend(&s, CHECK_INODE_MISSING).count, 0);
    assert_whole(&s);
    end(&s);
}

/* ---- inodes ---- */

/* A directory without an inode is made anew from its names. */
static void no_directory(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_take(&s, inode_key(s.directory));
    assert_int_equal(mend(&s, CHECK_ITEM_STRAY).count, 0);
    assert_whole(&s);
    end(&s);
}

/* A file from its extents; how long it was in its last block nobody knows. */
static void no_file(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_no_inode(&s);
    struct losses losses = mend(&s, CHECK_ITEM_STRAY);
    assert_int_equal(losses.count, 1);
    assert_int_equal(losses.all[0].kind, LFSX_LOSS_BYTES);
    assert_string_equal(losses.all[0].path, "directory/file");
    assert_int_equal(resolve(&s, "directory/file"), s.file);
    assert_content(&s, s.file, 26ull * LFSX_BLOCK_SIZE);
    end(&s);
}

static void no_link(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_take(&s, inode_key(s.link));
    assert_int_equal(mend(&s, CHECK_ITEM_STRAY).count, 0);
    assert_whole(&s);
    end(&s);
}

static void strays(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_item(&s);
    assert_int_equal(mend(&s, CHECK_ITEM_STRAY).count, 0);
    assert_whole(&s);
    end(&s);
}

/* Extents of what is no file: the data goes, and its space is free. */
static void stray_extents(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.file);
    s.value.inode.mode = le32_make(DISK_MODE_DIRECTORY | 0755u);
    s.value.inode.size = s.value.inode.data_blocks = le64_make(0);
    s.value.inode.parent = le64_make(s.directory);
    scene_replace_inode(&s, s.file);
    (void)mend(&s, CHECK_ITEM_STRAY);
    struct lfsx_attributes a;
    assert_int_equal(resolve(&s, "directory/file"), s.file);
    assert_int_equal(lfsx_share_getattr(s.test.share, s.file, &a), STATUS_OK);
    assert_int_equal(a.kind, LFSX_DIRECTORY);
    end(&s);
}

/* It was removed, and nobody knows that it is to be cleaned up. */
static void removed(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    wrong_removal(&s);
    assert_int_equal(mend(&s, CHECK_INODE_ORPHAN).count, 0);
    struct lfsx_attributes a;
    assert_int_equal(resolve(&s, "lost+found"), 0);
    while (lfsx_share_getattr(s.test.share, s.file, &a) != STATUS_NOT_FOUND)
        os_sleep_ns(1000000); /* the cleaner is at it */
    end(&s);
}

/* ---- pieces ---- */

static void attributes(void **state) {
    (void)state;
    struct scene s;
    for (unsigned piece = 0; piece < 3; piece++) {
        scene_start(&s);
        wrong_attribute(&s, piece);
        struct losses losses = mend(&s, CHECK_XATTR_PIECES);
        assert_int_equal(losses.count, 1);
        assert_int_equal(losses.all[0].kind, LFSX_LOSS_ATTRIBUTES);
        assert_string_equal(losses.all[0].path, "directory/file");
        char names[64];
        size_t length;
        assert_int_equal(lfsx_share_xattr_list(s.test.share, s.file, names, sizeof names, &length),
                         STATUS_OK);
        assert_int_equal(length, 0);
        assert_whole(&s);
        end(&s);
    }
}

static void targets(void **state) {
    (void)state;
    struct scene s;
    for (unsigned piece = 0; piece < 3; piece++) {
        scene_start(&s);
        wrong_link_target(&s, piece);
        struct losses losses = mend(&s, CHECK_SYMLINK_TARGET);
        assert_int_equal(losses.count, 1);
        assert_int_equal(losses.all[0].kind, LFSX_LOSS_FILE);
        assert_string_equal(losses.all[0].path, "link");
        assert_int_equal(resolve(&s, "link"), 0);
        end(&s);
    }
}

/* The pieces are all there: the size was wrong. */
static void target_size(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s);
    scene_look_inode(&s, s.link);
    s.value.inode.size = le64_make(2600);
    scene_replace_inode(&s, s.link);
    assert_int_equal(mend(&s, CHECK_SYMLINK_TARGET).count, 0);
    assert_int_equal(sharetest_attributes(&s.test, s.link).size, 2500);
    assert_whole(&s);
    end(&s);
}

/* ---- with a snapshot and a clone, which have what the share had ---- */

static void beside_snapshots(void **state) {
    (void)state;
    struct scene s;
    const char *share = SHARETEST_NAME;
    scene_start(&s);
    assert_int_equal(lfsx_snapshot_create(s.test.pool, &share, 1, "before", 0), STATUS_OK);
    assert_int_equal(lfsx_clone_create(s.test.pool, share, "before", "clone"), STATUS_OK);
    wrong_no_inode(&s);
    (void)mend(&s, CHECK_ITEM_STRAY);
    assert_content(&s, s.file, 26ull * LFSX_BLOCK_SIZE);
    struct lfsx_share *head = s.test.share;
    static const char *const others[] = {SHARETEST_NAME "@before", "clone"};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(lfsx_share_open(s.test.pool, others[i], &s.test.share), STATUS_OK);
        assert_whole(&s);
        lfsx_share_close(s.test.share);
    }
    s.test.share = head;
    end(&s);
}

/* The journal speaks of what is not there: what can be kept of it is. */
static void with_a_journal(void **state) {
    (void)state;
    struct scene s;
    char path[64];
    scene_start(&s);
    wrong_no_inode(&s);
    wrong_no_name(&s);
    assert_int_equal(pool_checkpoint_force(s.test.pool), STATUS_OK);
    scene_look_inode(&s, s.directory); /* as a template */
    s.value.inode.mode = le32_make(DISK_MODE_REGULAR | 0644u);
    s.value.inode.parent = le64_make(0);
    scene_insert(&s, inode_key(s.file)); /* in memory only */
    struct lfsx_file *file = sharetest_file(&s.test, s.file);
    static unsigned char data[LFSX_BLOCK_SIZE];
    memset(data, 'j', sizeof data);
    assert_int_equal(sharetest_write(file, 200 * LFSX_BLOCK_SIZE, data, sizeof data, 0), STATUS_OK);
    lfsx_file_close(file);
    uint64_t fresh = sharetest_create(&s.test, LFSX_ROOT, "fresh");
    assert_int_equal(sharetest_unlink(&s.test, LFSX_ROOT, "link"), STATUS_OK);
    assert_int_equal(journal_commit(s.test.pool->journal, journal_newest(s.test.pool->journal)),
                     STATUS_OK);
    struct ramdisk *cut = ramdisk_from(s.test.disk->content, 32ull << 20);
    sharetest_close(&s.test);
    ramdisk_destroy(s.test.disk);
    s.test.disk = cut;
    struct lfsx_repair_summary summary;
    struct losses losses = {.count = 0};
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .data = true,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = &losses};
    assert_int_equal(lfsx_repair(&cut->device, &options, &summary), STATUS_OK);
    assert_int_equal(summary.remaining, 0);
    sharetest_open(&s.test);
    assert_int_equal(resolve(&s, "fresh"), fresh);
    assert_int_equal(resolve(&s, "link"), 0);
    numbered(path, "lost+found/#%llu", s.file);
    assert_int_equal(resolve(&s, path), s.file);
    file = sharetest_file(&s.test, s.file);
    unsigned char got[LFSX_BLOCK_SIZE];
    uint32_t length;
    assert_int_equal(sharetest_read(file, 200 * LFSX_BLOCK_SIZE, got, sizeof got, &length),
                     STATUS_OK);
    assert_memory_equal(got, data, sizeof data);
    assert_int_equal(sharetest_read(file, 100000, got, 2500, &length), STATUS_OK);
    assert_true(got[0] == 't' && got[2499] == 't');
    lfsx_file_close(file);
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(sizes),
        cmocka_unit_test(numbers),
        cmocka_unit_test(without_a_name),
        cmocka_unit_test(again),
        cmocka_unit_test(taken),
        cmocka_unit_test(names_of_nothing),
        cmocka_unit_test(names_of_another_kind),
        cmocka_unit_test(hashes),
        cmocka_unit_test(names_twice),
        cmocka_unit_test(another_parent),
        cmocka_unit_test(two_names),
        cmocka_unit_test(circles),
        cmocka_unit_test(no_root),
        cmocka_unit_test(root_is_a_file),
        cmocka_unit_test(no_directory),
        cmocka_unit_test(no_file),
        cmocka_unit_test(no_link),
        cmocka_unit_test(strays),
        cmocka_unit_test(stray_extents),
        cmocka_unit_test(removed),
        cmocka_unit_test(attributes),
        cmocka_unit_test(targets),
        cmocka_unit_test(target_size),
        cmocka_unit_test(beside_snapshots),
        cmocka_unit_test(with_a_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
