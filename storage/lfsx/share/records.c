/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction's changes on their way into the tree, when it commits and when the journal is
 * replayed.
 *
 * Invariants:
 * 1. The changes of an application are in the tree's order, each key once.
 * 2. The journal's record says what is in the tree afterwards, inodes as a whole, so that replaying
 *    it needs nothing but the records before it.
 */
#include "storage/lfsx/share/records.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/format/items_record.h"
#include "storage/lfsx/pool/pool.h"

#define GROUP_SPAN 4096u /* keys of one attribute, and of the pieces of a target */

/* One item that is there, or is not, afterwards. */
struct change {
    struct key key;
    const void *value; /* NULL: the item goes */
    uint16_t length;
    bool stripped; /* the value is an inode's record */
    bool touched;  /* there may be no value: the item stays as it is but for the touch */
    bool exists;   /* in the tree; found out by each attempt */
};

struct application {
    struct dataset *dataset;
    struct change *changes;
    size_t count;
    struct disk_inode *inodes; /* for each change, if it needs one: what the item becomes */
    struct records_attachment *attachment; /* NULL: replaying */
    unsigned char *record;
    uint32_t record_length;
};

uint64_t records_new_inode(struct dataset *dataset) {
    return __atomic_fetch_add(&dataset->next_inode, 1, __ATOMIC_RELAXED);
}

struct records_touch *records_touch(struct records_attachment *attachment, uint64_t inode,
                                    uint32_t set) {
    struct records_touch *touch = attachment->touches;
    while (touch < attachment->touches + attachment->count && touch->inode != inode)
        touch++;
    if (touch == attachment->touches + attachment->count) {
        ASSERT(attachment->count < RECORDS_TOUCHES);
        attachment->count++;
        *touch = (struct records_touch){.inode = inode};
    }
    touch->set |= set;
    return touch;
}

/* ---- reading ---- */

struct look {
    struct dataset *dataset;
    struct key key, last;
    void *value;
    size_t *length;
};

static void copy_record(const struct item *item, const struct look *look) {
    memcpy(look->value, item->value, item->length);
    if (item->key.type == DISK_TYPE_INODE)
        inode_strip(look->value);
    *look->length = item->length;
}

