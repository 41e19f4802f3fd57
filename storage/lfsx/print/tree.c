/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as text. A walk goes round what is damaged. */
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/print/print_internal.h"

struct walk {
    struct print *print;
    /* Called for every whole node, from the root on. False ends the walk. */
    bool (*visit)(struct walk *walk, unsigned depth, const struct disk_node *node);
    bool ended;
    bool quiet; /* damage is not what was asked for */
    enum status status;

    const char *name; /* what is looked for: a name of `length` bytes, or the number `id` */
    size_t length;
    uint64_t id;
    uint8_t type;
    bool all; /* items of the type, not only one */
    uint64_t found;
    struct pointer root; /* of the last one found */
};

static const char *read_node(struct walk *walk, const struct pointer *pointer,
                             struct disk_node *node) {
    const char *why = "";
    if (!geometry_is_data(&walk->print->label.geometry, pointer->block, 1))
        return "no node can be there";
    enum status status =
        blockdev_read(walk->print->device, pointer->block * DISK_BLOCK_SIZE, node, DISK_BLOCK_SIZE);
    if (status != STATUS_OK)
        return status_text(status);
    /* Of a clone's nodes some are the origin's. */
    return node_validate(node, pointer, le64_get(node->owner), &why) == STATUS_OK ? NULL : why;
}

/* The level falls by one with each step down, so this comes to an end. */
static void walk_node(struct walk *walk, const struct pointer *pointer, unsigned depth) {
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    if (node == NULL) {
        walk->status = STATUS_NO_MEMORY;
        walk->ended = true;
        return;
    }
    const char *wrong = pointer->level > DISK_LEVEL_MAX ? "its level is impossible"
                                                        : read_node(walk, pointer, node);
    if (wrong != NULL && !walk->quiet)
        print_line(walk->print, depth, "node at block %llu: DAMAGED: %s",
                   (unsigned long long)pointer->block, wrong);
    if (wrong == NULL && !walk->visit(walk, depth, node))
        walk->ended = true;
    for (unsigned i = 0; wrong == NULL && node->level > 0 && i < node_count(node) && !walk->ended;
         i++) {
        struct pointer child = node_child(node, i);
        walk_node(walk, &child, depth + 1);
    }
    os_page_free(node, DISK_BLOCK_SIZE);
}

static bool visit_all(struct walk *walk, unsigned depth, const struct disk_node *node) {
    print_node_content(walk->print, depth, node);
    return true;
}

static enum status print_nodes(struct print *print, const struct pointer *root, unsigned depth) {
    struct walk walk = {.print = print, .visit = visit_all};
    walk_node(&walk, root, depth);
    return walk.status;
}

enum status print_node(struct print *print, const char *argument) {
    uint64_t block;
    if (!print_parse(argument, &block))
        return STATUS_INVALID;
    if (block >= print->device->size / DISK_BLOCK_SIZE)
        return STATUS_NOT_FOUND;
    struct disk_node *node = os_page_alloc(DISK_BLOCK_SIZE);
    if (node == NULL)
        return STATUS_NO_MEMORY;
    enum status status =
        blockdev_read(print->device, block * DISK_BLOCK_SIZE, node, DISK_BLOCK_SIZE);
    if (status == STATUS_OK && le32_get(node->magic) != DISK_NODE_MAGIC) {
        print_line(print, 0, "block %llu: it does not begin as a node", (unsigned long long)block);
    } else if (status == STATUS_OK) {
        const char *why = "";
        struct pointer self = {block, le64_get(node->birth), le64_get(node->checksum), node->level};
        if (node_validate(node, &self, le64_get(node->owner), &why) != STATUS_OK)
            print_line(print, 0, "block %llu: DAMAGED: %s", (unsigned long long)block, why);
        print_node_content(print, 0, node);
    }
    os_page_free(node, DISK_BLOCK_SIZE);
    return status;
}

static bool name_is(const struct walk *walk, const uint8_t *name, size_t length) {
    return walk->name != NULL && length == walk->length && memcmp(name, walk->name, length) == 0;
}

