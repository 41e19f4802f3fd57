/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and items as text. Nothing here trusts a length that it did not compare with the node. */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/print/print_internal.h"

/* A value of at least `size` bytes, followed by a name of `name_length`. */
static bool has_length(const struct item *item, size_t size, size_t name_length) {
    return item->length == size + name_length;
}

static void print_other(struct print *print, unsigned depth, const struct item *item) {
    print_line(print, depth, "type %u (%llu, %llu): %u bytes that this program does not know",
               item->key.type, (unsigned long long)item->key.inode,
               (unsigned long long)item->key.offset, item->length);
}

static void print_inode(struct print *print, unsigned depth, const struct item *item) {
    const struct disk_inode *inode = item->value;
    char time[PRINT_TIME_SIZE];
    print_line(print, depth, "inode %llu: mode 0x%x links %u uid %u gid %u size %llu modified %s",
               (unsigned long long)item->key.inode, le32_get(inode->mode), le32_get(inode->links),
               le32_get(inode->uid), le32_get(inode->gid),
               (unsigned long long)le64_get(inode->size),
               print_time(time, le64_get(inode->modified_ns)));
}

static void print_entry(struct print *print, unsigned depth, const struct item *item) {
    const struct disk_entry *entry = item->value;
    char name[PRINT_NAME_SIZE];
    print_line(print, depth, "entry of %llu, %016llx: kind %u target %llu name %s",
               (unsigned long long)item->key.inode, (unsigned long long)item->key.offset,
               entry->kind, (unsigned long long)le64_get(entry->target),
               print_name(name, entry->name, entry->name_length));
}

static void print_xattr(struct print *print, unsigned depth, const struct item *item) {
    const struct disk_xattr *xattr = item->value;
    char name[PRINT_NAME_SIZE];
    uint64_t piece = item->key.offset % DISK_XATTR_PIECES;
    bool has_name = piece == 0 && xattr->name_length <= item->length - sizeof *xattr;
    print_line(print, depth, "attribute of inode %llu, %016llx: piece %llu of %u bytes%s%s",
               (unsigned long long)item->key.inode, (unsigned long long)item->key.offset,
               (unsigned long long)piece, le32_get(xattr->value_length), has_name ? ", name " : "",
               has_name ? print_name(name, xattr->bytes, xattr->name_length) : "");
}

static void print_target(struct print *print, unsigned depth, const struct item *item) {
    char text[PRINT_NAME_SIZE];
    uint8_t length = (uint8_t)MATH_MIN(item->length, LFSX_NAME_MAX);
    print_line(print, depth, "target of inode %llu: piece %llu, %u bytes: %s%s",
               (unsigned long long)item->key.inode, (unsigned long long)item->key.offset,
               item->length, print_name(text, item->value, length),
               item->length > length ? " ..." : "");
}

static void print_cleanup(struct print *print, unsigned depth, const struct item *item) {
    print_line(print, depth, "clean up inode %llu", (unsigned long long)item->key.offset);
}

static void print_extent(struct print *print, unsigned depth, const struct item *item) {
    const struct disk_extent *extent = item->value;
    unsigned count = le32_get(extent->block_count);
    print_line(print, depth, "extent of inode %llu: blocks %llu..%llu are %llu..%llu, birth %llu",
               (unsigned long long)item->key.inode, (unsigned long long)item->key.offset,
               (unsigned long long)item->key.offset + count - 1,
               (unsigned long long)le64_get(extent->block),
               (unsigned long long)le64_get(extent->block) + count - 1,
               (unsigned long long)le64_get(extent->birth));
}

