/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small pool with snapshots, a clone and dead blocks, put together by hand, so that each of its
 * records can be made to say something else. Its story:
 *
 *   epoch 1: volume "alpha" is blocks 0, 10 and 11 of a file; snapshot "one"
 *   epoch 2: block 0 is written anew: dead are the old block, its leaf and the root; snapshot "two"
 *   epoch 3: block 10 is written anew: dead are the old block, its leaf and the root; and a clone
 * of "two" is made, of which block 11 is written anew
 */
#ifndef TESTS_STORAGE_LFSX_SNAPSHOTPOOL_H
#define TESTS_STORAGE_LFSX_SNAPSHOTPOOL_H

#include "base/checksum.h"
#include "storage/lfsx/check/check_findings.h"
#include "storage/lfsx/space/alloc.h"
#include "tests/storage/lfsx/pooltest.h"

#define SNAPSHOTPOOL_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define SNAPSHOTPOOL_ALPHA 16u
#define SNAPSHOTPOOL_CLONE 17u
#define SNAPSHOTPOOL_FILE (64ull << 10)

struct snapshotpool_block {
    uint64_t block, checksum, birth;
};

/* A record and its key. */
struct snapshotpool_record {
    struct key key;
    uint16_t length;
    union {
        struct disk_dataset dataset;
        struct disk_snapshot snapshot;
        struct disk_schedule_rule rule;
        struct disk_dead dead;
        struct disk_dead_sum sum;
        unsigned char bytes[DISK_VALUE_MAX];
    } value;
};

enum snapshotpool_item { ITEM_ALPHA, ITEM_ONE, ITEM_TWO, ITEM_SCHEDULE, ITEM_CLONE, CATALOG_ITEMS };
enum snapshotpool_dead {
    DEAD_SUM_1_1, /* era 1, birth 1 */
    DEAD_1_1_BLOCK,
    DEAD_1_1_LEAF,
    DEAD_1_1_ROOT,
    DEAD_SUM_2_1,
    DEAD_2_1_BLOCK,
    DEAD_2_1_LEAF,
    DEAD_SUM_2_2,
    DEAD_2_2_ROOT,
    DEAD_ITEMS
};

struct snapshotpool {
    struct ramdisk *disk;
    struct label label;
    struct superblock super;
    uint64_t next;                   /* block to take */
    uint64_t skip;                   /* a block that the maps call free; 0: none */
    struct pointer leaf[4], root[4]; /* leaf: 0 of "one", 1 shared, 2 of "two", 3 of the head */
    struct snapshotpool_block block0, block0_new, block10, block10_new, block11, block11_clone;
    struct snapshotpool_record catalog[CATALOG_ITEMS];
    struct snapshotpool_record dead[DEAD_ITEMS];
    unsigned dead_count;
};

static inline struct snapshotpool_block snapshotpool_data(struct snapshotpool *pool,
                                                          uint64_t birth) {
    unsigned char *page = pool->disk->content + pool->next * DISK_BLOCK_SIZE;
    memset(page, (int)(pool->next & 0xff), DISK_BLOCK_SIZE);
    return (struct snapshotpool_block){pool->next++, checksum_xxh64(page, DISK_BLOCK_SIZE, 0),
                                       birth};
}

static inline void snapshotpool_add_extent(struct disk_node *node, uint64_t first,
                                           const struct snapshotpool_block *data) {
    union {
        struct disk_extent extent;
        unsigned char bytes[sizeof(struct disk_extent) + sizeof(le64)];
    } value = {.extent = {.block = le64_make(data->block),
                          .birth = le64_make(data->birth),
                          .block_count = le32_make(1),
                          .stored_blocks = le32_make(1)}};
    value.extent.checksums[0] = le64_make(data->checksum);
    struct key key = {DISK_ROOT_INODE, first, DISK_TYPE_EXTENT};
    node_insert(node, node_count(node), &key, value.bytes, sizeof value.bytes);
}

static inline void snapshotpool_add_inode(struct disk_node *node) {
    struct disk_inode inode = {.mode = le32_make(DISK_MODE_REGULAR | 0600u),
                               .links = le32_make(1),
                               .size = le64_make(SNAPSHOTPOOL_FILE)};
    struct key key = {DISK_ROOT_INODE, 0, DISK_TYPE_INODE};
    node_insert(node, 0, &key, &inode, sizeof inode);
}

/* Writes the node to the next block. */
static inline struct pointer snapshotpool_write(struct snapshotpool *pool, struct disk_node *node,
                                                uint64_t birth) {
    struct pointer pointer = {.block = pool->next++, .birth = birth, .level = node->level};
    node->block = le64_make(pointer.block);
    node->birth = le64_make(birth);
    node->checkpoint = le64_make(pool->super.checkpoint);
    pointer.checksum = node_seal(node);
    memcpy(pool->disk->content + pointer.block * DISK_BLOCK_SIZE, node, DISK_BLOCK_SIZE);
    return pointer;
}

