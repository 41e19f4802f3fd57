/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cache gave up lately: keys without content. One that is wanted again soon was given up too
 * early. A memory that may forget: two keys that meet in one slot leave the younger.
 */
#ifndef STORAGE_LFSX_DATA_GHOST_H
#define STORAGE_LFSX_DATA_GHOST_H

#include <stdbool.h>
#include <stdint.h>

struct ghost_entry {
    uint32_t tag; /* 0: empty */
    uint32_t added;
};

/* Guarded by its user. */
struct ghost {
    struct ghost_entry *entries; /* NULL: remembers nothing */
    uint64_t mask;
    uint64_t capacity; /* a key is forgotten when so many others were added after it */
    uint32_t now;
};

/* Without memory it remembers nothing. */
void ghost_init(struct ghost *ghost, uint64_t capacity);
void ghost_destroy(struct ghost *ghost);
void ghost_add(struct ghost *ghost, uint64_t key);
/* Whether the key was added lately; it is forgotten. */
bool ghost_take(struct ghost *ghost, uint64_t key);

#endif
