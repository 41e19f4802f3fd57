/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a share: each function one look at one tree, so that they read snapshots, too. */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/share/share.h"

enum lfsx_kind share_kind(const struct disk_inode *inode) {
    switch (le32_get(inode->mode) & DISK_MODE_KIND) {
    case DISK_MODE_DIRECTORY:
        return LFSX_DIRECTORY;
    case DISK_MODE_SYMLINK:
        return LFSX_SYMLINK;
    default:
        return LFSX_REGULAR;
    }
}

enum status share_look_directory(struct btree *tree, uint64_t inode, struct btree_cursor *cursor) {
    struct disk_inode item;
    enum status status = inode_look(tree, inode, &item, cursor);
    if (status == STATUS_OK && share_kind(&item) != LFSX_DIRECTORY)
        status = STATUS_NOT_DIRECTORY;
    return status;
}

/* Whether an inode that anybody could name is there. */
static enum status look_at_any(struct btree *tree, uint64_t inode, struct disk_inode *item,
                               struct btree_cursor *cursor) {
    return inode < DISK_ROOT_INODE ? STATUS_NOT_FOUND : inode_look(tree, inode, item, cursor);
}

/* ---- attributes ---- */

struct getattr {
    struct btree *tree;
    uint64_t inode;
    struct disk_inode item;
};

static enum status getattr_step(void *context, struct btree_cursor *cursor) {
    struct getattr *wish = context;
    return look_at_any(wish->tree, wish->inode, &wish->item, cursor);
}

enum status lfsx_share_getattr(struct lfsx_share *share, uint64_t inode,
                               struct lfsx_attributes *out) {
    struct getattr wish = {.tree = share->tree, .inode = inode};
    enum status status = pool_look(share->holding.dataset->pool, getattr_step, &wish);
    if (status != STATUS_OK)
        return status;
    const struct disk_inode *item = &wish.item;
    *out = (struct lfsx_attributes){.inode = inode,
                                    .kind = share_kind(item),
                                    .mode = le32_get(item->mode) & DISK_MODE_PERMISSIONS,
                                    .links = le32_get(item->links),
                                    .uid = le32_get(item->uid),
                                    .gid = le32_get(item->gid),
                                    .size = le64_get(item->size),
                                    .used_bytes = le64_get(item->data_blocks) * LFSX_BLOCK_SIZE,
                                    .modified_ns = le64_get(item->modified_ns),
                                    .changed_ns = le64_get(item->changed_ns),
                                    .accessed_ns = le64_get(item->accessed_ns),
                                    .created_ns = le64_get(item->created_ns),
                                    .parent = le64_get(item->parent)};
    return STATUS_OK;
}

/* ---- names ---- */

struct lookup {
    struct btree *tree;
    uint64_t directory;
    struct lfsx_name name;
    uint64_t hash;
    uint64_t found;
};

static enum status lookup_step(void *context, struct btree_cursor *cursor) {
    struct lookup *wish = context;
    enum status status = share_look_directory(wish->tree, wish->directory, cursor);
    struct key key = {.inode = wish->directory, .type = DISK_TYPE_ENTRY, .offset = wish->hash};
    if (status == STATUS_OK)
        status = btree_seek(wish->tree, &key, cursor);
    while (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        if (item.key.inode != key.inode || item.key.type != key.type ||
            item.key.offset - wish->hash >= DISK_ENTRY_SLOTS)
            return STATUS_NOT_FOUND;
        const struct disk_entry *entry = item.value;
        if (entry->name_length == wish->name.length &&
            memcmp(entry->name, wish->name.text, wish->name.length) == 0) {
            wish->found = le64_get(entry->target);
            return STATUS_OK;
        }
        status = btree_next(cursor);
    }
    return status;
}

enum status lfsx_share_lookup(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                              uint64_t *inode) {
    if (!entry_name_is_valid(name.text, name.length))
        return STATUS_INVALID;
    struct lfsx_pool *pool = share->holding.dataset->pool;
    struct lookup wish = {.tree = share->tree,
                          .directory = directory,
                          .name = name,
                          .hash = share_entry_hash(pool, name)};
    enum status status = pool_look(pool, lookup_step, &wish);
    if (status == STATUS_OK)
        *inode = wish.found;
    return status;
}

