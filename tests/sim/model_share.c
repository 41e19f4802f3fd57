/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model_share.h"
#include "base/math.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- making ---- */

uint64_t model_attributes(uint32_t mode, uint32_t uid, uint32_t gid) {
    const uint32_t all[3] = {mode, uid, gid};
    return tree_hash(all, sizeof all);
}

static uint32_t add_cells(struct model *model, uint32_t count) {
    uint32_t first = model->cell_count;
    for (uint32_t i = 0; i < count; i++)
        model_add_cell(model, 0);
    return first;
}

uint32_t model_add_object(struct model *model, struct model_share *share, enum lfsx_kind kind,
                          uint64_t attributes) {
    share->objects =
        model_grow(share->objects, share->count, &share->capacity, sizeof *share->objects);
    struct model_object *object = &share->objects[share->count];
    *object = (struct model_object){.kind = kind, .attributes = model_add_cell(model, attributes)};
    object->xattrs = add_cells(model, TREE_XATTRS);
    if (kind == LFSX_DIRECTORY)
        object->entries = add_cells(model, TREE_NAMES);
    if (kind == LFSX_REGULAR)
        model_bytes_init(model, &object->file, 0, NULL);
    return share->count++;
}

static uint32_t find_inode(const struct model_share *share, uint64_t inode) {
    uint32_t object = 0;
    while (object < share->count && share->objects[object].inode != inode)
        object++;
    return object < share->count ? object : MODEL_NO_OBJECT;
}

static void start_value(struct model *model, uint32_t cell, uint64_t value) {
    model->cells[cell].history[0].value = value;
}

static void add_seen(struct model *model, struct model_share *share, const struct tree_node *node) {
    uint32_t number = model_add_object(model, share, node->kind,
                                       model_attributes(node->mode, node->uid, node->gid));
    struct model_object *object = &share->objects[number];
    object->inode = node->inode;
    for (uint32_t i = 0; i < node->xattrs; i++)
        start_value(model, object->xattrs + (uint32_t)tree_xattrs(node)[i].name,
                    tree_xattrs(node)[i].hash);
    if (node->kind == LFSX_SYMLINK)
        object->target = tree_hash(tree_content(node), node->size);
    if (node->kind != LFSX_REGULAR)
        return;
    model_bytes_destroy(&object->file);
    model_bytes_init(model, &object->file, node->size, tree_content(node));
}

unsigned model_add_share(struct model *model, const unsigned char *content, uint64_t size) {
    unsigned instance = model_add_instance(model, 0, NULL);
    struct model_share *share = model_must(calloc(1, sizeof *share));
    model->instances[instance].share = share;
    if (content == NULL) {
        model_add_object(model, share, LFSX_DIRECTORY, model_attributes(0755, 0, 0));
        share->objects[MODEL_ROOT].inode = LFSX_ROOT;
        return instance;
    }
    const struct tree_node *node = NULL;
    while ((node = tree_next(content, size, node)) != NULL)
        add_seen(model, share, node);
    while ((node = tree_next(content, size, node)) != NULL) {
        uint32_t entries = share->objects[find_inode(share, node->inode)].entries;
        for (uint32_t i = 0; i < node->entries; i++) {
            const struct tree_entry *entry = &tree_entries(node)[i];
            start_value(model, entries + entry->name, 1 + find_inode(share, entry->inode));
        }
    }
    return instance;
}

void model_share_destroy(struct model_share *share) {
    if (share == NULL)
        return;
    for (uint32_t i = 0; i < share->count; i++)
        model_bytes_destroy(&share->objects[i].file);
    free(share->objects);
    free(share);
}

/* ---- the present ---- */

uint32_t model_lookup(const struct model *model, const struct model_share *share,
                      uint32_t directory, unsigned name) {
    return (uint32_t)model_value(model, share->objects[directory].entries + name) - 1;
}

/* The directory of one of the names that the object has. */
static uint32_t next_parent(const struct model *model, const struct model_share *share,
                            uint32_t object, uint32_t *entry) {
    for (; *entry < share->count * TREE_NAMES; ++*entry) {
        uint32_t directory = *entry / TREE_NAMES;
        if (share->objects[directory].kind == LFSX_DIRECTORY &&
            model_lookup(model, share, directory, *entry % TREE_NAMES) == object)
            return directory;
    }
    return MODEL_NO_OBJECT;
}

unsigned model_links(const struct model *model, const struct model_share *share, uint32_t object) {
    unsigned links = object == MODEL_ROOT;
    for (uint32_t entry = 0; next_parent(model, share, object, &entry) != MODEL_NO_OBJECT; entry++)
        links++;
    return links;
}

bool model_is_below(const struct model *model, const struct model_share *share, uint32_t directory,
                    uint32_t other) {
    while (directory != other && directory != MODEL_ROOT && directory != MODEL_NO_OBJECT) {
        uint32_t entry = 0;
        directory = next_parent(model, share, directory, &entry);
    }
    return directory == other;
}

bool model_is_empty(const struct model *model, const struct model_share *share,
                    uint32_t directory) {
    for (unsigned i = 0; i < TREE_NAMES; i++)
        if (model_lookup(model, share, directory, i) != MODEL_NO_OBJECT)
            return false;
    return true;
}

/* ---- looking ---- */

/* The object that a name was seen to name; one whose creation nobody acknowledged is known by its
 * name, and from then on by its number. */
