/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over what is readable. A node counts if it would count for an open pool too and if
 * nothing that it names was named before; the keys of one that does not are a lost range.
 */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/repair_internal.h"
#include "storage/lfsx/values.h"

struct walk {
    struct repair *repair;
    uint64_t owner;
    struct repair_dataset *dataset; /* NULL: the catalog */
};

bool repair_node(struct repair *repair, const struct pointer *pointer, uint64_t owner,
                 const struct node_bounds *bounds) {
    const struct geometry *g = &repair->label.geometry;
    if (pointer->level > DISK_LEVEL_MAX || !geometry_is_data(g, pointer->block, 1))
        return false;
    struct disk_node *node = repair->path[pointer->level];
    const char *why;
    return repair_read(repair, pointer->block, node) &&
           node_validate(node, pointer, owner, &why) == STATUS_OK &&
           node_bounds_validate(node, bounds, &why) == STATUS_OK &&
           node_values_validate(node, g, &why) == STATUS_OK;
}

/* Whether the blocks of all extents are free to be claimed, and in order. */
static bool extents_are_free(struct walk *walk, const struct disk_node *leaf) {
    uint64_t end = walk->dataset == NULL ? 0 : walk->dataset->file_end;
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        if (item.key.type == DISK_TYPE_INODE) /* a share has many files */
            end = 0;
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        const struct disk_extent *extent = item.value;
        if (item.key.offset < end)
            return false;
        end = item.key.offset + le32_get(extent->block_count);
        for (uint64_t j = 0; j < le32_get(extent->block_count); j++)
            if (repair_bit(walk->repair->claimed, le64_get(extent->block) + j))
                return false;
    }
    return true;
}

static void take_dataset(struct repair *repair, const struct disk_dataset *disk) {
    struct repair_dataset *dataset = repair_add(repair, &repair->datasets, sizeof *dataset);
    if (dataset == NULL)
        return;
    dataset->id = le64_get(disk->id);
    dataset->disk = *disk;
    dataset->root = pointer_load(&disk->root);
    memcpy(dataset->name, disk->name, disk->name_length);
}

static void take_item(struct walk *walk, const struct item *item) {
    if (item->key.type == DISK_TYPE_DATASET)
        take_dataset(walk->repair, item->value);
    if (item->key.type == DISK_TYPE_INODE) {
        walk->dataset->size = le64_get(((const struct disk_inode *)item->value)->size);
        walk->dataset->file_end = 0;
    }
    if (item->key.type != DISK_TYPE_EXTENT)
        return;
    const struct disk_extent *extent = item->value;
    uint64_t count = le32_get(extent->block_count);
    for (uint64_t i = 0; i < count; i++)
        repair_set(walk->repair->claimed, le64_get(extent->block) + i);
    walk->dataset->file_end = item->key.offset + count;
    walk->dataset->data += count;
}

static void lose(struct walk *walk, const struct pointer *pointer,
                 const struct node_bounds *bounds) {
    struct repair_range *range = repair_add(walk->repair, &walk->repair->ranges, sizeof *range);
    if (range == NULL)
        return;
    *range = (struct repair_range){walk->owner, *pointer, *bounds};
    if (walk->dataset != NULL)
        walk->dataset->ranges++;
    else
        walk->repair->catalog_lost = true;
}

static void walk_node(struct walk *walk, const struct pointer *pointer,
                      const struct node_bounds *bounds) {
    struct repair *repair = walk->repair;
    bool good = repair_node(repair, pointer, walk->owner, bounds) &&
                !repair_bit(repair->claimed, pointer->block);
    const struct disk_node *node = good ? repair->path[pointer->level] : NULL;
    if (repair->failure != STATUS_OK)
        return;
    if (!good || (node->level == 0 && !extents_are_free(walk, node))) {
        lose(walk, pointer, bounds);
        return;
    }
    repair_set(repair->claimed, pointer->block);
    if (walk->dataset == NULL) {
        uint64_t *block = repair_add(repair, &repair->catalog_nodes, sizeof *block);
        if (block != NULL)
            *block = pointer->block;
    } else {
        walk->dataset->nodes++;
    }
    for (unsigned i = 0; repair->failure == STATUS_OK && i < node_count(node); i++) {
        if (node->level == 0) {
            struct item item = node_item(node, i);
            take_item(walk, &item);
            continue;
        }
        struct pointer child = node_child(node, i);
        struct node_bounds below = node_child_bounds(node, i, bounds);
        walk_node(walk, &child, &below);
    }
}

void repair_walk_catalog(struct repair *repair) {
    struct walk walk = {.repair = repair, .owner = DISK_OWNER_CATALOG};
    struct node_bounds everything = {.is_root = true};
    walk_node(&walk, &repair->super.catalog, &everything);
}

void repair_walk_dataset(struct repair *repair, struct repair_dataset *dataset) {
    struct walk walk = {.repair = repair, .owner = dataset->id, .dataset = dataset};
    struct node_bounds everything = {.is_root = true};
    walk_node(&walk, &dataset->root, &everything);
}
