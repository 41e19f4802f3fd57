/* SPDX-License-Identifier: Apache-2.0 */
/* The records of snapshots, schedules and clones: what the catalog alone tells about them. */
#include "base/mem.h"
#include "storage/lfsx/check/check_internal.h"

static void collect_schedule(struct check *check, const struct item *item, uint64_t leaf) {
    struct check_dataset dataset;
    if (!check_find_dataset(check, item->key.inode, &dataset) && !check->incomplete)
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
    struct check_snapshot snapshot = {
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
    memcpy(snapshot.name, record->name, record->name_length);
    spill_array_add(check->snapshots, &snapshot);
}

uint64_t check_snapshot_at(struct check *check, const struct check_dataset *dataset,
                           uint64_t epoch) {
    uint64_t low = 0;
    uint64_t high = dataset->snapshot_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (check_snapshot_get(check, dataset, middle).epoch < epoch)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t check_snapshots_live(struct check *check, const struct check_dataset *dataset,
                              uint64_t index) {
    if (index == 0)
        return 0;
    struct check_snapshot last = check_snapshot_get(check, dataset, index - 1);
    return last.live_before + (last.state == DISK_SNAPSHOT_LIVE);
}

/* Gives the dataset its snapshots, the first of which is the one at this index of all, and returns
 * the index behind them. */
static uint64_t take(struct check *check, struct check_dataset *dataset, uint64_t index) {
    uint64_t live = 0;
    dataset->first_snapshot = index;
    for (; check->failure == STATUS_OK && index < spill_array_count(check->snapshots); index++) {
        struct check_snapshot snapshot;
        spill_array_get(check->snapshots, index, &snapshot);
        if (snapshot.dataset != dataset->id)
            break;
        if (dataset->state == DISK_DATASET_DELETING)
            snapshot.state = DISK_SNAPSHOT_DELETING;
        snapshot.live_before = live;
        live += snapshot.state == DISK_SNAPSHOT_LIVE;
        spill_array_put(check->snapshots, index, &snapshot);
        dataset->snapshot_count++;
    }
    check->summary->snapshots += live;
    return index;
}

/* Passes snapshots of datasets before this one, or of all if it is NULL. */
static uint64_t pass_strays(struct check *check, const struct check_dataset *dataset,
                            uint64_t index) {
    for (; check->failure == STATUS_OK && index < spill_array_count(check->snapshots); index++) {
        struct check_snapshot snapshot;
        spill_array_get(check->snapshots, index, &snapshot);
        if (dataset != NULL && snapshot.dataset >= dataset->id)
            break;
        if (!check->incomplete)
            check_report(check, CHECK_SNAPSHOT_DATASET, snapshot.leaf,
                         "snapshot %s is of dataset %llu, which does not exist", snapshot.name,
                         (unsigned long long)snapshot.dataset);
    }
    return index;
}

/* Both lists are in the catalog's order. */
static void assign(struct check *check) {
    uint64_t at = 0;
    uint64_t datasets = spill_array_count(check->datasets);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < datasets; i++) {
        struct check_dataset dataset;
        spill_array_get(check->datasets, i, &dataset);
        at = pass_strays(check, &dataset, at);
        at = take(check, &dataset, at);
        spill_array_put(check->datasets, i, &dataset);
    }
    (void)pass_strays(check, NULL, at);
}

static void check_age(struct check *check, const struct check_dataset *dataset) {
    for (uint64_t i = 0; check->failure == STATUS_OK && i < dataset->snapshot_count; i++) {
        struct check_snapshot snapshot = check_snapshot_get(check, dataset, i);
        if (snapshot.epoch >= check->super.epoch || snapshot.epoch < dataset->birth)
            check_report(check, CHECK_SNAPSHOT_AGE, snapshot.leaf,
                         "snapshot %s of dataset %llu is of epoch %llu, which %s", snapshot.name,
                         (unsigned long long)dataset->id, (unsigned long long)snapshot.epoch,
                         snapshot.epoch < dataset->birth ? "ended before there was the dataset"
                                                         : "has not ended");
    }
}

static bool name_before(const void *one, const void *two) {
    return strcmp(((const struct check_name *)one)->name, ((const struct check_name *)two)->name) <
           0;
}

/* The names of the dataset's live snapshots. */
static void collect_names(struct check *check, const struct check_dataset *dataset,
                          struct spill_array *names) {
    for (uint64_t i = 0; check->failure == STATUS_OK && i < dataset->snapshot_count; i++) {
        struct check_snapshot snapshot = check_snapshot_get(check, dataset, i);
        struct check_name name = {.target = dataset->id, .leaf = snapshot.leaf};
        memcpy(name.name, snapshot.name, sizeof name.name);
        if (snapshot.state == DISK_SNAPSHOT_LIVE)
            spill_array_add(names, &name);
    }
}

static void compare_names(struct check *check, const struct check_dataset *dataset,
                          struct spill_array *names) {
    struct check_name before;
    spill_array_sort(names, name_before);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < spill_array_count(names); i++) {
        struct check_name name;
        spill_array_get(names, i, &name);
        if (i > 0 && strcmp(before.name, name.name) == 0)
            check_report(check, CHECK_SNAPSHOT_NAME, name.leaf,
                         "two snapshots of volume %s have the name %s", dataset->name, name.name);
        before = name;
    }
}

