/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for what nothing readable leads to any more: nodes tell themselves what they are. One
 * that stands in a block which the allocation map calls used is the current one; others are old
 * versions, whose items must be proven one by one.
 */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair_internal.h"

#define CHUNK 64u

static struct repair_dataset *find_dataset(struct repair *repair, uint64_t id) {
    struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; i < repair->datasets.count; i++)
        if (datasets[i].id == id)
            return &datasets[i];
    return NULL;
}

static bool is_wanted(struct repair *repair, const struct disk_node *node) {
    uint64_t owner = le64_get(node->owner);
    if (owner == DISK_OWNER_CATALOG)
        return repair->catalog_lost && node->level == 0;
    if (owner < DISK_FIRST_DATASET)
        return false;
    const struct repair_dataset *dataset = find_dataset(repair, owner);
    return dataset == NULL ? repair->catalog_lost : dataset->ranges > 0 && node->level == 0;
}

static void look_at(struct repair *repair, const struct disk_node *node, uint64_t block) {
    struct pointer pointer = {block, le64_get(node->birth), le64_get(node->checksum), node->level};
    const char *why;
    if (le32_get(node->magic) != DISK_NODE_MAGIC || !is_wanted(repair, node) ||
        node_validate(node, &pointer, le64_get(node->owner), &why) != STATUS_OK ||
        node_count(node) == 0 || le64_get(node->checkpoint) > repair->super.checkpoint)
        return;
    struct repair_candidate *found = repair_add(repair, &repair->candidates, sizeof *found);
    if (found == NULL)
        return;
    *found = (struct repair_candidate){.owner = le64_get(node->owner),
                                       .checkpoint = le64_get(node->checkpoint),
                                       .pointer = pointer,
                                       .first = node_key(node, 0),
                                       .last = node_key(node, node_count(node) - 1),
                                       .proven = repair->known[block / DISK_REGION_BLOCKS] &&
                                                 repair_bit(repair->old_used, block)};
}

static bool is_looked_at(struct repair *repair, uint64_t block, bool used_only) {
    if (repair_bit(repair->claimed, block))
        return false;
    return !used_only || !repair->known[block / DISK_REGION_BLOCKS] ||
           repair_bit(repair->old_used, block);
}

/* Old versions are of use only where a leaf is lost. */
static bool only_used(const struct repair *repair) {
    const struct repair_range *ranges = repair->ranges.items;
    for (uint64_t i = 0; i < repair->ranges.count; i++)
        if (ranges[i].pointer.level == 0 || ranges[i].owner == DISK_OWNER_CATALOG)
            return false;
    return true;
}

static void scan_chunk(struct repair *repair, uint64_t block, uint64_t count, bool used_only) {
    bool any = false;
    for (uint64_t i = 0; i < count; i++)
        any = any || is_looked_at(repair, block + i, used_only);
    if (!any)
        return;
    bool whole = blockdev_read(repair->device, block * DISK_BLOCK_SIZE, repair->data,
                               count * DISK_BLOCK_SIZE) == STATUS_OK;
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++) {
        if (!is_looked_at(repair, block + i, used_only))
            continue;
        void *page = (char *)repair->data + i * DISK_BLOCK_SIZE;
        if (whole || repair_read(repair, block + i, page))
            look_at(repair, page, block + i);
    }
}

static bool is_before(const struct repair_candidate *a, const struct repair_candidate *b) {
    if (a->owner != b->owner)
        return a->owner < b->owner;
    int order = key_compare(&a->first, &b->first);
    return order != 0 ? order < 0 : a->pointer.block < b->pointer.block;
}

/* Heap sort: no memory, no bad case. */
static void sift(struct repair_candidate *items, uint64_t at, uint64_t count) {
    while (2 * at + 1 < count) {
        uint64_t child = 2 * at + 1;
        if (child + 1 < count && is_before(&items[child], &items[child + 1]))
            child++;
        if (!is_before(&items[at], &items[child]))
            return;
        struct repair_candidate swapped = items[at];
        items[at] = items[child];
        items[child] = swapped;
        at = child;
    }
}

