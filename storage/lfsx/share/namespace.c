/* SPDX-License-Identifier: Apache-2.0 */
/* Making, linking and removing names, and changing attributes; share/rename.c moves names. */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/share/share.h"

static bool name_is_valid(struct lfsx_name name) {
    return entry_name_is_valid(name.text, name.length);
}

/* ---- new inodes ---- */

struct creation {
    uint64_t directory;
    struct lfsx_name name;
    struct lfsx_owner owner;
    struct lfsx_name target; /* of a symbolic link */
    uint32_t mode;           /* its kind, as in disk_inode */
    uint8_t kind;            /* as in disk_entry */
    uint64_t inode;          /* result */
};

static enum status put_target(struct change_run *run, const struct creation *new) {
    enum status status = STATUS_OK;
    for (size_t at = 0; at < new->target.length &&status == STATUS_OK; at += DISK_SYMLINK_PIECE) {
        struct key key = {
            .inode = new->inode, .type = DISK_TYPE_SYMLINK, .offset = at / DISK_SYMLINK_PIECE};
        struct mvcc_key record = records_key(&key);
        status = mvcc_write(run->transaction, &record, new->target.text + at,
                            MATH_MIN(new->target.length - at, DISK_SYMLINK_PIECE));
    }
    return status;
}

static enum status put_new_inode(struct change_run *run, const struct creation *new) {
    bool is_directory = new->kind == DISK_ENTRY_DIRECTORY;
    struct disk_inode record = {.mode = le32_make(new->mode | new->owner.mode),
                                .links = le32_make(1),
                                .uid = le32_make(new->owner.uid),
                                .gid = le32_make(new->owner.gid),
                                .created_ns = le64_make(run->now_ns),
                                .parent = le64_make(is_directory ? new->directory : 0)};
    enum status status = change_put_inode(run, new->inode, &record);
    change_times(run, new->inode,
                 RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED | RECORDS_SET_ACCESSED);
    if (new->kind != DISK_ENTRY_SYMLINK || status != STATUS_OK)
        return status;
    records_touch(&run->attachment, new->inode, RECORDS_SET_SIZE)->size = new->target.length;
    return put_target(run, new);
}

static enum status create_body(struct change_run *run, void *context) {
    struct creation *new = context;
    struct disk_inode directory;
    struct found_entry place;
    enum status status = change_directory(run, new->directory, &directory);
    if (status == STATUS_OK)
        status = change_find(run, new->directory, new->name, &place);
    if (status == STATUS_OK && place.exists)
        status = STATUS_EXISTS;
    if (status != STATUS_OK)
        return status;
    new->inode = records_new_inode(run->share->dataset);
    if (new->inode > DISK_INODE_MAX)
        return STATUS_NO_SPACE;
    status = put_new_inode(run, new);
    if (status == STATUS_OK)
        status = change_put_entry(run, &place, new->name, new->inode, new->kind);
    change_times(run, new->directory, RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED);
    return status;
}

static enum status create(struct lfsx_share *share, struct creation *new,
                          const struct lfsx_owner *owner, uint64_t *inode, uint32_t flags) {
    if (!name_is_valid(new->name) || owner->mode > DISK_MODE_PERMISSIONS)
        return STATUS_INVALID;
    new->owner = *owner;
    enum status status = share_change(share, create_body, new, flags);
    if (status == STATUS_OK)
        *inode = new->inode;
    return status;
}

enum status lfsx_share_create_file(struct lfsx_share *share, uint64_t directory,
                                   struct lfsx_name name, const struct lfsx_owner *owner,
                                   uint64_t *inode, uint32_t flags) {
    struct creation new = {.directory = directory,
                           .name = name,
                           .mode = DISK_MODE_REGULAR,
                           .kind = DISK_ENTRY_REGULAR};
    return create(share, &new, owner, inode, flags);
}

enum status lfsx_share_mkdir(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                             const struct lfsx_owner *owner, uint64_t *inode, uint32_t flags) {
    struct creation new = {.directory = directory,
                           .name = name,
                           .mode = DISK_MODE_DIRECTORY,
                           .kind = DISK_ENTRY_DIRECTORY};
    return create(share, &new, owner, inode, flags);
}

static bool target_is_valid(struct lfsx_name target) {
    if (target.length == 0 || target.length > DISK_SYMLINK_MAX)
        return false;
    for (size_t i = 0; i < target.length; i++)
        if (target.text[i] == 0)
            return false;
    return true;
}

enum status lfsx_share_symlink(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                               struct lfsx_name target, const struct lfsx_owner *owner,
                               uint64_t *inode, uint32_t flags) {
    if (!target_is_valid(target))
        return STATUS_INVALID;
    struct creation new = {.directory = directory,
                           .name = name,
                           .target = target,
                           .mode = DISK_MODE_SYMLINK,
                           .kind = DISK_ENTRY_SYMLINK};
    return create(share, &new, owner, inode, flags);
}

/* ---- links ---- */

struct linking {
    uint64_t inode, directory;
    struct lfsx_name name;
};

