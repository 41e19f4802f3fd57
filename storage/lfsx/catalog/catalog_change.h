/* SPDX-License-Identifier: Apache-2.0 */
/* What changes of the catalog are made of: finding, reading and writing its records in a
 * transaction. All may sleep; no lock held. Errors also as mvcc.h says. */
#ifndef STORAGE_LFSX_CATALOG_CATALOG_CHANGE_H
#define STORAGE_LFSX_CATALOG_CATALOG_CHANGE_H

#include "storage/lfsx/catalog/catalog_records.h"
#include "storage/lfsx/catalog/entry.h"
#include "storage/lfsx/catalog/transaction.h"

/* A name's place in the catalog and, if it is there, the record of what has it. */
struct catalog_named {
    struct found_entry entry;
    union catalog_item record;
};

/* Finds a name that must be there, and locks it with its dataset for a change. NOT_FOUND. */
enum status catalog_name_present(struct lfsx_transaction *transaction, const char *name,
                                 struct catalog_named *named);
/* Finds a place for a name that must not be there, and locks that. EXISTS, NO_SPACE. */
enum status catalog_name_absent(struct lfsx_transaction *transaction, const char *name,
                                struct catalog_named *named);
/* Finds a name to read. NOT_FOUND. */
enum status catalog_name_look(struct lfsx_transaction *transaction, const char *name,
                              struct catalog_named *named);
/* Makes the name that of a dataset. */
enum status catalog_name_put(struct lfsx_transaction *transaction,
                             const struct catalog_named *place, const char *name, uint64_t id);

/* Reads the record of a dataset. NOT_FOUND. */
enum status catalog_dataset_look(struct lfsx_transaction *transaction, uint64_t id,
                                 union catalog_item *record);
/* The same, and locks it for a change. */
enum status catalog_dataset_change(struct lfsx_transaction *transaction, uint64_t id,
                                   union catalog_item *record);
enum status catalog_dataset_put(struct lfsx_transaction *transaction,
                                const union catalog_item *record);
/* Gives the record a name. */
void catalog_dataset_rename(union catalog_item *record, const char *name);

/* Finds a snapshot of the dataset by its name, and locks its record. NOT_FOUND. */
enum status catalog_snapshot_find(struct lfsx_transaction *transaction, uint64_t dataset,
                                  const char *name, enum mvcc_lock_mode mode, uint64_t *epoch);
/* Sees to it that no snapshot of the dataset has the name to the end of the transaction; locks all
 * of them. EXISTS. */
enum status catalog_snapshot_absent(struct lfsx_transaction *transaction, uint64_t dataset,
                                    const char *name);
/* Locks all snapshots of a dataset, and that there are no others. */
enum status catalog_snapshots_lock(struct lfsx_transaction *transaction, uint64_t dataset);
/* The same, and deletes them. BUSY: there are some, and none may be. */
enum status catalog_snapshots_delete(struct lfsx_transaction *transaction, uint64_t dataset,
                                     bool none_may_be);

/* Deletes the record, if there is one. */
enum status catalog_delete_if_there(struct lfsx_transaction *transaction, const struct key *key);

#endif
