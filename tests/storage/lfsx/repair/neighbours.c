/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what another tree proves to be in a lost leaf is found wherever the extents begin that say
 * so: before the leaf, behind it, or next to one that is lost as well. Of volumes and of shares.
 */
#include "tests/storage/lfsx/sharetest.h"

#define DISK_BLOCKS 24576u
#define DISK_BYTES ((size_t)DISK_BLOCKS * DISK_BLOCK_SIZE)
#define BLOCKS 1792u        /* of the file */
#define LARGE_BLOCKS 18000u /* its tree has three levels */
#define LEAVES_MAX 512u
#define REACH 37u
#define VOLUME_NAME "alpha"

static char is_share; /* a test's state points here if it is of a share */

struct scene {
    bool in_share;
    uint64_t blocks;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume; /* or */
    struct lfsx_share *share;
    struct lfsx_file *file;
    uint64_t inode;
    unsigned char *image; /* undamaged */
    uint64_t leaves[LEAVES_MAX];
    uint64_t firsts[LEAVES_MAX]; /* blocks of the file: what stands above the leaves */
    bool is_last[LEAVES_MAX];    /* of its parent */
    unsigned count;
    bool lost[LARGE_BLOCKS];
};

static void scene_open(struct scene *scene) {
    scene->pool = pooltest_open(scene->disk);
    if (!scene->in_share) {
        assert_int_equal(lfsx_volume_open(scene->pool, VOLUME_NAME, &scene->volume), STATUS_OK);
        return;
    }
    struct sharetest test = {.disk = scene->disk, .pool = scene->pool};
    assert_int_equal(lfsx_share_open(scene->pool, SHARETEST_NAME, &scene->share), STATUS_OK);
    test.share = scene->share;
    if (scene->inode == 0)
        scene->inode = sharetest_create(&test, DISK_ROOT_INODE, "file");
    scene->file = sharetest_file(&test, scene->inode);
}

static void scene_start(struct scene *scene, bool in_share, uint64_t blocks) {
    memset(scene, 0, sizeof *scene);
    scene->in_share = in_share;
    scene->blocks = blocks;
    if (in_share) {
        scene->disk = sharetest_disk(DISK_BYTES);
    } else {
        scene->disk = ramdisk_create(DISK_BYTES);
        pooltest_format(scene->disk, 1, blocks * LFSX_BLOCK_SIZE);
    }
    scene->image = malloc(DISK_BYTES);
    scene_open(scene);
}

static void scene_close(struct scene *scene) {
    if (scene->in_share) {
        lfsx_file_close(scene->file);
        lfsx_share_close(scene->share);
    } else {
        lfsx_volume_close(scene->volume);
    }
    assert_int_equal(lfsx_pool_close(scene->pool), STATUS_OK);
    memcpy(scene->image, scene->disk->content, DISK_BYTES);
}

static void scene_end(struct scene *scene) {
    free(scene->image);
    ramdisk_destroy(scene->disk);
}

/* Writes `count` blocks at once from `at` on. */
static void write_run(struct scene *scene, uint64_t at, uint64_t count, unsigned char fill) {
    static unsigned char data[DISK_EXTENT_MAX * LFSX_BLOCK_SIZE];
    uint32_t length = (uint32_t)(count * LFSX_BLOCK_SIZE);
    memset(data, fill + (int)(at % 50), length);
    enum status status = scene->in_share
                             ? sharetest_write(scene->file, at * LFSX_BLOCK_SIZE, data, length, 0)
                             : pooltest_write(scene->volume, at * LFSX_BLOCK_SIZE, data, length, 0);
    assert_int_equal(status, STATUS_OK);
}

static void write_runs(struct scene *scene, uint64_t first, uint64_t count, uint64_t step,
                       unsigned char fill) {
    for (uint64_t at = first; at + count <= scene->blocks; at += step)
        write_run(scene, at, count, fill);
}

