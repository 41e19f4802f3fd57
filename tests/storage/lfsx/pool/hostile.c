/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no image crashes the check or whoever opens a pool, reads and writes it. Structures of a
 * small pool are changed at random places and all checksums above them made right again, so that
 * nothing but the validators stands between the change and the code.
 */
#include "base/checksum.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define VOLUMES 3u
#define VOLUME_SIZE (2ull << 20)
#define MOST_NODES 2000u

static const char *const names[VOLUMES] = {"alpha", "beta", "gamma"};

struct model {
    struct random random;
    struct ramdisk *disk;
    unsigned char *clean;
    struct label label;
    struct superblock super;
    uint64_t nodes[MOST_NODES]; /* blocks of the clean pool's nodes */
    unsigned node_count;
    unsigned visits; /* left in this resealing */
    bool collecting;
};

static void *page(struct model *model, uint64_t block) {
    return model->disk->content + block * DISK_BLOCK_SIZE;
}

static le64 sum(const void *block) {
    return le64_make(checksum_xxh64((const char *)block + 8, DISK_BLOCK_SIZE - 8, 0));
}

static void reseal_node(struct model *model, uint64_t block, unsigned depth, le64 *checksum);

/* The pointer, wherever its value may lie by now. */
static void reseal_pointer(struct model *model, struct disk_node *node, unsigned index,
                           unsigned depth) {
    const struct disk_item *item = &node->items[index];
    size_t at = le16_get(item->value_offset);
    if (node->level == 0) {
        if (item->type != DISK_TYPE_DATASET)
            return;
        at += offsetof(struct disk_dataset, root);
    }
    if (at < sizeof *node || at + sizeof(struct disk_pointer) > DISK_BLOCK_SIZE)
        return;
    struct disk_pointer *pointer = (struct disk_pointer *)((char *)node + at);
    reseal_node(model, le64_get(pointer->block), depth + 1, &pointer->checksum);
}

static void reseal_node(struct model *model, uint64_t block, unsigned depth, le64 *checksum) {
    if (!geometry_is_data(&model->label.geometry, block, 1) || depth > 6 || model->visits == 0)
        return;
    model->visits--;
    if (model->collecting && model->node_count < MOST_NODES)
        model->nodes[model->node_count++] = block;
    struct disk_node *node = page(model, block);
    if (le32_get(node->magic) != DISK_NODE_MAGIC) /* data, which is left alone */
        return;
    for (unsigned i = 0; i < MATH_MIN(node_count(node), DISK_NODE_PAYLOAD / 24); i++)
        reseal_pointer(model, node, i, depth);
    node->checksum = *checksum = sum(node);
}

static void reseal_maps(struct model *model, struct disk_superblock *super) {
    const struct geometry *g = &model->label.geometry;
    unsigned copy = super->map_root.copy & 1;
    struct disk_map_block *top = page(model, geometry_map_address(g, 1, 0, copy));
    struct disk_map_entry *entry = &top->entries[0];
    struct disk_map_block *region = page(model, geometry_map_address(g, 0, 0, entry->copy & 1));
    region->checksum = entry->checksum = sum(region);
    top->checksum = super->map_root.checksum = sum(top);
}

static void reseal(struct model *model) {
    const struct geometry *g = &model->label.geometry;
    for (unsigned area = 0; area < 2; area++) {
        struct disk_label *label = page(model, geometry_label_address(g, area));
        label->checksum = sum(label);
        unsigned slot = (unsigned)(model->super.checkpoint % DISK_RING_SLOTS);
        struct disk_superblock *super = page(model, geometry_slot_address(g, area, slot));
        model->visits = 4 * MOST_NODES;
        reseal_node(model, le64_get(super->catalog.block), 0, &super->catalog.checksum);
        reseal_maps(model, super);
        super->checksum = sum(super);
    }
}

