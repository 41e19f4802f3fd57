/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a journal that a pool cannot be opened with is cut off, and whatever is older for that is
 * reported: the pool holds what it held but for that. */
#include "tests/fuzz/reseal.h"
#include "tests/storage/lfsx/repair/corpus.h"

/* An entry that was acknowledged is damaged: the journal is cut off there, and everything that is
 * live is doubtful. Damage of the last one looks like a write that a power cut prevented. */
static void journal(void **state) {
    (void)state;
    static struct corpus corpus;
    corpus_start(&corpus, KIND_JOURNAL);
    const struct geometry *g = &corpus.label.geometry;
    unsigned cuts = 0;
    for (uint64_t block = g->journal_start; block < g->journal_start + g->journal_blocks; block++) {
        const struct disk_journal_entry *entry =
            (const struct disk_journal_entry *)(corpus.image + block * DISK_BLOCK_SIZE);
        if (memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) != 0)
            continue;
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        corpus_damage(&corpus, block, DAMAGE_GARBLE);
        struct pooltest_findings findings = {.quiet = true};
        pooltest_check(corpus.disk, &findings);
        if (findings.count == 0)
            continue;
        cuts++;
        struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
        assert_true(summary.remaining > 0 && summary.actions == 0);
        summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
        assert_int_equal(summary.remaining, 0);
        assert_true(corpus.reported_count > 0);
        corpus_verify(&corpus);
    }
    assert_true(cuts > 0);
    corpus_end(&corpus);
}

/* The chain of the entries of the journal, which does not go round. */
struct chain {
    unsigned char *ring;
    uint64_t at[256];
    unsigned count;
};

static struct disk_journal_entry *entry_of(const struct chain *chain, unsigned index) {
    return (struct disk_journal_entry *)(chain->ring + chain->at[index] * DISK_BLOCK_SIZE);
}

static void find_chain(struct corpus *corpus, struct chain *chain) {
    static struct ring ring;
    struct superblock super;
    assert_int_equal(ring_read(&corpus->disk->device, &corpus->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &super), STATUS_OK);
    chain->ring = corpus->disk->content + corpus->label.geometry.journal_start * DISK_BLOCK_SIZE;
    chain->count = 0;
    uint64_t at = super.journal.block;
    for (uint64_t sequence = super.journal.sequence;; sequence++) {
        chain->at[chain->count] = at;
        const struct disk_journal_entry *entry = entry_of(chain, chain->count);
        if (memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) != 0 ||
            le64_get(entry->sequence) != sequence)
            break;
        chain->count++;
        at += le32_get(entry->blocks);
        assert_true(at < corpus->label.geometry.journal_blocks);
    }
    assert_true(chain->count >= 2);
}

enum nonsense {
    NONSENSE_TYPE,
    NONSENSE_DATASET,
    NONSENSE_INODE,
    NONSENSE_RANGE,
    NONSENSE_OUTSIDE,
    NONSENSE_IN_USE,
    NONSENSE_TWICE,
    NONSENSE_KINDS
};

/* Where the first write of an entry stands; NULL: it has none. */
static struct disk_record_write *find_write(struct disk_journal_entry *entry,
                                            struct disk_journal_record **record) {
    for (uint32_t at = 0; at < le32_get(entry->length);) {
        *record = (struct disk_journal_record *)(entry->records + at);
        if (le32_get((*record)->type) == DISK_RECORD_WRITE)
            return (struct disk_record_write *)(*record)->payload;
        at += (uint32_t)math_round_up(sizeof **record + le32_get((*record)->length), 8);
    }
    return NULL;
}

/* False if there is nothing to change in this way; of the last entry, a block with another content
 * looks like a write that a power cut prevented. */
static bool make_nonsense(struct corpus *corpus, const struct chain *chain, unsigned index,
                          enum nonsense kind) {
    struct disk_journal_record *record, *other;
    struct disk_record_write *write = find_write(entry_of(chain, index), &record);
    if (write == NULL || (index + 1 == chain->count && kind >= NONSENSE_IN_USE))
        return false;
    if (kind == NONSENSE_TYPE)
        record->type = le32_make(77);
    else if (kind == NONSENSE_DATASET)
        write->dataset = le64_make(99);
    else if (kind == NONSENSE_INODE)
        write->inode = le64_make(2);
    else if (kind == NONSENSE_RANGE)
        write->first = le64_make(VOLUME_BLOCKS);
    else if (kind == NONSENSE_OUTSIDE)
        write->words[0] = le64_make(corpus->label.geometry.data_end);
    else if (kind == NONSENSE_IN_USE)
        write->words[0] = le64_make(corpus->blocks[0]); /* a node */
    else if (index == 0 || find_write(entry_of(chain, index - 1), &other) == NULL)
        return false;
    else
        write->words[0] = ((struct disk_record_write *)other->payload)->words[0];
    reseal_journal(chain->ring, corpus->label.geometry.journal_blocks, chain->at[0],
                   le64_get(entry_of(chain, 0)->previous));
    return true;
}

