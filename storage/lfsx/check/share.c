/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of a share: names and inodes against each other, sizes against extents.
 *
 * Looks at the live tree once more, as a whole, after all its nodes were found sound. What its
 * inodes and names are is collected, in the tree's order, and compared at the end; that takes some
 * 100 bytes of memory for each.
 */
#include "base/math.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"
#include "storage/lfsx/format/values.h"

struct inode {
    uint64_t number;
    uint64_t parent; /* of a directory */
    uint64_t size, data_blocks;
    uint64_t seen_blocks, seen_bytes; /* of extents; of a symbolic link's target */
    uint64_t extent_end;              /* blocks */
    uint64_t leaf;
    uint64_t names; /* entries that name it */
    uint32_t mode, links;
    bool was_passed; /* on the way up from somewhere */
    bool is_reachable;
};

struct entry {
    uint64_t directory, target;
    uint64_t leaf;
    uint8_t kind;
};

struct order {
    uint64_t inode, leaf;
};

struct structure {
    struct check *check;
    const struct check_dataset *dataset;
    const char *name;          /* of the share */
    struct check_array inodes; /* struct inode, ascending */
    struct check_array entries;
    struct check_array orders; /* struct order, ascending */

    /* The attribute whose pieces come. */
    struct key piece;
    uint64_t pieces_left;
};

static uint32_t kind_of(const struct inode *inode) {
    return inode->mode & DISK_MODE_KIND;
}

