/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: wrong bytes never come back. A byte is flipped in every block of a small pool in turn: the
 * check finds it if the block is in use, and whoever reads gets the right bytes or an error.
 */
#include "base/checksum.h"
#include "storage/journal/journal_format.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define VOLUMES 2u
#define VOLUME_SIZE (2ull << 20)

static const char *const names[VOLUMES] = {"alpha", "beta"};

struct model {
    struct random random;
    struct ramdisk *disk;
    struct label label;
    struct superblock super;
    struct allocator allocator; /* what is in use */
    unsigned char *contents[VOLUMES];
    unsigned char *data;
};

static void write_pool(struct model *model) {
    struct lfsx_pool *pool = pooltest_open(model->disk);
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct lfsx_volume *volume;
        assert_int_equal(lfsx_volume_open(pool, names[i], &volume), STATUS_OK);
        for (unsigned j = 0; j < 120; j++) { /* enough extents for a tree of two levels */
            struct operation operation = operation_random(&model->random, VOLUME_SIZE, 12000);
            assert_int_equal(operation_do(&operation, volume, j % 3 == 0 ? LFSX_FUA : 0),
                             STATUS_OK);
            operation_apply(&operation, model->contents[i], VOLUME_SIZE);
        }
        lfsx_volume_close(volume);
    }
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(model->disk);
}

static void start(struct model *model) {
    memset(model, 0, sizeof *model);
    model->random = random_start("pool_damage");
    model->disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model->disk, VOLUMES, VOLUME_SIZE);
    for (unsigned i = 0; i < VOLUMES; i++)
        model->contents[i] = calloc(1, VOLUME_SIZE);
    model->data = malloc(VOLUME_SIZE);
    write_pool(model);
    static struct ring ring;
    assert_int_equal(label_read(&model->disk->device, &model->label), STATUS_OK);
    assert_int_equal(ring_read(&model->disk->device, &model->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &model->super), STATUS_OK);
    assert_int_equal(alloc_load(&model->allocator, &model->label.geometry, &model->disk->device,
                                &model->super.map_root),
                     STATUS_OK);
}

static void end(struct model *model) {
    alloc_destroy(&model->allocator);
    for (unsigned i = 0; i < VOLUMES; i++)
        free(model->contents[i]);
    free(model->data);
    ramdisk_destroy(model->disk);
}

/* Reads everything block by block; an error counts, a wrong byte fails. */
static unsigned read_volume(struct model *model, struct lfsx_pool *pool, unsigned index) {
    struct lfsx_volume *volume;
    enum status opened = lfsx_volume_open(pool, names[index], &volume);
    if (opened != STATUS_OK) {
        assert_int_equal(opened, STATUS_CORRUPT);
        return 1;
    }
    unsigned errors = 0;
    const uint32_t piece = 16 * LFSX_BLOCK_SIZE;
    for (uint64_t offset = 0; offset < VOLUME_SIZE; offset += piece) {
        enum status status = pooltest_read(volume, offset, model->data, piece);
        if (status == STATUS_OK)
            assert_memory_equal(model->data, model->contents[index] + offset, piece);
        else
            assert_true(status == STATUS_CHECKSUM || status == STATUS_CORRUPT);
        errors += status != STATUS_OK;
    }
    lfsx_volume_close(volume);
    return errors;
}

/* How many reads failed; opening counts as one. */
static unsigned read_everything(struct model *model) {
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY, .cache_bytes = 1};
    struct lfsx_pool *pool;
    enum status status = lfsx_pool_open(&model->disk->device, &options, &pool);
    if (status != STATUS_OK) {
        assert_true(status == STATUS_CHECKSUM || status == STATUS_CORRUPT);
        return 1;
    }
    unsigned errors = 0;
    for (unsigned i = 0; i < VOLUMES; i++)
        errors += read_volume(model, pool, i);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    return errors;
}

static unsigned check(struct model *model) {
    struct pooltest_findings findings = {.quiet = true};
    pooltest_check(model->disk, &findings);
    return findings.count;
}

static void flip(struct model *model, uint64_t block) {
    unsigned char *byte = model->disk->content + block * DISK_BLOCK_SIZE +
                          random_below(&model->random, DISK_BLOCK_SIZE);
    *byte ^= (unsigned char)(1 + random_below(&model->random, 255));
}

