/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: whatever is done to a node, it holds what a plain array would, in a form that its validator
 * accepts. */
#include "base/os.h"
#include "storage/lfsx/format/node.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OWNER 17u
#define BLOCK 4711u
#define MAX_ITEMS (DISK_NODE_PAYLOAD / sizeof(struct disk_item))

struct model_item {
    struct key key;
    uint16_t length;
    uint8_t value[DISK_VALUE_MAX];
};

struct model {
    struct disk_node *node;
    unsigned count;
    size_t used;
    struct model_item items[MAX_ITEMS];
};

static void model_start(struct model *model) {
    memset(model, 0, sizeof *model);
    model->node = os_page_alloc(DISK_BLOCK_SIZE);
    node_init(model->node, 0, OWNER);
    model->node->block = le64_make(BLOCK);
    model->node->birth = le64_make(3);
}

static void model_end(struct model *model) {
    os_page_free(model->node, DISK_BLOCK_SIZE);
}

static void assert_same(const struct model *model) {
    assert_int_equal(node_count(model->node), model->count);
    assert_int_equal(node_used(model->node), model->used);
    for (unsigned i = 0; i < model->count; i++) {
        struct item item = node_item(model->node, i);
        struct key key = node_key(model->node, i);
        assert_int_equal(key_compare(&item.key, &model->items[i].key), 0);
        assert_int_equal(key_compare(&key, &item.key), 0);
        assert_int_equal(item.length, model->items[i].length);
        assert_memory_equal(item.value, model->items[i].value, item.length);
    }
    struct pointer pointer = {.block = BLOCK, .birth = 3, .checksum = node_seal(model->node)};
    const char *why = "";
    if (node_validate(model->node, &pointer, OWNER, &why) != STATUS_OK)
        fail_msg("the validator says: %s", why);
}

static unsigned model_find(const struct model *model, const struct key *key) {
    unsigned index = 0;
    while (index < model->count && key_compare(&model->items[index].key, key) < 0)
        index++;
    assert_int_equal(node_lower_bound(model->node, key), index);
    return index;
}

static struct key random_key(struct random *random) {
    return (struct key){.inode = random_below(random, 3),
                        .type = (uint8_t)(1 + random_below(random, 4)),
                        .offset = random_below(random, 3) == 0 ? random_next(random)
                                                               : random_below(random, 50)};
}

static void put(struct model *model, struct random *random, size_t max_length) {
    struct key key = random_key(random);
    unsigned index = model_find(model, &key);
    if (index < model->count && key_compare(&model->items[index].key, &key) == 0)
        return;
    struct model_item item = {.key = key, .length = (uint16_t)random_below(random, max_length + 1)};
    random_fill(random, item.value, item.length);
    bool fits = model->used + node_item_size(item.length) <= DISK_NODE_PAYLOAD;
    assert_int_equal(node_has_room(model->node, node_item_size(item.length)), fits);
    if (!fits)
        return;
    node_insert(model->node, index, &key, item.value, item.length);
    memmove(&model->items[index + 1], &model->items[index], (model->count - index) * sizeof item);
    model->items[index] = item;
    model->count++;
    model->used += node_item_size(item.length);
}

static void take(struct model *model, unsigned index) {
    node_remove(model->node, index);
    model->used -= node_item_size(model->items[index].length);
    memmove(&model->items[index], &model->items[index + 1],
            (model->count - index - 1) * sizeof model->items[0]);
    model->count--;
}

static void overwrite(struct model *model, struct random *random, unsigned index) {
    struct model_item *item = &model->items[index];
    random_fill(random, item->value, item->length);
    memcpy(node_value(model->node, index), item->value, item->length);
}

static void random_changes(void **state) {
    (void)state;
    struct random random = random_start("node_model");
    static struct model model;
    for (int round = 0; round < 40; round++) {
        static const size_t lengths[] = {0, 8, 32, 200, DISK_VALUE_MAX};
        size_t max_length = lengths[round % 5];
        model_start(&model);
        for (int step = 0; step < 1200; step++) {
            unsigned growing = step < 600 ? 3 : 1;
            if (random_below(&random, 4) < growing)
                put(&model, &random, max_length);
            else if (model.count > 0 && random_one_in(&random, 4))
                overwrite(&model, &random, (unsigned)random_below(&random, model.count));
            else if (model.count > 0)
                take(&model, (unsigned)random_below(&random, model.count));
            if (step % 16 == 0)
                assert_same(&model);
        }
        while (model.count > 0)
            take(&model, (unsigned)random_below(&random, model.count));
        assert_same(&model);
        model_end(&model);
    }
}

/* Splits at every place, by both ways, and puts the halves together again. */
static void moves_keep_everything(void **state) {
    (void)state;
    struct random random = random_start("node_model");
    static struct model model;
    model_start(&model);
    for (int i = 0; i < 400; i++)
        put(&model, &random, 100);
    struct disk_node *other = os_page_alloc(DISK_BLOCK_SIZE);
    for (unsigned place = 0; place <= model.count; place++) {
        node_init(other, 0, OWNER);
        node_move_tail(model.node, place, other);
        assert_int_equal(node_count(model.node), place);
        assert_int_equal(node_count(other), model.count - place);
        if (random_one_in(&random, 2)) { /* back to where they came from */
            node_move_head(other, node_count(other), model.node);
        } else { /* all into the other one, whose block they become */
            node_move_tail(model.node, 0, other);
            other->block = model.node->block;
            other->birth = model.node->birth;
            memcpy(model.node, other, DISK_BLOCK_SIZE);
        }
        assert_same(&model);
    }
    os_page_free(other, DISK_BLOCK_SIZE);
    model_end(&model);
}

/* An inner node leads every key to the last child that does not begin behind it. */
static void children_are_found(void **state) {
    (void)state;
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    node_init(node, 1, OWNER);
    for (unsigned i = 0; i < 20; i++) {
        struct key key = {.inode = 1, .type = DISK_TYPE_EXTENT, .offset = 10 * i};
        struct disk_pointer disk;
        pointer_store(&disk, &(struct pointer){.block = 100 + i, .birth = 2, .checksum = i});
        node_insert(node, i, i == 0 ? &(struct key){0} : &key, &disk, sizeof disk);
    }
    for (uint64_t offset = 0; offset < 250; offset++) {
        struct key key = {.inode = 1, .type = DISK_TYPE_EXTENT, .offset = offset};
        unsigned index = node_child_index(node, &key);
        assert_int_equal(index, offset / 10 < 19 ? offset / 10 : 19);
        assert_int_equal(node_child(node, index).block, 100 + index);
    }
    struct pointer moved = {.block = 77, .birth = 9, .checksum = 5, .level = 0};
    node_set_child(node, 3, &moved);
    assert_int_equal(node_child(node, 3).block, 77);
    assert_int_equal(node_child(node, 3).checksum, 5);
    os_page_free(node, DISK_BLOCK_SIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes),
        cmocka_unit_test(moves_keep_everything),
        cmocka_unit_test(children_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
