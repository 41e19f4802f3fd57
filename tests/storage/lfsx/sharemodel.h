/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share as plain memory, operations on it, and the comparison of a share with it.
 *
 * What an operation does is worked out twice, by the share and by the model, its status too. Only
 * the numbers of new inodes come from the share.
 */
#ifndef TESTS_STORAGE_LFSX_SHAREMODEL_H
#define TESTS_STORAGE_LFSX_SHAREMODEL_H

#include "base/math.h"
#include "tests/storage/lfsx/sharetest.h"

#define SHAREMODEL_NODES 64
#define SHAREMODEL_NAMES 14 /* "a" to "n" in each directory */
#define SHAREMODEL_XATTRS 3
#define SHAREMODEL_SIZE_MAX 120000u

struct sharemodel_node {
    uint64_t inode; /* 0: the node is free */
    enum lfsx_kind kind;
    uint32_t mode, links;
    unsigned pins;                 /* of the test, which has it open */
    int parent;                    /* of a directory */
    int entries[SHAREMODEL_NAMES]; /* -1: none */
    unsigned char *data;           /* SHAREMODEL_SIZE_MAX bytes, zeros behind the end */
    uint64_t size;                 /* of a file, or of a target */
    uint64_t seed;                 /* of the target */
    struct {
        bool is_set;
        uint32_t length;
        uint64_t seed;
    } xattrs[SHAREMODEL_XATTRS];
};

struct sharemodel {
    struct sharemodel_node nodes[SHAREMODEL_NODES];
};

enum sharemodel_kind {
    SHAREMODEL_CREATE,
    SHAREMODEL_MKDIR,
    SHAREMODEL_SYMLINK,
    SHAREMODEL_LINK,
    SHAREMODEL_UNLINK,
    SHAREMODEL_RMDIR,
    SHAREMODEL_RENAME,
    SHAREMODEL_WRITE,
    SHAREMODEL_TRUNCATE,
    SHAREMODEL_ZERO,
    SHAREMODEL_SETATTR,
    SHAREMODEL_XATTR_SET,
    SHAREMODEL_XATTR_REMOVE,
    SHAREMODEL_KINDS
};

struct sharemodel_operation {
    enum sharemodel_kind kind;
    int node;             /* that it is about, or the directory */
    int other;            /* the second directory, or what gets a link */
    int fresh;            /* node of what it makes */
    unsigned name, name2; /* numbers */
    uint64_t inode;       /* of what it makes: filled in by the share */
    uint64_t offset, seed;
    uint32_t length, flags;
};

static inline void sharemodel_init(struct sharemodel *model) {
    memset(model, 0, sizeof *model);
    struct sharemodel_node *root = &model->nodes[0];
    *root = (struct sharemodel_node){
        .inode = LFSX_ROOT, .kind = LFSX_DIRECTORY, .mode = 0755, .links = 1};
    for (unsigned i = 0; i < SHAREMODEL_NAMES; i++)
        root->entries[i] = -1;
}

static inline void sharemodel_destroy(struct sharemodel *model) {
    for (unsigned i = 0; i < SHAREMODEL_NODES; i++)
        free(model->nodes[i].data);
}

static inline void sharemodel_copy(struct sharemodel *to, const struct sharemodel *from) {
    *to = *from;
    for (unsigned i = 0; i < SHAREMODEL_NODES; i++) {
        if (from->nodes[i].data == NULL)
            continue;
        to->nodes[i].data = malloc(SHAREMODEL_SIZE_MAX);
        memcpy(to->nodes[i].data, from->nodes[i].data, SHAREMODEL_SIZE_MAX);
    }
}

/* Forgets what has no links and is not open. */
static inline void sharemodel_collect(struct sharemodel *model) {
    for (unsigned i = 0; i < SHAREMODEL_NODES; i++) {
        struct sharemodel_node *node = &model->nodes[i];
        if (node->inode == 0 || node->links > 0 || node->pins > 0)
            continue;
        free(node->data);
        memset(node, 0, sizeof *node);
    }
}

