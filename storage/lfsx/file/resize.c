/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size of a volume changes: one item of its tree, durable by a checkpoint.
 *
 * A journal record is replayed on the checkpoint before it, and must lie inside of the volume as
 * that knows it. So the end of a volume that grows is open to writes only when its checkpoint is
 * durable, and one shrinks only while nobody can write to it at all.
 */
#include "storage/lfsx/file/resize.h"
#include "base/assert.h"
#include "base/math.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/pool/pool.h"

static const struct key inode_key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};

enum status resize_hold(struct dataset *d, uint64_t size) {
    bool shrinks = size < d->file.size;
    if (d->is_resizing || (shrinks && d->open_count > 0))
        return STATUS_BUSY;
    d->is_resizing = true;
    d->is_shrinking = shrinks;
    d->open_count++;
    return STATUS_OK;
}

void resize_let_go(struct dataset *d, bool is_durable) {
    ASSERT(d->is_resizing && d->open_count > 0);
    if (is_durable)
        file_open_end(&d->file);
    d->is_resizing = d->is_shrinking = false;
    d->open_count--;
}

enum status resize_cut(struct dataset *d, uint64_t size) {
    struct file *f = &d->file;
    uint64_t old_size = f->size; /* nobody else changes it */
    if (size >= old_size)
        return STATUS_OK;
    uint64_t whole = math_round_up(size, LFSX_BLOCK_SIZE);
    uint64_t end = math_round_up(old_size, LFSX_BLOCK_SIZE);
    uint64_t rest = MATH_MIN(whole, old_size) - size;
    enum status status = STATUS_OK;
    if (whole < end)
        status = file_punch(f, whole / LFSX_BLOCK_SIZE, (end - whole) / LFSX_BLOCK_SIZE, 0);
    if (status == STATUS_OK && rest > 0)
        status = file_zero(f, size, rest, LFSX_NO_HOLE);
    return status;
}

static struct disk_inode *find_inode(struct dataset *d, struct btree_cursor *cursor,
                                     enum status *status) {
    *status = btree_find(&d->tree, &inode_key, cursor);
    if (*status == STATUS_NOT_FOUND)
        *status = STATUS_CORRUPT;
    return *status == STATUS_OK ? (struct disk_inode *)btree_item(cursor).value : NULL;
}

/* The ancestors of a dirty node are dirty. */
static bool is_touched(const struct btree_cursor *cursor) {
    return cursor->path[cursor->depth - 1].node->state == CACHED_DIRTY;
}

enum status resize_touch(struct dataset *d, uint64_t size, struct btree_cursor *cursor) {
    uint64_t leaves;
    enum status status = btree_prefetch(&d->tree, &inode_key, &inode_key, cursor, &leaves);
    if (status != STATUS_OK)
        return status;
    const struct disk_inode *found = find_inode(d, cursor, &status);
    if (status != STATUS_OK || is_touched(cursor))
        return status;
    struct disk_inode inode = *found;
    struct update_need need = {.nodes = btree_nodes_needed(&d->tree, leaves, 0),
                               .frees = size<d->file.size, .held = d->tree.kept> 0,
                               .background = true};
    status = pool_update_begin(d->pool, &need);
    if (status != STATUS_OK)
        return status;
    btree_replace(&d->tree, &inode_key, &inode, sizeof inode);
    pool_update_end(d->pool);
    return STATUS_OK;
}

static void set_inode(struct dataset *d, uint64_t size) {
    struct btree_cursor cursor;
    enum status status;
    const struct disk_inode *found = find_inode(d, &cursor, &status);
    ASSERT(status == STATUS_OK);
    struct disk_inode inode = *found;
    inode.size = le64_make(size);
    inode.modified_ns = inode.changed_ns = le64_make(os_wall_clock_ns());
    btree_replace(&d->tree, &inode_key, &inode, sizeof inode);
}

void resize_apply(struct dataset *d, uint64_t size) {
    set_inode(d, size);
    file_set_size(&d->file, size);
}

enum status resize_prefetch_clone(struct snapshot *origin, struct btree_cursor *cursor,
                                  struct update_need *need) {
    uint64_t leaves;
    enum status status = btree_prefetch(&origin->tree, &inode_key, &inode_key, cursor, &leaves);
    if (status == STATUS_OK)
        status = btree_find(&origin->tree, &inode_key, cursor);
    if (status == STATUS_OK)
        need->nodes += btree_nodes_needed(&origin->tree, leaves, 0);
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}