static enum status look_exact(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    enum status status = btree_find(&look->dataset->tree, &look->key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    copy_record(&item, look);
    return STATUS_OK;
}

/* The first record from look->key on; leaves its key there. */
static enum status look_next(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    struct key at = look->key;
    for (;;) {
        enum status status = btree_seek(&look->dataset->tree, &at, cursor);
        if (status != STATUS_OK)
            return status;
        struct item item = btree_item(cursor);
        if (key_compare(&item.key, &look->last) > 0)
            return STATUS_NOT_FOUND;
        if (item.key.type != DISK_TYPE_EXTENT) {
            copy_record(&item, look);
            look->key = item.key;
            return STATUS_OK;
        }
        at = (struct key){.inode = item.key.inode, .type = DISK_TYPE_EXTENT + 1};
    }
}

static enum status store_read(void *context, const struct mvcc_key *key, void *value,
                              size_t *length) {
    struct dataset *dataset = context;
    struct look look = {
        .dataset = dataset, .key = records_tree_key(key), .value = value, .length = length};
    ASSERT(look.key.type != DISK_TYPE_EXTENT);
    return pool_look(dataset->pool, look_exact, &look);
}

static enum status store_next(void *context, const struct mvcc_key *from,
                              const struct mvcc_key *last, struct mvcc_key *found, void *value,
                              size_t *length) {
    struct dataset *dataset = context;
    struct look look = {
        .dataset = dataset, .last = records_tree_key(last), .value = value, .length = length};
    if (!records_key_at_least(from, &look.key))
        return STATUS_NOT_FOUND;
    enum status status = pool_look(dataset->pool, look_next, &look);
    if (status == STATUS_OK)
        *found = records_key(&look.key);
    return status;
}

/* ---- applying ---- */

/* Whether a change belongs to the same stretch of keys as the one before it, which is so short that
 * walking over it is cheaper than to prefetch each by itself. */
static bool continues_group(const struct change *before, const struct change *change) {
    return change->key.inode == before->key.inode && change->key.type == before->key.type &&
           change->key.type != DISK_TYPE_ENTRY &&
           change->key.offset / GROUP_SPAN == before->key.offset / GROUP_SPAN;
}

static enum status prefetch(const struct application *a, struct btree_cursor *cursor,
                            struct update_need *need) {
    struct btree *tree = &a->dataset->tree;
    for (size_t i = 0; i < a->count;) {
        size_t first = i;
        uint64_t puts = 0;
        do {
            puts += a->changes[i].value != NULL;
            i++;
        } while (i < a->count && continues_group(&a->changes[i - 1], &a->changes[i]));
        uint64_t leaves;
        enum status status =
            btree_prefetch(tree, &a->changes[first].key, &a->changes[i - 1].key, cursor, &leaves);
        if (status != STATUS_OK)
            return status;
        need->nodes += btree_nodes_needed(tree, leaves, puts);
    }
    return STATUS_OK;
}

static void touch_inode(const struct records_attachment *attachment, uint64_t inode,
                        struct disk_inode *item) {
    for (unsigned i = 0; i < attachment->count; i++) {
        const struct records_touch *touch = &attachment->touches[i];
        if (touch->inode != inode)
            continue;
        if (touch->set & RECORDS_SET_MODIFIED)
            item->modified_ns = le64_make(touch->modified_ns);
        if (touch->set & RECORDS_SET_CHANGED)
            item->changed_ns = le64_make(touch->changed_ns);
        if (touch->set & RECORDS_SET_ACCESSED)
            item->accessed_ns = le64_make(touch->accessed_ns);
        if (touch->set & RECORDS_SET_SIZE)
            item->size = le64_make(touch->size);
    }
}

/* Finds out what is there, and what inodes become. CORRUPT: what must be there is not. */
static enum status resolve(struct application *a, struct btree_cursor *cursor) {
    for (size_t i = 0; i < a->count; i++) {
        struct change *change = &a->changes[i];
        enum status status = btree_find(&a->dataset->tree, &change->key, cursor);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return status;
        change->exists = status == STATUS_OK;
        if (!change->exists && !a->dataset->pool->mending &&
            (change->value == NULL || (change->touched && !change->stripped)))
            return STATUS_CORRUPT;
        if (!change->stripped && !change->touched)
            continue;
        struct disk_inode stored = {0};
        if (change->exists)
            memcpy(&stored, btree_item(cursor).value, sizeof stored);
        if (change->stripped)
            memcpy(&a->inodes[i], change->value, sizeof a->inodes[i]);
        else
            a->inodes[i] = stored;
        inode_complete(&a->inodes[i], &stored);
        touch_inode(a->attachment, change->key.inode, &a->inodes[i]);
    }
    return STATUS_OK;
}

static const void *new_value(const struct application *a, size_t i) {
    const struct change *change = &a->changes[i];
    return change->stripped || change->touched ? &a->inodes[i] : change->value;
}

static void change_tree(const struct application *a) {
    struct btree *tree = &a->dataset->tree;
    for (size_t i = 0; i < a->count; i++) {
        const struct change *change = &a->changes[i];
        if (change->value == NULL && change->exists)
            btree_remove(tree, &change->key);
        else if (change->value == NULL)
            continue; /* mending */
        else if (change->exists)
            btree_replace(tree, &change->key, new_value(a, i), change->length);
        else
            btree_insert(tree, &change->key, new_value(a, i), change->length);
    }
}

static void add_to_journal(struct application *a) {
    struct journal *journal = a->dataset->pool->journal;
    if (journal == NULL)
        return;
    struct disk_record_items head = {.dataset = le64_make(a->dataset->id),
                                     .count = le32_make((uint32_t)a->count)};
    unsigned char *at = a->record;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    for (size_t i = 0; i < a->count; i++) {
        const struct change *change = &a->changes[i];
        bool put = change->value != NULL;
        struct disk_record_change disk = {.inode = le64_make(change->key.inode),
                                          .offset = le64_make(change->key.offset),
                                          .type = change->key.type,
                                          .kind = put ? DISK_CHANGE_PUT : DISK_CHANGE_REMOVE,
                                          .value_length = le16_make(change->length)};
        memcpy(at, &disk, sizeof disk);
        at += sizeof disk;
        if (put)
            memcpy(at, new_value(a, i), change->length);
        at += change->length;
    }
    ASSERT(at == a->record + a->record_length);
    struct span span = {a->record, a->record_length};
    (void)journal_add(journal, DISK_RECORD_ITEMS, &span, 1);
}

/* An open file follows its item (inode.h, invariant 4). */
static void resize_file(const struct records_attachment *attachment) {
    for (unsigned i = 0; i < attachment->count; i++) {
        const struct records_touch *touch = &attachment->touches[i];
        if (attachment->file != NULL && touch->inode == attachment->file->inode &&
            (touch->set & RECORDS_SET_SIZE))
            attachment->file->size = touch->size;
    }
}

static void raise_next_inode(const struct application *a) {
    for (size_t i = 0; i < a->count; i++) {
        uint64_t inode = a->changes[i].key.inode;
        if (a->dataset->next_inode <= inode)
            a->dataset->next_inode = inode + 1;
    }
}

/* The moment at which a transaction happens. */
static enum status apply_step(void *context, struct btree_cursor *cursor) {
    struct application *a = context;
    struct lfsx_pool *pool = a->dataset->pool;
    struct update_need need = {.record = a->record_length};
    need.frees = a->attachment != NULL && a->attachment->frees;
    need.held = a->dataset->tree.kept > 0;
    enum status status = prefetch(a, cursor, &need);
    if (status == STATUS_OK)
        status = resolve(a, cursor);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    change_tree(a);
    if (a->attachment != NULL)
        resize_file(a->attachment);
    else
        raise_next_inode(a);
    add_to_journal(a);
    pool_update_end(pool);
    return STATUS_OK;
}

/* Adds the inode that a touch names, unless it is among the changes. */
static void add_touched(struct application *a, uint64_t inode) {
    struct key key = inode_key(inode);
    size_t place = 0;
    while (place < a->count && key_compare(&a->changes[place].key, &key) < 0)
        place++;
    struct change *change = &a->changes[place];
    if (place < a->count && key_compare(&change->key, &key) == 0) {
        change->touched = change->value != NULL;
        return;
    }
    memmove(change + 1, change, (a->count - place) * sizeof *change);
    a->count++;
    *change = (struct change){.key = key,
                              .value = a->inodes, /* of no meaning: resolve() takes what is there */
                              .length = sizeof(struct disk_inode),
                              .touched = true};
}

static enum status allocate(struct application *a, size_t count, size_t record_length) {
    a->changes = os_alloc(count * (sizeof *a->changes + sizeof *a->inodes) + record_length);
    if (a->changes == NULL)
        return STATUS_NO_MEMORY;
    a->inodes = (struct disk_inode *)(a->changes + count);
    a->record = (unsigned char *)(a->inodes + count);
    return STATUS_OK;
}

static enum status store_apply(void *context, const struct mvcc_change *changes, size_t count,
                               void *attachment) {
    struct application a = {.dataset = context, .attachment = attachment};
    size_t most = count + a.attachment->count;
    size_t bytes = sizeof(struct disk_record_items) + most * sizeof(struct disk_record_change) +
                   a.attachment->count * sizeof(struct disk_inode);
    for (size_t i = 0; i < count; i++)
        bytes += changes[i].length;
    enum status status = allocate(&a, most, bytes);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        struct key key = records_tree_key(&changes[i].key);
        bool put = changes[i].kind != MVCC_DELETE;
        a.changes[a.count++] = (struct change){.key = key,
                                               .value = put ? changes[i].value : NULL,
                                               .length = (uint16_t)changes[i].length,
                                               .stripped = put && key.type == DISK_TYPE_INODE};
    }
    for (unsigned i = 0; i < a.attachment->count; i++)
        add_touched(&a, a.attachment->touches[i].inode);
    a.record_length = sizeof(struct disk_record_items);
    for (size_t i = 0; i < a.count; i++)
        a.record_length += (uint32_t)sizeof(struct disk_record_change) + a.changes[i].length;
    if (a.count > 0)
        status = pool_change(a.dataset->pool, apply_step, &a);
    os_free(a.changes);
    return status;
}