static struct inode *find(const struct structure *s, uint64_t number) {
    struct inode *inodes = s->inodes.items;
    uint64_t low = 0;
    uint64_t high = s->inodes.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (inodes[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->inodes.count && inodes[low].number == number ? &inodes[low] : NULL;
}

static bool has_order(const struct structure *s, uint64_t number) {
    const struct order *orders = s->orders.items;
    uint64_t low = 0;
    uint64_t high = s->orders.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (orders[middle].inode < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->orders.count && orders[low].inode == number;
}

/* ---- collecting ---- */

static void take_inode(struct structure *s, const struct item *item, uint64_t leaf) {
    const struct disk_inode *disk = item->value;
    struct inode *inode = check_array_add(s->check, &s->inodes, sizeof *inode);
    if (inode == NULL)
        return;
    *inode = (struct inode){.number = item->key.inode,
                            .parent = le64_get(disk->parent),
                            .size = le64_get(disk->size),
                            .data_blocks = le64_get(disk->data_blocks),
                            .leaf = leaf,
                            .mode = le32_get(disk->mode),
                            .links = le32_get(disk->links)};
    if (inode->number >= s->dataset->next_inode)
        check_report(s->check, CHECK_INODE_NUMBER, leaf,
                     "inode %llu has a number that a new one would get again (share %s)",
                     (unsigned long long)inode->number, s->name);
}

/* The inode that the item belongs to, which comes right before what belongs to it; NULL, and
 * reported: it is not there, or has no such items. */
static struct inode *owner_of(struct structure *s, const struct item *item, uint64_t leaf,
                              uint32_t kind) {
    struct inode *last = s->inodes.items;
    if (s->inodes.count > 0)
        last += s->inodes.count - 1;
    if (s->inodes.count > 0 && last->number == item->key.inode &&
        (kind == 0 || kind_of(last) == kind))
        return last;
    check_report(s->check, CHECK_ITEM_STRAY, leaf,
                 "an item of type %u belongs to inode %llu, which %s (share %s)", item->key.type,
                 (unsigned long long)item->key.inode,
                 s->inodes.count > 0 && last->number == item->key.inode ? "has no such items"
                                                                        : "does not exist",
                 s->name);
    return NULL;
}

static void take_entry(struct structure *s, const struct item *item, uint64_t leaf) {
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
    struct entry *entry = check_array_add(s->check, &s->entries, sizeof *entry);
    if (entry != NULL)
        *entry = (struct entry){item->key.inode, le64_get(disk->target), leaf, disk->kind};
}

static void report_pieces(struct structure *s) {
    if (s->pieces_left > 0)
        check_report(s->check, CHECK_XATTR_PIECES, CHECK_NO_BLOCK,
                     "an extended attribute of inode %llu lacks %llu pieces (share %s)",
                     (unsigned long long)s->piece.inode, (unsigned long long)s->pieces_left,
                     s->name);
    s->pieces_left = 0;
}

static void take_xattr(struct structure *s, const struct item *item, uint64_t leaf) {
    const struct disk_xattr *xattr = item->value;
    (void)owner_of(s, item, leaf, 0);
    bool follows = s->pieces_left > 0 && s->piece.inode == item->key.inode &&
                   s->piece.offset + 1 == item->key.offset;
    bool is_first = item->key.offset % DISK_XATTR_PIECES == 0;
    uint64_t total = xattr->name_length + le32_get(xattr->value_length);
    if (!follows || is_first) {
        report_pieces(s);
        s->pieces_left = math_divide_up(total, DISK_XATTR_PIECE);
        s->pieces_left -= MATH_MIN(s->pieces_left, item->key.offset % DISK_XATTR_PIECES);
        if (!is_first)
            check_report(s->check, CHECK_XATTR_PIECES, leaf,
                         "an extended attribute of inode %llu lacks its first pieces (share %s)",
                         (unsigned long long)item->key.inode, s->name);
    }
    s->piece = item->key;
    s->pieces_left--;
}

static void take_extent(struct structure *s, const struct item *item, uint64_t leaf) {
    struct inode *inode = owner_of(s, item, leaf, DISK_MODE_REGULAR);
    const struct disk_extent *extent = item->value;
    if (inode == NULL)
        return;
    inode->seen_blocks += le32_get(extent->block_count);
    inode->extent_end = item->key.offset + le32_get(extent->block_count);
}

static void take_target(struct structure *s, const struct item *item, uint64_t leaf) {
    struct inode *inode = owner_of(s, item, leaf, DISK_MODE_SYMLINK);
    if (inode == NULL)
        return;
    bool fits = inode->seen_bytes == item->key.offset * DISK_SYMLINK_PIECE;
    inode->seen_bytes = fits ? inode->seen_bytes + item->length : UINT64_MAX;
}

static void take_order(struct structure *s, const struct item *item, uint64_t leaf) {
    struct order *order = check_array_add(s->check, &s->orders, sizeof *order);
    if (order != NULL)
        *order = (struct order){item->key.offset, leaf};
}

static void visit(struct check_tree *tree, const struct item *item, uint64_t leaf) {
    struct structure *s = tree->context;
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
    default:
        take_order(s, item, leaf);
    }
}

/* ---- comparing ---- */

static uint8_t entry_kind(const struct inode *inode) {
    if (kind_of(inode) == DISK_MODE_DIRECTORY)
        return DISK_ENTRY_DIRECTORY;
    return kind_of(inode) == DISK_MODE_SYMLINK ? DISK_ENTRY_SYMLINK : DISK_ENTRY_REGULAR;
}

static void compare_entries(struct structure *s) {
    const struct entry *entries = s->entries.items;
    for (uint64_t i = 0; i < s->entries.count; i++) {
        const struct entry *entry = &entries[i];
        struct inode *inode = find(s, entry->target);
        const char *wrong = NULL;
        if (inode == NULL)
            wrong = "does not exist";
        else if (entry_kind(inode) != entry->kind)
            wrong = "is of another kind";
        else if (kind_of(inode) == DISK_MODE_DIRECTORY && inode->parent != entry->directory)
            wrong = "is a directory and says that it is in another one";
        if (wrong != NULL)
            check_report(s->check, CHECK_ENTRY_WRONG, entry->leaf,
                         "a name in directory %llu names inode %llu, which %s (share %s)",
                         (unsigned long long)entry->directory, (unsigned long long)entry->target,
                         wrong, s->name);
        if (inode != NULL)
            inode->names++;
    }
}

static void compare_links(struct structure *s, const struct inode *inode) {
    bool is_root = inode->number == DISK_ROOT_INODE;
    uint64_t names = inode->names + is_root;
    if (inode->links != names)
        check_report(s->check, CHECK_INODE_LINKS, inode->leaf,
                     "inode %llu has %u links and %llu names (share %s)",
                     (unsigned long long)inode->number, inode->links, (unsigned long long)names,
                     s->name);
    if (inode->links == 0 && !has_order(s, inode->number))
        check_report(s->check, CHECK_INODE_ORPHAN, inode->leaf,
                     "inode %llu has no links, and nobody is told to clean it up (share %s)",
                     (unsigned long long)inode->number, s->name);
}

static void compare_content(struct structure *s, const struct inode *inode) {
    if (inode->seen_blocks != inode->data_blocks)
        check_report(s->check, CHECK_INODE_BLOCKS, inode->leaf,
                     "inode %llu has %llu data blocks and says %llu (share %s)",
                     (unsigned long long)inode->number, (unsigned long long)inode->seen_blocks,
                     (unsigned long long)inode->data_blocks, s->name);
    bool behind = inode->extent_end > math_divide_up(inode->size, DISK_BLOCK_SIZE);
    if (kind_of(inode) == DISK_MODE_REGULAR && behind && !has_order(s, inode->number))
        check_report(s->check, CHECK_EXTENT_BEHIND_END, inode->leaf,
                     "inode %llu has extents behind its end, and nobody is told to clean them up "
                     "(share %s)",
                     (unsigned long long)inode->number, s->name);
    if (kind_of(inode) == DISK_MODE_SYMLINK && inode->seen_bytes != inode->size)
        check_report(s->check, CHECK_SYMLINK_TARGET, inode->leaf,
                     "inode %llu, a symbolic link, lacks a part of its target (share %s)",
                     (unsigned long long)inode->number, s->name);
}

static struct inode *above(const struct structure *s, const struct inode *inode) {
    struct inode *parent = find(s, inode->parent);
    bool is_named = inode->names > 0 && inode->number != DISK_ROOT_INODE;
    return is_named && parent != NULL && kind_of(parent) == DISK_MODE_DIRECTORY ? parent : NULL;
}

/* Whether the way up from a directory ends at the root. What it passes is then known, too; what was
 * passed before and is not reachable is a dead end. */
static bool is_reachable(struct structure *s, struct inode *from) {
    struct inode *at = from;
    while (at != NULL && !at->is_reachable && !at->was_passed) {
        at->was_passed = true;
        at = above(s, at);
    }
    if (at == NULL || !at->is_reachable)
        return false;
    for (at = from; !at->is_reachable; at = above(s, at))
        at->is_reachable = true;
    return true;
}

/* Directories without a name are reported by their links. */
static void find_unreachable(struct structure *s) {
    struct inode *inodes = s->inodes.items;
    for (uint64_t i = 0; i < s->inodes.count; i++) {
        struct inode *inode = &inodes[i];
        if (kind_of(inode) != DISK_MODE_DIRECTORY || inode->names == 0)
            continue;
        if (!is_reachable(s, inode))
            check_report(s->check, CHECK_INODE_UNREACHABLE, inode->leaf,
                         "directory %llu cannot be reached from the root (share %s)",
                         (unsigned long long)inode->number, s->name);
    }
}

static void compare(struct structure *s) {
    struct inode *inodes = s->inodes.items;
    struct inode *root = find(s, DISK_ROOT_INODE);
    if (root == NULL || kind_of(root) != DISK_MODE_DIRECTORY) {
        check_report(s->check, CHECK_INODE_MISSING, s->dataset->head.root.block,
                     "the root directory is missing (share %s)", s->name);
        return;
    }
    root->is_reachable = true;
    compare_entries(s);
    for (uint64_t i = 0; i < s->inodes.count; i++) {
        compare_links(s, &inodes[i]);
        compare_content(s, &inodes[i]);
    }
    find_unreachable(s);
}

void check_share(struct check *check, const struct check_dataset *dataset) {
    struct structure s = {.check = check, .dataset = dataset, .name = dataset->name};
    struct check_tree tree = {.check = check,
                              .owner = dataset->id,
                              .dataset = dataset,
                              .name = dataset->name,
                              .root = dataset->head.root,
                              .epoch = check->super.epoch,
                              .again = true,
                              .visit = visit,
                              .context = &s};
    check_tree_walk(&tree);
    report_pieces(&s);
    if (!tree.incomplete && check->failure == STATUS_OK)
        compare(&s);
    os_free(s.inodes.items);
    os_free(s.entries.items);
    os_free(s.orders.items);
}
