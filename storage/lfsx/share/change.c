/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What transactions on a share are made of.
 *
 * All are serializable, so each can be read as if it were alone. A directory that gets or loses a
 * name is read, not changed: its times are not part of its record. So names come and go in one
 * directory at the same time, but none in one that is being removed.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/share/share.h"

/* A mvcc_body: one attempt. */
static enum status attempt(struct mvcc_transaction *transaction, void *context) {
    struct change_run *run = context;
    run->transaction = transaction;
    run->attachment = (struct records_attachment){0};
    return run->body(run, run->context);
}

enum status share_run(struct share *share, share_body *body, void *context) {
    static const struct mvcc_options options = {MVCC_SERIALIZABLE, OS_FOREVER};
    struct change_run run = {
        .share = share, .body = body, .context = context, .now_ns = os_wall_clock_ns()};
    return mvcc_run(share->mvcc, &options, attempt, &run, &run.attachment);
}

enum status share_change(struct lfsx_share *handle, share_body *body, void *context,
                         uint32_t flags) {
    if (handle->share == NULL)
        return STATUS_READ_ONLY;
    struct lfsx_pool *pool = handle->holding.dataset->pool;
    enum status status = pool_writable(pool);
    if (status == STATUS_OK)
        status = share_run(handle->share, body, context);
    if (status == STATUS_OK && (flags & LFSX_FUA))
        status = pool_commit(pool);
    else if (status == STATUS_OK)
        pool_throttle(pool);
    return status;
}

static struct mvcc_key inode_record_key(uint64_t inode) {
    struct key key = inode_key(inode);
    return records_key(&key);
}

typedef enum status record_reader(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                                  void *value, size_t size, size_t *length);

static enum status read_inode(struct change_run *run, uint64_t inode, record_reader *read,
                              struct disk_inode *record) {
    if (inode < DISK_ROOT_INODE)
        return STATUS_NOT_FOUND;
    struct mvcc_key key = inode_record_key(inode);
    size_t length;
    enum status status = read(run->transaction, &key, record, sizeof *record, &length);
    if (status != STATUS_OK)
        return status;
    ASSERT(length == sizeof *record);
    return le32_get(record->links) == 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

enum status change_inode(struct change_run *run, uint64_t inode, struct disk_inode *record) {
    return read_inode(run, inode, mvcc_read_for_update, record);
}

enum status change_look(struct change_run *run, uint64_t inode, struct disk_inode *record) {
    return read_inode(run, inode, mvcc_read, record);
}

enum status change_directory(struct change_run *run, uint64_t inode, struct disk_inode *record) {
    enum status status = change_look(run, inode, record);
    if (status == STATUS_OK && share_kind(record) != LFSX_DIRECTORY)
        status = STATUS_NOT_DIRECTORY;
    return status;
}

enum status change_put_inode(struct change_run *run, uint64_t inode,
                             const struct disk_inode *record) {
    struct mvcc_key key = inode_record_key(inode);
    return mvcc_write(run->transaction, &key, record, sizeof *record);
}

void change_times(struct change_run *run, uint64_t inode, uint32_t set) {
    struct records_touch *touch = records_touch(&run->attachment, inode, set);
    if (set & RECORDS_SET_MODIFIED)
        touch->modified_ns = run->now_ns;
    if (set & RECORDS_SET_CHANGED)
        touch->changed_ns = run->now_ns;
    if (set & RECORDS_SET_ACCESSED)
        touch->accessed_ns = run->now_ns;
}

/* ---- names ---- */

enum status change_find(struct change_run *run, uint64_t directory, struct lfsx_name name,
                        struct found_entry *found) {
    return entry_find(run->transaction, run->share->dataset->pool, directory, name, found);
}

enum status change_put_entry(struct change_run *run, const struct found_entry *place,
                             struct lfsx_name name, uint64_t target, uint8_t kind) {
    return entry_put(run->transaction, place, name, target, kind);
}

enum status change_drop_link(struct change_run *run, uint64_t inode, struct disk_inode *record,
                             uint64_t *gone) {
    uint32_t links = le32_get(record->links) - 1;
    record->links = le32_make(links);
    change_times(run, inode, RECORDS_SET_CHANGED);
    enum status status = change_put_inode(run, inode, record);
    if (status != STATUS_OK || links > 0)
        return status;
    *gone = inode;
    struct key order = {.inode = DISK_CLEANUP_INODE, .type = DISK_TYPE_CLEANUP, .offset = inode};
    struct mvcc_key key = records_key(&order);
    return mvcc_write(run->transaction, &key, "", 0);
}

enum status change_assert_empty(struct change_run *run, uint64_t directory) {
    struct key low = {.inode = directory, .type = DISK_TYPE_ENTRY};
    struct key high = {.inode = directory, .type = DISK_TYPE_ENTRY, .offset = UINT64_MAX};
    struct mvcc_key from = records_key(&low);
    struct mvcc_key last = records_key(&high);
    struct mvcc_key found;
    size_t length;
    enum status status = mvcc_next(run->transaction, &from, &last, &found, NULL, 0, &length);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    return status == STATUS_OK ? STATUS_NOT_EMPTY : status;
}
