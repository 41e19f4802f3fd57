/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/format/items_record.h"
#include "base/mem.h"
#include "storage/lfsx/format/values.h"

enum status items_record_open(const void *payload, uint32_t length, const struct geometry *geometry,
                              struct items_record *record) {
    const struct disk_record_items *head = payload;
    if (length < sizeof *head || le32_get(head->reserved) != 0)
        return STATUS_CORRUPT;
    *record = (struct items_record){.dataset = le64_get(head->dataset),
                                    .count = le32_get(head->count),
                                    .geometry = geometry,
                                    .bytes = payload,
                                    .length = length,
                                    .at = sizeof *head};
    bool fits = record->count <= length / sizeof(struct disk_record_change);
    return record->count > 0 && fits && record->dataset >= DISK_FIRST_DATASET ? STATUS_OK
                                                                              : STATUS_CORRUPT;
}

/* What can be told of an item that goes, by its key. */
static bool may_go(const struct key *key) {
    return key->type >= DISK_TYPE_INODE && key->type <= DISK_TYPE_CLEANUP;
}

enum status items_record_next(struct items_record *record, struct item *item, bool *put) {
    struct disk_record_change change;
    if (record->done == record->count)
        return record->at == record->length ? STATUS_NOT_FOUND : STATUS_CORRUPT;
    if (record->length - record->at < sizeof change)
        return STATUS_CORRUPT;
    memcpy(&change, record->bytes + record->at, sizeof change);
    record->at += (uint32_t)sizeof change;
    uint16_t bytes = le16_get(change.value_length);
    *put = change.kind == DISK_CHANGE_PUT;
    if (bytes > record->length - record->at || le32_get(change.reserved) != 0 ||
        (!*put && (change.kind != DISK_CHANGE_REMOVE || bytes > 0)))
        return STATUS_CORRUPT;
    *item = (struct item){.key = {.inode = le64_get(change.inode),
                                  .type = change.type,
                                  .offset = le64_get(change.offset)},
                          .value = record->bytes + record->at,
                          .length = bytes};
    record->at += bytes;
    bool rises = record->done == 0 || key_compare(&record->last, &item->key) < 0;
    record->last = item->key;
    record->done++;
    if (!rises || item->key.type == DISK_TYPE_EXTENT || item->key.inode > DISK_INODE_MAX)
        return STATUS_CORRUPT;
    const char *why;
    if (*put)
        return value_validate(item, record->geometry, record->dataset, &why);
    return may_go(&item->key) ? STATUS_OK : STATUS_CORRUPT;
}
