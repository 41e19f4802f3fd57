/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a check within a budget of memory finds what one without finds, finding for finding, in
 * pools for which the budget is much too small: data and nodes scattered over a large device,
 * snapshots, a clone, a share of many names; whole, damaged in any block of metadata, and with
 * items that contradict each other. It stays within the budget, and where the scratch device is
 * missing, full or failing, or memory is, it says so instead of finding something else.
 */
#include "host/host.h"
#include "storage/lfsx/check/check_findings.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/share/share.h"
#include "tests/storage/lfsx/sharetest.h"
#include "tests/storage/lfsx/sparsedisk.h"

#define DISK_BYTES (256ull << 30)
#define VOLUME_SIZE (1ull << 30)
#define WRITES 400u
#define DIRECTORIES 40u
#define FILES 900u
#define BUDGET LFSX_MEMORY_MIN
#define SCRATCH (64ull << 20)
#define FINDINGS_MAX 4096u
#define DAMAGES 60u

struct findings {
    uint64_t count;
    struct lfsx_finding list[FINDINGS_MAX];
};

struct scene {
    struct random random;
    struct sparsedisk *disk, *scratch;
    struct sharetest share; /* its disk is not used */
    uint64_t directories[DIRECTORIES], files[FILES];
    uint64_t *metadata; /* blocks */
    uint64_t metadata_count;
    struct findings without, within;
    struct lfsx_check_summary summary; /* of the last check within the budget */
};

/* ---- a pool that lies everywhere ---- */

/* What is written next goes elsewhere. */
static void move_on(struct scene *s) {
    struct allocator *allocator = &s->share.pool->allocator;
    os_mutex_lock(&allocator->lock);
    const struct geometry *g = &allocator->geometry;
    uint64_t blocks = g->data_end - g->data_start;
    allocator->data_cursor = g->data_start + random_below(&s->random, blocks);
    allocator->node_cursor = g->data_start + random_below(&s->random, blocks);
    os_mutex_unlock(&allocator->lock);
}

static void write_volume(struct scene *s, const char *name, unsigned count) {
    struct lfsx_volume *volume;
    unsigned char data[2 * LFSX_BLOCK_SIZE];
    assert_int_equal(lfsx_volume_open(s->share.pool, name, &volume), STATUS_OK);
    for (unsigned i = 0; i < count; i++) {
        random_fill(&s->random, data, 16);
        uint32_t length = LFSX_BLOCK_SIZE * (1 + i % 2);
        uint64_t block = random_below(&s->random, VOLUME_SIZE / LFSX_BLOCK_SIZE - 1);
        move_on(s);
        assert_int_equal(pooltest_write(volume, block * LFSX_BLOCK_SIZE, data, length, 0),
                         STATUS_OK);
        if (i % 8 == 0)
            assert_int_equal(pool_checkpoint_force(s->share.pool), STATUS_OK);
    }
    lfsx_volume_close(volume);
}

static void make_volumes(struct scene *s) {
    static const char *const alpha[] = {"alpha"};
    struct lfsx_pool *pool = s->share.pool;
    assert_int_equal(lfsx_volume_create(pool, "alpha", VOLUME_SIZE), STATUS_OK);
    write_volume(s, "alpha", WRITES);
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof name, "number %u", i);
        assert_int_equal(lfsx_snapshot_create(pool, alpha, 1, name, 0), STATUS_OK);
        write_volume(s, "alpha", 2);
    }
    assert_int_equal(lfsx_clone_create(pool, "alpha", "number 7", "beta"), STATUS_OK);
    write_volume(s, "beta", WRITES / 4);
}

static void make_share(struct scene *s) {
    static unsigned char data[LFSX_BLOCK_SIZE];
    for (unsigned i = 0; i < DIRECTORIES; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", i);
        uint64_t above = i < 4 ? LFSX_ROOT : s->directories[random_below(&s->random, i)];
        s->directories[i] = sharetest_mkdir(&s->share, above, name);
    }
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        uint64_t directory = s->directories[random_below(&s->random, DIRECTORIES)];
        s->files[i] = sharetest_create(&s->share, directory, name);
        if (i % 20 != 0)
            continue;
        move_on(s);
        struct lfsx_file *file = sharetest_file(&s->share, s->files[i]);
        assert_int_equal(sharetest_write(file, 0, data, sizeof data, 0), STATUS_OK);
        lfsx_file_close(file);
    }
}

static void open_pool(struct scene *s) {
    struct lfsx_open_options options = {.cache_bytes = 64u << 20};
    assert_int_equal(lfsx_pool_open(&s->disk->device, &options, &s->share.pool), STATUS_OK);
}

static void close_pool(struct scene *s) {
    assert_int_equal(lfsx_pool_close(s->share.pool), STATUS_OK);
}

static bool is_metadata(const struct scene *s, const struct geometry *g, uint64_t block) {
    const unsigned char *page = sparsedisk_page(s->disk, block);
    if (block < g->data_start || block >= g->data_end)
        return block < g->journal_start || block >= g->data_end;
    return le32_get(((const struct disk_node *)page)->magic) == DISK_NODE_MAGIC;
}

