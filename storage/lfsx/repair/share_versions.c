/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves say that no readable node of a share's tree leads to. The tree's own stay where they
 * are if nothing in them contradicts the rest. Else, and of old versions, items count one by one:
 * an item if no better leaf has its key between its first and its last one; a block of data if
 * nothing else names it, the map calls it used, and its content is what the leaf says.
 */
#include "base/checksum.h"
#include "base/math.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/share_salvage.h"

#define WINDOW_LEAVES 64u
#define LOOK_BACK 256u /* candidates before a range that may reach into it */

/* ---- which ones ---- */

static bool may_be_of_tree(const struct repair_share *s, const struct repair_candidate *c) {
    return c->pointer.level == 0 && c->pointer.birth <= s->birth &&
           c->owner == repair_owner(s->repair, s->tree->id, c->pointer.birth);
}

static enum repair_version_kind kind_of(const struct repair_share *s,
                                        const struct repair_candidate *c) {
    bool own = repair_is_owned(s, c) || (s->complete && repair_is_foreign(s, c));
    return own ? VERSION_OWN : VERSION_OLD;
}

static void add_active(struct repair_share *s, const struct repair_candidate *c) {
    struct repair_version *version = repair_add(s->repair, &s->active, sizeof *version);
    if (version != NULL)
        *version = (struct repair_version){.pointer = c->pointer,
                                           .owner = c->owner,
                                           .checkpoint = c->checkpoint,
                                           .first = c->first,
                                           .last = c->last,
                                           .kind = kind_of(s, c)};
}

/* Streams go on where the window before ended. */
static void limit_stream(struct repair_share *s, struct repair_stream *stream) {
    const struct repair_version *active = s->active.items;
    unsigned leaves = 0;
    for (uint64_t i = 0; i < s->active.count; i++)
        leaves += active[i].owner == stream->owner;
    for (; stream->at < stream->end; stream->at++) {
        struct repair_candidate c = repair_candidate(s->repair, stream->at);
        if (key_compare(&c.first, &s->until) >= 0)
            return;
        if (!may_be_of_tree(s, &c) || key_compare(&c.last, &s->from) < 0)
            continue;
        if (leaves++ >= WINDOW_LEAVES && key_compare(&c.first, &s->from) > 0) {
            s->until = c.first;
            return;
        }
        add_active(s, &c);
    }
}

static void drop_passed(struct repair_share *s) {
    struct repair_version *active = s->active.items;
    uint64_t count = 0;
    for (uint64_t i = 0; i < s->active.count; i++)
        if (key_compare(&active[i].last, &s->from) >= 0)
            active[count++] = active[i];
    s->active.count = count;
}

