/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size of a volume changes: one item of its tree, durable by a checkpoint.
 *
 * A journal record is replayed on the checkpoint before it, and must lie inside of the volume as
 * that knows it. So the end of a volume that grows is open to writes only when its checkpoint is
 * durable, and one shrinks only while nobody can write to it at all.
 */
#include "base/assert.h"
#include "base/math.h"
#include "storage/lfsx/pool/pool.h"

struct resize {
    struct lfsx_pool *pool;
    struct dataset *dataset;
    uint64_t size, old_size;
};

static bool is_size(uint64_t size) {
    return size > 0 && size % 512 == 0 && size <= LFSX_VOLUME_SIZE_MAX;
}

/* Keeps others from deleting, rolling back and resizing the volume, and from opening one that
 * shrinks. */
static enum status hold(struct resize *resize, const char *name, bool may_shrink) {
    struct lfsx_pool *pool = resize->pool;
    enum status status = STATUS_OK;
    os_rwlock_lock_exclusive(&pool->lock);
    struct dataset *d = dataset_find(pool, name);
    if (d == NULL || d->kind != DISK_DATASET_VOLUME)
        status = STATUS_NOT_FOUND;
    else if (d->damage != STATUS_OK)
        status = damage_status(d);
    else if (resize->size < d->file.size && !may_shrink)
        status = STATUS_INVALID;
    else if (d->is_resizing || (resize->size < d->file.size && d->open_count > 0))
        status = STATUS_BUSY;
    if (status == STATUS_OK) {
        d->is_resizing = true;
        d->is_shrinking = resize->size < d->file.size;
        d->open_count++;
        resize->dataset = d;
        resize->old_size = d->file.size;
    }
    os_rwlock_unlock_exclusive(&pool->lock);
    return status;
}

/* A size that did not become durable stays closed; to ask for it again is a way to go on. */
static void let_go(struct resize *resize, bool is_durable) {
    struct dataset *d = resize->dataset;
    os_rwlock_lock_exclusive(&resize->pool->lock);
    if (is_durable)
        file_open_end(&d->file);
    d->is_resizing = d->is_shrinking = false;
    d->open_count--;
    os_rwlock_unlock_exclusive(&resize->pool->lock);
}

/* What lies behind the new end gives its space back, and what is left of the last block is zeros.
 */
static enum status cut(struct resize *resize) {
    struct file *f = &resize->dataset->file;
    uint64_t whole = math_round_up(resize->size, LFSX_BLOCK_SIZE);
    uint64_t end = math_round_up(resize->old_size, LFSX_BLOCK_SIZE);
    uint64_t rest = MATH_MIN(whole, resize->old_size) - resize->size;
    enum status status = STATUS_OK;
    if (whole < end)
        status = file_punch(f, whole / LFSX_BLOCK_SIZE, (end - whole) / LFSX_BLOCK_SIZE, 0);
    if (status == STATUS_OK && rest > 0)
        status = file_zero(f, resize->size, rest, LFSX_NO_HOLE);
    return status;
}

static enum status resize_step(void *context, struct btree_cursor *cursor) {
    struct resize *resize = context;
    struct dataset *d = resize->dataset;
    struct key key = {.inode = DISK_ROOT_INODE, .type = DISK_TYPE_INODE};
    uint64_t leaves;
    enum status status = btree_prefetch(&d->tree, &key, &key, cursor, &leaves);
    if (status == STATUS_OK)
        status = btree_find(&d->tree, &key, cursor);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    struct disk_inode inode = *(const struct disk_inode *)btree_item(cursor).value;
    struct update_need need = {.nodes = btree_nodes_needed(&d->tree, leaves, 0),
                               .frees = resize->size<resize->old_size, .held = d->tree.kept> 0};
    status = pool_update_begin(resize->pool, &need);
    if (status != STATUS_OK)
        return status;
    inode.size = le64_make(resize->size);
    inode.modified_ns = inode.changed_ns = le64_make(os_wall_clock_ns());
    btree_replace(&d->tree, &key, &inode, sizeof inode);
    file_set_size(&d->file, resize->size);
    pool_update_end(resize->pool);
    return STATUS_OK;
}

enum status lfsx_volume_resize(struct lfsx_pool *pool, const char *name, uint64_t size,
                               uint32_t flags) {
    if (!is_size(size))
        return STATUS_INVALID;
    enum status status = pool_writable(pool);
    struct resize resize = {.pool = pool, .size = size};
    if (status == STATUS_OK)
        status = hold(&resize, name, (flags & LFSX_RESIZE_SHRINK) != 0);
    if (status != STATUS_OK)
        return status;
    if (size < resize.old_size)
        status = cut(&resize);
    if (status == STATUS_OK && size != resize.old_size)
        status = pool_change(pool, resize_step, &resize);
    if (status == STATUS_OK)
        status = pool_commit(pool);
    let_go(&resize, status == STATUS_OK);
    return status;
}
