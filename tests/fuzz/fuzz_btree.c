/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The B+tree of a real volume against an array. Input: operations of 4 bytes: what (1), the first
 * of SLOTS keys (2), how many or how large (1). The items are extents which name blocks that nobody
 * allocated, as in tests/storage/lfsx/tree/btree_model.c.
 */
#include "storage/lfsx/file/holding.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/pool/pool.h"
#include "tests/fuzz/fuzz.h"

#define DISK_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define SLOTS 1024u
#define OPERATIONS_MAX 400u

struct tree {
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    uint8_t lengths[SLOTS]; /* blocks of the extent; 0: not there */
    uint64_t stamps[SLOTS];
    uint64_t stamp;
};

struct change {
    struct tree *tree;
    unsigned first, count;
    uint8_t length; /* 0: remove */
};

static struct key slot_key(uint64_t slot) {
    return (struct key){
        .inode = DISK_ROOT_INODE, .type = DISK_TYPE_EXTENT, .offset = slot * DISK_EXTENT_MAX};
}

static uint16_t make_value(const struct tree *tree, unsigned slot, uint8_t *value) {
    struct disk_extent *extent = (struct disk_extent *)value;
    unsigned length = tree->lengths[slot];
    uint64_t start = tree->pool->label.geometry.data_start;
    *extent = (struct disk_extent){.block = le64_make(start + tree->stamps[slot] % 1000),
                                   .birth = le64_make(1),
                                   .block_count = le32_make(length),
                                   .stored_blocks = le32_make(length)};
    for (unsigned i = 0; i < length; i++)
        extent->checksums[i] = le64_make(tree->stamps[slot] * 1000 + i);
    return (uint16_t)(sizeof *extent + length * sizeof(le64));
}

static void require_item(const struct tree *tree, const struct item *item, unsigned slot) {
    uint8_t value[DISK_VALUE_MAX];
    struct key key = slot_key(slot);
    uint16_t length = make_value(tree, slot, value);
    REQUIRE(key_compare(&item->key, &key) == 0);
    REQUIRE(item->length == length && memcmp(item->value, value, length) == 0);
}

static void change_slot(struct tree *tree, unsigned slot, uint8_t length) {
    struct btree *btree = &tree->volume->holding.dataset->tree;
    struct key key = slot_key(slot);
    bool was = tree->lengths[slot] != 0;
    tree->lengths[slot] = length;
    tree->stamps[slot] = ++tree->stamp;
    if (length == 0) {
        if (was)
            btree_remove(btree, &key);
        return;
    }
    uint8_t value[DISK_VALUE_MAX];
    uint16_t bytes = make_value(tree, slot, value);
    if (was)
        btree_replace(btree, &key, value, bytes);
    else
        btree_insert(btree, &key, value, bytes);
}

static enum status change_step(void *context, struct btree_cursor *cursor) {
    struct change *change = context;
    struct tree *tree = change->tree;
    struct btree *btree = &tree->volume->holding.dataset->tree;
    struct key first = slot_key(change->first);
    struct key last = slot_key(change->first + change->count - 1);
    uint64_t leaves;
    enum status status = btree_prefetch(btree, &first, &last, cursor, &leaves);
    if (status != STATUS_OK)
        return status;
    struct update_need need = {.nodes = btree_nodes_needed(btree, leaves, change->count),
                               .frees = change->length == 0};
    status = pool_update_begin(tree->pool, &need);
    if (status != STATUS_OK)
        return status;
    uint64_t before = alloc_free_blocks(&tree->pool->allocator);
    for (unsigned i = 0; i < change->count; i++)
        change_slot(tree, change->first + i, change->length);
    REQUIRE(before - alloc_free_blocks(&tree->pool->allocator) <= need.nodes);
    pool_update_end(tree->pool);
    return STATUS_OK;
}

static unsigned next_present(const struct tree *tree, unsigned slot) {
    while (slot < SLOTS && tree->lengths[slot] == 0)
        slot++;
    return slot;
}