static void find_metadata(struct scene *s) {
    struct label label;
    assert_int_equal(label_read(&s->disk->device, &label), STATUS_OK);
    s->metadata = calloc(s->disk->pages, sizeof *s->metadata);
    for (uint64_t group = 0; group < s->disk->group_count; group++)
        for (uint64_t i = 0; s->disk->groups[group] != NULL && i < SPARSEDISK_GROUP; i++) {
            uint64_t block = group * SPARSEDISK_GROUP + i;
            if (sparsedisk_page(s->disk, block) != NULL && is_metadata(s, &label.geometry, block))
                s->metadata[s->metadata_count++] = block;
        }
}

static int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    s->random = random_start("budget");
    s->disk = sparsedisk_create(DISK_BYTES);
    s->scratch = sparsedisk_create(SCRATCH);
    assert_int_equal(
        lfsx_format(&s->disk->device, &(struct lfsx_format_options){.label = "scattered"}),
        STATUS_OK);
    open_pool(s);
    make_volumes(s);
    assert_int_equal(lfsx_share_create(s->share.pool, SHARETEST_NAME), STATUS_OK);
    assert_int_equal(lfsx_share_open(s->share.pool, SHARETEST_NAME, &s->share.share), STATUS_OK);
    make_share(s);
    lfsx_share_close(s->share.share);
    close_pool(s);
    find_metadata(s);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    sparsedisk_destroy(s->disk);
    sparsedisk_destroy(s->scratch);
    free(s->metadata);
    free(s);
    return 0;
}

/* ---- checks ---- */

static void note(void *context, const struct lfsx_finding *finding) {
    struct findings *findings = context;
    if (findings->count < FINDINGS_MAX)
        findings->list[findings->count] = *finding;
    findings->count++;
}

static enum status check_within(struct scene *s, uint64_t budget, struct blockdev *scratch) {
    struct lfsx_check_options options = {.data = true,
                                         .memory_bytes = budget,
                                         .scratch = scratch,
                                         .finding = note,
                                         .context = &s->within};
    s->within.count = 0;
    return lfsx_check(&s->disk->device, &options, &s->summary);
}

static void assert_same_summary(const struct lfsx_check_summary *a,
                                const struct lfsx_check_summary *b) {
    struct lfsx_check_summary one = *a;
    one.memory_peak = b->memory_peak;
    one.scratch_bytes = b->scratch_bytes;
    assert_memory_equal(&one, b, sizeof one);
}

/* Returns how many findings there are. */
static uint64_t compare(struct scene *s) {
    struct lfsx_check_options options = {.data = true, .finding = note, .context = &s->without};
    struct lfsx_check_summary summary;
    s->without.count = 0;
    assert_int_equal(lfsx_check(&s->disk->device, &options, &summary), STATUS_OK);
    assert_int_equal(check_within(s, BUDGET, &s->scratch->device), STATUS_OK);
    assert_int_equal(s->within.count, s->without.count);
    for (uint64_t i = 0; i < MATH_MIN(s->within.count, FINDINGS_MAX); i++) {
        const struct lfsx_finding *one = &s->without.list[i];
        const struct lfsx_finding *other = &s->within.list[i];
        assert_int_equal(one->number, other->number);
        assert_int_equal(one->block, other->block);
        assert_string_equal(one->text, other->text);
    }
    assert_same_summary(&summary, &s->summary);
    assert_int_equal(summary.scratch_bytes, 0);
    assert_true(s->summary.memory_peak <= BUDGET);
    return s->within.count;
}

static void whole(void **state) {
    struct scene *s = *state;
    assert_int_equal(compare(s), 0);
    assert_true(s->summary.scratch_bytes > 2 * BUDGET);
    assert_true(s->summary.nodes > 200 && s->summary.snapshots == 60 && s->summary.datasets == 3);
}

static void damaged(void **state) {
    struct scene *s = *state;
    uint64_t found = 0;
    for (uint64_t i = random_scale(DAMAGES); i > 0; i--) {
        uint64_t block = s->metadata[random_below(&s->random, s->metadata_count)];
        uint64_t byte = random_below(&s->random, DISK_BLOCK_SIZE);
        sparsedisk_page(s->disk, block)[byte] ^= 0x10;
        found += compare(s) > 0;
        sparsedisk_page(s->disk, block)[byte] ^= 0x10;
    }
    assert_true(found > DAMAGES / 4); /* others are old versions */
}

/* ---- a share that contradicts itself ---- */

static struct btree *tree_of(struct scene *s) {
    return &s->share.share->holding.dataset->tree;
}