static void snapshot(struct scene *scene) {
    const char *name = scene->in_share ? SHARETEST_NAME : VOLUME_NAME;
    assert_int_equal(lfsx_snapshot_create(scene->pool, &name, 1, "one", 0), STATUS_OK);
}

static const struct disk_node *node_at(const struct scene *scene, uint64_t block) {
    return (const struct disk_node *)(scene->image + block * DISK_BLOCK_SIZE);
}

static void add_leaves(struct scene *scene, const struct disk_node *node) {
    for (unsigned i = 0; i < node_count(node); i++) {
        struct pointer child = node_child(node, i);
        if (node->level > 1) {
            add_leaves(scene, node_at(scene, child.block));
            continue;
        }
        assert_true(scene->count < LEAVES_MAX);
        scene->leaves[scene->count] = child.block;
        scene->is_last[scene->count] = i + 1 == node_count(node);
        scene->firsts[scene->count++] = node_key(node, i).offset;
    }
}

/* The leaves of the newest tree of this birth, in their order. */
static void find_leaves(struct scene *scene, uint64_t birth, unsigned level) {
    const struct disk_node *root = NULL;
    for (uint64_t block = 0; block < DISK_BLOCKS; block++) {
        const struct disk_node *node = node_at(scene, block);
        if (le32_get(node->magic) == DISK_NODE_MAGIC && le64_get(node->block) == block &&
            node->level == level && le64_get(node->owner) == DISK_FIRST_DATASET &&
            le64_get(node->birth) == birth &&
            (root == NULL || le64_get(node->checkpoint) > le64_get(root->checkpoint)))
            root = node;
    }
    assert_non_null(root);
    scene->count = 0;
    add_leaves(scene, root);
    assert_true(scene->count > 4);
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
    if (loss->kind != LFSX_LOSS_BYTES)
        return;
    uint64_t end =
        MATH_MIN(loss->offset / LFSX_BLOCK_SIZE + loss->length / LFSX_BLOCK_SIZE, scene->blocks);
    for (uint64_t block = loss->offset / LFSX_BLOCK_SIZE; block < end; block++)
        scene->lost[block] = true;
}

/* Returns how many findings remain. */
static uint64_t repair(struct scene *scene) {
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = scene};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&scene->disk->device, &options, &summary), STATUS_OK);
    return summary.remaining;
}

/* Loses `count` leaves from this one on. */
static void destroy(struct scene *scene, unsigned leaf, unsigned count) {
    memcpy(scene->disk->content, scene->image, DISK_BYTES);
    for (unsigned i = leaf; i < leaf + count; i++)
        memset(scene->disk->content + scene->leaves[i] * DISK_BLOCK_SIZE, 0, DISK_BLOCK_SIZE);
    memset(scene->lost, 0, sizeof scene->lost);
}

static void repair_without(struct scene *scene, unsigned leaf, unsigned count) {
    destroy(scene, leaf, count);
    uint64_t remaining = repair(scene);
    pooltest_assert_clean(scene->disk);
    assert_int_equal(remaining, 0);
}

/* A snapshot's extents of four blocks, of which the live tree has all in leaves of its own:
 * whichever two leaves of the snapshot are lost side by side, nothing of it is. */
static void side_by_side(void **state) {
    static struct scene scene;
    scene_start(&scene, *state == &is_share, BLOCKS);
    write_runs(&scene, 0, 4, 5, 1);
    snapshot(&scene);
    write_runs(&scene, 4, 1, 5, 101);
    scene_close(&scene);
    find_leaves(&scene, 1, 1);
    for (unsigned i = 0; i + 1 < scene.count; i++) {
        repair_without(&scene, i, 2);
        for (uint64_t block = 0; block < BLOCKS; block++)
            assert_false(scene.lost[block] && block % 5 < 4);
    }
    scene_end(&scene);
}

/* A live tree that wrote into each of its snapshot's long extents has parts of them, and its leaves
 * begin with one: whichever leaf is lost, only what was written anew is. */
