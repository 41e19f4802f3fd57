/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants of a node in memory, as of one on disk (lfsx_format.h):
 * 1. keys rise strictly;
 * 2. value i ends where value i - 1 begins, the first at the node's end, so that offsets follow
 * from lengths and there is never a hole to compact;
 * 3. bytes between the last item and the last value are zero.
 */
#include "storage/lfsx/format/node.h"
#include "base/assert.h"
#include "base/checksum.h"
#include "base/mem.h"

_Static_assert(2 * (sizeof(struct disk_item) + DISK_VALUE_MAX) <= DISK_NODE_PAYLOAD,
               "two of the largest items fit");

struct pointer pointer_load(const struct disk_pointer *disk) {
    return (struct pointer){.block = le64_get(disk->block),
                            .birth = le64_get(disk->birth),
                            .checksum = le64_get(disk->checksum),
                            .level = disk->level};
}

void pointer_store(struct disk_pointer *disk, const struct pointer *pointer) {
    *disk = (struct disk_pointer){.block = le64_make(pointer->block),
                                  .birth = le64_make(pointer->birth),
                                  .checksum = le64_make(pointer->checksum),
                                  .level = pointer->level};
}

void node_init(struct disk_node *node, uint8_t level, uint64_t owner) {
    memset(node, 0, DISK_BLOCK_SIZE);
    node->magic = le32_make(DISK_NODE_MAGIC);
    node->level = level;
    node->owner = le64_make(owner);
}

static struct key item_key(const struct disk_item *item) {
    return (struct key){
        .inode = le64_get(item->inode), .offset = le64_get(item->offset), .type = item->type};
}

struct key node_key(const struct disk_node *node, unsigned index) {
    ASSERT(index < node_count(node));
    return item_key(&node->items[index]);
}

struct item node_item(const struct disk_node *node, unsigned index) {
    ASSERT(index < node_count(node));
    const struct disk_item *item = &node->items[index];
    return (struct item){.key = item_key(item),
                         .value = (const char *)node + le16_get(item->value_offset),
                         .length = le16_get(item->value_length)};
}

void *node_value(struct disk_node *node, unsigned index) {
    ASSERT(index < node_count(node));
    return (char *)node + le16_get(node->items[index].value_offset);
}