/* A record that makes no sense although its entry is sound: the pool does not open, and the entry
 * and all later ones are cut off. Of a record that names what is in use it is known what else it
 * says, and no more than that is doubtful. */
static void nonsense(void **state) {
    (void)state;
    static struct corpus corpus;
    struct chain chain;
    corpus_start(&corpus, KIND_JOURNAL);
    find_chain(&corpus, &chain);
    unsigned cases = 0;
    for (unsigned i = 0; i < chain.count; i++)
        for (enum nonsense kind = 0; kind < NONSENSE_KINDS; kind++) {
            memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
            if (!make_nonsense(&corpus, &chain, i, kind))
                continue;
            cases++;
            struct lfsx_pool *pool;
            assert_int_equal(lfsx_pool_open(&corpus.disk->device, NULL, &pool), STATUS_CORRUPT);
            struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
            assert_true(summary.remaining > 0 && summary.actions == 0);
            summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
            assert_int_equal(summary.remaining, 0);
            bool precise = kind == NONSENSE_IN_USE || kind == NONSENSE_TWICE;
            assert_true(corpus.reported_count > 0 &&
                        (!precise || corpus.reported_count < VOLUMES * VOLUME_BLOCKS / 2));
            corpus_verify(&corpus);
        }
    assert_true(cases >= NONSENSE_KINDS);
    corpus_end(&corpus);
}

/* The trees are damaged, too: then the check does not look at the journal. */
static void nonsense_behind_damage(void **state) {
    (void)state;
    static struct corpus corpus;
    struct chain chain;
    corpus_start(&corpus, KIND_JOURNAL);
    find_chain(&corpus, &chain);
    for (unsigned i = 0; i < 40; i++) {
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        if (!make_nonsense(&corpus, &chain, i % chain.count, (enum nonsense)(i % NONSENSE_KINDS)))
            continue;
        corpus_damage(
            &corpus,
            corpus.blocks[random_below(&corpus.random, corpus.count - 2 - 2 * DISK_RING_SLOTS)],
            DAMAGE_GARBLE);
        assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
        corpus_verify(&corpus);
    }
    corpus_end(&corpus);
}

/* A block of data that the newest entry names cannot be read: nobody knows whether it was
 * acknowledged. The check says what whoever opens the pool says, and the entry is cut off; what it
 * said, and no more, is doubtful. */
static void unreadable_data(void **state) {
    (void)state;
    static struct corpus corpus;
    struct chain chain;
    struct disk_journal_record *record;
    struct disk_record_write *write = NULL;
    while (write == NULL) { /* the newest one may say of nothing but holes */
        corpus_start(&corpus, KIND_JOURNAL);
        find_chain(&corpus, &chain);
        write = find_write(entry_of(&chain, chain.count - 1), &record);
        if (write == NULL)
            corpus_end(&corpus);
    }
    corpus.disk->unreadable[0] = le64_get(write->words[0]);

    struct lfsx_pool *pool;
    assert_int_equal(lfsx_pool_open(&corpus.disk->device, NULL, &pool), STATUS_IO);
    struct pooltest_findings findings = {.quiet = true};
    pooltest_check(corpus.disk, &findings);
    assert_int_equal(findings.count, 1);
    struct lfsx_repair_summary summary = corpus_repair(&corpus, LFSX_REPAIR_PREEN);
    assert_true(summary.remaining > 0 && summary.actions == 0);
    summary = corpus_repair(&corpus, LFSX_REPAIR_ALL);
    assert_int_equal(summary.remaining, 0);
    assert_true(corpus.reported_count > 0 && corpus.reported_count < VOLUMES * VOLUME_BLOCKS / 2);
    corpus.disk->unreadable[0] = 0; /* it will be written, and can be read then */
    corpus_verify(&corpus);
    corpus_end(&corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(nonsense_behind_damage),
        cmocka_unit_test(unreadable_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
