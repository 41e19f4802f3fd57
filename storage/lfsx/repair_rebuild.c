/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New trees: of a dataset that lost something, every inner node is written anew around the leaves
 * that stay where they are and the items that were found; the catalog as a whole, from the list of
 * datasets.
 */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair_internal.h"

static const struct repair_range *find_range(const struct repair *repair, uint64_t owner,
                                             const struct pointer *pointer,
                                             const struct node_bounds *bounds) {
    const struct repair_range *ranges = repair->ranges.items;
    for (uint64_t i = 0; i < repair->ranges.count; i++)
        if (ranges[i].owner == owner && ranges[i].pointer.block == pointer->block &&
            key_compare(&ranges[i].bounds.low, &bounds->low) == 0)
            return &ranges[i];
    return NULL;
}

/* Reads a leaf that was good a moment ago. */
static const struct disk_node *read_leaf(struct repair *repair, uint64_t owner,
                                         const struct pointer *pointer) {
    struct node_bounds anything = {.is_root = true};
    if (!repair_node(repair, pointer, owner, &anything))
        repair->failure = STATUS_IO;
    return repair->failure == STATUS_OK ? repair->path[0] : NULL;
}

/* The last extent before a lost range may reach into it. */
static void settle(struct repair *repair, struct repair_dataset *dataset) {
    const struct disk_node *leaf = dataset->stayed.block == 0 || dataset->settled != 0
                                       ? NULL
                                       : read_leaf(repair, dataset->id, &dataset->stayed);
    if (leaf == NULL)
        return;
    struct item item = node_item(leaf, node_count(leaf) - 1);
    const struct disk_extent *extent = item.value;
    if (item.key.type == DISK_TYPE_EXTENT)
        dataset->settled = item.key.offset + le32_get(extent->block_count);
}

/* The last extent of a lost range may have reached beyond its keys, up to the next one. */
static void keep_leaf(struct repair *repair, struct repair_dataset *dataset,
                      const struct pointer *pointer) {
    const struct disk_node *leaf =
        dataset->settled == 0 ? NULL : read_leaf(repair, dataset->id, pointer);
    if (leaf != NULL && node_key(leaf, 0).offset > dataset->settled) {
        struct repair_loss *loss = repair_add(repair, &dataset->losses, sizeof *loss);
        if (loss != NULL)
            *loss = (struct repair_loss){
                dataset->settled,
                MATH_MIN(node_key(leaf, 0).offset, dataset->settled + DISK_EXTENT_MAX), false};
    }
    dataset->settled = 0;
    dataset->stayed = *pointer;
}

static void rewrite(struct repair *repair, struct repair_dataset *dataset,
                    const struct pointer *pointer, const struct node_bounds *bounds,
                    struct repair_loader *loader) {
    const struct repair_range *lost = find_range(repair, dataset->id, pointer, bounds);
    if (lost != NULL) {
        settle(repair, dataset);
        repair_salvage(repair, dataset, lost, loader);
        return;
    }
    if (pointer->level == 0) {
        keep_leaf(repair, dataset, pointer);
        repair_loader_leaf(loader, &bounds->low, pointer);
        return;
    }
    if (!repair_node(repair, pointer, dataset->id, bounds)) {
        repair->failure = STATUS_IO; /* it could be read a moment ago */
        return;
    }
    repair_clear(repair->claimed, pointer->block);
    repair_set(repair->keep, pointer->block);
    const struct disk_node *node = repair->path[pointer->level];
    for (unsigned i = 0; repair->failure == STATUS_OK && i < node_count(node); i++) {
        struct pointer child = node_child(node, i);
        struct node_bounds below = node_child_bounds(node, i, bounds);
        rewrite(repair, dataset, &child, &below, loader);
    }
}

static void rebuild_dataset(struct repair *repair, struct repair_dataset *dataset) {
    struct repair_loader loader;
    struct node_bounds everything = {.is_root = true};
    if (repair_loader_start(&loader, repair, dataset->id) != STATUS_OK)
        return;
    rewrite(repair, dataset, &dataset->root, &everything, &loader);
    dataset->root = repair_loader_end(&loader);
    dataset->nodes = loader.nodes;
    bool doubtful = false;
    const struct repair_loss *losses = dataset->losses.items;
    for (uint64_t i = 0; i < dataset->losses.count; i++)
        doubtful = doubtful || losses[i].doubtful;
    bool complete = !dataset->found && !doubtful && !repair->superblock_lost &&
                    dataset->data == le64_get(dataset->disk.data_blocks);
    if (complete)
        dataset->losses.count = 0; /* as many blocks as there were: the gaps are holes */
    repair_say(repair, "volume %s: built its tree anew%s", dataset->name,
               complete ? "; all of its data was found" : "");
}

