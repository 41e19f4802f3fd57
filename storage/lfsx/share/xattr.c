/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: a name and a value, one behind the other, cut into pieces. They have a room
 * of 256 keys for each slot of their name's hash; which slot an attribute has, its first piece
 * tells.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/share/share.h"

static bool name_is_valid(struct lfsx_name name) {
    return xattr_name_is_valid(name.text, name.length);
}

static struct key piece_key(uint64_t inode, uint64_t offset) {
    return (struct key){.inode = inode, .type = DISK_TYPE_XATTR, .offset = offset};
}

static bool has_name(const struct disk_xattr *first, struct lfsx_name name) {
    return first->name_length == name.length && memcmp(first->bytes, name.text, name.length) == 0;
}

/* ---- reading ---- */

struct get {
    struct btree *tree;
    uint64_t inode;
    struct lfsx_name name;
    uint64_t hash;
    unsigned char *value;
    size_t size;
    size_t length;
};

/* Finds the attribute's slot: puts the cursor on its first piece. NOT_FOUND, AGAIN. */
static enum status seek_slot(const struct get *wish, struct btree_cursor *cursor) {
    for (uint64_t slot = 0; slot < DISK_XATTR_SLOTS; slot++) {
        struct key key = piece_key(wish->inode, wish->hash + slot * DISK_XATTR_PIECES);
        enum status status = btree_find(wish->tree, &key, cursor);
        if (status == STATUS_NOT_FOUND)
            continue;
        if (status != STATUS_OK || has_name(btree_item(cursor).value, wish->name))
            return status;
    }
    return STATUS_NOT_FOUND;
}

/* Copies the part of the value that a piece has. */
static void copy_piece(struct get *wish, uint64_t piece, const struct disk_xattr *xattr,
                       uint64_t bytes) {
    uint64_t skip = piece == 0 ? wish->name.length : 0;
    uint64_t at = piece * DISK_XATTR_PIECE + skip - wish->name.length; /* in the value */
    if (at < wish->size)
        memcpy(wish->value + at, xattr->bytes + skip, MATH_MIN(bytes - skip, wish->size - at));
}

