/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open shares in memory.
 *
 * Reads look into a tree (the dataset's, or a snapshot's) under the pool's lock, and see what is
 * committed. Changes of names and inodes are transactions (records.h); content is a file's.
 *
 * An inode without links goes away (share/cleanup.c) once nobody has it open: the transaction that
 * takes the last link leaves an order to clean up in the same step, and whoever closes it last, or
 * else the unlinker, carries it out; after a crash, the next who opens the share.
 *
 * Invariants:
 * 1. Of a file that is open there is one struct node, whatever the number of handles, and one too
 *    while it is cleaned up: nobody can open it then.
 * 2. No transaction waits for the lock of a range or for share->lock: those come before records.
 */
#ifndef STORAGE_LFSX_SHARE_SHARE_H
#define STORAGE_LFSX_SHARE_SHARE_H

#include "storage/lfsx/catalog/entry.h"
#include "storage/lfsx/file/holding.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/pool/pool.h"
#include "storage/lfsx/share/records.h"

#define SHARE_BUCKETS 256u

enum node_state {
    NODE_LOADING, /* its inode is looked up */
    NODE_READY,
    NODE_LEAVING /* it is cleaned up */
};

/* An open file. */
struct node {
    struct list_node link;
    uint64_t inode;
    enum node_state state;
    uint32_t handles;
    bool unlinked;  /* the last close cleans up */
    bool leftovers; /* there may be extents behind its end; its whole range is locked to change it,
                       any part of it to look */
    struct file file;
};

/* What the handles of a share that can be changed have in common. */
struct share {
    struct dataset *dataset;
    struct mvcc *mvcc;
    uint32_t handles; /* pool->share_lock */

    struct os_mutex lock; /* guards those below, and all of the nodes but leftovers and file */
    struct os_condition changed; /* a node's state, or it is gone */
    struct list_node nodes[SHARE_BUCKETS];
    bool closing;

    struct os_thread *cleaner; /* carries out what a crash left to do; NULL: there was nothing */
};

/* A handle. */
struct lfsx_share {
    struct holding holding;
    struct btree *tree;  /* what it reads */
    struct share *share; /* NULL: it is read-only */
};

struct lfsx_file {
    struct lfsx_share *share;
    struct node *node;
};

/* ---- share/look.c: one look at a tree; lock shared or exclusive; all may give AGAIN ---- */

enum lfsx_kind share_kind(const struct disk_inode *inode);
/* The inode's item, which is there and a directory. NOT_FOUND, NOT_DIRECTORY. */
enum status share_look_directory(struct btree *tree, uint64_t inode, struct btree_cursor *cursor);

static inline uint64_t share_entry_hash(const struct lfsx_pool *pool, struct lfsx_name name) {
    return names_hash(pool->label.pool_uuid, name.text, name.length) &
           ~(uint64_t)(DISK_ENTRY_SLOTS - 1);
}

static inline uint64_t share_xattr_hash(const struct lfsx_pool *pool, struct lfsx_name name) {
    return names_hash(pool->label.pool_uuid, name.text, name.length) &
           ~(uint64_t)(DISK_XATTR_SLOTS * DISK_XATTR_PIECES - 1);
}

/* ---- share/change.c: what transactions are made of ---- */

struct change_run;

/* The body of a transaction: any status but OK undoes it. Deadlock starts it over. */
typedef enum status share_body(struct change_run *run, void *context);

/* A transaction on its way. */
struct change_run {
    struct share *share;
    share_body *body;
    void *context;
    uint64_t now_ns;
    struct mvcc_transaction *transaction;
    struct records_attachment attachment;
};

/* Runs the body until it commits or fails, and makes it durable if `flags` say so. READ_ONLY: the
 * handle is. */
enum status share_change(struct lfsx_share *handle, share_body *body, void *context,
                         uint32_t flags);
/* The same without a handle. */
enum status share_run(struct share *share, share_body *body, void *context);

/* The inode's record, locked for a change. NOT_FOUND, also if it has no links. */
enum status change_inode(struct change_run *run, uint64_t inode, struct disk_inode *record);
/* The same, locked so that it stays. */
enum status change_look(struct change_run *run, uint64_t inode, struct disk_inode *record);
/* As change_look, of a directory. NOT_DIRECTORY. */
enum status change_directory(struct change_run *run, uint64_t inode, struct disk_inode *record);
enum status change_put_inode(struct change_run *run, uint64_t inode,
                             const struct disk_inode *record);
/* Its content or its names changed: sets its times. */
void change_times(struct change_run *run, uint64_t inode, uint32_t set);

/* As entry_find() and entry_put(). */
enum status change_find(struct change_run *run, uint64_t directory, struct lfsx_name name,
                        struct found_entry *found);
enum status change_put_entry(struct change_run *run, const struct found_entry *place,
                             struct lfsx_name name, uint64_t target, uint8_t kind);
/* Takes one link from the inode, or leaves the order to clean it up: then *gone is its number. */
enum status change_drop_link(struct change_run *run, uint64_t inode, struct disk_inode *record,
                             uint64_t *gone);

/* NOT_EMPTY, unless the directory has no entry, and gets none before the end. */
enum status change_assert_empty(struct change_run *run, uint64_t directory);

/* ---- share/node.c ---- */

/* A node of its own, for a tree that nobody changes; NULL: no memory. */
struct node *node_new(struct dataset *dataset, struct btree *tree, uint64_t inode);
/* Looks up its inode. As node_open(). */
enum status node_load(struct node *node);
void node_free(struct node *node);

/* Finds or makes the node of a regular file and adds a handle. NOT_FOUND, IS_DIRECTORY, INVALID. */
enum status node_open(struct share *share, uint64_t inode, struct node **node);
void node_close(struct share *share, struct node *node);
/* The inode lost its last link: cleans up now, or lets the last close do it. */
void node_unlinked(struct share *share, uint64_t inode);

/* ---- share/cleanup.c ---- */

/* Frees an inode that nobody has open and that has no links. What cannot be done now is done when
 * the share is opened the next time. */
void cleanup_inode(struct share *share, struct node *node);
/* Frees what an open file has behind its end; its whole range is locked. */
enum status cleanup_tail(struct share *share, struct node *node);
/* Starts to carry out what a crash left to do. */
enum status cleanup_start(struct share *share);
/* Lets it go on at the next open. */
void cleanup_stop(struct share *share);

/* ---- share/data.c: as lfsx_share.h says of files ---- */

enum status share_read(struct node *node, struct lfsx_buffer *buffer, uint32_t *length);
enum status share_write(struct share *share, struct node *node, struct lfsx_buffer *buffer,
                        uint32_t flags);
enum status share_truncate(struct share *share, struct node *node, uint64_t size, uint32_t flags);
enum status share_zero(struct node *node, uint64_t offset, uint64_t length, uint32_t flags);

#endif
