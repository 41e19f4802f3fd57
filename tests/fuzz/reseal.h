/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes checksums right again after structures were changed, from the leaves up to the superblock,
 * so that nothing but the validators stands between a change and the code behind them. Follows
 * whatever it finds, and gives up where there is nothing to follow.
 */
#ifndef TESTS_FUZZ_RESEAL_H
#define TESTS_FUZZ_RESEAL_H

#include "storage/lfsx/format/geometry.h"

#include <stdint.h>

/* The chain of entries of a journal from `block` of its ring on. */
void reseal_journal(unsigned char *ring, uint64_t ring_blocks, uint64_t block, uint64_t previous);

/* A pool of one region: both labels and both superblocks of a checkpoint with all that they name,
 * data excepted. The geometry is that of the pool before it was changed. */
void reseal_pool(unsigned char *content, const struct geometry *geometry, uint64_t checkpoint);

/* The same walk, changing nothing: calls visit for every node's block, a node named twice twice. */
void reseal_list_nodes(unsigned char *content, const struct geometry *geometry, uint64_t checkpoint,
                       void (*visit)(void *context, uint64_t block), void *context);

#endif
