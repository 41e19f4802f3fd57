/* SPDX-License-Identifier: Apache-2.0 */
/* The changes that mending decided upon, each an update of the share's tree. None goes into the
 * journal: a checkpoint makes them durable. */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/file/inode.h"
#include "storage/lfsx/file/space.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/repair/share_mend.h"

union value {
    struct disk_inode inode;
    struct disk_entry entry;
    unsigned char bytes[DISK_VALUE_MAX];
};

struct changing {
    struct share_mend *mend;
    const struct mend_change *change;
    bool finished;
};

/* A free place for a name in a directory. */
struct place {
    struct key key;
    char name[LFSX_NAME_MAX + 1];
    size_t length;
};

static struct btree *tree_of(const struct changing *c) {
    return &c->mend->dataset->tree;
}

/* Adds what a change of the key's item needs; `added` items. AGAIN. */
static enum status prefetch(const struct changing *c, const struct key *key, uint64_t added,
                            struct btree_cursor *cursor, struct update_need *need) {
    uint64_t leaves;
    enum status status = btree_prefetch(tree_of(c), key, key, cursor, &leaves);
    if (status == STATUS_OK)
        need->nodes += btree_nodes_needed(tree_of(c), leaves, added);
    return status;
}

static enum status begin(const struct changing *c, struct update_need *need) {
    need->frees = true;
    need->held = tree_of(c)->kept > 0;
    return pool_update_begin(c->mend->pool, need);
}

/* Makes the item be there with the value. */
static enum status put(const struct changing *c, const struct key *key, const void *value,
                       uint16_t length, struct btree_cursor *cursor) {
    struct update_need need = {0};
    enum status found = btree_find(tree_of(c), key, cursor);
    if (found != STATUS_OK && found != STATUS_NOT_FOUND)
        return found;
    enum status status = prefetch(c, key, 1, cursor, &need);
    if (status == STATUS_OK)
        status = begin(c, &need);
    if (status != STATUS_OK)
        return status;
    if (found == STATUS_OK)
        btree_replace(tree_of(c), key, value, length);
    else
        btree_insert(tree_of(c), key, value, length);
    pool_update_end(c->mend->pool);
    return STATUS_OK;
}