static void start(struct model *model) {
    memset(model, 0, sizeof *model);
    model->random = random_start("pool_hostile");
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, VOLUMES, VOLUME_SIZE);
    struct lfsx_pool *pool = pooltest_open(model->disk);
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct lfsx_volume *volume;
        assert_int_equal(lfsx_volume_open(pool, names[i], &volume), STATUS_OK);
        for (unsigned j = 0; j < 250; j++) {
            struct operation operation = operation_random(&model->random, VOLUME_SIZE, 9000);
            assert_int_equal(operation_do(&operation, volume, 0), STATUS_OK);
        }
        lfsx_volume_close(volume);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    static struct ring ring;
    assert_int_equal(label_read(&model->disk->device, &model->label), STATUS_OK);
    assert_int_equal(ring_read(&model->disk->device, &model->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &model->super), STATUS_OK);
    model->collecting = true;
    reseal(model);
    model->collecting = false;
    pooltest_assert_clean(model->disk); /* resealing changes nothing */
    assert_true(model->node_count > 8);
    model->clean = malloc(DISK_BYTES);
    memcpy(model->clean, model->disk->content, DISK_BYTES);
}

static void end(struct model *model) {
    free(model->clean);
    ramdisk_destroy(model->disk);
}

static uint64_t any_node(struct model *model) {
    return model->nodes[random_below(&model->random, model->node_count)];
}

/* A value that is likely to matter somewhere. */
static uint64_t interesting(struct model *model) {
    switch (random_below(&model->random, 6)) {
    case 0:
        return any_node(model);
    case 1:
        return random_below(&model->random, 70);
    case 2:
        return UINT64_MAX - random_below(&model->random, 3);
    case 3:
        return 1ull << random_below(&model->random, 64);
    case 4:
        return random_below(&model->random, DISK_MIN_DEVICE_BLOCKS);
    default:
        return random_next(&model->random);
    }
}

static void scribble(struct model *model, unsigned char *block, size_t begin, size_t limit) {
    size_t at = begin + random_below(&model->random, limit - begin);
    uint64_t value = interesting(model);
    static const uint8_t sizes[] = {1, 2, 4, 8};
    size_t size = sizes[random_below(&model->random, 4)];
    if (random_one_in(&model->random, 2))
        at = at / size * size;
    if (at + size <= DISK_BLOCK_SIZE)
        memcpy(block + at, &value, size);
}

/* Whether it is still as the pool wrote it: what was scribbled on has no items to be told apart. */
static bool is_whole(const struct disk_node *node) {
    struct pointer own = {.block = le64_get(node->block),
                          .birth = le64_get(node->birth),
                          .checksum = le64_get(node->checksum),
                          .level = node->level};
    const char *why;
    return node_validate(node, &own, le64_get(node->owner), &why) == STATUS_OK;
}

static void change_node(struct model *model) {
    struct disk_node *node = page(model, any_node(model));
    if (!is_whole(node)) {
        scribble(model, (unsigned char *)node, 8, DISK_BLOCK_SIZE);
        return;
    }
    unsigned count = node_count(node);
    struct item item = {0};
    if (count > 0)
        item = node_item(node, (unsigned)random_below(&model->random, count));
    size_t value = count > 0 ? (size_t)((const char *)item.value - (const char *)node) : 64;
    switch (random_below(&model->random, 5)) {
    case 0:
        scribble(model, (unsigned char *)node, 8, 64);
        break;
    case 1:
        scribble(model, (unsigned char *)node, 64, 64 + count * sizeof(struct disk_item) + 8);
        break;
    case 2: /* a whole node in place of another */
        memcpy(node, page(model, any_node(model)), DISK_BLOCK_SIZE);
        break;
    case 3: /* an item is gone, or all of them */
        if (count > 0)
            node_remove(node, (unsigned)random_below(&model->random, count));
        while (random_one_in(&model->random, 3) && node_count(node) > 0)
            while (node_count(node) > 0)
                node_remove(node, 0);
        break;
    default:
        scribble(model, (unsigned char *)node, value,
                 MATH_MIN(value + item.length + 1u, DISK_BLOCK_SIZE));
        break;
    }
}

