/* SPDX-License-Identifier: Apache-2.0 */
/* Pools to be damaged and repaired, and what they should hold afterwards. */
#ifndef TESTS_STORAGE_LFSX_REPAIR_CORPUS_H
#define TESTS_STORAGE_LFSX_REPAIR_CORPUS_H

#include "storage/journal/journal_format.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/volumemodel.h"

#define BLOCKS_MAX 6144u
#define VOLUMES 2u
#define VOLUME_SIZE (1536ull << 10)
#define VOLUME_BLOCKS (VOLUME_SIZE / LFSX_BLOCK_SIZE)
#define NAME_SIZE 64u

/* Volumes and snapshots, and what they should hold. */
static const struct {
    unsigned volume; /* its number behind the first one's */
    const char *volume_name, *snapshot;
} things[] = {{0, "alpha", NULL},  {1, "beta", NULL},  {2, "gamma", NULL},   {0, "alpha", "one"},
              {0, "alpha", "two"}, {1, "beta", "two"}, {2, "gamma", "three"}};
#define THINGS ((unsigned)ARRAY_LENGTH(things))
#define CLONE 2u

struct corpus {
    struct random random;
    struct ramdisk *disk;
    uint64_t disk_bytes;
    unsigned things;      /* how many there are */
    unsigned char *image; /* undamaged */
    unsigned char *contents[THINGS];
    unsigned char *data;
    struct label label;
    uint64_t blocks[BLOCKS_MAX]; /* metadata in use */
    unsigned count;
    bool reported[THINGS][VOLUME_BLOCKS];
    unsigned reported_count;
    unsigned lost_blocks; /* that differ, over all cases */
    bool size_is_lost;    /* no version of an inode is left: a volume may be shorter */
    bool verbose;
};

static inline void corpus_write_some(struct corpus *corpus, struct lfsx_pool *pool,
                                     unsigned volumes, unsigned count) {
    for (unsigned i = 0; i < volumes; i++) {
        struct lfsx_volume *volume;
        assert_int_equal(lfsx_volume_open(pool, things[i].volume_name, &volume), STATUS_OK);
        for (unsigned j = 0; j < count; j++) {
            struct operation operation = operation_random(&corpus->random, VOLUME_SIZE, 5000);
            assert_int_equal(operation_do(&operation, volume, j % 5 == 0 ? LFSX_FUA : 0),
                             STATUS_OK);
            operation_apply(&operation, corpus->contents[i], VOLUME_SIZE);
        }
        lfsx_volume_close(volume);
    }
}

/* One instant of all the volumes that have a snapshot of the name. */
static inline void corpus_snapshot(struct corpus *corpus, struct lfsx_pool *pool,
                                   const char *name) {
    const char *volumes[THINGS];
    unsigned count = 0;
    for (unsigned i = 0; i < THINGS; i++)
        if (things[i].snapshot != NULL && strcmp(things[i].snapshot, name) == 0) {
            volumes[count++] = things[i].volume_name;
            memcpy(corpus->contents[i], corpus->contents[things[i].volume], VOLUME_SIZE);
        }
    assert_int_equal(lfsx_snapshot_create(pool, volumes, count, name, 0), STATUS_OK);
}

static inline void corpus_write_with_snapshots(struct corpus *corpus, struct lfsx_pool *pool) {
    corpus_write_some(corpus, pool, VOLUMES, 250);
    corpus_snapshot(corpus, pool, "one");
    corpus_write_some(corpus, pool, VOLUMES, 60);
    corpus_snapshot(corpus, pool, "two");
    corpus_write_some(corpus, pool, VOLUMES, 20);
    assert_int_equal(lfsx_clone_create(pool, "alpha", "one", "gamma"), STATUS_OK);
    memcpy(corpus->contents[CLONE], corpus->contents[3], VOLUME_SIZE);
    corpus_write_some(corpus, pool, VOLUMES + 1, 60);
    corpus_snapshot(corpus, pool, "three");
    corpus_write_some(corpus, pool, VOLUMES + 1, 30);
}

static inline void corpus_add_block(struct corpus *corpus, uint64_t block) {
    corpus->blocks[corpus->count++] = block;
}

