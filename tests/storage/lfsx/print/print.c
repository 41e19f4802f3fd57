/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: lfsx_print() tells what each structure of a pool holds, snapshots and dead blocks too, and
 * comes to an end on a damaged one, saying what is damaged.
 */
#include "storage/lfsx/lfsx_print.h"
#include "tests/storage/lfsx/snapshotpool.h"

struct output {
    char *text;
    size_t length, lines;
};

static void on_line(void *context, const char *line) {
    struct output *output = context;
    size_t length = strlen(line);
    output->text = realloc(output->text, output->length + length + 2);
    memcpy(output->text + output->length, line, length);
    memcpy(output->text + output->length + length, "\n", 2);
    output->length += length + 1;
    output->lines++;
}

static enum status print(struct snapshotpool *pool, const char *what, const char *argument,
                         struct output *output) {
    free(output->text);
    *output = (struct output){0};
    return lfsx_print(&pool->disk->device, what, argument, on_line, output);
}

static void expect(struct snapshotpool *pool, const char *what, const char *argument,
                   const char *text) {
    struct output output = {0};
    assert_int_equal(print(pool, what, argument, &output), STATUS_OK);
    if (strstr(output.text, text) == NULL)
        fail_msg("%s: no \"%s\" in:\n%s", what, text, output.text);
    free(output.text);
}

static void number(char *text, uint64_t value) {
    snprintf(text, 24, "%llu", (unsigned long long)value);
}

static void structures(void **state) {
    (void)state;
    struct snapshotpool pool;
    char text[24];
    snapshotpool_begin(&pool);
    snapshotpool_finish(&pool);
    expect(&pool, "label", NULL, "label test");
    expect(&pool, "label", NULL, "at the device's end, block 1985: checksum right");
    expect(&pool, "superblocks", NULL, "slot  2 at the end   checkpoint 2 epoch 3");
    expect(&pool, "superblock", "2", "next_dataset 18");
    expect(&pool, "map", NULL, "..436\n");
    expect(&pool, "journal", NULL, "the chain ends before entry 1");
    expect(&pool, "tree", NULL, "name clone");
    expect(&pool, "tree", "alpha", "extent of inode 1: blocks 10..10 are 429..429, birth 3");
    expect(&pool, "tree", "16", "extent of inode 1: blocks 10..10 are 429..429, birth 3");
    expect(&pool, "tree", "alpha@two", "extent of inode 1: blocks 10..10 are 421..421, birth 1");
    expect(&pool, "dataset", "clone", "origin 16 origin_epoch 2");
    expect(&pool, "snapshots", NULL, "snapshot of dataset 16, epoch 2: live, flags 0, name two");
    expect(&pool, "dead", NULL, "era 2 birth 1: blocks 421..421");
    number(text, pool.root[0].block);
    expect(&pool, "node", text, "level 1 owner 16 birth 1");
    ramdisk_destroy(pool.disk);
}

static void what_is_not_there(void **state) {
    (void)state;
    struct snapshotpool pool;
    struct output output = {0};
    snapshotpool_begin(&pool);
    snapshotpool_finish(&pool);
    assert_int_equal(print(&pool, "nonsense", NULL, &output), STATUS_INVALID);
    assert_int_equal(print(&pool, "label", "1", &output), STATUS_INVALID);
    assert_int_equal(print(&pool, "node", NULL, &output), STATUS_INVALID);
    assert_int_equal(print(&pool, "node", "1x", &output), STATUS_INVALID);
    assert_int_equal(print(&pool, "node", "99999999999999999999", &output), STATUS_INVALID);
    assert_int_equal(print(&pool, "node", "2048", &output), STATUS_NOT_FOUND);
    assert_int_equal(print(&pool, "tree", "beta", &output), STATUS_NOT_FOUND);
    assert_int_equal(print(&pool, "tree", "alpha@three", &output), STATUS_NOT_FOUND);
    assert_int_equal(print(&pool, "dataset", "18", &output), STATUS_NOT_FOUND);
    free(output.text);
    ramdisk_destroy(pool.disk);
}

static void damaged_is_said(void **state) {
    (void)state;
    struct snapshotpool pool;
    char text[24];
    snapshotpool_begin(&pool);
    snapshotpool_finish(&pool);
    pool.disk->content[pool.leaf[0].block * DISK_BLOCK_SIZE + 4000] ^= 1;
    expect(&pool, "tree", "alpha@one", "DAMAGED");
    expect(&pool, "tree", "alpha@one", "blocks 11..11 are 422..422"); /* the leaf beside it */
    number(text, pool.leaf[0].block);
    expect(&pool, "node", text, "DAMAGED");
    expect(&pool, "node", text, "extent of inode 1");
    number(text, pool.block0.block);
    expect(&pool, "node", text, "does not begin as a node");
    for (unsigned area = 0; area < 2; area++) {
        uint64_t label = geometry_label_address(&pool.label.geometry, area);
        memset(pool.disk->content + label * DISK_BLOCK_SIZE, 0x77, DISK_BLOCK_SIZE);
    }
    expect(&pool, "label", NULL, "CHECKSUM WRONG");
    expect(&pool, "label", NULL, "guessed");
    ramdisk_destroy(pool.disk);
}

/* Whatever stands in the blocks, nothing is read beyond them, and it ends. */
static void garbage(void **state) {
    (void)state;
    static const char *const whats[][2] = {
        {"label", NULL}, {"superblocks", NULL}, {"superblock", "2"}, {"map", NULL},
        {"tree", NULL},  {"tree", "alpha"},     {"tree", "clone"},   {"snapshots", NULL},
        {"dead", NULL},  {"journal", NULL},     {"node", "436"},     {"tree", "alpha@one"},
    };
    struct random random = random_start("print");
    struct snapshotpool pool;
    struct output output = {0};
    snapshotpool_begin(&pool);
    snapshotpool_finish(&pool);
    unsigned char *whole = malloc(SNAPSHOTPOOL_BYTES);
    memcpy(whole, pool.disk->content, SNAPSHOTPOOL_BYTES);
    for (uint64_t i = random_scale(200); i > 0; i--) {
        memcpy(pool.disk->content, whole, SNAPSHOTPOOL_BYTES);
        for (unsigned j = 0; j < 20; j++) {
            uint64_t first = pool.block0.block;
            uint64_t block = random_one_in(&random, 2)
                                 ? random_below(&random, 70)
                                 : first + random_below(&random, pool.next - first);
            unsigned char *page = pool.disk->content + block * DISK_BLOCK_SIZE;
            page[random_below(&random, 200)] = (unsigned char)random_next(&random);
        }
        for (unsigned j = 0; j < ARRAY_LENGTH(whats); j++)
            (void)print(&pool, whats[j][0], whats[j][1], &output);
    }
    free(output.text);
    free(whole);
    ramdisk_destroy(pool.disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(damaged_is_said),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
