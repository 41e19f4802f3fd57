/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the B+tree share. */
#ifndef STORAGE_LFSX_TREE_BTREE_INTERNAL_H
#define STORAGE_LFSX_TREE_BTREE_INTERNAL_H

#include "storage/lfsx/tree/btree.h"

/* Adds the node that the pointer means to the end of the path. AGAIN. */
enum status btree_enter(struct btree_cursor *cursor, const struct pointer *pointer);

/* ---- btree_change.c; in an update ---- */

/* Makes all nodes of the path ones of the running generation. */
void btree_touch_path(struct btree_cursor *cursor);
/* The node is no longer in the tree. */
void btree_release_node(struct btree *tree, struct cached_node *node);
/* The node at depth lost its first key: its ancestors' keys for it follow. */
void btree_raise_keys(struct btree_cursor *cursor, unsigned depth);

#endif