static void change_something(struct model *model) {
    const struct geometry *g = &model->label.geometry;
    unsigned area = (unsigned)random_below(&model->random, 2);
    unsigned slot = (unsigned)(model->super.checkpoint % DISK_RING_SLOTS);
    switch (random_below(&model->random, 12)) {
    case 0:
        scribble(model, page(model, geometry_label_address(g, area)), 8, 230);
        break;
    case 1:
        scribble(model, page(model, geometry_slot_address(g, area, slot)), 8, 150);
        break;
    case 2:
        scribble(model, page(model, g->map_start + random_below(&model->random, g->map_blocks)), 8,
                 DISK_BLOCK_SIZE);
        break;
    default:
        change_node(model);
        break;
    }
}

static void write_something(struct model *model, struct lfsx_volume *volume) {
    for (unsigned i = 0; i < 20; i++) {
        struct operation operation = operation_random(&model->random, VOLUME_SIZE, 9000);
        (void)operation_do(&operation, volume, i == 10 ? LFSX_FUA : 0);
    }
}

/* What the statuses are does not matter, that they come back does. */
static void use_pool(struct model *model, bool read_only) {
    struct lfsx_open_options options = {.flags = read_only ? LFSX_OPEN_READ_ONLY : 0,
                                        .cache_bytes = 1};
    struct lfsx_pool *pool;
    if (lfsx_pool_open(&model->disk->device, &options, &pool) != STATUS_OK)
        return;
    unsigned char *data = malloc(VOLUME_SIZE);
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct lfsx_volume *volume;
        if (lfsx_volume_open(pool, names[i], &volume) != STATUS_OK)
            continue;
        (void)pooltest_read(volume, 0, data, VOLUME_SIZE);
        (void)pooltest_read(volume, VOLUME_SIZE / 2 + 100, data, 5000);
        write_something(model, volume);
        lfsx_volume_close(volume);
    }
    free(data);
    (void)lfsx_snapshot_create(pool, names, VOLUMES, "one", 0);
    (void)lfsx_clone_create(pool, names[0], "one", "clone");
    (void)lfsx_volume_resize(pool, names[1], VOLUME_SIZE / 2, LFSX_RESIZE_SHRINK);
    (void)lfsx_volume_rollback(pool, names[0], "one", "before");
    (void)lfsx_snapshot_delete(pool, names[1], "one");
    (void)lfsx_volume_delete(pool, names[1], LFSX_DELETE_SNAPSHOTS);
    (void)lfsx_pool_settle(pool);
    (void)lfsx_volume_create(pool, "another", VOLUME_SIZE);
    (void)lfsx_pool_close(pool);
}

static void hostile_images(void **state) {
    (void)state;
    struct model model;
    start(&model);
    unsigned found = 0;
    unsigned rounds = (unsigned)random_scale(600);
    for (unsigned round = 0; round < rounds; round++) {
        memcpy(model.disk->content, model.clean, DISK_BYTES);
        for (uint64_t i = 1 + random_below(&model.random, 3); i > 0; i--)
            change_something(&model);
        reseal(&model);
        struct pooltest_findings findings = {.quiet = true, .without_data = round % 8 != 0};
        struct lfsx_check_options options = {
            .data = !findings.without_data, .finding = pooltest_finding, .context = &findings};
        struct lfsx_check_summary summary;
        enum status status = lfsx_check(&model.disk->device, &options, &summary);
        found += status != STATUS_OK || findings.count > 0;
        use_pool(&model, round % 4 == 0);
    }
    /* Times, identifiers and the copies of maps that do not count may be anything. */
    assert_true(found > rounds / 2);
    end(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_images)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
