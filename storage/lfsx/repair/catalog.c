/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog, written anew as a whole from what is known of datasets, snapshots and schedules. */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

struct name {
    uint64_t hash;
    const struct repair_tree *head;
};

static bool name_before(const void *a, const void *b) {
    return ((const struct name *)a)->hash < ((const struct name *)b)->hash;
}

static void add_entries(struct repair_loader *loader, const struct name *names, uint64_t count) {
    union {
        struct disk_entry disk;
        unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
    } entry;
    unsigned slot = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *name = names[i].head->name;
        size_t length = strlen(name);
        slot = i > 0 && names[i].hash == names[i - 1].hash ? slot + 1 : 0;
        struct key key = {DISK_CATALOG_NAMES, names[i].hash + slot, DISK_TYPE_ENTRY};
        entry.disk = (struct disk_entry){.target = le64_make(names[i].head->id),
                                         .kind = DISK_ENTRY_DATASET,
                                         .name_length = (uint8_t)length};
        memcpy(entry.disk.name, name, length);
        repair_loader_item(loader, &key, entry.bytes, (uint16_t)(sizeof entry.disk + length));
    }
}

static void add_dataset(struct repair_loader *loader, const struct repair_tree *head) {
    union {
        struct disk_dataset disk;
        unsigned char bytes[sizeof(struct disk_dataset) + LFSX_NAME_MAX];
    } record;
    size_t length = head->disk.state == DISK_DATASET_DELETING ? 0 : strlen(head->name);
    record.disk = head->disk;
    record.disk.name_length = (uint8_t)length;
    pointer_store(&record.disk.root, &head->root);
    record.disk.node_blocks = le64_make(head->nodes);
    record.disk.data_blocks = le64_make(head->data);
    record.disk.shared_blocks = le64_make(head->shared);
    memcpy(record.disk.name, head->name, length);
    struct key key = {.inode = head->id, .type = DISK_TYPE_DATASET};
    repair_loader_item(loader, &key, record.bytes, (uint16_t)(sizeof record.disk + length));
}

static void add_snapshot(struct repair_loader *loader, const struct repair_tree *tree) {
    union {
        struct disk_snapshot disk;
        unsigned char bytes[sizeof(struct disk_snapshot) + LFSX_NAME_MAX];
    } record;
    size_t length = strlen(tree->name); /* none if it is being deleted */
    record.disk = tree->snapshot;
    record.disk.name_length = (uint8_t)length;
    pointer_store(&record.disk.root, &tree->root);
    record.disk.node_blocks = le64_make(tree->nodes);
    record.disk.data_blocks = le64_make(tree->data);
    record.disk.shared_blocks = le64_make(tree->shared);
    if (tree->in_share)
        record.disk.size = le64_make(0);
    else if (tree->size != 0 && !repair_is_gone(tree))
        record.disk.size = le64_make(tree->size);
    memcpy(record.disk.name, tree->name, length);
    struct key key = {tree->id, tree->epoch, DISK_TYPE_SNAPSHOT};
    repair_loader_item(loader, &key, record.bytes, (uint16_t)(sizeof record.disk + length));
}

static void add_schedule(struct repair_loader *loader, uint64_t id) {
    const struct repair_schedule *schedules = loader->repair->schedules.items;
    struct key key = {.inode = id, .type = DISK_TYPE_SCHEDULE};
    for (uint64_t i = 0; i < loader->repair->schedules.count; i++)
        if (schedules[i].id == id) {
            repair_loader_item(loader, &key, schedules[i].value, schedules[i].length);
            return;
        }
}

/* In the order of keys: each dataset before its snapshots, and its schedule last. */
static void add_records(struct repair_loader *loader) {
    struct repair *repair = loader->repair;
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count;) {
        uint64_t end = i;
        while (end < repair->trees.count && trees[end].id == trees[i].id)
            end++;
        const struct repair_tree *head = &trees[end - 1];
        if (repair_is_head(head)) {
            add_dataset(loader, head);
            for (uint64_t j = i; j + 1 < end; j++)
                add_snapshot(loader, &trees[j]);
            add_schedule(loader, head->id);
        }
        i = end;
    }
}

static uint64_t make_names(struct repair *repair, struct name *names) {
    const struct repair_tree *trees = repair->trees.items;
    uint64_t seed = le64_get(*(const le64 *)repair->label.pool_uuid);
    uint64_t count = 0;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        const char *name = trees[i].name;
        if (!repair_is_head(&trees[i]) || trees[i].disk.state != DISK_DATASET_LIVE)
            continue;
        uint64_t hash = checksum_xxh64(name, strlen(name), seed);
        names[count++] = (struct name){hash & ~(uint64_t)(DISK_ENTRY_SLOTS - 1), &trees[i]};
    }
    repair_sort(names, count, sizeof *names, name_before);
    return count;
}