/* Nodes in use are told from data by what they say. */
static inline void corpus_find_metadata(struct corpus *corpus) {
    static struct ring ring;
    struct superblock super;
    struct allocator allocator;
    struct blockdev *device = &corpus->disk->device;
    assert_int_equal(label_read(device, &corpus->label), STATUS_OK);
    assert_int_equal(ring_read(device, &corpus->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    const struct geometry *g = &corpus->label.geometry;
    assert_int_equal(alloc_load(&allocator, g, device, &super.map_root), STATUS_OK);
    for (uint64_t block = g->data_start; block < g->data_end; block++) {
        const struct disk_node *node =
            (const struct disk_node *)(corpus->image + block * DISK_BLOCK_SIZE);
        if (alloc_is_used(&allocator, block) && le32_get(node->magic) == DISK_NODE_MAGIC &&
            le64_get(node->block) == block)
            corpus_add_block(corpus, block);
    }
    alloc_destroy(&allocator);
    assert_true(corpus->count >= 10);
    for (uint64_t block = g->map_start; block < g->map_start + g->map_blocks; block++)
        corpus_add_block(corpus, block);
    for (unsigned area = 0; area < 2; area++) {
        corpus_add_block(corpus, geometry_label_address(g, area));
        for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++)
            corpus_add_block(corpus, geometry_slot_address(g, area, slot));
    }
}

enum kind { KIND_CLEAN, KIND_JOURNAL, KIND_SNAPSHOTS };

/* After a clean end, with a journal to replay, or with snapshots. */
static inline void corpus_start(struct corpus *corpus, enum kind kind) {
    bool with_journal = kind == KIND_JOURNAL;
    memset(corpus, 0, sizeof *corpus);
    corpus->random = random_start("repair_corpus");
    corpus->verbose = getenv("VERBOSE") != NULL;
    corpus->things = kind == KIND_SNAPSHOTS ? THINGS : VOLUMES;
    corpus->disk_bytes =
        (uint64_t)DISK_BLOCK_SIZE * (kind == KIND_SNAPSHOTS ? BLOCKS_MAX : DISK_MIN_DEVICE_BLOCKS);
    corpus->disk = ramdisk_create(corpus->disk_bytes);
    pooltest_format(corpus->disk, VOLUMES, VOLUME_SIZE);
    for (unsigned i = 0; i < THINGS; i++)
        corpus->contents[i] = calloc(1, VOLUME_SIZE);
    corpus->data = malloc(LFSX_BLOCK_SIZE);
    corpus->image = malloc(corpus->disk_bytes);
    struct lfsx_pool *pool = pooltest_open(corpus->disk);
    if (kind == KIND_SNAPSHOTS)
        corpus_write_with_snapshots(corpus, pool);
    else
        corpus_write_some(corpus, pool, VOLUMES, 500);
    if (with_journal) {
        assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
        corpus_write_some(corpus, pool, VOLUMES, 4);
        assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
        memcpy(corpus->image, corpus->disk->content, corpus->disk_bytes);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    if (with_journal)
        memcpy(corpus->disk->content, corpus->image, corpus->disk_bytes);
    memcpy(corpus->image, corpus->disk->content, corpus->disk_bytes);
    pooltest_assert_clean(corpus->disk);
    corpus_find_metadata(corpus);
}

static inline void corpus_end(struct corpus *corpus) {
    for (unsigned i = 0; i < THINGS; i++)
        free(corpus->contents[i]);
    free(corpus->data);
    free(corpus->image);
    ramdisk_destroy(corpus->disk);
}

enum damage { DAMAGE_FLIP, DAMAGE_ZERO, DAMAGE_GARBLE, DAMAGES };

static inline void corpus_damage(struct corpus *corpus, uint64_t block, enum damage kind) {
    unsigned char *page = corpus->disk->content + block * DISK_BLOCK_SIZE;
    if (kind == DAMAGE_FLIP)
        page[random_below(&corpus->random, DISK_BLOCK_SIZE)] ^= 0x10;
    else if (kind == DAMAGE_ZERO)
        memset(page, 0, DISK_BLOCK_SIZE);
    else
        random_fill(&corpus->random, page, DISK_BLOCK_SIZE);
}

/* "VOLUME" or "VOLUME@SNAPSHOT"; a volume whose name is lost is told by its number. */
static inline void corpus_name_thing(char *name, unsigned index, bool found) {
    char volume[NAME_SIZE / 2];
    snprintf(volume, sizeof volume, "lost+found-%u", DISK_FIRST_DATASET + things[index].volume);
    snprintf(name, NAME_SIZE, "%s%s%s", found ? volume : things[index].volume_name,
             things[index].snapshot == NULL ? "" : "@",
             things[index].snapshot == NULL ? "" : things[index].snapshot);
}

static inline unsigned corpus_thing_index(const char *name) {
    for (unsigned i = 0; i < 2 * THINGS; i++) {
        char text[NAME_SIZE];
        corpus_name_thing(text, i / 2, i % 2);
        if (strcmp(name, text) == 0)
            return i / 2;
    }
    fail_msg("a volume of the name %s", name);
    return 0;
}

static inline void corpus_on_finding(void *context, const struct lfsx_finding *finding) {
    struct corpus *corpus = context;
    if (corpus->verbose)
        printf("  %s: %s\n", finding->name, finding->text);
}

static inline void corpus_on_action(void *context, const char *text) {
    struct corpus *corpus = context;
    if (corpus->verbose)
        printf("  %s\n", text);
}

static inline void corpus_on_loss(void *context, const struct lfsx_loss *loss) {
    struct corpus *corpus = context;
    if (corpus->verbose)
        printf("  loss: %s %llu + %llu%s\n", loss->volume, (unsigned long long)loss->offset,
               (unsigned long long)loss->length, loss->doubtful ? " doubtful" : "");
    unsigned index = corpus_thing_index(loss->volume);
    for (uint64_t i = loss->offset / LFSX_BLOCK_SIZE;
         i < MATH_MIN((loss->offset + loss->length) / LFSX_BLOCK_SIZE, VOLUME_BLOCKS); i++) {
        corpus->reported[index][i] = true;
        corpus->reported_count++;
    }
}

static inline struct lfsx_repair_summary corpus_repair_some(struct corpus *corpus,
                                                            enum lfsx_repair_level level) {
    memset(corpus->reported, 0, sizeof corpus->reported);
    corpus->reported_count = 0;
    struct lfsx_repair_options options = {.level = level,
                                          .finding = corpus_on_finding,
                                          .action = corpus_on_action,
                                          .loss = corpus_on_loss,
                                          .context = corpus};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&corpus->disk->device, &options, &summary), STATUS_OK);
    return summary;
}

