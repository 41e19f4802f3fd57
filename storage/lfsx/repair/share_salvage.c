/* SPDX-License-Identifier: Apache-2.0 */
/* The course of bringing back what a share's tree lost; the invariants stand in share_salvage.h. */
#include "storage/lfsx/repair/share_salvage.h"
#include "base/math.h"
#include "base/os.h"

static const struct key last_key = {UINT64_MAX, UINT64_MAX, UINT8_MAX};

static void mark_drop(struct repair_visitor *visitor, const struct item *item) {
    if (item->key.type == DISK_TYPE_DEAD)
        for (uint64_t i = 0; i < le64_get(((const struct disk_dead *)item->value)->count); i++)
            repair_set(visitor->repair->other, item->key.offset + i);
}

/* What the dataset dropped between its next older tree and this one. */
static void find_drops(struct repair_share *s) {
    struct repair *repair = s->repair;
    const struct repair_tree *head = repair_find_tree(repair, s->tree->id, REPAIR_HEAD);
    s->foreign = le64_get(head->disk.origin_epoch);
    s->eras_known = !head->dead_is_bad && !head->found;
    if (s->older == NULL || s->older->id != s->tree->id || !s->eras_known || !repair_other(repair))
        return;
    uint64_t end = repair_is_head(s->tree) ? DISK_EPOCH_MAX : s->tree->epoch;
    struct repair_visitor visitor = {.repair = repair,
                                     .id = head->id | DISK_OWNER_DEAD,
                                     .item = mark_drop,
                                     .range = {.low = {.inode = s->older->epoch << 32},
                                               .high = {.inode = end << 32},
                                               .has_high = true}};
    struct pointer dead = pointer_load(&head->disk.dead);
    if (dead.block != 0)
        repair_visit(&visitor, &dead);
    s->drops_known = true;
}

/* The dataset, its origin, and that one's. */
static void find_owners(struct repair_share *s) {
    uint64_t id = s->tree->id;
    while (id != 0) {
        struct repair_stream *stream = repair_add(s->repair, &s->streams, sizeof *stream);
        if (stream != NULL)
            stream->owner = id;
        const struct repair_tree *head = repair_find_tree(s->repair, id, REPAIR_HEAD);
        id = head == NULL ? 0 : le64_get(head->disk.origin);
    }
}

enum status repair_share_begin(struct repair *repair, struct repair_tree *tree,
                               struct repair_loader *loader) {
    struct repair_share *s = os_alloc_zeroed(sizeof *s);
    if (s == NULL) {
        repair_fail(repair, STATUS_NO_MEMORY);
        return repair->failure;
    }
    repair->share = s;
    s->repair = repair;
    s->tree = tree;
    s->loader = loader;
    s->birth = repair_birth(repair, tree);
    s->older = repair_older(repair, tree);
    if (s->older != NULL && repair_lookup_start(&s->lookup, repair, s->older) != STATUS_OK)
        return repair->failure;
    find_owners(s);
    find_drops(s);
    repair_find_own(s);
    if (repair->failure == STATUS_OK)
        s->complete = repair_share_is_complete(s);
    return repair->failure;
}

void repair_share_end(struct repair *repair) {
    struct repair_share *s = repair->share;
    if (s == NULL)
        return;
    repair->share = NULL;
    os_page_free(s->lookup.leaf, DISK_BLOCK_SIZE);
    os_free(s->own.items);
    os_free(s->streams.items);
    os_free(s->active.items);
    os_free(s->versions.items);
    os_free(s->pieces.items);
    os_free(s);
}

/* Extents of the range may reach up to what is whole behind it; another tree may have but the end
 * of one. */
static void note_rest(struct repair_visitor *visitor, const struct item *item) {
    struct repair_share *s = visitor->context;
    if (item->key.type == DISK_TYPE_EXTENT) {
        s->limit_file = item->key.inode;
        s->limit = item->key.offset;
    }
    visitor->ended = true;
}

static void find_limit(struct repair_share *s) {
    const struct node_bounds *bounds = &s->range->bounds;
    s->limit_file = s->limit = 0;
    s->behind = s->high;
    s->next_is_lost = false;
    if (bounds->is_root || !bounds->has_high)
        return;
    struct repair_visitor visitor = {.repair = s->repair,
                                     .id = s->tree->id,
                                     .item = note_rest,
                                     .range = {.low = bounds->high},
                                     .context = s};
    repair_visit(&visitor, &s->tree->root);
    enum repair_next next = repair_next(s->repair, s->tree, &s->high);
    s->next_is_lost = next == REPAIR_NEXT_LOST_LEAF;
    if (next == REPAIR_NEXT_INNER || s->high.type != DISK_TYPE_EXTENT)
        return;
    s->behind.offset += DISK_EXTENT_MAX - 1;
    if (s->limit_file == s->high.inode)
        s->behind.offset = MATH_MIN(s->behind.offset, s->limit);
}

void repair_share_salvage(struct repair *repair, const struct repair_range *range) {
    struct repair_share *s = repair->share;
    const struct node_bounds *bounds = &range->bounds;
    s->range = range;
    s->low = bounds->is_root ? (struct key){0} : bounds->low;
    s->high = !bounds->is_root && bounds->has_high ? bounds->high : last_key;
    find_limit(s);
    repair_emit_begin(s);
    for (s->from = s->low; key_compare(&s->from, &s->high) < 0 && repair->failure == STATUS_OK;
         s->from = s->until) {
        s->until = s->high;
        repair_limit_window(s);
        repair_regain(s);
        repair_read_versions(s);
        repair_emit(s);
    }
    repair_emit_end(s);
}
