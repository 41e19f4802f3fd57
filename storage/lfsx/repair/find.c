/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets and snapshots whose records are lost: what old versions of the catalog's leaves say of
 * them, and nodes that say whose they are.
 */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/repair_internal.h"

/* The newest of the found nodes that may be the root of the owner's tree; false: none may. */
static bool best_root(const struct repair *repair, uint64_t first, uint64_t end,
                      struct repair_candidate *best) {
    bool found = false;
    for (uint64_t i = first; i < end; i++) {
        struct repair_candidate c = repair_candidate(repair, i);
        if (!c.proven && repair_is_known(repair, c.pointer.block))
            continue; /* an old version */
        if (!found || repair_is_higher(&c, best))
            *best = c;
        found = true;
    }
    return found;
}

struct repair_tree *repair_add_dataset(struct repair *repair, uint64_t id) {
    struct repair_tree *head = repair_add_tree(repair, id, REPAIR_HEAD);
    if (head == NULL)
        return NULL;
    head->found = true;
    head->disk.id = le64_make(id);
    head->disk.kind = DISK_DATASET_VOLUME;
    os_random(head->disk.uuid, sizeof head->disk.uuid);
    head->disk.birth = le64_make(repair->super.epoch);
    format_text(head->name, sizeof head->name, "lost+found-%llu", (unsigned long long)id);
    return head;
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
        const char *why;
        if (item.key.type != DISK_TYPE_DATASET || item.key.inode != id ||
            value_validate(&item, &repair->label.geometry, DISK_OWNER_CATALOG, &why) != STATUS_OK)
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
    uint64_t first, end;
    repair_candidates_of(repair, DISK_OWNER_CATALOG, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        struct repair_candidate leaf = repair_candidate(repair, i);
        look_for_record(repair, &leaf, id, record);
    }
}

static bool is_root_directory(struct repair *repair, const struct repair_candidate *leaf) {
    static const struct key root = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    if (key_compare(&leaf->first, &root) != 0 ||
        !repair_read(repair, leaf->pointer.block, repair->page))
        return false;
    struct item item = node_item(repair->page, 0);
    const struct disk_inode *inode = item.value;
    return item.length == sizeof *inode &&
           (le32_get(inode->mode) & DISK_MODE_KIND) == DISK_MODE_DIRECTORY;
}

/* A volume has one inode, and nothing but extents with it. */
static uint8_t guess_kind(struct repair *repair, uint64_t id) {
    uint64_t first, end;
    repair_candidates_of(repair, id, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        struct repair_candidate c = repair_candidate(repair, i);
        bool extents = c.last.type == DISK_TYPE_EXTENT || c.last.type == DISK_TYPE_INODE;
        if (c.first.inode != DISK_ROOT_INODE || c.last.inode != DISK_ROOT_INODE || !extents ||
            is_root_directory(repair, &c))
            return DISK_DATASET_SHARE;
    }
    return DISK_DATASET_VOLUME;
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
    struct repair_tree *head = repair_add_dataset(repair, id);
    if (head == NULL)
        return;
    if (record.found) {
        head->disk = record.disk;
        head->found = !record.proven;
        if (record.proven || record.disk.state != DISK_DATASET_DELETING)
            memcpy(head->name, record.name, sizeof record.name);
    } else {
        head->disk.kind = guess_kind(repair, id);
    }
    head->root = record.proven || root == NULL ? said : root->pointer;
    repair_say(repair, "restored the record of dataset %llu, %s %s", (unsigned long long)id,
               head->disk.kind == DISK_DATASET_SHARE ? "share" : "volume", head->name);
}

static void restore_named(struct repair *repair, const struct repair_candidate *leaf) {
    struct disk_node *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    if (page != NULL && repair_read(repair, leaf->pointer.block, page))
        for (unsigned i = 0; i < node_count(page) && repair->failure == STATUS_OK; i++) {
            struct key key = node_key(page, i);
            if (key.type == DISK_TYPE_DATASET && key.inode >= DISK_FIRST_DATASET &&
                repair_find_tree(repair, key.inode, REPAIR_HEAD) == NULL)
                restore(repair, key.inode, NULL);
        }
    os_page_free(page, DISK_BLOCK_SIZE);
}

static bool has_clone(const struct repair *repair, const struct key *key) {
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (repair_is_head(&trees[i]) && le64_get(trees[i].disk.origin) == key->inode &&
            le64_get(trees[i].disk.origin_epoch) == key->offset)
            return true;
    return false;
}

/* Whether something else stands in the block by now. */
static bool is_other_node(const struct repair *repair, uint64_t block) {
    for (uint64_t i = 0; i < repair_candidate_count(repair); i++)
        if (repair_candidate(repair, i).pointer.block == block)
            return true;
    return repair_bit(repair->claimed, block);
}

/* Whether the tree that an old record names is still there, if only with a damaged root. */
static bool root_is_there(struct repair *repair, const struct item *item) {
    const struct disk_snapshot *disk = item->value;
    struct pointer root = pointer_load(&disk->root);
    struct node_bounds everything = {.is_root = true};
    if (has_clone(repair, &item->key))
        return true;
    if (repair_is_known(repair, root.block) && !repair_bit(repair->old_used, root.block))
        return false;
    return repair_node(repair, &root, repair_owner(repair, item->key.inode, root.birth),
                       &everything) ||
           !is_other_node(repair, root.block);
}

