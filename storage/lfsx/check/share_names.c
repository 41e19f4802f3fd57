/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share's names, inodes and directories against each other.
 *
 * Entries are sorted by what they name, so that one pass over inodes, entries and orders tells all
 * but one thing: which directories can be reached. For that the way up from each is followed as far
 * as it was not followed before.
 */
#include "base/math.h"
#include "storage/lfsx/check/share_internal.h"

#define NOWHERE UINT64_MAX

/* A directory that the pass over the inodes met. */
struct directory {
    uint64_t number, leaf;
    uint64_t parent; /* its number; 0: none that counts */
    uint64_t above;  /* the parent's index among the directories; NOWHERE: there is none */
    bool is_named;
};

struct directories {
    struct check_structure *structure;
    struct spill_array *items; /* struct directory, ascending */
    struct spill_bits *passed; /* on the way up from somewhere */
    struct spill_bits *reachable;
};

/* What the pass comes to next. */
struct pass {
    uint64_t entry, order;
};

static bool inode_before(const void *item, const void *key) {
    return ((const struct check_inode *)item)->number < *(const uint64_t *)key;
}

static bool directory_before(const void *item, const void *key) {
    return ((const struct directory *)item)->number < *(const uint64_t *)key;
}

static bool target_before(const void *one, const void *two) {
    return ((const struct check_entry *)one)->target < ((const struct check_entry *)two)->target;
}

static bool goes_on(const struct check_structure *s) {
    return s->check->failure == STATUS_OK;
}

/* ---- inodes ---- */

static bool has_root(struct check_structure *s) {
    uint64_t number = DISK_ROOT_INODE;
    struct check_inode root = {0};
    uint64_t index = spill_array_search(s->inodes, &number, inode_before);
    if (index < spill_array_count(s->inodes))
        spill_array_get(s->inodes, index, &root);
    bool has = root.number == number && check_inode_kind(&root) == DISK_MODE_DIRECTORY;
    if (!has)
        check_report(s->check, CHECK_INODE_MISSING, s->dataset->head.root.block,
                     "the root directory is missing (share %s)", s->name);
    return has;
}

static uint8_t entry_kind(const struct check_inode *inode) {
    if (check_inode_kind(inode) == DISK_MODE_DIRECTORY)
        return DISK_ENTRY_DIRECTORY;
    return check_inode_kind(inode) == DISK_MODE_SYMLINK ? DISK_ENTRY_SYMLINK : DISK_ENTRY_REGULAR;
}

/* `inode` is what the entry names; NULL: there is none. */
static void compare_entry(struct check_structure *s, const struct check_entry *entry,
                          const struct check_inode *inode) {
    const char *wrong = NULL;
    if (inode == NULL)
        wrong = "does not exist";
    else if (entry_kind(inode) != entry->kind)
        wrong = "is of another kind";
    else if (check_inode_kind(inode) == DISK_MODE_DIRECTORY && inode->parent != entry->directory)
        wrong = "is a directory and says that it is in another one";
    if (wrong != NULL)
        check_report(s->check, CHECK_ENTRY_WRONG, entry->leaf,
                     "a name in directory %llu names inode %llu, which %s (share %s)",
                     (unsigned long long)entry->directory, (unsigned long long)entry->target, wrong,
                     s->name);
}

/* The entries up to those that name the inode, or all if it is NULL; returns how many name it. */
static uint64_t compare_entries(struct check_structure *s, struct pass *pass,
                                const struct check_inode *inode) {
    uint64_t names = 0;
    for (; goes_on(s) && pass->entry < spill_array_count(s->entries); pass->entry++) {
        struct check_entry entry;
        spill_array_get(s->entries, pass->entry, &entry);
        if (inode != NULL && entry.target > inode->number)
            break;
        bool is = inode != NULL && entry.target == inode->number;
        compare_entry(s, &entry, is ? inode : NULL);
        names += is;
    }
    return names;
}

static bool has_order(struct check_structure *s, struct pass *pass, uint64_t number) {
    for (; goes_on(s) && pass->order < spill_array_count(s->orders); pass->order++) {
        uint64_t ordered;
        spill_array_get(s->orders, pass->order, &ordered);
        if (ordered >= number)
            return ordered == number;
    }
    return false;
}

static void compare_links(struct check_structure *s, const struct check_inode *inode,
                          uint64_t entries, bool is_ordered) {
    uint64_t names = entries + (inode->number == DISK_ROOT_INODE);
    if (inode->links != names)
        check_report(s->check, CHECK_INODE_LINKS, inode->leaf,
                     "inode %llu has %u links and %llu names (share %s)",
                     (unsigned long long)inode->number, inode->links, (unsigned long long)names,
                     s->name);
    if (inode->links == 0 && !is_ordered)
        check_report(s->check, CHECK_INODE_ORPHAN, inode->leaf,
                     "inode %llu has no links, and nobody is told to clean it up (share %s)",
                     (unsigned long long)inode->number, s->name);
}

