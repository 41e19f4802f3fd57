/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the allocator does with its bitmaps what its diagram of states says: against one byte for
 * each block, through checkpoints, and through being written to a device and read back.
 */
#include "storage/lfsx/space/alloc.h"
#include "tests/storage/lfsx/ramdisk.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 40000u /* two regions, the second one short */
#define MOST 3000u    /* blocks asked for at once */

enum state { OUTSIDE, FREE, IN_FLIGHT, USED, PENDING_OPEN, PENDING_WRITING, PENDING_DURABLE };

struct model {
    struct allocator allocator;
    struct ramdisk *disk;
    struct geometry geometry;
    struct disk_map_entry root;
    uint64_t checkpoint;
    uint8_t states[BLOCKS];
    uint64_t in_flight[BLOCKS]; /* as groups of alloc_data, one behind the other */
    uint64_t flying;
};

static uint64_t count_state(const struct model *model, enum state low, enum state high) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < BLOCKS; i++)
        count += model->states[i] >= low && model->states[i] <= high;
    return count;
}

static void assert_same(struct model *model) {
    uint64_t outside = model->geometry.regions * DISK_REGION_BLOCKS -
                       (model->geometry.data_end - model->geometry.data_start);
    assert_int_equal(alloc_free_blocks(&model->allocator), count_state(model, FREE, FREE));
    assert_int_equal(alloc_used_blocks(&model->allocator),
                     outside + count_state(model, USED, USED));
    assert_int_equal(alloc_pending_blocks(&model->allocator),
                     count_state(model, PENDING_OPEN, PENDING_DURABLE));
    for (uint64_t i = 0; i < BLOCKS; i++) {
        bool used = model->states[i] == USED || model->states[i] == OUTSIDE;
        if (alloc_is_used(&model->allocator, i) != used)
            fail_msg("block %llu: state %u", (unsigned long long)i, model->states[i]);
    }
}

static void move(struct model *model, uint64_t block, enum state from, enum state to) {
    assert_true(block < BLOCKS);
    assert_int_equal(model->states[block], from);
    model->states[block] = (uint8_t)to;
}

static void do_data(struct model *model, struct random *random) {
    uint64_t want = 1 + random_below(random, random_one_in(random, 8) ? MOST : 70);
    uint64_t reserve = random_one_in(random, 4) ? random_below(random, BLOCKS) : 0;
    uint64_t free = count_state(model, FREE, FREE);
    static uint64_t blocks[MOST];
    enum status status = alloc_data(&model->allocator, want, reserve, blocks);
    assert_int_equal(status, free >= reserve + want ? STATUS_OK : STATUS_NO_SPACE);
    for (uint64_t i = 0; status == STATUS_OK && i < want; i++) {
        move(model, blocks[i], FREE, IN_FLIGHT);
        model->in_flight[model->flying++] = blocks[i];
    }
}

/* Ends the flight of the newest blocks, run by run. */
static void do_land(struct model *model, struct random *random) {
    bool commit = !random_one_in(random, 3);
    uint64_t count = 1 + random_below(random, 100);
    while (count-- > 0 && model->flying > 0) {
        uint64_t block = model->in_flight[--model->flying];
        uint64_t run = 1;
        while (model->flying > 0 && model->in_flight[model->flying - 1] + 1 == block && run < 64) {
            block--;
            run++;
            model->flying--;
        }
        if (commit)
            alloc_data_commit(&model->allocator, block, run);
        else
            alloc_data_cancel(&model->allocator, block, run);
        for (uint64_t i = 0; i < run; i++)
            move(model, block + i, IN_FLIGHT, commit ? USED : FREE);
    }
}

static void do_node(struct model *model) {
    if (count_state(model, FREE, FREE) > 0)
        move(model, alloc_node(&model->allocator), FREE, USED);
}

/* Releases the run of used blocks behind some place. */
static void do_release(struct model *model, struct random *random) {
    uint64_t block = random_below(random, BLOCKS);
    while (block < BLOCKS && model->states[block] != USED)
        block++;
    uint64_t limit = 1 + random_below(random, 3 * DISK_EXTENT_MAX);
    uint64_t count = 0;
    while (block + count < BLOCKS && count < limit && model->states[block + count] == USED)
        count++;
    if (count == 0)
        return;
    assert_int_equal(alloc_reserve_releases(&model->allocator, 1), STATUS_OK);
    alloc_release(&model->allocator, block, count);
    for (uint64_t i = 0; i < count; i++)
        move(model, block + i, USED, PENDING_OPEN);
}

static void age(struct model *model, enum state from, enum state to) {
    for (uint64_t i = 0; i < BLOCKS; i++)
        if (model->states[i] == from)
            model->states[i] = (uint8_t)to;
}

static void freeze(struct model *model) {
    struct alloc_snapshot snapshot;
    model->checkpoint++;
    assert_int_equal(alloc_freeze(&model->allocator, model->checkpoint, &snapshot), STATUS_OK);
    assert_int_equal(snapshot.used_blocks, alloc_used_blocks(&model->allocator));
    for (uint64_t i = 0; i < snapshot.count; i++)
        assert_int_equal(blockdev_write(&model->disk->device,
                                        snapshot.writes[i].block * DISK_BLOCK_SIZE,
                                        snapshot.writes[i].page, DISK_BLOCK_SIZE, 0),
                         STATUS_OK);
    model->root = snapshot.root;
    alloc_snapshot_free(&snapshot);
    age(model, PENDING_OPEN, PENDING_WRITING);
}

