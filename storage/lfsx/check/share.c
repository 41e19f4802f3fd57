/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of a share: names and inodes against each other, sizes against extents.
 *
 * Looks at the live tree once more, as a whole, after all its nodes were found sound. What its
 * inodes and names are is collected, in the tree's order, and compared at the end.
 */
#include "base/math.h"
#include "storage/lfsx/check/share_internal.h"
#include "storage/lfsx/format/values.h"

/* All that belongs to the last inode has come. */
static void end_inode(struct check_structure *s) {
    if (s->has_last)
        spill_array_add(s->inodes, &s->last);
    s->has_last = false;
}

static void take_inode(struct check_structure *s, const struct item *item, uint64_t leaf) {
    const struct disk_inode *disk = item->value;
    end_inode(s);
    s->has_last = true;
    s->last = (struct check_inode){.number = item->key.inode,
                                   .parent = le64_get(disk->parent),
                                   .size = le64_get(disk->size),
                                   .data_blocks = le64_get(disk->data_blocks),
                                   .leaf = leaf,
                                   .mode = le32_get(disk->mode),
                                   .links = le32_get(disk->links)};
    if (s->last.number >= s->dataset->next_inode)
        check_report(s->check, CHECK_INODE_NUMBER, leaf,
                     "inode %llu has a number that a new one would get again (share %s)",
                     (unsigned long long)s->last.number, s->name);
}

/* The inode that the item belongs to, which comes right before what belongs to it; NULL, and
 * reported: it is not there, or has no such items. */
static struct check_inode *owner_of(struct check_structure *s, const struct item *item,
                                    uint64_t leaf, uint32_t kind) {
    bool exists = s->has_last && s->last.number == item->key.inode;
    if (exists && (kind == 0 || check_inode_kind(&s->last) == kind))
        return &s->last;
    check_report(s->check, CHECK_ITEM_STRAY, leaf,
                 "an item of type %u belongs to inode %llu, which %s (share %s)", item->key.type,
                 (unsigned long long)item->key.inode,
                 exists ? "has no such items" : "does not exist", s->name);
    return NULL;
}

static void take_entry(struct check_structure *s, const struct item *item, uint64_t leaf) {
    const struct disk_entry *disk = item->value;
    if (owner_of(s, item, leaf, DISK_MODE_DIRECTORY) == NULL)
        return;
    uint64_t hash =
        names_hash(s->check->label.pool_uuid, (const char *)disk->name, disk->name_length);
    if (hash / DISK_ENTRY_SLOTS != item->key.offset / DISK_ENTRY_SLOTS)
        check_report(s->check, CHECK_NAME_HASH, leaf,
                     "a name stands where no one would find it: %.*s in directory %llu (share %s)",
                     disk->name_length, (const char *)disk->name,
                     (unsigned long long)item->key.inode, s->name);
    struct check_entry entry = {item->key.inode, le64_get(disk->target), leaf, disk->kind};
    spill_array_add(s->entries, &entry);
}

static void report_pieces(struct check_structure *s) {
    if (s->pieces_left > 0)
        check_report(s->check, CHECK_XATTR_PIECES, CHECK_NO_BLOCK,
                     "an extended attribute of inode %llu lacks %llu pieces (share %s)",
                     (unsigned long long)s->piece.inode, (unsigned long long)s->pieces_left,
                     s->name);
    s->pieces_left = 0;
}

static void take_xattr(struct check_structure *s, const struct item *item, uint64_t leaf) {
    const struct disk_xattr *xattr = item->value;
    const struct check_inode *owner = owner_of(s, item, leaf, 0);
    bool is_going = owner != NULL && owner->links == 0; /* it is removed in parts, from the front */
    bool follows = s->pieces_left > 0 && s->piece.inode == item->key.inode &&
                   s->piece.offset + 1 == item->key.offset;
    bool is_first = item->key.offset % DISK_XATTR_PIECES == 0;
    uint64_t total = xattr->name_length + le32_get(xattr->value_length);
    if (!follows || is_first) {
        report_pieces(s);
        s->pieces_left = math_divide_up(total, DISK_XATTR_PIECE);
        s->pieces_left -= MATH_MIN(s->pieces_left, item->key.offset % DISK_XATTR_PIECES);
        if (!is_first && !is_going)
            check_report(s->check, CHECK_XATTR_PIECES, leaf,
                         "an extended attribute of inode %llu lacks its first pieces (share %s)",
                         (unsigned long long)item->key.inode, s->name);
    }
    s->piece = item->key;
    s->pieces_left--;
}

static void take_extent(struct check_structure *s, const struct item *item, uint64_t leaf) {
    struct check_inode *inode = owner_of(s, item, leaf, DISK_MODE_REGULAR);
    const struct disk_extent *extent = item->value;
    if (inode == NULL)
        return;
    inode->seen_blocks += le32_get(extent->block_count);
    inode->extent_end = item->key.offset + le32_get(extent->block_count);
}

static void take_target(struct check_structure *s, const struct item *item, uint64_t leaf) {
    struct check_inode *inode = owner_of(s, item, leaf, DISK_MODE_SYMLINK);
    if (inode == NULL)
        return;
    bool fits = inode->seen_bytes == item->key.offset * DISK_SYMLINK_PIECE;
    inode->seen_bytes = fits ? inode->seen_bytes + item->length : UINT64_MAX;
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct check_structure *s = tree->context;
    if (item->key.type != DISK_TYPE_XATTR)
        report_pieces(s);
    switch (item->key.type) {
    case DISK_TYPE_INODE:
        take_inode(s, item, leaf);
        break;
    case DISK_TYPE_ENTRY:
        take_entry(s, item, leaf);
        break;
    case DISK_TYPE_XATTR:
        take_xattr(s, item, leaf);
        break;
    case DISK_TYPE_EXTENT:
        take_extent(s, item, leaf);
        break;
    case DISK_TYPE_SYMLINK:
        take_target(s, item, leaf);
        break;
    default: /* an order to clean up */
        spill_array_add(s->orders, &item->key.offset);
    }
}

static bool inode_before(const void *one, const void *two) {
    return ((const struct check_inode *)one)->number < ((const struct check_inode *)two)->number;
}

static bool order_before(const void *one, const void *two) {
    return *(const uint64_t *)one < *(const uint64_t *)two;
}

static void collect(struct check_structure *s) {
    struct check *check = s->check;
    struct check_tree tree = {.check = check,
                              .owner = s->dataset->id,
                              .dataset = s->dataset,
                              .name = s->name,
                              .root = s->dataset->head.root,
                              .epoch = check->super.epoch,
                              .again = true,
                              .visit = visit,
                              .context = s};
    check_tree_walk(&tree);
    report_pieces(s);
    end_inode(s);
    if (tree.disordered) {
        spill_array_sort(s->inodes, inode_before);
        spill_array_sort(s->orders, order_before);
    }
    if (!tree.incomplete && check->failure == STATUS_OK)
        check_structure_compare(s);
}

void check_share(struct check *check, const struct check_dataset *dataset) {
    struct check_structure s = {
        .check = check,
        .dataset = dataset,
        .name = dataset->name,
        .inodes = spill_array_open(check->spill, sizeof(struct check_inode)),
        .entries = spill_array_open(check->spill, sizeof(struct check_entry)),
        .orders = spill_array_open(check->spill, sizeof(uint64_t)),
    };
    if (check->failure == STATUS_OK)
        collect(&s);
    spill_array_close(s.inodes);
    spill_array_close(s.entries);
    spill_array_close(s.orders);
}
