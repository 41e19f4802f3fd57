/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was found of a lost range goes into the new tree, and what was not is noted: between two
 * stretches that are sure, each file's blocks that no extent has are lost, those of an old version
 * are doubtful, and of the inodes anything may be.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/share_salvage.h"

static const struct key root_key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};

/* ---- what is lost ---- */

static void add_loss(struct repair_share *s, const struct repair_loss *loss) {
    struct repair_array *losses = &s->tree->losses;
    struct repair_loss *last = losses->items;
    if (losses->count > 0) {
        last += losses->count - 1;
        if (last->inode == loss->inode && last->last == loss->last && loss->end != 0 &&
            last->end != 0 && last->end == loss->first && last->doubtful == loss->doubtful) {
            last->end = loss->end;
            return;
        }
    }
    struct repair_loss *added = repair_add(s->repair, losses, sizeof *added);
    if (added != NULL)
        *added = *loss;
}

void repair_lose_blocks(struct repair_share *s, uint64_t inode, uint64_t first, uint64_t end,
                        bool doubtful) {
    if (first < end && inode != 0)
        add_loss(s, &(struct repair_loss){first, end, doubtful, inode, inode});
}

/* The items of a file stand before its extents. */
void repair_lose_items(struct repair_share *s, const struct key *low, const struct key *high) {
    uint64_t first = MATH_MAX(low->inode, DISK_ROOT_INODE);
    uint64_t last = MATH_MIN(high->inode, DISK_INODE_MAX);
    if ((low->type == DISK_TYPE_EXTENT || low->type > DISK_TYPE_SYMLINK) &&
        low->inode >= DISK_ROOT_INODE)
        first++;
    if (high->inode == last && high->type <= DISK_TYPE_INODE)
        last--;
    if (key_compare(low, high) < 0 && first <= last)
        add_loss(s, &(struct repair_loss){.doubtful = true, .inode = first, .last = last});
}

static void close_gap(struct repair_share *s, uint64_t end) {
    if (s->gap_file != 0)
        repair_lose_blocks(s, s->gap_file, s->gap, end, false);
    s->gap_file = 0;
}

/* The file that what follows the key is missing of. */
static void open_gap(struct repair_share *s, const struct key *key) {
    s->open = *key;
    s->gap_file = key->inode;
    s->gap = 0;
    if (key->type > DISK_TYPE_EXTENT || key->type <= DISK_TYPE_INODE)
        s->gap_file = 0;
    if (key->type == DISK_TYPE_EXTENT)
        s->gap = s->file == key->inode ? MATH_MAX(key->offset, s->file_end) : key->offset;
}

/* What is not sure ends at the key. */
static void close_stretch(struct repair_share *s, const struct key *key) {
    bool same = s->gap_file == key->inode;
    if (same && key->type < DISK_TYPE_EXTENT && key->type > DISK_TYPE_INODE)
        s->gap_file = 0; /* its extents are sure */
    else if (!same || key->type != DISK_TYPE_EXTENT)
        close_gap(s, UINT64_MAX);
    if (key->type == DISK_TYPE_EXTENT && s->gap_file == 0) { /* nothing was found of it */
        s->gap_file = key->inode;
        s->gap = 0;
    }
    if (key->type == DISK_TYPE_EXTENT)
        close_gap(s, key->offset);
    repair_lose_items(s, &s->open, key);
}

/* The last extent before the key may have covered its block. */
static void leave_sure(struct repair_share *s) {
    struct key next = repair_key_after(s->sure_last);
    s->is_sure = false;
    open_gap(s, &next);
}

/* Brings what is sure up to date for a piece with this key. */
static void step(struct repair_share *s, const struct key *key) {
    if (s->is_sure && key_compare(key, &s->sure_last) > 0)
        leave_sure(s);
}

static void enter_sure(struct repair_share *s, const struct repair_piece *piece) {
    if (s->is_sure && key_compare(&piece->last, &s->sure_last) <= 0)
        return;
    if (!s->is_sure)
        close_stretch(s, &piece->key);
    s->is_sure = true;
    s->sure_last = piece->last;
}

/* An item that is added where nothing is sure. */
static void note_item(struct repair_share *s, const struct repair_piece *piece) {
    if (s->is_sure)
        return;
    if (piece->key.inode != s->gap_file || piece->key.type == DISK_TYPE_INODE) {
        close_gap(s, UINT64_MAX);
        s->gap_file = piece->key.inode;
        s->gap = 0;
    }
    if (!repair_piece_is_extent(piece))
        return;
    uint64_t end = piece->key.offset + repair_piece_blocks(piece);
    repair_lose_blocks(s, s->gap_file, s->gap, piece->key.offset, false);
    if (!piece->certain)
        repair_lose_blocks(s, s->gap_file, piece->key.offset, end, true);
    s->gap = end;
}

/* ---- into the tree ---- */

static void emit_item(struct repair_share *s, const struct repair_piece *piece) {
    note_item(s, piece);
    s->begun = true;
    s->at = piece->key;
    s->has_root |= key_compare(&piece->key, &root_key) == 0;
    repair_loader_item(s->loader, &piece->key, piece->value, piece->length);
}