struct mvcc_store records_store(struct dataset *dataset) {
    return (struct mvcc_store){.read = store_read,
                               .next = store_next,
                               .apply = store_apply,
                               .context = dataset,
                               .value_max = DISK_VALUE_MAX};
}

/* ---- replaying ---- */

static enum status take_changes(struct application *a, struct items_record *record) {
    struct item item;
    bool put;
    enum status status;
    while ((status = items_record_next(record, &item, &put)) == STATUS_OK)
        a->changes[a->count++] = (struct change){
            .key = item.key, .value = put ? item.value : NULL, .length = item.length};
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status records_replay(struct lfsx_pool *pool, const void *payload, uint32_t length,
                           uint64_t *dataset) {
    struct items_record record;
    if (items_record_open(payload, length, &pool->label.geometry, &record) != STATUS_OK)
        return STATUS_INVALID;
    struct application a = {.dataset = dataset_find_id(pool, record.dataset)};
    *dataset = record.dataset;
    if (a.dataset == NULL || a.dataset->kind != DISK_DATASET_SHARE)
        return STATUS_INVALID;
    if (a.dataset->damage != STATUS_OK)
        return a.dataset->damage;
    enum status status = allocate(&a, record.count, 0);
    if (status != STATUS_OK)
        return status;
    if (take_changes(&a, &record) != STATUS_OK)
        status = STATUS_INVALID;
    if (status == STATUS_OK)
        status = pool_change(pool, apply_step, &a);
    os_free(a.changes);
    return status;
}