enum status lfsx_share_resolve(struct lfsx_share *share, const char *path, uint64_t *inode) {
    uint64_t at = LFSX_ROOT;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        while (*path == '/')
            path++;
        if (*path == 0)
            break;
        struct lfsx_name name = {path, 0};
        while (path[name.length] != 0 && path[name.length] != '/')
            name.length++;
        path += name.length;
        status = lfsx_share_lookup(share, at, name, &at);
    }
    if (status == STATUS_OK)
        *inode = at;
    return status;
}

/* ---- directories ---- */

struct readdir {
    struct btree *tree;
    uint64_t directory;
    uint64_t cookie;
    struct lfsx_entry *entries;
    size_t max;
    size_t count;
};

static enum lfsx_kind kind_of_entry(uint8_t kind) {
    if (kind == DISK_ENTRY_DIRECTORY)
        return LFSX_DIRECTORY;
    return kind == DISK_ENTRY_SYMLINK ? LFSX_SYMLINK : LFSX_REGULAR;
}

/* A cookie is the key's offset plus one: 0 comes before all. No entry has the highest offset. */
static void take_entry(const struct item *item, struct lfsx_entry *out) {
    const struct disk_entry *entry = item->value;
    ASSERT(item->key.offset != UINT64_MAX); /* values_file.c */
    out->inode = le64_get(entry->target);
    out->cookie = item->key.offset + 1;
    out->kind = kind_of_entry(entry->kind);
    out->name_length = entry->name_length;
    memcpy(out->name, entry->name, entry->name_length);
    out->name[entry->name_length] = 0;
}

static enum status readdir_step(void *context, struct btree_cursor *cursor) {
    struct readdir *wish = context;
    wish->count = 0;
    enum status status = share_look_directory(wish->tree, wish->directory, cursor);
    struct key key = {.inode = wish->directory, .type = DISK_TYPE_ENTRY, .offset = wish->cookie};
    if (status == STATUS_OK)
        status = btree_seek(wish->tree, &key, cursor);
    else if (status == STATUS_NOT_FOUND)
        return status;
    while (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        if (item.key.inode != key.inode || item.key.type != key.type)
            return STATUS_OK;
        take_entry(&item, &wish->entries[wish->count++]);
        if (wish->count == wish->max)
            return STATUS_OK;
        status = btree_next(cursor);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status lfsx_share_readdir(struct lfsx_share *share, uint64_t directory, uint64_t cookie,
                               struct lfsx_entry *entries, size_t max, size_t *count) {
    *count = 0;
    if (max == 0)
        return STATUS_OK;
    struct readdir wish = {.tree = share->tree,
                           .directory = directory,
                           .cookie = cookie,
                           .entries = entries,
                           .max = MATH_MIN(max, LFSX_READDIR_MAX)};
    enum status status = pool_look(share->holding.dataset->pool, readdir_step, &wish);
    if (status == STATUS_OK)
        *count = wish.count;
    return status;
}

/* ---- symbolic links ---- */

struct readlink {
    struct btree *tree;
    uint64_t inode;
    char *target;
    size_t size;
    size_t length;
};

static enum status readlink_step(void *context, struct btree_cursor *cursor) {
    struct readlink *wish = context;
    struct disk_inode inode;
    enum status status = look_at_any(wish->tree, wish->inode, &inode, cursor);
    if (status != STATUS_OK)
        return status;
    if (share_kind(&inode) != LFSX_SYMLINK)
        return STATUS_INVALID;
    wish->length = le64_get(inode.size);
    for (size_t at = 0; at < wish->length; at += DISK_SYMLINK_PIECE) {
        struct key key = {
            .inode = wish->inode, .type = DISK_TYPE_SYMLINK, .offset = at / DISK_SYMLINK_PIECE};
        status = btree_find(wish->tree, &key, cursor);
        if (status == STATUS_NOT_FOUND)
            return STATUS_CORRUPT;
        if (status != STATUS_OK)
            return status;
        struct item item = btree_item(cursor);
        if (item.length != MATH_MIN(wish->length - at, DISK_SYMLINK_PIECE))
            return STATUS_CORRUPT;
        if (at < wish->size)
            memcpy(wish->target + at, item.value, MATH_MIN(item.length, wish->size - at));
    }
    return STATUS_OK;
}

enum status lfsx_share_readlink(struct lfsx_share *share, uint64_t inode, char *target, size_t size,
                                size_t *length) {
    struct readlink wish = {.tree = share->tree, .inode = inode, .target = target, .size = size};
    enum status status = pool_look(share->holding.dataset->pool, readlink_step, &wish);
    if (status == STATUS_OK)
        *length = wish.length;
    return status;
}
