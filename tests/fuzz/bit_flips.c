/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every single bit of a small pool's metadata, flipped alone: labels, superblock rings, allocation
 * maps, nodes. The check must see it, or it must do no harm; in both cases whoever reads gets what
 * was written or an error. Usage: bit_flips N: about one bit in N; 1: all of them.
 */
#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/reseal.h"

#define KIND 1u          /* of image */
#define READ_ANYWAY 256u /* one opened pool in so many is read though nothing in it changed */

struct flips {
    const struct image *image;
    struct ramdisk *disk;
    struct random random;
    unsigned char *contents[IMAGE_VOLUMES];
    unsigned char *buffer;
    uint64_t flips, detected, refused, read_errors;
};

static void count_finding(void *context, const struct lfsx_finding *finding) {
    (void)finding;
    ++*(uint64_t *)context;
}

static bool check_sees_it(struct flips *flips) {
    uint64_t findings = 0;
    struct lfsx_check_options options = {.finding = count_finding, .context = &findings};
    struct lfsx_check_summary summary;
    return lfsx_check(&flips->disk->device, &options, &summary) != STATUS_OK || findings > 0;
}

static enum status read_range(struct lfsx_volume *volume, uint64_t offset, uint32_t length,
                              unsigned char *to) {
    struct lfsx_buffer *buffer;
    REQUIRE(lfsx_buffer_alloc(offset, length, &buffer) == STATUS_OK);
    enum status status = lfsx_volume_read(volume, buffer);
    for (uint32_t i = 0; status == STATUS_OK && i < buffer->span_count; i++) {
        memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
        to += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

/* Number of pieces that could not be read; a wrong byte ends the program. */
static uint64_t read_volume(struct flips *flips, struct lfsx_pool *pool, unsigned index) {
    const uint32_t piece = 1u << 16;
    struct lfsx_volume *volume;
    REQUIRE(lfsx_volume_open(pool, image_volumes[index], &volume) == STATUS_OK);
    uint64_t errors = 0;
    for (uint64_t at = 0; at < IMAGE_VOLUME_BYTES; at += piece) {
        if (read_range(volume, at, piece, flips->buffer) != STATUS_OK)
            errors++;
        else
            REQUIRE(memcmp(flips->buffer, flips->contents[index] + at, piece) == 0);
    }
    lfsx_volume_close(volume);
    return errors;
}

static enum status open_pool(struct flips *flips, struct lfsx_pool **pool) {
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY, .cache_bytes = 1};
    return lfsx_pool_open(&flips->disk->device, &options, pool);
}

static void judge(struct flips *flips, bool in_tree) {
    bool seen = check_sees_it(flips);
    struct lfsx_pool *pool;
    enum status status = open_pool(flips, &pool);
    flips->flips++;
    flips->detected += seen;
    REQUIRE(seen || status == STATUS_OK);
    if (status != STATUS_OK) {
        flips->refused++;
        return;
    }
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    REQUIRE(info.checkpoint == flips->image->checkpoint && info.volume_count == IMAGE_VOLUMES);
    uint64_t errors = 0;
    if (in_tree || random_one_in(&flips->random, READ_ANYWAY))
        for (unsigned i = 0; i < IMAGE_VOLUMES; i++)
            errors += read_volume(flips, pool, i);
    flips->read_errors += errors;
    REQUIRE(seen || errors == 0);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
}

/* Flips about one bit in `share` of a block. */
static void flip_block(struct flips *flips, uint64_t block, uint64_t share, bool in_tree) {
    unsigned char *bytes = flips->disk->content + block * DISK_BLOCK_SIZE;
    for (uint64_t bit = random_below(&flips->random, share); bit < 8 * DISK_BLOCK_SIZE;
         bit += 1 + random_below(&flips->random, 2 * share - 1)) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        judge(flips, in_tree);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void tell(const struct flips *flips, const char *what) {
    printf("%s: so far %llu flips, %llu seen by the check, %llu pools refused, %llu reads failed\n",
           what, (unsigned long long)flips->flips, (unsigned long long)flips->detected,
           (unsigned long long)flips->refused, (unsigned long long)flips->read_errors);
    fflush(stdout);
}

static void start(struct flips *flips) {
    flips->random = random_start("bit_flips");
    flips->image = image_get(KIND);
    flips->disk = fuzz_disk(flips->image->content, IMAGE_BYTES);
    flips->buffer = malloc(IMAGE_VOLUME_BYTES);
    REQUIRE(!check_sees_it(flips));
    struct lfsx_pool *pool;
    REQUIRE(open_pool(flips, &pool) == STATUS_OK);
    for (unsigned i = 0; i < IMAGE_VOLUMES; i++) {
        struct lfsx_volume *volume;
        flips->contents[i] = malloc(IMAGE_VOLUME_BYTES);
        REQUIRE(lfsx_volume_open(pool, image_volumes[i], &volume) == STATUS_OK);
        REQUIRE(read_range(volume, 0, IMAGE_VOLUME_BYTES, flips->contents[i]) == STATUS_OK);
        lfsx_volume_close(volume);
    }
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
}

struct nodes {
    struct flips *flips;
    uint64_t share;
};

static void flip_node(void *context, uint64_t block) {
    struct nodes *nodes = context;
    flip_block(nodes->flips, block, nodes->share, true);
}

int main(int argc, char **argv) {
    static struct flips flips;
    uint64_t share = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (share == 0) {
        fprintf(stderr, "Usage: bit_flips N\n");
        return 2;
    }
    start(&flips);
    const struct geometry *g = &flips.image->geometry;
    for (unsigned area = 0; area < 2; area++)
        flip_block(&flips, geometry_label_address(g, area), share, false);
    tell(&flips, "labels");
    for (unsigned i = 0; i < 2 * DISK_RING_SLOTS; i++)
        flip_block(&flips, geometry_slot_address(g, i / DISK_RING_SLOTS, i % DISK_RING_SLOTS),
                   share, false);
    tell(&flips, "superblocks");
    for (uint64_t i = 0; i < g->map_blocks; i++)
        flip_block(&flips, g->map_start + i, share, false);
    tell(&flips, "allocation maps");
    struct nodes nodes = {&flips, share};
    unsigned char *walked = malloc(IMAGE_BYTES); /* the walk must not see flipped bits */
    memcpy(walked, flips.image->content, IMAGE_BYTES);
    reseal_list_nodes(walked, g, flips.image->checkpoint, flip_node, &nodes);
    free(walked);
    tell(&flips, "nodes");
    REQUIRE(!check_sees_it(&flips));
    for (unsigned i = 0; i < IMAGE_VOLUMES; i++)
        free(flips.contents[i]);
    free(flips.buffer);
    return 0;
}