static enum status get_step(void *context, struct btree_cursor *cursor) {
    struct get *wish = context;
    struct disk_inode inode;
    enum status status = inode_look(wish->tree, wish->inode, &inode, cursor);
    if (status == STATUS_OK)
        status = seek_slot(wish, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    uint64_t start = item.key.offset;
    wish->length = le32_get(((const struct disk_xattr *)item.value)->value_length);
    uint64_t total = wish->name.length + wish->length;
    for (uint64_t piece = 0;; piece++) {
        copy_piece(wish, piece, item.value, xattr_piece_length(total, piece));
        if (xattr_piece_length(total, piece + 1) == 0)
            return STATUS_OK;
        struct key key = piece_key(wish->inode, start + piece + 1);
        status = btree_find(wish->tree, &key, cursor);
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
        item = btree_item(cursor);
        if (item.length != sizeof(struct disk_xattr) + xattr_piece_length(total, piece + 1))
            return STATUS_CORRUPT;
    }
}

enum status lfsx_share_xattr_get(struct lfsx_share *share, uint64_t inode, struct lfsx_name name,
                                 void *value, size_t size, size_t *length) {
    if (!name_is_valid(name))
        return STATUS_INVALID;
    struct lfsx_pool *pool = share->holding.dataset->pool;
    struct get wish = {.tree = share->tree,
                       .inode = inode,
                       .name = name,
                       .hash = share_xattr_hash(pool, name),
                       .value = value,
                       .size = size};
    enum status status = pool_look(pool, get_step, &wish);
    if (status == STATUS_OK)
        *length = wish.length;
    return status;
}

struct list {
    struct btree *tree;
    uint64_t inode;
    char *names;
    size_t size;
    size_t length;
};

static void list_name(struct list *wish, const struct disk_xattr *first, bool *full) {
    size_t bytes = first->name_length + 1u;
    *full = *full || wish->length + bytes > wish->size;
    if (!*full) {
        memcpy(wish->names + wish->length, first->bytes, first->name_length);
        wish->names[wish->length + first->name_length] = 0;
    }
    wish->length += bytes;
}

static enum status list_step(void *context, struct btree_cursor *cursor) {
    struct list *wish = context;
    struct disk_inode inode;
    bool full = false;
    wish->length = 0;
    enum status status = inode_look(wish->tree, wish->inode, &inode, cursor);
    if (status != STATUS_OK)
        return status;
    struct key key = piece_key(wish->inode, 0);
    status = btree_seek(wish->tree, &key, cursor);
    while (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        if (item.key.inode != wish->inode || item.key.type != DISK_TYPE_XATTR)
            return STATUS_OK;
        if (item.key.offset % DISK_XATTR_PIECES == 0)
            list_name(wish, item.value, &full);
        status = btree_next(cursor);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status lfsx_share_xattr_list(struct lfsx_share *share, uint64_t inode, char *names,
                                  size_t size, size_t *length) {
    struct list wish = {.tree = share->tree, .inode = inode, .names = names, .size = size};
    enum status status = pool_look(share->holding.dataset->pool, list_step, &wish);
    if (status == STATUS_OK)
        *length = wish.length;
    return status;
}

/* ---- changing ---- */

struct set {
    uint64_t inode;
    struct lfsx_name name;
    const unsigned char *value; /* NULL: removes */
    size_t length;
    uint32_t flags;
};

union piece {
    struct disk_xattr disk;
    unsigned char bytes[DISK_VALUE_MAX];
};

/* Where an attribute is, or would be. */
struct place {
    uint64_t offset; /* of its first piece */
    uint64_t pieces; /* 0: it is not there */
};

/* NO_SPACE: it is not there, and no slot is free. */
static enum status find_place(struct change_run *run, const struct set *wish, struct place *place) {
    uint64_t hash = share_xattr_hash(run->share->dataset->pool, wish->name);
    bool free_found = false;
    *place = (struct place){0};
    for (uint64_t slot = 0; slot < DISK_XATTR_SLOTS; slot++) {
        union piece piece;
        size_t length;
        struct key key = piece_key(wish->inode, hash + slot * DISK_XATTR_PIECES);
        struct mvcc_key record = records_key(&key);
        enum status status = mvcc_read(run->transaction, &record, &piece, sizeof piece, &length);
        if (status == STATUS_NOT_FOUND) {
            if (!free_found)
                place->offset = key.offset;
            free_found = true;
        } else if (status != STATUS_OK) {
            return status;
        } else if (has_name(&piece.disk, wish->name)) {
            uint64_t total = wish->name.length + le32_get(piece.disk.value_length);
            *place = (struct place){key.offset, math_divide_up(total, DISK_XATTR_PIECE)};
            return STATUS_OK;
        }
    }
    return free_found ? STATUS_OK : STATUS_NO_SPACE;
}

static enum status put_piece(struct change_run *run, const struct set *wish, uint64_t offset,
                             uint64_t piece) {
    uint64_t total = wish->name.length + wish->length;
    uint64_t bytes = xattr_piece_length(total, piece);
    uint64_t skip = piece == 0 ? wish->name.length : 0;
    uint64_t at = piece * DISK_XATTR_PIECE + skip - wish->name.length;
    union piece out;
    out.disk = (struct disk_xattr){.value_length = le32_make((uint32_t)wish->length),
                                   .name_length = (uint8_t)wish->name.length};
    memcpy(out.disk.bytes, wish->name.text, skip);
    if (bytes > skip)
        memcpy(out.disk.bytes + skip, wish->value + at, bytes - skip);
    struct key key = piece_key(wish->inode, offset + piece);
    struct mvcc_key record = records_key(&key);
    return mvcc_write(run->transaction, &record, &out, sizeof out.disk + bytes);
}

/* Removes pieces [first, end) of an attribute. */
static enum status remove_pieces(struct change_run *run, uint64_t inode, uint64_t offset,
                                 uint64_t first, uint64_t end) {
    enum status status = STATUS_OK;
    for (uint64_t piece = first; piece < end && status == STATUS_OK; piece++) {
        struct key key = piece_key(inode, offset + piece);
        struct mvcc_key record = records_key(&key);
        status = mvcc_delete(run->transaction, &record);
    }
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}

static enum status set_body(struct change_run *run, void *context) {
    const struct set *wish = context;
    struct disk_inode inode;
    struct place place;
    uint64_t pieces = 0;
    run->attachment.frees = wish->value == NULL;
    /* One change of an inode's attributes at a time: two that meet would often be a deadlock. */
    enum status status = change_inode(run, wish->inode, &inode);
    if (status == STATUS_OK)
        status = find_place(run, wish, &place);
    if (status == STATUS_NO_SPACE && wish->value == NULL)
        status = STATUS_NOT_FOUND;
    if (status != STATUS_OK)
        return status;
    if (place.pieces > 0 && (wish->flags & LFSX_XATTR_CREATE))
        return STATUS_EXISTS;
    if (place.pieces == 0 && (wish->value == NULL || (wish->flags & LFSX_XATTR_REPLACE)))
        return STATUS_NOT_FOUND;
    if (wish->value != NULL)
        pieces = math_divide_up(wish->name.length + wish->length, DISK_XATTR_PIECE);
    for (uint64_t piece = 0; piece < pieces && status == STATUS_OK; piece++)
        status = put_piece(run, wish, place.offset, piece);
    if (status == STATUS_OK)
        status = remove_pieces(run, wish->inode, place.offset, pieces, place.pieces);
    change_times(run, wish->inode, RECORDS_SET_CHANGED);
    return status;
}

enum status lfsx_share_xattr_set(struct lfsx_share *share, uint64_t inode, struct lfsx_name name,
                                 const void *value, size_t length, uint32_t flags) {
    uint32_t both = LFSX_XATTR_CREATE | LFSX_XATTR_REPLACE;
    if (!name_is_valid(name) || length > DISK_XATTR_MAX || (flags & both) == both)
        return STATUS_INVALID;
    const void *some = length == 0 ? "" : value;
    struct set wish = {inode, name, some, length, flags};
    return share_change(share, set_body, &wish, flags);
}

enum status lfsx_share_xattr_remove(struct lfsx_share *share, uint64_t inode, struct lfsx_name name,
                                    uint32_t flags) {
    if (!name_is_valid(name))
        return STATUS_INVALID;
    struct set wish = {.inode = inode, .name = name, .flags = flags};
    return share_change(share, set_body, &wish, flags & LFSX_FUA);
}
