/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a power cut at any write of a repair leaves a pool that can be repaired as well, and
 * between them the two say all that was lost. */
#include "tests/storage/lfsx/repair/corpus.h"

/* Damages the pool, always in the same way. */
typedef void scene(struct corpus *corpus, uint64_t number);

/* False if the repair ended before the cut. What is left is on the corpus's disk then. */
static bool repair_with_cut(struct corpus *corpus, uint64_t cut) {
    struct ramdisk *whole = corpus->disk;
    struct ramdisk *cutting = ramdisk_from(whole->content, corpus->disk_bytes);
    ramdisk_record(cutting);
    cutting->cut_random = (struct random){random_next(&corpus->random)};
    cutting->cut_after = cut;
    corpus->disk = cutting;
    corpus_repair(corpus, LFSX_REPAIR_ALL);
    bool was_cut = cutting->left_over != NULL;
    if (was_cut)
        memcpy(whole->content, cutting->left_over, corpus->disk_bytes);
    ramdisk_destroy(cutting);
    corpus->disk = whole;
    return was_cut;
}

/* At each `step`th write. */
static void cut_each(struct corpus *corpus, scene *damage, uint64_t number, uint64_t step) {
    static bool reported[THINGS][VOLUME_BLOCKS];
    for (uint64_t cut = 1 + random_below(&corpus->random, step);; cut += step) {
        memcpy(corpus->disk->content, corpus->image, corpus->disk_bytes);
        damage(corpus, number);
        if (!repair_with_cut(corpus, cut))
            return;
        memcpy(reported, corpus->reported, sizeof reported);
        assert_int_equal(corpus_repair(corpus, LFSX_REPAIR_ALL).remaining, 0);
        for (unsigned i = 0; i < THINGS * VOLUME_BLOCKS; i++)
            ((bool *)corpus->reported)[i] |= ((bool *)reported)[i];
        corpus_verify(corpus);
    }
}

static void lose_block(struct corpus *corpus, uint64_t number) {
    memset(corpus->disk->content + corpus->blocks[number] * DISK_BLOCK_SIZE, 0xa5, DISK_BLOCK_SIZE);
}

static void any_block(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_CLEAN);
    for (unsigned i = 0; i < 12 && i < corpus.count; i++)
        cut_each(&corpus, lose_block, i, 1);
    corpus_end(&corpus);
}

static void lose_superblocks(struct corpus *corpus, uint64_t number) {
    for (unsigned area = 0; area < 2; area++)
        for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++) {
            uint64_t block = geometry_slot_address(&corpus->label.geometry, area, slot);
            memset(corpus->disk->content + block * DISK_BLOCK_SIZE, number != 0 ? 0xa5 : 0,
                   DISK_BLOCK_SIZE);
        }
}

/* Filled with something, and empty. */
static void all_superblocks(void **state) {
    (void)state;
    static struct corpus corpus;
    for (enum kind pool = KIND_CLEAN; pool <= KIND_JOURNAL; pool++) {
        corpus_start(&corpus, pool);
        cut_each(&corpus, lose_superblocks, 0, 1);
        cut_each(&corpus, lose_superblocks, 1, 7);
        corpus_end(&corpus);
    }
}

static void lose_labels(struct corpus *corpus, uint64_t number) {
    (void)number;
    for (unsigned area = 0; area < 2; area++)
        memset(corpus->disk->content +
                   geometry_label_address(&corpus->label.geometry, area) * DISK_BLOCK_SIZE,
               0xa5, DISK_BLOCK_SIZE);
}

static void labels(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_JOURNAL);
    cut_each(&corpus, lose_labels, 0, 1);
    corpus_end(&corpus);
}

/* An entry of the journal, by its place in the ring. */
static void lose_entry(struct corpus *corpus, uint64_t number) {
    uint64_t block = corpus->label.geometry.journal_start + number;
    corpus->disk->content[block * DISK_BLOCK_SIZE + 200] ^= 0x55;
}

static void journal_entries(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_JOURNAL);
    const struct geometry *g = &corpus.label.geometry;
    unsigned cases = 0;
    for (uint64_t i = 0; i < g->journal_blocks; i++) {
        struct pooltest_findings findings = {.quiet = true};
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        lose_entry(&corpus, i);
        pooltest_check(corpus.disk, &findings);
        if (findings.count == 0)
            continue;
        cut_each(&corpus, lose_entry, i, 1);
        cases++;
    }
    printf("%u entries that are missed\n", cases); /* of one entry alone, none is */
    corpus_end(&corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_block),
        cmocka_unit_test(all_superblocks),
        cmocka_unit_test(labels),
        cmocka_unit_test(journal_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
