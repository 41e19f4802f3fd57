/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: trees that are whole and do not fit together are made to: a volume whose inode is missing
 * gets one, a clone whose snapshot has no record gets the snapshot back.
 */
#include "tests/fuzz/reseal.h"
#include "tests/storage/lfsx/repair/corpus.h"

struct edit {
    struct corpus *corpus;
    struct superblock super;
    bool (*is_wanted)(const struct disk_node *node, const struct item *item, void *context);
    void *context;
    unsigned count; /* items that were removed */
};

static struct disk_node *node_at(struct corpus *corpus, uint64_t block) {
    return (struct disk_node *)(corpus->disk->content + block * DISK_BLOCK_SIZE);
}

static void edit_node(void *context, uint64_t block) {
    struct edit *edit = context;
    struct disk_node *node = node_at(edit->corpus, block);
    for (unsigned i = node->level > 0 ? 0 : node_count(node); i-- > 0;) {
        struct item item = node_item(node, i);
        if (!edit->is_wanted(node, &item, edit->context))
            continue;
        node_remove(node, i);
        edit->count++;
    }
}

static void start_edit(struct edit *edit, struct corpus *corpus) {
    static struct ring ring;
    *edit = (struct edit){.corpus = corpus};
    assert_int_equal(ring_read(&corpus->disk->device, &corpus->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &edit->super), STATUS_OK);
}

/* Removes items from leaves and makes all checksums right; false if there were none. */
static bool run_edit(struct edit *edit) {
    struct corpus *corpus = edit->corpus;
    const struct geometry *g = &corpus->label.geometry;
    reseal_list_nodes(corpus->disk->content, g, edit->super.checkpoint, edit_node, edit);
    reseal_pool(corpus->disk->content, g, edit->super.checkpoint);
    return edit->count > 0;
}

/* Old versions of the catalog's nodes. */
static void forget_old_catalogs(struct corpus *corpus) {
    const struct geometry *g = &corpus->label.geometry;
    for (uint64_t block = g->data_start; block < g->data_end; block++) {
        struct disk_node *node = node_at(corpus, block);
        bool in_use = false;
        for (unsigned i = 0; i < corpus->count; i++)
            in_use = in_use || corpus->blocks[i] == block;
        if (le32_get(node->magic) == DISK_NODE_MAGIC && le64_get(node->block) == block &&
            le64_get(node->owner) == DISK_OWNER_CATALOG && !in_use)
            memset(node, 0, DISK_BLOCK_SIZE);
    }
}

static bool is_inode_of(const struct disk_node *node, const struct item *item, void *context) {
    return le64_get(node->owner) == *(uint64_t *)context && item->key.type == DISK_TYPE_INODE;
}

/* The first leaf of a volume, of all trees that have it, is whole and has no inode. */
static void without_an_inode(void **state) {
    (void)state;
    static struct corpus corpus;
    for (enum kind pool = KIND_CLEAN; pool <= KIND_SNAPSHOTS; pool++) {
        corpus_start(&corpus, pool);
        for (uint64_t id = DISK_FIRST_DATASET; id < DISK_FIRST_DATASET + VOLUMES + 1; id++)
            for (unsigned old = 0; old < 2; old++) {
                memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
                struct edit edit;
                start_edit(&edit, &corpus);
                edit.is_wanted = is_inode_of;
                edit.context = &id;
                if (!run_edit(&edit))
                    continue;
                corpus.size_is_lost = old;
                for (uint64_t block = corpus.label.geometry.data_start;
                     old && block < corpus.label.geometry.data_end; block++) {
                    struct disk_node *node = node_at(&corpus, block);
                    if (le32_get(node->magic) == DISK_NODE_MAGIC && node->level == 0 &&
                        node_count(node) > 0 && node_key(node, 0).type == DISK_TYPE_INODE &&
                        le64_get(node->owner) == id)
                        memset(node, 0, DISK_BLOCK_SIZE); /* no old version, either */
                }
                assert_int_equal(corpus_repair(&corpus, LFSX_REPAIR_ALL).remaining, 0);
                corpus_verify(&corpus);
            }
        corpus_end(&corpus);
    }
}

