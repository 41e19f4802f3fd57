/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a tree's items as those of records: inode, type and offset, so that both have one
 * order. Pure functions; any context. */
#ifndef STORAGE_LFSX_CATALOG_RECORDS_KEY_H
#define STORAGE_LFSX_CATALOG_RECORDS_KEY_H

#include "storage/lfsx/format/node.h"
#include "storage/mvcc/mvcc.h"

#include <stdbool.h>

struct mvcc_key records_key(const struct key *key);
/* Of a key that records_key() made. */
struct key records_tree_key(const struct mvcc_key *key);
/* The lowest of the tree's keys that is at least this one, which may be longer than they are.
 * False: there is none. */
bool records_key_at_least(const struct mvcc_key *key, struct key *out);

#endif