/* Copies the item. NOT_FOUND, AGAIN. */
static enum status copy(const struct changing *c, const struct key *key, union value *value,
                        uint16_t *length, struct btree_cursor *cursor) {
    enum status status = btree_find(tree_of(c), key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    memcpy(value->bytes, item.value, item.length);
    *length = item.length;
    return STATUS_OK;
}

/* ---- removing ---- */

static enum status remove_extent(const struct changing *c, const struct item *item,
                                 struct btree_cursor *cursor) {
    struct update_need need = {0};
    uint64_t first = item->key.offset;
    uint64_t count = le32_get(((const struct disk_extent *)item->value)->block_count);
    struct file file = {.dataset = c->mend->dataset, .tree = tree_of(c), .inode = item->key.inode};
    enum status status = extents_prefetch(&file, first, count, 0, cursor, &need);
    if (status == STATUS_OK)
        status = begin(c, &need);
    if (status != STATUS_OK)
        return status;
    extents_punch(&file, first, count);
    space_settle(c->mend->dataset, NULL);
    pool_update_end(c->mend->pool);
    return STATUS_OK;
}

/* One item at a time. */
static enum status remove_step(struct changing *c, struct btree_cursor *cursor) {
    struct update_need need = {0};
    enum status status = btree_seek(tree_of(c), &c->change->key, cursor);
    c->finished = status == STATUS_NOT_FOUND;
    if (status != STATUS_OK)
        return c->finished ? STATUS_OK : status;
    struct item item = btree_item(cursor);
    c->finished = key_compare(&item.key, &c->change->last) > 0;
    if (c->finished)
        return STATUS_OK;
    if (item.key.type == DISK_TYPE_EXTENT)
        return remove_extent(c, &item, cursor);
    struct key key = item.key;
    status = prefetch(c, &key, 0, cursor, &need);
    if (status == STATUS_OK)
        status = begin(c, &need);
    if (status != STATUS_OK)
        return status;
    btree_remove(tree_of(c), &key);
    pool_update_end(c->mend->pool);
    return STATUS_OK;
}

/* ---- inodes and orders ---- */

static enum status set_inode(struct changing *c, struct btree_cursor *cursor) {
    struct mend_inode decided;
    union value value;
    uint16_t length = sizeof value.inode;
    le64 now = le64_make(os_wall_clock_ns());
    uint64_t index = mend_find(c->mend, c->change->key.inode, &decided);
    if (index == UINT64_MAX)
        return c->mend->failure;
    enum status status = copy(c, &c->change->key, &value, &length, cursor);
    if (status == STATUS_NOT_FOUND)
        value.inode = (struct disk_inode){
            .modified_ns = now, .changed_ns = now, .accessed_ns = now, .created_ns = now};
    else if (status != STATUS_OK)
        return status;
    value.inode.mode = le32_make(decided.mode);
    value.inode.links = le32_make(decided.links);
    value.inode.size = le64_make(decided.size);
    value.inode.data_blocks = le64_make(decided.data_blocks);
    value.inode.parent = le64_make(decided.parent);
    return put(c, &c->change->key, &value, length, cursor);
}

/* ---- names ---- */

static bool has_name(const struct item *item, const struct place *place) {
    const struct disk_entry *entry = item->value;
    return entry->name_length == place->length &&
           memcmp(entry->name, place->name, place->length) == 0;
}

/* Looks for a slot of the place's name. EXISTS: the name is there, or there is no slot. AGAIN. */
static enum status find_slot(const struct changing *c, struct place *place,
                             struct btree_cursor *cursor) {
    uint64_t hash = names_hash(c->mend->pool->label.pool_uuid, place->name, place->length) &
                    ~(uint64_t)(DISK_ENTRY_SLOTS - 1);
    bool found = false;
    for (unsigned slot = 0; slot < DISK_ENTRY_SLOTS; slot++) {
        struct key key = {place->key.inode, hash + slot, DISK_TYPE_ENTRY};
        enum status status = btree_find(tree_of(c), &key, cursor);
        if (status == STATUS_NOT_FOUND) {
            place->key.offset = found || key.offset == UINT64_MAX ? place->key.offset : key.offset;
            found |= key.offset != UINT64_MAX;
            continue;
        }
        if (status != STATUS_OK)
            return status;
        struct item item = btree_item(cursor);
        if (has_name(&item, place))
            return STATUS_EXISTS;
    }
    return found ? STATUS_OK : STATUS_EXISTS;
}

/* The wanted name; or else one made of it, or of the inode's number, that is free. */
static enum status find_place(const struct changing *c, const char *wanted, size_t length,
                              struct place *place, struct btree_cursor *cursor) {
    uint64_t number = c->change->target;
    place->length = length;
    memcpy(place->name, wanted, length);
    enum status status = find_slot(c, place, cursor);
    for (unsigned i = 1; status == STATUS_EXISTS; i++) {
        if (number == c->mend->lost_found && number != 0)
            format_text(place->name, sizeof place->name, MEND_LOST_FOUND ".%u", i);
        else
            format_text(place->name, sizeof place->name, "#%llu.%u", (unsigned long long)number, i);
        place->length = strlen(place->name);
        status = find_slot(c, place, cursor);
    }
    return status;
}

static uint16_t make_entry(const struct changing *c, const struct place *place, uint8_t kind,
                           union value *value) {
    value->entry = (struct disk_entry){.target = le64_make(c->change->target),
                                       .kind = kind,
                                       .name_length = (uint8_t)place->length};
    memcpy(value->entry.name, place->name, place->length);
    return (uint16_t)(sizeof value->entry + place->length);
}

static enum status attach_step(struct changing *c, struct btree_cursor *cursor) {
    struct place place = {.key = {.inode = c->change->key.inode, .type = DISK_TYPE_ENTRY}};
    char name[LFSX_NAME_MAX + 1];
    union value value;
    if (c->change->target == c->mend->lost_found)
        format_text(name, sizeof name, MEND_LOST_FOUND);
    else
        format_text(name, sizeof name, "#%llu", (unsigned long long)c->change->target);
    enum status status = find_place(c, name, strlen(name), &place, cursor);
    if (status != STATUS_OK)
        return status;
    uint16_t length = make_entry(c, &place, c->change->kind, &value);
    return put(c, &place.key, &value, length, cursor);
}

static enum status move_step(struct changing *c, struct btree_cursor *cursor) {
    struct place place = {.key = {.inode = c->change->key.inode, .type = DISK_TYPE_ENTRY}};
    struct update_need need = {0};
    union value value;
    uint16_t length;
    enum status status = copy(c, &c->change->key, &value, &length, cursor);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    uint8_t kind = value.entry.kind;
    status = find_place(c, (const char *)value.entry.name, value.entry.name_length, &place, cursor);
    if (status == STATUS_OK)
        status = prefetch(c, &c->change->key, 0, cursor, &need);
    if (status == STATUS_OK)
        status = prefetch(c, &place.key, 1, cursor, &need);
    if (status == STATUS_OK)
        status = begin(c, &need);
    if (status != STATUS_OK)
        return status;
    length = make_entry(c, &place, kind, &value);
    btree_remove(tree_of(c), &c->change->key);
    btree_insert(tree_of(c), &place.key, &value, length);
    pool_update_end(c->mend->pool);
    return STATUS_OK;
}

static enum status set_kind(struct changing *c, struct btree_cursor *cursor) {
    union value value;
    uint16_t length;
    enum status status = copy(c, &c->change->key, &value, &length, cursor);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    value.entry.kind = c->change->kind;
    return put(c, &c->change->key, &value, length, cursor);
}

/* ---- all of them ---- */

static enum status step(void *context, struct btree_cursor *cursor) {
    struct changing *c = context;
    c->finished = true;
    switch (c->change->operation) {
    case MEND_REMOVE:
        return remove_step(c, cursor);
    case MEND_SET_INODE:
        return set_inode(c, cursor);
    case MEND_ADD_ORDER:
        return put(c, &c->change->key, "", 0, cursor);
    case MEND_SET_KIND:
        return set_kind(c, cursor);
    case MEND_MOVE:
        return move_step(c, cursor);
    default:
        return attach_step(c, cursor);
    }
}

/* A checkpoint brings the share's record up to date if its tree changed. */
static void raise_next_inode(struct share_mend *mend) {
    struct mend_change change = {.operation = MEND_SET_INODE,
                                 .key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE}};
    struct changing changing = {.mend = mend, .change = &change};
    if (mend->failure != STATUS_OK || mend->next_inode <= mend->dataset->next_inode)
        return;
    mend->dataset->next_inode = mend->next_inode;
    mend->failure = pool_change(mend->pool, step, &changing);
}

static bool is_new_name(const struct mend_change *change) {
    return change->operation == MEND_MOVE || change->operation == MEND_ATTACH;
}

static void make_changes(struct share_mend *mend, bool new_names) {
    struct mend_change change;
    for (uint64_t i = 0; i < spill_array_count(mend->changes) && mend->failure == STATUS_OK; i++) {
        struct changing changing = {.mend = mend, .change = &change};
        spill_array_get(mend->changes, i, &change);
        changing.finished = is_new_name(&change) != new_names;
        while (mend->failure == STATUS_OK && !changing.finished) {
            enum status status = pool_change(mend->pool, step, &changing);
            if (status != STATUS_OK)
                mend->failure = status;
            pool_throttle(mend->pool);
        }
    }
}

/* New names come last: so nothing that goes is in their way. */
void mend_change(struct share_mend *mend) {
    make_changes(mend, false);
    make_changes(mend, true);
    raise_next_inode(mend);
}
