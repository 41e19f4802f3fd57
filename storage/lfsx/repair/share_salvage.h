/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing back the items of a share's tree.
 *
 * A lost range is worked through in windows of keys. What other trees prove to be in this one comes
 * first: subtrees and extents that a younger tree has and that are as old as this one, and those
 * that the next older one has and that were not dropped since (salvage.c says why). Then the leaves
 * that the scan found: the tree's own stay where they are, of old versions the newest one that has
 * a key counts for it.
 *
 * Invariants:
 * 1. A key is in the new tree once, and keys are added in their order.
 * 2. A stretch of keys is sure if a subtree or an own leaf covers it; what lies between is
 * reported.
 */
#ifndef STORAGE_LFSX_REPAIR_SHARE_SALVAGE_H
#define STORAGE_LFSX_REPAIR_SHARE_SALVAGE_H

#include "storage/lfsx/repair/repair_internal.h"

enum repair_piece_kind {
    PIECE_TREE, /* a subtree that stays where it is */
    PIECE_SURE, /* nothing is in the stretch but the items that follow */
    PIECE_ITEM
};

struct repair_piece {
    struct key key, last; /* `last` of what is no item */
    enum repair_piece_kind kind;
    bool certain;        /* an item that is the tree's without doubt */
    bool shared;         /* another tree has its blocks, too */
    uint64_t rank;       /* of items with the same key the lowest one counts */
    struct pointer root; /* of a subtree, */
    uint64_t file, end;  /* and its last file, and the block behind that */
    uint16_t length;
    uint64_t value[DISK_VALUE_MAX / 8];
};

enum repair_version_kind {
    VERSION_OWN,    /* the tree's, and the current one */
    VERSION_OLD,    /* maybe */
    VERSION_YOUNGER /* of a younger tree */
};

/* A leaf that says something about the window. */
struct repair_version {
    struct pointer pointer;
    uint64_t owner, checkpoint;
    struct key first, last;
    enum repair_version_kind kind;
    bool is_gone; /* it could not be used */
};

struct repair_span {
    struct key first, last;
};

/* Candidates of one owner, by their first key. */
struct repair_stream {
    uint64_t owner, at, end;
};

struct repair_share {
    struct repair *repair;
    struct repair_tree *tree;
    struct repair_loader *loader;
    uint64_t birth; /* nothing of the tree is younger */
    const struct repair_tree *older;
    struct repair_lookup lookup; /* in the older one, if there is one */
    uint64_t foreign;            /* what was born then or before is the origin's */
    bool eras_known, drops_known;
    bool complete; /* all nodes of the tree are accounted for */

    const struct repair_range *range;
    struct key low, high;       /* of the range; the high one is not in it */
    uint64_t limit_file, limit; /* where the first extent behind the range stands */
    struct key behind; /* an extent of the range's last file may begin before this, as a part of one
                          that began in the range */
    bool next_is_lost; /* the leaf behind the range is, too: what is not found is that one's loss */

    struct key from, until;       /* the window */
    struct repair_array own;      /* struct repair_span: leaves, ascending */
    struct repair_array streams;  /* struct repair_stream */
    struct repair_array active;   /* struct repair_version: candidates in or behind the window */
    struct repair_array versions; /* those of the window, the best one first */
    struct repair_array pieces;   /* struct repair_piece */
    uint64_t proven;              /* pieces that other trees prove; they come first, sorted */
    const struct repair_tree *source; /* who is asked, */
    bool from_older;                  /* which is the older one */
    uint64_t source_first;            /* piece */

    /* What was added to the new tree. */
    bool begun;
    struct key at;           /* the last key */
    uint64_t file, file_end; /* the last extent */
    bool has_root;

    bool is_sure;
    struct key sure_last;
    struct key open;        /* where the stretch began that is not sure */
    uint64_t gap_file, gap; /* what is missing of this file begins there */
};

/* Whether all nodes of the range were found. */
static inline bool repair_is_whole(const struct repair_share *s) {
    return s->complete && s->range->pointer.level > 0;
}

static inline bool repair_is_owned(const struct repair_share *s, const struct repair_candidate *c) {
    return c->proven && c->owner == s->tree->id && s->eras_known && c->pointer.birth <= s->birth &&
           c->era >= s->tree->epoch;
}

/* Blocks of files are in the window up to this key. */
static inline struct key repair_window_end(const struct repair_share *s) {
    return key_compare(&s->until, &s->high) == 0 ? s->behind : s->until;
}

/* ---- share_count.c ---- */

/* Collects the own leaves that the scan found. */
void repair_find_own(struct repair_share *s);
/* Whether a node that the scan found, or one of the older tree that stands in its page, is one of
 * this tree, too; of one of the origin's only if the tree is complete. */
bool repair_is_foreign(const struct repair_share *s, const struct repair_candidate *c);
bool repair_is_older_common(const struct repair_share *s, const struct pointer *pointer);
/* Whether all of the tree's nodes were read, are lost, or were found. */
bool repair_share_is_complete(struct repair_share *s);
/* What the scan found of an owner. */
struct repair_stream repair_stream(const struct repair *repair, uint64_t owner);

/* ---- share_regain.c ---- */

/* The pieces of the window that other trees prove; the window ends earlier if that is much. */
void repair_regain(struct repair_share *s);
/* Whether one of them has the key, or the block of a file. */
bool repair_is_regained(const struct repair_share *s, const struct key *key);
/* Whether the key is in a subtree of them. */
bool repair_is_in_subtree(const struct repair_share *s, const struct key *key);

/* ---- share_versions.c ---- */

/* Chooses the window's candidates; it ends earlier if they are many. */
void repair_limit_window(struct repair_share *s);
/* A leaf of another tree that is no node of this one. */
void repair_add_version(struct repair_share *s, const struct repair_version *version);
/* Adds what they say to the pieces. */
void repair_read_versions(struct repair_share *s);

/* ---- share_emit.c: into the new tree ---- */

void repair_emit_begin(struct repair_share *s);
/* The window's pieces, sorted. */
void repair_emit(struct repair_share *s);
void repair_emit_end(struct repair_share *s);
/* Bytes of a file that cannot be told, in blocks. */
void repair_lose_blocks(struct repair_share *s, uint64_t inode, uint64_t first, uint64_t end,
                        bool doubtful);
/* Anything between the keys may be lost. */
void repair_lose_items(struct repair_share *s, const struct key *low, const struct key *high);

/* The order of pieces. */
bool repair_piece_before(const void *a, const void *b);

static inline uint64_t repair_piece_blocks(const struct repair_piece *piece) {
    return le32_get(((const struct disk_extent *)piece->value)->block_count);
}
static inline bool repair_piece_is_extent(const struct repair_piece *piece) {
    return piece->kind == PIECE_ITEM && piece->key.type == DISK_TYPE_EXTENT;
}
/* Adds an item, of an extent `count` blocks from `first` on. NULL ends the repair. */
struct repair_piece *repair_add_piece(struct repair_share *s, const struct item *item,
                                      uint64_t first, uint64_t count);
/* Takes blocks off an extent's front, not all. */
void repair_skip_front(struct repair_piece *piece, uint64_t skip);

#endif
