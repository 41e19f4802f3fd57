/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever node of a share's trees is damaged, repair makes the pool whole; every file reads
 * what it held, zeros where they were reported, or what was reported as doubtful; nothing else
 * differs in names, attributes and links than what was reported; and nothing is lost with a node
 * that has no items. The same of its snapshots and a clone, and with a journal to replay.
 */
#include "tests/storage/lfsx/repair/sharecorpus.h"

/* A node above the leaves costs nothing, a leaf no more than a small part of the inodes. */
static void assert_little(struct sharecorpus *c, uint64_t block) {
    const struct disk_node *node = corpus_node(c, block);
    if (node->level > 0 || le64_get(node->owner) & DISK_OWNER_DEAD)
        assert_int_equal(c->loss_count, 0);
    for (unsigned i = 0; i < c->loss_count; i++)
        assert_true(c->losses[i].last - c->losses[i].inode < 60);
}

static void every_node(bool with_journal) {
    struct sharecorpus *c = corpus_start("repair_share_corpus", with_journal);
    uint64_t cases = 0;
    for (unsigned i = 0; i < c->count; i++) {
        enum corpus_damage kind = random_below(&c->random, CORPUS_DAMAGES);
        memcpy(c->test.disk->content, c->image, CORPUS_BYTES);
        corpus_damage(c, c->blocks[i], kind);
        if (c->verbose)
            printf("block %llu, level %u, owner %llu, damage %u\n",
                   (unsigned long long)c->blocks[i], corpus_node(c, c->blocks[i])->level,
                   (unsigned long long)le64_get(corpus_node(c, c->blocks[i])->owner), kind);
        corpus_repair(c);
        corpus_verify(c);
        assert_little(c, c->blocks[i]);
        cases++;
    }
    printf("%llu nodes damaged, %u blocks and inodes lost\n", (unsigned long long)cases,
           c->differing);
    assert_true(c->differing > 0);
    corpus_end(c);
}

static void nodes(void **state) {
    (void)state;
    every_node(false);
}

static void nodes_with_a_journal(void **state) {
    (void)state;
    every_node(true);
}

static void damage_several(bool with_journal, unsigned count, uint64_t cases) {
    struct sharecorpus *c = corpus_start("repair_share_corpus", with_journal);
    for (uint64_t i = random_scale(cases); i > 0; i--) {
        memcpy(c->test.disk->content, c->image, CORPUS_BYTES);
        for (unsigned j = 0; j < count; j++) {
            uint64_t block = c->blocks[random_below(&c->random, c->count)];
            corpus_damage(c, block, random_below(&c->random, CORPUS_DAMAGES));
            if (c->verbose)
                printf("block %llu\n", (unsigned long long)block);
        }
        corpus_repair(c);
        corpus_verify(c);
    }
    corpus_end(c);
}

static void pairs(void **state) {
    (void)state;
    damage_several(false, 2, 12);
}

static void many(void **state) {
    (void)state;
    damage_several(true, 12, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes),
        cmocka_unit_test(nodes_with_a_journal),
        cmocka_unit_test(pairs),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