static void restore_snapshot(struct repair *repair, const struct repair_candidate *leaf,
                             const struct item *item) {
    const struct disk_snapshot *disk = item->value;
    struct repair_tree *tree = repair_find_tree(repair, item->key.inode, item->key.offset);
    bool newer = tree != NULL && tree->found && leaf->checkpoint > tree->nodes;
    if (repair_find_tree(repair, item->key.inode, REPAIR_HEAD) == NULL ||
        (tree != NULL && !newer) || item->key.offset >= repair->super.epoch ||
        (!leaf->proven && disk->state == DISK_SNAPSHOT_LIVE && !root_is_there(repair, item)))
        return;
    if (tree == NULL)
        tree = repair_add_tree(repair, item->key.inode, item->key.offset);
    if (tree == NULL)
        return;
    tree->snapshot = *disk;
    tree->root = pointer_load(&disk->root);
    tree->found = !leaf->proven;
    tree->nodes = leaf->checkpoint; /* until the trees are walked: how new the record is */
    memset(tree->name, 0, sizeof tree->name);
    memcpy(tree->name, disk->name, disk->name_length);
}

static void restore_schedule(struct repair *repair, const struct item *item) {
    const struct repair_schedule *schedules = repair->schedules.items;
    for (uint64_t i = 0; i < repair->schedules.count; i++)
        if (schedules[i].id == item->key.inode)
            return;
    if (repair_find_tree(repair, item->key.inode, REPAIR_HEAD) == NULL)
        return;
    struct repair_schedule *schedule = repair_add(repair, &repair->schedules, sizeof *schedule);
    if (schedule == NULL)
        return;
    schedule->id = item->key.inode;
    schedule->length = item->length;
    memcpy(schedule->value, item->value, item->length);
}

static void restore_rest(struct repair *repair, const struct repair_candidate *leaf) {
    struct disk_node *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        repair_fail(repair, STATUS_NO_MEMORY);
    if (page != NULL && repair_read(repair, leaf->pointer.block, page))
        for (unsigned i = 0; i < node_count(page) && repair->failure == STATUS_OK; i++) {
            struct item item = node_item(page, i);
            const char *why;
            if (value_validate(&item, &repair->label.geometry, DISK_OWNER_CATALOG, &why) !=
                STATUS_OK)
                continue;
            if (item.key.type == DISK_TYPE_SNAPSHOT)
                restore_snapshot(repair, leaf, &item);
            if (item.key.type == DISK_TYPE_SCHEDULE)
                restore_schedule(repair, &item);
        }
    os_page_free(page, DISK_BLOCK_SIZE);
}

/* Current leaves of the tree were found that its root does not lead to, or the map could not tell:
 * then what is missing is not known. */
static void doubt(struct repair *repair, struct repair_tree *tree) {
    uint64_t first, end;
    bool doubtful = false;
    repair_candidates_of(repair, tree->id, &first, &end);
    for (uint64_t i = first; i < end && !doubtful; i++) {
        struct repair_candidate c = repair_candidate(repair, i);
        doubtful = c.proven && c.pointer.level == 0 && c.era == REPAIR_HEAD &&
                   !repair_bit(repair->claimed, c.pointer.block);
    }
    for (uint64_t i = 0; i < repair->label.geometry.regions; i++)
        doubtful = doubtful || !spill_bit(repair->known, i);
    if (doubtful)
        repair_lose(repair, tree, 0, UINT64_MAX, true);
}

void repair_doubt_found(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count && repair->failure == STATUS_OK; i++)
        if (trees[i].found && !repair_is_gone(&trees[i]))
            doubt(repair, &trees[i]);
}

static void restore_unnamed(struct repair *repair) {
    uint64_t count = repair_candidate_count(repair);
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK;) {
        uint64_t owner = repair_candidate(repair, i).owner;
        uint64_t first, end;
        struct repair_candidate root = {0};
        repair_candidates_of(repair, owner, &first, &end);
        if (owner != DISK_OWNER_CATALOG && repair_find_tree(repair, owner, REPAIR_HEAD) == NULL &&
            best_root(repair, first, end, &root))
            restore(repair, owner, &root);
        i = MATH_MAX(end, i + 1); /* a failure finds nothing */
    }
}

void repair_find_datasets(struct repair *repair) {
    uint64_t first, end;
    restore_unnamed(repair);
    repair_candidates_of(repair, DISK_OWNER_CATALOG, &first, &end);
    for (uint64_t i = first; i < end && repair->failure == STATUS_OK; i++) {
        struct repair_candidate leaf = repair_candidate(repair, i);
        restore_named(repair, &leaf);
    }
    for (uint64_t i = first; i < end && repair->failure == STATUS_OK; i++) {
        struct repair_candidate leaf = repair_candidate(repair, i);
        restore_rest(repair, &leaf);
    }
}