/* At a range's beginning. */
static void place_streams(struct repair_share *s) {
    struct repair_stream *streams = s->streams.items;
    s->active.count = 0;
    for (uint64_t i = 0; i < s->streams.count; i++) {
        struct repair_stream *stream = &streams[i];
        *stream = repair_stream(s->repair, stream->owner);
        uint64_t low = stream->at;
        uint64_t high = stream->end;
        while (low < high) {
            uint64_t middle = low + (high - low) / 2;
            struct repair_candidate c = repair_candidate(s->repair, middle);
            if (key_compare(&c.first, &s->from) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        stream->at = MATH_MAX(stream->at, low - MATH_MIN(low, LOOK_BACK));
    }
}

void repair_limit_window(struct repair_share *s) {
    struct repair_stream *streams = s->streams.items;
    if (key_compare(&s->from, &s->low) == 0)
        place_streams(s);
    drop_passed(s);
    for (uint64_t i = 0; i < s->streams.count; i++)
        limit_stream(s, &streams[i]);
    s->versions.count = 0;
}

void repair_add_version(struct repair_share *s, const struct repair_version *version) {
    struct repair_version *added = repair_add(s->repair, &s->versions, sizeof *added);
    if (added != NULL)
        *added = *version;
}

/* Own ones, then the newest that are not too young, then the least young. */
static bool is_better(const void *a, const void *b) {
    const struct repair_version *one = a;
    const struct repair_version *two = b;
    if (one->kind != two->kind)
        return one->kind < two->kind;
    if (one->checkpoint != two->checkpoint)
        return one->kind == VERSION_YOUNGER ? one->checkpoint < two->checkpoint
                                            : one->checkpoint > two->checkpoint;
    return one->pointer.block < two->pointer.block;
}

static void gather_versions(struct repair_share *s) {
    const struct repair_version *active = s->active.items;
    for (uint64_t i = 0; i < s->active.count; i++)
        if (key_compare(&active[i].first, &s->until) < 0)
            repair_add_version(s, &active[i]);
    repair_sort(s->versions.items, s->versions.count, sizeof(struct repair_version), is_better);
}

/* ---- own leaves as a whole ---- */

static bool is_shared(const struct repair_share *s, const struct disk_extent *extent) {
    return s->older != NULL && le64_get(extent->birth) <= s->tree->since;
}

/* Whether nothing else has what the leaf has. */
static bool may_stay(const struct repair_share *s, const struct disk_node *leaf) {
    const char *why;
    if (node_values_validate(leaf, &s->repair->label.geometry, &why) != STATUS_OK)
        return false;
    for (unsigned i = 0; i < node_count(leaf); i++) {
        struct item item = node_item(leaf, i);
        const struct disk_extent *extent = item.value;
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        if (le64_get(extent->birth) > s->birth)
            return false;
        for (uint64_t j = 0; !is_shared(s, extent) && j < le32_get(extent->block_count); j++)
            if (repair_bit(s->repair->claimed, le64_get(extent->block) + j))
                return false;
    }
    return true;
}

static struct repair_piece *add_stretch(struct repair_share *s,
                                        const struct repair_version *version,
                                        enum repair_piece_kind kind) {
    struct repair_piece *piece = repair_add(s->repair, &s->pieces, sizeof *piece);
    if (piece == NULL)
        return NULL;
    piece->kind = kind;
    piece->certain = true;
    piece->key = version->first;
    piece->last = version->last;
    piece->root = version->pointer;
    return piece;
}

static void add_whole(struct repair_share *s, const struct repair_version *version,
                      const struct disk_node *leaf) {
    struct repair_piece *piece = add_stretch(s, version, PIECE_TREE);
    struct item item = node_item(leaf, node_count(leaf) - 1);
    if (piece == NULL || item.key.type != DISK_TYPE_EXTENT)
        return;
    piece->file = item.key.inode;
    piece->end = item.key.offset + le32_get(((const struct disk_extent *)item.value)->block_count);
}

/* The stretch of an own leaf whose items are looked at one by one; the damaged leaf itself is all
 * of its range. */
static void add_sure(struct repair_share *s, const struct repair_version *version) {
    struct repair_piece *piece = add_stretch(s, version, PIECE_SURE);
    if (piece == NULL)
        return;
    if (key_compare(&piece->key, &s->low) < 0)
        piece->key = s->low;
    if (version->pointer.block == s->range->pointer.block) {
        piece->key = s->low;
        piece->last = s->high; /* which is in no stretch: nothing of the range is behind it */
    }
}

/* ---- items ---- */

static bool is_in_window(const struct repair_share *s, const struct key *key) {
    struct key end = key->type == DISK_TYPE_EXTENT ? repair_window_end(s) : s->until;
    return key_compare(key, &s->from) >= 0 && key_compare(key, &end) < 0;
}

static bool better_covers(const struct repair_share *s, uint64_t rank, const struct key *key) {
    const struct repair_version *versions = s->versions.items;
    for (uint64_t i = 0; i < rank; i++)
        if (!versions[i].is_gone && key_compare(key, &versions[i].first) >= 0 &&
            key_compare(key, &versions[i].last) <= 0)
            return true;
    return false;
}

/* Whether a block that an old version names may still be in its place. */
static bool is_likely(struct repair_share *s, uint64_t block, uint64_t checksum) {
    struct repair *repair = s->repair;
    if (repair_is_known(repair, block) && !repair_bit(repair->old_used, block))
        return false;
    return repair_read(repair, block, repair->data) &&
           checksum_xxh64(repair->data, DISK_BLOCK_SIZE, 0) == checksum;
}

/* Whether the tree may have this block; *shared: the older one has it. */
static bool may_have(struct repair_share *s, const struct item *item, uint64_t index, bool own,
                     bool *shared) {
    const struct disk_extent *extent = item->value;
    struct key key = {item->key.inode, item->key.offset + index, DISK_TYPE_EXTENT};
    uint64_t block = le64_get(extent->block) + index;
    *shared = false;
    if (!is_in_window(s, &key) || repair_is_regained(s, &key))
        return false;
    if (is_shared(s, extent)) {
        struct repair_place place = repair_lookup(&s->lookup, key.inode, key.offset);
        *shared = place.content == REPAIR_DATA;
        bool known = s->drops_known && le64_get(extent->birth) > s->foreign;
        if (place.content == REPAIR_HOLE || (*shared && (place.block != block || known)))
            return false;
    }
    if (!*shared && repair_bit(s->repair->claimed, block))
        return false;
    return own || is_likely(s, block, le64_get(extent->checksums[index]));
}

static void add_run(struct repair_share *s, const struct item *item, uint64_t first, uint64_t end,
                    bool own, bool shared, uint64_t rank) {
    struct repair_piece *piece = end > first ? repair_add_piece(s, item, first, end - first) : NULL;
    if (piece == NULL)
        return;
    piece->certain = own;
    piece->shared = shared;
    piece->rank = rank;
}

/* Something else has the block. */
static void lose_block(struct repair_share *s, const struct item *item, uint64_t index) {
    struct key key = {item->key.inode, item->key.offset + index, DISK_TYPE_EXTENT};
    if (is_in_window(s, &key) && !repair_is_regained(s, &key))
        repair_lose_blocks(s, key.inode, key.offset, key.offset + 1, false);
}

static void add_extent(struct repair_share *s, const struct item *item, bool own, uint64_t rank) {
    const struct disk_extent *extent = item->value;
    uint64_t count = le32_get(extent->block_count);
    uint64_t start = 0;
    bool before = false;
    for (uint64_t i = 0; i <= count; i++) {
        bool shared = false;
        bool may = i < count && may_have(s, item, i, own, &shared);
        if (own && i < count && !may)
            lose_block(s, item, i);
        if (may && (i == start || shared == before)) {
            before = shared;
            continue;
        }
        add_run(s, item, start, i, own, before, rank);
        start = may ? i : i + 1;
        before = shared;
    }
}

/* The block behind the item, or its key. */
static struct key end_of(const struct item *item) {
    struct key end = item->key;
    if (item->key.type == DISK_TYPE_EXTENT)
        end.offset += le32_get(((const struct disk_extent *)item->value)->block_count) - 1;
    return end;
}

/* Of an own leaf, one that says nothing that can be. */
static void lose_item(struct repair_share *s, const struct key *key) {
    struct key low = {.inode = key->inode, .type = DISK_TYPE_INODE};
    struct key high = {key->inode, UINT64_MAX, UINT8_MAX};
    if (key->type == DISK_TYPE_EXTENT)
        repair_lose_blocks(s, key->inode, key->offset, key->offset + DISK_EXTENT_MAX, false);
    else
        repair_lose_items(s, &low, &high);
}

static void add_item(struct repair_share *s, const struct repair_version *version, uint64_t rank,
                     const struct item *item) {
    bool own = version->kind == VERSION_OWN;
    const char *why;
    if (key_compare(&item->key, &s->until) >= 0 || better_covers(s, rank, &item->key))
        return;
    if (value_validate(item, &s->repair->label.geometry, s->tree->id, &why) != STATUS_OK) {
        if (own && is_in_window(s, &item->key))
            lose_item(s, &item->key);
        return;
    }
    struct key end = end_of(item);
    if (key_compare(&end, &s->from) < 0)
        return;
    if (item->key.type == DISK_TYPE_EXTENT) {
        if (le64_get(((const struct disk_extent *)item->value)->birth) <= s->birth)
            add_extent(s, item, own, rank);
        return;
    }
    if (repair_is_regained(s, &item->key))
        return;
    struct repair_piece *piece = repair_add_piece(s, item, 0, 0);
    if (piece == NULL)
        return;
    piece->certain = own;
    piece->rank = rank;
}

/* A leaf is looked at in each of the windows that it reaches into; as a whole it is taken in the
 * one in which it begins. */
static void read_version(struct repair_share *s, uint64_t rank) {
    struct repair *repair = s->repair;
    struct repair_version *version = (struct repair_version *)s->versions.items + rank;
    const char *why;
    if (s->begun && key_compare(&version->last, &s->at) <= 0)
        return;
    version->is_gone =
        (repair_is_whole(s) && version->kind != VERSION_OWN) ||
        !repair_read(repair, version->pointer.block, repair->page) ||
        node_validate(repair->page, &version->pointer, version->owner, &why) != STATUS_OK;
    if (version->is_gone)
        return;
    bool inside =
        key_compare(&version->first, &s->low) >= 0 && key_compare(&version->last, &s->high) < 0;
    if (version->kind == VERSION_OWN && inside && may_stay(s, repair->page) &&
        !better_covers(s, rank, &version->first) && !better_covers(s, rank, &version->last)) {
        if (key_compare(&version->first, &s->from) >= 0 &&
            !repair_is_in_subtree(s, &version->first))
            add_whole(s, version, repair->page);
        return;
    }
    if (version->kind == VERSION_OWN)
        add_sure(s, version);
    for (unsigned i = 0; i < node_count(repair->page) && repair->failure == STATUS_OK; i++) {
        struct item item = node_item(repair->page, i);
        add_item(s, version, rank, &item);
    }
}

void repair_read_versions(struct repair_share *s) {
    gather_versions(s);
    for (uint64_t i = 0; i < s->versions.count && s->repair->failure == STATUS_OK; i++)
        read_version(s, i);
}
