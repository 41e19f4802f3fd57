/* SPDX-License-Identifier: Apache-2.0 */
/* What btree.c and btree_change.c share. */
#ifndef STORAGE_LFSX_BTREE_INTERNAL_H
#define STORAGE_LFSX_BTREE_INTERNAL_H

#include "storage/lfsx/btree.h"

/* Puts the cursor on the leaf that covers `key`, at the first item that is at least `key`: maybe
 * behind the leaf's last. AGAIN. */
enum status btree_descend(struct btree *tree, const struct key *key, struct btree_cursor *cursor);

#endif
