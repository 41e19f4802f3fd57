/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever metadata block of a pool is damaged, repair makes the pool whole, and what it
 * reports as lost is the truth: every byte that is not what it was lies in a reported range, and
 * the loss of one leaf does not cost the volume.
 */
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define VOLUMES 2u
#define VOLUME_SIZE (1536ull << 10)
#define VOLUME_BLOCKS (VOLUME_SIZE / LFSX_BLOCK_SIZE)

static const char *const names[VOLUMES] = {"alpha", "beta"};

struct corpus {
    struct random random;
    struct ramdisk *disk;
    unsigned char *image; /* undamaged */
    unsigned char *contents[VOLUMES];
    unsigned char *data;
    struct label label;
    uint64_t blocks[DISK_MIN_DEVICE_BLOCKS]; /* metadata in use */
    unsigned count;
    bool reported[VOLUMES][VOLUME_BLOCKS];
    unsigned reported_count;
    unsigned lost_blocks; /* that differ, over all cases */
    bool verbose;
};

static void write_some(struct corpus *corpus, struct lfsx_pool *pool, unsigned count) {
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct lfsx_volume *volume;
        assert_int_equal(lfsx_volume_open(pool, names[i], &volume), STATUS_OK);
        for (unsigned j = 0; j < count; j++) {
            struct operation operation = operation_random(&corpus->random, VOLUME_SIZE, 5000);
            assert_int_equal(operation_do(&operation, volume, j % 5 == 0 ? LFSX_FUA : 0),
                             STATUS_OK);
            operation_apply(&operation, corpus->contents[i], VOLUME_SIZE);
        }
        lfsx_volume_close(volume);
    }
}

static void add_block(struct corpus *corpus, uint64_t block) {
    corpus->blocks[corpus->count++] = block;
}

/* Nodes in use are told from data by what they say. */
static void find_metadata(struct corpus *corpus) {
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
            add_block(corpus, block);
    }
    alloc_destroy(&allocator);
    assert_true(corpus->count >= 10);
    for (uint64_t block = g->map_start; block < g->map_start + g->map_blocks; block++)
        add_block(corpus, block);
    for (unsigned area = 0; area < 2; area++) {
        add_block(corpus, geometry_label_address(g, area));
        for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++)
            add_block(corpus, geometry_slot_address(g, area, slot));
    }
}

/* With a journal to replay, or after a clean end. */
static void start(struct corpus *corpus, bool with_journal) {
    memset(corpus, 0, sizeof *corpus);
    corpus->random = random_start("repair_corpus");
    corpus->verbose = getenv("VERBOSE") != NULL;
    corpus->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(corpus->disk, VOLUMES, VOLUME_SIZE);
    for (unsigned i = 0; i < VOLUMES; i++)
        corpus->contents[i] = calloc(1, VOLUME_SIZE);
    corpus->data = malloc(LFSX_BLOCK_SIZE);
    corpus->image = malloc(DISK_BYTES);
    struct lfsx_pool *pool = pooltest_open(corpus->disk);
    write_some(corpus, pool, 500);
    if (with_journal) {
        assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
        write_some(corpus, pool, 4);
        assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
        memcpy(corpus->image, corpus->disk->content, DISK_BYTES);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    if (with_journal)
        memcpy(corpus->disk->content, corpus->image, DISK_BYTES);
    memcpy(corpus->image, corpus->disk->content, DISK_BYTES);
    pooltest_assert_clean(corpus->disk);
    find_metadata(corpus);
}

static void end(struct corpus *corpus) {
    for (unsigned i = 0; i < VOLUMES; i++)
        free(corpus->contents[i]);
    free(corpus->data);
    free(corpus->image);
    ramdisk_destroy(corpus->disk);
}

enum damage { DAMAGE_FLIP, DAMAGE_ZERO, DAMAGE_GARBLE, DAMAGES };

static void damage(struct corpus *corpus, uint64_t block, enum damage kind) {
    unsigned char *page = corpus->disk->content + block * DISK_BLOCK_SIZE;
    if (kind == DAMAGE_FLIP)
        page[random_below(&corpus->random, DISK_BLOCK_SIZE)] ^= 0x10;
    else if (kind == DAMAGE_ZERO)
        memset(page, 0, DISK_BLOCK_SIZE);
    else
        random_fill(&corpus->random, page, DISK_BLOCK_SIZE);
}

/* The volume's index; a volume whose name is lost is told by its number. */
static unsigned volume_index(const char *name) {
    for (unsigned i = 0; i < VOLUMES; i++) {
        char found[32];
        snprintf(found, sizeof found, "lost+found-%u", DISK_FIRST_DATASET + i);
        if (strcmp(name, names[i]) == 0 || strcmp(name, found) == 0)
            return i;
    }
    fail_msg("a volume of the name %s", name);
    return 0;
}

static void on_finding(void *context, const struct lfsx_finding *finding) {
    struct corpus *corpus = context;
    if (corpus->verbose)
        printf("  %s: %s\n", finding->name, finding->text);
}

static void on_action(void *context, const char *text) {
    struct corpus *corpus = context;
    if (corpus->verbose)
        printf("  %s\n", text);
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    struct corpus *corpus = context;
    if (corpus->verbose)
        printf("  loss: %s %llu + %llu%s\n", loss->volume, (unsigned long long)loss->offset,
               (unsigned long long)loss->length, loss->doubtful ? " doubtful" : "");
    unsigned index = volume_index(loss->volume);
    for (uint64_t i = loss->offset / LFSX_BLOCK_SIZE;
         i < MATH_MIN((loss->offset + loss->length) / LFSX_BLOCK_SIZE, VOLUME_BLOCKS); i++) {
        corpus->reported[index][i] = true;
        corpus->reported_count++;
    }
}

static struct lfsx_repair_summary repair(struct corpus *corpus, enum lfsx_repair_level level) {
    memset(corpus->reported, 0, sizeof corpus->reported);
    corpus->reported_count = 0;
    struct lfsx_repair_options options = {.level = level,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = corpus};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&corpus->disk->device, &options, &summary), STATUS_OK);
    return summary;
}

