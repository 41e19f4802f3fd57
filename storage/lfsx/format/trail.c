/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/format/trail.h"
#include "base/os.h"

void trail_follow(struct trail *trail, struct blockdev *device, const struct pointer *root) {
    trail->device = device;
    trail->root = *root;
    trail->lowest = DISK_LEVEL_MAX + 1;
}

void trail_release(struct trail *trail) {
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++) {
        os_page_free(trail->pages[level], DISK_BLOCK_SIZE);
        trail->pages[level] = NULL;
    }
    trail->lowest = DISK_LEVEL_MAX + 1;
}

/* Reads the node that the step is about into the page of its level. Whose it is was told by who
 * walked the tree. */
static enum status enter(struct trail *trail, const struct trail_step *step) {
    unsigned level = step->pointer.level;
    if (trail->pages[level] == NULL)
        trail->pages[level] = os_page_alloc(DISK_BLOCK_SIZE);
    struct disk_node *node = trail->pages[level];
    if (node == NULL)
        return STATUS_NO_MEMORY;
    trail->lowest = level + 1;
    uint64_t block = step->pointer.block;
    if (block >= trail->device->size / DISK_BLOCK_SIZE)
        return STATUS_CORRUPT;
    const char *why;
    enum status status =
        blockdev_read(trail->device, block * DISK_BLOCK_SIZE, node, DISK_BLOCK_SIZE);
    if (status == STATUS_OK)
        status = node_validate(node, &step->pointer, le64_get(node->owner), &why);
    if (status == STATUS_OK) {
        trail->steps[level] = *step;
        trail->lowest = level;
    }
    return status;
}

static bool covers(const struct node_bounds *bounds, const struct key *key) {
    return bounds->is_root || (key_compare(key, &bounds->low) >= 0 &&
                               (!bounds->has_high || key_compare(key, &bounds->high) < 0));
}

enum status trail_look(struct trail *trail, const struct key *key, unsigned level,
                       struct trail_step *step) {
    unsigned top = trail->root.level;
    if (trail->root.block == 0 || top > DISK_LEVEL_MAX || level > top)
        return STATUS_NOT_FOUND;
    *step = (struct trail_step){.pointer = trail->root, .bounds = {.is_root = true}};
    unsigned known = level + 1; /* lowest level above it whose node is remembered and has the key */
    while (known <= top && (known < trail->lowest || !covers(&trail->steps[known].bounds, key)))
        known++;
    if (known <= top)
        *step = trail->steps[known];
    while (step->pointer.level > level) {
        enum status status = step->pointer.level < known ? enter(trail, step) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
        const struct disk_node *node = trail->pages[step->pointer.level];
        unsigned index = node_child_index(node, key);
        step->bounds = node_child_bounds(node, index, &step->bounds);
        step->pointer = node_child(node, index);
    }
    return STATUS_OK;
}

bool trail_is_same(const struct trail_step *older, const struct trail_step *other) {
    const struct pointer *a = &older->pointer;
    const struct pointer *b = &other->pointer;
    if (a->block != b->block || a->birth != b->birth || a->checksum != b->checksum ||
        a->level != b->level)
        return false;
    if (other->bounds.is_root)
        return true; /* the root may have any keys */
    return !older->bounds.is_root && key_compare(&older->bounds.low, &other->bounds.low) == 0 &&
           (!other->bounds.has_high ||
            (older->bounds.has_high && key_compare(&older->bounds.high, &other->bounds.high) <= 0));
}