static void rotate(struct model *model) {
    const struct alloc_log *expiring = alloc_expiring(&model->allocator);
    uint64_t count = 0;
    for (uint64_t i = 0; i < expiring->count; i++)
        for (uint64_t j = 0; j < expiring->runs[i].count; j++, count++)
            assert_int_equal(model->states[expiring->runs[i].block + j], PENDING_DURABLE);
    assert_int_equal(count, count_state(model, PENDING_DURABLE, PENDING_DURABLE));
    alloc_rotate(&model->allocator);
    age(model, PENDING_DURABLE, FREE);
    age(model, PENDING_WRITING, PENDING_DURABLE);
}

/* What a restart leaves: used is used, all else is free. */
static void reload(struct model *model) {
    alloc_destroy(&model->allocator);
    assert_int_equal(
        alloc_load(&model->allocator, &model->geometry, &model->disk->device, &model->root),
        STATUS_OK);
    age(model, IN_FLIGHT, FREE);
    age(model, PENDING_OPEN, FREE);
    age(model, PENDING_WRITING, FREE);
    age(model, PENDING_DURABLE, FREE);
    model->flying = 0;
}

static void start(struct model *model) {
    memset(model, 0, sizeof *model);
    assert_int_equal(geometry_plan(BLOCKS, &model->geometry), STATUS_OK);
    model->disk = ramdisk_create((uint64_t)BLOCKS * DISK_BLOCK_SIZE);
    assert_int_equal(alloc_create(&model->allocator, &model->geometry), STATUS_OK);
    for (uint64_t i = 0; i < BLOCKS; i++)
        model->states[i] = geometry_is_data(&model->geometry, i, 1) ? FREE : OUTSIDE;
}

static void end(struct model *model) {
    alloc_destroy(&model->allocator);
    ramdisk_destroy(model->disk);
}

static void step(struct model *model, struct random *random) {
    switch (random_below(random, 8)) {
    case 0:
    case 1:
        do_data(model, random);
        break;
    case 2:
    case 3:
        do_land(model, random);
        break;
    case 4:
        do_node(model);
        break;
    default:
        do_release(model, random);
        break;
    }
}

static void random_life(void **state) {
    (void)state;
    struct random random = random_start("alloc_model");
    static struct model model;
    start(&model);
    for (int round = 0; round < 120; round++) {
        for (int i = 0; i < 30; i++)
            step(&model, &random);
        freeze(&model);
        for (int i = 0; i < 5; i++) /* while the checkpoint is under way */
            step(&model, &random);
        if (random_one_in(&random, 6)) {
            rotate(&model);
            freeze(&model); /* what came after the first one would not be read back */
            reload(&model);
        } else {
            rotate(&model);
        }
        assert_same(&model);
    }
    end(&model);
}

/* Filled to the last block, one by one; then there is NO_SPACE, and space again after two
 * checkpoints. */
static void the_last_block(void **state) {
    (void)state;
    static struct model model;
    start(&model);
    uint64_t size = model.geometry.data_end - model.geometry.data_start;
    uint64_t *blocks = malloc(size * sizeof *blocks);
    assert_int_equal(alloc_data(&model.allocator, size + 1, 0, blocks), STATUS_NO_SPACE);
    assert_int_equal(alloc_data(&model.allocator, size, 1, blocks), STATUS_NO_SPACE);
    assert_int_equal(alloc_data(&model.allocator, size, 0, blocks), STATUS_OK);
    for (uint64_t i = 0; i < size; i++) {
        move(&model, blocks[i], FREE, USED);
        alloc_data_commit(&model.allocator, blocks[i], 1);
    }
    assert_int_equal(alloc_free_blocks(&model.allocator), 0);
    assert_int_equal(alloc_data(&model.allocator, 1, 0, blocks), STATUS_NO_SPACE);
    assert_int_equal(alloc_reserve_releases(&model.allocator, 1), STATUS_OK);
    alloc_release(&model.allocator, model.geometry.data_end - 1, 1);
    move(&model, model.geometry.data_end - 1, USED, PENDING_OPEN);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(alloc_data(&model.allocator, 1, 0, blocks), STATUS_NO_SPACE);
        freeze(&model);
        rotate(&model);
    }
    assert_int_equal(alloc_data(&model.allocator, 1, 0, blocks), STATUS_OK);
    assert_int_equal(blocks[0], model.geometry.data_end - 1);
    free(blocks);
    alloc_data_cancel(&model.allocator, model.geometry.data_end - 1, 1);
    end(&model);
}

/* Every flipped byte of every map block that counts is found when the map is read. */
static void damage_is_found(void **state) {
    (void)state;
    struct random random = random_start("alloc_model");
    static struct model model;
    start(&model);
    for (int i = 0; i < 100; i++)
        step(&model, &random);
    freeze(&model);
    rotate(&model);
    alloc_destroy(&model.allocator);
    unsigned found = 0;
    uint64_t begin = model.geometry.map_start * DISK_BLOCK_SIZE;
    uint64_t map_end = begin + model.geometry.map_blocks * DISK_BLOCK_SIZE;
    for (uint64_t at = begin; at < map_end; at += 61) {
        model.disk->content[at] ^= 0x04;
        enum status status =
            alloc_load(&model.allocator, &model.geometry, &model.disk->device, &model.root);
        if (status == STATUS_OK)
            alloc_destroy(&model.allocator);
        else
            assert_int_equal(status, STATUS_CHECKSUM);
        found += status != STATUS_OK;
        model.disk->content[at] ^= 0x04;
    }
    /* Of each pair of copies one counts. */
    uint64_t tried = (map_end - begin + 60) / 61;
    assert_in_range(found, tried / 2 - 3, tried / 2 + 3);
    assert_int_equal(alloc_create(&model.allocator, &model.geometry), STATUS_OK);
    end(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_life),
        cmocka_unit_test(the_last_block),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
