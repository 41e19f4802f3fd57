/* SPDX-License-Identifier: Apache-2.0 */
/* A small share whose items are changed behind its back, so that they contradict each other. */
#ifndef TESTS_STORAGE_LFSX_SHARESCENE_H
#define TESTS_STORAGE_LFSX_SHARESCENE_H

#include "storage/lfsx/share/share.h"
#include "tests/storage/lfsx/sharetest.h"

struct scene {
    struct sharetest test;
    uint64_t directory, file, link;
    union {
        struct disk_inode inode;
        struct disk_entry entry;
        unsigned char bytes[DISK_VALUE_MAX];
    } value; /* of the item looked at last */
    uint16_t length;
};

static inline void scene_start(struct scene *s) {
    memset(s, 0, sizeof *s);
    sharetest_start(&s->test, 32ull << 20);
    s->directory = sharetest_mkdir(&s->test, LFSX_ROOT, "directory");
    s->file = sharetest_create(&s->test, s->directory, "file");
    static char target[2500];
    memset(target, 't', sizeof target);
    struct lfsx_name to = {target, sizeof target};
    assert_int_equal(lfsx_share_symlink(s->test.share, LFSX_ROOT, sharetest_name("link"), to,
                                        &sharetest_owner, &s->link, 0),
                     STATUS_OK);
    assert_int_equal(lfsx_share_xattr_set(s->test.share, s->file, sharetest_name("attribute"),
                                          target, sizeof target, 0),
                     STATUS_OK);
    struct lfsx_file *file = sharetest_file(&s->test, s->file);
    assert_int_equal(sharetest_write(file, 0, target, sizeof target, 0), STATUS_OK);
    assert_int_equal(sharetest_write(file, 100000, target, sizeof target, 0), STATUS_OK);
    lfsx_file_close(file);
}

/* ---- changing items behind the share's back ---- */

static inline struct dataset *scene_dataset_of(struct scene *s) {
    return s->test.share->holding.dataset;
}

static inline void scene_begin(struct scene *s) {
    struct update_need need = {.nodes = 200};
    os_rwlock_lock_exclusive(&s->test.pool->lock);
    assert_int_equal(pool_update_begin(s->test.pool, &need), STATUS_OK);
}

static inline void scene_end_update(struct scene *s) {
    pool_update_end(s->test.pool);
    os_rwlock_unlock_exclusive(&s->test.pool->lock);
}

/* The first item from this key on; its key is in *key. */
static inline void scene_look(struct scene *s, struct key *key) {
    struct btree_cursor cursor;
    os_rwlock_lock_shared(&s->test.pool->lock);
    assert_int_equal(btree_seek(&scene_dataset_of(s)->tree, key, &cursor), STATUS_OK);
    struct item item = btree_item(&cursor);
    memcpy(s->value.bytes, item.value, item.length);
    s->length = item.length;
    *key = item.key;
    os_rwlock_unlock_shared(&s->test.pool->lock);
}

static inline void scene_look_inode(struct scene *s, uint64_t inode) {
    struct key key = inode_key(inode);
    scene_look(s, &key);
}

static inline void scene_replace_inode(struct scene *s, uint64_t inode) {
    struct key key = inode_key(inode);
    scene_begin(s);
    btree_replace(&scene_dataset_of(s)->tree, &key, s->value.bytes, s->length);
    scene_end_update(s);
}

static inline void scene_insert(struct scene *s, struct key key) {
    scene_begin(s);
    btree_insert(&scene_dataset_of(s)->tree, &key, s->value.bytes, s->length);
    scene_end_update(s);
}

static inline void scene_take(struct scene *s, struct key key) {
    scene_look(s, &key);
    scene_begin(s);
    btree_remove(&scene_dataset_of(s)->tree, &key);
    scene_end_update(s);
}

static inline struct key scene_entry_key(uint64_t directory) {
    return (struct key){.inode = directory, .type = DISK_TYPE_ENTRY};
}

#endif
