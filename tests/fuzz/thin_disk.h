/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large disk in memory that takes no more of it than what is on the disk says: a block of one
 * word, over and over, is that word.
 */
#ifndef TESTS_FUZZ_THIN_DISK_H
#define TESTS_FUZZ_THIN_DISK_H

#include "base/blockdev.h"

#include <stdbool.h>
#include <stdint.h>

#define THIN_BLOCK 4096u

struct thin_disk {
    struct blockdev device;
    uint64_t *words;      /* of each block, */
    bool *is_page;        /* but for those that are more than that: */
    unsigned char *pages; /* they stand here, each at its place */
};

/* All zeros; `bytes` is a multiple of THIN_BLOCK. Requests are of whole blocks. Ends the program if
 * there is no memory. */
void thin_disk_init(struct thin_disk *disk, uint64_t bytes);
void thin_disk_destroy(struct thin_disk *disk);

/* The block's bytes, to look at and to change. */
void *thin_disk_page(struct thin_disk *disk, uint64_t block);

#endif