static void middle_of_an_extent(void **state) {
    static struct scene scene;
    scene_start(&scene, *state == &is_share, BLOCKS);
    write_runs(&scene, 0, DISK_EXTENT_MAX, DISK_EXTENT_MAX, 1);
    snapshot(&scene);
    write_runs(&scene, 5, 1, 8, 101);
    scene_close(&scene);
    find_leaves(&scene, 2, 1);
    for (unsigned i = 0; i < scene.count; i++) {
        repair_without(&scene, i, 1);
        for (uint64_t block = 0; block < BLOCKS; block++)
            assert_true(!scene.lost[block] || block % 8 == 5);
    }
    scene_end(&scene);
}

/* A snapshot's extent reaches from each leaf into the keys of the next one; and of it, the live
 * tree has only what lies there, the remainder. */
static void make_remainders(struct scene *scene, unsigned level, bool *is_remainder) {
    write_runs(scene, 0, 1, 2, 1);
    scene_close(scene);
    find_leaves(scene, 1, level);
    scene_open(scene);
    while (scene->firsts[scene->count - 1] + REACH > scene->blocks)
        scene->count--;
    for (unsigned i = 1; i < scene->count; i++)
        write_run(scene, scene->firsts[i] - 3, 3 + REACH, 51);
    snapshot(scene);
    write_runs(scene, 1, 1, 20, 101);
    for (unsigned i = 1; i < scene->count; i++) {
        write_run(scene, scene->firsts[i] - 3, 10, 151);
        for (uint64_t block = scene->firsts[i] + 7; block < scene->firsts[i] + REACH; block++)
            is_remainder[block] = block % 20 != 1;
    }
    scene_close(scene);
    find_leaves(scene, 1, level);
}

/* That is not lost, whichever leaf of the snapshot is. */
static void reach_over_the_edge(void **state) {
    static struct scene scene;
    bool is_remainder[BLOCKS] = {false};
    scene_start(&scene, *state == &is_share, BLOCKS);
    make_remainders(&scene, 1, is_remainder);
    for (unsigned i = 0; i < scene.count; i++) {
        repair_without(&scene, i, 1);
        for (uint64_t block = 0; block < BLOCKS; block++)
            assert_false(scene.lost[block] && is_remainder[block]);
    }
    scene_end(&scene);
}

/* Where an inner node follows the leaf, what is behind the leaf's keys cannot be brought back, as
 * nothing may stand there; it is reported. The live tree keeps it, but the blocks are its own then,
 * which takes a second repair. */
static void reach_over_an_inner_edge(void **state) {
    static struct scene scene;
    static bool is_remainder[LARGE_BLOCKS];
    unsigned edges = 0;
    memset(is_remainder, 0, sizeof is_remainder);
    scene_start(&scene, *state == &is_share, LARGE_BLOCKS);
    make_remainders(&scene, 2, is_remainder);
    for (unsigned i = 0; i + 1 < scene.count; i++) {
        if (!scene.is_last[i])
            continue;
        uint64_t first = scene.firsts[i + 1];
        destroy(&scene, i, 1);
        uint64_t remaining = repair(&scene);
        for (uint64_t block = first + 7; block < first + REACH; block++)
            assert_true(scene.lost[block] || !is_remainder[block]);
        assert_int_equal(remaining > 0 ? repair(&scene) : 0, 0);
        pooltest_assert_clean(scene.disk);
        edges++;
    }
    assert_true(edges > 0);
    scene_end(&scene);
}

#define OF_BOTH(test)                                                                              \
    {"volume_" #test, test, NULL, NULL, NULL}, {                                                   \
        "share_" #test, test, NULL, NULL, &is_share                                                \
    }

int main(void) {
    const struct CMUnitTest tests[] = {OF_BOTH(side_by_side), OF_BOTH(middle_of_an_extent),
                                       OF_BOTH(reach_over_the_edge),
                                       OF_BOTH(reach_over_an_inner_edge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