static void compare(struct corpus *corpus, struct lfsx_volume *volume, unsigned index) {
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    for (uint64_t i = 0; i < VOLUME_BLOCKS; i++) {
        if ((i + 1) * LFSX_BLOCK_SIZE > info.size) {
            assert_true(corpus->reported[index][i]);
            continue;
        }
        assert_int_equal(pooltest_read(volume, i * LFSX_BLOCK_SIZE, corpus->data, LFSX_BLOCK_SIZE),
                         STATUS_OK);
        bool same = memcmp(corpus->data, corpus->contents[index] + i * LFSX_BLOCK_SIZE,
                           LFSX_BLOCK_SIZE) == 0;
        corpus->lost_blocks += !same;
        if (!same && !corpus->reported[index][i])
            fail_msg("block %llu of %s differs, and was not reported", (unsigned long long)i,
                     names[index]);
    }
}

static bool open_named(struct lfsx_pool *pool, unsigned index, struct lfsx_volume **volume) {
    char found[32];
    snprintf(found, sizeof found, "lost+found-%u", DISK_FIRST_DATASET + index);
    return lfsx_volume_open(pool, names[index], volume) == STATUS_OK ||
           lfsx_volume_open(pool, found, volume) == STATUS_OK;
}

/* The pool takes writes again, and its volumes hold what they held but for what was reported. */
static void verify(struct corpus *corpus, unsigned volumes_that_may_miss) {
    struct lfsx_pool *pool = pooltest_open(corpus->disk);
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct lfsx_volume *volume;
        if (!open_named(pool, i, &volume)) {
            assert_true(volumes_that_may_miss-- > 0);
            continue;
        }
        compare(corpus, volume, i);
        assert_int_equal(pooltest_write(volume, 0, corpus->data, LFSX_BLOCK_SIZE, LFSX_FUA),
                         STATUS_OK);
        lfsx_volume_close(volume);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    struct pooltest_findings findings = {.without_data = true};
    pooltest_check(corpus->disk, &findings);
    assert_int_equal(findings.count, 0);
}

static void is_leaf_or_less(struct corpus *corpus, uint64_t block) {
    const struct disk_node *node =
        (const struct disk_node *)(corpus->image + block * DISK_BLOCK_SIZE);
    bool is_node =
        block >= corpus->label.geometry.data_start && block < corpus->label.geometry.data_end;
    if (!is_node || le64_get(node->owner) == DISK_OWNER_CATALOG || node->level > 0)
        return;
    assert_true(corpus->reported_count < VOLUME_BLOCKS / 2);
}

static void single(bool with_journal) {
    static struct corpus corpus;
    start(&corpus, with_journal);
    for (unsigned i = 0; i < corpus.count; i++)
        for (enum damage kind = 0; kind < DAMAGES; kind++) {
            memcpy(corpus.disk->content, corpus.image, DISK_BYTES);
            damage(&corpus, corpus.blocks[i], kind);
            if (corpus.verbose)
                printf("block %llu, damage %u\n", (unsigned long long)corpus.blocks[i], kind);
            struct lfsx_repair_summary summary = repair(&corpus, LFSX_REPAIR_ALL);
            assert_int_equal(summary.remaining, 0);
            verify(&corpus, 0);
            is_leaf_or_less(&corpus, corpus.blocks[i]);
        }
    printf("%u blocks damaged, %u blocks of data lost\n", corpus.count * DAMAGES,
           corpus.lost_blocks);
    end(&corpus);
}

