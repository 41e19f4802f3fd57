/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/file/dataset_life.h"
#include "base/assert.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/pool/pool.h"

struct dataset *dataset_new(struct lfsx_pool *pool) {
    struct dataset *d = os_alloc_zeroed(sizeof *d);
    if (d == NULL)
        return NULL;
    d->pool = pool;
    d->tree = (struct btree){.forest = &pool->forest, .dataset = d};
    d->dead = (struct btree){.forest = &pool->forest};
    list_init(&d->link);
    list_init(&d->snapshots);
    file_init(&d->file, d, &d->tree, DISK_ROOT_INODE);
    return d;
}

void dataset_free(struct dataset *d) {
    struct list_node *link;
    while ((link = list_pop_front(&d->snapshots)) != NULL)
        snapshot_free(snapshot_of(link));
    file_destroy(&d->file);
    os_free(d);
}

struct snapshot *snapshot_new(struct dataset *d) {
    struct snapshot *s = os_alloc_zeroed(sizeof *s);
    if (s == NULL)
        return NULL;
    s->dataset = d;
    list_init(&s->link);
    file_init(&s->file, d, &s->tree, DISK_ROOT_INODE);
    s->file.read_only = true;
    return s;
}

void snapshot_free(struct snapshot *s) {
    ASSERT(s->open_count == 0);
    file_destroy(&s->file);
    os_free(s);
}
