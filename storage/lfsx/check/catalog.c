/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog: which datasets there are, and whether names and datasets agree. */
#include "base/checksum.h"
#include "base/mem.h"
#include "base/os.h"
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
    struct check_name *name = check_array_add(check, &check->names, sizeof *name);
    if (name == NULL)
        return;
    *name = (struct check_name){.target = le64_get(entry->target), .leaf = leaf};
    memcpy(name->name, entry->name, entry->name_length);
    check_hash(check, item, leaf);
}

static void collect_dataset(struct check *check, const struct item *item, uint64_t leaf) {
    const struct disk_dataset *record = item->value;
    struct check_dataset *dataset = check_array_add(check, &check->datasets, sizeof *dataset);
    if (dataset == NULL)
        return;
    *dataset = (struct check_dataset){.id = le64_get(record->id),
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
    memcpy(dataset->name, record->name, record->name_length);
    check->summary->datasets++;
    if (dataset->id >= check->super.next_dataset)
        check_report(check, CHECK_DATASET_NUMBER, leaf,
                     "dataset %llu has a number that the next new dataset would get again",
                     (unsigned long long)dataset->id);
    if (dataset->birth > check->super.epoch)
        check_report(check, CHECK_DATASET_AGE, leaf, "dataset %llu is of an epoch to come",
                     (unsigned long long)dataset->id);
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    if (item->key.type == DISK_TYPE_ENTRY)
        collect_name(tree->check, item, leaf);
    else if (item->key.type == DISK_TYPE_DATASET)
        collect_dataset(tree->check, item, leaf);
    else
        check_snapshot_collect(tree->check, item, leaf);
}

/* Datasets are in ascending order of their identifiers, as in the tree. */
const struct check_dataset *check_find_dataset(const struct check *check, uint64_t id) {
    const struct check_dataset *datasets = check->datasets.items;
    uint64_t low = 0;
    uint64_t high = check->datasets.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (datasets[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < check->datasets.count && datasets[low].id == id;
    return found ? &datasets[low] : NULL;
}

/* Marks in `named` the datasets that a name leads to. */
static void check_names(struct check *check, bool *named) {
    const struct check_dataset *datasets = check->datasets.items;
    const struct check_name *names = check->names.items;
    for (uint64_t i = 0; i < check->names.count; i++) {
        const struct check_dataset *dataset = check_find_dataset(check, names[i].target);
        const char *wrong = NULL;
        if (dataset == NULL)
            wrong = "does not exist";
        else if (dataset->state != DISK_DATASET_LIVE)
            wrong = "is deleted";
        else if (strcmp(dataset->name, names[i].name) != 0)
            wrong = "has another name";
        else
            named[dataset - datasets] = true;
        if (wrong != NULL)
            check_report(check, CHECK_NAME_DANGLING, names[i].leaf,
                         "a name leads to dataset %llu, which %s: %s",
                         (unsigned long long)names[i].target, wrong, names[i].name);
    }
    for (uint64_t i = 0; i < check->datasets.count; i++)
        if (!named[i] && datasets[i].state == DISK_DATASET_LIVE)
            check_report(check, CHECK_NAME_MISSING, datasets[i].leaf,
                         "no name leads to dataset %llu, which should have the name %s",
                         (unsigned long long)datasets[i].id, datasets[i].name);
}

static void compare_names(struct check *check) {
    bool *named = os_alloc_zeroed(check->datasets.count * sizeof *named);
    if (named == NULL) {
        check->failure = STATUS_NO_MEMORY;
        return;
    }
    check_names(check, named);
    os_free(named);
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