unsigned node_lower_bound(const struct disk_node *node, const struct key *key) {
    unsigned low = 0;
    unsigned high = node_count(node);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct key candidate = item_key(&node->items[middle]);
        if (key_compare(&candidate, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

unsigned node_child_index(const struct disk_node *node, const struct key *key) {
    ASSERT(node->level > 0);
    ASSERT(node_count(node) > 0);
    unsigned index = node_lower_bound(node, key);
    if (index < node_count(node)) {
        struct key found = item_key(&node->items[index]);
        if (key_compare(&found, key) == 0)
            return index;
    }
    return index > 0 ? index - 1 : 0;
}

struct pointer node_child(const struct disk_node *node, unsigned index) {
    ASSERT(node->level > 0);
    struct item item = node_item(node, index);
    ASSERT(item.length == sizeof(struct disk_pointer));
    return pointer_load(item.value);
}

void node_set_child(struct disk_node *node, unsigned index, const struct pointer *child) {
    ASSERT(node->level == child->level + 1);
    pointer_store(node_value(node, index), child);
}

static void assert_order_around(const struct disk_node *node, unsigned index) {
    struct key key = node_key(node, index);
    if (index > 0) {
        struct key before = node_key(node, index - 1);
        ASSERT(key_compare(&before, &key) < 0);
    }
    if (index + 1 < node_count(node)) {
        struct key after = node_key(node, index + 1);
        ASSERT(key_compare(&key, &after) < 0);
    }
}

static void store_key(struct disk_item *item, const struct key *key) {
    item->inode = le64_make(key->inode);
    item->offset = le64_make(key->offset);
    item->type = key->type;
}

void node_set_key(struct disk_node *node, unsigned index, const struct key *key) {
    ASSERT(index < node_count(node));
    store_key(&node->items[index], key);
    assert_order_around(node, index);
}

/* Where the value of the item before `index` begins: the end of the value at index. */
static unsigned value_end(const struct disk_node *node, unsigned index) {
    return index == 0 ? DISK_BLOCK_SIZE : le16_get(node->items[index - 1].value_offset);
}

size_t node_used(const struct disk_node *node) {
    unsigned count = node_count(node);
    return count * sizeof(struct disk_item) + DISK_BLOCK_SIZE - value_end(node, count);
}

/* Adds `delta` to the value offsets of the items from `index` on. */
static void shift_offsets(struct disk_node *node, unsigned index, int delta) {
    for (unsigned i = index; i < node_count(node); i++) {
        le16 *offset = &node->items[i].value_offset;
        *offset = le16_make((uint16_t)(le16_get(*offset) + delta));
    }
}

void node_insert(struct disk_node *node, unsigned index, const struct key *key, const void *value,
                 uint16_t length) {
    unsigned count = node_count(node);
    ASSERT(index <= count);
    ASSERT(length <= DISK_VALUE_MAX);
    ASSERT(node_has_room(node, node_item_size(length)));
    unsigned end = value_end(node, index);
    unsigned start = value_end(node, count);
    memmove((char *)node + start - length, (char *)node + start, end - start);
    memcpy((char *)node + end - length, value, length);
    shift_offsets(node, index, -(int)length);
    memmove(&node->items[index + 1], &node->items[index],
            (count - index) * sizeof(struct disk_item));
    node->items[index] = (struct disk_item){.value_offset = le16_make((uint16_t)(end - length)),
                                            .value_length = le16_make(length)};
    store_key(&node->items[index], key);
    node->item_count = le16_make((uint16_t)(count + 1));
    assert_order_around(node, index);
}

void node_remove(struct disk_node *node, unsigned index) {
    unsigned count = node_count(node);
    ASSERT(index < count);
    unsigned length = le16_get(node->items[index].value_length);
    unsigned begin = le16_get(node->items[index].value_offset);
    unsigned start = value_end(node, count);
    memmove((char *)node + start + length, (char *)node + start, begin - start);
    memset((char *)node + start, 0, length);
    shift_offsets(node, index + 1, (int)length);
    memmove(&node->items[index], &node->items[index + 1],
            (count - index - 1) * sizeof(struct disk_item));
    memset(&node->items[count - 1], 0, sizeof(struct disk_item));
    node->item_count = le16_make((uint16_t)(count - 1));
}

void node_move_tail(struct disk_node *node, unsigned index, struct disk_node *to) {
    unsigned moved = node_count(node) - index;
    for (unsigned i = 0; i < moved; i++) {
        struct item item = node_item(node, index + i);
        node_insert(to, i, &item.key, item.value, item.length);
    }
    for (unsigned i = 0; i < moved; i++)
        node_remove(node, node_count(node) - 1);
}

void node_move_head(struct disk_node *node, unsigned count, struct disk_node *to) {
    for (unsigned i = 0; i < count; i++) {
        struct item item = node_item(node, 0);
        node_insert(to, node_count(to), &item.key, item.value, item.length);
        node_remove(node, 0);
    }
}

uint64_t node_seal(struct disk_node *node) {
    uint64_t checksum =
        checksum_xxh64((const char *)node + 8, DISK_BLOCK_SIZE - sizeof(node->checksum), 0);
    node->checksum = le64_make(checksum);
    return checksum;
}

static enum status corrupt(const char **why, const char *reason) {
    *why = reason;
    return STATUS_CORRUPT;
}

/* Whether it is the node that the pointer means: content, place, owner, age. */
static enum status validate_identity(const struct disk_node *node, const struct pointer *pointer,
                                     uint64_t owner, const char **why) {
    *why = "its content does not match the checksum in its parent";
    if (le64_get(node->checksum) != pointer->checksum)
        return STATUS_CHECKSUM;
    if (checksum_xxh64((const char *)node + 8, DISK_BLOCK_SIZE - 8, 0) != pointer->checksum)
        return STATUS_CHECKSUM;
    if (le32_get(node->magic) != DISK_NODE_MAGIC)
        return corrupt(why, "it is not a node");
    if (le64_get(node->block) != pointer->block)
        return corrupt(why, "it belongs to another address");
    if (le64_get(node->owner) != owner)
        return corrupt(why, "it belongs to another tree");
    if (le64_get(node->birth) != pointer->birth)
        return corrupt(why, "it is of another epoch");
    if (node->level != pointer->level || node->level > DISK_LEVEL_MAX)
        return corrupt(why, "it is of another level");
    return STATUS_OK;
}

static bool item_is_placed(const struct disk_node *node, unsigned index, unsigned end) {
    const struct disk_item *item = &node->items[index];
    unsigned length = le16_get(item->value_length);
    if (item->reserved != 0 || le16_get(item->reserved2) != 0 || length > DISK_VALUE_MAX)
        return false;
    if (node->level > 0 && length != sizeof(struct disk_pointer))
        return false;
    return length <= end && le16_get(item->value_offset) == end - length;
}

static enum status validate_items(const struct disk_node *node, const char **why) {
    unsigned count = node_count(node);
    if (count * sizeof(struct disk_item) > DISK_NODE_PAYLOAD)
        return corrupt(why, "it says to have more items than fit");
    if (count == 0 && node->level > 0)
        return corrupt(why, "it is an inner node without children");
    unsigned items_end = (unsigned)(sizeof *node + count * sizeof(struct disk_item));
    unsigned end = DISK_BLOCK_SIZE;
    for (unsigned i = 0; i < count; i++) {
        if (!item_is_placed(node, i, end))
            return corrupt(why, "an item is malformed");
        end = le16_get(node->items[i].value_offset);
        if (end < items_end)
            return corrupt(why, "its items overlap");
        if (i == 0)
            continue;
        struct key before = item_key(&node->items[i - 1]);
        struct key key = item_key(&node->items[i]);
        if (key_compare(&before, &key) >= 0)
            return corrupt(why, "its items are out of order");
    }
    if (!mem_is_zero((const char *)node + items_end, end - items_end) ||
        !mem_is_zero(node->reserved2, sizeof node->reserved2) || node->reserved != 0)
        return corrupt(why, "reserved bytes are not zero");
    return STATUS_OK;
}

static enum status validate_children(const struct disk_node *node, const char **why) {
    for (unsigned i = 0; node->level > 0 && i < node_count(node); i++) {
        const struct disk_pointer *disk = node_item(node, i).value;
        if (disk->level + 1 != node->level || le64_get(disk->block) == 0)
            return corrupt(why, "a child pointer is malformed");
        if (le16_get(disk->group) != 0 || !mem_is_zero(disk->reserved, sizeof disk->reserved))
            return corrupt(why, "a child pointer uses what this program does not know");
    }
    return STATUS_OK;
}

enum status node_validate(const struct disk_node *node, const struct pointer *pointer,
                          uint64_t owner, const char **why) {
    enum status status = validate_identity(node, pointer, owner, why);
    if (status == STATUS_OK)
        status = validate_items(node, why);
    if (status == STATUS_OK)
        status = validate_children(node, why);
    return status;
}

struct node_bounds node_child_bounds(const struct disk_node *node, unsigned index,
                                     const struct node_bounds *bounds) {
    struct node_bounds child = {.low = node_key(node, index)};
    bool last = index + 1 == node_count(node);
    child.has_high = !last || bounds->has_high;
    if (child.has_high)
        child.high = last ? bounds->high : node_key(node, index + 1);
    return child;
}

enum status node_bounds_validate(const struct disk_node *node, const struct node_bounds *bounds,
                                 const char **why) {
    unsigned count = node_count(node);
    if (bounds->is_root)
        return STATUS_OK;
    if (count == 0)
        return corrupt(why, "it is empty and not the root");
    struct key first = node_key(node, 0);
    struct key last = node_key(node, count - 1);
    int below = key_compare(&first, &bounds->low);
    if (below < 0 || (below > 0 && node->level > 0))
        return corrupt(why, "its first key is not what its parent says");
    if (bounds->has_high && key_compare(&last, &bounds->high) >= 0)
        return corrupt(why, "its last key belongs into the next node");
    return STATUS_OK;
}
