/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of each inode. One whose item is lost is made anew from what else it has; what does
 * not belong to its kind goes. The item is right about the kind; names, extents and pieces are
 * right about everything that is counted from them.
 */
#include "base/math.h"
#include "storage/lfsx/repair/share_mend.h"

/* ---- kinds ---- */

/* Whether what is there of the target is all of it. */
static bool has_whole_target(const struct mend_inode *inode) {
    if (!inode->has_target || inode->seen_bytes == UINT64_MAX)
        return false;
    bool ends = inode->seen_bytes % DISK_SYMLINK_PIECE != 0;
    return ends || !inode->is_there || inode->size <= inode->seen_bytes;
}

static uint32_t kind_of(const struct mend_inode *inode) {
    if (inode->number == DISK_ROOT_INODE)
        return DISK_MODE_DIRECTORY;
    if (inode->is_there)
        return inode->mode & DISK_MODE_KIND;
    if (inode->has_entries)
        return DISK_MODE_DIRECTORY;
    return inode->has_extents ? DISK_MODE_REGULAR : DISK_MODE_SYMLINK;
}

static void remove_type(struct share_mend *mend, uint64_t inode, uint8_t first, uint8_t last) {
    struct key key = {.inode = inode, .type = first};
    struct key end = {inode, UINT64_MAX, last};
    mend_remove(mend, &key, &end);
}

static void drop(struct share_mend *mend, struct mend_inode *inode) {
    inode->is_dropped = true;
    remove_type(mend, inode->number, DISK_TYPE_INODE, UINT8_MAX);
    mend_say(mend, "inode %llu is removed: %s", (unsigned long long)inode->number,
             inode->is_there ? "a part of the link's target is lost" : "nothing says what it was");
}

/* Items that the kind does not have. */
static void remove_strays(struct share_mend *mend, const struct mend_inode *inode) {
    bool entries = inode->has_entries && inode->kind != DISK_MODE_DIRECTORY;
    bool extents = inode->has_extents && inode->kind != DISK_MODE_REGULAR;
    bool target = inode->has_target && inode->kind != DISK_MODE_SYMLINK;
    if (entries)
        remove_type(mend, inode->number, DISK_TYPE_ENTRY, DISK_TYPE_ENTRY);
    if (extents) {
        remove_type(mend, inode->number, DISK_TYPE_EXTENT, DISK_TYPE_EXTENT);
        mend_lose(mend, &(struct mend_loss){.kind = LFSX_LOSS_BYTES,
                                            .inode = inode->number,
                                            .bytes = inode->extent_end * DISK_BLOCK_SIZE});
    }
    if (target)
        remove_type(mend, inode->number, DISK_TYPE_SYMLINK, DISK_TYPE_SYMLINK);
    if (entries || extents || target)
        mend_say(mend, "removed items of inode %llu that its kind does not have",
                 (unsigned long long)inode->number);
}

static void decide_kind(struct share_mend *mend, struct mend_inode *inode) {
    inode->kind = kind_of(inode);
    if (inode->kind == DISK_MODE_SYMLINK && !has_whole_target(inode))
        drop(mend, inode);
    else
        remove_strays(mend, inode);
}

/* ---- what items say ---- */

/* A file is as long as its extents at least, unless what is behind its end is to go. */
static uint64_t size_of(const struct mend_inode *inode) {
    if (inode->kind == DISK_MODE_DIRECTORY)
        return 0;
    if (inode->kind == DISK_MODE_SYMLINK)
        return inode->seen_bytes;
    bool behind = inode->extent_end > math_divide_up(inode->size, DISK_BLOCK_SIZE);
    return behind && !(inode->is_there && inode->has_order) ? inode->extent_end * DISK_BLOCK_SIZE
                                                            : inode->size;
}

static uint64_t parent_of(struct share_mend *mend, const struct mend_inode *inode) {
    struct mend_entry entry;
    if (inode->kind != DISK_MODE_DIRECTORY)
        return 0;
    if (inode->number == DISK_ROOT_INODE)
        return DISK_ROOT_INODE;
    if (inode->is_attached)
        return inode->number == mend->lost_found ? DISK_ROOT_INODE : mend->lost_found;
    if (inode->is_deleted)
        return MATH_MAX(inode->parent, DISK_ROOT_INODE);
    spill_array_get(mend->entries, inode->name, &entry);
    return entry.directory;
}

