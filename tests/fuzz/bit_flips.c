/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every single bit of a small pool's metadata, flipped alone: labels, superblock rings, allocation
 * maps, nodes of all trees, the journal. The check must see it, or it must do no harm; in both
 * cases whoever reads gets what was written or an error.
 *
 * Usage: bit_flips N [PART PARTS]: about one bit in N, 1: all of them; of the blocks one in PARTS,
 * so that processes can share the work (PART counts from 0).
 */
#include "storage/journal/journal_format.h"
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/everything.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/reseal.h"

#define NODES_MAX 512u
#define PROGRESS_FLIPS 200000u
#define READ_ANYWAY 256u /* one opened pool in so many is read though nothing in it changed */

/* What is read through, after the check, of a pool that it found damage in. */
enum reads {
    READ_SELDOM,   /* what was flipped is not read any more, once the pool is open */
    READ_EACH_BYTE /* for one bit of each byte; another one for each of eight */
};

/* What the check must do about it. */
enum sight { MAY_BE_SEEN, MUST_BE_SEEN };

struct flips {
    const struct image *image;
    struct ramdisk *disk;
    struct random random;
    uint64_t share, part, parts;
    uint64_t blocks; /* so far, all parts' */
    bool last_entry; /* what is being flipped is the journal's last entry */
    uint64_t flips, detected, refused, read, read_errors;
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

static enum status open_pool(struct flips *flips, struct lfsx_pool **pool) {
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY, .cache_bytes = 1};
    return lfsx_pool_open(&flips->disk->device, &options, pool);
}

static void judge(struct flips *flips, enum sight sight, bool read) {
    bool seen = check_sees_it(flips);
    struct lfsx_pool *pool;
    enum status status = open_pool(flips, &pool);
    flips->flips++;
    flips->detected += seen;
    REQUIRE(seen || (status == STATUS_OK && sight == MAY_BE_SEEN));
    if (status != STATUS_OK) {
        flips->refused++;
        return;
    }
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    REQUIRE(info.checkpoint == flips->image->checkpoint &&
            info.volume_count == everything_get()->volume_count);
    uint64_t errors = 0;
    if (read || random_one_in(&flips->random, READ_ANYWAY)) {
        errors = everything_read(pool, flips->last_entry);
        flips->read++;
    }
    flips->read_errors += errors;
    REQUIRE(seen || errors == 0);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
}

static void tell(const struct flips *flips, const char *what) {
    printf("%s: so far %llu flips, %llu seen by the check, %llu pools refused, %llu read through, "
           "%llu reads failed\n",
           what, (unsigned long long)flips->flips, (unsigned long long)flips->detected,
           (unsigned long long)flips->refused, (unsigned long long)flips->read,
           (unsigned long long)flips->read_errors);
    fflush(stdout);
}

/* Flips about one bit in `share` of a block. */
static void flip_block(struct flips *flips, uint64_t block, enum sight sight, enum reads reads) {
    if (flips->blocks++ % flips->parts != flips->part)
        return;
    unsigned char *bytes = flips->disk->content + block * DISK_BLOCK_SIZE;
    uint64_t before = flips->flips;
    for (uint64_t bit = random_below(&flips->random, flips->share); bit < 8 * DISK_BLOCK_SIZE;
         bit += 1 + random_below(&flips->random, 2 * flips->share - 1)) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        judge(flips, sight, reads == READ_EACH_BYTE && bit % 8 == bit / 8 % 8);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    if (before / PROGRESS_FLIPS != flips->flips / PROGRESS_FLIPS)
        tell(flips, "...");
}

static void start(struct flips *flips) {
    flips->random = random_start("bit_flips");
    flips->image = image_get(IMAGE_EVERYTHING);
    flips->disk = fuzz_disk(flips->image->content, IMAGE_BYTES);
    REQUIRE(!check_sees_it(flips));
    struct lfsx_pool *pool;
    REQUIRE(open_pool(flips, &pool) == STATUS_OK);
    REQUIRE(everything_read(pool, false) == 0);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
}

static struct superblock newest_superblock(const struct flips *flips) {
    static struct ring ring;
    struct label label;
    struct superblock newest;
    REQUIRE(label_read(&flips->disk->device, &label) == STATUS_OK);
    REQUIRE(ring_read(&flips->disk->device, &label, &ring) == STATUS_OK);
    REQUIRE(ring_newest(&ring, &newest) == STATUS_OK);
    return newest;
}

/* ---- nodes ---- */

struct nodes {
    unsigned char seen[IMAGE_BYTES / DISK_BLOCK_SIZE]; /* trees share them */
    uint64_t blocks[NODES_MAX];
    unsigned count;
};

static void take_node(void *context, uint64_t block) {
    struct nodes *nodes = context;
    if (nodes->seen[block]++ > 0)
        return;
    REQUIRE(nodes->count < NODES_MAX);
    nodes->blocks[nodes->count++] = block;
}

static void forget_tree(struct disk_node *node, const struct disk_item *item) {
    struct disk_snapshot *record =
        (struct disk_snapshot *)((char *)node + le16_get(item->value_offset));
    record->root = (struct disk_pointer){0};
}

/* Takes out of a leaf of the catalog what nobody may read any more: the trees of snapshots that are
 * being deleted, by themselves or with their dataset. */
