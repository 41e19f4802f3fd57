/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names stay. Those that lead nowhere go; a directory keeps one, in the directory that it
 * says it is in if there is one; what goes round in a circle is cut open. What has no name then,
 * but should have one, gets one in lost+found.
 */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/share_mend.h"

#define NO_NAME UINT64_MAX

static void drop(struct share_mend *mend, uint64_t index, struct mend_entry *entry) {
    struct key key = {entry->directory, entry->offset, DISK_TYPE_ENTRY};
    entry->is_dropped = true;
    spill_array_put(mend->entries, index, entry);
    mend_remove(mend, &key, &key);
}

static bool is_directory(struct share_mend *mend, uint64_t number, struct mend_inode *inode) {
    return mend_find(mend, number, inode) != UINT64_MAX && !inode->is_dropped &&
           inode->kind == DISK_MODE_DIRECTORY;
}

static uint8_t entry_kind(uint32_t kind) {
    if (kind == DISK_MODE_DIRECTORY)
        return DISK_ENTRY_DIRECTORY;
    return kind == DISK_MODE_SYMLINK ? DISK_ENTRY_SYMLINK : DISK_ENTRY_REGULAR;
}

/* ---- one name at a time ---- */

static void lose_target(struct share_mend *mend, uint64_t index, const struct mend_entry *entry) {
    mend_lose(mend,
              &(struct mend_loss){.kind = LFSX_LOSS_FILE, .inode = entry->target, .entry = index});
}

/* Both ends of the name. */
static void judge_ends(struct share_mend *mend, uint64_t index, struct mend_entry *entry) {
    struct mend_inode directory;
    struct mend_inode target;
    if (!is_directory(mend, entry->directory, &directory)) {
        entry->is_dropped = true; /* it went as a stray item */
        spill_array_put(mend->entries, index, entry);
        return;
    }
    if (mend_find(mend, entry->target, &target) == UINT64_MAX || target.is_dropped) {
        lose_target(mend, index, entry);
        drop(mend, index, entry);
        return;
    }
    if (entry->kind == entry_kind(target.kind))
        return;
    struct mend_change change = {.operation = MEND_SET_KIND,
                                 .key = {entry->directory, entry->offset, DISK_TYPE_ENTRY},
                                 .kind = entry_kind(target.kind)};
    entry->kind = change.kind;
    spill_array_put(mend->entries, index, entry);
    spill_array_add(mend->changes, &change);
    mend_say(mend, "corrected what a name says that inode %llu is",
             (unsigned long long)entry->target);
}

/* One that stands where nobody looks for it. */
static void judge_place(struct share_mend *mend, const struct mend_entry *entry) {
    if (entry->is_dropped || !entry->is_moved)
        return;
    struct mend_change change = {.operation = MEND_MOVE,
                                 .key = {entry->directory, entry->offset, DISK_TYPE_ENTRY},
                                 .target = entry->target};
    spill_array_add(mend->changes, &change);
    mend_say(mend, "put a name of inode %llu where it is looked for",
             (unsigned long long)entry->target);
}

static void judge_entries(struct share_mend *mend) {
    struct mend_entry entry;
    uint64_t count = spill_array_count(mend->entries);
    for (uint64_t i = 0; i < count && mend->failure == STATUS_OK; i++) {
        spill_array_get(mend->entries, i, &entry);
        judge_ends(mend, i, &entry);
        judge_place(mend, &entry);
    }
}

/* ---- all names of an inode ---- */

/* The name that a directory keeps. */
static uint64_t choose(struct share_mend *mend, const struct mend_inode *inode, uint64_t first) {
    uint64_t chosen = NO_NAME;
    uint64_t count = spill_array_count(mend->targets);
    for (uint64_t i = first; i < count; i++) {
        struct mend_target target;
        struct mend_entry entry;
        spill_array_get(mend->targets, i, &target);
        if (target.target != inode->number)
            break;
        spill_array_get(mend->entries, target.entry, &entry);
        if (!entry.is_dropped && inode->is_there && entry.directory == inode->parent)
            return target.entry;
        if (!entry.is_dropped && chosen == NO_NAME)
            chosen = target.entry;
    }
    return chosen;
}

static void count_names(struct share_mend *mend, struct mend_inode *inode) {
    uint64_t first = mend_first_target(mend, inode->number);
    bool one = inode->kind == DISK_MODE_DIRECTORY;
    uint64_t chosen = one ? choose(mend, inode, first) : NO_NAME;
    uint64_t count = spill_array_count(mend->targets);
    for (uint64_t i = first; i < count && mend->failure == STATUS_OK; i++) {
        struct mend_target target;
        struct mend_entry entry;
        spill_array_get(mend->targets, i, &target);
        if (target.target != inode->number)
            break;
        spill_array_get(mend->entries, target.entry, &entry);
        if (entry.is_dropped)
            continue;
        if (one && target.entry != chosen) {
            drop(mend, target.entry, &entry);
            mend_say(mend, "removed a second name of directory %llu, from directory %llu",
                     (unsigned long long)inode->number, (unsigned long long)entry.directory);
            continue;
        }
        inode->names++;
        inode->name = target.entry;
    }
}

/* Of what has no links and no name only an empty directory, or what is no directory, was removed.
 */
static void judge_deleted(struct share_mend *mend, struct mend_inode *inode) {
    bool removed = inode->is_there && inode->links == 0 && inode->names == 0 &&
                   inode->number != DISK_ROOT_INODE;
    uint64_t first = mend_first_entry(mend, inode->number, 0);
    uint64_t count = spill_array_count(mend->entries);
    for (uint64_t i = first; removed && i < count; i++) {
        struct mend_entry entry;
        spill_array_get(mend->entries, i, &entry);
        if (entry.directory != inode->number)
            break;
        removed = entry.is_dropped;
    }
    inode->is_deleted = removed;
}