static void compare_content(struct check_structure *s, const struct check_inode *inode,
                            bool is_ordered) {
    if (inode->seen_blocks != inode->data_blocks)
        check_report(s->check, CHECK_INODE_BLOCKS, inode->leaf,
                     "inode %llu has %llu data blocks and says %llu (share %s)",
                     (unsigned long long)inode->number, (unsigned long long)inode->seen_blocks,
                     (unsigned long long)inode->data_blocks, s->name);
    uint32_t kind = check_inode_kind(inode);
    bool behind = inode->extent_end > math_divide_up(inode->size, DISK_BLOCK_SIZE);
    if (kind == DISK_MODE_REGULAR && behind && !is_ordered)
        check_report(s->check, CHECK_EXTENT_BEHIND_END, inode->leaf,
                     "inode %llu has extents behind its end, and nobody is told to clean them up "
                     "(share %s)",
                     (unsigned long long)inode->number, s->name);
    if (kind == DISK_MODE_SYMLINK && inode->seen_bytes != inode->size)
        check_report(s->check, CHECK_SYMLINK_TARGET, inode->leaf,
                     "inode %llu, a symbolic link, lacks a part of its target (share %s)",
                     (unsigned long long)inode->number, s->name);
}

static void add_directory(struct directories *directories, const struct check_inode *inode,
                          uint64_t entries) {
    bool has_parent = entries > 0 && inode->number != DISK_ROOT_INODE;
    struct directory directory = {.number = inode->number,
                                  .leaf = inode->leaf,
                                  .parent = has_parent ? inode->parent : 0,
                                  .above = NOWHERE,
                                  .is_named = entries > 0};
    spill_array_add(directories->items, &directory);
}

static void compare_inodes(struct check_structure *s, struct directories *directories) {
    struct pass pass = {0};
    for (uint64_t i = 0; goes_on(s) && i < spill_array_count(s->inodes); i++) {
        struct check_inode inode;
        spill_array_get(s->inodes, i, &inode);
        uint64_t entries = compare_entries(s, &pass, &inode);
        bool is_ordered = has_order(s, &pass, inode.number);
        compare_links(s, &inode, entries, is_ordered);
        compare_content(s, &inode, is_ordered);
        if (check_inode_kind(&inode) == DISK_MODE_DIRECTORY)
            add_directory(directories, &inode, entries);
    }
    (void)compare_entries(s, &pass, NULL);
}

/* ---- directories ---- */

static struct directory directory_at(const struct directories *directories, uint64_t index) {
    struct directory directory;
    spill_array_get(directories->items, index, &directory);
    return directory;
}

static uint64_t find_directory(const struct directories *directories, uint64_t number) {
    uint64_t index = spill_array_search(directories->items, &number, directory_before);
    bool found = index < spill_array_count(directories->items) &&
                 directory_at(directories, index).number == number;
    return found ? index : NOWHERE;
}

static void find_parents(struct directories *directories) {
    uint64_t count = spill_array_count(directories->items);
    for (uint64_t i = 0; goes_on(directories->structure) && i < count; i++) {
        struct directory directory = directory_at(directories, i);
        if (directory.parent == 0)
            continue;
        directory.above = find_directory(directories, directory.parent);
        spill_array_put(directories->items, i, &directory);
    }
}

/* Whether the way up from a directory ends at the root. What it passes is then known, too; what was
 * passed before and is not reachable is a dead end. */
static bool is_reachable(struct directories *directories, uint64_t from) {
    const struct check_structure *s = directories->structure;
    uint64_t at = from;
    while (goes_on(s) && at != NOWHERE && !spill_bit(directories->reachable, at) &&
           !spill_bit_put(directories->passed, at, true))
        at = directory_at(directories, at).above;
    if (at == NOWHERE || !spill_bit(directories->reachable, at))
        return false;
    for (at = from; goes_on(s) && !spill_bit_put(directories->reachable, at, true);)
        at = directory_at(directories, at).above;
    return true;
}

/* Directories without a name are reported by their links. */
static void find_unreachable(struct directories *directories) {
    struct check_structure *s = directories->structure;
    uint64_t count = spill_array_count(directories->items);
    uint64_t root = find_directory(directories, DISK_ROOT_INODE);
    if (root != NOWHERE)
        spill_bit_put(directories->reachable, root, true);
    for (uint64_t i = 0; goes_on(s) && i < count; i++) {
        struct directory directory = directory_at(directories, i);
        if (directory.is_named && !is_reachable(directories, i))
            check_report(s->check, CHECK_INODE_UNREACHABLE, directory.leaf,
                         "directory %llu cannot be reached from the root (share %s)",
                         (unsigned long long)directory.number, s->name);
    }
}

static void compare_directories(struct directories *directories) {
    struct spill *spill = directories->structure->check->spill;
    uint64_t count = spill_array_count(directories->items);
    find_parents(directories);
    directories->passed = spill_bits_open(spill, count);
    directories->reachable = spill_bits_open(spill, count);
    if (goes_on(directories->structure))
        find_unreachable(directories);
    spill_bits_close(directories->passed);
    spill_bits_close(directories->reachable);
}

void check_structure_compare(struct check_structure *s) {
    struct directories directories = {
        .structure = s,
        .items = spill_array_open(s->check->spill, sizeof(struct directory)),
    };
    if (goes_on(s) && has_root(s)) {
        spill_array_sort(s->entries, target_before);
        compare_inodes(s, &directories);
        compare_directories(&directories);
    }
    spill_array_close(directories.items);
}