static void check_names(struct check *check, const struct check_dataset *dataset) {
    struct spill_array *names = spill_array_open(check->spill, sizeof(struct check_name));
    if (names == NULL)
        return;
    collect_names(check, dataset, names);
    compare_names(check, dataset, names);
    spill_array_close(names);
}

bool check_snapshot_origin(struct check *check, const struct check_dataset *dataset,
                           struct check_snapshot *snapshot) {
    struct check_dataset origin;
    if (!check_find_dataset(check, dataset->origin, &origin))
        return false;
    uint64_t index = check_snapshot_at(check, &origin, dataset->origin_epoch);
    if (index == origin.snapshot_count)
        return false;
    *snapshot = check_snapshot_get(check, &origin, index);
    return snapshot->epoch == dataset->origin_epoch && snapshot->state == DISK_SNAPSHOT_LIVE;
}

/* How many blocks of its origin one of the trees of a clone has by its record: no more than the
 * next older one. `snapshot` is NULL for the live tree. */
static uint64_t check_shared(struct check *check, const struct check_dataset *dataset,
                             const struct check_snapshot *snapshot, uint64_t most) {
    uint64_t shared = snapshot == NULL ? dataset->head.shared_blocks : snapshot->tree.shared_blocks;
    if (shared <= most)
        return shared;
    check_report(check, CHECK_DATASET_ORIGIN, snapshot == NULL ? dataset->leaf : snapshot->leaf,
                 "%llu blocks of dataset %llu (%s) belong to its origin, by the record%s; there "
                 "can be %llu",
                 (unsigned long long)shared, (unsigned long long)dataset->id, dataset->name,
                 snapshot == NULL ? "" : " of a snapshot", (unsigned long long)most);
    return most;
}

static void check_origin(struct check *check, struct check_dataset *dataset) {
    if (dataset->origin == 0 || dataset->state == DISK_DATASET_DELETING)
        return;
    struct check_snapshot origin;
    if (!check_snapshot_origin(check, dataset, &origin)) {
        check_report(check, CHECK_DATASET_ORIGIN, dataset->leaf,
                     "dataset %llu (%s) is a clone of dataset %llu as of epoch %llu, of which "
                     "there is no live snapshot",
                     (unsigned long long)dataset->id, dataset->name,
                     (unsigned long long)dataset->origin,
                     (unsigned long long)dataset->origin_epoch);
        dataset->incomplete = true;
        return;
    }
    uint64_t most = origin.tree.node_blocks + origin.tree.data_blocks;
    for (uint64_t i = 0; check->failure == STATUS_OK && i < dataset->snapshot_count; i++) {
        struct check_snapshot snapshot = check_snapshot_get(check, dataset, i);
        most = check_shared(check, dataset, &snapshot, most);
    }
    (void)check_shared(check, dataset, NULL, most);
}

void check_snapshots(struct check *check, bool complete) {
    assign(check);
    uint64_t count = spill_array_count(check->datasets);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < count; i++) {
        struct check_dataset dataset;
        spill_array_get(check->datasets, i, &dataset);
        dataset.incomplete = !complete;
        check_age(check, &dataset);
        check_names(check, &dataset);
        if (complete)
            check_origin(check, &dataset);
        spill_array_put(check->datasets, i, &dataset);
    }
}
