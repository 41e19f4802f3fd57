/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/large_map.h"

struct walk {
    struct large_map *map;
    struct thin_disk *disk;
    const struct large *large;
    struct geometry geometry;
    bool *seen;       /* nodes, by their blocks */
    char dataset[32]; /* name of the last one */
};

static void *page(const struct walk *walk, uint64_t block) {
    return thin_disk_page(walk->disk, block);
}

static struct large_block *add(struct walk *walk, enum large_class class, uint64_t block,
                               bool counts) {
    struct large_map *map = walk->map;
    uint64_t count = map->count[class]++;
    if ((count & (count - 1)) == 0)
        map->blocks[class] =
            realloc(map->blocks[class], MATH_MAX(2 * count, 1) * sizeof *map->blocks[class]);
    REQUIRE(map->blocks[class] != NULL);
    map->blocks[class][count] = (struct large_block){.block = block, .counts = counts, .view = -1};
    return &map->blocks[class][count];
}

/* ---- nodes ---- */

static enum large_class class_of(const struct disk_node *node) {
    if (le64_get(node->owner) == DISK_OWNER_CATALOG)
        return node->level == 0 ? LARGE_CATALOG_LEAVES : LARGE_CATALOG_ROOT;
    return node->level == 0 ? LARGE_LEAVES : node->level == 1 ? LARGE_BRANCHES : LARGE_ROOTS;
}

static void note_extents(struct large_block *block, const struct disk_node *leaf, int view) {
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        const struct disk_extent *extent = item.value;
        if (block->view < 0)
            block->first = item.key.offset;
        block->view = view;
        block->last = item.key.offset + le32_get(extent->block_count) - 1;
    }
}

/* NULL: it was met before. */
static const struct disk_node *meet(struct walk *walk, const struct pointer *pointer, int view) {
    if (walk->seen[pointer->block]) {
        walk->map->shared++;
        return NULL;
    }
    walk->seen[pointer->block] = true;
    const struct disk_node *node = page(walk, pointer->block);
    const char *why;
    REQUIRE(node_validate(node, pointer, le64_get(node->owner), &why) == STATUS_OK);
    walk->map->dead_nodes += (le64_get(node->owner) & DISK_OWNER_DEAD) != 0;
    struct large_block *block = add(walk, class_of(node), pointer->block, true);
    if (node->level == 0)
        note_extents(block, node, view);
    return node;
}

static void walk_tree(struct walk *walk, const struct pointer *pointer, int view) {
    const struct disk_node *node = pointer->block == 0 ? NULL : meet(walk, pointer, view);
    if (node == NULL || node->level == 0)
        return;
    for (unsigned i = 0; i < node_count(node); i++) {
        struct pointer child = node_child(node, i);
        walk_tree(walk, &child, view);
    }
}

static void walk_dataset(struct walk *walk, const struct disk_dataset *record) {
    REQUIRE(record->state == DISK_DATASET_LIVE);
    snprintf(walk->dataset, sizeof walk->dataset, "%.*s", record->name_length, record->name);
    struct pointer root = pointer_load(&record->root);
    struct pointer dead = pointer_load(&record->dead);
    int view = large_find(walk->large, walk->dataset);
    REQUIRE(view >= 0);
    walk_tree(walk, &root, view);
    walk_tree(walk, &dead, -1);
}

static void walk_snapshot(struct walk *walk, const struct disk_snapshot *record) {
    char name[64];
    REQUIRE(record->state == DISK_SNAPSHOT_LIVE);
    snprintf(name, sizeof name, "%s@%.*s", walk->dataset, record->name_length, record->name);
    struct pointer root = pointer_load(&record->root);
    int view = large_find(walk->large, name);
    REQUIRE(view >= 0);
    walk_tree(walk, &root, view);
}

/* A dataset's record stands before those of its snapshots. */
static void walk_catalog(struct walk *walk, const struct pointer *pointer) {
    const struct disk_node *node = meet(walk, pointer, -1);
    REQUIRE(node != NULL);
    for (unsigned i = 0; i < node_count(node); i++) {
        struct item item = node_item(node, i);
        if (node->level > 0) {
            struct pointer child = node_child(node, i);
            walk_catalog(walk, &child);
        } else if (item.key.type == DISK_TYPE_DATASET) {
            walk_dataset(walk, item.value);
        } else if (item.key.type == DISK_TYPE_SNAPSHOT) {
            walk_snapshot(walk, item.value);
        }
    }
}

/* ---- the rest ---- */

static void walk_map(struct walk *walk, unsigned level, uint64_t index,
                     const struct disk_map_entry *entry) {
    unsigned top = geometry_map_top(&walk->geometry);
    enum large_class class = level == 0     ? LARGE_BITMAPS
                             : level == top ? LARGE_MAP_ROOT
                                            : LARGE_MAP_ENTRIES;
    for (unsigned copy = 0; copy < 2; copy++)
        add(walk, class, geometry_map_address(&walk->geometry, level, index, copy),
            copy == entry->copy);
    if (level == 0)
        return;
    uint64_t below = geometry_map_level_blocks(&walk->geometry, level - 1);
    const struct disk_map_block *block =
        page(walk, geometry_map_address(&walk->geometry, level, index, entry->copy));
    for (uint64_t i = 0; i < DISK_MAP_FANOUT && index * DISK_MAP_FANOUT + i < below; i++)
        walk_map(walk, level - 1, index * DISK_MAP_FANOUT + i, &block->entries[i]);
}

/* Two slots may be what a power cut left. */
static void walk_area(struct walk *walk, unsigned area) {
    enum large_class class = area == 0 ? LARGE_HEAD : LARGE_TAIL;
    uint64_t cut = walk->map->checkpoint + (area == 0 ? 1 : 0);
    add(walk, class, geometry_label_address(&walk->geometry, area), true);
    for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++)
        add(walk, class, geometry_slot_address(&walk->geometry, area, slot),
            slot != cut % DISK_RING_SLOTS);
}

void large_map_make(struct large_map *map, struct thin_disk *disk, const struct large *large) {
    static struct ring ring;
    struct label label;
    struct superblock newest;
    REQUIRE(label_read(&disk->device, &label) == STATUS_OK);
    REQUIRE(ring_read(&disk->device, &label, &ring) == STATUS_OK);
    REQUIRE(ring_newest(&ring, &newest) == STATUS_OK);
    *map = (struct large_map){.checkpoint = newest.checkpoint};
    struct walk walk = {.map = map,
                        .disk = disk,
                        .large = large,
                        .geometry = label.geometry,
                        .seen = calloc(label.geometry.device_blocks, sizeof *walk.seen)};
    REQUIRE(walk.seen != NULL);
    walk_catalog(&walk, &newest.catalog);
    walk_map(&walk, geometry_map_top(&label.geometry), 0, &newest.map_root);
    walk_area(&walk, 0);
    walk_area(&walk, 1);
    free(walk.seen);
}

void large_map_destroy(struct large_map *map) {
    for (unsigned i = 0; i < LARGE_CLASSES; i++)
        free(map->blocks[i]);
}
