/* SPDX-License-Identifier: Apache-2.0 */
/* Names in transactions: the entries of a share's directories, and those of the catalog. */
#ifndef STORAGE_LFSX_CATALOG_ENTRY_H
#define STORAGE_LFSX_CATALOG_ENTRY_H

#include "storage/lfsx/format/node.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/mvcc/mvcc.h"

#include <stdbool.h>
#include <stdint.h>

struct lfsx_pool;

/* A name's entry, or where it would stand. */
struct found_entry {
    struct key key;
    bool exists;
    uint64_t target;
    uint8_t kind;
};

/* Finds the name in the directory, and locks it, there or not, for a change. NO_SPACE: it is not
 * there, and cannot be added. */
enum status entry_find(struct mvcc_transaction *transaction, const struct lfsx_pool *pool,
                       uint64_t directory, struct lfsx_name name, struct found_entry *found);
/* Finds it to read it, as the transaction's level has it. */
enum status entry_look(struct mvcc_transaction *transaction, const struct lfsx_pool *pool,
                       uint64_t directory, struct lfsx_name name, struct found_entry *found);

/* Makes the entry name the target. */
enum status entry_put(struct mvcc_transaction *transaction, const struct found_entry *place,
                      struct lfsx_name name, uint64_t target, uint8_t kind);
enum status entry_remove(struct mvcc_transaction *transaction, const struct found_entry *place);

#endif