static void judge_inodes(struct share_mend *mend) {
    uint64_t count = spill_array_count(mend->inodes);
    for (uint64_t i = 0; i < count && mend->failure == STATUS_OK; i++) {
        struct mend_inode inode;
        spill_array_get(mend->inodes, i, &inode);
        if (inode.is_dropped)
            continue;
        count_names(mend, &inode);
        judge_deleted(mend, &inode);
        spill_array_put(mend->inodes, i, &inode);
    }
}

/* ---- circles ---- */

/* The directory above; false: there is none, or it is the root. */
static bool go_up(struct share_mend *mend, const struct mend_inode *from, struct mend_inode *to) {
    struct mend_entry entry;
    if (from->number == DISK_ROOT_INODE || from->names == 0)
        return false;
    spill_array_get(mend->entries, from->name, &entry);
    return mend_find(mend, entry.directory, to) != UINT64_MAX;
}

static void set_mark(struct share_mend *mend, struct mend_inode *inode, uint64_t mark) {
    struct mend_inode found;
    uint64_t index = mend_find(mend, inode->number, &found);
    inode->mark = mark;
    spill_array_put(mend->inodes, index, inode);
}

static void cut_open(struct share_mend *mend, struct mend_inode *inode) {
    struct mend_entry entry;
    struct mend_inode found;
    spill_array_get(mend->entries, inode->name, &entry);
    drop(mend, inode->name, &entry);
    inode->names = 0;
    spill_array_put(mend->inodes, mend_find(mend, inode->number, &found), inode);
    mend_say(mend, "directory %llu was below itself", (unsigned long long)inode->number);
}

/* Each way up ends at the root, at a directory without a name, or where another one came by. */
static void walk_up(struct share_mend *mend, struct mend_inode inode) {
    uint64_t start = inode.number;
    struct mend_inode next;
    while (mend->failure == STATUS_OK && inode.mark == 0) {
        set_mark(mend, &inode, start);
        if (!go_up(mend, &inode, &next))
            return;
        inode = next;
    }
    if (inode.mark == start)
        cut_open(mend, &inode);
}

static void cut_circles(struct share_mend *mend) {
    uint64_t count = spill_array_count(mend->inodes);
    for (uint64_t i = 0; i < count && mend->failure == STATUS_OK; i++) {
        struct mend_inode inode;
        spill_array_get(mend->inodes, i, &inode);
        if (inode.kind == DISK_MODE_DIRECTORY && !inode.is_dropped && inode.mark == 0)
            walk_up(mend, inode);
    }
}

/* ---- lost+found ---- */

/* A directory that has the name already. */
static uint64_t find_lost_found(struct share_mend *mend) {
    uint64_t hash =
        names_hash(mend->pool->label.pool_uuid, MEND_LOST_FOUND, strlen(MEND_LOST_FOUND)) &
        ~(uint64_t)(DISK_ENTRY_SLOTS - 1);
    uint64_t count = spill_array_count(mend->entries);
    for (uint64_t i = mend_first_entry(mend, DISK_ROOT_INODE, hash); i < count; i++) {
        struct mend_entry entry;
        struct mend_inode inode;
        spill_array_get(mend->entries, i, &entry);
        if (entry.directory != DISK_ROOT_INODE || entry.offset - hash >= DISK_ENTRY_SLOTS)
            return 0;
        if (!entry.is_dropped && !entry.is_moved && is_directory(mend, entry.target, &inode))
            return entry.target;
    }
    return 0;
}

/* It stands behind all others. */
static void make_lost_found(struct share_mend *mend) {
    mend->lost_found = mend->next_inode++;
    struct mend_inode inode = {
        .number = mend->lost_found, .kind = DISK_MODE_DIRECTORY, .is_attached = true};
    struct mend_change change = {.operation = MEND_ATTACH,
                                 .key = {.inode = DISK_ROOT_INODE},
                                 .kind = DISK_ENTRY_DIRECTORY,
                                 .target = inode.number};
    spill_array_add(mend->inodes, &inode);
    spill_array_add(mend->changes, &change);
}

static void attach(struct share_mend *mend, uint64_t index, struct mend_inode *inode) {
    if (mend->lost_found == 0)
        mend->lost_found = find_lost_found(mend);
    if (mend->lost_found == 0)
        make_lost_found(mend);
    inode->is_attached = true;
    spill_array_put(mend->inodes, index, inode);
    struct mend_change change = {.operation = MEND_ATTACH,
                                 .key = {.inode = mend->lost_found},
                                 .kind = entry_kind(inode->kind),
                                 .target = inode->number};
    spill_array_add(mend->changes, &change);
    mend_say(mend, "inode %llu had no name: it is #%llu in lost+found now",
             (unsigned long long)inode->number, (unsigned long long)inode->number);
}

void mend_decide_names(struct share_mend *mend) {
    judge_entries(mend);
    judge_inodes(mend);
    cut_circles(mend);
    uint64_t count = spill_array_count(mend->inodes);
    for (uint64_t i = 0; i < count && mend->failure == STATUS_OK; i++) {
        struct mend_inode inode;
        spill_array_get(mend->inodes, i, &inode);
        bool needs = !inode.is_dropped && !inode.is_deleted && inode.names == 0 &&
                     inode.number != DISK_ROOT_INODE;
        if (needs)
            attach(mend, i, &inode);
    }
}