static void print_dataset_record(struct print *print, unsigned depth, const struct item *item) {
    static const char *const states[] = {"live", "being freed", "deleted"};
    const struct disk_dataset *dataset = item->value;
    char name[PRINT_NAME_SIZE], uuid[PRINT_UUID_SIZE], time[PRINT_TIME_SIZE];
    char pointer[PRINT_POINTER_SIZE];
    struct pointer root = pointer_load(&dataset->root);
    struct pointer dead = pointer_load(&dataset->dead);
    print_line(print, depth, "dataset %llu: %s, kind %u, name %s",
               (unsigned long long)item->key.inode,
               dataset->state < ARRAY_LENGTH(states) ? states[dataset->state] : "unknown state",
               dataset->kind, print_name(name, dataset->name, dataset->name_length));
    print_line(print, depth + 1, "uuid %s created %s birth %llu", print_uuid(uuid, dataset->uuid),
               print_time(time, le64_get(dataset->created_ns)),
               (unsigned long long)le64_get(dataset->birth));
    print_line(print, depth + 1, "root %s", print_pointer(pointer, &root));
    print_line(print, depth + 1, "node_blocks %llu data_blocks %llu shared_blocks %llu",
               (unsigned long long)le64_get(dataset->node_blocks),
               (unsigned long long)le64_get(dataset->data_blocks),
               (unsigned long long)le64_get(dataset->shared_blocks));
    print_line(print, depth + 1, "dead %s, %llu nodes", print_pointer(pointer, &dead),
               (unsigned long long)le64_get(dataset->dead_nodes));
    print_line(print, depth + 1, "origin %llu origin_epoch %llu flags %llx",
               (unsigned long long)le64_get(dataset->origin),
               (unsigned long long)le64_get(dataset->origin_epoch),
               (unsigned long long)le64_get(dataset->flags));
    print_line(print, depth + 1, "quota_blocks %llu reserved_blocks %llu",
               (unsigned long long)le64_get(dataset->quota_blocks),
               (unsigned long long)le64_get(dataset->reserved_blocks));
    print_line(print, depth + 1, "keep_deleted_ns %llu deleted %s next_inode %llu",
               (unsigned long long)le64_get(dataset->keep_deleted_ns),
               print_time(time, le64_get(dataset->deleted_ns)),
               (unsigned long long)le64_get(dataset->next_inode));
}

static void print_snapshot(struct print *print, unsigned depth, const struct item *item) {
    const struct disk_snapshot *snapshot = item->value;
    char name[PRINT_NAME_SIZE], time[PRINT_TIME_SIZE], pointer[PRINT_POINTER_SIZE];
    struct pointer root = pointer_load(&snapshot->root);
    print_line(print, depth, "snapshot of dataset %llu, epoch %llu: %s, flags %x, name %s",
               (unsigned long long)item->key.inode, (unsigned long long)item->key.offset,
               snapshot->state == DISK_SNAPSHOT_LIVE ? "live" : "being freed", snapshot->flags,
               print_name(name, snapshot->name, snapshot->name_length));
    print_line(print, depth + 1, "root %s created %s size %llu", print_pointer(pointer, &root),
               print_time(time, le64_get(snapshot->created_ns)),
               (unsigned long long)le64_get(snapshot->size));
    print_line(print, depth + 1, "node_blocks %llu data_blocks %llu shared_blocks %llu",
               (unsigned long long)le64_get(snapshot->node_blocks),
               (unsigned long long)le64_get(snapshot->data_blocks),
               (unsigned long long)le64_get(snapshot->shared_blocks));
}

static void print_schedule(struct print *print, unsigned depth, const struct item *item) {
    const struct disk_schedule_rule *rules = item->value;
    print_line(print, depth, "schedule of dataset %llu", (unsigned long long)item->key.inode);
    for (unsigned i = 0; i < item->length / sizeof *rules; i++)
        print_line(print, depth + 1, "every %llu ns keep %llu",
                   (unsigned long long)le64_get(rules[i].interval_ns),
                   (unsigned long long)le64_get(rules[i].keep));
}

static void print_dead_item(struct print *print, unsigned depth, const struct item *item) {
    uint64_t count = le64_get(*(const le64 *)item->value);
    uint64_t era = item->key.inode >> 32;
    uint64_t birth = item->key.inode & DISK_EPOCH_MAX;
    if (item->key.type == DISK_TYPE_DEAD_SUM)
        print_line(print, depth, "era %llu birth %llu: %llu dead blocks", (unsigned long long)era,
                   (unsigned long long)birth, (unsigned long long)count);
    else
        print_line(print, depth, "era %llu birth %llu: blocks %llu..%llu", (unsigned long long)era,
                   (unsigned long long)birth, (unsigned long long)item->key.offset,
                   (unsigned long long)(item->key.offset + count - 1));
}

