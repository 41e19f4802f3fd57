/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: an entry counts if its tag is its key's and it is not older than the capacity. */
#include "storage/lfsx/data/ghost.h"
#include "base/math.h"
#include "base/os.h"

#define CAPACITY_MAX (1ull << 30) /* ages stay well inside of 32 bits */

void ghost_init(struct ghost *ghost, uint64_t capacity) {
    *ghost = (struct ghost){.capacity = MATH_MIN(MATH_MAX(capacity, 1u), CAPACITY_MAX)};
    uint64_t slots = 2;
    while (slots < 2 * ghost->capacity)
        slots *= 2;
    ghost->mask = slots - 1;
    ghost->entries = os_alloc_zeroed(slots * sizeof *ghost->entries);
}

void ghost_destroy(struct ghost *ghost) {
    os_free(ghost->entries);
    ghost->entries = NULL;
}

static uint64_t mix(uint64_t key) {
    key = (key ^ key >> 32) * 0x9E3779B97F4A7C15ull;
    return key ^ key >> 29;
}

static uint32_t tag_of(uint64_t mixed) {
    return (uint32_t)(mixed >> 32) | 1u;
}

void ghost_add(struct ghost *ghost, uint64_t key) {
    if (ghost->entries == NULL)
        return;
    uint64_t mixed = mix(key);
    ghost->entries[mixed & ghost->mask] = (struct ghost_entry){tag_of(mixed), ++ghost->now};
}

bool ghost_take(struct ghost *ghost, uint64_t key) {
    if (ghost->entries == NULL)
        return false;
    uint64_t mixed = mix(key);
    struct ghost_entry *entry = &ghost->entries[mixed & ghost->mask];
    if (entry->tag != tag_of(mixed) || ghost->now - entry->added >= ghost->capacity)
        return false;
    entry->tag = 0;
    return true;
}
