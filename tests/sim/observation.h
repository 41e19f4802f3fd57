/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody saw of a pool: volumes, shares, snapshots and their content. */
#ifndef TESTS_SIM_OBSERVATION_H
#define TESTS_SIM_OBSERVATION_H

#include "storage/lfsx/lfsx.h"

#include <stdbool.h>
#include <stdint.h>

/* A volume or share, or a snapshot of one. */
struct seen {
    char name[LFSX_NAME_MAX + 1];
    int volume;    /* a snapshot's: index of its volume or share; else -1 */
    bool is_share; /* then `content` is what tree.h makes of it, or nothing yet */
    bool cloned;   /* a snapshot */
    bool kept;     /* a volume: once it is deleted */
    bool is_clone;
    uint64_t id, size;
    bool automatic;                           /* a snapshot that a schedule took */
    uint64_t created_ns;                      /* of a snapshot */
    uint64_t schedule;                        /* observation_schedule() */
    uint64_t logical_blocks, quota, reserved; /* of a volume: blocks */
    unsigned char *content;
    uint64_t capacity;
    unsigned char *unreadable; /* for each block: whether it could not be read */
    uint64_t bad_blocks;
};

struct observation {
    struct seen *all;
    unsigned count, capacity;
    uint64_t pool_bytes; /* of the device, that the pool uses; 0: nobody asked */
};

/* Forgets what was seen and keeps the memory. An observation begins as zeros. */
void observation_clear(struct observation *observation);
void observation_destroy(struct observation *observation);
void observation_copy(struct observation *to, const struct observation *from);
/* Keeps the content and makes room for so many bytes. */
void observation_room(struct seen *one, uint64_t bytes);
struct seen *observation_add(struct observation *observation, const char *name, int volume,
                             uint64_t id, uint64_t size);

/* Looks at all there is in a pool, volumes before snapshots, from a thread of a world. Blocks that
 * cannot be read are noted if `tolerant`; else the first error ends it. */
enum status observe_pool(struct observation *observation, struct lfsx_pool *pool, bool tolerant);
/* A hash of the rules of the volume or share; 0: there are none. */
enum status observation_schedule(struct lfsx_pool *pool, const char *name, uint64_t *hash);
/* Fills one->content from an open volume. */
enum status observe_content(struct seen *one, struct lfsx_volume *volume, bool tolerant);

#endif
