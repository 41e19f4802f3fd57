/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in which names, inodes and files of a share can contradict each other, made in the scene
 * by changing single items of its tree: none of them can come from the calls of lfsx_share.h.
 */
#ifndef TESTS_STORAGE_LFSX_SHAREWRONG_H
#define TESTS_STORAGE_LFSX_SHAREWRONG_H

#include "tests/storage/lfsx/sharescene.h"

#define WRONG_NUMBER 5000u /* behind the newest inode's */

static inline void wrong_links(struct scene *s) {
    scene_look_inode(s, s->file);
    s->value.inode.links = le32_make(3);
    scene_replace_inode(s, s->file);
}

static inline void wrong_blocks(struct scene *s) {
    scene_look_inode(s, s->file);
    s->value.inode.data_blocks = le64_make(9);
    scene_replace_inode(s, s->file);
}

/* There are extents behind it. */
static inline void wrong_size(struct scene *s) {
    scene_look_inode(s, s->file);
    s->value.inode.size = le64_make(5000);
    scene_replace_inode(s, s->file);
}

/* An empty file without a name, and with a number to come. */
static inline void wrong_number(struct scene *s) {
    scene_look_inode(s, s->file);
    s->value.inode.size = s->value.inode.data_blocks = le64_make(0);
    s->length = sizeof s->value.inode;
    scene_insert(s, inode_key(s->link + WRONG_NUMBER));
}

static inline void wrong_no_name(struct scene *s) {
    scene_take(s, scene_entry_key(s->directory));
}

static inline void wrong_replace_entry(struct scene *s, const struct key *key) {
    scene_begin(s);
    btree_replace(&scene_dataset_of(s)->tree, key, s->value.bytes, s->length);
    scene_end_update(s);
}

/* The file's name leads nowhere. */
static inline void wrong_target(struct scene *s) {
    struct key key = scene_entry_key(s->directory);
    scene_look(s, &key);
    s->value.entry.target = le64_make(s->link + 1000);
    wrong_replace_entry(s, &key);
}

static inline void wrong_kind(struct scene *s) {
    struct key key = scene_entry_key(s->directory);
    scene_look(s, &key);
    s->value.entry.kind = DISK_ENTRY_DIRECTORY;
    wrong_replace_entry(s, &key);
}

/* The name stands where its hash does not lead. */
static inline void wrong_hash(struct scene *s) {
    struct key key = scene_entry_key(s->directory);
    scene_take(s, key);
    key.offset = 12345;
    scene_insert(s, key);
}

static inline void wrong_parent(struct scene *s) {
    scene_look_inode(s, s->directory);
    s->value.inode.parent = le64_make(s->file);
    scene_replace_inode(s, s->directory);
}

/* A directory in what is in it: the way up is a circle. Returns the inner one. */
static inline uint64_t wrong_circle_of(struct scene *s) {
    uint64_t inner = sharetest_mkdir(&s->test, s->directory, "inner");
    struct key key = scene_entry_key(LFSX_ROOT);
    scene_look(s, &key);
    if (le64_get(s->value.entry.target) != s->directory) { /* the other one */
        key.offset++;
        scene_look(s, &key);
    }
    scene_take(s, key);
    scene_insert(s, (struct key){.inode = inner, .type = DISK_TYPE_ENTRY, .offset = key.offset});
    scene_look_inode(s, s->directory);
    s->value.inode.parent = le64_make(inner);
    scene_replace_inode(s, s->directory);
    return inner;
}

static inline void wrong_circle(struct scene *s) {
    (void)wrong_circle_of(s);
}

/* It was removed, and nobody knows that it is to be cleaned up. */
static inline void wrong_removal(struct scene *s) {
    wrong_no_name(s);
    scene_look_inode(s, s->file);
    s->value.inode.links = le32_make(0);
    scene_replace_inode(s, s->file);
}

/* A file with a symbolic link's target. */
static inline void wrong_item(struct scene *s) {
    struct key key = {.inode = s->link, .type = DISK_TYPE_SYMLINK};
    scene_look(s, &key);
    scene_insert(s, (struct key){.inode = s->file, .type = DISK_TYPE_SYMLINK});
}

static inline void wrong_no_inode(struct scene *s) {
    scene_take(s, inode_key(s->file));
}

static inline void wrong_no_root(struct scene *s) {
    scene_take(s, inode_key(LFSX_ROOT));
}

/* Of three pieces. */
static inline void wrong_attribute(struct scene *s, unsigned piece) {
    struct key key = {.inode = s->file, .type = DISK_TYPE_XATTR};
    scene_look(s, &key);
    key.offset += piece;
    scene_take(s, key);
}

static inline void wrong_link_target(struct scene *s, unsigned piece) {
    scene_take(s, (struct key){.inode = s->link, .type = DISK_TYPE_SYMLINK, .offset = piece});
}

#endif
