/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog: which datasets there are, and whether names and datasets agree. */
#include "base/checksum.h"
#include "base/mem.h"
#include "storage/lfsx/check/check_internal.h"

static void check_hash(struct check *check, const struct item *item, uint64_t leaf) {
    const struct disk_entry *entry = item->value;
    uint64_t seed = le64_get(*(const le64 *)check->label.pool_uuid);
    uint64_t hash = checksum_xxh64(entry->name, entry->name_length, seed);
    if (hash / DISK_ENTRY_SLOTS != item->key.offset / DISK_ENTRY_SLOTS)
        check_report(check, CHECK_NAME_HASH, leaf, "a name stands where no one would find it: %.*s",
                     entry->name_length, (const char *)entry->name);
}

static void collect_name(struct check *check, const struct item *item, uint64_t leaf) {
    const struct disk_entry *entry = item->value;
    struct check_name name = {.target = le64_get(entry->target), .leaf = leaf};
    memcpy(name.name, entry->name, entry->name_length);
    spill_array_add(check->names, &name);
    check_hash(check, item, leaf);
}

static void collect_dataset(struct check *check, const struct item *item, uint64_t leaf) {
    const struct disk_dataset *record = item->value;
    struct check_dataset dataset = {.id = le64_get(record->id),
                                    .birth = le64_get(record->birth),
                                    .head = {.root = pointer_load(&record->root),
                                             .node_blocks = le64_get(record->node_blocks),
                                             .data_blocks = le64_get(record->data_blocks),
                                             .shared_blocks = le64_get(record->shared_blocks)},
                                    .dead = pointer_load(&record->dead),
                                    .dead_nodes = le64_get(record->dead_nodes),
                                    .origin = le64_get(record->origin),
                                    .origin_epoch = le64_get(record->origin_epoch),
                                    .leaf = leaf,
                                    .size = UINT64_MAX,
                                    .next_inode = le64_get(record->next_inode),
                                    .kind = record->kind,
                                    .state = record->state};
    memcpy(dataset.name, record->name, record->name_length);
    spill_array_add(check->datasets, &dataset);
    check->summary->datasets++;
    if (dataset.id >= check->super.next_dataset)
        check_report(check, CHECK_DATASET_NUMBER, leaf,
                     "dataset %llu has a number that the next new dataset would get again",
                     (unsigned long long)dataset.id);
    if (dataset.birth > check->super.epoch)
        check_report(check, CHECK_DATASET_AGE, leaf, "dataset %llu is of an epoch to come",
                     (unsigned long long)dataset.id);
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    if (item->key.type == DISK_TYPE_ENTRY)
        collect_name(tree->check, item, leaf);
    else if (item->key.type == DISK_TYPE_DATASET)
        collect_dataset(tree->check, item, leaf);
    else
        check_snapshot_collect(tree->check, item, leaf);
}

static bool dataset_before(const void *item, const void *key) {
    return ((const struct check_dataset *)item)->id < *(const uint64_t *)key;
}

/* Index of the dataset; the count if there is none. Datasets are in ascending order of their
 * identifiers, as in the tree. */
static uint64_t find(struct check *check, uint64_t id, struct check_dataset *dataset) {
    uint64_t count = spill_array_count(check->datasets);
    uint64_t index = spill_array_search(check->datasets, &id, dataset_before);
    if (index == count)
        return count;
    spill_array_get(check->datasets, index, dataset);
    return dataset->id == id ? index : count;
}

bool check_find_dataset(struct check *check, uint64_t id, struct check_dataset *dataset) {
    return find(check, id, dataset) < spill_array_count(check->datasets);
}

/* Marks in `named` the dataset that the name leads to. */
static void check_name(struct check *check, const struct check_name *name,
                       struct spill_bits *named) {
    struct check_dataset dataset;
    uint64_t index = find(check, name->target, &dataset);
    const char *wrong = NULL;
    if (index == spill_array_count(check->datasets))
        wrong = "does not exist";
    else if (dataset.state != DISK_DATASET_LIVE)
        wrong = "is deleted";
    else if (strcmp(dataset.name, name->name) != 0)
        wrong = "has another name";
    else
        spill_bit_put(named, index, true);
    if (wrong != NULL)
        check_report(check, CHECK_NAME_DANGLING, name->leaf,
                     "a name leads to dataset %llu, which %s: %s", (unsigned long long)name->target,
                     wrong, name->name);
}

static void check_names(struct check *check, struct spill_bits *named) {
    uint64_t names = spill_array_count(check->names);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < names; i++) {
        struct check_name name;
        spill_array_get(check->names, i, &name);
        check_name(check, &name, named);
    }
    uint64_t datasets = spill_array_count(check->datasets);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < datasets; i++) {
        struct check_dataset dataset;
        spill_array_get(check->datasets, i, &dataset);
        if (dataset.state == DISK_DATASET_LIVE && !spill_bit(named, i))
            check_report(check, CHECK_NAME_MISSING, dataset.leaf,
                         "no name leads to dataset %llu, which should have the name %s",
                         (unsigned long long)dataset.id, dataset.name);
    }
}

static void compare_names(struct check *check) {
    struct spill_bits *named = spill_bits_open(check->spill, spill_array_count(check->datasets));
    if (check->failure == STATUS_OK)
        check_names(check, named);
    spill_bits_close(named);
}

void check_catalog(struct check *check) {
    struct check_tree tree = {.check = check,
                              .owner = DISK_OWNER_CATALOG,
                              .name = "the catalog",
                              .root = check->super.catalog,
                              .epoch = check->super.epoch,
                              .visit = visit};
    check_tree_walk(&tree);
    if (check->failure != STATUS_OK)
        return;
    check_snapshots(check, !tree.incomplete);
    if (tree.incomplete || check->failure != STATUS_OK)
        return;
    if (tree.nodes != check->super.catalog_nodes)
        check_report(check, CHECK_CATALOG_NODES, CHECK_NO_BLOCK,
                     "the catalog has %llu nodes, the superblock says %llu",
                     (unsigned long long)tree.nodes,
                     (unsigned long long)check->super.catalog_nodes);
    compare_names(check);
}