/* The leaf with the inode and block 0 of the file. */
static inline struct pointer snapshotpool_head_leaf(struct snapshotpool *pool, uint64_t owner,
                                                    const struct snapshotpool_block *block0,
                                                    uint64_t birth) {
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    node_init(node, 0, owner);
    snapshotpool_add_inode(node);
    snapshotpool_add_extent(node, 0, block0);
    struct pointer pointer = snapshotpool_write(pool, node, birth);
    os_page_free(node, DISK_BLOCK_SIZE);
    return pointer;
}

/* The leaf with blocks 10 and 11. */
static inline struct pointer snapshotpool_tail_leaf(struct snapshotpool *pool, uint64_t owner,
                                                    const struct snapshotpool_block *block10,
                                                    const struct snapshotpool_block *block11,
                                                    uint64_t birth) {
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    node_init(node, 0, owner);
    snapshotpool_add_extent(node, 10, block10);
    snapshotpool_add_extent(node, 11, block11);
    struct pointer pointer = snapshotpool_write(pool, node, birth);
    os_page_free(node, DISK_BLOCK_SIZE);
    return pointer;
}

static inline struct pointer snapshotpool_root(struct snapshotpool *pool, uint64_t owner,
                                               const struct pointer *head,
                                               const struct pointer *tail, uint64_t birth) {
    static const struct key keys[2] = {{DISK_ROOT_INODE, 0, DISK_TYPE_INODE},
                                       {DISK_ROOT_INODE, 10, DISK_TYPE_EXTENT}};
    const struct pointer *children[2] = {head, tail};
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    node_init(node, 1, owner);
    for (unsigned i = 0; i < 2; i++) {
        struct disk_pointer disk;
        pointer_store(&disk, children[i]);
        node_insert(node, i, &keys[i], &disk, sizeof disk);
    }
    struct pointer pointer = snapshotpool_write(pool, node, birth);
    os_page_free(node, DISK_BLOCK_SIZE);
    return pointer;
}

static inline void snapshotpool_write_trees(struct snapshotpool *pool) {
    pool->block0 = snapshotpool_data(pool, 1);
    pool->block10 = snapshotpool_data(pool, 1);
    pool->block11 = snapshotpool_data(pool, 1);
    pool->leaf[0] = snapshotpool_head_leaf(pool, SNAPSHOTPOOL_ALPHA, &pool->block0, 1);
    pool->leaf[1] =
        snapshotpool_tail_leaf(pool, SNAPSHOTPOOL_ALPHA, &pool->block10, &pool->block11, 1);
    pool->root[0] = snapshotpool_root(pool, SNAPSHOTPOOL_ALPHA, &pool->leaf[0], &pool->leaf[1], 1);
    pool->block0_new = snapshotpool_data(pool, 2);
    pool->leaf[2] = snapshotpool_head_leaf(pool, SNAPSHOTPOOL_ALPHA, &pool->block0_new, 2);
    pool->root[1] = snapshotpool_root(pool, SNAPSHOTPOOL_ALPHA, &pool->leaf[2], &pool->leaf[1], 2);
    pool->block10_new = snapshotpool_data(pool, 3);
    pool->leaf[3] =
        snapshotpool_tail_leaf(pool, SNAPSHOTPOOL_ALPHA, &pool->block10_new, &pool->block11, 3);
    pool->root[2] = snapshotpool_root(pool, SNAPSHOTPOOL_ALPHA, &pool->leaf[2], &pool->leaf[3], 3);
    pool->block11_clone = snapshotpool_data(pool, 3);
    struct pointer leaf =
        snapshotpool_tail_leaf(pool, SNAPSHOTPOOL_CLONE, &pool->block10, &pool->block11_clone, 3);
    pool->root[3] = snapshotpool_root(pool, SNAPSHOTPOOL_CLONE, &pool->leaf[2], &leaf, 3);
}

static inline void snapshotpool_set_snapshot(struct snapshotpool_record *record, uint64_t epoch,
                                             const char *name, const struct pointer *root) {
    struct disk_snapshot *snapshot = &record->value.snapshot;
    *snapshot = (struct disk_snapshot){.node_blocks = le64_make(3),
                                       .data_blocks = le64_make(3),
                                       .size = le64_make(SNAPSHOTPOOL_FILE),
                                       .name_length = 3};
    pointer_store(&snapshot->root, root);
    memcpy(snapshot->name, name, 3);
    record->key = (struct key){SNAPSHOTPOOL_ALPHA, epoch, DISK_TYPE_SNAPSHOT};
    record->length = sizeof *snapshot + 3;
}