static void sort(struct repair_candidate *items, uint64_t count) {
    for (uint64_t i = count / 2; i-- > 0;)
        sift(items, i, count);
    for (uint64_t i = count; i-- > 1;) {
        struct repair_candidate swapped = items[0];
        items[0] = items[i];
        items[i] = swapped;
        sift(items, 0, i);
    }
}

void repair_scan(struct repair *repair) {
    const struct geometry *g = &repair->label.geometry;
    bool used_only = only_used(repair);
    for (uint64_t block = g->data_start; block < g->data_end && repair->failure == STATUS_OK;
         block += CHUNK) {
        scan_chunk(repair, block, MATH_MIN(CHUNK, g->data_end - block), used_only);
        if (block % 4096 < CHUNK)
            repair_progress(repair, block - g->data_start, g->data_end - g->data_start);
    }
    if (repair->candidates.count > 0)
        sort(repair->candidates.items, repair->candidates.count);
}

/* The newest of the found nodes that may be the root of the owner's tree. */
static const struct repair_candidate *best_root(const struct repair *repair, uint64_t first,
                                                uint64_t end) {
    const struct repair_candidate *all = repair->candidates.items;
    const struct repair_candidate *best = NULL;
    for (uint64_t i = first; i < end; i++) {
        const struct repair_candidate *c = &all[i];
        if (!c->proven && repair->known[c->pointer.block / DISK_REGION_BLOCKS])
            continue; /* an old version */
        bool higher =
            best != NULL && c->proven && best->proven
                ? c->pointer.level > best->pointer.level ||
                      (c->pointer.level == best->pointer.level && c->checkpoint > best->checkpoint)
                : best == NULL || c->checkpoint > best->checkpoint ||
                      (c->checkpoint == best->checkpoint && c->pointer.level > best->pointer.level);
        if (higher)
            best = c;
    }
    return best;
}

static struct repair_dataset *add_dataset(struct repair *repair, uint64_t id) {
    struct repair_dataset *dataset = repair_add(repair, &repair->datasets, sizeof *dataset);
    if (dataset == NULL)
        return NULL;
    dataset->id = id;
    dataset->found = true;
    dataset->disk.id = le64_make(id);
    dataset->disk.kind = DISK_DATASET_VOLUME;
    os_random(dataset->disk.uuid, sizeof dataset->disk.uuid);
    dataset->disk.birth = le64_make(repair->super.epoch);
    format_text(dataset->name, sizeof dataset->name, "lost+found-%llu", (unsigned long long)id);
    return dataset;
}

/* What an old or current record of the catalog says about a dataset. */
struct record {
    bool found, proven;
    uint64_t checkpoint;
    struct disk_dataset disk;
    char name[LFSX_NAME_MAX + 1];
};

static void look_for_record(struct repair *repair, const struct repair_candidate *leaf, uint64_t id,
                            struct record *record) {
    if (!repair_read(repair, leaf->pointer.block, repair->page))
        return;
    for (unsigned i = 0; i < node_count(repair->page); i++) {
        struct item item = node_item(repair->page, i);
        const struct disk_dataset *disk = item.value;
        if (item.key.type != DISK_TYPE_DATASET || item.key.inode != id ||
            item.length < sizeof *disk || item.length != sizeof *disk + disk->name_length)
            continue;
        if (record->found &&
            (record->proven || (!leaf->proven && record->checkpoint >= leaf->checkpoint)))
            continue;
        *record = (struct record){true, leaf->proven, leaf->checkpoint, *disk, {0}};
        memcpy(record->name, disk->name, disk->name_length);
    }
}

static void find_record(struct repair *repair, uint64_t id, struct record *record) {
    *record = (struct record){0};
    const struct repair_candidate *all = repair->candidates.items;
    for (uint64_t i = 0; i < repair->candidates.count; i++)
        if (all[i].owner == DISK_OWNER_CATALOG)
            look_for_record(repair, &all[i], id, record);
}

static bool name_is_taken(const struct repair *repair, const char *name) {
    const struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; i < repair->datasets.count; i++)
        if (strcmp(datasets[i].name, name) == 0)
            return true;
    return false;
}