static bool tree_name_before(const void *a, const void *b) {
    const struct repair_tree *one = *(struct repair_tree *const *)a;
    const struct repair_tree *two = *(struct repair_tree *const *)b;
    uint64_t scope_one = repair_is_head(one) ? 0 : one->id;
    uint64_t scope_two = repair_is_head(two) ? 0 : two->id;
    if (scope_one != scope_two)
        return scope_one < scope_two;
    int order = strcmp(one->name, two->name);
    return order != 0           ? order < 0
           : one->id != two->id ? one->id < two->id
                                : one->epoch < two->epoch;
}

/* No two live datasets, or snapshots of one dataset, have the same name. */
static void make_names_unique(struct repair *repair, struct repair_tree **order) {
    struct repair_tree *trees = repair->trees.items;
    uint64_t count = 0;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (repair_is_head(&trees[i]) ? trees[i].disk.state == DISK_DATASET_LIVE
                                      : !repair_is_gone(&trees[i]))
            order[count++] = &trees[i];
    repair_sort(order, count, sizeof(struct repair_tree *), tree_name_before);
    for (uint64_t i = 1; i < count; i++) {
        struct repair_tree *tree = order[i];
        bool same = repair_is_head(tree) == repair_is_head(order[i - 1]) &&
                    (repair_is_head(tree) || tree->id == order[i - 1]->id) &&
                    strcmp(tree->name, order[i - 1]->name) == 0;
        if (!same)
            continue;
        char before[LFSX_NAME_MAX + 1];
        memcpy(before, tree->name, sizeof before);
        format_text(tree->name, sizeof tree->name, "lost+found-%llu",
                    (unsigned long long)(repair_is_head(tree) ? tree->id : tree->epoch));
        repair_say(repair, "there was another %s of the name %s: it is %s now",
                   repair_is_head(tree) ? "volume" : "snapshot", before, tree->name);
    }
}

/* A record must fit its pool: no dataset or snapshot is of an epoch to come. */
static void make_ages_right(struct repair *repair, struct superblock *super) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        struct repair_tree *head = repair_find_tree(repair, trees[i].id, REPAIR_HEAD);
        if (head == NULL)
            continue;
        super->next_dataset = MATH_MAX(super->next_dataset, head->id + 1);
        if (head->in_share && le64_get(head->disk.next_inode) <= DISK_ROOT_INODE)
            head->disk.next_inode = le64_make(DISK_ROOT_INODE + 1); /* until it is mended */
        if (le64_get(head->disk.birth) > super->epoch)
            head->disk.birth = le64_make(super->epoch);
        if (trees[i].epoch < le64_get(head->disk.birth))
            head->disk.birth = le64_make(trees[i].epoch);
    }
}

static void release_old(struct repair *repair) {
    const uint64_t *old = repair->catalog_nodes.items;
    for (uint64_t i = 0; i < repair->catalog_nodes.count; i++) {
        repair_clear(repair->claimed, old[i]);
        repair_set(repair->keep, old[i]);
    }
}

static bool count_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    (void)pointer;
    ++*(uint64_t *)visitor->context;
    return true;
}

static void write_catalog(struct repair *repair, struct superblock *super, struct name *names) {
    struct repair_loader loader;
    if (repair_loader_start(&loader, repair, DISK_OWNER_CATALOG, super->epoch) != STATUS_OK)
        return;
    add_entries(&loader, names, make_names(repair, names));
    add_records(&loader);
    super->catalog = repair_loader_end(&loader);
    super->catalog_nodes = 0;
    struct repair_visitor visitor = {.repair = repair,
                                     .id = DISK_OWNER_CATALOG,
                                     .node = count_node,
                                     .range = {.is_root = true},
                                     .context = &super->catalog_nodes};
    if (repair->failure == STATUS_OK)
        repair_visit(&visitor, &super->catalog);
}

void repair_rebuild_catalog(struct repair *repair, struct superblock *super) {
    uint64_t count = MATH_MAX(repair->trees.count, 1);
    struct name *names = os_alloc(count * sizeof *names);
    struct repair_tree **order = os_alloc(count * sizeof(struct repair_tree *));
    release_old(repair);
    if (names == NULL || order == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    if (repair->failure == STATUS_OK) {
        make_names_unique(repair, order);
        make_ages_right(repair, super);
        write_catalog(repair, super, names);
    }
    os_free(names);
    os_free(order);
}