static bool is_snapshot_one(const struct disk_node *node, const struct item *item, void *context) {
    const struct disk_snapshot *snapshot = item->value;
    (void)context;
    return le64_get(node->owner) == DISK_OWNER_CATALOG && item->key.type == DISK_TYPE_SNAPSHOT &&
           item->key.inode == DISK_FIRST_DATASET && snapshot->name_length == 3 &&
           memcmp(snapshot->name, "one", 3) == 0;
}

static bool is_alpha(const struct disk_node *node, const struct item *item, void *context) {
    (void)context;
    if (le64_get(node->owner) != DISK_OWNER_CATALOG)
        return false;
    if (item->key.type == DISK_TYPE_ENTRY)
        return le64_get(((const struct disk_entry *)item->value)->target) == DISK_FIRST_DATASET;
    return item->key.inode == DISK_FIRST_DATASET;
}

/* Without its record nobody knows a snapshot's name. */
static bool is_lost_snapshot(const char *name) {
    unsigned epoch;
    return sscanf(name, "alpha@lost+found-%u", &epoch) == 1 ||
           sscanf(name, "lost+found-16@lost+found-%u", &epoch) == 1;
}

static bool found_snapshot;

static void on_loss(void *context, const struct lfsx_loss *loss) {
    struct lfsx_loss renamed = *loss;
    if (is_lost_snapshot(loss->volume)) {
        found_snapshot = true;
        renamed.volume = "alpha@one";
    }
    if (strncmp(loss->volume, "lost+found-16@", 14) == 0 && renamed.volume == loss->volume)
        return; /* other snapshots of a lost volume are lost with it */
    corpus_on_loss(context, &renamed);
}

/* The clone is as it was, and nothing of it depends on what was made up. */
static void assert_clone(struct corpus *corpus) {
    struct lfsx_pool *pool = pooltest_open(corpus->disk);
    struct lfsx_volume *volume;
    for (unsigned i = CLONE; i < THINGS; i++)
        if (things[i].volume == CLONE) {
            assert_true(corpus_open_named(pool, i, &volume));
            corpus_compare(corpus, volume, i);
            lfsx_volume_close(volume);
        }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(corpus->disk);
}

/* Any block of metadata but the catalog's: of its records there is no old version. */
static void damage_another(struct corpus *corpus) {
    uint64_t block;
    do
        block = corpus->blocks[random_below(&corpus->random, corpus->count)];
    while (le64_get(node_at(corpus, block)->owner) == DISK_OWNER_CATALOG);
    corpus_damage(corpus, block, DAMAGE_GARBLE);
}

static void lose_records(bool (*is_wanted)(const struct disk_node *, const struct item *, void *)) {
    static struct corpus corpus;
    corpus_start(&corpus, KIND_SNAPSHOTS);
    struct edit edit;
    start_edit(&edit, &corpus);
    edit.is_wanted = is_wanted;
    assert_true(run_edit(&edit));
    forget_old_catalogs(&corpus);
    memcpy(corpus.image, corpus.disk->content, corpus.disk_bytes);
    for (unsigned i = 0; i < 40; i++) {
        memcpy(corpus.disk->content, corpus.image, corpus.disk_bytes);
        if (i > 0)
            damage_another(&corpus);
        found_snapshot = false;
        memset(corpus.reported, 0, sizeof corpus.reported);
        struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                              .finding = corpus_on_finding,
                                              .action = corpus_on_action,
                                              .loss = on_loss,
                                              .context = &corpus};
        struct lfsx_repair_summary summary;
        assert_int_equal(lfsx_repair(&corpus.disk->device, &options, &summary), STATUS_OK);
        if (summary.remaining > 0)
            pooltest_assert_clean(corpus.disk); /* says what */
        assert_true(i > 0 || found_snapshot);
        assert_clone(&corpus);
    }
    corpus_end(&corpus);
}

static void without_its_snapshot(void **state) {
    (void)state;
    lose_records(is_snapshot_one);
}

static void without_its_origin(void **state) {
    (void)state;
    lose_records(is_alpha);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_inode),
        cmocka_unit_test(without_its_snapshot),
        cmocka_unit_test(without_its_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