/* Nodes and data: what is in use is found and cannot be read; what is not does no harm. */
static void data_area(void **state) {
    (void)state;
    struct model model;
    start(&model);
    const struct geometry *g = &model.label.geometry;
    unsigned in_use = 0;
    for (uint64_t block = g->data_start; block < g->data_end; block++) {
        bool used = alloc_is_used(&model.allocator, block);
        if (!used && !random_one_in(&model.random, 20))
            continue;
        in_use += used;
        unsigned char *page = model.disk->content + block * DISK_BLOCK_SIZE;
        unsigned char saved[DISK_BLOCK_SIZE];
        memcpy(saved, page, sizeof saved);
        flip(&model, block);
        assert_int_equal(check(&model) > 0, used);
        assert_int_equal(read_everything(&model) > 0, used);
        memcpy(page, saved, sizeof saved);
    }
    assert_true(in_use > 100);
    end(&model);
}

/* What else a device may do to a block in use: lose the write, or put another block's there. */
static void lost_and_misdirected_writes(void **state) {
    (void)state;
    struct model model;
    start(&model);
    const struct geometry *g = &model.label.geometry;
    for (uint64_t block = g->data_start; block < g->data_end; block++) {
        if (!alloc_is_used(&model.allocator, block))
            continue;
        unsigned char *page = model.disk->content + block * DISK_BLOCK_SIZE;
        unsigned char saved[DISK_BLOCK_SIZE];
        memcpy(saved, page, sizeof saved);
        uint64_t other = block;
        while (other == block ||
               memcmp(model.disk->content + other * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE) == 0)
            other = g->data_start + random_below(&model.random, g->data_end - g->data_start);
        memcpy(page, model.disk->content + other * DISK_BLOCK_SIZE, DISK_BLOCK_SIZE);
        if (memcmp(page, saved, sizeof saved) != 0) {
            assert_true(check(&model) > 0);
            assert_true(read_everything(&model) > 0);
        }
        memcpy(page, saved, sizeof saved);
    }
    end(&model);
}

static bool opens_for_writing(struct model *model) {
    struct lfsx_pool *pool;
    enum status status = lfsx_pool_open(&model->disk->device, NULL, &pool);
    if (status == STATUS_OK)
        assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    return status == STATUS_OK;
}

/* Of each map block one of two copies counts; without it the pool can only be read. */
static void allocation_maps(void **state) {
    (void)state;
    struct model model;
    start(&model);
    const struct geometry *g = &model.label.geometry;
    for (unsigned level = 0; level <= model.allocator.top; level++) {
        for (unsigned copy = 0; copy < 2; copy++) {
            bool counts = model.allocator.entries[level][0].copy == copy;
            uint64_t block = geometry_map_address(g, level, 0, copy);
            unsigned char *page = model.disk->content + block * DISK_BLOCK_SIZE;
            unsigned char saved[DISK_BLOCK_SIZE];
            memcpy(saved, page, sizeof saved);
            flip(&model, block);
            assert_int_equal(check(&model) > 0, counts);
            assert_int_equal(read_everything(&model), 0);
            if (counts)
                assert_false(opens_for_writing(&model));
            memcpy(page, saved, sizeof saved);
        }
    }
    assert_true(opens_for_writing(&model));
    end(&model);
}

/* One copy of a label or superblock does no harm; both copies of the newest one end it. */
static void both_ends(void **state) {
    (void)state;
    struct model model;
    start(&model);
    const struct geometry *g = &model.label.geometry;
    unsigned newest = (unsigned)(model.super.checkpoint % DISK_RING_SLOTS);
    unsigned char saved[2][DISK_BLOCK_SIZE];
    for (unsigned slot = 0; slot <= DISK_RING_SLOTS; slot++) {
        unsigned char *pages[2];
        for (unsigned area = 0; area < 2; area++) {
            uint64_t block = slot == DISK_RING_SLOTS ? geometry_label_address(g, area)
                                                     : geometry_slot_address(g, area, slot);
            pages[area] = model.disk->content + block * DISK_BLOCK_SIZE;
            memcpy(saved[area], pages[area], DISK_BLOCK_SIZE);
            flip(&model, block);
            bool cut_may_leave = (area == 0 && slot == (newest + 1) % DISK_RING_SLOTS) ||
                                 (area == 1 && slot == newest);
            assert_int_equal(check(&model) > 0, !cut_may_leave);
            assert_int_equal(read_everything(&model), 0);
            memcpy(pages[area], saved[area], DISK_BLOCK_SIZE);
        }
        for (unsigned area = 0; area < 2; area++)
            pages[area][100] ^= 0x20;
        bool fatal =
            slot == newest || slot == (newest + 1) % DISK_RING_SLOTS || slot == DISK_RING_SLOTS;
        assert_true(check(&model) > 0);
        assert_int_equal(read_everything(&model), fatal ? 1 : 0);
        for (unsigned area = 0; area < 2; area++)
            memcpy(pages[area], saved[area], DISK_BLOCK_SIZE);
    }
    pooltest_assert_clean(model.disk);
    end(&model);
}

