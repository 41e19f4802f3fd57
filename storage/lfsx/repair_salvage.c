/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing back the items of a lost range from the leaves that the scan found.
 *
 * Leaves whose keys overlap are of different age and are looked at together, the newest first: what
 * lies between the first and the last key of a newer one is not taken from an older one. Of an old
 * version, a block counts if nothing else names it, the map calls it used, and its content is what
 * the version says. Most probably it was not written since; but its like may have been, elsewhere
 * in the lost range, so it is reported as doubtful.
 */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair_internal.h"
#include "storage/lfsx/values.h"

struct piece {
    struct key key;
    uint16_t length;
    bool doubtful;
    uint64_t value[(sizeof(struct disk_extent) + DISK_EXTENT_MAX * sizeof(le64)) / 8];
};

struct salvage {
    struct repair *repair;
    struct repair_dataset *dataset;
    const struct repair_range *range;
    struct repair_loader *loader;
    struct repair_array pieces;
    uint64_t at; /* block of the file up to which it is settled */
};

static bool is_in_range(const struct salvage *s, const struct key *key) {
    const struct node_bounds *bounds = &s->range->bounds;
    if (bounds->is_root)
        return true;
    return key_compare(key, &bounds->low) >= 0 &&
           (!bounds->has_high || key_compare(key, &bounds->high) < 0);
}

static void add_loss(struct salvage *s, uint64_t first, uint64_t end, bool doubtful) {
    if (first >= end)
        return;
    struct repair_loss *loss = repair_add(s->repair, &s->dataset->losses, sizeof *loss);
    if (loss != NULL)
        *loss = (struct repair_loss){first, end, doubtful};
}

/* Whether a block that an old version names may still be in its place. */
static bool is_likely(struct salvage *s, uint64_t block, uint64_t checksum) {
    struct repair *repair = s->repair;
    if (repair->known[block / DISK_REGION_BLOCKS] && !repair_bit(repair->old_used, block))
        return false;
    return repair_read(repair, block, repair->data) &&
           checksum_xxh64(repair->data, DISK_BLOCK_SIZE, 0) == checksum;
}

static void add_piece(struct salvage *s, const struct item *item, uint64_t first, uint64_t count,
                      bool doubtful) {
    const struct disk_extent *from = item->value;
    struct piece *piece = repair_add(s->repair, &s->pieces, sizeof *piece);
    if (piece == NULL)
        return;
    piece->key = item->key;
    piece->key.offset += first;
    piece->doubtful = doubtful;
    piece->length = (uint16_t)(sizeof *from + count * sizeof(le64));
    struct disk_extent *to = (struct disk_extent *)piece->value;
    *to = *from;
    to->block = le64_make(le64_get(from->block) + first);
    to->block_count = to->stored_blocks = le32_make((uint32_t)count);
    memcpy(to->checksums, from->checksums + first, count * sizeof(le64));
}

static void add_extent(struct salvage *s, const struct item *item, bool proven) {
    const struct disk_extent *extent = item->value;
    const struct node_bounds *bounds = &s->range->bounds;
    uint64_t count = le32_get(extent->block_count);
    if (!proven && !bounds->is_root && bounds->has_high)
        count = MATH_MIN(count, bounds->high.offset - item->key.offset);
    uint64_t start = 0;
    for (uint64_t i = 0; i <= count; i++) {
        uint64_t block = le64_get(extent->block) + i;
        if (i < count && !repair_bit(s->repair->claimed, block) &&
            (proven || is_likely(s, block, le64_get(extent->checksums[i]))))
            continue;
        if (i > start)
            add_piece(s, item, start, i - start, !proven);
        start = i + 1;
    }
}

static bool newer_covers(const struct repair_candidate *leaves, uint64_t count,
                         const struct repair_candidate *leaf, const struct key *key) {
    for (uint64_t i = 0; i < count; i++) {
        const struct repair_candidate *other = &leaves[i];
        bool newer =
            other->proven != leaf->proven ? other->proven : other->checkpoint > leaf->checkpoint;
        if (newer && other->pointer.level == 0 && key_compare(key, &other->first) >= 0 &&
            key_compare(key, &other->last) <= 0 && other->proven)
            return true;
    }
    return false;
}

static void add_leaf(struct salvage *s, const struct repair_candidate *leaves, uint64_t count,
                     const struct repair_candidate *leaf) {
    struct repair *repair = s->repair;
    if (!repair_read(repair, leaf->pointer.block, repair->page))
        return;
    for (unsigned i = 0; i < node_count(repair->page) && repair->failure == STATUS_OK; i++) {
        struct item item = node_item(repair->page, i);
        const char *why;
        if (item.key.type != DISK_TYPE_EXTENT || !is_in_range(s, &item.key) ||
            newer_covers(leaves, count, leaf, &item.key) ||
            value_validate(&item, &repair->label.geometry, leaf->owner, &why) != STATUS_OK)
            continue;
        add_extent(s, &item, leaf->proven);
    }
}

static void sort_pieces(struct piece *pieces, uint64_t count) {
    for (uint64_t gap = count / 2; gap > 0; gap /= 2)
        for (uint64_t i = gap; i < count; i++)
            for (uint64_t j = i; j >= gap && key_compare(&pieces[j].key, &pieces[j - gap].key) < 0;
                 j -= gap) {
                struct piece swapped = pieces[j];
                pieces[j] = pieces[j - gap];
                pieces[j - gap] = swapped;
            }
}

