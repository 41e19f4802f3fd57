/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/image.h"
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/everything.h"
#include "tests/fuzz/reseal.h"

#define JOURNAL_PLACES 24u
#define DATA_PLACES 4u

const char *const image_volumes[IMAGE_VOLUMES] = {"alpha", "beta", "gamma"};

static void write_blocks(struct lfsx_volume *volume, uint64_t first, uint64_t count, uint32_t flags,
                         struct random *random) {
    struct lfsx_buffer *buffer;
    REQUIRE(lfsx_buffer_alloc(first * LFSX_BLOCK_SIZE, (uint32_t)(count * LFSX_BLOCK_SIZE),
                              &buffer) == STATUS_OK);
    for (uint32_t i = 0; i < buffer->span_count; i++)
        random_fill(random, buffer->spans[i].base, buffer->spans[i].length);
    REQUIRE(lfsx_volume_write(volume, buffer, flags) == STATUS_OK);
    lfsx_buffer_free(buffer);
}

/* Scattered single blocks: an extent each, so that the second volume's tree has two levels. */
static void fill(struct lfsx_pool *pool, uint32_t flags) {
    static const uint64_t writes[IMAGE_VOLUMES] = {6, 120, 1};
    struct random random = {5};
    uint64_t blocks = IMAGE_VOLUME_BYTES / LFSX_BLOCK_SIZE;
    for (unsigned i = 0; i < IMAGE_VOLUMES; i++) {
        struct lfsx_volume *volume;
        REQUIRE(lfsx_volume_open(pool, image_volumes[i], &volume) == STATUS_OK);
        for (uint64_t j = 0; j < writes[i]; j++)
            write_blocks(volume, j * 2 % blocks, 1 + (j % 16 == 0), j % 8 == 0 ? flags : 0,
                         &random);
        lfsx_volume_close(volume);
    }
}

/* What a power cut at this moment would leave. */
static void cut(const struct ramdisk *disk, struct image *image) {
    memcpy(image->content, disk->content, IMAGE_BYTES);
}

static void make_volumes(struct image *image, struct ramdisk *disk, unsigned kind) {
    struct lfsx_new_volume volumes[IMAGE_VOLUMES];
    for (unsigned i = 0; i < IMAGE_VOLUMES; i++)
        volumes[i] = (struct lfsx_new_volume){image_volumes[i], IMAGE_VOLUME_BYTES};
    struct lfsx_format_options options = {
        .label = "fuzz", .volumes = volumes, .volume_count = kind == 0 ? 0 : IMAGE_VOLUMES};
    REQUIRE(lfsx_format(&disk->device, &options) == STATUS_OK);
    if (kind > 0) {
        struct lfsx_pool *pool;
        REQUIRE(lfsx_pool_open(&disk->device, NULL, &pool) == STATUS_OK);
        fill(pool, kind == 2 ? LFSX_FUA : 0);
        if (kind == 2)
            cut(disk, image);
        if (kind == 3) {
            REQUIRE(lfsx_pool_commit(pool) == STATUS_OK);
            disk->fail_write_after = 12; /* the record is durable as one that is being deleted */
            (void)lfsx_volume_delete(pool, image_volumes[1], 0);
            cut(disk, image);
        }
        (void)lfsx_pool_close(pool);
    }
    if (kind < 2)
        cut(disk, image);
}

static void make_content(struct image *image, unsigned kind) {
    struct ramdisk *disk = ramdisk_create(IMAGE_BYTES);
    memset(disk->content, 0, IMAGE_BYTES);
    fuzz_random_restart();
    if (kind == IMAGE_EVERYTHING)
        (void)everything_make(disk, image->content);
    else
        make_volumes(image, disk, kind);
    ramdisk_destroy(disk);
}

static void add_place(void *context, uint64_t block) {
    struct image *image = context;
    if (image->place_count < IMAGE_PLACES_MAX)
        image->places[image->place_count++] = block;
}

static void find_places(struct image *image) {
    const struct geometry *g = &image->geometry;
    for (unsigned area = 0; area < 2; area++) {
        add_place(image, geometry_label_address(g, area));
        for (uint64_t i = 0; i < 2; i++)
            add_place(image, geometry_slot_address(
                                 g, area, (unsigned)((image->checkpoint + i) % DISK_RING_SLOTS)));
    }
    for (uint64_t i = 0; i < g->map_blocks; i++)
        add_place(image, g->map_start + i);
    for (uint64_t i = 0; i < JOURNAL_PLACES; i++)
        add_place(image, g->journal_start + i);
    for (uint64_t i = 0; i < DATA_PLACES; i++)
        add_place(image, g->data_start + 3 * i);
    reseal_list_nodes(image->content, g, image->checkpoint, add_place, image);
}

const struct image *image_get(unsigned kind) {
    static struct image images[IMAGE_KINDS + 1];
    static struct ring ring;
    struct image *image = &images[kind];
    if (image->content != NULL)
        return image;
    image->content = malloc(IMAGE_BYTES);
    make_content(image, kind);
    struct ramdisk *disk = ramdisk_from(image->content, IMAGE_BYTES);
    struct label label;
    struct superblock newest;
    REQUIRE(label_read(&disk->device, &label) == STATUS_OK);
    REQUIRE(ring_read(&disk->device, &label, &ring) == STATUS_OK);
    REQUIRE(ring_newest(&ring, &newest) == STATUS_OK);
    ramdisk_destroy(disk);
    image->geometry = label.geometry;
    image->checkpoint = newest.checkpoint;
    find_places(image);
    return image;
}
