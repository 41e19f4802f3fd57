/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a pool whose superblocks or labels are lost comes back, and what may be older is said. */
#include "base/checksum.h"
#include "tests/storage/lfsx/repair/corpus.h"

/* Both copies of the newest superblock: the pool goes back, and says so. */
static void newest_superblock(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_CLEAN);
    static struct ring ring;
    struct superblock super;
    assert_int_equal(ring_read(&corpus.disk->device, &corpus.label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    for (unsigned area = 0; area < 2; area++)
        corpus_damage(&corpus,
                      geometry_slot_address(&corpus.label.geometry, area,
                                            (unsigned)(super.checkpoint % DISK_RING_SLOTS)),
                      DAMAGE_GARBLE);
    struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
    assert_true(summary.remaining > 0);
    summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
    assert_int_equal(summary.remaining, 0);
    assert_true(corpus.reported_count > 0);
    corpus_verify(&corpus);
    corpus_end(&corpus);
}

static void set_epoch(struct corpus *corpus, unsigned area, uint64_t checkpoint, uint64_t epoch) {
    uint64_t block = geometry_slot_address(&corpus->label.geometry, area,
                                           (unsigned)(checkpoint % DISK_RING_SLOTS));
    struct disk_superblock *disk =
        (struct disk_superblock *)(corpus->disk->content + block * DISK_BLOCK_SIZE);
    assert_int_equal(le64_get(disk->checkpoint), checkpoint);
    disk->epoch = le64_make(epoch);
    disk->checksum = le64_make(checksum_xxh64((const char *)disk + 8, DISK_BLOCK_SIZE - 8, 0));
}

/* Both copies of the newest superblock say that the pool is of an epoch that there cannot be: they
 * count as damaged. Else what is written then would be of no epoch. */
static void impossible_epoch(void **state) {
    (void)state;
    static struct corpus corpus;
    static struct ring ring;
    struct superblock super;
    for (uint64_t wrong = 0; wrong < 2; wrong++) {
        corpus_start(&corpus, KIND_CLEAN);
        assert_int_equal(ring_read(&corpus.disk->device, &corpus.label, &ring), STATUS_OK);
        assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
        for (unsigned area = 0; area < 2; area++)
            set_epoch(&corpus, area, super.checkpoint, wrong * (DISK_EPOCH_MAX + 1ull));
        struct lfsx_pool *pool;
        assert_int_equal(lfsx_pool_open(&corpus.disk->device, NULL, &pool), STATUS_CORRUPT);
        assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
        corpus_verify(&corpus);
        corpus_end(&corpus);
    }
}

/* Without labels, whatever stands in their place now, it is still known to be a pool; and it gets
 * new ones. */
static void labels(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_JOURNAL);
    for (enum damage kind = 0; kind < DAMAGES; kind++) {
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        for (unsigned area = 0; area < 2; area++)
            corpus_damage(&corpus, geometry_label_address(&corpus.label.geometry, area), kind);
        struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
        assert_true(summary.remaining > 0 && summary.actions == 0);
        summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
        assert_int_equal(summary.remaining, 0);
        assert_int_equal(corpus.reported_count, 0);
        corpus_verify(&corpus);
    }
    corpus_end(&corpus);
}

static void lose_all_superblocks(struct corpus *corpus, enum damage kind) {
    for (unsigned area = 0; area < 2; area++)
        for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++)
            corpus_damage(corpus, geometry_slot_address(&corpus->label.geometry, area, slot), kind);
}

static void assert_names(struct corpus *corpus) {
    struct lfsx_pool *pool = pooltest_open(corpus->disk);
    for (unsigned i = 0; i < corpus->things; i++) {
        char name[NAME_SIZE];
        struct lfsx_volume *volume;
        corpus_name_thing(name, i, false);
        assert_int_equal(lfsx_volume_open(pool, name, &volume), STATUS_OK);
        lfsx_volume_close(volume);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
}

/* All 64 superblocks are lost, whatever stands there now. The newest checkpoint is found by its
 * nodes, so all that it had is there, under its names; only what the journal said is older. */
static void all_superblocks(void **state) {
    (void)state;
    static struct corpus corpus;
    for (enum kind pool = KIND_CLEAN; pool <= KIND_SNAPSHOTS; pool++) {
        corpus_start(&corpus, pool);
        for (enum damage kind = 0; kind < DAMAGES; kind++) {
            memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
            lose_all_superblocks(&corpus, kind);
            corpus.lost_blocks = 0;
            struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
            assert_true(summary.remaining > 0 && summary.actions == 0);
            summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
            assert_int_equal(summary.remaining, 0);
            assert_true(corpus.reported_count >= corpus.things * VOLUME_BLOCKS);
            assert_names(&corpus);
            corpus_verify(&corpus);
            assert_true(pool == KIND_JOURNAL || corpus.lost_blocks == 0);
            assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).actions, 0);
        }
        corpus_end(&corpus);
    }
}

/* And another block of metadata, in turn any of them. */
static void all_superblocks_and_more(void **state) {
    (void)state;
    static struct corpus corpus;
    for (enum kind pool = KIND_CLEAN; pool <= KIND_SNAPSHOTS; pool++) {
        corpus_start(&corpus, pool);
        for (unsigned i = (unsigned)random_below(&corpus.random, 4); i < corpus.count; i += 4) {
            memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
            lose_all_superblocks(&corpus, DAMAGE_GARBLE);
            corpus_damage(&corpus, corpus.blocks[i], DAMAGE_GARBLE);
            if (corpus.verbose)
                printf("block %llu\n", (unsigned long long)corpus.blocks[i]);
            assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
            corpus_verify(&corpus);
        }
        corpus_end(&corpus);
    }
}