/* ---- choosing ---- */

/* A node that is there, of that kind unless it is -1; -1: none. */
static inline int sharemodel_pick(const struct sharemodel *model, struct random *random, int kind) {
    int start = (int)random_below(random, SHAREMODEL_NODES);
    for (int i = 0; i < SHAREMODEL_NODES; i++) {
        int at = (start + i) % SHAREMODEL_NODES;
        const struct sharemodel_node *node = &model->nodes[at];
        if (node->inode != 0 && (node->links > 0 || node->pins > 0) &&
            (kind < 0 || (int)node->kind == kind))
            return at;
    }
    return -1;
}

static inline void sharemodel_random_range(struct random *random,
                                           struct sharemodel_operation *operation) {
    uint32_t unit = random_one_in(random, 2) ? LFSX_BLOCK_SIZE : 1;
    operation->offset = random_below(random, SHAREMODEL_SIZE_MAX - 40000) / unit * unit;
    operation->length = 1 + (uint32_t)random_below(random, random_one_in(random, 3) ? 40000 : 5000);
    /* So that a crash leaves all of it or nothing: whole blocks, or a part of one. */
    if (operation->kind != SHAREMODEL_ZERO)
        return;
    uint32_t rest = LFSX_BLOCK_SIZE - (uint32_t)(operation->offset % LFSX_BLOCK_SIZE);
    operation->length = rest == LFSX_BLOCK_SIZE ? (operation->length + LFSX_BLOCK_SIZE - 1) /
                                                      LFSX_BLOCK_SIZE * LFSX_BLOCK_SIZE
                                                : MATH_MIN(operation->length, rest);
}

/* False: there is nothing that it could be about. */
static inline bool sharemodel_random(const struct sharemodel *model, struct random *random,
                                     struct sharemodel_operation *operation) {
    static const uint32_t rename_flags[] = {0, 0, 0, LFSX_NO_REPLACE, LFSX_EXCHANGE};
    *operation = (struct sharemodel_operation){
        .kind = (enum sharemodel_kind)random_below(random, SHAREMODEL_KINDS),
        .name = (unsigned)random_below(random, SHAREMODEL_NAMES),
        .name2 = (unsigned)random_below(random, SHAREMODEL_NAMES),
        .seed = random_next(random),
        .fresh = -1};
    bool on_file = operation->kind >= SHAREMODEL_WRITE && operation->kind <= SHAREMODEL_ZERO;
    bool on_any = operation->kind >= SHAREMODEL_SETATTR;
    int wanted = on_file ? LFSX_REGULAR : on_any || random_one_in(random, 40) ? -1 : LFSX_DIRECTORY;
    operation->node = sharemodel_pick(model, random, wanted);
    operation->other =
        sharemodel_pick(model, random, operation->kind == SHAREMODEL_LINK ? -1 : LFSX_DIRECTORY);
    for (int i = 0; i < SHAREMODEL_NODES && operation->fresh < 0; i++)
        if (model->nodes[i].inode == 0)
            operation->fresh = i;
    if (operation->fresh < 0) /* no room in the model */
        operation->kind = random_one_in(random, 3) ? SHAREMODEL_RMDIR : SHAREMODEL_UNLINK;
    sharemodel_random_range(random, operation);
    if (operation->kind == SHAREMODEL_RENAME)
        operation->flags = rename_flags[random_below(random, ARRAY_LENGTH(rename_flags))];
    return operation->node >= 0 && operation->other >= 0;
}

/* ---- what the model makes of it ---- */

static inline int *sharemodel_entry(struct sharemodel *model, int directory, unsigned name) {
    return &model->nodes[directory].entries[name];
}

static inline bool sharemodel_is_empty(const struct sharemodel_node *node) {
    for (unsigned i = 0; i < SHAREMODEL_NAMES; i++)
        if (node->entries[i] >= 0)
            return false;
    return true;
}

