/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing back the items of a lost range.
 *
 * What a younger tree of the dataset, or of a clone, has and is as old as this tree was here, too,
 * at the same place of the file: blocks do not move. So was what the next older tree has and, by
 * the dead tree, was not dropped after it. This is certain, and comes first. Subtrees that a
 * younger tree has from this one stay nodes of both, or it would have what this one has not.
 *
 * The rest is looked for in leaves that the scan found. One that is in use and was not dropped
 * before this tree is its own, and so is what it says. Of an old version, a block counts if nothing
 * else names it, the map calls it used, and its content is what the version says. Most probably it
 * was not written since; but its like may have been, elsewhere in the lost range, so it is reported
 * as doubtful. Nothing counts that would have to be in the next older tree, and is not.
 *
 * The range is worked through in windows, so that not all of it must be in memory.
 */
#include "base/checksum.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/repair_internal.h"

#define WINDOW_PIECES 2048u
#define WINDOW_LEAVES 64u

/* An extent, or a subtree. */
struct piece {
    struct key key;
    bool is_tree;
    struct pointer root; /* of a subtree, */
    uint64_t end;        /* and the block behind its last extent */
    uint16_t length;
    bool doubtful;
    bool shared; /* another tree has the blocks, too */
    uint64_t value[(sizeof(struct disk_extent) + DISK_EXTENT_MAX * sizeof(le64)) / 8];
};

/* Candidates of one owner of the tree's nodes; those before `at` were passed. */
struct stream {
    uint64_t first, at, end;
};

struct salvage {
    struct repair *repair;
    struct repair_tree *tree;
    const struct repair_range *range;
    struct repair_loader *loader;
    uint64_t birth;              /* nothing of the tree is younger */
    uint64_t high;               /* the range's keys end there, */
    uint64_t first, end;         /* and these are the blocks of the file that it may have, */
    uint64_t behind;             /* in extents that begin before this one */
    struct repair_lookup *older; /* NULL: there is no older tree */
    uint64_t foreign; /* what was born then or before is the origin's, and drops do not know it */
    bool eras_known;  /* the dead tree says when which leaf was dropped */
    bool drops_known; /* repair->other has what was dropped between that one and this one */
    const struct repair_tree *source; /* who is asked what it says, */
    bool from_older;                  /* which is the older one */
    struct repair_array pieces;
    struct repair_array streams; /* struct stream */
    struct repair_array leaves;  /* struct repair_candidate, that may say something of the window */
    uint64_t certain;            /* pieces of other trees among them, which come first, sorted */
    uint64_t from, until;        /* the window */
    uint64_t at;                 /* block of the file up to which it is settled */
};

static uint64_t piece_end(const struct piece *piece) {
    const struct disk_extent *extent = (const struct disk_extent *)piece->value;
    return piece->is_tree ? piece->end : piece->key.offset + le32_get(extent->block_count);
}

/* An inode stands before the first block. */
static uint64_t piece_first(const struct piece *piece) {
    return piece->key.type == DISK_TYPE_EXTENT ? piece->key.offset : 0;
}

static struct piece *add_piece(struct salvage *s, const struct item *item, uint64_t first,
                               uint64_t count) {
    const struct disk_extent *from = item->value;
    struct piece *piece = repair_add(s->repair, &s->pieces, sizeof *piece);
    if (piece == NULL)
        return NULL;
    piece->key = item->key;
    piece->key.offset += first;
    piece->length = (uint16_t)(sizeof *from + count * sizeof(le64));
    struct disk_extent *to = (struct disk_extent *)piece->value;
    *to = *from;
    to->block = le64_make(le64_get(from->block) + first);
    to->block_count = to->stored_blocks = le32_make((uint32_t)count);
    memcpy(to->checksums, from->checksums + first, count * sizeof(le64));
    return piece;
}

uint16_t repair_extent_skip(struct disk_extent *extent, uint64_t skip) {
    uint64_t count = le32_get(extent->block_count) - skip;
    memmove(extent->checksums, extent->checksums + skip, count * sizeof(le64));
    extent->block = le64_make(le64_get(extent->block) + skip);
    extent->block_count = extent->stored_blocks = le32_make((uint32_t)count);
    return (uint16_t)(sizeof *extent + count * sizeof(le64));
}

