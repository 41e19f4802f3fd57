/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/tree.h"
#include "base/math.h"
#include "tests/sim/model.h"

#include <stdlib.h>
#include <string.h>

#define PIECE (1u << 20) /* bytes of one read */
#define LONG 200u        /* bytes of the last names, so that nodes fill up soon */

struct lfsx_name tree_name(unsigned number) {
    static char names[TREE_NAMES][LONG];
    memset(names[number], 'a' + (int)number, sizeof names[number]);
    return (struct lfsx_name){names[number], number + 2 < TREE_NAMES ? 1 + number : LONG};
}

struct lfsx_name tree_xattr_name(unsigned number) {
    static const char *const names[TREE_XATTRS] = {"user.one", "two", "user.a third one"};
    return (struct lfsx_name){names[number], strlen(names[number])};
}

static uint32_t name_number(const char *text, size_t length) {
    uint32_t number = 0;
    for (; number < TREE_NAMES; number++) {
        struct lfsx_name name = tree_name(number);
        if (name.length == length && memcmp(name.text, text, length) == 0)
            break;
    }
    return number;
}

static uint64_t xattr_number(const char *text) {
    uint64_t number = 0;
    while (number < TREE_XATTRS && strcmp(tree_xattr_name((unsigned)number).text, text) != 0)
        number++;
    return number;
}

uint64_t tree_hash(const void *bytes, uint64_t length) {
    uint64_t hash = length + 1;
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + at, MATH_MIN(length - at, 8));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull + (hash >> 29);
    }
    return hash | 1;
}

const struct tree_node *tree_next(const unsigned char *content, uint64_t size,
                                  const struct tree_node *node) {
    const unsigned char *next = node == NULL ? content : (const unsigned char *)node + node->bytes;
    return next == content + size ? NULL : (const struct tree_node *)(const void *)next;
}

const struct tree_entry *tree_entries(const struct tree_node *node) {
    return (const struct tree_entry *)(const void *)(node + 1);
}

const struct tree_xattr *tree_xattrs(const struct tree_node *node) {
    return (const struct tree_xattr *)(const void *)(tree_entries(node) + node->entries);
}

const unsigned char *tree_content(const struct tree_node *node) {
    return (const unsigned char *)(tree_xattrs(node) + node->xattrs);
}

/* ---- building ---- */

struct building {
    struct seen *one;
    struct lfsx_share *share;
    enum tree_look look;
    uint64_t node; /* where the newest begins */
};

static struct tree_node *newest(const struct building *b) {
    return (struct tree_node *)(void *)(b->one->content + b->node);
}

/* Room at the end, for something that the newest node is followed by or for a new one. */
static void *add(struct building *b, uint64_t bytes, bool is_node) {
    struct seen *one = b->one;
    if (one->size + bytes > one->capacity)
        observation_room(one, 2 * one->capacity + bytes);
    if (is_node)
        b->node = one->size;
    void *place = one->content + one->size;
    one->size += bytes;
    memset(place, 0, bytes);
    newest(b)->bytes += bytes;
    return place;
}

/* Whether an error is one that this look is ready for; then the node is bad. */
static bool is_tolerable(struct building *b, enum status status) {
    bool gone = status == STATUS_NOT_FOUND && b->look == TREE_CHANGING;
    if (!gone && b->look != TREE_DAMAGED)
        return false;
    b->one->bad_blocks += !gone;
    newest(b)->bad = 1;
    return true;
}

static enum status add_entries(struct building *b) {
    struct lfsx_entry entries[TREE_NAMES];
    uint64_t cookie = 0;
    for (;;) {
        size_t count;
        enum status status =
            lfsx_share_readdir(b->share, newest(b)->inode, cookie, entries, TREE_NAMES, &count);
        if (status != STATUS_OK || count == 0)
            return status;
        for (size_t i = 0; i < count; i++) {
            struct tree_entry *entry = add(b, sizeof *entry, false);
            *entry = (struct tree_entry){entries[i].inode, entries[i].kind,
                                         name_number(entries[i].name, entries[i].name_length)};
            newest(b)->entries++;
        }
        cookie = entries[count - 1].cookie;
    }
}

static enum status add_xattrs_with(struct building *b, unsigned char *value) {
    char names[512];
    uint64_t inode = newest(b)->inode;
    size_t length;
    enum status status = lfsx_share_xattr_list(b->share, inode, names, sizeof names, &length);
    if (status == STATUS_OK && length > sizeof names)
        return STATUS_CORRUPT;
    for (const char *name = names; status == STATUS_OK && name < names + length;
         name += strlen(name) + 1) {
        size_t bytes = 0;
        status = lfsx_share_xattr_get(b->share, inode, (struct lfsx_name){name, strlen(name)},
                                      value, LFSX_XATTR_MAX, &bytes);
        if (status != STATUS_OK)
            break;
        struct tree_xattr *xattr = add(b, sizeof *xattr, false);
        *xattr = (struct tree_xattr){xattr_number(name), tree_hash(value, bytes)};
        newest(b)->xattrs++;
    }
    return status;
}