static inline enum status sharemodel_new(struct sharemodel *model,
                                         const struct sharemodel_operation *o) {
    int *entry = sharemodel_entry(model, o->node, o->name);
    if (*entry >= 0)
        return STATUS_EXISTS;
    struct sharemodel_node *node = &model->nodes[o->fresh];
    *node = (struct sharemodel_node){
        .inode = o->inode, .mode = sharetest_owner.mode, .links = 1, .parent = o->node};
    for (unsigned i = 0; i < SHAREMODEL_NAMES; i++)
        node->entries[i] = -1;
    if (o->kind == SHAREMODEL_CREATE)
        node->data = calloc(1, SHAREMODEL_SIZE_MAX);
    else
        node->kind = o->kind == SHAREMODEL_MKDIR ? LFSX_DIRECTORY : LFSX_SYMLINK;
    if (o->kind == SHAREMODEL_SYMLINK) {
        node->size = 1 + o->length % LFSX_TARGET_MAX;
        node->seed = o->seed;
    }
    *entry = o->fresh;
    return STATUS_OK;
}

static inline enum status sharemodel_link(struct sharemodel *model,
                                          const struct sharemodel_operation *o) {
    struct sharemodel_node *node = &model->nodes[o->other];
    int *entry = sharemodel_entry(model, o->node, o->name);
    if (node->links == 0)
        return STATUS_NOT_FOUND;
    if (node->kind == LFSX_DIRECTORY)
        return STATUS_IS_DIRECTORY;
    if (*entry >= 0)
        return STATUS_EXISTS;
    *entry = o->other;
    node->links++;
    return STATUS_OK;
}

static inline enum status sharemodel_remove(struct sharemodel *model,
                                            const struct sharemodel_operation *o) {
    int *entry = sharemodel_entry(model, o->node, o->name);
    bool rmdir = o->kind == SHAREMODEL_RMDIR;
    if (*entry < 0)
        return STATUS_NOT_FOUND;
    struct sharemodel_node *node = &model->nodes[*entry];
    if ((node->kind == LFSX_DIRECTORY) != rmdir)
        return rmdir ? STATUS_NOT_DIRECTORY : STATUS_IS_DIRECTORY;
    if (rmdir && !sharemodel_is_empty(node))
        return STATUS_NOT_EMPTY;
    node->links--;
    *entry = -1;
    return STATUS_OK;
}

static inline bool sharemodel_is_below(const struct sharemodel *model, int directory, int above) {
    while (directory != 0 && directory != above)
        directory = model->nodes[directory].parent;
    return directory == above;
}

static inline enum status sharemodel_rename(struct sharemodel *model,
                                            const struct sharemodel_operation *o) {
    int *from = sharemodel_entry(model, o->node, o->name);
    int *to = sharemodel_entry(model, o->other, o->name2);
    if (*from < 0)
        return STATUS_NOT_FOUND;
    struct sharemodel_node *moved = &model->nodes[*from];
    struct sharemodel_node *target = *to < 0 ? NULL : &model->nodes[*to];
    if (target != NULL && (o->flags & LFSX_NO_REPLACE))
        return STATUS_EXISTS;
    if (target == moved)
        return STATUS_OK;
    bool exchange = o->flags & LFSX_EXCHANGE;
    if (exchange && target == NULL)
        return STATUS_NOT_FOUND;
    bool across = o->node != o->other;
    if (across && moved->kind == LFSX_DIRECTORY && sharemodel_is_below(model, o->other, *from))
        return STATUS_INVALID;
    if (across && exchange && target->kind == LFSX_DIRECTORY &&
        sharemodel_is_below(model, o->node, *to))
        return STATUS_INVALID;
    if (!exchange && target != NULL && moved->kind != LFSX_DIRECTORY &&
        target->kind == LFSX_DIRECTORY)
        return STATUS_IS_DIRECTORY;
    if (!exchange && target != NULL && moved->kind == LFSX_DIRECTORY) {
        if (target->kind != LFSX_DIRECTORY)
            return STATUS_NOT_DIRECTORY;
        if (!sharemodel_is_empty(target))
            return STATUS_NOT_EMPTY;
    }
    int source = *from;
    *from = exchange ? *to : -1;
    *to = source;
    moved->parent = o->other;
    if (exchange)
        target->parent = o->node;
    else if (target != NULL)
        target->links--;
    return STATUS_OK;
}

