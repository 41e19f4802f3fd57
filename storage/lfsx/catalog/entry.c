/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: a name is in the first of its hash's slots that was free when it came. Who changes a
 * name holds all of these slots, and every name in them that it has seen is the newest: so nobody
 * adds a name twice, whatever the transaction's level.
 */
#include "storage/lfsx/catalog/entry.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/records_key.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/pool/pool.h"

union entry_value {
    struct disk_entry disk;
    unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
};

/* The slots of a name. */
struct slots {
    struct mvcc_transaction *transaction;
    bool for_update;
    struct mvcc_key from, last;
};

/* The next entry from slots->from on. NOT_FOUND: there is none. */
static enum status next_entry(struct slots *slots, struct key *place, union entry_value *value) {
    struct mvcc_key key;
    size_t length;
    enum status status = mvcc_next(slots->transaction, &slots->from, &slots->last, &key, value,
                                   sizeof *value, &length);
    if (status == STATUS_OK && slots->for_update)
        status = mvcc_read_for_update(slots->transaction, &key, value, sizeof *value, &length);
    if (status != STATUS_OK)
        return status;
    *place = records_tree_key(&key);
    slots->from = key;
    bool more = mvcc_key_advance(&slots->from);
    ASSERT(more);
    return STATUS_OK;
}

static bool has_name(const union entry_value *value, struct lfsx_name name) {
    return value->disk.name_length == name.length &&
           memcmp(value->disk.name, name.text, name.length) == 0;
}

/* Leaves in found->key the first free slot, or what comes behind them. */
static enum status search(struct slots *slots, struct lfsx_name name, struct found_entry *found) {
    for (;;) {
        struct key place;
        union entry_value value;
        enum status status = next_entry(slots, &place, &value);
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        if (has_name(&value, name)) {
            *found =
                (struct found_entry){place, true, le64_get(value.disk.target), value.disk.kind};
            return STATUS_OK;
        }
        if (place.offset == found->key.offset) /* slots are taken in their order */
            found->key.offset++;
    }
}

static enum status find(struct slots *slots, const struct lfsx_pool *pool, uint64_t directory,
                        struct lfsx_name name, struct found_entry *found) {
    uint64_t hash = names_hash(pool->label.pool_uuid, name.text, name.length) &
                    ~(uint64_t)(DISK_ENTRY_SLOTS - 1);
    struct key first = {.inode = directory, .type = DISK_TYPE_ENTRY, .offset = hash};
    struct key last = first;
    last.offset += DISK_ENTRY_SLOTS - 1;
    slots->from = records_key(&first);
    slots->last = records_key(&last);
    *found = (struct found_entry){.key = first};
    enum status status = STATUS_OK;
    if (slots->for_update)
        status = mvcc_lock(slots->transaction, &slots->from, &slots->last, MVCC_LOCK_EXCLUSIVE);
    if (status == STATUS_OK)
        status = search(slots, name, found);
    if (status != STATUS_OK || found->exists)
        return status;
    uint64_t taken = found->key.offset - hash;
    bool full = taken == DISK_ENTRY_SLOTS || found->key.offset == UINT64_MAX;
    return full ? STATUS_NO_SPACE : STATUS_OK;
}

enum status entry_find(struct mvcc_transaction *transaction, const struct lfsx_pool *pool,
                       uint64_t directory, struct lfsx_name name, struct found_entry *found) {
    struct slots slots = {.transaction = transaction, .for_update = true};
    return find(&slots, pool, directory, name, found);
}

enum status entry_look(struct mvcc_transaction *transaction, const struct lfsx_pool *pool,
                       uint64_t directory, struct lfsx_name name, struct found_entry *found) {
    struct slots slots = {.transaction = transaction};
    enum status status = find(&slots, pool, directory, name, found);
    return status == STATUS_NO_SPACE ? STATUS_OK : status;
}

enum status entry_put(struct mvcc_transaction *transaction, const struct found_entry *place,
                      struct lfsx_name name, uint64_t target, uint8_t kind) {
    union entry_value value;
    value.disk = (struct disk_entry){
        .target = le64_make(target), .kind = kind, .name_length = (uint8_t)name.length};
    memcpy(value.disk.name, name.text, name.length);
    struct mvcc_key key = records_key(&place->key);
    return mvcc_write(transaction, &key, &value, sizeof value.disk + name.length);
}

enum status entry_remove(struct mvcc_transaction *transaction, const struct found_entry *place) {
    struct mvcc_key key = records_key(&place->key);
    return mvcc_delete(transaction, &key);
}