/* All that was found is repaired, if it is meant to be. */
static inline struct lfsx_repair_summary corpus_repair(struct corpus *corpus,
                                                       enum lfsx_repair_level level) {
    struct lfsx_repair_summary summary = corpus_repair_some(corpus, level);
    if (level == LFSX_REPAIR_ALL && summary.remaining > 0)
        pooltest_assert_clean(corpus->disk); /* says what */
    return summary;
}

static inline void corpus_compare(struct corpus *corpus, struct lfsx_volume *volume,
                                  unsigned index) {
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    for (uint64_t i = 0; i < VOLUME_BLOCKS; i++) {
        if ((i + 1) * LFSX_BLOCK_SIZE > info.size) {
            assert_true(corpus->reported[index][i] || corpus->size_is_lost);
            continue;
        }
        assert_int_equal(pooltest_read(volume, i * LFSX_BLOCK_SIZE, corpus->data, LFSX_BLOCK_SIZE),
                         STATUS_OK);
        bool same = memcmp(corpus->data, corpus->contents[index] + i * LFSX_BLOCK_SIZE,
                           LFSX_BLOCK_SIZE) == 0;
        corpus->lost_blocks += !same;
        if (!same && !corpus->reported[index][i]) {
            char name[NAME_SIZE];
            corpus_name_thing(name, index, false);
            fail_msg("block %llu of %s differs, and was not reported", (unsigned long long)i, name);
        }
    }
}

static inline bool corpus_open_named(struct lfsx_pool *pool, unsigned index,
                                     struct lfsx_volume **volume) {
    char name[NAME_SIZE], found[NAME_SIZE];
    corpus_name_thing(name, index, false);
    corpus_name_thing(found, index, true);
    return lfsx_volume_open(pool, name, volume) == STATUS_OK ||
           lfsx_volume_open(pool, found, volume) == STATUS_OK;
}

/* The pool takes writes again, and its volumes hold what they held but for what was reported. */
static inline void corpus_verify(struct corpus *corpus) {
    struct lfsx_pool *pool = pooltest_open(corpus->disk);
    for (unsigned i = corpus->things; i-- > 0;) {
        struct lfsx_volume *volume;
        if (!corpus_open_named(pool, i, &volume))
            fail_msg("thing %u is not there any more", i);
        corpus_compare(corpus, volume, i);
        if (things[i].snapshot == NULL)
            assert_int_equal(pooltest_write(volume, 0, corpus->data, LFSX_BLOCK_SIZE, LFSX_FUA),
                             STATUS_OK);
        lfsx_volume_close(volume);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    struct pooltest_findings findings = {.without_data = true};
    pooltest_check(corpus->disk, &findings);
    assert_int_equal(findings.count, 0);
}

#endif