static inline enum status sharemodel_content(struct sharemodel_node *node,
                                             const struct sharemodel_operation *o) {
    uint64_t end = o->offset + o->length;
    if (o->kind == SHAREMODEL_WRITE) {
        struct random random = {o->seed};
        random_fill(&random, node->data + o->offset, o->length);
        node->size = MATH_MAX(node->size, end);
    } else if (o->kind == SHAREMODEL_TRUNCATE) {
        if (o->offset < node->size)
            memset(node->data + o->offset, 0, node->size - o->offset);
        node->size = o->offset;
    } else if (o->offset < node->size) {
        memset(node->data + o->offset, 0, MATH_MIN(end, node->size) - o->offset);
    }
    return STATUS_OK;
}

static inline enum status sharemodel_about_inode(struct sharemodel_node *node,
                                                 const struct sharemodel_operation *o) {
    unsigned which = o->name % SHAREMODEL_XATTRS;
    if (node->links == 0)
        return STATUS_NOT_FOUND;
    if (o->kind == SHAREMODEL_SETATTR) {
        node->mode = o->length & 07777;
        return STATUS_OK;
    }
    bool was_set = node->xattrs[which].is_set;
    node->xattrs[which].is_set = o->kind == SHAREMODEL_XATTR_SET;
    node->xattrs[which].length = o->length;
    node->xattrs[which].seed = o->seed;
    return o->kind == SHAREMODEL_XATTR_SET || was_set ? STATUS_OK : STATUS_NOT_FOUND;
}

static inline enum status sharemodel_apply(struct sharemodel *model,
                                           const struct sharemodel_operation *o) {
    struct sharemodel_node *node = &model->nodes[o->node];
    bool on_name = o->kind <= SHAREMODEL_RENAME;
    if (on_name && node->links == 0)
        return STATUS_NOT_FOUND;
    if (on_name && node->kind != LFSX_DIRECTORY)
        return STATUS_NOT_DIRECTORY;
    switch (o->kind) {
    case SHAREMODEL_CREATE:
    case SHAREMODEL_MKDIR:
    case SHAREMODEL_SYMLINK:
        return sharemodel_new(model, o);
    case SHAREMODEL_LINK:
        return sharemodel_link(model, o);
    case SHAREMODEL_UNLINK:
    case SHAREMODEL_RMDIR:
        return sharemodel_remove(model, o);
    case SHAREMODEL_RENAME:
        return sharemodel_rename(model, o);
    case SHAREMODEL_WRITE:
    case SHAREMODEL_TRUNCATE:
    case SHAREMODEL_ZERO:
        return sharemodel_content(node, o);
    default:
        return sharemodel_about_inode(node, o);
    }
}

/* ---- what the share makes of it ---- */

static inline struct lfsx_name sharemodel_name(unsigned number) {
    static const char letters[] = "abcdefghijklmnop";
    return (struct lfsx_name){letters + number, 1};
}

static inline struct lfsx_name sharemodel_xattr_name(unsigned number) {
    static const char *const names[] = {"user.one", "two", "user.a third one"};
    return sharetest_name(names[number % SHAREMODEL_XATTRS]);
}

/* Bytes of a target: none is zero. */
static inline void sharemodel_target(uint64_t seed, char *target, size_t length) {
    struct random random = {seed};
    random_fill(&random, target, length);
    for (size_t i = 0; i < length; i++)
        target[i] = target[i] == 0 ? 'x' : target[i];
}

