/* SPDX-License-Identifier: Apache-2.0 */
/* What other trees prove to be in a share's tree: the next older one, and those that came from it.
 */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/repair/share_salvage.h"

#define WINDOW_PIECES 1024u

static void end_if_many(struct repair_visitor *visitor) {
    struct repair_share *s = visitor->context;
    const struct repair_piece *pieces = s->pieces.items;
    if (s->pieces.count - s->source_first < WINDOW_PIECES)
        return;
    struct key until = repair_key_after(pieces[s->pieces.count - 1].key);
    if (key_compare(&until, &s->until) >= 0)
        return;
    visitor->ended = true;
    s->until = until;
}

struct repair_piece *repair_add_piece(struct repair_share *s, const struct item *item,
                                      uint64_t first, uint64_t count) {
    struct repair_piece *piece = repair_add(s->repair, &s->pieces, sizeof *piece);
    if (piece == NULL)
        return NULL;
    piece->kind = PIECE_ITEM;
    piece->key = item->key;
    piece->length = item->length;
    if (item->key.type != DISK_TYPE_EXTENT) {
        memcpy(piece->value, item->value, item->length);
        return piece;
    }
    const struct disk_extent *from = item->value;
    struct disk_extent *to = (struct disk_extent *)piece->value;
    piece->key.offset += first;
    piece->length = (uint16_t)(sizeof *from + count * sizeof(le64));
    *to = *from;
    to->block = le64_make(le64_get(from->block) + first);
    to->block_count = to->stored_blocks = le32_make((uint32_t)count);
    memcpy(to->checksums, from->checksums + first, count * sizeof(le64));
    return piece;
}

void repair_skip_front(struct repair_piece *piece, uint64_t skip) {
    piece->length = repair_extent_skip((struct disk_extent *)piece->value, skip);
    piece->key.offset += skip;
}

/* Extents that both trees have. */
static void regain_item(struct repair_visitor *visitor, const struct item *item) {
    struct repair_share *s = visitor->context;
    const struct disk_extent *extent = item->value;
    if (item->key.type != DISK_TYPE_EXTENT || le64_get(extent->birth) > s->birth ||
        (s->from_older && (!s->drops_known || le64_get(extent->birth) <= s->foreign)))
        return;
    uint64_t count = le32_get(extent->block_count);
    uint64_t start = item->key.inode == s->from.inode && s->from.type == DISK_TYPE_EXTENT
                         ? s->from.offset - MATH_MIN(s->from.offset, item->key.offset)
                         : 0;
    for (uint64_t i = start; i <= count; i++) {
        if (i < count &&
            !(s->from_older && repair_bit(s->repair->other, le64_get(extent->block) + i)))
            continue;
        struct repair_piece *piece = i > start ? repair_add_piece(s, item, start, i - start) : NULL;
        if (piece != NULL)
            piece->certain = piece->shared = true;
        start = i + 1;
    }
    end_if_many(visitor);
}

/* Finds the last item of a subtree, whose root is in its page. */
static bool find_last(struct repair_share *s, struct repair_piece *piece) {
    struct repair *repair = s->repair;
    struct node_bounds anything = {.is_root = true};
    struct pointer pointer = piece->root;
    while (pointer.level > 0) {
        const struct disk_node *node = repair->path[pointer.level];
        pointer = node_child(node, node_count(node) - 1);
        if (!repair_node(repair, &pointer, repair_owner(repair, s->source->id, pointer.birth),
                         &anything))
            return false;
    }
    const struct disk_node *leaf = repair->path[0];
    struct item item = node_item(leaf, node_count(leaf) - 1);
    piece->last = item.key;
    if (item.key.type == DISK_TYPE_EXTENT) {
        piece->file = item.key.inode;
        piece->end =
            item.key.offset + le32_get(((const struct disk_extent *)item.value)->block_count);
    }
    return true;
}

/* Whether the node is one of this tree, too: then all that is below it is. */
static bool is_common(const struct repair_share *s, const struct pointer *pointer) {
    if (!s->from_older)
        return pointer->birth <= s->birth;
    return (pointer->birth > s->foreign || s->complete) && repair_is_older_common(s, pointer);
}

static void note_version(struct repair_share *s, const struct disk_node *leaf,
                         const struct pointer *pointer) {
    struct key last = node_key(leaf, node_count(leaf) - 1);
    struct key first = node_key(leaf, 0);
    if (key_compare(&last, &s->from) < 0 || key_compare(&first, &s->until) >= 0)
        return;
    struct repair_version version = {.pointer = *pointer,
                                     .owner = le64_get(leaf->owner),
                                     .checkpoint = le64_get(leaf->checkpoint),
                                     .first = first,
                                     .last = last,
                                     .kind = s->from_older ? VERSION_OLD : VERSION_YOUNGER};
    repair_add_version(s, &version);
}