/* A share without a root directory does not open. */
static void make_root(struct repair_share *s) {
    char name[REPAIR_NAME_SIZE];
    le64 now = le64_make(os_wall_clock_ns());
    struct disk_inode inode = {.mode = le32_make(DISK_MODE_DIRECTORY | 0755u),
                               .links = le32_make(1),
                               .parent = le64_make(DISK_ROOT_INODE),
                               .modified_ns = now,
                               .changed_ns = now,
                               .accessed_ns = now,
                               .created_ns = now};
    struct repair_piece piece = {.kind = PIECE_ITEM, .key = root_key, .length = sizeof inode};
    memcpy(piece.value, &inode, sizeof inode);
    emit_item(s, &piece);
    repair_say(s->repair, "share %s: made its root directory anew",
               repair_name(s->repair, s->tree, name));
}

static void need_root(struct repair_share *s, const struct key *before) {
    if (!s->has_root && key_compare(&s->low, &root_key) <= 0 &&
        key_compare(&s->high, &root_key) > 0 && key_compare(before, &root_key) > 0)
        make_root(s);
}

static void claim_leaf(struct repair_share *s, const struct repair_piece *piece) {
    struct repair *repair = s->repair;
    if (!repair_read(repair, piece->root.block, repair->page))
        return;
    repair_set(repair->claimed, piece->root.block);
    for (unsigned i = 0; i < node_count(repair->page); i++) {
        struct item item = node_item(repair->page, i);
        const struct disk_extent *extent = item.value;
        for (uint64_t j = 0; item.key.type == DISK_TYPE_EXTENT && j < le32_get(extent->block_count);
             j++)
            repair_set(repair->claimed, le64_get(extent->block) + j);
    }
}

static void emit_tree(struct repair_share *s, const struct repair_piece *piece) {
    enter_sure(s, piece);
    if (!piece->shared)
        claim_leaf(s, piece);
    s->begun = true;
    s->at = piece->last;
    s->has_root |=
        key_compare(&piece->key, &root_key) <= 0 && key_compare(&piece->last, &root_key) >= 0;
    if (piece->file != 0) {
        s->file = piece->file;
        s->file_end = piece->end;
    }
    repair_loader_subtree(s->loader, &piece->key, &piece->root);
}

/* The blocks of the piece that nothing covers so far. False: none. */
static bool trim(struct repair_share *s, struct repair_piece *piece) {
    uint64_t count = repair_piece_blocks(piece);
    uint64_t skip = 0;
    if (s->file == piece->key.inode && s->file_end > piece->key.offset)
        skip = s->file_end - piece->key.offset;
    if (skip > 0 && piece->certain && !piece->shared)
        repair_lose_blocks(s, piece->key.inode, piece->key.offset,
                           piece->key.offset + MATH_MIN(skip, count), true);
    if (skip >= count)
        return false;
    repair_skip_front(piece, skip);
    count -= skip;
    if (key_compare(&piece->key, &s->behind) >= 0)
        return false;
    if (piece->key.inode == s->limit_file)
        count = MATH_MIN(count, s->limit - MATH_MIN(s->limit, piece->key.offset));
    struct disk_extent *extent = (struct disk_extent *)piece->value;
    extent->block_count = extent->stored_blocks = le32_make((uint32_t)count);
    piece->length = (uint16_t)(sizeof *extent + count * sizeof(le64));
    for (uint64_t i = 0; i < count && !piece->shared; i++)
        if (repair_bit(s->repair->claimed, le64_get(extent->block) + i))
            return false;
    return count > 0;
}

static void emit_extent(struct repair_share *s, struct repair_piece *piece) {
    if (!trim(s, piece))
        return;
    const struct disk_extent *extent = (const struct disk_extent *)piece->value;
    uint64_t count = repair_piece_blocks(piece);
    for (uint64_t i = 0; i < count; i++)
        repair_set(s->repair->claimed, le64_get(extent->block) + i);
    s->file = piece->key.inode;
    s->file_end = piece->key.offset + count;
    emit_item(s, piece);
}

static void emit_piece(struct repair_share *s, struct repair_piece *piece) {
    bool passed = s->begun && key_compare(&piece->key, &s->at) <= 0;
    if (passed && !(repair_piece_is_extent(piece) && s->at.type == DISK_TYPE_EXTENT &&
                    s->at.inode == piece->key.inode))
        return;
    need_root(s, &piece->key);
    step(s, &piece->key);
    if (piece->kind == PIECE_TREE)
        emit_tree(s, piece);
    else if (piece->kind == PIECE_SURE)
        enter_sure(s, piece);
    else if (repair_piece_is_extent(piece))
        emit_extent(s, piece);
    else
        emit_item(s, piece);
}

void repair_emit(struct repair_share *s) {
    struct repair_piece *pieces = s->pieces.items;
    repair_sort(pieces, s->pieces.count, sizeof *pieces, repair_piece_before);
    for (uint64_t i = 0; i < s->pieces.count && s->repair->failure == STATUS_OK; i++)
        emit_piece(s, &pieces[i]);
}

void repair_emit_begin(struct repair_share *s) {
    s->begun = s->has_root = s->is_sure = false;
    s->file = s->tree->settled_file;
    s->file_end = s->tree->settled;
    open_gap(s, &s->low);
    if (!repair_is_whole(s))
        return;
    s->gap_file = 0;
    s->is_sure = true;
    s->sure_last = s->high;
}

void repair_emit_end(struct repair_share *s) {
    struct key high = s->high;
    need_root(s, &high);
    step(s, &high);
    if (high.type == DISK_TYPE_EXTENT && !s->next_is_lost) /* what began before may reach behind */
        high.offset = s->limit_file == high.inode ? s->limit : UINT64_MAX;
    if (!s->is_sure)
        close_stretch(s, &high);
    s->tree->settled_file = s->file;
    s->tree->settled = s->file_end;
}