/* Everything from a key on, in order. */
static enum status walk_step(void *context, struct btree_cursor *cursor) {
    struct change *change = context;
    const struct tree *tree = change->tree;
    struct key key = slot_key(change->first);
    unsigned slot = next_present(tree, change->first);
    enum status status = btree_seek(&change->tree->volume->holding.dataset->tree, &key, cursor);
    for (unsigned i = 0; i < change->count && status == STATUS_OK; i++) {
        struct item item = btree_item(cursor);
        REQUIRE(slot < SLOTS);
        require_item(tree, &item, slot);
        slot = next_present(tree, slot + 1);
        status = btree_next(cursor);
    }
    if (status == STATUS_AGAIN)
        return status;
    REQUIRE(status == (slot < SLOTS ? STATUS_OK : STATUS_NOT_FOUND));
    return STATUS_OK;
}

static enum status floor_step(void *context, struct btree_cursor *cursor) {
    struct change *change = context;
    struct key key = slot_key(change->first);
    enum status status =
        btree_seek_floor(&change->tree->volume->holding.dataset->tree, &key, cursor);
    if (status == STATUS_AGAIN)
        return status;
    REQUIRE(status == STATUS_OK); /* before all extents stands the inode */
    unsigned slot = change->first;
    while (slot > 0 && change->tree->lengths[slot] == 0)
        slot--;
    struct item item = btree_item(cursor);
    if (change->tree->lengths[slot] == 0)
        REQUIRE(item.key.type == DISK_TYPE_INODE);
    else
        require_item(change->tree, &item, slot);
    return STATUS_OK;
}

static void forget(struct tree *tree) {
    os_rwlock_lock_exclusive(&tree->pool->lock);
    LIST_FOR_EACH_SAFE(link, &tree->pool->forest.cache.clean)
    cache_drop(&tree->pool->forest.cache, LIST_CONTAINER(link, struct cached_node, link));
    os_rwlock_unlock_exclusive(&tree->pool->lock);
}

static void start(struct tree *tree) {
    static struct ramdisk *made;
    fuzz_random_restart();
    if (made == NULL) {
        struct lfsx_new_volume volume = {"volume", 1ull << 40};
        struct lfsx_format_options options = {
            .label = "fuzz", .volumes = &volume, .volume_count = 1};
        made = ramdisk_create(DISK_BYTES);
        REQUIRE(lfsx_format(&made->device, &options) == STATUS_OK);
    }
    tree->disk = fuzz_disk(made->content, DISK_BYTES);
}

static void open_tree(struct tree *tree) {
    struct lfsx_open_options options = {.cache_bytes = 1};
    REQUIRE(lfsx_pool_open(&tree->disk->device, &options, &tree->pool) == STATUS_OK);
    REQUIRE(lfsx_volume_open(tree->pool, "volume", &tree->volume) == STATUS_OK);
}

static void close_tree(struct tree *tree) {
    lfsx_volume_close(tree->volume);
    REQUIRE(lfsx_pool_close(tree->pool) == STATUS_OK);
}

static void operate(struct tree *tree, unsigned what, unsigned first, uint8_t argument) {
    struct change change = {.tree = tree, .first = first};
    change.count = MATH_MIN(1u + argument % 64, SLOTS - first);
    switch (what % 8) {
    case 0:
    case 1:
        change.length = (uint8_t)(1 + argument % DISK_EXTENT_MAX);
        change.count = what % 8 == 0 ? 1 : change.count;
        REQUIRE(pool_change(tree->pool, change_step, &change) == STATUS_OK);
        return;
    case 2:
    case 3:
        REQUIRE(pool_change(tree->pool, change_step, &change) == STATUS_OK);
        return;
    case 4:
        REQUIRE(pool_look(tree->pool, walk_step, &change) == STATUS_OK);
        return;
    case 5:
        REQUIRE(pool_look(tree->pool, floor_step, &change) == STATUS_OK);
        return;
    case 6:
        REQUIRE(lfsx_pool_commit(tree->pool) == STATUS_OK);
        forget(tree);
        return;
    default:
        close_tree(tree);
        open_tree(tree);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tree tree;
    memset(&tree, 0, sizeof tree);
    struct input input = {data, size};
    start(&tree);
    open_tree(&tree);
    for (unsigned i = 0; i < OPERATIONS_MAX && input.left > 0; i++) {
        unsigned what = (unsigned)input_take(&input, 1);
        unsigned first = (unsigned)input_take(&input, 2) % SLOTS;
        operate(&tree, what, first, (uint8_t)input_take(&input, 1));
    }
    struct change all = {.tree = &tree, .count = SLOTS + 1};
    REQUIRE(pool_look(tree.pool, walk_step, &all) == STATUS_OK);
    close_tree(&tree);
    return 0;
}