static bool regain_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    struct repair_share *s = visitor->context;
    const struct disk_node *node = s->repair->path[pointer->level];
    if (node_count(node) == 0)
        return false;
    if (!is_common(s, pointer)) {
        if (pointer->level == 0)
            note_version(s, node, pointer);
        return true;
    }
    struct repair_piece piece = {.kind = PIECE_TREE,
                                 .key = node_key(node, 0),
                                 .root = *pointer,
                                 .certain = true,
                                 .shared = true};
    if (key_compare(&piece.key, &s->from) < 0 || key_compare(&piece.key, &s->until) >= 0 ||
        !find_last(s, &piece))
        return false;
    struct repair_piece *added = repair_add(s->repair, &s->pieces, sizeof *added);
    if (added != NULL)
        *added = piece;
    end_if_many(visitor);
    return false;
}

static void regain_from(struct repair_share *s, const struct repair_tree *tree, bool older) {
    s->source = tree;
    s->from_older = older;
    s->source_first = s->pieces.count;
    struct key low = s->from; /* less what may reach into the window */
    if (low.type == DISK_TYPE_EXTENT)
        low.offset -= MATH_MIN(low.offset, DISK_EXTENT_MAX - 1);
    struct repair_visitor visitor = {
        .repair = s->repair,
        .id = tree->id,
        .item = regain_item,
        .node = regain_node,
        .range = {.low = low, .high = repair_window_end(s), .has_high = true},
        .context = s};
    if (s->repair->failure == STATUS_OK)
        repair_visit(&visitor, &tree->root);
}

bool repair_piece_before(const void *a, const void *b) {
    const struct repair_piece *one = a;
    const struct repair_piece *two = b;
    int order = key_compare(&one->key, &two->key);
    if (order != 0)
        return order < 0;
    if (one->kind != two->kind)
        return one->kind < two->kind;
    if (one->kind == PIECE_TREE)
        return one->root.level > two->root.level;
    if (one->certain != two->certain)
        return one->certain;
    return one->rank < two->rank;
}

/* Several trees may say the same: keeps each key and each block of a file once. */
static void unite(struct repair_share *s) {
    struct repair_piece *pieces = s->pieces.items;
    struct key covered = {0};
    uint64_t file = 0;
    uint64_t end = 0;
    bool any = false;
    struct key end_of_extents = repair_window_end(s);
    s->proven = 0;
    repair_sort(pieces, s->pieces.count, sizeof *pieces, repair_piece_before);
    for (uint64_t i = 0; i < s->pieces.count; i++) {
        struct repair_piece *piece = &pieces[i];
        uint64_t done =
            piece->key.inode == file && end > piece->key.offset && repair_piece_is_extent(piece)
                ? end - piece->key.offset
                : 0;
        bool is_extent = repair_piece_is_extent(piece);
        if (key_compare(&piece->key, is_extent ? &end_of_extents : &s->until) >= 0 ||
            (any && key_compare(&piece->key, &covered) <= 0) ||
            (done > 0 && done >= repair_piece_blocks(piece)))
            continue;
        if (done > 0)
            repair_skip_front(piece, done);
        if (piece->kind == PIECE_TREE) {
            covered = piece->last;
            any = true;
        }
        if (piece->kind == PIECE_TREE && piece->file != 0) {
            file = piece->file;
            end = piece->end;
        } else if (piece->kind == PIECE_ITEM) {
            file = piece->key.inode;
            end = piece->key.offset + repair_piece_blocks(piece);
        }
        pieces[s->proven++] = *piece;
    }
    s->pieces.count = s->proven;
}

void repair_regain(struct repair_share *s) {
    const struct repair *repair = s->repair;
    const struct repair_tree *trees = repair->trees.items;
    s->pieces.count = 0;
    if (s->older != NULL)
        regain_from(s, s->older, true);
    if (!repair_is_head(s->tree)) {
        regain_from(s, repair_younger(repair, s->tree), false);
        for (uint64_t i = 0; i < repair->trees.count; i++)
            if (trees[i].id != s->tree->id && repair_older(repair, &trees[i]) == s->tree)
                regain_from(s, &trees[i], false);
    }
    unite(s);
}

/* The last piece at or before the key; NULL: there is none. */
static const struct repair_piece *find_piece(const struct repair_share *s, const struct key *key) {
    const struct repair_piece *pieces = s->pieces.items;
    uint64_t low = 0;
    uint64_t high = s->proven;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (key_compare(&pieces[middle].key, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &pieces[low - 1];
}

bool repair_is_in_subtree(const struct repair_share *s, const struct key *key) {
    const struct repair_piece *piece = find_piece(s, key);
    return piece != NULL && piece->kind == PIECE_TREE && key_compare(key, &piece->last) <= 0;
}

bool repair_is_regained(const struct repair_share *s, const struct key *key) {
    const struct repair_piece *piece = find_piece(s, key);
    if (piece == NULL || key->type != DISK_TYPE_EXTENT)
        return repair_is_in_subtree(s, key);
    if (piece->kind == PIECE_TREE)
        return key_compare(key, &piece->last) <= 0 ||
               (key->inode == piece->file && key->offset < piece->end);
    return key->inode == piece->key.inode &&
           key->offset < piece->key.offset + repair_piece_blocks(piece);
}
