/* SPDX-License-Identifier: Apache-2.0 */
/* One way through a share's tree: what its inodes and names are. What can be told of an inode from
 * its own items is decided here. */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/share_mend.h"

#define BATCH 32u

struct batch {
    struct btree *tree;
    struct key from;
    unsigned count;
    struct batch_item {
        struct key key;
        uint16_t length;
        uint64_t value[DISK_VALUE_MAX / 8];
    } items[BATCH];
};

void mend_say(struct share_mend *mend, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    format_text_v(text, sizeof text, format, arguments);
    va_end(arguments);
    repair_say(mend->repair, "share %s: %s", mend->name, text);
}

void mend_remove(struct share_mend *mend, const struct key *key, const struct key *last) {
    struct mend_change change = {.operation = MEND_REMOVE, .key = *key, .last = *last};
    spill_array_add(mend->changes, &change);
}

void mend_lose(struct share_mend *mend, const struct mend_loss *loss) {
    spill_array_add(mend->losses, loss);
}

/* ---- searching ---- */

static bool inode_before(const void *item, const void *key) {
    return ((const struct mend_inode *)item)->number < *(const uint64_t *)key;
}

uint64_t mend_first(struct share_mend *mend, uint64_t number) {
    return spill_array_search(mend->inodes, &number, inode_before);
}

uint64_t mend_find(struct share_mend *mend, uint64_t number, struct mend_inode *inode) {
    uint64_t index = mend_first(mend, number);
    if (index == spill_array_count(mend->inodes))
        return UINT64_MAX;
    struct mend_inode found;
    spill_array_get(mend->inodes, index, &found);
    if (found.number != number)
        return UINT64_MAX;
    *inode = found;
    return index;
}

static bool target_before(const void *item, const void *key) {
    return ((const struct mend_target *)item)->target < *(const uint64_t *)key;
}

uint64_t mend_first_target(struct share_mend *mend, uint64_t inode) {
    return spill_array_search(mend->targets, &inode, target_before);
}

static bool entry_before(const void *item, const void *key) {
    const struct mend_entry *entry = item;
    const struct mend_entry *place = key;
    return entry->directory != place->directory ? entry->directory < place->directory
                                                : entry->offset < place->offset;
}

uint64_t mend_first_entry(struct share_mend *mend, uint64_t directory, uint64_t offset) {
    struct mend_entry place = {.directory = directory, .offset = offset};
    return spill_array_search(mend->entries, &place, entry_before);
}

/* ---- an inode ---- */

static void end_xattr(struct share_mend *mend) {
    struct mend_xattr *xattr = &mend->xattr;
    if (xattr->is_open && (xattr->is_bad || xattr->pieces != xattr->wanted)) {
        struct key key = {mend->inode.number, xattr->base, DISK_TYPE_XATTR};
        struct key last = key;
        last.offset += DISK_XATTR_PIECES - 1;
        mend_remove(mend, &key, &last);
        mend_lose(mend,
                  &(struct mend_loss){.kind = LFSX_LOSS_ATTRIBUTES, .inode = mend->inode.number});
    }
    xattr->is_open = false;
}

static void end_inode(struct share_mend *mend) {
    end_xattr(mend);
    if (mend->inode.number != 0)
        spill_array_add(mend->inodes, &mend->inode);
}

/* The root directory comes first, whether it is there or not. */
static void begin_inode(struct share_mend *mend, uint64_t number) {
    end_inode(mend);
    if (mend->inode.number == 0 && number != DISK_ROOT_INODE) {
        mend->inode = (struct mend_inode){.number = DISK_ROOT_INODE};
        end_inode(mend);
    }
    mend->inode = (struct mend_inode){.number = number};
    mend->next_inode = MATH_MAX(mend->next_inode, number + 1);
}

static void take_inode(struct share_mend *mend, const struct batch_item *item) {
    const struct disk_inode *disk = (const struct disk_inode *)item->value;
    struct mend_inode *inode = &mend->inode;
    inode->is_there = true;
    inode->parent = le64_get(disk->parent);
    inode->size = le64_get(disk->size);
    inode->data_blocks = le64_get(disk->data_blocks);
    inode->mode = le32_get(disk->mode);
    inode->links = le32_get(disk->links);
}

static void take_entry(struct share_mend *mend, const struct batch_item *item) {
    const struct disk_entry *disk = (const struct disk_entry *)item->value;
    uint64_t hash =
        names_hash(mend->pool->label.pool_uuid, (const char *)disk->name, disk->name_length);
    struct mend_entry entry = {.directory = item->key.inode,
                               .offset = item->key.offset,
                               .target = le64_get(disk->target),
                               .hash = hash & ~(uint64_t)(DISK_ENTRY_SLOTS - 1),
                               .kind = disk->kind};
    entry.is_moved = (entry.offset & ~(uint64_t)(DISK_ENTRY_SLOTS - 1)) != entry.hash;
    struct mend_target target = {entry.target, spill_array_count(mend->entries)};
    spill_array_add(mend->entries, &entry);
    spill_array_add(mend->targets, &target);
    mend->inode.has_entries = true;
}

