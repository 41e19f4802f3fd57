/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of shares to be damaged and repaired: a share with directories, files, links and
 * attributes, two snapshots of it and a clone, all of them different. What they hold is read before
 * the damage, and compared afterwards with what the repair reported.
 */
#ifndef TESTS_STORAGE_LFSX_REPAIR_SHARECORPUS_H
#define TESTS_STORAGE_LFSX_REPAIR_SHARECORPUS_H

#include "base/checksum.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/sharetest.h"

#define CORPUS_BYTES (24ull << 20)
#define CORPUS_INODES 1024u
#define CORPUS_ENTRIES 2048u
#define CORPUS_FILE_MAX (40u * LFSX_BLOCK_SIZE)
#define CORPUS_XATTR "user.attribute"
#define CORPUS_LOSSES 4096u

static const char *const corpus_views[] = {SHARETEST_NAME, SHARETEST_NAME "@one",
                                           SHARETEST_NAME "@two", "copy"};
#define CORPUS_VIEWS ((unsigned)ARRAY_LENGTH(corpus_views))

/* An inode, as it was. */
struct corpus_inode {
    bool is_there;
    struct lfsx_attributes attributes;
    unsigned char *content; /* of a file or a link */
    unsigned char *xattr;   /* NULL: it has none */
    size_t xattr_length;
};

struct corpus_entry {
    uint64_t directory, inode;
    char name[40];
};

struct corpus_view {
    struct corpus_inode inodes[CORPUS_INODES]; /* by number */
    struct corpus_entry entries[CORPUS_ENTRIES];
    unsigned entry_count;
};

struct corpus_loss {
    unsigned view;
    enum lfsx_loss_kind kind;
    uint64_t inode, last, offset, length;
    bool doubtful;
};

struct sharecorpus {
    struct random random;
    struct sharetest test;
    unsigned char *image;
    struct corpus_view views[CORPUS_VIEWS];
    struct label label;
    uint64_t blocks[4096]; /* nodes of shares in use */
    unsigned count;
    struct corpus_loss losses[CORPUS_LOSSES];
    unsigned loss_count;
    unsigned differing; /* blocks and inodes, over all cases */
    bool verbose;
};

/* ---- making it ---- */

static inline void corpus_write(struct sharecorpus *c, uint64_t inode, unsigned writes) {
    unsigned char data[3 * LFSX_BLOCK_SIZE];
    struct lfsx_file *file = sharetest_file(&c->test, inode);
    for (unsigned i = 0; i < writes; i++) {
        uint32_t length = 1 + (uint32_t)random_below(&c->random, sizeof data);
        random_fill(&c->random, data, length);
        uint64_t offset = random_below(&c->random, CORPUS_FILE_MAX - length);
        if (random_one_in(&c->random, 2))
            offset = 0;
        assert_int_equal(sharetest_write(file, offset, data, length, 0), STATUS_OK);
    }
    lfsx_file_close(file);
}

static inline void corpus_set_xattr(struct sharecorpus *c, uint64_t inode) {
    unsigned char value[2500];
    size_t length = random_below(&c->random, random_one_in(&c->random, 4) ? sizeof value : 40);
    random_fill(&c->random, value, length);
    assert_int_equal(
        lfsx_share_xattr_set(c->test.share, inode, sharetest_name(CORPUS_XATTR), value, length, 0),
        STATUS_OK);
}

static inline uint64_t corpus_symlink(struct sharecorpus *c, uint64_t directory, const char *name) {
    char target[3000];
    uint64_t inode = 0;
    size_t length = 1 + random_below(&c->random, random_one_in(&c->random, 4) ? 2999 : 60);
    for (size_t i = 0; i < length; i++)
        target[i] = (char)('a' + random_below(&c->random, 26));
    assert_int_equal(lfsx_share_symlink(c->test.share, directory, sharetest_name(name),
                                        (struct lfsx_name){target, length}, &sharetest_owner,
                                        &inode, 0),
                     STATUS_OK);
    return inode;
}

/* Files and links in a directory; one in eight has a second name in the root. */
static inline void corpus_fill_directory(struct sharecorpus *c, uint64_t directory, unsigned first,
                                         unsigned count) {
    char name[40];
    for (unsigned i = first; i < first + count; i++) {
        snprintf(name, sizeof name, "file %u", i);
        if (i % 7 == 3) {
            (void)corpus_symlink(c, directory, name);
            continue;
        }
        uint64_t inode = sharetest_create(&c->test, directory, name);
        corpus_write(c, inode, i % 11 == 0 ? 20 : i % 3);
        if (i % 4 == 0)
            corpus_set_xattr(c, inode);
        snprintf(name, sizeof name, "link %llu", (unsigned long long)inode);
        if (i % 8 == 0)
            assert_int_equal(
                lfsx_share_link(c->test.share, inode, LFSX_ROOT, sharetest_name(name), 0),
                STATUS_OK);
    }
}

