/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what another tree proves to be in a lost leaf is found wherever the extents begin that say
 * so: before the leaf, or next to one that is lost as well.
 */
#include "tests/storage/lfsx/pooltest.h"

#define DISK_BLOCKS 6144u
#define BLOCKS 1792u
#define LEAVES_MAX 256u

struct scene {
    struct ramdisk *disk;
    unsigned char *image; /* undamaged */
    uint64_t leaves[LEAVES_MAX];
    unsigned count;
    bool lost[BLOCKS];
};

static void write_blocks(struct lfsx_pool *pool, uint64_t first, uint64_t count, uint64_t step,
                         unsigned char fill) {
    static unsigned char data[DISK_EXTENT_MAX * LFSX_BLOCK_SIZE];
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    for (uint64_t at = first; at + count <= BLOCKS; at += step) {
        memset(data, fill + (int)(at % 50), sizeof data);
        assert_int_equal(pooltest_write(volume, at * LFSX_BLOCK_SIZE, data,
                                        (uint32_t)(count * LFSX_BLOCK_SIZE), 0),
                         STATUS_OK);
    }
    lfsx_volume_close(volume);
}

static void snapshot(struct lfsx_pool *pool) {
    const char *name = "alpha";
    assert_int_equal(lfsx_snapshot_create(pool, &name, 1, "one", 0), STATUS_OK);
}

static struct lfsx_pool *scene_start(struct scene *scene) {
    memset(scene, 0, sizeof *scene);
    scene->disk = ramdisk_create((uint64_t)DISK_BLOCKS * DISK_BLOCK_SIZE);
    pooltest_format(scene->disk, 1, (uint64_t)BLOCKS * LFSX_BLOCK_SIZE);
    return pooltest_open(scene->disk);
}

/* The leaves of the newest tree of this birth, in their order. */
static void find_leaves(struct scene *scene, uint64_t birth) {
    const struct disk_node *root = NULL;
    for (uint64_t block = 0; block < DISK_BLOCKS; block++) {
        const struct disk_node *node = (const void *)(scene->image + block * DISK_BLOCK_SIZE);
        if (le32_get(node->magic) == DISK_NODE_MAGIC && le64_get(node->block) == block &&
            node->level == 1 && le64_get(node->owner) == DISK_FIRST_DATASET &&
            le64_get(node->birth) == birth &&
            (root == NULL || le64_get(node->checkpoint) > le64_get(root->checkpoint)))
            root = node;
    }
    assert_non_null(root);
    scene->count = node_count(root);
    assert_in_range(scene->count, 5, LEAVES_MAX);
    for (unsigned i = 0; i < scene->count; i++)
        scene->leaves[i] = node_child(root, i).block;
}

static void scene_close(struct scene *scene, struct lfsx_pool *pool) {
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    scene->image = malloc((size_t)DISK_BLOCKS * DISK_BLOCK_SIZE);
    memcpy(scene->image, scene->disk->content, (size_t)DISK_BLOCKS * DISK_BLOCK_SIZE);
}

static void scene_end(struct scene *scene) {
    free(scene->image);
    ramdisk_destroy(scene->disk);
}

static void on_finding(void *context, const struct lfsx_finding *finding) {
    (void)context;
    (void)finding;
}

static void on_action(void *context, const char *text) {
    (void)context;
    (void)text;
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    struct scene *scene = context;
    for (uint64_t i = 0; i < loss->length / LFSX_BLOCK_SIZE; i++)
        scene->lost[loss->offset / LFSX_BLOCK_SIZE + i] = true;
}

static void repair(struct scene *scene) {
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = scene};
    struct lfsx_repair_summary summary;
    memset(scene->lost, 0, sizeof scene->lost);
    assert_int_equal(lfsx_repair(&scene->disk->device, &options, &summary), STATUS_OK);
    pooltest_assert_clean(scene->disk);
    assert_int_equal(summary.remaining, 0);
}

static void restore(struct scene *scene) {
    memcpy(scene->disk->content, scene->image, (size_t)DISK_BLOCKS * DISK_BLOCK_SIZE);
}

static void destroy(struct scene *scene, unsigned leaf) {
    memset(scene->disk->content + scene->leaves[leaf] * DISK_BLOCK_SIZE, 0, DISK_BLOCK_SIZE);
}

/* A snapshot's extents of four blocks, of which the volume has all in leaves of its own: whichever
 * two leaves of the snapshot are lost side by side, nothing of it is. */
static void two_leaves_side_by_side(void **state) {
    (void)state;
    static struct scene scene;
    struct lfsx_pool *pool = scene_start(&scene);
    write_blocks(pool, 0, 4, 5, 1);
    snapshot(pool);
    write_blocks(pool, 4, 1, 5, 101);
    scene_close(&scene, pool);
    find_leaves(&scene, 1);
    for (unsigned i = 0; i + 1 < scene.count; i++) {
        restore(&scene);
        destroy(&scene, i);
        destroy(&scene, i + 1);
        repair(&scene);
        for (uint64_t block = 0; block < BLOCKS; block++)
            assert_false(scene.lost[block]);
    }
    scene_end(&scene);
}

/* A volume that wrote into each of its snapshot's long extents has parts of them, and its leaves
 * begin with one: whichever leaf is lost, only what was written anew is. */
static void a_leaf_in_the_middle_of_an_extent(void **state) {
    (void)state;
    static struct scene scene;
    struct lfsx_pool *pool = scene_start(&scene);
    write_blocks(pool, 0, DISK_EXTENT_MAX, DISK_EXTENT_MAX, 1);
    snapshot(pool);
    write_blocks(pool, 5, 1, 8, 101);
    scene_close(&scene, pool);
    find_leaves(&scene, 2);
    for (unsigned i = 0; i < scene.count; i++) {
        restore(&scene);
        destroy(&scene, i);
        repair(&scene);
        for (uint64_t block = 0; block < BLOCKS; block++)
            assert_true(!scene.lost[block] || block % 8 == 5);
    }
    scene_end(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_leaves_side_by_side),
                                       cmocka_unit_test(a_leaf_in_the_middle_of_an_extent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
