/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a pool with one node that is damaged, or that the device cannot read, is opened and used
 * for writing, whatever node it is: nothing breaks, all that has nothing to do with the node stays
 * as it is, and a repair afterwards accounts for every block.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/sharetest.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (32ull << 20)
#define SIZE (2ull << 20)
#define DAY_NS (24 * 3600 * 1000000000ull)

struct model {
    struct random random;
    struct ramdisk *disk;
    unsigned char *clean;   /* the disk as it was before it was damaged */
    unsigned char *witness; /* what the volume "beta" holds, which is only read */
    struct lfsx_pool *pool;
};

static void change(struct model *model, const char *name, unsigned count, uint32_t longest) {
    struct lfsx_volume *volume;
    if (lfsx_volume_open(model->pool, name, &volume) != STATUS_OK)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct operation operation = operation_random(&model->random, SIZE, longest);
        (void)operation_do(&operation, volume, 0);
    }
    lfsx_volume_close(volume);
}

static void take(struct model *model, const char *volume, const char *name) {
    (void)lfsx_snapshot_create(model->pool, &volume, 1, name, 0);
}

static void fill_share(struct model *model) {
    struct sharetest test = {.disk = model->disk, .pool = model->pool};
    assert_int_equal(lfsx_share_create(model->pool, "files"), STATUS_OK);
    assert_int_equal(lfsx_share_open(model->pool, "files", &test.share), STATUS_OK);
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%u", i);
        (void)sharetest_create(&test, LFSX_ROOT, name);
    }
    lfsx_share_close(test.share);
    take(model, "files", "one");
}

static void fill_witness(struct model *model) {
    struct lfsx_volume *volume;
    model->witness = malloc(SIZE);
    random_fill(&model->random, model->witness, SIZE);
    assert_int_equal(lfsx_volume_open(model->pool, "beta", &volume), STATUS_OK);
    for (uint64_t at = 0; at < SIZE; at += 65536)
        assert_int_equal(pooltest_write(volume, at, model->witness + at, 65536, 0), STATUS_OK);
    lfsx_volume_close(volume);
}

static void start(struct model *model) {
    memset(model, 0, sizeof *model);
    model->random = random_start("damaged_use");
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, 3, SIZE);
    model->pool = pooltest_open(model->disk);
    fill_witness(model);
    change(model, "alpha", 900, 5000);
    take(model, "alpha", "one");
    change(model, "alpha", 60, 5000);
    take(model, "alpha", "two");
    assert_int_equal(lfsx_clone_create(model->pool, "alpha", "one", "clone"), STATUS_OK);
    change(model, "alpha", 60, 5000);
    change(model, "clone", 60, 5000);
    change(model, "gamma", 20, 9000);
    assert_int_equal(lfsx_volume_protect(model->pool, "gamma", false, DAY_NS), STATUS_OK);
    assert_int_equal(lfsx_volume_delete(model->pool, "gamma", 0), STATUS_OK);
    fill_share(model);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    pooltest_assert_clean(model->disk);
    model->clean = malloc(DISK_BYTES);
    memcpy(model->clean, model->disk->content, DISK_BYTES);
}

static void end(struct model *model) {
    free(model->clean);
    free(model->witness);
    ramdisk_destroy(model->disk);
}

/* What beta holds, if it can be read, is right. */
static void look_at_witness(struct model *model, bool must_be) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(model->pool, "beta", &volume);
    assert_true(status == STATUS_OK || !must_be);
    if (status != STATUS_OK)
        return;
    unsigned char *data = malloc(65536);
    for (uint64_t at = 0; at < SIZE; at += 65536) {
        status = pooltest_read(volume, at, data, 65536);
        assert_true(status == STATUS_OK || !must_be);
        if (status == STATUS_OK)
            assert_memory_equal(data, model->witness + at, 65536);
    }
    free(data);
    lfsx_volume_close(volume);
}

static bool note_id(void *context, const struct lfsx_volume_info *info) {
    *(uint64_t *)context = info->id;
    return true;
}