/* Whether the record is the one that is looked for, and its root. */
static bool is_it(struct walk *walk, const struct item *item) {
    if (item->key.type != walk->type)
        return false;
    if (item->key.type == DISK_TYPE_DATASET) {
        const struct disk_dataset *dataset = item->value;
        if (item->length < sizeof *dataset ||
            item->length != sizeof *dataset + dataset->name_length)
            return false;
        bool is = walk->all || name_is(walk, dataset->name, dataset->name_length) ||
                  (walk->id != 0 && walk->id == item->key.inode);
        if (is) {
            walk->root = pointer_load(&dataset->root);
            walk->id = item->key.inode;
        }
        return is;
    }
    const struct disk_snapshot *snapshot = item->value;
    if (item->length < sizeof *snapshot || item->length != sizeof *snapshot + snapshot->name_length)
        return false;
    bool is = walk->all ||
              (walk->id == item->key.inode && name_is(walk, snapshot->name, snapshot->name_length));
    if (is)
        walk->root = pointer_load(&snapshot->root);
    return is;
}

static bool visit_dead(struct walk *walk, const struct item *item) {
    const struct disk_dataset *dataset = item->value;
    struct pointer dead = pointer_load(&dataset->dead);
    if (dead.block == 0)
        return true;
    print_line(walk->print, 0, "dead tree of dataset %llu", (unsigned long long)item->key.inode);
    walk->status = print_nodes(walk->print, &dead, 1);
    return walk->status == STATUS_OK;
}

static bool visit_records(struct walk *walk, unsigned depth, const struct disk_node *node) {
    (void)depth;
    for (unsigned i = 0; node->level == 0 && i < node_count(node); i++) {
        struct item item = node_item(node, i);
        if (!is_it(walk, &item))
            continue;
        walk->found++;
        if (walk->type == DISK_TYPE_DATASET && walk->all) {
            if (!visit_dead(walk, &item))
                return false;
            continue;
        }
        if (!walk->quiet)
            print_item(walk->print, 0, &item);
        if (!walk->all)
            return false;
    }
    return true;
}

/* Looks for a dataset by name or number. */
static void find(struct walk *walk, const char *name, size_t length) {
    char text[24];
    *walk = (struct walk){.print = walk->print,
                          .quiet = walk->quiet,
                          .visit = visit_records,
                          .type = DISK_TYPE_DATASET,
                          .name = name,
                          .length = length};
    if (length < sizeof text) {
        memcpy(text, name, length);
        text[length] = '\0';
        if (!print_parse(text, &walk->id))
            walk->id = 0;
    }
    walk_node(walk, &walk->print->super.catalog, 0);
}

static enum status end_find(const struct walk *walk) {
    if (walk->status != STATUS_OK)
        return walk->status;
    return walk->found > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status print_tree(struct print *print, const char *argument) {
    if (argument == NULL)
        return print_nodes(print, &print->super.catalog, 0);
    const char *at = argument;
    while (*at != '\0' && *at != '@')
        at++;
    struct walk walk = {.print = print, .quiet = true};
    find(&walk, argument, (size_t)(at - argument));
    if (walk.status == STATUS_OK && walk.found > 0 && *at == '@') {
        walk = (struct walk){.print = print,
                             .quiet = true,
                             .visit = visit_records,
                             .type = DISK_TYPE_SNAPSHOT,
                             .name = at + 1,
                             .length = strlen(at + 1),
                             .id = walk.id};
        walk_node(&walk, &print->super.catalog, 0);
    }
    enum status status = end_find(&walk);
    return status == STATUS_OK ? print_nodes(print, &walk.root, 0) : status;
}

enum status print_dataset(struct print *print, const char *argument) {
    struct walk walk = {.print = print};
    find(&walk, argument, strlen(argument));
    return end_find(&walk);
}

static enum status print_all(struct print *print, uint8_t type) {
    struct walk walk = {.print = print, .visit = visit_records, .type = type, .all = true};
    walk_node(&walk, &print->super.catalog, 0);
    return walk.status;
}

enum status print_snapshots(struct print *print, const char *argument) {
    (void)argument;
    return print_all(print, DISK_TYPE_SNAPSHOT);
}

enum status print_dead(struct print *print, const char *argument) {
    (void)argument;
    return print_all(print, DISK_TYPE_DATASET);
}