static inline void corpus_fill(struct sharecorpus *c) {
    uint64_t directory = LFSX_ROOT;
    for (unsigned i = 0; i < 8; i++) {
        char name[40];
        snprintf(name, sizeof name, "directory %u", i);
        directory = sharetest_mkdir(&c->test, i % 3 == 0 ? LFSX_ROOT : directory, name);
        if (i % 2 == 0)
            corpus_set_xattr(c, directory);
        corpus_fill_directory(c, directory, 0, 24);
    }
}

/* Some of everything that a client does. */
static inline void corpus_change(struct sharecorpus *c, unsigned seed) {
    for (unsigned i = 0; i < 8; i++) {
        char path[100], name[40];
        uint64_t directory;
        snprintf(path, sizeof path, "directory %u", i);
        for (unsigned j = i; j % 3 != 0; j--) {
            char longer[100];
            snprintf(longer, sizeof longer, "directory %u/%.70s", j - 1, path);
            memcpy(path, longer, sizeof path);
        }
        assert_int_equal(lfsx_share_resolve(c->test.share, path, &directory), STATUS_OK);
        for (unsigned j = seed + i; j < 24; j += 6) {
            snprintf(name, sizeof name, "file %u", j);
            uint64_t inode = sharetest_lookup(&c->test, directory, name);
            if (inode == 0 || j % 7 == 3)
                continue;
            if (j % 5 == 0)
                assert_int_equal(sharetest_unlink(&c->test, directory, name), STATUS_OK);
            else if (j % 5 == 1)
                assert_int_equal(sharetest_rename(&c->test, directory, name, LFSX_ROOT, name, 0),
                                 STATUS_OK);
            else
                corpus_write(c, inode, 2);
        }
        if (i % 4 == seed % 4)
            corpus_fill_directory(c, directory, 100 + 10 * seed, 5);
    }
}

/* ---- what it holds ---- */

static inline void corpus_read_inode(struct lfsx_share *share, uint64_t number,
                                     struct corpus_inode *inode) {
    size_t length;
    assert_true(number < CORPUS_INODES);
    if (inode->is_there)
        return;
    inode->is_there = true;
    assert_int_equal(lfsx_share_getattr(share, number, &inode->attributes), STATUS_OK);
    if (inode->attributes.kind == LFSX_REGULAR) {
        struct lfsx_file *file;
        uint32_t got;
        assert_true(inode->attributes.size <= CORPUS_FILE_MAX);
        inode->content = calloc(1, CORPUS_FILE_MAX);
        assert_int_equal(lfsx_file_open(share, number, &file), STATUS_OK);
        assert_int_equal(sharetest_read(file, 0, inode->content, CORPUS_FILE_MAX, &got), STATUS_OK);
        lfsx_file_close(file);
    } else if (inode->attributes.kind == LFSX_SYMLINK) {
        inode->content = malloc(LFSX_TARGET_MAX);
        assert_int_equal(
            lfsx_share_readlink(share, number, (char *)inode->content, LFSX_TARGET_MAX, &length),
            STATUS_OK);
    }
    inode->xattr = malloc(LFSX_XATTR_MAX);
    if (lfsx_share_xattr_get(share, number, sharetest_name(CORPUS_XATTR), inode->xattr,
                             LFSX_XATTR_MAX, &inode->xattr_length) == STATUS_OK)
        return;
    free(inode->xattr);
    inode->xattr = NULL;
}

static inline void corpus_read_directory(struct lfsx_share *share, uint64_t directory,
                                         struct corpus_view *view) {
    struct lfsx_entry *entries = malloc(LFSX_READDIR_MAX * sizeof *entries);
    size_t count;
    corpus_read_inode(share, directory, &view->inodes[directory]);
    assert_int_equal(lfsx_share_readdir(share, directory, 0, entries, LFSX_READDIR_MAX, &count),
                     STATUS_OK);
    assert_true(count < LFSX_READDIR_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_true(view->entry_count < CORPUS_ENTRIES);
        struct corpus_entry *entry = &view->entries[view->entry_count++];
        *entry = (struct corpus_entry){.directory = directory, .inode = entries[i].inode};
        snprintf(entry->name, sizeof entry->name, "%s", entries[i].name);
        if (entries[i].kind == LFSX_DIRECTORY)
            corpus_read_directory(share, entries[i].inode, view);
        else
            corpus_read_inode(share, entries[i].inode, &view->inodes[entries[i].inode]);
    }
    free(entries);
}