/* The nodes of a checkpoint that a power cut kept from being published are newer than all others,
 * and not all there: they do not count. */
static void unpublished_nodes(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_CLEAN);
    struct ramdisk *whole = corpus.disk;
    for (uint64_t cut = 1; cut < 60; cut++) {
        struct ramdisk *cutting = ramdisk_from(corpus.image, corpus.disk_bytes);
        corpus.disk = cutting;
        struct lfsx_pool *pool = pooltest_open(cutting);
        struct lfsx_volume *volume;
        assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
        assert_int_equal(pooltest_write(volume, 0, corpus.contents[0], LFSX_BLOCK_SIZE, LFSX_FUA),
                         STATUS_OK);
        lfsx_volume_close(volume);
        ramdisk_record(cutting);
        cutting->cut_random = (struct random){random_next(&corpus.random)};
        cutting->cut_after = cut;
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
        bool was_cut = cutting->left_over != NULL;
        memcpy(whole->content, was_cut ? cutting->left_over : cutting->content, corpus.disk_bytes);
        ramdisk_destroy(cutting);
        corpus.disk = whole;
        lose_all_superblocks(&corpus, DAMAGE_ZERO);
        assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
        assert_names(&corpus);
        corpus_verify(&corpus);
        if (!was_cut)
            break;
    }
    corpus_end(&corpus);
}

#define GROWN_SIZE (1u << 20)

/* A pool that has grown, with a volume of which `length` bytes were written then. */
static struct ramdisk *make_grown_pool(struct random *random, uint32_t length,
                                       const unsigned char *data, struct geometry *geometry) {
    uint64_t small = (8ull << 20) + random_below(random, 1000) * LFSX_BLOCK_SIZE;
    uint64_t large = (96ull << 20) + random_below(random, 10000) * LFSX_BLOCK_SIZE;
    struct ramdisk *disk = ramdisk_create(large);
    disk->device.size = small;
    pooltest_format(disk, 1, GROWN_SIZE);
    struct lfsx_pool *pool = pooltest_open(disk);
    disk->device.size = large;
    assert_int_equal(lfsx_pool_grow(pool), STATUS_OK);
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    for (uint32_t i = 0; i < length; i += 65536)
        assert_int_equal(pooltest_write(volume, i, data + i, 65536, LFSX_FUA), STATUS_OK);
    lfsx_volume_close(volume);
    *geometry = pool->label.geometry;
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    return disk;
}

static void flip_labels(struct ramdisk *disk, const struct geometry *geometry) {
    for (unsigned area = 0; area < 2; area++)
        disk->content[geometry_label_address(geometry, area) * DISK_BLOCK_SIZE + 50] ^= 1;
}

/* Its root is lost, too: nothing tells where the data area begins, and nothing is changed. */
static void lose_root(struct ramdisk *disk, const struct geometry *geometry, uint64_t root) {
    struct corpus corpus = {.disk = disk};
    flip_labels(disk, geometry);
    disk->content[root * DISK_BLOCK_SIZE + 50] ^= 1;
    unsigned char *before = malloc(disk->device.size);
    memcpy(before, disk->content, disk->device.size);
    assert_true(corpus_repair_some(&corpus, LFSX_REPAIR_ALL).remaining > 0);
    assert_memory_equal(disk->content, before, disk->device.size);
    free(before);
}

/* A pool that has grown has a journal of the size that it was made with: without labels it is found
 * where the data area begins. */
static void labels_of_a_grown_pool(void **state) {
    (void)state;
    struct random random = random_start("repair_grown_labels");
    static unsigned char data[GROWN_SIZE], read[GROWN_SIZE];
    for (unsigned round = 0; round < 6; round++) {
        uint32_t length = round % 2 ? GROWN_SIZE : 65536;
        memset(data, 0, sizeof data);
        random_fill(&random, data, length);
        struct geometry geometry;
        struct ramdisk *disk = make_grown_pool(&random, length, data, &geometry);
        struct corpus corpus = {.disk = disk};
        flip_labels(disk, &geometry);
        assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
        assert_int_equal(corpus.reported_count, 0);
        struct lfsx_pool *pool = pooltest_open(disk);
        assert_memory_equal(&pool->label.geometry, &geometry, sizeof geometry);
        uint64_t root = dataset_find(pool, "alpha")->tree.root.block;
        struct lfsx_volume *volume;
        assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
        assert_int_equal(pooltest_read(volume, 0, read, sizeof read), STATUS_OK);
        assert_memory_equal(read, data, sizeof data);
        lfsx_volume_close(volume);
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
        lose_root(disk, &geometry, root);
        ramdisk_destroy(disk);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_superblock),
        cmocka_unit_test(impossible_epoch),
        cmocka_unit_test(labels),
        cmocka_unit_test(labels_of_a_grown_pool),
        cmocka_unit_test(all_superblocks),
        cmocka_unit_test(all_superblocks_and_more),
        cmocka_unit_test(unpublished_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