/* A dataset without a record that counts. `root` is NULL if no node of its tree was found. */
static void restore(struct repair *repair, uint64_t id, const struct repair_candidate *root) {
    struct record record;
    find_record(repair, id, &record);
    struct pointer said = pointer_load(&record.disk.root);
    bool is_used = record.found && geometry_is_data(&repair->label.geometry, said.block, 1) &&
                   repair_bit(repair->old_used, said.block) &&
                   !repair_bit(repair->claimed, said.block);
    if (root == NULL && !record.proven && !is_used)
        return; /* a name of a dataset that is no more */
    bool taken = record.found && name_is_taken(repair, record.name);
    struct repair_dataset *dataset = add_dataset(repair, id);
    if (dataset == NULL)
        return;
    if (record.found) {
        dataset->disk = record.disk;
        dataset->found = !record.proven;
        if (!taken && (record.proven || record.disk.state == DISK_DATASET_LIVE))
            memcpy(dataset->name, record.name, sizeof record.name);
    }
    dataset->root = record.proven || root == NULL ? said : root->pointer;
    repair_walk_dataset(repair, dataset);
    repair_say(repair, "restored the record of dataset %llu, volume %s", (unsigned long long)id,
               dataset->name);
}

static void restore_named(struct repair *repair, const struct repair_candidate *leaf) {
    struct disk_node *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        repair->failure = STATUS_NO_MEMORY;
    if (page != NULL && repair_read(repair, leaf->pointer.block, page))
        for (unsigned i = 0; i < node_count(page) && repair->failure == STATUS_OK; i++) {
            struct key key = node_key(page, i);
            if (key.type == DISK_TYPE_DATASET && key.inode >= DISK_FIRST_DATASET &&
                find_dataset(repair, key.inode) == NULL)
                restore(repair, key.inode, NULL);
        }
    os_page_free(page, DISK_BLOCK_SIZE);
}

/* Whether current leaves of the tree were found that its root does not lead to, or the map could
 * not tell: then what is missing is not known. */
static void doubt(struct repair *repair, struct repair_dataset *dataset) {
    const struct repair_candidate *all = repair->candidates.items;
    bool doubtful = false;
    for (uint64_t i = 0; i < repair->candidates.count; i++)
        if (all[i].owner == dataset->id && all[i].pointer.level == 0 &&
            !repair_bit(repair->claimed, all[i].pointer.block))
            doubtful = doubtful || all[i].proven;
    for (uint64_t i = 0; i < repair->label.geometry.regions; i++)
        doubtful = doubtful || !repair->known[i];
    struct repair_loss *loss = doubtful ? repair_add(repair, &dataset->losses, sizeof *loss) : NULL;
    if (loss != NULL)
        *loss = (struct repair_loss){0, UINT64_MAX, true};
}

static void sort_datasets(struct repair *repair) {
    struct repair_dataset *all = repair->datasets.items;
    for (uint64_t i = 1; i < repair->datasets.count; i++)
        for (uint64_t j = i; j > 0 && all[j].id < all[j - 1].id; j--) {
            struct repair_dataset swapped = all[j];
            all[j] = all[j - 1];
            all[j - 1] = swapped;
        }
}

void repair_find_datasets(struct repair *repair) {
    const struct repair_candidate *all = repair->candidates.items;
    uint64_t count = repair->candidates.count;
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK;) {
        uint64_t end = i;
        while (end < count && all[end].owner == all[i].owner)
            end++;
        const struct repair_candidate *root = best_root(repair, i, end);
        if (all[i].owner != DISK_OWNER_CATALOG && root != NULL &&
            find_dataset(repair, all[i].owner) == NULL)
            restore(repair, all[i].owner, root);
        i = end;
    }
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++)
        if (all[i].owner == DISK_OWNER_CATALOG)
            restore_named(repair, &all[i]);
    struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; i < repair->datasets.count && repair->failure == STATUS_OK; i++)
        if (datasets[i].found)
            doubt(repair, &datasets[i]);
    sort_datasets(repair);
}