static enum status link_body(struct change_run *run, void *context) {
    const struct linking *wish = context;
    struct disk_inode record;
    struct disk_inode directory;
    struct found_entry place;
    enum status status = change_directory(run, wish->directory, &directory);
    if (status == STATUS_OK)
        status = change_inode(run, wish->inode, &record);
    if (status == STATUS_OK && share_kind(&record) == LFSX_DIRECTORY)
        status = STATUS_IS_DIRECTORY;
    if (status == STATUS_OK && le32_get(record.links) == UINT32_MAX)
        status = STATUS_OUT_OF_RANGE;
    if (status == STATUS_OK)
        status = change_find(run, wish->directory, wish->name, &place);
    if (status == STATUS_OK && place.exists)
        status = STATUS_EXISTS;
    if (status != STATUS_OK)
        return status;
    record.links = le32_make(le32_get(record.links) + 1);
    status = change_put_inode(run, wish->inode, &record);
    bool symlink = share_kind(&record) == LFSX_SYMLINK;
    if (status == STATUS_OK)
        status = change_put_entry(run, &place, wish->name, wish->inode,
                                  symlink ? DISK_ENTRY_SYMLINK : DISK_ENTRY_REGULAR);
    change_times(run, wish->inode, RECORDS_SET_CHANGED);
    change_times(run, wish->directory, RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED);
    return status;
}

enum status lfsx_share_link(struct lfsx_share *share, uint64_t inode, uint64_t directory,
                            struct lfsx_name name, uint32_t flags) {
    if (!name_is_valid(name))
        return STATUS_INVALID;
    struct linking wish = {inode, directory, name};
    return share_change(share, link_body, &wish, flags);
}

/* ---- removing ---- */

struct removal {
    uint64_t directory;
    struct lfsx_name name;
    bool is_rmdir;
    uint64_t gone; /* result: an inode to clean up; 0: none */
};

static enum status remove_body(struct change_run *run, void *context) {
    struct removal *wish = context;
    struct disk_inode directory;
    struct disk_inode record;
    struct found_entry place;
    wish->gone = 0;
    run->attachment.frees = true;
    enum status status = change_directory(run, wish->directory, &directory);
    if (status == STATUS_OK)
        status = change_find(run, wish->directory, wish->name, &place);
    if (status == STATUS_NO_SPACE || (status == STATUS_OK && !place.exists))
        return STATUS_NOT_FOUND;
    if (status != STATUS_OK)
        return status;
    status = change_inode(run, place.target, &record);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    bool is_directory = share_kind(&record) == LFSX_DIRECTORY;
    if (is_directory != wish->is_rmdir)
        return is_directory ? STATUS_IS_DIRECTORY : STATUS_NOT_DIRECTORY;
    if (is_directory)
        status = change_assert_empty(run, place.target);
    struct mvcc_key key = records_key(&place.key);
    if (status == STATUS_OK)
        status = mvcc_delete(run->transaction, &key);
    if (status == STATUS_OK)
        status = change_drop_link(run, place.target, &record, &wish->gone);
    change_times(run, wish->directory, RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED);
    return status;
}

static enum status remove_name(struct lfsx_share *share, struct removal *wish, uint32_t flags) {
    if (!name_is_valid(wish->name))
        return STATUS_INVALID;
    enum status status = share_change(share, remove_body, wish, flags);
    if (status == STATUS_OK && wish->gone != 0)
        node_unlinked(share->share, wish->gone);
    return status;
}

enum status lfsx_share_unlink(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                              uint32_t flags) {
    struct removal wish = {.directory = directory, .name = name};
    return remove_name(share, &wish, flags);
}

enum status lfsx_share_rmdir(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                             uint32_t flags) {
    struct removal wish = {.directory = directory, .name = name, .is_rmdir = true};
    return remove_name(share, &wish, flags);
}

/* ---- attributes ---- */

#define SET_ALL (LFSX_SET_MODE | LFSX_SET_OWNER | LFSX_SET_MODIFIED | LFSX_SET_ACCESSED)

struct setting {
    uint64_t inode;
    uint32_t set;
    const struct lfsx_attributes *attributes;
};

static enum status setattr_body(struct change_run *run, void *context) {
    const struct setting *wish = context;
    const struct lfsx_attributes *new = wish->attributes;
    struct disk_inode record;
    enum status status = change_inode(run, wish->inode, &record);
    if (status != STATUS_OK)
        return status;
    if (wish->set & LFSX_SET_MODE)
        record.mode = le32_make((le32_get(record.mode) & DISK_MODE_KIND) | new->mode);
    if (wish->set & LFSX_SET_OWNER) {
        record.uid = le32_make(new->uid);
        record.gid = le32_make(new->gid);
    }
    if (wish->set & (LFSX_SET_MODE | LFSX_SET_OWNER))
        status = change_put_inode(run, wish->inode, &record);
    change_times(run, wish->inode, RECORDS_SET_CHANGED);
    if (wish->set & LFSX_SET_MODIFIED)
        records_touch(&run->attachment, wish->inode, RECORDS_SET_MODIFIED)->modified_ns =
            new->modified_ns;
    if (wish->set & LFSX_SET_ACCESSED)
        records_touch(&run->attachment, wish->inode, RECORDS_SET_ACCESSED)->accessed_ns =
            new->accessed_ns;
    return status;
}

enum status lfsx_share_setattr(struct lfsx_share *share, uint64_t inode, uint32_t set,
                               const struct lfsx_attributes *attributes, uint32_t flags) {
    bool bad_mode = (set & LFSX_SET_MODE) && attributes->mode > DISK_MODE_PERMISSIONS;
    if ((set & ~SET_ALL) != 0 || bad_mode)
        return STATUS_INVALID;
    struct setting wish = {inode, set, attributes};
    return share_change(share, setattr_body, &wish, flags);
}