/* Takes blocks off its front, not all. */
static void skip_front(struct piece *piece, uint64_t skip) {
    piece->length = repair_extent_skip((struct disk_extent *)piece->value, skip);
    piece->key.offset += skip;
}

/* ---- what other trees say ---- */

static void regain(struct repair_visitor *visitor, const struct item *item) {
    struct salvage *s = visitor->context;
    const struct disk_extent *extent = item->value;
    if (item->key.type != DISK_TYPE_EXTENT || le64_get(extent->birth) > s->birth ||
        (s->from_older && le64_get(extent->birth) <= s->foreign))
        return;
    uint64_t count = le32_get(extent->block_count);
    uint64_t start = s->from - MATH_MIN(s->from, item->key.offset);
    for (uint64_t i = start; i <= count; i++) {
        if (i < count &&
            !(s->from_older && repair_bit(s->repair->other, le64_get(extent->block) + i)))
            continue;
        struct piece *piece = i > start ? add_piece(s, item, start, i - start) : NULL;
        if (piece != NULL)
            piece->shared = true;
        start = i + 1;
    }
    visitor->ended = s->pieces.count - s->certain >= WINDOW_PIECES;
}

/* The block behind the last extent of a subtree; its root is in its page. */
static uint64_t end_of_tree(struct salvage *s, const struct repair_tree *tree,
                            struct pointer pointer) {
    struct repair *repair = s->repair;
    struct node_bounds anything = {.is_root = true};
    for (;;) {
        const struct disk_node *node = repair->path[pointer.level];
        struct item item = node_item(node, node_count(node) - 1);
        if (pointer.level == 0 && item.key.type != DISK_TYPE_EXTENT)
            return 0;
        if (pointer.level == 0)
            return item.key.offset +
                   le32_get(((const struct disk_extent *)item.value)->block_count);
        pointer = node_child(node, node_count(node) - 1);
        if (!repair_node(repair, &pointer, repair_owner(repair, tree->id, pointer.birth),
                         &anything))
            return UINT64_MAX;
    }
}

/* Whether the inode is in the range. */
static bool has_inode(const struct salvage *s) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    const struct node_bounds *bounds = &s->range->bounds;
    return bounds->is_root || key_compare(&key, &bounds->low) >= 0;
}

/* Where a window begins, or what reaches into it. */
static struct key first_key(const struct salvage *s, uint64_t offset) {
    bool with_inode = s->from == 0 && has_inode(s);
    return (struct key){DISK_ROOT_INODE, offset, with_inode ? DISK_TYPE_INODE : DISK_TYPE_EXTENT};
}

/* A subtree of a younger tree that is as old as this one. */
static bool regain_tree(struct repair_visitor *visitor, const struct pointer *pointer) {
    struct salvage *s = visitor->context;
    if (s->from_older || pointer->birth > s->birth)
        return true;
    const struct disk_node *node = s->repair->path[pointer->level];
    struct key key = node_count(node) == 0 ? visitor->range.high : node_key(node, 0);
    struct key low = first_key(s, s->from);
    if (key_compare(&key, &low) < 0 || key_compare(&key, &visitor->range.high) >= 0)
        return false;
    uint64_t end = end_of_tree(s, s->source, *pointer);
    struct piece *piece =
        end == UINT64_MAX ? NULL : repair_add(s->repair, &s->pieces, sizeof *piece);
    if (piece == NULL)
        return false;
    piece->key = key;
    piece->is_tree = piece->shared = true;
    piece->root = *pointer;
    piece->end = end;
    visitor->ended = s->pieces.count - s->certain >= WINDOW_PIECES;
    return false;
}

/* Of subtrees inside of each other the outer one counts. */
static bool piece_before(const void *a, const void *b) {
    const struct piece *one = a;
    const struct piece *two = b;
    int order = key_compare(&one->key, &two->key);
    if (order != 0 || one->is_tree != two->is_tree)
        return order != 0 ? order < 0 : one->is_tree;
    return one->is_tree && one->root.level > two->root.level;
}

/* All of the window that the tree has; the window ends earlier if that is much. What reaches into
 * it from before counts as well: this tree may have a part of it that begins here, and the range
 * before this one, if it was lost, too, took no more of it than could be its own. */
