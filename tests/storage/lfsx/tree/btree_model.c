/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the B+tree holds what a plain array would, whatever is inserted, replaced, removed and
 * looked for, with nodes that are not in memory, through checkpoints and restarts.
 *
 * The tree is that of a real volume. Its items have to be extents, or they would not be read back
 * from the device; but they name blocks that nobody allocated, which the check is asked not to
 * mention.
 */
#include "base/math.h"
#include "host/host.h"
#include "storage/lfsx/check/check_findings.h"
#include "tests/storage/lfsx/pooltest.h"

#define SLOTS 6000u /* keys that there may be */
#define DISK_BYTES (64ull << 20)
#define ROUNDS 350000u /* each changes 1 to 40 items and looks for up to 20: millions in all */

struct model_item {
    uint16_t count; /* of blocks: decides the value's length; 0: not there */
    uint64_t stamp; /* decides its content */
};

struct model {
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    struct random random;
    uint64_t stamps, present, changes, looks;
    struct model_item items[SLOTS];
};

static struct key slot_key(uint64_t slot) {
    return (struct key){
        .inode = DISK_ROOT_INODE, .type = DISK_TYPE_EXTENT, .offset = slot * DISK_EXTENT_MAX};
}

static uint16_t make_value(const struct model *model, const struct model_item *item,
                           uint8_t *value) {
    struct disk_extent *extent = (struct disk_extent *)value;
    uint64_t start = model->pool->label.geometry.data_start;
    *extent = (struct disk_extent){.block = le64_make(start + item->stamp % 5000),
                                   .birth = le64_make(1),
                                   .block_count = le32_make(item->count),
                                   .stored_blocks = le32_make(item->count)};
    for (unsigned i = 0; i < item->count; i++)
        extent->checksums[i] = le64_make(item->stamp * 1000 + i);
    return (uint16_t)(sizeof *extent + item->count * sizeof(le64));
}

static void assert_item(const struct model *model, const struct item *found, uint64_t slot) {
    uint8_t value[DISK_VALUE_MAX];
    struct key key = slot_key(slot);
    uint16_t length = make_value(model, &model->items[slot], value);
    assert_int_equal(key_compare(&found->key, &key), 0);
    assert_int_equal(found->length, length);
    assert_memory_equal(found->value, value, length);
}

/* ---- changes ---- */

struct change {
    struct model *model;
    uint64_t first, count; /* slots */
    bool remove;
};

/* What one slot is to become: nothing, or something new. */
static void change_slot(struct change *change, uint64_t slot) {
    struct model *model = change->model;
    struct model_item *item = &model->items[slot];
    struct key key = slot_key(slot);
    struct btree *tree = &model->volume->holding.dataset->tree;
    bool was = item->count != 0;
    model->changes++;
    if (change->remove) {
        item->count = 0;
        if (was)
            btree_remove(tree, &key);
        model->present -= was;
        return;
    }
    uint8_t value[DISK_VALUE_MAX];
    item->count = (uint16_t)(1 + random_below(&model->random, DISK_EXTENT_MAX));
    item->stamp = ++model->stamps;
    uint16_t length = make_value(model, item, value);
    if (was)
        btree_replace(tree, &key, value, length);
    else
        btree_insert(tree, &key, value, length);
    model->present += !was;
}

static enum status change_step(void *context, struct btree_cursor *cursor) {
    struct change *change = context;
    struct btree *tree = &change->model->volume->holding.dataset->tree;
    struct key first = slot_key(change->first);
    struct key last = slot_key(change->first + change->count - 1);
    uint64_t leaves;
    enum status status = btree_prefetch(tree, &first, &last, cursor, &leaves);
    if (status != STATUS_OK)
        return status;
    struct update_need need = {.nodes = btree_nodes_needed(tree, leaves, change->count)};
    status = pool_update_begin(change->model->pool, &need);
    if (status != STATUS_OK)
        return status;
    uint64_t before = alloc_free_blocks(&change->model->pool->allocator);
    for (uint64_t i = 0; i < change->count; i++)
        change_slot(change, change->first + i);
    /* The promise that no change can fail rests on this estimate. */
    assert_true(before - alloc_free_blocks(&change->model->pool->allocator) <= need.nodes);
    pool_update_end(change->model->pool);
    return STATUS_OK;
}

static void change(struct model *model, uint64_t first, uint64_t count, bool remove) {
    struct change change = {model, first, MATH_MIN(count, SLOTS - first), remove};
    assert_int_equal(pool_change(model->pool, change_step, &change), STATUS_OK);
}

/* ---- looking ---- */

enum look { LOOK_FIND, LOOK_SEEK, LOOK_FLOOR };

struct search {
    struct model *model;
    enum look look;
    uint64_t slot;
    unsigned steps; /* of btree_next after a seek */
};

static uint64_t next_present(const struct model *model, uint64_t slot) {
    while (slot < SLOTS && model->items[slot].count == 0)
        slot++;
    return slot;
}