static void emit(struct salvage *s, const struct piece *piece) {
    const struct disk_extent *extent = (const struct disk_extent *)piece->value;
    uint64_t first = piece->key.offset;
    uint64_t count = le32_get(extent->block_count);
    if (first < s->at)
        return;
    for (uint64_t i = 0; i < count; i++)
        if (repair_bit(s->repair->claimed, le64_get(extent->block) + i))
            return;
    for (uint64_t i = 0; i < count; i++)
        repair_set(s->repair->claimed, le64_get(extent->block) + i);
    add_loss(s, s->at, first, false);
    add_loss(s, piece->doubtful ? first : first + count, first + count, true);
    s->at = first + count;
    s->dataset->data += count;
    s->dataset->file_end = MATH_MAX(s->dataset->file_end, s->at);
    repair_loader_item(s->loader, &piece->key, piece->value, piece->length);
}

static void emit_pieces(struct salvage *s) {
    struct piece *pieces = s->pieces.items;
    sort_pieces(pieces, s->pieces.count);
    for (uint64_t i = 0; i < s->pieces.count && s->repair->failure == STATUS_OK; i++)
        emit(s, &pieces[i]);
    s->pieces.count = 0;
}

/* The inode stands first in its tree and says what its first version said, but for times. */
static bool find_inode(struct salvage *s, struct disk_inode *inode) {
    const struct repair_candidate *all = s->repair->candidates.items;
    struct disk_node *page = s->repair->page;
    uint64_t checkpoint = 0;
    for (uint64_t i = 0; i < s->repair->candidates.count; i++) {
        if (all[i].owner != s->dataset->id || all[i].first.type != DISK_TYPE_INODE ||
            all[i].pointer.level != 0 || all[i].checkpoint < checkpoint ||
            !repair_read(s->repair, all[i].pointer.block, page))
            continue;
        struct item item = node_item(page, 0);
        const char *why;
        if (value_validate(&item, &s->repair->label.geometry, all[i].owner, &why) != STATUS_OK)
            continue;
        memcpy(inode, item.value, sizeof *inode);
        checkpoint = all[i].checkpoint;
    }
    return checkpoint != 0;
}

/* No version of the inode was found: the file ends where the last thing ends that is known. */
static void make_inode(struct salvage *s, struct disk_inode *inode) {
    const struct repair_candidate *all = s->repair->candidates.items;
    uint64_t end = MATH_MAX(s->dataset->file_end, 1);
    for (uint64_t i = 0; i < s->repair->candidates.count; i++)
        if (all[i].owner == s->dataset->id && all[i].last.type == DISK_TYPE_EXTENT)
            end = MATH_MAX(end, MATH_MIN(all[i].last.offset, 1ull << 49) + DISK_EXTENT_MAX);
    le64 now = le64_make(os_wall_clock_ns());
    *inode = (struct disk_inode){.mode = le32_make(DISK_MODE_REGULAR | 0600u),
                                 .links = le32_make(1),
                                 .size = le64_make(end * DISK_BLOCK_SIZE),
                                 .modified_ns = now,
                                 .changed_ns = now,
                                 .accessed_ns = now,
                                 .created_ns = now};
    add_loss(s, 0, UINT64_MAX, true);
    repair_say(s->repair, "volume %s: its size is lost; made it %llu bytes", s->dataset->name,
               (unsigned long long)(end * DISK_BLOCK_SIZE));
}

static void emit_inode(struct salvage *s) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    if (!is_in_range(s, &key) || s->dataset->size != 0 ||
        s->dataset->disk.state != DISK_DATASET_LIVE)
        return;
    struct disk_inode inode;
    if (!find_inode(s, &inode))
        make_inode(s, &inode);
    s->dataset->size = le64_get(inode.size);
    repair_loader_item(s->loader, &key, &inode, sizeof inode);
}

void repair_salvage(struct repair *repair, struct repair_dataset *dataset,
                    const struct repair_range *range, struct repair_loader *loader) {
    struct salvage s = {.repair = repair, .dataset = dataset, .range = range, .loader = loader};
    const struct node_bounds *bounds = &range->bounds;
    if (!bounds->is_root && bounds->low.type == DISK_TYPE_EXTENT)
        s.at = MATH_MAX(bounds->low.offset, dataset->settled);
    emit_inode(&s);
    const struct repair_candidate *all = repair->candidates.items;
    uint64_t count = repair->candidates.count;
    uint64_t i = 0;
    while (i < count && all[i].owner != dataset->id)
        i++;
    while (i < count && all[i].owner == dataset->id && repair->failure == STATUS_OK) {
        uint64_t end = i + 1;
        struct key last = all[i].last;
        for (; end < count && all[end].owner == dataset->id &&
               key_compare(&all[end].first, &last) <= 0;
             end++)
            if (key_compare(&last, &all[end].last) < 0)
                last = all[end].last;
        for (uint64_t j = i; j < end; j++)
            if (all[j].pointer.level == 0)
                add_leaf(&s, &all[i], end - i, &all[j]);
        emit_pieces(&s);
        i = end;
    }
    uint64_t end = !bounds->is_root && bounds->has_high ? bounds->high.offset : UINT64_MAX;
    add_loss(&s, s.at, end, false);
    dataset->settled = MATH_MAX(s.at, end);
    os_free(s.pieces.items);
}
