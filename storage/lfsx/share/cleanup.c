/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out orders to clean up.
 *
 * An order stands in the tree from the step in which an inode lost its last link, or a file its
 * end, until all is freed that went with it. Freeing is many steps; a crash between any two leaves
 * the order, and so it does when memory is short: then it is carried out when the share, or the
 * file, is opened the next time.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/share/share.h"

#define BATCH 64u /* items that one transaction removes */

static struct key order_key(uint64_t inode) {
    return (struct key){.inode = DISK_CLEANUP_INODE, .type = DISK_TYPE_CLEANUP, .offset = inode};
}

struct removal {
    uint64_t inode;
    bool finished; /* result */
};

static enum status delete_if_there(struct change_run *run, const struct key *key) {
    struct mvcc_key record = records_key(key);
    enum status status = mvcc_delete(run->transaction, &record);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Removes some of the records in [low, high]. NOT_FOUND: there are no more. */
static enum status remove_some(struct change_run *run, const struct key *low,
                               const struct key *high) {
    struct mvcc_key from = records_key(low);
    struct mvcc_key last = records_key(high);
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < BATCH && status == STATUS_OK; i++) {
        struct mvcc_key found;
        size_t length;
        status = mvcc_next(run->transaction, &from, &last, &found, NULL, 0, &length);
        if (status == STATUS_OK)
            status = mvcc_delete(run->transaction, &found);
    }
    return status;
}

/* The record of the inode, locked for a change, whatever its links. */
static enum status read_any(struct change_run *run, uint64_t inode, struct disk_inode *record) {
    struct key key = inode_key(inode);
    struct mvcc_key mvcc_key = records_key(&key);
    size_t length;
    return mvcc_read_for_update(run->transaction, &mvcc_key, record, sizeof *record, &length);
}

/* Takes away a part of an inode without links, at last the inode and the order. */
static enum status remove_body(struct change_run *run, void *context) {
    struct removal *removal = context;
    struct disk_inode record;
    struct key order = order_key(removal->inode);
    struct key inode = inode_key(removal->inode);
    struct key low = {.inode = removal->inode, .type = DISK_TYPE_ENTRY};
    struct key high = {.inode = removal->inode, .type = UINT8_MAX, .offset = UINT64_MAX};
    run->attachment.frees = true;
    removal->finished = true;
    enum status status = read_any(run, removal->inode, &record);
    if (status == STATUS_OK && le32_get(record.links) > 0)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = remove_some(run, &low, &high);
    if (status == STATUS_OK)
        removal->finished = false;
    if (status != STATUS_NOT_FOUND)
        return status;
    status = delete_if_there(run, &inode);
    return status == STATUS_OK ? delete_if_there(run, &order) : status;
}

static void report(struct share *share, uint64_t inode, enum status status) {
    if (status != STATUS_OK && status != STATUS_SHUTDOWN)
        log_warning("lfsx",
                    "%s: share %s: inode %llu was removed, but not all of its space is free yet "
                    "(%s); the rest follows when the share is opened again",
                    share->dataset->pool->device->name, share->dataset->name,
                    (unsigned long long)inode, status_text(status));
}

void cleanup_inode(struct share *share, struct node *node) {
    struct removal removal = {.inode = node->inode};
    enum status status = file_punch(&node->file, 0, DISK_FILE_BLOCKS_MAX, 0);
    while (status == STATUS_OK && !removal.finished)
        status = share_run(share, remove_body, &removal);
    report(share, node->inode, status);
}

static enum status tail_body(struct change_run *run, void *context) {
    const struct node *node = context;
    struct disk_inode record;
    struct key order = order_key(node->inode);
    run->attachment.frees = true;
    enum status status = read_any(run, node->inode, &record);
    if (status == STATUS_OK && le32_get(record.links) > 0)
        status = delete_if_there(run, &order);
    return status;
}

enum status cleanup_tail(struct share *share, struct node *node) {
    uint64_t first = math_divide_up(node->file.size, LFSX_BLOCK_SIZE);
    enum status status = file_punch(&node->file, first, DISK_FILE_BLOCKS_MAX - first, 0);
    if (status == STATUS_OK)
        status = share_run(share, tail_body, node);
    if (status == STATUS_OK)
        node->leftovers = false;
    return status;
}

/* ---- what a crash left ---- */

struct search {
    struct btree *tree;
    uint64_t inode; /* from this one on; result */
    uint32_t links; /* result */
};

/* NOT_FOUND: there are no more orders. */
static enum status next_order(void *context, struct btree_cursor *cursor) {
    struct search *search = context;
    struct key key = order_key(search->inode);
    struct disk_inode item;
    enum status status = btree_seek(search->tree, &key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item order = btree_item(cursor);
    if (order.key.inode != DISK_CLEANUP_INODE || order.key.type != DISK_TYPE_CLEANUP)
        return STATUS_NOT_FOUND;
    status = inode_look(search->tree, order.key.offset, &item, cursor);
    if (status == STATUS_AGAIN)
        return status;
    search->inode = order.key.offset;
    search->links = status == STATUS_OK ? le32_get(item.links) : 0;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* A file that lost its end and nothing else. */
static void clean_file(struct share *share, uint64_t inode) {
    struct node *node;
    enum status status = node_open(share, inode, &node);
    if (status != STATUS_OK) {
        report(share, inode, status == STATUS_NOT_FOUND ? STATUS_OK : status);
        return;
    }
    struct rangelock_hold hold;
    rangelock_acquire(&node->file.ranges, &hold, 0, DISK_FILE_BLOCKS_MAX);
    if (node->leftovers)
        status = cleanup_tail(share, node);
    rangelock_release(&node->file.ranges, &hold);
    report(share, inode, status);
    node_close(share, node);
}

static void clean(void *argument) {
    struct share *share = argument;
    struct search search = {.tree = &share->dataset->tree, .inode = 0};
    while (!__atomic_load_n(&share->closing, __ATOMIC_RELAXED) &&
           pool_look(share->dataset->pool, next_order, &search) == STATUS_OK) {
        if (search.links == 0)
            node_unlinked(share, search.inode);
        else
            clean_file(share, search.inode);
        search.inode++;
    }
}

enum status cleanup_start(struct share *share) {
    struct search search = {.tree = &share->dataset->tree, .inode = 0};
    enum status status = pool_look(share->dataset->pool, next_order, &search);
    if (status == STATUS_OK)
        return os_thread_start(&share->cleaner, "lfsx-cleaner", clean, share);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

void cleanup_stop(struct share *share) {
    __atomic_store_n(&share->closing, true, __ATOMIC_RELAXED);
    if (share->cleaner != NULL)
        os_thread_join(share->cleaner);
    share->cleaner = NULL;
}
