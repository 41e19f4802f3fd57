/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mending what the names, inodes and files of shares say against each other.
 *
 * It comes when all trees are whole: the pool is opened, with what the journal says, the items of a
 * share are collected, decided upon, and changed by ordinary updates of its tree. So snapshots and
 * clones lose nothing, and a crash leaves a pool with fewer contradictions than before.
 *
 * Invariants:
 * 1. Decisions are a function of what was collected, and of nothing else.
 * 2. `inodes` is sorted by number, `entries` by directory and offset, `targets` by target.
 */
#ifndef STORAGE_LFSX_REPAIR_SHARE_MEND_H
#define STORAGE_LFSX_REPAIR_SHARE_MEND_H

#include "storage/lfsx/pool/pool.h"
#include "storage/lfsx/repair/repair_internal.h"
#include "storage/lfsx/spill/spill.h"

#define MEND_PATH_SIZE 4096u
#define MEND_LOST_FOUND "lost+found"

/* What became of an inode. */
struct mend_inode {
    uint64_t number;
    uint64_t parent, size, data_blocks; /* as its item says */
    uint64_t seen_blocks, extent_end;   /* of extents */
    uint64_t seen_bytes;                /* of a link's target; UINT64_MAX: they do not fit */
    uint32_t mode, links;
    bool is_there; /* there is an item of type inode */
    bool has_entries, has_extents, has_target, has_others;
    bool has_order;

    /* Decided. */
    bool is_dropped;  /* it goes, with all that it has */
    bool is_attached; /* it gets a name in lost+found */
    bool is_deleted;  /* it has no links, and is to be cleaned up */
    bool is_grown;    /* its size was less than its extents say */
    uint32_t kind;    /* DISK_MODE_REGULAR and so on */
    uint64_t names;   /* entries that stay */
    uint64_t name;    /* the last of them, in `entries` */
    uint64_t mark;    /* directory from which a way up led over it */
};

struct mend_entry {
    uint64_t directory, offset; /* of its key */
    uint64_t target;
    uint64_t hash; /* where it belongs, without a slot */
    uint8_t kind;
    bool is_dropped, is_moved;
};

struct mend_target {
    uint64_t target, entry;
};

enum mend_operation {
    MEND_REMOVE,    /* the items in [key, last] */
    MEND_SET_INODE, /* the item, to what was decided */
    MEND_ADD_ORDER, /* the item */
    MEND_SET_KIND,  /* the entry's `kind` */
    MEND_MOVE,      /* the entry of `target`, to where it belongs */
    MEND_ATTACH     /* `target` gets a name in the directory `key.inode` */
};

struct mend_change {
    struct key key, last;
    enum mend_operation operation;
    uint8_t kind;
    uint64_t target;
};

/* A loss that is not of the tree. */
struct mend_loss {
    enum lfsx_loss_kind kind;
    uint64_t inode;
    uint64_t entry;         /* of a file that is gone: its name */
    uint64_t offset, bytes; /* of bytes */
};

struct share_mend {
    struct repair *repair;
    struct lfsx_pool *pool;
    struct dataset *dataset;
    struct btree *tree; /* the dataset's, or that of a snapshot, which is only looked at */
    const char *name;   /* of the share or snapshot */
    struct spill *spill;
    enum status failure; /* the spill's, and whatever ends the mending */

    struct spill_array *inodes, *entries, *targets;
    struct spill_array *orders; /* uint64_t: inodes */
    struct spill_array *changes, *losses;
    bool is_decided;
    uint64_t next_inode;
    uint64_t lost_found; /* inode; 0: there is none yet */

    /* While collecting. */
    struct mend_inode inode;
    struct mend_xattr {
        uint64_t base, pieces, wanted;
        bool is_open, is_bad;
    } xattr;
};

/* ---- share_collect.c ---- */

void mend_collect(struct share_mend *mend);
/* Index of the first inode with this number or a higher one. */
uint64_t mend_first(struct share_mend *mend, uint64_t number);
/* Index of the inode; UINT64_MAX: there is none, and *inode is not set. */
uint64_t mend_find(struct share_mend *mend, uint64_t number, struct mend_inode *inode);
/* Index of the first of the entries that name the inode, in `targets`. */
uint64_t mend_first_target(struct share_mend *mend, uint64_t inode);
/* Index of the first entry at or behind the place. */
uint64_t mend_first_entry(struct share_mend *mend, uint64_t directory, uint64_t offset);
void mend_remove(struct share_mend *mend, const struct key *key, const struct key *last);
void mend_lose(struct share_mend *mend, const struct mend_loss *loss);
void mend_say(struct share_mend *mend, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- share_decide.c, share_names.c ---- */

void mend_decide(struct share_mend *mend);
/* Which names stay, and what gets one in lost+found. */
void mend_decide_names(struct share_mend *mend);

/* ---- share_change.c ---- */

/* Makes the changes that were decided. */
void mend_change(struct share_mend *mend);

/* ---- share_report.c ---- */

/* Where the inode is found afterwards; NULL: nobody knows. `path` has MEND_PATH_SIZE bytes. */
const char *mend_path(struct share_mend *mend, uint64_t inode, char *path);
/* Reports what the tree lost, and what mending gave up. */
void mend_report(struct share_mend *mend, const struct repair_tree *tree);

#endif
