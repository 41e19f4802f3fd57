/* SPDX-License-Identifier: Apache-2.0 */
/* What stands on a device, as text for people: also of pools that are damaged, as far as it goes.
 */
#ifndef STORAGE_LFSX_LFSX_PRINT_H
#define STORAGE_LFSX_LFSX_PRINT_H

#include "base/blockdev.h"
#include "base/status.h"

/* One line without its end. */
typedef void lfsx_print_line(void *context, const char *text);

/*
 * Prints one structure, reading only. `what` and its argument, NULL where there is none:
 *
 *   label                 both copies
 *   superblocks           the ring, a line for each slot
 *   superblock NUMBER     both copies of a checkpoint's superblock
 *   map                   the allocation maps: what is in use
 *   node BLOCK            a node's header and items, whatever is wrong with it
 *   tree [NAME]           all nodes of the catalog; of a dataset (name or number); of
 * VOLUME@SNAPSHOT dataset NAME          the record of a dataset (name or number) snapshots the
 * records of all snapshots dead                  all nodes of all dead trees journal the entries
 * behind the newest checkpoint
 *
 * What is damaged is named as such and gone round. INVALID (there is no such thing, or its argument
 * is missing or malformed), NOT_FOUND (the pool has none), NOT_LFSX (too small for a pool), IO,
 * NO_MEMORY.
 */
enum status lfsx_print(struct blockdev *device, const char *what, const char *argument,
                       lfsx_print_line *line, void *context);

#endif