static inline void snapshotpool_set_dataset(struct snapshotpool_record *record, uint64_t id,
                                            const char *name, const struct pointer *root) {
    struct disk_dataset *dataset = &record->value.dataset;
    *dataset = (struct disk_dataset){.id = le64_make(id),
                                     .kind = DISK_DATASET_VOLUME,
                                     .name_length = 5,
                                     .node_blocks = le64_make(3),
                                     .data_blocks = le64_make(3),
                                     .birth = le64_make(id == SNAPSHOTPOOL_CLONE ? 3 : 1)};
    pointer_store(&dataset->root, root);
    memcpy(dataset->name, name, 5);
    record->key = (struct key){id, 0, DISK_TYPE_DATASET};
    record->length = sizeof *dataset + 5;
}

static inline void snapshotpool_set_records(struct snapshotpool *pool) {
    struct snapshotpool_record *catalog = pool->catalog;
    snapshotpool_set_dataset(&catalog[ITEM_ALPHA], SNAPSHOTPOOL_ALPHA, "alpha", &pool->root[2]);
    snapshotpool_set_snapshot(&catalog[ITEM_ONE], 1, "one", &pool->root[0]);
    snapshotpool_set_snapshot(&catalog[ITEM_TWO], 2, "two", &pool->root[1]);
    catalog[ITEM_SCHEDULE].key = (struct key){SNAPSHOTPOOL_ALPHA, 0, DISK_TYPE_SCHEDULE};
    catalog[ITEM_SCHEDULE].length = sizeof(struct disk_schedule_rule);
    catalog[ITEM_SCHEDULE].value.rule =
        (struct disk_schedule_rule){le64_make(3600000000000ull), le64_make(24)};
    snapshotpool_set_dataset(&catalog[ITEM_CLONE], SNAPSHOTPOOL_CLONE, "clone", &pool->root[3]);
    struct disk_dataset *clone = &catalog[ITEM_CLONE].value.dataset;
    clone->origin = le64_make(SNAPSHOTPOOL_ALPHA);
    clone->origin_epoch = le64_make(2);
    clone->shared_blocks = le64_make(3); /* leaf 2, block 0 and block 10 */
}

static inline void snapshotpool_set_dead(struct snapshotpool_record *record, uint64_t era,
                                         uint64_t birth, uint64_t block, uint64_t count) {
    record->key =
        (struct key){era << 32 | birth, block, block == 0 ? DISK_TYPE_DEAD_SUM : DISK_TYPE_DEAD};
    record->length = sizeof(le64);
    record->value.dead.count = le64_make(count);
}

static inline void snapshotpool_set_dead_tree(struct snapshotpool *pool) {
    struct snapshotpool_record *dead = pool->dead;
    snapshotpool_set_dead(&dead[DEAD_SUM_1_1], 1, 1, 0, 3);
    snapshotpool_set_dead(&dead[DEAD_1_1_BLOCK], 1, 1, pool->block0.block, 1);
    snapshotpool_set_dead(&dead[DEAD_1_1_LEAF], 1, 1, pool->leaf[0].block, 1);
    snapshotpool_set_dead(&dead[DEAD_1_1_ROOT], 1, 1, pool->root[0].block, 1);
    snapshotpool_set_dead(&dead[DEAD_SUM_2_1], 2, 1, 0, 2);
    snapshotpool_set_dead(&dead[DEAD_2_1_BLOCK], 2, 1, pool->block10.block, 1);
    snapshotpool_set_dead(&dead[DEAD_2_1_LEAF], 2, 1, pool->leaf[1].block, 1);
    snapshotpool_set_dead(&dead[DEAD_SUM_2_2], 2, 2, 0, 1);
    snapshotpool_set_dead(&dead[DEAD_2_2_ROOT], 2, 2, pool->root[1].block, 1);
    pool->dead_count = DEAD_ITEMS;
}

/* Everything but the catalog, the maps and the superblock; the records may be changed now. */
static inline void snapshotpool_begin(struct snapshotpool *pool) {
    static struct ring ring;
    memset(pool, 0, sizeof *pool);
    pool->disk = ramdisk_create(SNAPSHOTPOOL_BYTES);
    pooltest_format(pool->disk, 1, SNAPSHOTPOOL_FILE);
    assert_int_equal(label_read(&pool->disk->device, &pool->label), STATUS_OK);
    assert_int_equal(ring_read(&pool->disk->device, &pool->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &pool->super), STATUS_OK);
    pool->super.checkpoint++;
    pool->next = pool->label.geometry.data_start + 100;
    snapshotpool_write_trees(pool);
    snapshotpool_set_records(pool);
    snapshotpool_set_dead_tree(pool);
    pool->super.epoch = 3;
    pool->super.next_dataset = SNAPSHOTPOOL_CLONE + 1;
}

