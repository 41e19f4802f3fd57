/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share as somebody saw it: all that can be reached from its root, in one piece of memory without
 * pointers, so that what was seen twice is the same if its bytes are.
 *
 * Directories come before what is in them. A node is followed by its entries, its attributes, and
 * its content (of a file, or a target) with zeros up to a whole number of the model's cells.
 */
#ifndef TESTS_SIM_TREE_H
#define TESTS_SIM_TREE_H

#include "storage/lfsx/lfsx_share.h"
#include "tests/sim/observation.h"

#define TREE_NAMES 8u  /* names that there are in a directory */
#define TREE_XATTRS 3u /* names of extended attributes */
#define TREE_FILE_MAX (64u << 20)

struct tree_entry {
    uint64_t inode;
    uint32_t kind;
    uint32_t name; /* number; TREE_NAMES: none of them */
};

struct tree_xattr {
    uint64_t name; /* number; TREE_XATTRS: none of them */
    uint64_t hash; /* tree_hash() of the value */
};

struct tree_node {
    uint64_t bytes; /* with all that follows */
    uint64_t inode, size, used_bytes, parent;
    uint64_t modified_ns, changed_ns, accessed_ns, created_ns;
    uint32_t kind, mode, links, uid, gid;
    uint32_t entries, xattrs;
    uint32_t bad; /* something of it could not be read */
};

struct lfsx_name tree_name(unsigned number);
struct lfsx_name tree_xattr_name(unsigned number);
/* Never 0. */
uint64_t tree_hash(const void *bytes, uint64_t length);

enum tree_look {
    TREE_STILL,    /* nobody changes it: all of it must be there */
    TREE_CHANGING, /* what goes meanwhile is left out */
    TREE_DAMAGED   /* what cannot be read is noted in one->bad_blocks */
};
/* Fills one->content and one->size from an open share. */
enum status tree_observe(struct seen *one, struct lfsx_share *share, enum tree_look look);

/* NULL: there are no more. `node` NULL: the first one. */
const struct tree_node *tree_next(const unsigned char *content, uint64_t size,
                                  const struct tree_node *node);
const struct tree_entry *tree_entries(const struct tree_node *node);
const struct tree_xattr *tree_xattrs(const struct tree_node *node);
const unsigned char *tree_content(const struct tree_node *node);

#endif