static enum status walk(struct search *search, struct btree_cursor *cursor) {
    struct model *model = search->model;
    struct key key = slot_key(search->slot);
    enum status status = btree_seek(&model->volume->holding.dataset->tree, &key, cursor);
    uint64_t slot = next_present(model, search->slot);
    for (unsigned i = 0; i < search->steps && status == STATUS_OK; i++) {
        struct item item = btree_item(cursor);
        assert_true(slot < SLOTS);
        assert_item(model, &item, slot);
        slot = next_present(model, slot + 1);
        status = btree_next(cursor);
    }
    if (status == STATUS_AGAIN)
        return status;
    assert_int_equal(status, slot < SLOTS ? STATUS_OK : STATUS_NOT_FOUND);
    return STATUS_OK;
}

static enum status search_step(void *context, struct btree_cursor *cursor) {
    struct search *search = context;
    struct model *model = search->model;
    struct btree *tree = &model->volume->holding.dataset->tree;
    struct key key = slot_key(search->slot);
    if (search->look == LOOK_SEEK)
        return walk(search, cursor);
    enum status status = search->look == LOOK_FIND ? btree_find(tree, &key, cursor)
                                                   : btree_seek_floor(tree, &key, cursor);
    if (status == STATUS_AGAIN)
        return status;
    uint64_t slot = search->slot;
    while (search->look == LOOK_FLOOR && slot > 0 && model->items[slot].count == 0)
        slot--;
    if (search->look == LOOK_FLOOR && model->items[slot].count == 0) {
        assert_int_equal(status, STATUS_OK); /* before all of them stands the inode */
        assert_int_equal(btree_item(cursor).key.type, DISK_TYPE_INODE);
        return STATUS_OK;
    }
    assert_int_equal(status, model->items[slot].count != 0 ? STATUS_OK : STATUS_NOT_FOUND);
    if (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        assert_item(model, &item, slot);
    }
    return STATUS_OK;
}

static void search(struct model *model, enum look look, uint64_t slot, unsigned steps) {
    struct search search = {model, look, slot, steps};
    model->looks++;
    assert_int_equal(pool_look(model->pool, search_step, &search), STATUS_OK);
}

/* ---- the life of a tree ---- */

static void open_pool(struct model *model) {
    model->pool = pooltest_open(model->disk);
    assert_int_equal(lfsx_volume_open(model->pool, "alpha", &model->volume), STATUS_OK);
}

static void close_pool(struct model *model) {
    lfsx_volume_close(model->volume);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    static const uint32_t allowed[] = {CHECK_BLOCK_SHARED, CHECK_BLOCK_LOST, CHECK_DATASET_DATA, 0};
    struct pooltest_findings findings = {.allowed = allowed, .without_data = true};
    pooltest_check(model->disk, &findings);
    assert_int_equal(findings.count, 0);
}

/* One of several moods: random places, one growing end, one shrinking end, ranges. */
static void operate(struct model *model, unsigned mood, bool growing) {
    struct random *random = &model->random;
    uint64_t slot = random_below(random, SLOTS);
    uint64_t count = 1;
    if (mood == 1)
        slot = MATH_MIN(model->present, SLOTS - 1); /* about the right end */
    else if (mood == 2)
        slot = MATH_MIN(next_present(model, 0), SLOTS - 1); /* the left end */
    else if (mood == 3)
        count = 1 + random_below(random, 40);
    if (mood == 2 && growing)
        slot = slot == 0 ? 0 : slot - 1;
    unsigned bias = (unsigned)random_below(random, 10);
    change(model, slot, count, growing ? bias < 2 : bias < 8);
}

static void maintain(struct model *model) {
    struct random *random = &model->random;
    if (random_one_in(random, 700))
        assert_int_equal(lfsx_pool_commit(model->pool), STATUS_OK);
    if (random_one_in(random, 300))
        pooltest_forget(model->pool, random);
    if (random_one_in(random, 12000)) {
        close_pool(model);
        open_pool(model);
        search(model, LOOK_SEEK, 0, SLOTS + 1);
    }
}

static void random_life(void **state) {
    (void)state;
    static struct model model;
    model.random = random_start("btree_model");
    model.disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model.disk, 1, 1ull << 40);
    open_pool(&model);
    unsigned mood = 0;
    bool growing = true;
    for (unsigned i = 0; i < random_scale(ROUNDS); i++) {
        if (random_one_in(&model.random, 4000))
            mood = (unsigned)random_below(&model.random, 4);
        if (random_one_in(&model.random, 15000))
            growing = !growing;
        operate(&model, mood, growing);
        search(&model, (enum look)random_below(&model.random, 3),
               random_below(&model.random, SLOTS), (unsigned)random_below(&model.random, 20));
        maintain(&model);
    }
    search(&model, LOOK_SEEK, 0, SLOTS + 1);
    for (uint64_t slot = 0; slot < SLOTS; slot += 50) /* until there is one leaf again */
        change(&model, slot, 50, true);
    assert_int_equal(model.volume->holding.dataset->tree.root.level, 0);
    assert_int_equal(model.volume->holding.dataset->tree.nodes, 1);
    printf("btree_model: %llu changes, %llu searches\n", (unsigned long long)model.changes,
           (unsigned long long)model.looks);
    close_pool(&model);
    ramdisk_destroy(model.disk);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_life)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