static inline enum status sharemodel_do_content(struct sharetest *test, uint64_t inode,
                                                const struct sharemodel_operation *o,
                                                uint32_t fua) {
    struct lfsx_file *file;
    enum status status = lfsx_file_open(test->share, inode, &file);
    if (status != STATUS_OK)
        return status;
    if (o->kind == SHAREMODEL_WRITE) {
        unsigned char *data = malloc(o->length);
        struct random random = {o->seed};
        random_fill(&random, data, o->length);
        status = sharetest_write(file, o->offset, data, o->length, fua);
        free(data);
    } else if (o->kind == SHAREMODEL_TRUNCATE) {
        status = lfsx_file_truncate(file, o->offset, fua);
    } else {
        bool keep = o->seed % 4 == 0;
        status = lfsx_file_zero(file, o->offset, o->length, fua | (keep ? LFSX_NO_HOLE : 0));
    }
    lfsx_file_close(file);
    return status;
}

static inline enum status sharemodel_do_new(struct sharetest *test, uint64_t directory,
                                            struct sharemodel_operation *o, uint32_t fua) {
    struct lfsx_name name = sharemodel_name(o->name);
    char target[LFSX_TARGET_MAX];
    if (o->kind == SHAREMODEL_CREATE)
        return lfsx_share_create_file(test->share, directory, name, &sharetest_owner, &o->inode,
                                      fua);
    if (o->kind == SHAREMODEL_MKDIR)
        return lfsx_share_mkdir(test->share, directory, name, &sharetest_owner, &o->inode, fua);
    struct lfsx_name to = {target, 1 + o->length % LFSX_TARGET_MAX};
    sharemodel_target(o->seed, target, to.length);
    return lfsx_share_symlink(test->share, directory, name, to, &sharetest_owner, &o->inode, fua);
}

static inline enum status sharemodel_do_about(struct sharetest *test, uint64_t inode,
                                              const struct sharemodel_operation *o, uint32_t fua) {
    struct lfsx_name name = sharemodel_xattr_name(o->name);
    if (o->kind == SHAREMODEL_SETATTR) {
        struct lfsx_attributes new = {.mode = o->length & 07777};
        return lfsx_share_setattr(test->share, inode, LFSX_SET_MODE, &new, fua);
    }
    if (o->kind == SHAREMODEL_XATTR_REMOVE)
        return lfsx_share_xattr_remove(test->share, inode, name, fua);
    unsigned char *value = malloc(o->length);
    struct random random = {o->seed};
    random_fill(&random, value, o->length);
    enum status status = lfsx_share_xattr_set(test->share, inode, name, value, o->length, fua);
    free(value);
    return status;
}

/* Fills in the number of what is made. */
static inline enum status sharemodel_do(struct sharetest *test, const struct sharemodel *model,
                                        struct sharemodel_operation *o, uint32_t fua) {
    uint64_t inode = model->nodes[o->node].inode;
    uint64_t other = model->nodes[o->other].inode;
    switch (o->kind) {
    case SHAREMODEL_CREATE:
    case SHAREMODEL_MKDIR:
    case SHAREMODEL_SYMLINK:
        return sharemodel_do_new(test, inode, o, fua);
    case SHAREMODEL_LINK:
        return lfsx_share_link(test->share, other, inode, sharemodel_name(o->name), fua);
    case SHAREMODEL_UNLINK:
        return lfsx_share_unlink(test->share, inode, sharemodel_name(o->name), fua);
    case SHAREMODEL_RMDIR:
        return lfsx_share_rmdir(test->share, inode, sharemodel_name(o->name), fua);
    case SHAREMODEL_RENAME:
        return lfsx_share_rename(test->share, inode, sharemodel_name(o->name), other,
                                 sharemodel_name(o->name2), o->flags | fua);
    case SHAREMODEL_WRITE:
    case SHAREMODEL_TRUNCATE:
    case SHAREMODEL_ZERO:
        return sharemodel_do_content(test, inode, o, fua);
    default:
        return sharemodel_do_about(test, inode, o, fua);
    }
}

/* ---- comparing ---- */

static inline bool sharemodel_same_content(struct lfsx_share *share,
                                           const struct sharemodel_node *node) {
    struct lfsx_file *file;
    uint32_t got = 0;
    unsigned char *data = malloc(SHAREMODEL_SIZE_MAX);
    assert_int_equal(lfsx_file_open(share, node->inode, &file), STATUS_OK);
    assert_int_equal(sharetest_read(file, 0, data, SHAREMODEL_SIZE_MAX, &got), STATUS_OK);
    bool same = got == node->size && memcmp(data, node->data, SHAREMODEL_SIZE_MAX) == 0;
    lfsx_file_close(file);
    free(data);
    return same;
}

