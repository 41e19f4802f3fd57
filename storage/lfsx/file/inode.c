/* SPDX-License-Identifier: Apache-2.0 */
/* The invariants stand in inode.h. */
#include "storage/lfsx/file/inode.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

struct key inode_key(uint64_t inode) {
    return (struct key){.inode = inode, .type = DISK_TYPE_INODE};
}

enum status inode_look(struct btree *tree, uint64_t inode, struct disk_inode *out,
                       struct btree_cursor *cursor) {
    struct key key = inode_key(inode);
    enum status status = btree_find(tree, &key, cursor);
    if (status != STATUS_OK)
        return status;
    struct item item = btree_item(cursor);
    ASSERT(item.length == sizeof *out); /* values_file.c */
    memcpy(out, item.value, sizeof *out);
    return STATUS_OK;
}

void inode_strip(struct disk_inode *item) {
    static const struct disk_inode nothing;
    inode_complete(item, &nothing);
}

void inode_complete(struct disk_inode *item, const struct disk_inode *stored) {
    item->size = stored->size;
    item->data_blocks = stored->data_blocks;
    item->modified_ns = stored->modified_ns;
    item->changed_ns = stored->changed_ns;
    item->accessed_ns = stored->accessed_ns;
}

enum status inode_prefetch(struct file *file, struct btree_cursor *cursor,
                           struct update_need *need) {
    struct disk_inode item;
    uint64_t leaves;
    struct key key = inode_key(file->inode);
    enum status status = inode_look(file->tree, file->inode, &item, cursor);
    if (status == STATUS_OK)
        status = btree_prefetch(file->tree, &key, &key, cursor, &leaves);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    need->nodes += btree_nodes_needed(file->tree, leaves, 0);
    return STATUS_OK;
}

void inode_content_changed(struct file *file, uint64_t added, uint64_t end, uint64_t now_ns) {
    ASSERT(file->dataset->pool->forest.updating);
    struct btree_cursor cursor;
    struct disk_inode item;
    enum status status = inode_look(file->tree, file->inode, &item, &cursor);
    ASSERT(status == STATUS_OK); /* prefetched */
    uint64_t blocks = le64_get(item.data_blocks) + added;
    if (blocks > DISK_FILE_BLOCKS_MAX) {
        if (!file->dataset->pool->mending) /* which counts them anew */
            pool_contradiction(file->dataset->pool);
        blocks = 0;
    }
    file->size = MATH_MAX(file->size, end);
    item.data_blocks = le64_make(blocks);
    item.size = le64_make(file->size);
    if (now_ns != 0)
        item.modified_ns = item.changed_ns = le64_make(now_ns);
    struct key key = inode_key(file->inode);
    btree_replace(file->tree, &key, &item, sizeof item);
}