static uint32_t identify(struct model *model, struct model_share *share, uint32_t cell,
                         const struct tree_entry *entry) {
    uint32_t object = find_inode(share, entry->inode);
    if (object != MODEL_NO_OBJECT)
        return object;
    const struct model_cell *own = &model->cells[cell];
    for (uint32_t i = own->count; i > 0; i--) {
        uint64_t value = own->history[i - 1].value;
        if (value == 0 || share->objects[value - 1].inode != 0 ||
            share->objects[value - 1].kind != entry->kind)
            continue;
        share->objects[value - 1].inode = entry->inode;
        return (uint32_t)value - 1;
    }
    return MODEL_NO_OBJECT;
}

struct look {
    struct model *model;
    struct model_share *share;
    const char *name;
    const unsigned char *content;
    uint64_t size;
};

static bool look_at_entries(const struct look *look, uint32_t directory,
                            const struct tree_node *node) {
    uint32_t cells = look->share->objects[directory].entries;
    for (unsigned i = 0; i < TREE_NAMES; i++)
        model_look_at_cell(look->model, cells + i, 0);
    for (uint32_t i = 0; i < node->entries; i++) {
        const struct tree_entry *entry = &tree_entries(node)[i];
        if (entry->name >= TREE_NAMES)
            return model_wrong(look->model, "a name in a directory that nobody gave", look->name);
        uint32_t object = identify(look->model, look->share, cells + entry->name, entry);
        if (object == MODEL_NO_OBJECT)
            return model_wrong(look->model, "a file that nobody made", look->name);
        if (look->share->objects[object].kind != entry->kind)
            return model_wrong(look->model, "an entry of a wrong kind", look->name);
        model_look_at_cell(look->model, cells + entry->name, 1 + (uint64_t)object);
    }
    return true;
}

/* How many entries name the inode; *parent is a directory with one. */
static unsigned count_links(const struct look *look, uint64_t inode, uint64_t *parent) {
    unsigned links = inode == LFSX_ROOT;
    *parent = LFSX_ROOT;
    const struct tree_node *node = NULL;
    while ((node = tree_next(look->content, look->size, node)) != NULL) {
        for (uint32_t i = 0; i < node->entries; i++) {
            if (tree_entries(node)[i].inode != inode)
                continue;
            links++;
            *parent = node->inode;
        }
    }
    return links;
}

/* What follows from the names: links, and where a directory is. */
static bool is_consistent(const struct look *look, const struct tree_node *node) {
    uint64_t parent;
    unsigned links = count_links(look, node->inode, &parent);
    if (links != node->links)
        return model_wrong(look->model, "a file with more or fewer links than names", look->name);
    bool lost = node->kind == LFSX_DIRECTORY && node->parent != parent;
    return !lost || model_wrong(look->model, "a directory that thinks to be elsewhere", look->name);
}

static bool look_at_node(const struct look *look, const struct tree_node *node) {
    uint32_t number = find_inode(look->share, node->inode);
    const struct model_object *object = &look->share->objects[number];
    if (node->bad)
        return true;
    if (object->kind != node->kind)
        return model_wrong(look->model, "a file has become another one", look->name);
    model_look_at_cell(look->model, object->attributes,
                       model_attributes(node->mode, node->uid, node->gid));
    for (uint32_t i = 0; i < TREE_XATTRS; i++)
        model_look_at_cell(look->model, object->xattrs + i, 0);
    for (uint32_t i = 0; i < node->xattrs; i++) {
        const struct tree_xattr *xattr = &tree_xattrs(node)[i];
        if (xattr->name >= TREE_XATTRS)
            return model_wrong(look->model, "an attribute that nobody set", look->name);
        model_look_at_cell(look->model, object->xattrs + (uint32_t)xattr->name, xattr->hash);
    }
    if (node->kind == LFSX_REGULAR)
        model_look_at_bytes(look->model, &object->file, tree_content(node), node->size, NULL);
    if (node->kind == LFSX_SYMLINK && tree_hash(tree_content(node), node->size) != object->target)
        return model_wrong(look->model, "a symbolic link that leads elsewhere", look->name);
    return node->kind != LFSX_DIRECTORY || look_at_entries(look, number, node);
}

bool model_look_at_share(struct model *model, unsigned instance, const unsigned char *content,
                         uint64_t size, bool still) {
    char name[24];
    snprintf(name, sizeof name, "instance %u", instance);
    struct look look = {model, model->instances[instance].share, name, content, size};
    bool all = still;
    const struct tree_node *node = NULL;
    while ((node = tree_next(content, size, node)) != NULL) {
        all = all && !node->bad;
        if (!look_at_node(&look, node))
            return false;
    }
    while (all && (node = tree_next(content, size, node)) != NULL)
        if (!is_consistent(&look, node))
            return false;
    return true;
}

/* ---- saying what a cell is ---- */

static const char *part_of(const struct model_object *object, uint32_t cell, uint32_t *number) {
    *number = 0;
    if (cell == object->attributes)
        return "attributes";
    *number = cell - object->xattrs;
    if (cell >= object->xattrs && *number < TREE_XATTRS)
        return "extended attribute";
    *number = cell - object->entries;
    if (object->kind == LFSX_DIRECTORY && cell >= object->entries && *number < TREE_NAMES)
        return "name";
    *number = 0;
    if (object->kind != LFSX_REGULAR)
        return NULL;
    if (cell == object->file.size)
        return "size";
    while (*number < object->file.count && object->file.cells[*number] != cell)
        ++*number;
    return *number < object->file.count ? "sector" : NULL;
}

int model_describe_share(const struct model_share *share, uint32_t cell, char *text, size_t size) {
    for (uint32_t i = 0; i < share->count; i++) {
        uint32_t number;
        const char *part = part_of(&share->objects[i], cell, &number);
        if (part != NULL)
            return snprintf(text, size, "object %u (inode %llu), %s %u", i,
                            (unsigned long long)share->objects[i].inode, part, number);
    }
    return 0;
}