static void forget_deleted(void *context, uint64_t block) {
    struct disk_node *node =
        (struct disk_node *)((unsigned char *)context + block * DISK_BLOCK_SIZE);
    static uint64_t deleting = 0; /* its record stands before its snapshots */
    if (le64_get(node->owner) != DISK_OWNER_CATALOG || node->level > 0)
        return;
    for (unsigned i = 0; i < le16_get(node->item_count); i++) {
        const struct disk_item *item = &node->items[i];
        const char *value = (const char *)node + le16_get(item->value_offset);
        uint64_t id = le64_get(item->inode);
        if (item->type == DISK_TYPE_DATASET &&
            ((const struct disk_dataset *)value)->state == DISK_DATASET_DELETING)
            deleting = id;
        if (item->type == DISK_TYPE_SNAPSHOT &&
            (id == deleting ||
             ((const struct disk_snapshot *)value)->state == DISK_SNAPSHOT_DELETING))
            forget_tree(node, item);
    }
}

static void flip_nodes(struct flips *flips) {
    static struct nodes all, needed;
    const struct geometry *g = &flips->image->geometry;
    uint64_t checkpoint = flips->image->checkpoint;
    unsigned char *copy = malloc(IMAGE_BYTES);
    memcpy(copy, flips->image->content, IMAGE_BYTES);
    reseal_list_nodes(copy, g, checkpoint, forget_deleted, copy);
    reseal_list_nodes(copy, g, checkpoint, take_node, &needed);
    free(copy);
    reseal_list_nodes(flips->disk->content, g, checkpoint, take_node, &all);
    unsigned dead = 0;
    for (unsigned i = 0; i < all.count; i++) {
        uint64_t block = all.blocks[i];
        const struct disk_node *node =
            (const void *)(flips->disk->content + block * DISK_BLOCK_SIZE);
        dead += (le64_get(node->owner) & DISK_OWNER_DEAD) != 0;
        flip_block(flips, block, needed.seen[block] > 0 ? MUST_BE_SEEN : MAY_BE_SEEN,
                   READ_EACH_BYTE);
    }
    printf("%u nodes, %u of them of dead trees, %u of deleted snapshots alone\n", all.count, dead,
           all.count - needed.count);
}

/* ---- allocation maps ---- */

/* There is one region: the block of the highest level has one entry. */
static void flip_maps(struct flips *flips) {
    const struct geometry *g = &flips->image->geometry;
    struct superblock newest = newest_superblock(flips);
    unsigned top = newest.map_root.copy;
    const struct disk_map_block *block =
        (const void *)(flips->disk->content + geometry_map_address(g, 1, 0, top) * DISK_BLOCK_SIZE);
    unsigned bottom = block->entries[0].copy;
    for (unsigned level = 0; level < 2; level++)
        for (unsigned copy = 0; copy < 2; copy++)
            flip_block(flips, geometry_map_address(g, level, 0, copy),
                       copy == (level == 0 ? bottom : top) ? MUST_BE_SEEN : MAY_BE_SEEN,
                       READ_SELDOM);
}

/* ---- superblocks ---- */

/* A power cut may leave the head's slot of the next checkpoint, and the tail's of the newest. */
static void flip_slots(struct flips *flips, unsigned area) {
    uint64_t cut = flips->image->checkpoint + (area == 0 ? 1 : 0);
    for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++)
        flip_block(flips, geometry_slot_address(&flips->image->geometry, area, slot),
                   slot == cut % DISK_RING_SLOTS ? MAY_BE_SEEN : MUST_BE_SEEN, READ_SELDOM);
}

/* ---- the journal ---- */

/* All entries, and the block behind the last one. */
static void flip_journal(struct flips *flips) {
    const struct geometry *g = &flips->image->geometry;
    uint64_t block = newest_superblock(flips).journal.block;
    uint64_t entries = 0;
    for (bool more = true; more; entries++) {
        const struct disk_journal_entry *entry =
            (const void *)(flips->disk->content + (g->journal_start + block) * DISK_BLOCK_SIZE);
        more = memcmp(entry->magic, JOURNAL_MAGIC, sizeof entry->magic) == 0;
        uint64_t end = block + (more ? le32_get(entry->blocks) : 1);
        REQUIRE(end < g->journal_blocks);
        const struct disk_journal_entry *next =
            (const void *)(flips->disk->content + (g->journal_start + end) * DISK_BLOCK_SIZE);
        flips->last_entry = memcmp(next->magic, JOURNAL_MAGIC, sizeof next->magic) != 0;
        for (; block < end; block++)
            flip_block(flips, g->journal_start + block, MAY_BE_SEEN, READ_EACH_BYTE);
    }
    flips->last_entry = false;
    printf("%llu journal entries\n", (unsigned long long)entries - 1);
}

int main(int argc, char **argv) {
    static struct flips flips;
    flips.share = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    flips.part = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    flips.parts = argc == 4 ? strtoull(argv[3], NULL, 10) : 1;
    if (flips.share == 0 || flips.part >= flips.parts || (argc != 2 && argc != 4)) {
        fprintf(stderr, "Usage: bit_flips N [PART PARTS]\n");
        return 2;
    }
    start(&flips);
    const struct geometry *g = &flips.image->geometry;
    for (unsigned area = 0; area < 2; area++)
        flip_block(&flips, geometry_label_address(g, area), MUST_BE_SEEN, READ_SELDOM);
    tell(&flips, "labels");
    flip_maps(&flips);
    tell(&flips, "allocation maps");
    flip_journal(&flips);
    tell(&flips, "journal");
    flip_nodes(&flips);
    tell(&flips, "nodes");
    flip_slots(&flips, 0);
    flip_slots(&flips, 1);
    tell(&flips, "superblocks");
    REQUIRE(!check_sees_it(&flips));
    return 0;
}
