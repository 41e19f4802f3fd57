/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records that transactions on the catalog work on: its items, with what they are in memory.
 *
 * Of a dataset's or snapshot's item a record has what it is and how it is set: what follows from
 * its content (roots, counts, the size of a snapshot, the next inode) and the birth read as zeros,
 * are kept by changes, and may change without a transaction.
 *
 * What is given up is a record no more: transactions delete it, and from then on it is the
 * reaper's, with all snapshots and the schedule of a dataset. Its key never comes back.
 *
 * A committed transaction becomes one update of the catalog, of the datasets in memory, and of the
 * trees that new ones have; durable with a checkpoint. One that takes snapshots is applied by the
 * checkpoint that they ride on.
 */
#ifndef STORAGE_LFSX_CATALOG_CATALOG_RECORDS_H
#define STORAGE_LFSX_CATALOG_CATALOG_RECORDS_H

#include "storage/lfsx/catalog/records_key.h"
#include "storage/lfsx/pool/catalog.h"

/* The attachment of its transactions' commits is their struct lfsx_transaction. */
struct mvcc_store catalog_store(struct lfsx_pool *pool);

/* The record that a snapshot will have; returns its length. Its dataset does not matter. */
size_t catalog_new_snapshot(const struct snapshot *snapshot, union catalog_item *record);

/* ---- catalog_apply.c: applies a transaction, as mvcc.h says ---- */

enum status catalog_apply(void *context, const struct mvcc_change *changes, size_t count,
                          void *attachment);

#endif
