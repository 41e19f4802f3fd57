/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a pool whose superblocks or labels are lost comes back, and what may be older is said. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_superblock),
        cmocka_unit_test(labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