static void regain_from(struct salvage *s, const struct repair_tree *tree) {
    s->certain = s->pieces.count;
    s->source = tree;
    uint64_t reach = s->from - MATH_MIN(s->from, DISK_EXTENT_MAX - 1);
    struct repair_visitor visitor = {
        .repair = s->repair,
        .id = tree->id,
        .item = regain,
        .node = regain_tree,
        .range = {.low = first_key(s, reach),
                  .high = {DISK_ROOT_INODE, s->until, DISK_TYPE_EXTENT},
                  .has_high = true},
        .context = s};
    repair_visit(&visitor, &tree->root);
    const struct piece *pieces = s->pieces.items;
    if (visitor.ended)
        s->until = piece_first(&pieces[s->pieces.count - 1]) + 1;
}

/* The next older tree; the next younger one and the clones of a snapshot, which are built already.
 * Several may say the same. */
static void regain_window(struct salvage *s) {
    const struct repair_tree *trees = s->repair->trees.items;
    s->pieces.count = 0;
    s->from_older = s->drops_known;
    if (s->drops_known)
        regain_from(s, s->older->tree);
    s->from_older = false;
    if (!repair_is_head(s->tree)) {
        regain_from(s, repair_younger(s->repair, s->tree));
        for (uint64_t i = 0; i < s->repair->trees.count; i++)
            if (trees[i].id != s->tree->id && repair_older(s->repair, &trees[i]) == s->tree)
                regain_from(s, &trees[i]);
    }
    repair_sort(s->pieces.items, s->pieces.count, sizeof(struct piece), piece_before);
    struct piece *pieces = s->pieces.items;
    s->certain = 0;
    uint64_t end = 0;
    for (uint64_t i = 0; i < s->pieces.count; i++) {
        bool overlaps = piece_first(&pieces[i]) < end;
        bool with_inode = pieces[i].key.type == DISK_TYPE_INODE && s->certain == 0;
        if ((piece_end(&pieces[i]) <= end && !with_inode) || piece_first(&pieces[i]) >= s->until ||
            (overlaps && pieces[i].is_tree))
            continue;
        if (overlaps)
            skip_front(&pieces[i], end - pieces[i].key.offset);
        end = piece_end(&pieces[i]);
        pieces[s->certain++] = pieces[i];
    }
    s->pieces.count = s->certain;
}