static void every_block(void **state) {
    (void)state;
    single(false);
}

static void every_block_with_a_journal(void **state) {
    (void)state;
    single(true);
}

static void pairs(void **state) {
    (void)state;
    static struct corpus corpus;
    start(&corpus, false);
    for (uint64_t i = random_scale(150); i > 0; i--) {
        memcpy(corpus.disk->content, corpus.image, DISK_BYTES);
        uint64_t nodes = corpus.count - 2 - 2 * DISK_RING_SLOTS;
        uint64_t one = corpus.blocks[random_below(&corpus.random, nodes)];
        uint64_t two = corpus.blocks[random_below(&corpus.random, nodes)];
        damage(&corpus, one, (enum damage)random_below(&corpus.random, DAMAGES));
        damage(&corpus, two, (enum damage)random_below(&corpus.random, DAMAGES));
        if (corpus.verbose)
            printf("blocks %llu and %llu\n", (unsigned long long)one, (unsigned long long)two);
        struct lfsx_repair_summary summary = repair(&corpus, LFSX_REPAIR_ALL);
        assert_int_equal(summary.remaining, 0);
        verify(&corpus, 0);
    }
    end(&corpus);
}

/* Both copies of the newest superblock: the pool goes back, and says so. */
static void newest_superblock(void **state) {
    (void)state;
    static struct corpus corpus;
    start(&corpus, false);
    static struct ring ring;
    struct superblock super;
    assert_int_equal(ring_read(&corpus.disk->device, &corpus.label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    for (unsigned area = 0; area < 2; area++)
        damage(&corpus,
               geometry_slot_address(&corpus.label.geometry, area,
                                     (unsigned)(super.checkpoint % DISK_RING_SLOTS)),
               DAMAGE_GARBLE);
    struct lfsx_repair_summary summary = repair(&corpus, LFSX_REPAIR_PREEN);
    assert_true(summary.remaining > 0);
    summary = repair(&corpus, LFSX_REPAIR_ALL);
    assert_int_equal(summary.remaining, 0);
    assert_true(corpus.reported_count > 0);
    verify(&corpus, 0);
    end(&corpus);
}

/* Preening repairs maps and copies, and leaves alone what would cost data. */
static void preen(void **state) {
    (void)state;
    static struct corpus corpus;
    start(&corpus, false);
    for (unsigned i = 0; i < corpus.count; i++) {
        memcpy(corpus.disk->content, corpus.image, DISK_BYTES);
        damage(&corpus, corpus.blocks[i], DAMAGE_FLIP);
        bool is_node = corpus.blocks[i] >= corpus.label.geometry.data_start &&
                       corpus.blocks[i] < corpus.label.geometry.data_end;
        struct lfsx_repair_summary summary = repair(&corpus, LFSX_REPAIR_PREEN);
        assert_int_equal(summary.losses, 0);
        assert_int_equal(summary.remaining > 0, is_node);
        if (!is_node) {
            verify(&corpus, 0);
            continue;
        }
        assert_int_equal(summary.actions, 0);
    }
    end(&corpus);
}

/* A power cut at any write of a repair leaves a pool that can be repaired as well. */
static void power_cuts(void **state) {
    (void)state;
    static struct corpus corpus;
    start(&corpus, false);
    struct ramdisk *whole = corpus.disk;
    for (unsigned i = 0; i < 12 && i < corpus.count; i++) {
        for (uint64_t cut = 1;; cut++) {
            memcpy(whole->content, corpus.image, DISK_BYTES);
            corpus.disk = whole;
            damage(&corpus, corpus.blocks[i], DAMAGE_GARBLE);
            struct ramdisk *cutting = ramdisk_from(whole->content, DISK_BYTES);
            ramdisk_record(cutting);
            cutting->cut_random = (struct random){random_next(&corpus.random)};
            cutting->cut_after = cut;
            corpus.disk = cutting;
            repair(&corpus, LFSX_REPAIR_ALL);
            bool was_cut = cutting->left_over != NULL;
            static bool reported[VOLUMES][VOLUME_BLOCKS];
            memcpy(reported, corpus.reported, sizeof reported);
            if (was_cut)
                memcpy(whole->content, cutting->left_over, DISK_BYTES);
            ramdisk_destroy(cutting);
            corpus.disk = whole;
            if (!was_cut)
                break;
            assert_int_equal(repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
            for (unsigned j = 0; j < VOLUMES * VOLUME_BLOCKS; j++)
                ((bool *)corpus.reported)[j] |= ((bool *)reported)[j];
            verify(&corpus, 0);
        }
    }
    end(&corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block), cmocka_unit_test(every_block_with_a_journal),
        cmocka_unit_test(pairs),       cmocka_unit_test(newest_superblock),
        cmocka_unit_test(preen),       cmocka_unit_test(power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
