/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever node of a share's trees is damaged, repair makes the pool whole; every file reads
 * what it held, zeros where they were reported, or what was reported as doubtful; nothing else
 * differs in names, attributes and links than what was reported; and nothing is lost with a node
 * that has no items. The same of its snapshots and a clone, and with a journal to replay.
 */
#include "tests/storage/lfsx/repair/sharecorpus.h"

/* How many nodes above the leaves and of dead trees were damaged, and how many cost something. */
struct inner {
    unsigned count, costly;
};

/* A leaf costs no more than a small part of the inodes. */
static void assert_little(struct sharecorpus *c, uint64_t block, struct inner *inner) {
    const struct disk_node *node = corpus_node(c, block);
    if (node->level > 0 || le64_get(node->owner) & DISK_OWNER_DEAD) {
        inner->count++;
        inner->costly += c->loss_count > 0;
        return;
    }
    for (unsigned i = 0; i < c->loss_count; i++)
        assert_true(c->losses[i].last - c->losses[i].inode < 60);
}

static void every_node(bool with_journal) {
    struct sharecorpus *c = corpus_start("repair_share_corpus", with_journal);
    uint64_t cases = 0;
    struct inner inner = {0};
    /* With a journal it takes twice as long: every other node. */
    for (unsigned i = with_journal && random_one_in(&c->random, 2); i < c->count;
         i += with_journal ? 2 : 1) {
        enum corpus_damage kind = random_below(&c->random, CORPUS_DAMAGES);
        memcpy(c->test.disk->content, c->image, CORPUS_BYTES);
        corpus_damage(c, c->blocks[i], kind);
        if (c->verbose)
            printf("block %llu, level %u, owner %llu, damage %u\n",
                   (unsigned long long)c->blocks[i], corpus_node(c, c->blocks[i])->level,
                   (unsigned long long)le64_get(corpus_node(c, c->blocks[i])->owner), kind);
        corpus_repair(c);
        corpus_verify(c);
        assert_little(c, c->blocks[i], &inner);
        cases++;
    }
    printf("%llu nodes damaged, %u blocks and inodes lost\n", (unsigned long long)cases,
           c->differing);
    assert_true(c->differing > 0);
    /* Most others cost nothing; one is not found to be whole where nodes are shared in some ways,
     * and of a pool of few inner nodes that can be the half. */
    printf("%u of %u inner nodes cost something\n", inner.costly, inner.count);
    assert_true(inner.costly <= 1 + inner.count / 4);
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

static void name_of(unsigned i, char name[static 16]) {
    snprintf(name, 16, "file %u", i);
}

static void take_loss(void *context, const struct lfsx_loss *loss) {
    (void)context, (void)loss;
}

static void take_text(void *context, const char *text) {
    (void)context, (void)text;
}

static void take_finding(void *context, const struct lfsx_finding *finding) {
    (void)context, (void)finding;
}

/* Nothing is left of the catalog, in old versions neither: the share comes back for what it is. */
static void no_catalog(void **state) {
    (void)state;
    struct sharetest test;
    char name[16];
    sharetest_start(&test, CORPUS_BYTES);
    for (unsigned i = 0; i < 100; i++) {
        name_of(i, name);
        struct lfsx_file *file = sharetest_file(&test, sharetest_create(&test, LFSX_ROOT, name));
        assert_int_equal(sharetest_write(file, 0, name, sizeof name, 0), STATUS_OK);
        lfsx_file_close(file);
    }
    sharetest_close(&test);
    for (uint64_t block = 0; block < CORPUS_BYTES / DISK_BLOCK_SIZE; block++) {
        void *page = test.disk->content + block * DISK_BLOCK_SIZE;
        const struct disk_node *node = page;
        if (le32_get(node->magic) == DISK_NODE_MAGIC && le64_get(node->owner) == DISK_OWNER_CATALOG)
            memset(page, 0, DISK_BLOCK_SIZE);
    }
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .data = true,
                                          .finding = take_finding,
                                          .action = take_text,
                                          .loss = take_loss};
    struct lfsx_repair_summary summary;
    assert_int_equal(lfsx_repair(&test.disk->device, &options, &summary), STATUS_OK);
    if (summary.remaining > 0)
        pooltest_assert_clean(test.disk); /* says what */
    test.pool = pooltest_open(test.disk);
    assert_int_equal(lfsx_share_open(test.pool, "lost+found-16", &test.share), STATUS_OK);
    for (unsigned i = 0; i < 100; i++) {
        name_of(i, name);
        struct lfsx_file *file = sharetest_file(&test, sharetest_lookup(&test, LFSX_ROOT, name));
        sharetest_assert_content(file, (unsigned char *)name, sizeof name);
        lfsx_file_close(file);
    }
    assert_true(sharetest_create(&test, LFSX_ROOT, "new") > 101);
    sharetest_end(&test);
}

/* Whatever the power cut interrupts, a repair after it makes the share whole. */
static void power_cuts(void **state) {
    (void)state;
    struct sharecorpus *c = corpus_start("repair_share_corpus", true);
    struct ramdisk *whole = c->test.disk;
    static struct corpus_loss losses[CORPUS_LOSSES];
    for (uint64_t i = random_scale(25); i > 0; i--) {
        uint64_t block = c->blocks[random_below(&c->random, c->count)];
        memcpy(whole->content, c->image, CORPUS_BYTES);
        corpus_damage(c, block, CORPUS_GARBLE);
        struct ramdisk *cutting = ramdisk_from(whole->content, CORPUS_BYTES);
        ramdisk_record(cutting);
        cutting->cut_random = (struct random){random_next(&c->random)};
        cutting->cut_after = 1 + random_below(&c->random, 60);
        c->test.disk = cutting;
        corpus_repair(c);
        unsigned count = c->loss_count;
        memcpy(losses, c->losses, sizeof losses);
        if (cutting->left_over != NULL)
            memcpy(whole->content, cutting->left_over, CORPUS_BYTES);
        else
            memcpy(whole->content, cutting->content, CORPUS_BYTES);
        ramdisk_destroy(cutting);
        c->test.disk = whole;
        struct pooltest_findings findings = {.quiet = true};
        c->loss_count = 0;
        pooltest_check(whole, &findings);
        if (findings.count > 0)
            corpus_repair(c);
        for (unsigned j = 0; j < c->loss_count; j++)
            c->losses[j].doubtful |= c->losses[j].kind == LFSX_LOSS_FILE; /* it knows less */
        for (unsigned j = 0; j < count && c->loss_count < CORPUS_LOSSES; j++)
            c->losses[c->loss_count++] = losses[j]; /* the first one said it */
        corpus_verify(c);
    }
    corpus_end(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes),      cmocka_unit_test(nodes_with_a_journal),
        cmocka_unit_test(pairs),      cmocka_unit_test(many),
        cmocka_unit_test(no_catalog), cmocka_unit_test(power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