static inline bool sharemodel_same_target(struct lfsx_share *share,
                                          const struct sharemodel_node *node) {
    char target[LFSX_TARGET_MAX];
    char got[LFSX_TARGET_MAX];
    size_t length;
    assert_int_equal(lfsx_share_readlink(share, node->inode, got, sizeof got, &length), STATUS_OK);
    sharemodel_target(node->seed, target, node->size);
    return length == node->size && memcmp(got, target, length) == 0;
}

static inline bool sharemodel_same_xattrs(struct lfsx_share *share,
                                          const struct sharemodel_node *node) {
    bool same = true;
    for (unsigned i = 0; i < SHAREMODEL_XATTRS && same; i++) {
        size_t length = 0;
        unsigned char *got = malloc(LFSX_XATTR_MAX);
        unsigned char *value = malloc(LFSX_XATTR_MAX);
        enum status status = lfsx_share_xattr_get(share, node->inode, sharemodel_xattr_name(i), got,
                                                  LFSX_XATTR_MAX, &length);
        struct random random = {node->xattrs[i].seed};
        random_fill(&random, value, node->xattrs[i].length);
        if (node->xattrs[i].is_set)
            same = status == STATUS_OK && length == node->xattrs[i].length &&
                   memcmp(got, value, length) == 0;
        else
            same = status == STATUS_NOT_FOUND;
        free(got);
        free(value);
    }
    return same;
}

static inline bool sharemodel_same_entries(struct lfsx_share *share, const struct sharemodel *model,
                                           const struct sharemodel_node *directory) {
    struct lfsx_entry entries[SHAREMODEL_NAMES + 1];
    size_t count;
    size_t expected = 0;
    assert_int_equal(
        lfsx_share_readdir(share, directory->inode, 0, entries, SHAREMODEL_NAMES + 1, &count),
        STATUS_OK);
    for (unsigned i = 0; i < SHAREMODEL_NAMES; i++)
        expected += directory->entries[i] >= 0;
    if (count != expected)
        return false;
    for (size_t i = 0; i < count; i++) {
        int entry = directory->entries[entries[i].name[0] - 'a'];
        if (entry < 0 || model->nodes[entry].inode != entries[i].inode ||
            model->nodes[entry].kind != entries[i].kind)
            return false;
    }
    return true;
}

/* Adds the data that the node has to *used. */
static inline bool sharemodel_same_node(struct lfsx_share *share, const struct sharemodel *model,
                                        const struct sharemodel_node *node, uint64_t *used) {
    struct lfsx_attributes a;
    if (lfsx_share_getattr(share, node->inode, &a) != STATUS_OK)
        return false;
    *used += a.used_bytes;
    if (a.kind != node->kind || a.mode != node->mode || a.links != node->links ||
        (node->kind != LFSX_DIRECTORY && a.size != node->size) ||
        (node->kind == LFSX_DIRECTORY && a.parent != model->nodes[node->parent].inode))
        return false;
    if (!sharemodel_same_xattrs(share, node))
        return false;
    if (node->kind == LFSX_DIRECTORY)
        return sharemodel_same_entries(share, model, node);
    return node->kind == LFSX_REGULAR ? sharemodel_same_content(share, node)
                                      : sharemodel_same_target(share, node);
}

/* Whether the share is what the model is; *used: bytes of the data that everything with a name
 * has. */
static inline bool sharemodel_same(struct lfsx_share *share, const struct sharemodel *model,
                                   uint64_t *used) {
    *used = 0;
    for (unsigned i = 0; i < SHAREMODEL_NODES; i++)
        if (model->nodes[i].inode != 0 && model->nodes[i].links > 0 &&
            !sharemodel_same_node(share, model, &model->nodes[i], used))
            return false;
    return true;
}

#endif
