/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clones that began as a snapshot of which there is no record any more. What a clone had from it
 * carries the origin's number, and has nobody else who owns it; so the snapshot comes back, and
 * with it the origin, if that is gone, too.
 *
 * Its root is known if a younger tree, or the clone, never changed what it began with. Else it is
 * the newest node that belongs to it and that nothing readable leads to. If there is none either,
 * nothing has changed since the next older snapshot. A root that does not lead to all that younger
 * trees have from it is not the right one, and taken for lost: then what others have from the tree
 * is put together again.
 */
#include "base/format.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

static struct repair_tree *origin_of(const struct repair *repair, const struct repair_tree *clone) {
    return repair_find_tree(repair, le64_get(clone->disk.origin),
                            le64_get(clone->disk.origin_epoch));
}

static bool is_orphan(const struct repair *repair, const struct repair_tree *tree) {
    if (!repair_is_head(tree) || le64_get(tree->disk.origin) == 0 ||
        tree->disk.state == DISK_DATASET_DELETING)
        return false;
    const struct repair_tree *head =
        repair_find_tree(repair, le64_get(tree->disk.origin), REPAIR_HEAD);
    const struct repair_tree *snapshot = origin_of(repair, tree);
    return head == NULL || head->disk.state == DISK_DATASET_DELETING || snapshot == NULL ||
           repair_is_gone(snapshot);
}

bool repair_has_orphans(const struct repair *repair) {
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (is_orphan(repair, &trees[i]))
            return true;
    return false;
}

/* A tree that has the root of the snapshot still, or what is left of it: NULL, none. */
static const struct repair_tree *heir(const struct repair *repair, uint64_t id, uint64_t epoch) {
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        const struct repair_tree *tree = &trees[i];
        const struct repair_tree *head = repair_find_tree(repair, tree->id, REPAIR_HEAD);
        bool younger = tree->id == id && tree->epoch > epoch;
        bool clone = head != NULL && le64_get(head->disk.origin) == id &&
                     le64_get(head->disk.origin_epoch) == epoch;
        if ((younger || clone) && !repair_is_gone(tree) && tree->root.block != 0 &&
            tree->root.birth <= epoch)
            return tree;
    }
    return NULL;
}

/* The newest node of the snapshot's tree that is not the next older one's; false: none. */
static bool newest_node(const struct repair *repair, uint64_t id, uint64_t epoch, uint64_t since,
                        struct repair_candidate *best) {
    bool found = false;
    for (uint64_t i = 0; i < repair_candidate_count(repair); i++) {
        struct repair_candidate c = repair_candidate(repair, i);
        if (c.pointer.birth > epoch || c.pointer.birth <= since ||
            c.owner != repair_owner(repair, id, c.pointer.birth) ||
            (!c.proven && repair_is_known(repair, c.pointer.block)))
            continue;
        if (!found || repair_is_higher(&c, best))
            *best = c;
        found = true;
    }
    return found;
}

static struct pointer root_of(const struct repair *repair, struct repair_tree *tree) {
    const struct repair_tree *other = heir(repair, tree->id, tree->epoch);
    if (other != NULL)
        return other->root;
    tree->guessed = true;
    const struct repair_tree *older = repair_older(repair, tree);
    struct repair_candidate node = {0};
    if (newest_node(repair, tree->id, tree->epoch, older == NULL ? 0 : older->epoch, &node))
        return node.pointer;
    return older == NULL ? (struct pointer){0} : older->root;
}

static void restore_dataset(struct repair *repair, uint64_t id, uint8_t kind) {
    struct repair_tree *head = repair_find_tree(repair, id, REPAIR_HEAD);
    if (head == NULL)
        head = repair_add_dataset(repair, id);
    else if (head->disk.state != DISK_DATASET_DELETING)
        return;
    if (head == NULL)
        return;
    if (head->root.block == 0)
        head->disk.kind = kind;
    head->disk.state = DISK_DATASET_LIVE;
    head->found = true;
    head->in_share = head->disk.kind == DISK_DATASET_SHARE;
    format_text(head->name, sizeof head->name, "lost+found-%llu", (unsigned long long)id);
    repair_lose(repair, head, 0, UINT64_MAX, true);
    repair_say(repair, "restored dataset %llu, of which there is a clone, as %s",
               (unsigned long long)id, head->name);
}

static void restore_snapshot(struct repair *repair, uint64_t id, uint64_t epoch) {
    struct repair_tree *tree = repair_find_tree(repair, id, epoch);
    if (tree != NULL && !repair_is_gone(tree))
        return;
    if (tree == NULL)
        tree = repair_add_tree(repair, id, epoch);
    if (tree == NULL)
        return;
    tree->found = true;
    tree->in_share = repair_find_tree(repair, id, REPAIR_HEAD)->in_share;
    tree->snapshot = (struct disk_snapshot){.created_ns = le64_make(os_wall_clock_ns()),
                                            .state = DISK_SNAPSHOT_LIVE};
    os_random(tree->snapshot.uuid, sizeof tree->snapshot.uuid);
    format_text(tree->name, sizeof tree->name, "lost+found-%llu", (unsigned long long)epoch);
    tree->root = root_of(repair, tree);
    repair_lose(repair, tree, 0, UINT64_MAX, true);
    char name[REPAIR_NAME_SIZE];
    repair_say(repair, "restored snapshot %s, which a clone began as",
               repair_name(repair, tree, name));
}

bool repair_doubt_origins(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    bool any = false;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        if (!trees[i].guessed || !trees[i].is_short)
            continue;
        trees[i].guessed = false;
        trees[i].root = (struct pointer){0};
        any = true;
    }
    return any;
}

void repair_find_origins(struct repair *repair) {
    for (uint64_t i = 0; i < repair->trees.count && repair->failure == STATUS_OK;) {
        const struct repair_tree *clone = (const struct repair_tree *)repair->trees.items + i;
        if (!is_orphan(repair, clone)) {
            i++;
            continue;
        }
        uint64_t id = le64_get(clone->disk.origin);
        uint64_t epoch = le64_get(clone->disk.origin_epoch);
        restore_dataset(repair, id, clone->disk.kind);
        if (repair->failure == STATUS_OK)
            restore_snapshot(repair, id, epoch);
        i = 0; /* the trees have moved, and the origin may be an orphan itself */
    }
}
