/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a node that several trees have is looked into once, and still the check sees it when one
 * of them says something else of it than the tree that it came from.
 */
#include "tests/storage/lfsx/snapshotpool.h"

struct seen {
    unsigned count;
    uint32_t first;
    uint64_t reads;
};

static void on_finding(void *context, const struct lfsx_finding *finding) {
    struct seen *seen = context;
    if (seen->count++ == 0)
        seen->first = finding->number;
    printf("%u %s: %s\n", finding->number, finding->name, finding->text);
}

/* Finishes the pool. With a budget it is the same. */
static struct seen check(struct snapshotpool *pool) {
    struct seen seen[2] = {{0}, {0}};
    snapshotpool_finish(pool);
    struct ramdisk *scratch = ramdisk_create(4u << 20);
    for (unsigned i = 0; i < 2; i++) {
        struct lfsx_check_options options = {.finding = on_finding,
                                             .context = &seen[i],
                                             .memory_bytes = i * LFSX_MEMORY_MIN,
                                             .scratch = &scratch->device};
        struct lfsx_check_summary summary;
        uint64_t before = pool->disk->reads;
        assert_int_equal(lfsx_check(&pool->disk->device, &options, &summary), STATUS_OK);
        seen[i].reads = pool->disk->reads - before;
    }
    assert_int_equal(seen[0].count, seen[1].count);
    assert_int_equal(seen[0].first, seen[1].first);
    ramdisk_destroy(scratch);
    return seen[0];
}

/* Whether the pool opens and its live volume can be read. */
static bool is_readable(struct ramdisk *disk) {
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    struct lfsx_buffer *buffer;
    if (lfsx_pool_open(&disk->device, NULL, &pool) != STATUS_OK)
        return false;
    enum status status = lfsx_volume_open(pool, "alpha", &volume);
    if (status == STATUS_OK) {
        assert_int_equal(lfsx_buffer_alloc(0, SNAPSHOTPOOL_FILE, &buffer), STATUS_OK);
        status = lfsx_volume_read(volume, buffer);
        lfsx_buffer_free(buffer);
        lfsx_volume_close(volume);
    }
    (void)lfsx_pool_close(pool);
    return status == STATUS_OK;
}

/* The root of the live tree says that its second leaf, or both of them, begin with other keys. */
static void set_head(struct snapshotpool *pool, const struct pointer *head,
                     const struct key keys[2]) {
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    const struct pointer *children[2] = {head, &pool->leaf[3]};
    node_init(node, 1, SNAPSHOTPOOL_ALPHA);
    for (unsigned i = 0; i < 2; i++) {
        struct disk_pointer disk;
        pointer_store(&disk, children[i]);
        node_insert(node, i, &keys[i], &disk, sizeof disk);
    }
    pool->next = pool->root[2].block; /* over the one that is there */
    uint64_t next = pool->root[3].block + 1;
    pool->root[2] = snapshotpool_write(pool, node, 3);
    pool->next = next;
    pointer_store(&pool->catalog[ITEM_ALPHA].value.dataset.root, &pool->root[2]);
    os_page_free(node, DISK_BLOCK_SIZE);
}

static const struct key inode_key = {DISK_ROOT_INODE, 0, DISK_TYPE_INODE};
static const struct key early_key = {DISK_ROOT_INODE, 0, DISK_TYPE_EXTENT};
static const struct key middle_key = {DISK_ROOT_INODE, 5, DISK_TYPE_EXTENT};
static const struct key tail_key = {DISK_ROOT_INODE, 10, DISK_TYPE_EXTENT};

/* The shared leaf begins before the key that the younger parent has for it. */
static void first_key(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    set_head(&pool, &pool.leaf[2], (struct key[]){early_key, tail_key});
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.first, CHECK_NODE_ORDER);
    assert_false(is_readable(pool.disk));
    ramdisk_destroy(pool.disk);
}

/* It ends behind the next one's first key. */
static void last_key(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    set_head(&pool, &pool.leaf[2], (struct key[]){inode_key, early_key});
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.first, CHECK_NODE_ORDER);
    assert_false(is_readable(pool.disk));
    ramdisk_destroy(pool.disk);
}

/* The younger parent has another checksum for it, or another level. */
static void another_pointer(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    struct pointer wrong = pool.leaf[2];
    wrong.checksum ^= 1;
    set_head(&pool, &wrong, (struct key[]){inode_key, tail_key});
    struct seen seen = check(&pool);
    assert_int_equal(seen.first, CHECK_NODE_CHECKSUM);
    assert_false(is_readable(pool.disk));
    ramdisk_destroy(pool.disk);
}

/* Other keys that fit are no finding, and cost a look at the node. */
static void fits(void **state) {
    (void)state;
    struct snapshotpool pool;
    snapshotpool_begin(&pool);
    uint64_t reads = check(&pool).reads;
    assert_true(is_readable(pool.disk));
    ramdisk_destroy(pool.disk);
    snapshotpool_begin(&pool);
    set_head(&pool, &pool.leaf[2], (struct key[]){inode_key, middle_key});
    struct seen seen = check(&pool);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.reads, reads + 1);
    assert_true(is_readable(pool.disk));
    ramdisk_destroy(pool.disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_key),
        cmocka_unit_test(last_key),
        cmocka_unit_test(another_pointer),
        cmocka_unit_test(fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
