/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/large.h"
#include "storage/lfsx/lfsx_snapshot.h"

#define VOLUMES 4u
#define ROUNDS 12u       /* each ends with a snapshot of all volumes */
#define REWRITES_IN 200u /* one write in so many goes anywhere, */
#define REWRITES_MIN 20u /* but at least so many in each round do */
#define VOLUME_BYTES (LARGE_VOLUME_BLOCKS * LFSX_BLOCK_SIZE)

static uint64_t word_of(uint32_t number) {
    return number * 0x9e3779b97f4a7c15ull;
}

int large_find(const struct large *large, const char *name) {
    for (unsigned i = 0; i < large->view_count; i++)
        if (strcmp(large->views[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void add_view(struct large *large, const char *name, int like) {
    REQUIRE(large->view_count < LARGE_VIEWS_MAX);
    struct large_view *view = &large->views[large->view_count++];
    snprintf(view->name, sizeof view->name, "%s", name);
    view->numbers = calloc(LARGE_VOLUME_BLOCKS, sizeof *view->numbers);
    REQUIRE(view->numbers != NULL);
    if (like >= 0)
        memcpy(view->numbers, large->views[like].numbers,
               LARGE_VOLUME_BLOCKS * sizeof *view->numbers);
}

static void forget_view(struct large *large, const char *name) {
    struct large_view *view = &large->views[large_find(large, name)];
    free(view->numbers);
    *view = large->views[--large->view_count];
}

void large_destroy(struct large *large) {
    while (large->view_count > 0)
        forget_view(large, large->views[0].name);
}

/* ---- making it ---- */

static void fill_block(void *memory, uint64_t word) {
    uint64_t *words = memory;
    for (size_t i = 0; i < LFSX_BLOCK_SIZE / sizeof *words; i++)
        words[i] = word;
}

static void write_blocks(struct large *large, int view, struct lfsx_volume *volume, uint64_t first,
                         uint32_t count) {
    struct lfsx_buffer *buffer;
    REQUIRE(lfsx_buffer_alloc(first * LFSX_BLOCK_SIZE, count * LFSX_BLOCK_SIZE, &buffer) ==
            STATUS_OK);
    for (uint32_t i = 0; i < count; i++) {
        large->views[view].numbers[first + i] = ++large->last_number;
        fill_block(buffer->blocks[i], word_of(large->last_number));
    }
    REQUIRE(lfsx_volume_write(volume, buffer, 0) == STATUS_OK);
    lfsx_buffer_free(buffer);
}

/* Most of it in the round's own part of the volume, the rest anywhere. */
static void write_some(struct large *large, struct lfsx_pool *pool, const char *name,
                       unsigned round, uint64_t writes, struct random *random) {
    const uint64_t part = LARGE_VOLUME_BLOCKS / ROUNDS;
    struct lfsx_volume *volume;
    int view = large_find(large, name);
    REQUIRE(lfsx_volume_open(pool, name, &volume) == STATUS_OK);
    uint64_t step = MATH_MAX(part / MATH_MAX(writes, 1), 1);
    for (uint64_t i = 0; i < writes; i++) {
        uint32_t count = (uint32_t)(1 + random_below(random, MATH_MIN(MATH_MAX(step - 1, 1), 3)));
        write_blocks(large, view, volume, round * part + i * step % (part - 4), count);
    }
    for (uint64_t i = 0; i < REWRITES_MIN + writes / REWRITES_IN; i++)
        write_blocks(large, view, volume, random_below(random, LARGE_VOLUME_BLOCKS - 4),
                     (uint32_t)(1 + random_below(random, 4)));
    lfsx_volume_close(volume);
}

static void take_snapshots(struct large *large, struct lfsx_pool *pool, unsigned round,
                           char names[VOLUMES][8]) {
    const char *volumes[VOLUMES];
    char snapshot[8];
    snprintf(snapshot, sizeof snapshot, "s%u", round);
    for (unsigned i = 0; i < VOLUMES; i++) {
        char full[32];
        volumes[i] = names[i];
        snprintf(full, sizeof full, "%s@%s", names[i], snapshot);
        add_view(large, full, large_find(large, names[i]));
    }
    REQUIRE(lfsx_snapshot_create(pool, volumes, VOLUMES, snapshot, 0) == STATUS_OK);
}

/* In the middle a clone is made, and a snapshot deleted. */
static void turn(struct large *large, struct lfsx_pool *pool) {
    REQUIRE(lfsx_clone_create(pool, "v1", "s3", "clone") == STATUS_OK);
    add_view(large, "clone", large_find(large, "v1@s3"));
    REQUIRE(lfsx_snapshot_delete(pool, "v2", "s1") == STATUS_OK);
    forget_view(large, "v2@s1");
    REQUIRE(lfsx_pool_settle(pool) == STATUS_OK);
}

void large_make(struct large *large, struct blockdev *device, uint64_t extents,
                struct random *random) {
    static const struct lfsx_format_options options = {.label = "large"};
    char names[VOLUMES][8];
    struct lfsx_pool *pool;
    REQUIRE(lfsx_format(device, &options) == STATUS_OK);
    REQUIRE(lfsx_pool_open(device, NULL, &pool) == STATUS_OK);
    for (unsigned i = 0; i < VOLUMES; i++) {
        snprintf(names[i], sizeof names[i], "v%u", i);
        REQUIRE(lfsx_volume_create(pool, names[i], VOLUME_BYTES) == STATUS_OK);
        add_view(large, names[i], -1);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < VOLUMES; i++)
            write_some(large, pool, names[i], round, extents / VOLUMES / ROUNDS, random);
        take_snapshots(large, pool, round, names);
        if (round == ROUNDS / 2)
            turn(large, pool);
        if (round >= ROUNDS / 2)
            write_some(large, pool, "clone", round, extents / VOLUMES / ROUNDS / 4, random);
    }
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
}

/* ---- reading it ---- */

bool large_read(const struct large *large, unsigned view, struct lfsx_volume *volume,
                uint64_t first, uint32_t count) {
    struct lfsx_buffer *buffer;
    REQUIRE(lfsx_buffer_alloc(first * LFSX_BLOCK_SIZE, count * LFSX_BLOCK_SIZE, &buffer) ==
            STATUS_OK);
    enum status status = lfsx_volume_read(volume, buffer);
    REQUIRE(status == STATUS_OK || status == STATUS_CHECKSUM || status == STATUS_CORRUPT);
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        const uint64_t *words = buffer->blocks[i];
        uint64_t word = word_of(large->views[view].numbers[first + i]);
        for (size_t j = 0; j < LFSX_BLOCK_SIZE / sizeof word; j++)
            REQUIRE(words[j] == word);
    }
    lfsx_buffer_free(buffer);
    return status == STATUS_OK;
}