/* The pieces of an attribute are there, one after the other, and say the same of it. */
static void take_xattr(struct share_mend *mend, const struct batch_item *item) {
    const struct disk_xattr *disk = (const struct disk_xattr *)item->value;
    struct mend_xattr *xattr = &mend->xattr;
    uint64_t piece = item->key.offset % DISK_XATTR_PIECES;
    uint64_t base = item->key.offset - piece;
    uint64_t total = disk->name_length + le32_get(disk->value_length);
    uint64_t wanted = math_divide_up(total, DISK_XATTR_PIECE);
    mend->inode.has_others = true;
    if (xattr->is_open && xattr->base != base)
        end_xattr(mend);
    if (!xattr->is_open)
        *xattr = (struct mend_xattr){.base = base, .wanted = wanted, .is_open = true};
    xattr->is_bad |= piece != xattr->pieces || wanted != xattr->wanted;
    xattr->pieces++;
}

static void take_target(struct share_mend *mend, const struct batch_item *item) {
    struct mend_inode *inode = &mend->inode;
    bool fits = inode->seen_bytes == item->key.offset * DISK_SYMLINK_PIECE &&
                inode->seen_bytes + item->length <= DISK_SYMLINK_MAX;
    inode->seen_bytes = fits ? inode->seen_bytes + item->length : UINT64_MAX;
    inode->has_target = true;
}

static void take_item(struct share_mend *mend, const struct batch_item *item) {
    const struct disk_extent *extent = (const struct disk_extent *)item->value;
    if (item->key.type == DISK_TYPE_CLEANUP) {
        spill_array_add(mend->orders, &item->key.offset);
        return;
    }
    if (item->key.inode != mend->inode.number)
        begin_inode(mend, item->key.inode);
    switch (item->key.type) {
    case DISK_TYPE_INODE:
        take_inode(mend, item);
        break;
    case DISK_TYPE_ENTRY:
        take_entry(mend, item);
        break;
    case DISK_TYPE_XATTR:
        take_xattr(mend, item);
        break;
    case DISK_TYPE_EXTENT:
        mend->inode.has_extents = true;
        mend->inode.seen_blocks += le32_get(extent->block_count);
        mend->inode.extent_end = item->key.offset + le32_get(extent->block_count);
        break;
    default:
        take_target(mend, item);
    }
}

/* ---- all of them ---- */

static enum status copy_some(void *context, struct btree_cursor *cursor) {
    struct batch *batch = context;
    batch->count = 0;
    enum status status = btree_seek(batch->tree, &batch->from, cursor);
    while (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        struct batch_item *copy = &batch->items[batch->count++];
        copy->key = item.key;
        copy->length = item.length;
        memcpy(copy->value, item.value, item.length);
        if (batch->count == BATCH)
            return STATUS_OK;
        status = btree_next(cursor);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static struct key after(struct key key) {
    if (++key.offset == 0 && ++key.type == 0)
        key.inode++;
    return key;
}

static bool target_order(const void *a, const void *b) {
    return ((const struct mend_target *)a)->target < ((const struct mend_target *)b)->target;
}

/* Orders stand before all inodes, by their number. */
static void mark_orders(struct share_mend *mend) {
    for (uint64_t i = 0; i < spill_array_count(mend->orders); i++) {
        uint64_t number;
        struct mend_inode inode;
        spill_array_get(mend->orders, i, &number);
        uint64_t index = mend_find(mend, number, &inode);
        if (index == UINT64_MAX)
            continue;
        inode.has_order = true;
        spill_array_put(mend->inodes, index, &inode);
    }
}

void mend_collect(struct share_mend *mend) {
    struct batch *batch = os_alloc_zeroed(sizeof *batch);
    if (batch == NULL) {
        mend->failure = STATUS_NO_MEMORY;
        return;
    }
    batch->tree = mend->tree;
    do {
        enum status status = pool_look(mend->pool, copy_some, batch);
        if (status != STATUS_OK)
            mend->failure = status;
        for (unsigned i = 0; i < batch->count && mend->failure == STATUS_OK; i++)
            take_item(mend, &batch->items[i]);
        if (batch->count > 0)
            batch->from = after(batch->items[batch->count - 1].key);
    } while (mend->failure == STATUS_OK && batch->count == BATCH);
    begin_inode(mend, 0);
    os_free(batch);
    spill_array_sort(mend->targets, target_order);
    mark_orders(mend);
}
