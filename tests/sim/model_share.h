/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share in the model: what its directories, files and links are made of, as cells.
 *
 * A cell is a name in a directory (1 + the object that it names; 0: none), an object's mode and
 * owner, an extended attribute, a file's size, or a sector of it. So a rename is an operation on
 * two cells, there in both or in none. What can be reached from the root must be right; what cannot
 * is gone, or about to.
 */
#ifndef TESTS_SIM_MODEL_SHARE_H
#define TESTS_SIM_MODEL_SHARE_H

#include "tests/sim/model.h"
#include "tests/sim/tree.h"

#define MODEL_ROOT 0u
#define MODEL_NO_OBJECT UINT32_MAX

struct model_object {
    uint64_t inode; /* the share's; 0: not known yet */
    enum lfsx_kind kind;
    uint64_t target;         /* of a symbolic link: tree_hash() */
    uint32_t attributes;     /* cell: model_attributes() */
    uint32_t xattrs;         /* first of TREE_XATTRS cells: tree_hash(), 0: not set */
    uint32_t entries;        /* of a directory: first of TREE_NAMES cells */
    struct model_bytes file; /* of a file */
    /* What is under way, so that no two operations on a cell are. */
    unsigned held;     /* operations that need it to stay */
    bool leaving;      /* one that may take its last name */
    uint32_t claimed;  /* bits: names of which one changes */
    unsigned users;    /* operations on sectors, that need the size to stay */
    bool resizing;     /* one that does not, and changes any sector */
    bool being_tagged; /* one on its attributes */
};

struct model_share {
    struct model_object *objects;
    uint32_t count, capacity;
    bool moving; /* a directory is, from one into another */
};

/* Adds a share: `content` is what tree.h made of it, or NULL for an empty one. */
unsigned model_add_share(struct model *model, const unsigned char *content, uint64_t size);
void model_share_destroy(struct model_share *share);
/* Adds what no name names yet. */
uint32_t model_add_object(struct model *model, struct model_share *share, enum lfsx_kind kind,
                          uint64_t attributes);
uint64_t model_attributes(uint32_t mode, uint32_t uid, uint32_t gid);

/* The model's present. */
uint32_t model_lookup(const struct model *model, const struct model_share *share,
                      uint32_t directory, unsigned name);
/* How many names it has; the root has one. */
unsigned model_links(const struct model *model, const struct model_share *share, uint32_t object);
/* Whether the directory is the other one, or somewhere below it. */
bool model_is_below(const struct model *model, const struct model_share *share, uint32_t directory,
                    uint32_t other);
bool model_is_empty(const struct model *model, const struct model_share *share, uint32_t directory);

/* Looks at all cells that can be seen; false: something is there that nobody made. `still`: nobody
 * changed it meanwhile, so that its parts must fit to each other. */
bool model_look_at_share(struct model *model, unsigned instance, const unsigned char *content,
                         uint64_t size, bool still);
/* Says what a cell of the share is; 0: it is not the share's. */
int model_describe_share(const struct model_share *share, uint32_t cell, char *text, size_t size);

#endif
