/* SPDX-License-Identifier: Apache-2.0 */
/* What a transaction can read. */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_change.h"

static void fill_info(const union catalog_item *record, struct lfsx_dataset_info *info) {
    const struct disk_dataset *disk = &record->dataset;
    memset(info, 0, sizeof *info);
    memcpy(info->name, disk->name, disk->name_length);
    memcpy(info->uuid, disk->uuid, sizeof info->uuid);
    info->id = le64_get(disk->id);
    info->is_share = disk->kind == DISK_DATASET_SHARE;
    info->is_protected = (le64_get(disk->flags) & DISK_DATASET_PROTECTED) != 0;
    info->keep_deleted_ns = le64_get(disk->keep_deleted_ns);
    info->created_ns = le64_get(disk->created_ns);
    info->origin = le64_get(disk->origin);
    info->origin_epoch = le64_get(disk->origin_epoch);
}

enum status lfsx_transaction_find(struct lfsx_transaction *t, const char *name,
                                  struct lfsx_dataset_info *info) {
    struct catalog_named named;
    enum status status = catalog_name_look(t, name, &named);
    if (status == STATUS_OK)
        fill_info(&named.record, info);
    return status;
}

/* All names, in the order of their hashes. */
struct names {
    struct mvcc_key from, last;
};

/* The record of what has the next name. NOT_FOUND: there is none. AGAIN: it has just gone. */
static enum status next_named(struct lfsx_transaction *t, struct names *names,
                              union catalog_item *record) {
    union {
        struct disk_entry disk;
        unsigned char bytes[sizeof(struct disk_entry) + LFSX_NAME_MAX];
    } entry;
    struct mvcc_key key;
    size_t length;
    enum status status =
        mvcc_next(t->records, &names->from, &names->last, &key, &entry, sizeof entry, &length);
    if (status != STATUS_OK)
        return status;
    names->from = key;
    bool more = mvcc_key_advance(&names->from);
    ASSERT(more);
    status = catalog_dataset_look(t, le64_get(entry.disk.target), record);
    return status == STATUS_NOT_FOUND ? STATUS_AGAIN : status;
}

enum status lfsx_transaction_list(struct lfsx_transaction *t,
                                  bool (*visit)(void *context,
                                                const struct lfsx_dataset_info *info),
                                  void *context) {
    struct key first = {.inode = DISK_CATALOG_NAMES, .type = DISK_TYPE_ENTRY};
    struct key last = {.inode = DISK_CATALOG_NAMES, .type = DISK_TYPE_ENTRY, .offset = UINT64_MAX};
    struct names names = {records_key(&first), records_key(&last)};
    for (;;) {
        union catalog_item record;
        struct lfsx_dataset_info info;
        enum status status = next_named(t, &names, &record);
        if (status == STATUS_AGAIN)
            continue;
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        fill_info(&record, &info);
        if (!visit(context, &info))
            return STATUS_OK;
    }
}
