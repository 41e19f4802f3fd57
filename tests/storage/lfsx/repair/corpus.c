/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever metadata block of a pool is damaged, repair makes the pool whole, and what it
 * reports as lost is the truth: every byte that is not what it was lies in a reported range, and
 * the loss of one leaf does not cost the volume. The same of snapshots and clones.
 */
#include "tests/storage/lfsx/repair/corpus.h"

static void is_leaf_or_less(struct corpus *corpus, uint64_t block) {
    const struct disk_node *node =
        (const struct disk_node *)(corpus->image + block * DISK_BLOCK_SIZE);
    bool is_node =
        block >= corpus->label.geometry.data_start && block < corpus->label.geometry.data_end;
    if (!is_node || le64_get(node->owner) == DISK_OWNER_CATALOG || node->level > 0)
        return;
    /* Everything that has the leaf loses it. */
    assert_true(corpus->reported_count < corpus->things / VOLUMES * VOLUME_BLOCKS / 2);
}

static void single(enum kind pool, enum damage first) {
    static struct corpus corpus;
    corpus_start(&corpus, pool);
    for (unsigned i = 0; i < corpus.count; i++)
        for (enum damage kind = first; kind < DAMAGES; kind++) {
            memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
            corpus_damage(&corpus, corpus.blocks[i], kind);
            if (corpus.verbose)
                printf("block %llu, damage %u\n", (unsigned long long)corpus.blocks[i], kind);
            struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
            assert_int_equal(summary.remaining, 0);
            corpus_verify(&corpus);
            is_leaf_or_less(&corpus, corpus.blocks[i]);
        }
    printf("%u blocks damaged, %u blocks of data lost\n", corpus.count * DAMAGES,
           corpus.lost_blocks);
    corpus_end(&corpus);
}

static void every_block(void **state) {
    (void)state;
    single(KIND_CLEAN, DAMAGE_FLIP);
}

static void every_block_with_a_journal(void **state) {
    (void)state;
    single(KIND_JOURNAL, DAMAGE_FLIP);
}

static void every_block_with_snapshots(void **state) {
    (void)state;
    single(KIND_SNAPSHOTS, DAMAGE_GARBLE);
}

static void damage_pairs(enum kind kind, uint64_t cases) {
    static struct corpus corpus;
    corpus_start(&corpus, kind);
    for (uint64_t i = random_scale(cases); i > 0; i--) {
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        uint64_t nodes = corpus.count - 2 - 2 * DISK_RING_SLOTS;
        uint64_t one = corpus.blocks[random_below(&corpus.random, nodes)];
        uint64_t two = corpus.blocks[random_below(&corpus.random, nodes)];
        corpus_damage(&corpus, one, (enum damage)random_below(&corpus.random, DAMAGES));
        corpus_damage(&corpus, two, (enum damage)random_below(&corpus.random, DAMAGES));
        if (corpus.verbose)
            printf("blocks %llu and %llu\n", (unsigned long long)one, (unsigned long long)two);
        struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
        assert_int_equal(summary.remaining, 0);
        corpus_verify(&corpus);
    }
    corpus_end(&corpus);
}

static void pairs(void **state) {
    (void)state;
    damage_pairs(KIND_CLEAN, 150);
}

static void pairs_with_snapshots(void **state) {
    (void)state;
    damage_pairs(KIND_SNAPSHOTS, 25);
}

/* Preening repairs maps and copies, and leaves alone what would cost data. */
static void preen(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_CLEAN);
    for (unsigned i = 0; i < corpus.count; i++) {
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        corpus_damage(&corpus, corpus.blocks[i], DAMAGE_FLIP);
        bool is_node = corpus.blocks[i] >= corpus.label.geometry.data_start &&
                       corpus.blocks[i] < corpus.label.geometry.data_end;
        struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
        assert_int_equal(summary.losses, 0);
        assert_int_equal(summary.remaining > 0, is_node);
        if (!is_node) {
            corpus_verify(&corpus);
            continue;
        }
        assert_int_equal(summary.actions, 0);
    }
    corpus_end(&corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block),
        cmocka_unit_test(every_block_with_a_journal),
        cmocka_unit_test(every_block_with_snapshots),
        cmocka_unit_test(pairs_with_snapshots),
        cmocka_unit_test(pairs),
        cmocka_unit_test(preen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