static uint32_t links_of(const struct mend_inode *inode) {
    if (inode->is_deleted)
        return 0;
    bool one = inode->number == DISK_ROOT_INODE || inode->is_attached;
    return one ? 1 : (uint32_t)MATH_MIN(inode->names, UINT32_MAX);
}

static uint32_t mode_of(const struct mend_inode *inode) {
    if (inode->is_there && (inode->mode & DISK_MODE_KIND) == inode->kind)
        return inode->mode;
    if (inode->number == DISK_ROOT_INODE)
        return DISK_MODE_DIRECTORY | 0755u;
    return inode->kind | (inode->kind == DISK_MODE_DIRECTORY ? 0700u : 0600u);
}

static void decide_item(struct share_mend *mend, struct mend_inode *inode) {
    struct mend_inode new = *inode;
    new.mode = mode_of(inode);
    new.links = links_of(inode);
    new.size = size_of(inode);
    new.data_blocks = inode->kind == DISK_MODE_REGULAR ? inode->seen_blocks : 0;
    new.parent = parent_of(mend, inode);
    bool same = inode->is_there && new.mode == inode->mode &&new.links == inode->links &&new.size ==
                                       inode->size &&new.data_blocks ==
                                       inode->data_blocks &&new.parent == inode->parent;
    if (same)
        return;
    if (inode->kind == DISK_MODE_REGULAR && new.size > inode->size) {
        uint64_t offset = inode->is_there ? inode->size : 0;
        mend_lose(mend, &(struct mend_loss){.kind = LFSX_LOSS_BYTES,
                                            .inode = inode->number,
                                            .offset = offset,
                                            .bytes = new.size - offset});
    }
    if (inode->number == mend->lost_found)
        mend_say(mend, "made a directory lost+found");
    else if (!inode->is_there)
        mend_say(mend, "made inode %llu anew from what there is of it",
                 (unsigned long long)inode->number);
    else
        mend_say(mend, "corrected inode %llu%s%s%s%s", (unsigned long long)inode->number,
                 new.links != inode->links ? ": its links" : "",
                 new.size != inode->size ? ": its size" : "",
                 new.data_blocks != inode->data_blocks ? ": its data blocks" : "",
                 new.parent != inode->parent ? ": its directory" : "");
    new.is_grown = new.size > inode->size;
    *inode = new;
    struct mend_change change = {.operation = MEND_SET_INODE,
                                 .key = {.inode = inode->number, .type = DISK_TYPE_INODE}};
    spill_array_add(mend->changes, &change);
}

/* Orders of what is not there, or is no file, are nobody's. */
static void decide_orders(struct share_mend *mend) {
    for (uint64_t i = 0; i < spill_array_count(mend->orders); i++) {
        struct key key = {.inode = DISK_CLEANUP_INODE, .type = DISK_TYPE_CLEANUP};
        struct mend_inode inode;
        spill_array_get(mend->orders, i, &key.offset);
        bool is = mend_find(mend, key.offset, &inode) != UINT64_MAX && !inode.is_dropped &&
                  (inode.is_deleted || inode.kind == DISK_MODE_REGULAR);
        if (!is)
            mend_remove(mend, &key, &key);
    }
}

static void add_order(struct share_mend *mend, const struct mend_inode *inode) {
    struct mend_change change = {.operation = MEND_ADD_ORDER,
                                 .key = {DISK_CLEANUP_INODE, inode->number, DISK_TYPE_CLEANUP}};
    if (!inode->is_deleted || inode->has_order)
        return;
    mend_say(mend, "inode %llu, which was removed, is cleaned up when the share is opened",
             (unsigned long long)inode->number);
    spill_array_add(mend->changes, &change);
}

void mend_decide(struct share_mend *mend) {
    struct mend_inode inode;
    for (uint64_t i = 0; i < spill_array_count(mend->inodes); i++) {
        spill_array_get(mend->inodes, i, &inode);
        decide_kind(mend, &inode);
        spill_array_put(mend->inodes, i, &inode);
    }
    mend_decide_names(mend);
    for (uint64_t i = 0; i < spill_array_count(mend->inodes) && mend->failure == STATUS_OK; i++) {
        spill_array_get(mend->inodes, i, &inode);
        if (inode.is_dropped)
            continue;
        decide_item(mend, &inode);
        add_order(mend, &inode);
        spill_array_put(mend->inodes, i, &inode);
    }
    decide_orders(mend);
}