static void change(struct scene *s, struct key key, bool take) {
    struct lfsx_pool *pool = s->share.pool;
    struct update_need need = {.nodes = 400};
    struct btree_cursor cursor;
    union {
        struct disk_inode inode;
        unsigned char bytes[DISK_VALUE_MAX];
    } value;
    os_rwlock_lock_exclusive(&pool->lock);
    if (btree_seek(tree_of(s), &key, &cursor) == STATUS_OK) {
        struct item item = btree_item(&cursor);
        key = item.key;
        memcpy(value.bytes, item.value, item.length);
        assert_int_equal(pool_update_begin(pool, &need), STATUS_OK);
        if (take) {
            btree_remove(tree_of(s), &key);
        } else if (key.type == DISK_TYPE_INODE) {
            bool is_directory = le64_get(value.inode.parent) != 0;
            if (is_directory)
                value.inode.parent = le64_make(s->directories[3]);
            else
                value.inode.links = le32_make(7);
            btree_replace(tree_of(s), &key, &value, item.length);
        }
        pool_update_end(pool);
    }
    os_rwlock_unlock_exclusive(&pool->lock);
}

static void confuse(struct scene *s) {
    for (unsigned i = 0; i < 60; i++) {
        uint64_t inode = s->files[random_below(&s->random, FILES)];
        change(s, inode_key(inode), i % 2 == 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint64_t inode = s->directories[random_below(&s->random, DIRECTORIES)];
        change(s, inode_key(inode), i % 4 == 0);
        change(s, (struct key){.inode = inode, .type = DISK_TYPE_ENTRY}, true);
    }
}

static bool has_found(const struct scene *s, uint32_t number) {
    for (uint64_t i = 0; i < MATH_MIN(s->within.count, FINDINGS_MAX); i++)
        if (s->within.list[i].number == number)
            return true;
    return false;
}

static void confused(void **state) {
    struct scene *s = *state;
    open_pool(s);
    assert_int_equal(lfsx_share_open(s->share.pool, SHARETEST_NAME, &s->share.share), STATUS_OK);
    struct lfsx_attributes attributes;
    for (unsigned i = 0; i < FILES; i++) /* all nodes come into memory */
        attributes = sharetest_attributes(&s->share, s->files[i]);
    (void)attributes;
    confuse(s);
    lfsx_share_close(s->share.share);
    close_pool(s);
    assert_true(compare(s) > 50);
    assert_true(has_found(s, CHECK_ENTRY_WRONG) && has_found(s, CHECK_INODE_LINKS));
}

/* ---- where there is no room ---- */

static void without_a_scratch_device(void **state) {
    struct scene *s = *state;
    assert_int_equal(check_within(s, BUDGET, NULL), STATUS_NO_MEMORY);
    assert_int_equal(s->within.count, 0);
    assert_true(s->summary.memory_peak <= BUDGET);
    assert_int_equal(check_within(s, 64u << 20, NULL), STATUS_OK);
    assert_int_equal(check_within(s, LFSX_MEMORY_MIN - 1, NULL), STATUS_INVALID);
}

static void too_small_a_scratch_device(void **state) {
    struct scene *s = *state;
    enum status status = STATUS_NO_MEMORY;
    uint64_t size = 0;
    while (status == STATUS_NO_MEMORY) {
        struct sparsedisk *scratch = sparsedisk_create(size += 37 * SPARSEDISK_PAGE);
        status = check_within(s, BUDGET, &scratch->device);
        assert_int_equal(s->within.count, 0);
        sparsedisk_destroy(scratch);
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(size > 2 * BUDGET);
}

/* A scratch device whose n-th request fails. */
struct failing {
    struct blockdev device;
    struct sparsedisk *below;
    uint64_t left;
};

static void fail_submit(struct blockdev *device, struct block_request *request) {
    struct failing *failing = (struct failing *)device;
    if (--failing->left > 0) {
        blockdev_submit(&failing->below->device, request);
        return;
    }
    request->status = STATUS_IO;
    request->done(request);
}

static void a_failing_scratch_device(void **state) {
    static const struct blockdev_operations operations = {.submit = fail_submit};
    struct scene *s = *state;
    enum status status = STATUS_IO;
    for (uint64_t n = 1; status == STATUS_IO; n += 1 + n / 3) {
        struct failing failing = {s->scratch->device, s->scratch, n};
        failing.device.operations = &operations;
        status = check_within(s, BUDGET, &failing.device);
        assert_int_equal(s->within.count, 0);
    }
    assert_int_equal(status, STATUS_OK);
}

static void failing_memory(void **state) {
    struct scene *s = *state;
    enum status status = STATUS_NO_MEMORY;
    uint64_t after = 0;
    for (; status == STATUS_NO_MEMORY; after += 1 + after % 2) {
        host_memory_fail(after, after % 4 < 2);
        status = check_within(s, BUDGET, &s->scratch->device);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        assert_int_equal(s->within.count, 0);
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(after > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(without_a_scratch_device),
        cmocka_unit_test(too_small_a_scratch_device),
        cmocka_unit_test(a_failing_scratch_device),
        cmocka_unit_test(failing_memory),
        cmocka_unit_test(damaged),
        cmocka_unit_test(confused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
