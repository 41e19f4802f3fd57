/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree that nobody changes says of a key: the way down to it, which is remembered from one
 * look to the next. For comparing a tree with one that it came from: what both have is named by
 * nodes of both, and need not be read to be compared.
 *
 * Invariant: of each level from `lowest` up to the root's, pages[level] is the node on the way down
 * to the last key, and steps[level] is what its parent says of it.
 */
#ifndef STORAGE_LFSX_FORMAT_TRAIL_H
#define STORAGE_LFSX_FORMAT_TRAIL_H

#include "base/blockdev.h"
#include "storage/lfsx/format/node.h"

/* What a parent says of a node. */
struct trail_step {
    struct pointer pointer;
    struct node_bounds bounds;
};

struct trail {
    struct blockdev *device;
    struct pointer root; /* block 0: there is no tree */
    unsigned lowest;     /* above the root's level: nothing is remembered */
    struct trail_step steps[DISK_LEVEL_MAX + 1];
    struct disk_node *pages[DISK_LEVEL_MAX + 1]; /* NULL until there is need of one */
};

/* Looks into another tree from now on; the pages stay. A trail of zeros is one before this. */
void trail_follow(struct trail *trail, struct blockdev *device, const struct pointer *root);
void trail_release(struct trail *trail);

/* What the tree says of the node of this level that has the key, which is not read. NOT_FOUND (it
 * has no such level), NO_MEMORY; IO, CHECKSUM or CORRUPT: a node above it. */
enum status trail_look(struct trail *trail, const struct key *key, unsigned level,
                       struct trail_step *step);

/* Whether a node that is right where the older tree has it is right in the other place, too. */
bool trail_is_same(const struct trail_step *older, const struct trail_step *other);

#endif
