/* SPDX-License-Identifier: Apache-2.0 */
/* The records of snapshots, schedules and clones: what the catalog alone tells about them. */
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"

static void collect_schedule(struct check *check, const struct item *item, uint64_t leaf) {
    if (check_find_dataset(check, item->key.inode) == NULL && !check->incomplete)
        check_report(check, CHECK_SNAPSHOT_DATASET, leaf,
                     "a schedule is of dataset %llu, which does not exist",
                     (unsigned long long)item->key.inode);
}

void check_snapshot_collect(struct check *check, const struct item *item, uint64_t leaf) {
    if (item->key.type == DISK_TYPE_SCHEDULE) {
        collect_schedule(check, item, leaf);
        return;
    }
    const struct disk_snapshot *record = item->value;
    struct check_snapshot *snapshot = check_array_add(check, &check->snapshots, sizeof *snapshot);
    if (snapshot == NULL)
        return;
    *snapshot = (struct check_snapshot){
        .dataset = item->key.inode,
        .epoch = item->key.offset,
        .tree = {.root = pointer_load(&record->root),
                 .node_blocks = le64_get(record->node_blocks),
                 .data_blocks = le64_get(record->data_blocks),
                 .shared_blocks = le64_get(record->shared_blocks)},
        .size = le64_get(record->size),
        .leaf = leaf,
        .state = record->state,
    };
    memcpy(snapshot->name, record->name, record->name_length);
}