/* Everything that somebody may do; what comes of it is not the question. */
static void use(struct model *model) {
    static const char *const group[] = {"alpha", "beta", "clone", "files"};
    struct lfsx_pool *pool = model->pool;
    struct lfsx_share *share;
    uint64_t id = 0;
    change(model, "alpha", 20, 9000);
    change(model, "clone", 10, 9000);
    (void)lfsx_snapshot_create(pool, group, 4, "three", 0);
    take(model, "alpha", "four");
    change(model, "alpha", 20, 9000);
    (void)lfsx_pool_commit(pool);
    (void)lfsx_volume_resize(pool, "alpha", SIZE / 2, LFSX_RESIZE_SHRINK);
    if (lfsx_share_open(pool, "files", &share) == STATUS_OK) {
        for (unsigned i = 0; i < 200; i += 7) {
            char name[16];
            snprintf(name, sizeof name, "file%u", i);
            (void)lfsx_share_unlink(share, LFSX_ROOT, sharetest_name(name), 0);
        }
        lfsx_share_close(share);
    }
    (void)lfsx_snapshot_delete(pool, "alpha", "two");
    (void)lfsx_pool_settle(pool);
    (void)lfsx_volume_rollback(pool, "alpha", "one", "before");
    change(model, "before", 10, 9000);
    (void)lfsx_deleted_list(pool, note_id, &id);
    (void)lfsx_deleted_purge(pool, id);
    (void)lfsx_volume_delete(pool, "clone", LFSX_DELETE_SNAPSHOTS);
    (void)lfsx_share_delete(pool, "files", LFSX_DELETE_SNAPSHOTS);
    (void)lfsx_pool_settle(pool);
    change(model, "alpha", 10, 9000);
    (void)lfsx_pool_commit(pool);
}

static void on_finding(void *context, const struct lfsx_finding *finding) {
    (void)context, (void)finding;
}

static void on_action(void *context, const char *text) {
    *(bool *)context |= strstr(text, "which this program cannot mend") != NULL;
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    (void)context, (void)loss;
}

/* False if this cannot be repaired yet: what is damaged is a share's. */
static bool repair(struct model *model) {
    bool is_beyond = false;
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = &is_beyond};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&model->disk->device, &options, &summary), STATUS_OK);
    if (summary.remaining > 0 && !is_beyond)
        pooltest_assert_clean(model->disk);
    return !is_beyond;
}

/* A node of whom, or 0: it is none. */
static uint64_t owner_of(const struct model *model, uint64_t block) {
    const struct disk_node *node =
        (const struct disk_node *)(model->clean + block * DISK_BLOCK_SIZE);
    bool is_node = le32_get(node->magic) == DISK_NODE_MAGIC && le64_get(node->block) == block;
    return is_node ? le64_get(node->owner) : 0;
}

static uint64_t id_of(struct model *model, const char *name) {
    os_rwlock_lock_shared(&model->pool->lock);
    uint64_t id = dataset_find(model->pool, name)->id;
    os_rwlock_unlock_shared(&model->pool->lock);
    return id;
}

enum damage { FLIPPED, UNREADABLE };

static void damage(struct model *model, uint64_t block, enum damage kind) {
    uint64_t at = block * DISK_BLOCK_SIZE + random_below(&model->random, DISK_BLOCK_SIZE);
    memcpy(model->disk->content, model->clean, DISK_BYTES);
    if (kind == FLIPPED)
        model->disk->content[at] ^= 0x10;
    else
        model->disk->unreadable[0] = block;
}

static void with_damage(struct model *model, uint64_t block, uint64_t beta, enum damage kind) {
    uint64_t owner = owner_of(model, block);
    bool is_beta = (owner & ~DISK_OWNER_DEAD) == beta;
    damage(model, block, kind);
    model->pool = pooltest_open(model->disk);
    look_at_witness(model, !is_beta);
    use(model);
    look_at_witness(model, !is_beta);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    model->pool = pooltest_open(model->disk);
    look_at_witness(model, !is_beta);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    bool is_whole = repair(model);
    model->disk->unreadable[0] = 0;
    if (!is_whole)
        return;
    model->pool = pooltest_open(model->disk);
    if (!is_beta) /* else what the node said is lost */
        look_at_witness(model, true);
    assert_int_equal(lfsx_pool_settle(model->pool), STATUS_OK);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    pooltest_assert_clean(model->disk);
}

static void every_node_of_datasets(void **state) {
    (void)state;
    struct model model;
    start(&model);
    model.pool = pooltest_open(model.disk);
    uint64_t beta = id_of(&model, "beta");
    const struct geometry g = model.pool->label.geometry;
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
    memcpy(model.disk->content, model.clean, DISK_BYTES);
    unsigned damaged = 0;
    struct label label;
    static struct ring ring;
    struct superblock super;
    struct allocator allocator;
    assert_int_equal(label_read(&model.disk->device, &label), STATUS_OK);
    assert_int_equal(ring_read(&model.disk->device, &label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    assert_int_equal(alloc_load(&allocator, &g, &model.disk->device, &super.map_root), STATUS_OK);
    for (uint64_t block = g.data_start; block < g.data_end; block++) {
        if (!alloc_is_used(&allocator, block) || owner_of(&model, block) < DISK_FIRST_DATASET)
            continue;
        with_damage(&model, block, beta, FLIPPED);
        with_damage(&model, block, beta, UNREADABLE);
        damaged++;
    }
    printf("%u nodes damaged\n", damaged);
    assert_true(damaged > 40);
    alloc_destroy(&allocator);
    end(&model);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_node_of_datasets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