static inline void corpus_read(struct sharecorpus *c, struct lfsx_pool *pool) {
    for (unsigned i = 0; i < CORPUS_VIEWS; i++) {
        struct lfsx_share *share;
        assert_int_equal(lfsx_share_open(pool, corpus_views[i], &share), STATUS_OK);
        corpus_read_directory(share, LFSX_ROOT, &c->views[i]);
        lfsx_share_close(share);
    }
}

static inline void corpus_end(struct sharecorpus *c) {
    for (unsigned i = 0; i < CORPUS_VIEWS; i++)
        for (unsigned j = 0; j < CORPUS_INODES; j++) {
            free(c->views[i].inodes[j].content);
            free(c->views[i].inodes[j].xattr);
        }
    free(c->image);
    ramdisk_destroy(c->test.disk);
    free(c);
}

/* ---- what is damaged ---- */

static inline struct disk_node *corpus_node(struct sharecorpus *c, uint64_t block) {
    return (struct disk_node *)(c->image + block * DISK_BLOCK_SIZE);
}

static inline void corpus_find_nodes(struct sharecorpus *c) {
    static struct ring ring;
    struct superblock super;
    struct allocator allocator;
    struct blockdev *device = &c->test.disk->device;
    assert_int_equal(label_read(device, &c->label), STATUS_OK);
    assert_int_equal(ring_read(device, &c->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    const struct geometry *g = &c->label.geometry;
    assert_int_equal(alloc_load(&allocator, g, device, &super.map_root), STATUS_OK);
    for (uint64_t block = g->data_start; block < g->data_end; block++) {
        const struct disk_node *node = corpus_node(c, block);
        if (alloc_is_used(&allocator, block) && le32_get(node->magic) == DISK_NODE_MAGIC &&
            le64_get(node->block) == block && le64_get(node->owner) >= DISK_FIRST_DATASET)
            c->blocks[c->count++] = block;
    }
    alloc_destroy(&allocator);
}

/* Hashes of names follow from the pool's UUID: one from the seed lets it repeat a run. */
static inline struct ramdisk *corpus_disk(struct sharecorpus *c) {
    struct ramdisk *disk = ramdisk_create(CORPUS_BYTES);
    uint8_t uuid[16];
    pooltest_format(disk, 0, 0);
    random_fill(&c->random, uuid, sizeof uuid);
    for (uint64_t block = 0; block < CORPUS_BYTES / DISK_BLOCK_SIZE; block++) {
        unsigned char *page = disk->content + block * DISK_BLOCK_SIZE;
        struct disk_label *label = (struct disk_label *)page;
        struct disk_superblock *super = (struct disk_superblock *)page;
        if (memcmp(label->magic, DISK_LABEL_MAGIC, sizeof label->magic) == 0)
            memcpy(label->pool_uuid, uuid, sizeof uuid);
        else if (memcmp(super->magic, DISK_SUPERBLOCK_MAGIC, sizeof super->magic) == 0)
            memcpy(super->pool_uuid, uuid, sizeof uuid);
        else
            continue;
        label->checksum = le64_make(checksum_xxh64(page + 8, DISK_BLOCK_SIZE - 8, 0));
    }
    struct lfsx_pool *pool = pooltest_open(disk);
    assert_int_equal(lfsx_share_create(pool, SHARETEST_NAME), STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    return disk;
}

/* The journal of one that is cut off has more of the share and of the clone. */
static inline struct sharecorpus *corpus_start(const char *name, bool with_journal) {
    struct sharecorpus *c = calloc(1, sizeof *c);
    const char *share = SHARETEST_NAME;
    c->random = random_start(name);
    c->verbose = getenv("VERBOSE") != NULL;
    setbuf(stdout, NULL);
    c->test.disk = corpus_disk(c);
    sharetest_open(&c->test);
    corpus_fill(c);
    assert_int_equal(lfsx_snapshot_create(c->test.pool, &share, 1, "one", 0), STATUS_OK);
    corpus_change(c, 0);
    assert_int_equal(lfsx_clone_create(c->test.pool, share, "one", "copy"), STATUS_OK);
    struct lfsx_share *head = c->test.share;
    assert_int_equal(lfsx_share_open(c->test.pool, "copy", &c->test.share), STATUS_OK);
    corpus_change(c, 1);
    lfsx_share_close(c->test.share);
    c->test.share = head;
    assert_int_equal(lfsx_snapshot_create(c->test.pool, &share, 1, "two", 0), STATUS_OK);
    corpus_change(c, 2);
    c->image = malloc(CORPUS_BYTES);
    if (with_journal) {
        assert_int_equal(pool_checkpoint_force(c->test.pool), STATUS_OK);
        corpus_change(c, 3);
        assert_int_equal(lfsx_pool_commit(c->test.pool), STATUS_OK);
        memcpy(c->image, c->test.disk->content, CORPUS_BYTES);
    }
    sharetest_close(&c->test);
    if (with_journal)
        memcpy(c->test.disk->content, c->image, CORPUS_BYTES);
    memcpy(c->image, c->test.disk->content, CORPUS_BYTES);
    pooltest_assert_clean(c->test.disk);
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY};
    struct lfsx_pool *pool;
    assert_int_equal(lfsx_pool_open(&c->test.disk->device, &options, &pool), STATUS_OK);
    corpus_read(c, pool);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    assert_memory_equal(c->image, c->test.disk->content, CORPUS_BYTES);
    corpus_find_nodes(c);
    return c;
}

enum corpus_damage { CORPUS_FLIP, CORPUS_ZERO, CORPUS_GARBLE, CORPUS_DAMAGES };

static inline void corpus_damage(struct sharecorpus *c, uint64_t block, enum corpus_damage kind) {
    unsigned char *page = c->test.disk->content + block * DISK_BLOCK_SIZE;
    if (kind == CORPUS_FLIP)
        page[random_below(&c->random, DISK_BLOCK_SIZE)] ^= 0x10;
    else if (kind == CORPUS_ZERO)
        memset(page, 0, DISK_BLOCK_SIZE);
    else
        random_fill(&c->random, page, DISK_BLOCK_SIZE);
}

/* ---- repairing ---- */

static inline void corpus_on_finding(void *context, const struct lfsx_finding *finding) {
    struct sharecorpus *c = context;
    if (c->verbose)
        printf("  [%u] %s\n", finding->number, finding->text);
}

static inline void corpus_on_action(void *context, const char *text) {
    struct sharecorpus *c = context;
    if (c->verbose)
        printf("  %s\n", text);
}

static inline void corpus_on_loss(void *context, const struct lfsx_loss *loss) {
    struct sharecorpus *c = context;
    struct corpus_loss noted = {
        0, loss->kind, loss->inode, loss->last_inode, loss->offset, loss->length, loss->doubtful};
    if (c->verbose)
        printf("  loss: %s %u %s %llu..%llu: %llu + %llu%s\n", loss->volume, loss->kind,
               loss->path == NULL ? "?" : loss->path, (unsigned long long)loss->inode,
               (unsigned long long)loss->last_inode, (unsigned long long)loss->offset,
               (unsigned long long)loss->length, loss->doubtful ? " doubtful" : "");
    while (noted.view < CORPUS_VIEWS && strcmp(corpus_views[noted.view], loss->volume) != 0)
        noted.view++;
    assert_true(noted.view < CORPUS_VIEWS);
    assert_true(c->loss_count < CORPUS_LOSSES);
    c->losses[c->loss_count++] = noted;
}

static inline void corpus_repair(struct sharecorpus *c) {
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .finding = corpus_on_finding,
                                          .action = corpus_on_action,
                                          .loss = corpus_on_loss,
                                          .context = c};
    struct lfsx_repair_summary summary;
    c->loss_count = 0;
    assert_int_equal(lfsx_repair(&c->test.disk->device, &options, &summary), STATUS_OK);
    if (summary.remaining > 0)
        pooltest_assert_clean(c->test.disk); /* says what */
    assert_int_equal(summary.remaining, 0);
}

/* ---- comparing ---- */

struct comparison {
    struct sharecorpus *c;
    unsigned view;
    struct lfsx_share *share;
};

/* Whether it was said that anything may be true of the inode. */
static inline bool is_said(const struct comparison *k, uint64_t inode) {
    for (unsigned i = 0; i < k->c->loss_count; i++) {
        const struct corpus_loss *loss = &k->c->losses[i];
        if (loss->view == k->view && inode >= loss->inode && inode <= loss->last &&
            (loss->kind == LFSX_LOSS_ITEMS || loss->kind == LFSX_LOSS_FILE))
            return true;
    }
    return false;
}

/* Whether bytes of the block were reported; *doubtful: they need not be zeros. */
static inline bool is_block_said(const struct comparison *k, uint64_t inode, uint64_t block,
                                 bool *doubtful) {
    bool said = false;
    *doubtful = false;
    for (unsigned i = 0; i < k->c->loss_count; i++) {
        const struct corpus_loss *loss = &k->c->losses[i];
        if (loss->view == k->view && loss->kind == LFSX_LOSS_BYTES && loss->inode == inode &&
            loss->offset < (block + 1) * LFSX_BLOCK_SIZE &&
            loss->offset + loss->length > block * LFSX_BLOCK_SIZE) {
            said = true;
            *doubtful |= loss->doubtful;
        }
    }
    return said;
}

static inline void corpus_fail(const struct comparison *k, uint64_t inode, const char *what) {
    fail_msg("%s: inode %llu: %s", corpus_views[k->view], (unsigned long long)inode, what);
}

static inline void compare_content(const struct comparison *k, uint64_t number,
                                   const struct corpus_inode *was, uint64_t size) {
    static unsigned char data[CORPUS_FILE_MAX];
    static const unsigned char zeros[LFSX_BLOCK_SIZE];
    struct lfsx_file *file;
    uint32_t got;
    assert_int_equal(lfsx_file_open(k->share, number, &file), STATUS_OK);
    for (uint64_t i = 0; i * LFSX_BLOCK_SIZE < size && i * LFSX_BLOCK_SIZE < CORPUS_FILE_MAX; i++) {
        bool doubtful;
        uint64_t at = i * LFSX_BLOCK_SIZE;
        assert_int_equal(sharetest_read(file, at, data, LFSX_BLOCK_SIZE, &got), STATUS_OK);
        uint64_t length =
            MATH_MIN(MATH_MIN(size, was->attributes.size) - MATH_MIN(at, was->attributes.size),
                     LFSX_BLOCK_SIZE);
        bool same = at >= was->attributes.size || memcmp(data, was->content + at, length) == 0;
        bool said = is_block_said(k, number, i, &doubtful);
        if (!same && !said)
            corpus_fail(k, number, "its content differs");
        if (!same && !doubtful && memcmp(data, zeros, got) != 0)
            corpus_fail(k, number, "what is lost does not read as zeros");
        k->c->differing += !same;
    }
    lfsx_file_close(file);
}

/* Names may be missing, or be there again, where it was said of their directory. */
static inline bool links_are_said(const struct comparison *k, uint64_t inode, uint32_t links) {
    const struct corpus_view *view = &k->c->views[k->view];
    uint32_t sure = 0;
    bool any = false;
    for (unsigned i = 0; i < view->entry_count; i++) {
        bool said = is_said(k, view->entries[i].directory);
        sure += view->entries[i].inode == inode && !said;
        any |= said;
    }
    return any && links >= sure;
}

static inline bool is_parent_said(const struct comparison *k, uint64_t inode) {
    const struct corpus_view *view = &k->c->views[k->view];
    for (unsigned i = 0; i < view->entry_count; i++)
        if (view->entries[i].inode == inode && is_said(k, view->entries[i].directory))
            return true;
    return false;
}

static inline void compare_attributes(const struct comparison *k, uint64_t number,
                                      const struct corpus_inode *was,
                                      const struct lfsx_attributes *now) {
    const struct lfsx_attributes *a = &was->attributes;
    if (a->kind != now->kind || a->mode != now->mode || a->uid != now->uid || a->gid != now->gid ||
        a->size != now->size || a->modified_ns != now->modified_ns ||
        a->created_ns != now->created_ns)
        corpus_fail(k, number, "its attributes differ");
    if ((a->links != now->links && !links_are_said(k, number, now->links)) ||
        (a->parent != now->parent && !is_parent_said(k, number)))
        corpus_fail(k, number, "its names differ");
}

static inline void compare_xattr(const struct comparison *k, uint64_t number,
                                 const struct corpus_inode *was) {
    static unsigned char value[LFSX_XATTR_MAX];
    size_t length;
    enum status status = lfsx_share_xattr_get(k->share, number, sharetest_name(CORPUS_XATTR), value,
                                              sizeof value, &length);
    if (was->xattr == NULL ? status != STATUS_NOT_FOUND
                           : status != STATUS_OK || length != was->xattr_length ||
                                 memcmp(value, was->xattr, length) != 0)
        corpus_fail(k, number, "its attribute differs");
}

static inline void compare_inode(const struct comparison *k, uint64_t number) {
    const struct corpus_inode *was = &k->c->views[k->view].inodes[number];
    struct lfsx_attributes now;
    char target[LFSX_TARGET_MAX];
    size_t length;
    bool said = is_said(k, number);
    enum status status = lfsx_share_getattr(k->share, number, &now);
    if (status != STATUS_OK) {
        if (!said)
            corpus_fail(k, number, "it is gone");
        k->c->differing++;
        return;
    }
    if (now.kind == LFSX_REGULAR && was->attributes.kind == LFSX_REGULAR)
        compare_content(k, number, was, now.size);
    if (said)
        return;
    compare_attributes(k, number, was, &now);
    compare_xattr(k, number, was);
    if (now.kind != LFSX_SYMLINK)
        return;
    assert_int_equal(lfsx_share_readlink(k->share, number, target, sizeof target, &length),
                     STATUS_OK);
    if (memcmp(target, was->content, length) != 0)
        corpus_fail(k, number, "its target differs");
}

/* Names that were there still are, and no others. */
static inline void compare_names(const struct comparison *k) {
    const struct corpus_view *view = &k->c->views[k->view];
    for (unsigned i = 0; i < view->entry_count; i++) {
        const struct corpus_entry *entry = &view->entries[i];
        uint64_t inode = 0;
        if (is_said(k, entry->directory) || is_said(k, entry->inode))
            continue;
        if (lfsx_share_lookup(k->share, entry->directory, sharetest_name(entry->name), &inode) !=
                STATUS_OK ||
            inode != entry->inode)
            corpus_fail(k, entry->inode, entry->name);
    }
    for (uint64_t directory = 1; directory < CORPUS_INODES; directory++) {
        static struct lfsx_entry entries[LFSX_READDIR_MAX];
        size_t count = 0;
        unsigned expected = directory == LFSX_ROOT; /* lost+found */
        for (unsigned i = 0; i < view->entry_count; i++)
            expected += view->entries[i].directory == directory;
        if (is_said(k, directory) || !view->inodes[directory].is_there ||
            view->inodes[directory].attributes.kind != LFSX_DIRECTORY)
            continue;
        assert_int_equal(
            lfsx_share_readdir(k->share, directory, 0, entries, LFSX_READDIR_MAX, &count),
            STATUS_OK);
        for (size_t i = 0; count > expected && k->c->verbose && i < count; i++)
            printf("  %s: %llu\n", entries[i].name, (unsigned long long)entries[i].inode);
        if (count > expected)
            corpus_fail(k, directory, "it has more names");
    }
}

/* What is reported as gone for certain was there. */
static inline void compare_reports(const struct comparison *k) {
    for (unsigned i = 0; i < k->c->loss_count; i++) {
        const struct corpus_loss *loss = &k->c->losses[i];
        if (loss->view == k->view && loss->kind == LFSX_LOSS_FILE && !loss->doubtful &&
            (loss->inode >= CORPUS_INODES || !k->c->views[k->view].inodes[loss->inode].is_there))
            corpus_fail(k, loss->inode, "it was never there");
    }
}

static inline void compare_view(struct sharecorpus *c, struct lfsx_pool *pool, unsigned view) {
    struct comparison k = {.c = c, .view = view};
    assert_int_equal(lfsx_share_open(pool, corpus_views[view], &k.share), STATUS_OK);
    for (uint64_t i = 0; i < CORPUS_INODES; i++)
        if (c->views[view].inodes[i].is_there)
            compare_inode(&k, i);
    compare_names(&k);
    compare_reports(&k);
    lfsx_share_close(k.share);
}

/* The pool takes changes again, and its shares hold what they held but for what was reported. */
static inline void corpus_verify(struct sharecorpus *c) {
    struct lfsx_pool *pool = pooltest_open(c->test.disk);
    for (unsigned i = 0; i < CORPUS_VIEWS; i++)
        compare_view(c, pool, i);
    assert_int_equal(lfsx_share_open(pool, SHARETEST_NAME, &c->test.share), STATUS_OK);
    (void)sharetest_create(&c->test, LFSX_ROOT, "afterwards");
    lfsx_share_close(c->test.share);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    struct pooltest_findings findings = {.without_data = true};
    pooltest_check(c->test.disk, &findings);
    assert_int_equal(findings.count, 0);
}

#endif