static bool is_regained(const struct salvage *s, uint64_t offset) {
    const struct piece *pieces = s->pieces.items;
    uint64_t low = 0;
    uint64_t high = s->certain;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (piece_end(&pieces[middle]) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->certain && piece_first(&pieces[low]) <= offset;
}

/* ---- what leaves say that the scan found ---- */

/* Whether the leaf is the tree's own, and the current one. When a clone dropped what it had from
 * its origin, nobody knows. */
static bool is_own(const struct salvage *s, const struct repair_candidate *leaf) {
    return leaf->proven && leaf->owner == s->tree->id && s->eras_known &&
           leaf->pointer.birth <= s->birth && leaf->era >= s->tree->epoch;
}

static bool is_candidate(const struct salvage *s, const struct repair_candidate *leaf) {
    return leaf->pointer.level == 0 &&
           leaf->owner == repair_owner(s->repair, s->tree->id, leaf->pointer.birth);
}

static bool newer_covers(const struct salvage *s, const struct repair_candidate *leaf,
                         const struct key *key) {
    const struct repair_candidate *all = s->leaves.items;
    bool own = is_own(s, leaf);
    for (uint64_t i = 0; i < s->leaves.count; i++)
        if (is_own(s, &all[i]) && (!own || all[i].checkpoint > leaf->checkpoint) &&
            key_compare(key, &all[i].first) >= 0 && key_compare(key, &all[i].last) <= 0)
            return true;
    return false;
}

/* Whether a block that an old version names may still be in its place. */
static bool is_likely(struct salvage *s, uint64_t block, uint64_t checksum) {
    struct repair *repair = s->repair;
    if (repair_bit(repair->keep, block) || /* the journal names it: it was free */
        (repair_is_known(repair, block) && !repair_bit(repair->old_used, block)))
        return false;
    return repair_read(repair, block, repair->data) &&
           checksum_xxh64(repair->data, DISK_BLOCK_SIZE, 0) == checksum;
}

/* Whether the tree may have this block; *shared: the older one has it. */
static bool may_have(struct salvage *s, const struct item *item, uint64_t index, bool own,
                     bool *shared) {
    const struct disk_extent *extent = item->value;
    uint64_t offset = item->key.offset + index;
    uint64_t block = le64_get(extent->block) + index;
    uint64_t checksum = le64_get(extent->checksums[index]);
    *shared = false;
    if (offset < s->from || offset >= s->until || is_regained(s, offset))
        return false;
    if (s->older != NULL && le64_get(extent->birth) <= s->tree->since) {
        struct repair_place place = repair_lookup(s->older, DISK_ROOT_INODE, offset);
        *shared = place.content == REPAIR_DATA;
        bool known = s->drops_known && le64_get(extent->birth) > s->foreign;
        if (place.content == REPAIR_HOLE || (*shared && (place.block != block || known)))
            return false;
    }
    if (!*shared && repair_bit(s->repair->claimed, block))
        return false;
    return own || is_likely(s, block, checksum);
}

static void add_extent(struct salvage *s, const struct item *item, bool own) {
    const struct disk_extent *extent = item->value;
    uint64_t count = le32_get(extent->block_count);
    uint64_t start = 0;
    bool before = false;
    for (uint64_t i = 0; i <= count; i++) {
        bool shared = false;
        bool may = i < count && may_have(s, item, i, own, &shared);
        if (may && (i == start || shared == before)) {
            before = shared;
            continue;
        }
        struct piece *piece = i > start ? add_piece(s, item, start, i - start) : NULL;
        if (piece != NULL) {
            piece->doubtful = !own;
            piece->shared = before;
        }
        start = may ? i : i + 1;
        before = shared;
    }
}

static void add_leaf(struct salvage *s, const struct repair_candidate *leaf) {
    struct repair *repair = s->repair;
    if (!repair_read(repair, leaf->pointer.block, repair->page))
        return;
    for (unsigned i = 0; i < node_count(repair->page) && repair->failure == STATUS_OK; i++) {
        struct item item = node_item(repair->page, i);
        const struct disk_extent *extent = item.value;
        const char *why;
        if (item.key.type != DISK_TYPE_EXTENT || item.key.inode != DISK_ROOT_INODE ||
            item.key.offset >= MATH_MIN(s->until, s->high) ||
            value_validate(&item, &repair->label.geometry, leaf->owner, &why) != STATUS_OK ||
            item.key.offset + le32_get(extent->block_count) <= s->from ||
            le64_get(extent->birth) > s->birth || newer_covers(s, leaf, &item.key))
            continue;
        add_extent(s, &item, is_own(s, leaf));
    }
}

static bool is_in_window(const struct salvage *s, const struct repair_candidate *leaf) {
    return leaf->last.type == DISK_TYPE_EXTENT &&
           s->from - MATH_MIN(s->from, leaf->last.offset) < DISK_EXTENT_MAX &&
           (leaf->first.type != DISK_TYPE_EXTENT || leaf->first.offset < s->until);
}

/* Whether no later window has anything of the leaf. */
static bool is_passed(const struct salvage *s, const struct repair_candidate *leaf) {
    return leaf->last.type == DISK_TYPE_EXTENT && leaf->last.offset < s->from &&
           s->from - leaf->last.offset >= DISK_EXTENT_MAX;
}

/* Ends the window before it holds too many leaves of one owner. */
static void gather_stream(struct salvage *s, struct stream *stream) {
    unsigned leaves = 0;
    bool passed = true;
    for (uint64_t i = stream->at; i < stream->end && s->repair->failure == STATUS_OK; i++) {
        struct repair_candidate leaf = repair_candidate(s->repair, i);
        passed = passed && is_passed(s, &leaf);
        stream->at += passed;
        if (leaf.first.type == DISK_TYPE_EXTENT && leaf.first.offset >= s->until)
            return;
        if (!is_candidate(s, &leaf) || !is_in_window(s, &leaf))
            continue;
        if (++leaves > WINDOW_LEAVES && leaf.first.type == DISK_TYPE_EXTENT &&
            leaf.first.offset > s->from) {
            s->until = leaf.first.offset;
            return;
        }
        struct repair_candidate *added = repair_add(s->repair, &s->leaves, sizeof *added);
        if (added != NULL)
            *added = leaf;
    }
}

/* The leaves that say something about the window. */
static void gather_leaves(struct salvage *s) {
    struct stream *streams = s->streams.items;
    s->leaves.count = 0;
    for (uint64_t i = 0; i < s->streams.count; i++)
        gather_stream(s, &streams[i]);
}

static void salvage_window(struct salvage *s) {
    const struct repair_candidate *all = s->leaves.items;
    for (uint64_t i = 0; i < s->leaves.count && s->repair->failure == STATUS_OK; i++)
        if (is_in_window(s, &all[i]))
            add_leaf(s, &all[i]);
}

/* ---- into the new tree ---- */

/* The blocks of the piece from the first one that is not settled up to one that cannot be taken. */
static bool trim(struct salvage *s, struct piece *piece) {
    struct disk_extent *extent = (struct disk_extent *)piece->value;
    uint64_t count = le32_get(extent->block_count);
    uint64_t skip = s->at > piece->key.offset ? s->at - piece->key.offset : 0;
    if (skip >= count || piece->key.offset + skip >= MATH_MIN(s->end, s->behind))
        return false;
    skip_front(piece, skip);
    count = MATH_MIN(count - skip, s->end - piece->key.offset);
    extent->block_count = extent->stored_blocks = le32_make((uint32_t)count);
    piece->length = (uint16_t)(sizeof *extent + count * sizeof(le64));
    for (uint64_t i = 0; i < count && !piece->shared; i++)
        if (repair_bit(s->repair->claimed, le64_get(extent->block) + i))
            return false;
    return true;
}

static void emit_tree(struct salvage *s, const struct piece *piece) {
    if (piece_first(piece) < s->at || piece_first(piece) >= MATH_MIN(s->end, s->behind))
        return;
    repair_lose(s->repair, s->tree, s->at, piece_first(piece), false);
    s->at = MATH_MAX(s->at, piece->end);
    s->tree->file_end = MATH_MAX(s->tree->file_end, piece->end);
    repair_loader_subtree(s->loader, &piece->key, &piece->root);
}

static void emit(struct salvage *s, struct piece *piece) {
    if (piece->is_tree) {
        emit_tree(s, piece);
        return;
    }
    if (!trim(s, piece))
        return;
    const struct disk_extent *extent = (const struct disk_extent *)piece->value;
    uint64_t first = piece->key.offset;
    uint64_t end = piece_end(piece);
    for (uint64_t i = 0; i < end - first; i++)
        repair_set(s->repair->claimed, le64_get(extent->block) + i);
    repair_lose(s->repair, s->tree, s->at, first, false);
    repair_lose(s->repair, s->tree, piece->doubtful ? first : end, end, true);
    s->at = end;
    s->tree->file_end = MATH_MAX(s->tree->file_end, end);
    repair_loader_item(s->loader, &piece->key, piece->value, piece->length);
}

static void emit_window(struct salvage *s) {
    struct piece *pieces = s->pieces.items;
    repair_sort(pieces, s->pieces.count, sizeof *pieces, piece_before);
    for (uint64_t i = 0; i < s->pieces.count && s->repair->failure == STATUS_OK; i++)
        emit(s, &pieces[i]);
}

/* ---- the inode ---- */

static bool read_inode(struct salvage *s, const struct repair_candidate *leaf,
                       struct disk_inode *inode) {
    struct disk_node *page = s->repair->page;
    const char *why;
    if (!repair_read(s->repair, leaf->pointer.block, page))
        return false;
    struct item item = node_item(page, 0);
    if (value_validate(&item, &s->repair->label.geometry, leaf->owner, &why) != STATUS_OK ||
        value_validate_volume(&item, &why) != STATUS_OK)
        return false;
    memcpy(inode, item.value, sizeof *inode);
    inode->links = le32_make(1);
    return true;
}

/* It stands first in its tree and says what its first version said, but for times. */
static bool find_inode(struct salvage *s, struct disk_inode *inode) {
    const struct stream *streams = s->streams.items;
    uint64_t checkpoint = 0;
    for (uint64_t i = 0; i < s->streams.count; i++)
        for (uint64_t at = streams[i].first; at < streams[i].end; at++) {
            struct repair_candidate leaf = repair_candidate(s->repair, at);
            if (leaf.first.type != DISK_TYPE_INODE)
                break; /* they are sorted */
            if (is_candidate(s, &leaf) && leaf.checkpoint >= checkpoint &&
                leaf.pointer.birth <= s->birth && read_inode(s, &leaf, inode))
                checkpoint = leaf.checkpoint;
        }
    return checkpoint != 0;
}

/* What the next older tree says, or one that came from this one; 0: none of them is known. */
static uint64_t size_of_others(const struct salvage *s) {
    const struct repair_tree *trees = s->repair->trees.items;
    if (s->older != NULL && s->older->tree->size != 0)
        return s->older->tree->size;
    for (uint64_t i = 0; i < s->repair->trees.count; i++)
        if (trees[i].size != 0 && repair_older(s->repair, &trees[i]) == s->tree)
            return trees[i].size;
    return 0;
}

/* Of all leaves, about; at least 1. */
static uint64_t last_block(const struct salvage *s) {
    const struct stream *streams = s->streams.items;
    uint64_t end = 1;
    for (uint64_t i = 0; i < s->streams.count; i++)
        for (uint64_t at = streams[i].first; at < streams[i].end; at++) {
            struct repair_candidate leaf = repair_candidate(s->repair, at);
            if (is_candidate(s, &leaf) && leaf.last.type == DISK_TYPE_EXTENT)
                end = MATH_MAX(end, MATH_MIN(leaf.last.offset, 1ull << 49) + DISK_EXTENT_MAX);
        }
    return end;
}

/* No version of the inode was found: its size is that of another tree, or the file ends where the
 * last thing ends that is known, if no record says it. */
static void make_inode(struct salvage *s, struct disk_inode *inode) {
    uint64_t end = MATH_MAX(s->tree->file_end, last_block(s));
    uint64_t size = size_of_others(s);
    if (size == 0)
        size = end * DISK_BLOCK_SIZE;
    le64 now = le64_make(os_wall_clock_ns());
    *inode = (struct disk_inode){.mode = le32_make(DISK_MODE_REGULAR | 0600u),
                                 .links = le32_make(1),
                                 .size = le64_make(size),
                                 .modified_ns = now,
                                 .changed_ns = now,
                                 .accessed_ns = now,
                                 .created_ns = now};
    if (!repair_is_head(s->tree))
        return;
    char name[REPAIR_NAME_SIZE];
    repair_lose(s->repair, s->tree, 0, UINT64_MAX, true);
    repair_say(s->repair, "volume %s: its size is lost; made it %llu bytes",
               repair_name(s->repair, s->tree, name), (unsigned long long)size);
}

static void emit_inode(struct salvage *s) {
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    const struct piece *first = s->pieces.items;
    if (s->from != s->first || !has_inode(s))
        return;
    if (s->pieces.count > 0 && first->key.type == DISK_TYPE_INODE) {
        s->tree->size = le64_get(s->tree->snapshot.size); /* a younger tree has it from here */
        return;
    }
    struct disk_inode inode;
    if (!find_inode(s, &inode))
        make_inode(s, &inode);
    if (!repair_is_head(s->tree) && le64_get(s->tree->snapshot.size) != 0)
        inode.size = s->tree->snapshot.size;
    s->tree->size = le64_get(inode.size);
    repair_loader_item(s->loader, &key, &inode, sizeof inode);
}

/* ---- the course ---- */

/* Extents of the range may reach up to what is whole behind it. */
static void find_rest(struct repair_visitor *visitor, const struct item *item) {
    uint64_t *end = visitor->context;
    if (item->key.type != DISK_TYPE_EXTENT)
        return;
    *end = item->key.offset;
    visitor->ended = true;
}

static void find_end(struct salvage *s) {
    const struct node_bounds *bounds = &s->range->bounds;
    s->high = s->end = s->behind = UINT64_MAX;
    if (bounds->is_root || !bounds->has_high)
        return;
    s->high = bounds->high.offset;
    if (repair_next(s->repair, s->tree, &bounds->high) == REPAIR_NEXT_INNER)
        s->behind = s->high;
    s->end = bounds->high.offset + DISK_EXTENT_MAX - 1;
    struct repair_visitor visitor = {.repair = s->repair,
                                     .id = s->tree->id,
                                     .item = find_rest,
                                     .range = {.low = bounds->high,
                                               .high = {DISK_ROOT_INODE, s->end, DISK_TYPE_EXTENT},
                                               .has_high = true},
                                     .context = &s->end};
    repair_visit(&visitor, &s->tree->root);
}

static void work(struct salvage *s) {
    for (s->from = s->first; s->from < s->end && s->repair->failure == STATUS_OK;
         s->from = s->until) {
        s->until = s->end;
        gather_leaves(s);
        regain_window(s);
        salvage_window(s);
        emit_inode(s);
        emit_window(s);
    }
    const struct node_bounds *bounds = &s->range->bounds;
    uint64_t end = !bounds->is_root && bounds->has_high ? bounds->high.offset : UINT64_MAX;
    repair_lose(s->repair, s->tree, s->at, end, false);
    s->tree->settled = MATH_MAX(s->at, end);
}

static void mark_drop(struct repair_visitor *visitor, const struct item *item) {
    if (item->key.type == DISK_TYPE_DEAD)
        for (uint64_t i = 0; i < le64_get(((const struct disk_dead *)item->value)->count); i++)
            repair_set(visitor->repair->other, item->key.offset + i);
}

/* What the dataset dropped between its next older tree and this one. */
static void find_drops(struct salvage *s, const struct repair_tree *older) {
    struct repair *repair = s->repair;
    const struct repair_tree *head = repair_find_tree(repair, s->tree->id, REPAIR_HEAD);
    s->eras_known = !head->dead_is_bad && !head->found;
    if (older == NULL || older->id != s->tree->id || !s->eras_known || !repair_other(repair))
        return;
    uint64_t end = repair_is_head(s->tree) ? DISK_EPOCH_MAX : s->tree->epoch;
    struct repair_visitor visitor = {.repair = repair,
                                     .id = head->id | DISK_OWNER_DEAD,
                                     .item = mark_drop,
                                     .range = {.low = {.inode = older->epoch << 32},
                                               .high = {.inode = end << 32},
                                               .has_high = true}};
    struct pointer dead = pointer_load(&head->disk.dead);
    if (dead.block != 0)
        repair_visit(&visitor, &dead);
    s->foreign = le64_get(head->disk.origin_epoch);
    s->drops_known = true;
}

static bool stream_before(const void *a, const void *b) {
    return ((const struct stream *)a)->first < ((const struct stream *)b)->first;
}

/* Of the dataset, its origin, and that one's. */
static void find_streams(struct salvage *s) {
    uint64_t id = s->tree->id;
    while (id != 0) {
        struct stream *stream = repair_add(s->repair, &s->streams, sizeof *stream);
        if (stream != NULL)
            repair_candidates_of(s->repair, id, &stream->first, &stream->end);
        if (stream != NULL)
            stream->at = stream->first;
        const struct repair_tree *head = repair_find_tree(s->repair, id, REPAIR_HEAD);
        id = head == NULL ? 0 : le64_get(head->disk.origin);
    }
    repair_sort(s->streams.items, s->streams.count, sizeof(struct stream), stream_before);
}

void repair_salvage(struct repair *repair, struct repair_tree *tree,
                    const struct repair_range *range, struct repair_loader *loader) {
    struct salvage s = {.repair = repair,
                        .tree = tree,
                        .range = range,
                        .loader = loader,
                        .birth = repair_birth(repair, tree)};
    struct repair_lookup lookup;
    const struct repair_tree *older = repair_older(repair, tree);
    const struct node_bounds *bounds = &range->bounds;
    if (!bounds->is_root && bounds->low.type == DISK_TYPE_EXTENT)
        s.at = s.first = MATH_MAX(bounds->low.offset, tree->settled);
    if (older != NULL) {
        if (repair_lookup_start(&lookup, repair, older) != STATUS_OK)
            return;
        s.older = &lookup;
    }
    find_streams(&s);
    find_drops(&s, older);
    find_end(&s);
    work(&s);
    if (s.older != NULL)
        repair_lookup_end(&lookup);
    os_free(s.pieces.items);
    os_free(s.streams.items);
    os_free(s.leaves.items);
}