/* Several clients may look at once, and take turns wherever the core gives a lock back. */
static enum status add_xattrs(struct building *b) {
    unsigned char *value = model_must(malloc(LFSX_XATTR_MAX));
    enum status status = add_xattrs_with(b, value);
    free(value);
    return status;
}

static enum status read_piece(struct building *b, struct lfsx_file *file, uint64_t at,
                              uint64_t content, uint32_t bytes) {
    struct lfsx_buffer *buffer;
    uint32_t length;
    enum status status = lfsx_buffer_alloc(at, bytes, &buffer);
    if (status != STATUS_OK)
        return status;
    status = lfsx_file_read(file, buffer, &length);
    unsigned char *to = b->one->content + content + at;
    for (uint32_t i = 0; i < buffer->span_count && status == STATUS_OK; i++) {
        memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
        to += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

static enum status add_file(struct building *b) {
    struct lfsx_file *file;
    uint64_t size = newest(b)->size;
    enum status status = lfsx_file_open(b->share, newest(b)->inode, &file);
    if (status != STATUS_OK)
        return status;
    uint64_t content = b->one->size;
    add(b, math_round_up(size, MODEL_CELL), false);
    for (uint64_t at = 0; at < size && status == STATUS_OK; at += PIECE)
        status = read_piece(b, file, at, content, (uint32_t)MATH_MIN(size - at, PIECE));
    lfsx_file_close(file);
    return status;
}

static enum status add_target(struct building *b) {
    char target[LFSX_TARGET_MAX];
    size_t length;
    enum status status =
        lfsx_share_readlink(b->share, newest(b)->inode, target, sizeof target, &length);
    if (status == STATUS_OK)
        memcpy(add(b, math_round_up(length, MODEL_CELL), false), target, length);
    return status;
}

static enum status add_what_follows(struct building *b) {
    enum status status = STATUS_OK;
    enum lfsx_kind kind = newest(b)->kind;
    if (newest(b)->size > TREE_FILE_MAX)
        return STATUS_CORRUPT;
    if (kind == LFSX_DIRECTORY)
        status = add_entries(b);
    if (status == STATUS_OK)
        status = add_xattrs(b);
    if (status == STATUS_OK && kind == LFSX_REGULAR)
        status = add_file(b);
    if (status == STATUS_OK && kind == LFSX_SYMLINK)
        status = add_target(b);
    return status;
}

/* The node must be big enough for what it says; a bad one may have been left half-way. */
static void complete(struct building *b) {
    struct tree_node *node = newest(b);
    if (!node->bad)
        return;
    b->one->size = b->node + sizeof *node;
    node->bytes = sizeof *node;
    node->entries = node->xattrs = 0;
}

static enum status add_node(struct building *b, uint64_t inode) {
    struct lfsx_attributes a;
    struct tree_node *node = add(b, sizeof *node, true);
    node->inode = inode;
    enum status status = lfsx_share_getattr(b->share, inode, &a);
    if (status == STATUS_OK) {
        *node = (struct tree_node){sizeof *node,
                                   inode,
                                   a.size,
                                   a.used_bytes,
                                   a.parent,
                                   a.modified_ns,
                                   a.changed_ns,
                                   a.accessed_ns,
                                   a.created_ns,
                                   a.kind,
                                   a.mode,
                                   a.links,
                                   a.uid,
                                   a.gid,
                                   0,
                                   0,
                                   0};
        status = add_what_follows(b);
    }
    if (status != STATUS_OK && is_tolerable(b, status))
        status = STATUS_OK;
    complete(b);
    return status;
}

static bool is_there(const struct seen *one, uint64_t inode) {
    const struct tree_node *node = tree_next(one->content, one->size, NULL);
    while (node != NULL && node->inode != inode)
        node = tree_next(one->content, one->size, node);
    return node != NULL;
}

enum status tree_observe(struct seen *one, struct lfsx_share *share, enum tree_look look) {
    struct building b = {one, share, look, 0};
    one->size = 0;
    one->is_share = true;
    enum status status = add_node(&b, LFSX_ROOT);
    for (uint64_t at = 0; at < one->size && status == STATUS_OK;) {
        for (uint32_t i = 0; status == STATUS_OK; i++) {
            const struct tree_node *node = (const void *)(one->content + at);
            if (i >= node->entries) {
                at += node->bytes;
                break;
            }
            if (!is_there(one, tree_entries(node)[i].inode))
                status = add_node(&b, tree_entries(node)[i].inode);
        }
    }
    return status;
}
