/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of a share: who has what open, and when it may go. The invariants stand in share.h. */
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/file/file.h"
#include "storage/lfsx/share/share.h"

static struct list_node *bucket_of(struct share *share, uint64_t inode) {
    return &share->nodes[inode % SHARE_BUCKETS];
}

/* share->lock is held. */
static struct node *find(struct share *share, uint64_t inode) {
    LIST_FOR_EACH(link, bucket_of(share, inode)) {
        struct node *node = LIST_CONTAINER(link, struct node, link);
        if (node->inode == inode)
            return node;
    }
    return NULL;
}

struct node *node_new(struct dataset *dataset, struct btree *tree, uint64_t inode) {
    struct node *node = os_alloc_zeroed(sizeof *node);
    if (node == NULL)
        return NULL;
    node->inode = inode;
    list_init(&node->link);
    file_init(&node->file, dataset, tree, inode);
    node->file.in_share = true;
    return node;
}

void node_free(struct node *node) {
    if (node == NULL)
        return;
    file_destroy(&node->file);
    os_free(node);
}

static enum status look_at_node(void *context, struct btree_cursor *cursor) {
    struct node *node = context;
    struct disk_inode item;
    struct key order = {
        .inode = DISK_CLEANUP_INODE, .type = DISK_TYPE_CLEANUP, .offset = node->inode};
    if (node->inode < DISK_ROOT_INODE)
        return STATUS_NOT_FOUND;
    enum status status = inode_look(node->file.tree, node->inode, &item, cursor);
    if (status != STATUS_OK)
        return status;
    if (le32_get(item.links) == 0)
        return STATUS_NOT_FOUND;
    if (share_kind(&item) != LFSX_REGULAR)
        return share_kind(&item) == LFSX_DIRECTORY ? STATUS_IS_DIRECTORY : STATUS_INVALID;
    status = btree_find(node->file.tree, &order, cursor);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    node->leftovers = status == STATUS_OK;
    node->file.size = le64_get(item.size);
    return STATUS_OK;
}

enum status node_load(struct node *node) {
    return pool_look(node->file.dataset->pool, look_at_node, node);
}

/* Adds a node in a state in which nobody else uses it. share->lock is held. */
static void insert(struct share *share, struct node *node, enum node_state state) {
    node->state = state;
    list_push_back(bucket_of(share, node->inode), &node->link);
}

static void forget(struct share *share, struct node *node) {
    os_mutex_lock(&share->lock);
    ASSERT(node->handles == 0);
    list_remove(&node->link);
    os_condition_broadcast(&share->changed);
    os_mutex_unlock(&share->lock);
    node_free(node);
}

/* Ends a node whose last handle is gone; share->lock is held, and released. */
static void leave(struct share *share, struct node *node) {
    node->state = NODE_LEAVING;
    bool unlinked = node->unlinked;
    os_mutex_unlock(&share->lock);
    if (unlinked)
        cleanup_inode(share, node);
    forget(share, node);
}

/* The node is inserted and loading. */
static enum status load_inserted(struct share *share, struct node *node) {
    enum status status = node_load(node);
    os_mutex_lock(&share->lock);
    if (status != STATUS_OK) {
        leave(share, node);
        return status;
    }
    node->state = NODE_READY;
    node->handles = 1;
    os_condition_broadcast(&share->changed);
    os_mutex_unlock(&share->lock);
    return STATUS_OK;
}

/* NULL: no memory. */
static struct node *new_shared(struct share *share, uint64_t inode) {
    struct node *node = node_new(share->dataset, &share->dataset->tree, inode);
    if (node != NULL)
        node->file.stop = &share->closing;
    return node;
}

enum status node_open(struct share *share, uint64_t inode, struct node **out) {
    struct node *fresh = new_shared(share, inode);
    if (fresh == NULL)
        return STATUS_NO_MEMORY;
    os_mutex_lock(&share->lock);
    struct node *node = find(share, inode);
    while (node != NULL && node->state != NODE_READY) {
        os_condition_wait(&share->changed, &share->lock, OS_FOREVER);
        node = find(share, inode);
    }
    if (node != NULL)
        node->handles++;
    else
        insert(share, fresh, NODE_LOADING);
    os_mutex_unlock(&share->lock);
    *out = node == NULL ? fresh : node;
    if (node == NULL)
        return load_inserted(share, fresh);
    node_free(fresh);
    return STATUS_OK;
}

void node_close(struct share *share, struct node *node) {
    os_mutex_lock(&share->lock);
    ASSERT(node->handles > 0);
    if (--node->handles == 0)
        leave(share, node);
    else
        os_mutex_unlock(&share->lock);
}

void node_unlinked(struct share *share, uint64_t inode) {
    struct node *fresh = new_shared(share, inode);
    os_mutex_lock(&share->lock);
    struct node *node = find(share, inode);
    if (node != NULL)
        node->unlinked = true;
    if (node != NULL || fresh == NULL) { /* without memory: the next open finds the order */
        os_mutex_unlock(&share->lock);
        node_free(fresh);
        return;
    }
    fresh->unlinked = true;
    insert(share, fresh, NODE_LEAVING);
    leave(share, fresh);
}