/* A pool as a power cut leaves it, with `entries` acknowledged entries in its journal. */
static void start_with_journal(struct model *model, unsigned entries) {
    start(model);
    struct lfsx_pool *pool = pooltest_open(model->disk);
    struct lfsx_volume *volume;
    assert_int_equal(lfsx_volume_open(pool, names[0], &volume), STATUS_OK);
    for (unsigned i = 0; i < entries; i++) {
        struct operation operation = {.kind = OPERATION_WRITE,
                                      .offset = i * 3 * LFSX_BLOCK_SIZE,
                                      .length = 2 * LFSX_BLOCK_SIZE,
                                      .seed = random_next(&model->random)};
        assert_int_equal(operation_do(&operation, volume, LFSX_FUA), STATUS_OK);
        operation_apply(&operation, model->contents[0], VOLUME_SIZE);
    }
    struct ramdisk *left = ramdisk_from(model->disk->content, DISK_BYTES);
    lfsx_volume_close(volume);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    ramdisk_destroy(model->disk);
    model->disk = left;
    static struct ring ring;
    assert_int_equal(ring_read(&left->device, &model->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &model->super), STATUS_OK);
}

/* Every acknowledged entry but the last is missed when it is damaged, by the check and by whoever
 * opens the pool; so is the data that it speaks of. */
static void journal(void **state) {
    (void)state;
    enum { ENTRIES = 12 };
    struct model model;
    start_with_journal(&model, ENTRIES);
    assert_int_equal(check(&model), 0);
    assert_int_equal(read_everything(&model), 0);
    const struct geometry *g = &model.label.geometry;
    for (unsigned i = 0; i + 1 < ENTRIES; i++) {
        uint64_t block = g->journal_start + (model.super.journal.block + i) % g->journal_blocks;
        struct disk_journal_entry *entry =
            (struct disk_journal_entry *)(model.disk->content + block * DISK_BLOCK_SIZE);
        assert_int_equal(le64_get(entry->sequence), model.super.journal.sequence + i);
        struct disk_record_write *record = (struct disk_record_write *)(entry->records + 8);
        unsigned char *data =
            model.disk->content + le64_get(record->words[0]) * DISK_BLOCK_SIZE + 5;
        *data ^= 0x01;
        assert_true(check(&model) > 0);
        assert_true(read_everything(&model) > 0);
        *data ^= 0x01;
        unsigned char *byte = (unsigned char *)entry +
                              random_below(&model.random, sizeof *entry + le32_get(entry->length));
        *byte ^= 0x80;
        assert_true(check(&model) > 0);
        assert_int_equal(read_everything(&model), 1); /* it does not open */
        *byte ^= 0x80;
    }
    pooltest_assert_clean(model.disk);
    end(&model);
}

/* A record that has a right checksum and says what cannot be. */
static void journal_records(void **state) {
    (void)state;
    struct model model;
    start_with_journal(&model, 1);
    const struct geometry *g = &model.label.geometry;
    struct disk_journal_entry *entry =
        (struct disk_journal_entry *)(model.disk->content +
                                      (g->journal_start + model.super.journal.block) *
                                          DISK_BLOCK_SIZE);
    struct disk_record_write *record = (struct disk_record_write *)(entry->records + 8);
    struct disk_record_write right = *record;
    le64 right_block = record->words[0];
    for (unsigned wrong = 0; wrong < 6; wrong++) {
        switch (wrong) {
        case 0:
            record->dataset = le64_make(9999);
            break;
        case 1:
            record->first = le64_make(VOLUME_SIZE / LFSX_BLOCK_SIZE - 1);
            break;
        case 2:
            record->first = le64_make(UINT64_MAX);
            break;
        case 3:
            record->count = le32_make(3);
            break;
        case 4:
            record->reserved = le32_make(1);
            break;
        default: /* a block that a tree names; the content is right */
            record->words[0] = le64_make(model.super.catalog.block);
            record->words[2] = le64_make(
                checksum_xxh64(model.disk->content + model.super.catalog.block * DISK_BLOCK_SIZE,
                               DISK_BLOCK_SIZE, 0));
            break;
        }
        entry->checksum = le64_make(checksum_xxh64((const char *)entry + 8,
                                                   sizeof *entry + le32_get(entry->length) - 8, 0));
        assert_true(check(&model) > 0);
        assert_int_equal(read_everything(&model), 1);
        *record = right;
        record->words[0] = right_block;
    }
    end(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_area),       cmocka_unit_test(lost_and_misdirected_writes),
        cmocka_unit_test(allocation_maps), cmocka_unit_test(both_ends),
        cmocka_unit_test(journal),         cmocka_unit_test(journal_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