static const struct form {
    uint8_t type;
    size_t size;        /* of the fixed part */
    size_t name_length; /* where its length stands in it; 0: nowhere */
    size_t more;        /* bytes that may follow in multiples of this; 0: none */
    void (*print)(struct print *print, unsigned depth, const struct item *item);
} forms[] = {
    {DISK_TYPE_INODE, sizeof(struct disk_inode), 0, 0, print_inode},
    {DISK_TYPE_ENTRY, sizeof(struct disk_entry), offsetof(struct disk_entry, name_length), 0,
     print_entry},
    {DISK_TYPE_XATTR, sizeof(struct disk_xattr), 0, 1, print_xattr},
    {DISK_TYPE_EXTENT, sizeof(struct disk_extent), 0, sizeof(le64), print_extent},
    {DISK_TYPE_SYMLINK, 0, 0, 1, print_target},
    {DISK_TYPE_CLEANUP, 0, 0, 0, print_cleanup},
    {DISK_TYPE_DATASET, sizeof(struct disk_dataset), offsetof(struct disk_dataset, name_length), 0,
     print_dataset_record},
    {DISK_TYPE_SNAPSHOT, sizeof(struct disk_snapshot), offsetof(struct disk_snapshot, name_length),
     0, print_snapshot},
    {DISK_TYPE_SCHEDULE, 0, 0, sizeof(struct disk_schedule_rule), print_schedule},
    {DISK_TYPE_DEAD_SUM, sizeof(struct disk_dead_sum), 0, 0, print_dead_item},
    {DISK_TYPE_DEAD, sizeof(struct disk_dead), 0, 0, print_dead_item},
};

void print_item(struct print *print, unsigned depth, const struct item *item) {
    for (unsigned i = 0; i < ARRAY_LENGTH(forms); i++) {
        const struct form *form = &forms[i];
        if (form->type != item->key.type || item->length < form->size)
            continue;
        size_t name =
            form->name_length == 0 ? 0 : ((const uint8_t *)item->value)[form->name_length];
        if (form->more != 0 ? (item->length - form->size) % form->more == 0
                            : has_length(item, form->size, name)) {
            form->print(print, depth, item);
            return;
        }
    }
    print_other(print, depth, item);
}

/* The item, if it lies inside of the node at all. */
static bool take_item(const struct disk_node *node, unsigned index, struct item *item) {
    const struct disk_item *disk = &node->items[index];
    size_t offset = le16_get(disk->value_offset);
    size_t length = le16_get(disk->value_length);
    if (offset < sizeof *node || offset + length > DISK_BLOCK_SIZE)
        return false;
    *item = (struct item){.key = {le64_get(disk->inode), le64_get(disk->offset), disk->type},
                          .value = (const char *)node + offset,
                          .length = (uint16_t)length};
    return true;
}

static void print_child(struct print *print, unsigned depth, const struct item *item) {
    char text[PRINT_POINTER_SIZE];
    if (item->length != sizeof(struct disk_pointer)) {
        print_other(print, depth, item);
        return;
    }
    struct pointer pointer = pointer_load(item->value);
    print_line(print, depth, "from (%llu, %u, %llu): %s", (unsigned long long)item->key.inode,
               item->key.type, (unsigned long long)item->key.offset, print_pointer(text, &pointer));
}

void print_node_content(struct print *print, unsigned depth, const struct disk_node *node) {
    unsigned most = (DISK_BLOCK_SIZE - sizeof *node) / sizeof(struct disk_item);
    unsigned count = node_count(node);
    print_line(print, depth,
               "node at block %llu: level %u owner %llu%s birth %llu checkpoint %llu, %u items",
               (unsigned long long)le64_get(node->block), node->level,
               (unsigned long long)(le64_get(node->owner) & ~DISK_OWNER_DEAD),
               le64_get(node->owner) & DISK_OWNER_DEAD ? " (dead tree)" : "",
               (unsigned long long)le64_get(node->birth),
               (unsigned long long)le64_get(node->checkpoint), count);
    if (count > most)
        print_line(print, depth + 1, "there is room for %u", most);
    for (unsigned i = 0; i < MATH_MIN(count, most); i++) {
        struct item item;
        if (!take_item(node, i, &item))
            print_line(print, depth + 1, "item %u lies outside of the node", i);
        else if (node->level > 0)
            print_child(print, depth + 1, &item);
        else
            print_item(print, depth + 1, &item);
    }
}