struct name {
    uint64_t hash;
    const struct repair_dataset *dataset;
};

static void sort_names(struct name *names, uint64_t count) {
    for (uint64_t gap = count / 2; gap > 0; gap /= 2)
        for (uint64_t i = gap; i < count; i++)
            for (uint64_t j = i; j >= gap && names[j].hash < names[j - gap].hash; j -= gap) {
                struct name swapped = names[j];
                names[j] = names[j - gap];
                names[j - gap] = swapped;
            }
}

static void add_entries(struct repair_loader *loader, const struct name *names, uint64_t count) {
    union {
        struct disk_entry disk;
        unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
    } entry;
    unsigned slot = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *name = names[i].dataset->name;
        size_t length = strlen(name);
        slot = i > 0 && names[i].hash == names[i - 1].hash ? slot + 1 : 0;
        struct key key = {DISK_CATALOG_NAMES, names[i].hash + slot, DISK_TYPE_ENTRY};
        entry.disk = (struct disk_entry){.target = le64_make(names[i].dataset->id),
                                         .kind = DISK_ENTRY_DATASET,
                                         .name_length = (uint8_t)length};
        memcpy(entry.disk.name, name, length);
        repair_loader_item(loader, &key, entry.bytes, (uint16_t)(sizeof entry.disk + length));
    }
}

static void add_record(struct repair_loader *loader, const struct repair_dataset *dataset) {
    union {
        struct disk_dataset disk;
        unsigned char bytes[sizeof(struct disk_dataset) + LFSX_NAME_MAX];
    } record;
    size_t length = dataset->disk.state == DISK_DATASET_LIVE ? strlen(dataset->name) : 0;
    record.disk = dataset->disk;
    record.disk.name_length = (uint8_t)length;
    pointer_store(&record.disk.root, &dataset->root);
    record.disk.node_blocks = le64_make(dataset->nodes);
    record.disk.data_blocks = le64_make(dataset->data);
    memcpy(record.disk.name, dataset->name, length);
    struct key key = {.inode = dataset->id, .type = DISK_TYPE_DATASET};
    repair_loader_item(loader, &key, record.bytes, (uint16_t)(sizeof record.disk + length));
}

static uint64_t make_names(struct repair *repair, struct name *names) {
    const struct repair_dataset *datasets = repair->datasets.items;
    uint64_t seed = le64_get(*(const le64 *)repair->label.pool_uuid);
    uint64_t count = 0;
    for (uint64_t i = 0; i < repair->datasets.count; i++) {
        const char *name = datasets[i].name;
        if (datasets[i].disk.state != DISK_DATASET_LIVE)
            continue;
        uint64_t hash = checksum_xxh64(name, strlen(name), seed);
        names[count++] = (struct name){hash & ~(uint64_t)(DISK_ENTRY_SLOTS - 1), &datasets[i]};
    }
    sort_names(names, count);
    return count;
}

static void rebuild_catalog(struct repair *repair, struct superblock *super) {
    const uint64_t *old = repair->catalog_nodes.items;
    for (uint64_t i = 0; i < repair->catalog_nodes.count; i++) {
        repair_clear(repair->claimed, old[i]);
        repair_set(repair->keep, old[i]);
    }
    struct name *names = os_alloc(MATH_MAX(repair->datasets.count, 1) * sizeof *names);
    struct repair_loader loader;
    if (names == NULL)
        repair->failure = STATUS_NO_MEMORY;
    if (names != NULL && repair_loader_start(&loader, repair, DISK_OWNER_CATALOG) == STATUS_OK) {
        const struct repair_dataset *datasets = repair->datasets.items;
        add_entries(&loader, names, make_names(repair, names));
        for (uint64_t i = 0; i < repair->datasets.count; i++) {
            add_record(&loader, &datasets[i]);
            super->next_dataset = MATH_MAX(super->next_dataset, datasets[i].id + 1);
        }
        super->catalog = repair_loader_end(&loader);
        super->catalog_nodes = loader.nodes;
    }
    os_free(names);
}

void repair_rebuild(struct repair *repair, struct superblock *super) {
    struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->datasets.count; i++)
        if (datasets[i].ranges > 0)
            rebuild_dataset(repair, &datasets[i]);
    if (repair->failure == STATUS_OK)
        rebuild_catalog(repair, super);
}