static inline void snapshotpool_write_dead_tree(struct snapshotpool *pool) {
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    struct disk_dataset *alpha = &pool->catalog[ITEM_ALPHA].value.dataset;
    node_init(node, 0, SNAPSHOTPOOL_ALPHA | DISK_OWNER_DEAD);
    for (unsigned i = 0; i < pool->dead_count; i++)
        if (pool->dead[i].length > 0)
            node_insert(node, node_count(node), &pool->dead[i].key, pool->dead[i].value.bytes,
                        pool->dead[i].length);
    if (pool->dead_count > 0) {
        struct pointer root = snapshotpool_write(pool, node, 3);
        pointer_store(&alpha->dead, &root);
        alpha->dead_nodes = le64_make(le64_get(alpha->dead_nodes) + 1);
    }
    os_page_free(node, DISK_BLOCK_SIZE);
}

static inline void snapshotpool_add_entry(struct snapshotpool *pool, struct disk_node *node,
                                          const struct disk_dataset *dataset) {
    union {
        struct disk_entry entry;
        unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
    } value = {.entry = {.target = dataset->id,
                         .kind = DISK_ENTRY_DATASET,
                         .name_length = dataset->name_length}};
    memcpy(value.entry.name, dataset->name, dataset->name_length);
    uint64_t seed = le64_get(*(const le64 *)pool->label.pool_uuid);
    uint64_t hash = checksum_xxh64(dataset->name, dataset->name_length, seed);
    struct key key = {DISK_CATALOG_NAMES, hash & ~(uint64_t)(DISK_ENTRY_SLOTS - 1),
                      DISK_TYPE_ENTRY};
    node_insert(node, node_lower_bound(node, &key), &key, value.bytes,
                (uint16_t)(sizeof value.entry + dataset->name_length));
}

static inline void snapshotpool_write_catalog(struct snapshotpool *pool) {
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    node_init(node, 0, DISK_OWNER_CATALOG);
    for (unsigned i = 0; i < CATALOG_ITEMS; i++) {
        const struct snapshotpool_record *record = &pool->catalog[i];
        if (record->length == 0)
            continue;
        if (record->key.type == DISK_TYPE_DATASET &&
            record->value.dataset.state == DISK_DATASET_LIVE)
            snapshotpool_add_entry(pool, node, &record->value.dataset);
        node_insert(node, node_lower_bound(node, &record->key), &record->key, record->value.bytes,
                    record->length);
    }
    pool->super.catalog = snapshotpool_write(pool, node, 3);
    pool->super.catalog_nodes = 1;
    os_page_free(node, DISK_BLOCK_SIZE);
}

static inline void snapshotpool_write_maps(struct snapshotpool *pool) {
    const struct geometry *g = &pool->label.geometry;
    struct allocator before, allocator;
    struct alloc_snapshot snapshot = {0};
    assert_int_equal(alloc_load(&before, g, &pool->disk->device, &pool->super.map_root), STATUS_OK);
    assert_int_equal(alloc_create(&allocator, g), STATUS_OK);
    for (unsigned level = 0; level <= before.top; level++)
        allocator.entries[level][0].copy = before.entries[level][0].copy;
    for (uint64_t block = g->data_start + 100; block < pool->next; block++) {
        if (block == pool->skip)
            continue;
        assert_int_equal(alloc_claim(&allocator, block, 1), STATUS_OK);
        alloc_data_commit(&allocator, block, 1);
    }
    assert_int_equal(alloc_freeze(&allocator, pool->super.checkpoint, &snapshot), STATUS_OK);
    for (uint64_t i = 0; i < snapshot.count; i++)
        memcpy(pool->disk->content + snapshot.writes[i].block * DISK_BLOCK_SIZE,
               snapshot.writes[i].page, DISK_BLOCK_SIZE);
    pool->super.map_root = snapshot.root;
    pool->super.used_blocks = snapshot.used_blocks;
    alloc_snapshot_free(&snapshot);
    alloc_destroy(&allocator);
    alloc_destroy(&before);
}

/* Writes the rest. */
static inline void snapshotpool_finish(struct snapshotpool *pool) {
    snapshotpool_write_dead_tree(pool);
    snapshotpool_write_catalog(pool);
    snapshotpool_write_maps(pool);
    void *page = os_page_alloc(DISK_BLOCK_SIZE);
    assert_int_equal(superblock_write(&pool->disk->device, &pool->label, &pool->super, page),
                     STATUS_OK);
    os_page_free(page, DISK_BLOCK_SIZE);
}

/* The snapshot is being deleted. */
static inline void snapshotpool_delete(struct snapshotpool *pool, enum snapshotpool_item item) {
    pool->catalog[item].value.snapshot.state = DISK_SNAPSHOT_DELETING;
    pool->catalog[item].value.snapshot.name_length = 0;
    pool->catalog[item].length = sizeof(struct disk_snapshot);
}

#endif