uint64_t check_snapshot_at(const struct check *check, const struct check_dataset *dataset,
                           uint64_t epoch) {
    const struct check_snapshot *snapshots = check_snapshots_of(check, dataset);
    uint64_t low = 0;
    uint64_t high = dataset->snapshot_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (snapshots[middle].epoch < epoch)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t check_snapshots_live(const struct check *check, const struct check_dataset *dataset,
                              uint64_t index) {
    if (index == 0)
        return 0;
    const struct check_snapshot *last = &check_snapshots_of(check, dataset)[index - 1];
    return last->live_before + (last->state == DISK_SNAPSHOT_LIVE);
}

/* Both lists are in the catalog's order. */
static void assign(struct check *check) {
    struct check_dataset *datasets = check->datasets.items;
    struct check_snapshot *snapshots = check->snapshots.items;
    uint64_t at = 0;
    for (uint64_t i = 0; i < check->snapshots.count; i++) {
        struct check_snapshot *snapshot = &snapshots[i];
        while (at < check->datasets.count && datasets[at].id < snapshot->dataset)
            at++;
        if (at == check->datasets.count || datasets[at].id != snapshot->dataset) {
            if (!check->incomplete)
                check_report(check, CHECK_SNAPSHOT_DATASET, snapshot->leaf,
                             "snapshot %s is of dataset %llu, which does not exist", snapshot->name,
                             (unsigned long long)snapshot->dataset);
            continue;
        }
        struct check_dataset *dataset = &datasets[at];
        if (dataset->state == DISK_DATASET_DELETING)
            snapshot->state = DISK_SNAPSHOT_DELETING;
        check->summary->snapshots += snapshot->state == DISK_SNAPSHOT_LIVE;
        if (dataset->snapshot_count++ == 0)
            dataset->first_snapshot = i;
        else
            snapshot->live_before =
                snapshot[-1].live_before + (snapshot[-1].state == DISK_SNAPSHOT_LIVE);
    }
}

static void check_age(struct check *check, const struct check_dataset *dataset) {
    const struct check_snapshot *snapshots = check_snapshots_of(check, dataset);
    for (uint64_t i = 0; i < dataset->snapshot_count; i++)
        if (snapshots[i].epoch >= check->super.epoch || snapshots[i].epoch < dataset->birth)
            check_report(check, CHECK_SNAPSHOT_AGE, snapshots[i].leaf,
                         "snapshot %s of dataset %llu is of epoch %llu, which %s",
                         snapshots[i].name, (unsigned long long)dataset->id,
                         (unsigned long long)snapshots[i].epoch,
                         snapshots[i].epoch < dataset->birth ? "ended before there was the dataset"
                                                             : "has not ended");
}

/* Sorts by name with a growing heap, so that a bad case costs no more. */
static void sift(const struct check_snapshot **names, uint64_t at, uint64_t count) {
    while (2 * at + 1 < count) {
        uint64_t child = 2 * at + 1;
        if (child + 1 < count && strcmp(names[child]->name, names[child + 1]->name) < 0)
            child++;
        if (strcmp(names[at]->name, names[child]->name) >= 0)
            return;
        const struct check_snapshot *swapped = names[at];
        names[at] = names[child];
        names[child] = swapped;
        at = child;
    }
}

static void sort_names(const struct check_snapshot **names, uint64_t count) {
    for (uint64_t i = count / 2; i-- > 0;)
        sift(names, i, count);
    for (uint64_t i = count; i-- > 1;) {
        const struct check_snapshot *swapped = names[0];
        names[0] = names[i];
        names[i] = swapped;
        sift(names, 0, i);
    }
}

static void check_names(struct check *check, const struct check_dataset *dataset) {
    const struct check_snapshot *snapshots = check_snapshots_of(check, dataset);
    uint64_t count = 0;
    const struct check_snapshot **names = os_alloc(dataset->snapshot_count * sizeof *names);
    if (names == NULL) {
        check->failure = STATUS_NO_MEMORY;
        return;
    }
    for (uint64_t i = 0; i < dataset->snapshot_count; i++)
        if (snapshots[i].state == DISK_SNAPSHOT_LIVE)
            names[count++] = &snapshots[i];
    sort_names(names, count);
    for (uint64_t i = 1; i < count; i++)
        if (strcmp(names[i - 1]->name, names[i]->name) == 0)
            check_report(check, CHECK_SNAPSHOT_NAME, names[i]->leaf,
                         "two snapshots of volume %s have the name %s", dataset->name,
                         names[i]->name);
    os_free(names);
}

const struct check_snapshot *check_snapshot_origin(const struct check *check,
                                                   const struct check_dataset *dataset) {
    const struct check_dataset *origin = check_find_dataset(check, dataset->origin);
    if (origin == NULL)
        return NULL;
    uint64_t index = check_snapshot_at(check, origin, dataset->origin_epoch);
    if (index == origin->snapshot_count)
        return NULL;
    const struct check_snapshot *snapshot = &check_snapshots_of(check, origin)[index];
    bool is = snapshot->epoch == dataset->origin_epoch && snapshot->state == DISK_SNAPSHOT_LIVE;
    return is ? snapshot : NULL;
}

static void check_origin(struct check *check, struct check_dataset *dataset) {
    if (dataset->origin == 0 || dataset->state == DISK_DATASET_DELETING)
        return;
    const struct check_snapshot *origin = check_snapshot_origin(check, dataset);
    if (origin == NULL) {
        check_report(check, CHECK_DATASET_ORIGIN, dataset->leaf,
                     "dataset %llu (%s) is a clone of dataset %llu as of epoch %llu, of which "
                     "there is no live snapshot",
                     (unsigned long long)dataset->id, dataset->name,
                     (unsigned long long)dataset->origin,
                     (unsigned long long)dataset->origin_epoch);
        dataset->incomplete = true;
        return;
    }
    uint64_t blocks = origin->tree.node_blocks + origin->tree.data_blocks;
    for (uint64_t i = 0; i <= dataset->snapshot_count; i++) {
        bool is_head = i == dataset->snapshot_count;
        const struct check_snapshot *snapshot =
            is_head ? NULL : &check_snapshots_of(check, dataset)[i];
        const struct check_root *tree = is_head ? &dataset->head : &snapshot->tree;
        if (tree->shared_blocks > blocks)
            check_report(check, CHECK_DATASET_ORIGIN, is_head ? dataset->leaf : snapshot->leaf,
                         "%llu blocks of dataset %llu (%s) belong to its origin, by the record%s; "
                         "there can be %llu",
                         (unsigned long long)tree->shared_blocks, (unsigned long long)dataset->id,
                         dataset->name, is_head ? "" : " of a snapshot",
                         (unsigned long long)blocks);
        blocks = tree->shared_blocks < blocks ? tree->shared_blocks : blocks;
    }
}

void check_snapshots(struct check *check, bool complete) {
    struct check_dataset *datasets = check->datasets.items;
    assign(check);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < check->datasets.count; i++) {
        datasets[i].incomplete = !complete;
        check_age(check, &datasets[i]);
        check_names(check, &datasets[i]);
        if (complete)
            check_origin(check, &datasets[i]);
    }
}
