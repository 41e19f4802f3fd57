/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the B+tree: insert with split, remove with merge and borrow, and the one place where a
 * node becomes a new node (touch). The invariants stand in btree.h.
 *
 * Nothing here fails: nodes, space and memory were set aside by pool_update_begin(), and what is
 * walked over was prefetched. Siblings are merged or balanced with only if they happen to be in
 * memory; an underfull node is legal.
 */
#include "base/assert.h"
#include "storage/lfsx/tree/btree_internal.h"
#include "storage/lfsx/tree/forest.h"

/* Below this many bytes a node looks for a sibling to merge with or borrow from. */
#define UNDERFULL (DISK_NODE_PAYLOAD / 4)

static struct disk_node *page_at(const struct btree_cursor *cursor, unsigned depth) {
    ASSERT(depth < cursor->depth);
    return cursor->path[depth].node->page;
}

static struct pointer pointer_to(const struct cached_node *node) {
    return (struct pointer){
        .block = node->block, .birth = le64_get(node->page->birth), .level = node->page->level};
}

/* The one copy-on-write choke point: makes the node at `depth` one of the running generation and
 * points its parent (touched before) at it. */
static void touch(struct btree_cursor *cursor, unsigned depth) {
    struct cached_node *old = cursor->path[depth].node;
    if (old->state == CACHED_DIRTY)
        return;
    struct cached_node *fresh = forest_node_copy(cursor->tree, old);
    cursor->path[depth].node = fresh;
    struct pointer pointer = pointer_to(fresh);
    if (depth == 0)
        cursor->tree->root = pointer;
    else
        node_set_child(page_at(cursor, depth - 1), cursor->path[depth - 1].index, &pointer);
}

void btree_touch_path(struct btree_cursor *cursor) {
    ASSERT(cursor->tree->forest->updating);
    cursor->tree->dirty = true;
    for (unsigned depth = 0; depth < cursor->depth; depth++)
        touch(cursor, depth);
}

static struct cached_node *new_node(struct btree *tree, uint8_t level) {
    tree->nodes++;
    return forest_node_new(tree, level);
}

void btree_release_node(struct btree *tree, struct cached_node *node) {
    if (tree->nodes > 0)
        tree->nodes--;
    else
        forest_contradiction(tree->forest);
    forest_node_release(tree, node);
}

void btree_create(struct btree *tree, struct forest *forest, uint64_t owner) {
    tree->forest = forest;
    tree->owner = owner;
    tree->nodes = 0;
    tree->dirty = true;
    tree->root = pointer_to(new_node(tree, 0));
}

/* Puts a new root above the present one, whose keys will all be at least `lowest`; every depth of
 * the path grows by one. */
static void grow_root(struct btree_cursor *cursor, const struct key *lowest) {
    struct btree *tree = cursor->tree;
    ASSERT(cursor->depth <= DISK_LEVEL_MAX);
    struct cached_node *old = cursor->path[0].node;
    struct cached_node *root = new_node(tree, (uint8_t)(old->page->level + 1));
    struct disk_pointer disk;
    struct pointer child = pointer_to(old);
    pointer_store(&disk, &child);
    node_insert(root->page, 0, lowest, &disk, sizeof disk);
    for (unsigned depth = cursor->depth; depth > 0; depth--)
        cursor->path[depth] = cursor->path[depth - 1];
    cursor->path[0].node = root;
    cursor->path[0].index = 0;
    cursor->depth++;
    tree->root = pointer_to(root);
}

/* Where to split a node so that `size` more bytes at `index` fit in the half they go to: the number
 * of items, the new one counted in, that stay on the left. */
static unsigned split_place(const struct disk_node *node, unsigned index, size_t size) {
    unsigned count = node_count(node);
    if (index == count)
        return count; /* appending: leave full nodes behind */
    size_t half = (node_used(node) + size) / 2;
    size_t sum = 0;
    unsigned left = 0;
    for (unsigned i = 0; left < count && sum < half; left++) {
        if (left == index) {
            sum += size;
            continue;
        }
        sum += node_item_size(node_item(node, i).length);
        i++;
    }
    return left > 0 ? left : 1;
}

static void insert_at(struct btree_cursor *cursor, unsigned depth, unsigned index,
                      const struct key *key, const void *value, uint16_t length);

/* Splits the full node at depth and puts the item into the half where it belongs. */
static void split_insert(struct btree_cursor *cursor, unsigned depth, unsigned index,
                         const struct key *key, const void *value, uint16_t length) {
    if (depth == 0) {
        struct key lowest = node_key(page_at(cursor, 0), 0);
        grow_root(cursor, key_compare(key, &lowest) < 0 ? key : &lowest);
        depth = 1;
    }
    struct disk_node *node = page_at(cursor, depth);
    struct cached_node *right = new_node(cursor->tree, node->level);
    unsigned left_count = split_place(node, index, node_item_size(length));
    bool goes_left = index < left_count;
    node_move_tail(node, goes_left ? left_count - 1 : left_count, right->page);
    if (goes_left)
        node_insert(node, index, key, value, length);
    else
        node_insert(right->page, index - left_count, key, value, length);
    struct disk_pointer disk;
    struct pointer pointer = pointer_to(right);
    pointer_store(&disk, &pointer);
    struct key separator = node_key(right->page, 0);
    insert_at(cursor, depth - 1, cursor->path[depth - 1].index + 1, &separator, &disk, sizeof disk);
}

static void insert_at(struct btree_cursor *cursor, unsigned depth, unsigned index,
                      const struct key *key, const void *value, uint16_t length) {
    struct disk_node *node = page_at(cursor, depth);
    if (node_has_room(node, node_item_size(length)))
        node_insert(node, index, key, value, length);
    else
        split_insert(cursor, depth, index, key, value, length);
}

static void seek_to_change(struct btree *tree, const struct key *key, struct btree_cursor *cursor) {
    enum status status = btree_descend(tree, key, cursor);
    ASSERT(status == STATUS_OK); /* prefetched */
    btree_touch_path(cursor);
}

static bool is_at(const struct btree_cursor *cursor, const struct key *key) {
    const struct disk_node *node = page_at(cursor, cursor->depth - 1);
    unsigned index = cursor->path[cursor->depth - 1].index;
    if (index >= node_count(node))
        return false;
    struct key found = node_key(node, index);
    return key_compare(&found, key) == 0;
}

/* A key below all others lowers the keys along the tree's left edge. */
static void lower_keys(struct btree_cursor *cursor, const struct key *key) {
    for (unsigned depth = 0; depth + 1 < cursor->depth; depth++) {
        struct key first = node_key(page_at(cursor, depth), 0);
        if (key_compare(key, &first) >= 0)
            return;
        node_set_key(page_at(cursor, depth), 0, key);
    }
}

void btree_insert(struct btree *tree, const struct key *key, const void *value, uint16_t length) {
    struct btree_cursor cursor;
    seek_to_change(tree, key, &cursor);
    unsigned depth = cursor.depth - 1;
    if (is_at(&cursor, key)) { /* extents overlap, or a dataset's number was given twice */
        forest_contradiction(tree->forest);
        node_remove(page_at(&cursor, depth), cursor.path[depth].index);
    }
    lower_keys(&cursor, key);
    insert_at(&cursor, depth, cursor.path[depth].index, key, value, length);
}

static void remove_at(struct btree_cursor *cursor, unsigned depth);

/* The sibling at parent index `index`, if it is in memory; then it is one of this generation. */
static struct cached_node *touch_sibling(struct btree_cursor *cursor, unsigned depth,
                                         unsigned index) {
    struct disk_node *parent = page_at(cursor, depth - 1);
    if (index >= node_count(parent))
        return NULL;
    struct pointer pointer = node_child(parent, index);
    struct cached_node *node = cache_find(&cursor->tree->forest->cache, &pointer);
    if (node == NULL || node->state == CACHED_DIRTY)
        return node;
    node = forest_node_copy(cursor->tree, node);
    pointer = pointer_to(node);
    node_set_child(parent, index, &pointer);
    return node;
}

/* Brings two neighbours to about the same size. */
static void balance(struct disk_node *left, struct disk_node *right) {
    size_t half = (node_used(left) + node_used(right)) / 2;
    unsigned count = 0;
    if (node_used(left) < node_used(right)) {
        size_t used = node_used(left);
        while (count + 1 < node_count(right)) {
            used += node_item_size(node_item(right, count).length);
            if (used > half)
                break;
            count++;
        }
        node_move_head(right, count, left);
        return;
    }
    size_t used = node_used(right);
    unsigned keep = node_count(left);
    while (keep > 1) {
        used += node_item_size(node_item(left, keep - 1).length);
        if (used > half)
            break;
        keep--;
    }
    node_move_tail(left, keep, right);
}

/* Merges the children at `index` and index + 1 of the parent at depth - 1, or balances them. */
static void join(struct btree_cursor *cursor, unsigned depth, unsigned index) {
    struct cached_node *left = touch_sibling(cursor, depth, index);
    struct cached_node *right = left == NULL ? NULL : touch_sibling(cursor, depth, index + 1);
    if (right == NULL)
        return;
    struct disk_node *parent = page_at(cursor, depth - 1);
    if (node_has_room(left->page, node_used(right->page))) {
        node_move_head(right->page, node_count(right->page), left->page);
        btree_release_node(cursor->tree, right);
        cursor->path[depth - 1].index = index + 1;
        remove_at(cursor, depth - 1);
        return;
    }
    balance(left->page, right->page);
    struct key separator = node_key(right->page, 0);
    node_set_key(parent, index + 1, &separator);
}

/* An inner root with one child gives way to it; one that lost its last child becomes a leaf. */
static void shrink_root(struct btree *tree) {
    for (;;) {
        struct cached_node *root = cache_find(&tree->forest->cache, &tree->root);
        ASSERT(root != NULL);
        if (root->page->level == 0 || node_count(root->page) > 1)
            return;
        if (node_count(root->page) == 0) {
            ASSERT(root->state == CACHED_DIRTY);
            root->page->level = 0;
            tree->root = pointer_to(root);
            return;
        }
        struct pointer child = node_child(root->page, 0);
        if (cache_find(&tree->forest->cache, &child) == NULL)
            return; /* a later change will */
        btree_release_node(tree, root);
        tree->root = child;
    }
}

/* The node at depth lost its first key: its ancestors' keys for it follow (invariant 2). */
void btree_raise_keys(struct btree_cursor *cursor, unsigned depth) {
    struct key first = node_key(page_at(cursor, depth), 0);
    while (depth-- > 0) {
        node_set_key(page_at(cursor, depth), cursor->path[depth].index, &first);
        if (cursor->path[depth].index > 0)
            return;
    }
}

/* Removes the item under the path at depth, then sees to the node it was in. */
static void remove_at(struct btree_cursor *cursor, unsigned depth) {
    struct disk_node *node = page_at(cursor, depth);
    unsigned index = cursor->path[depth].index;
    node_remove(node, index);
    if (node_count(node) == 0 && depth > 0) {
        btree_release_node(cursor->tree, cursor->path[depth].node);
        remove_at(cursor, depth - 1);
        return;
    }
    if (depth == 0) {
        shrink_root(cursor->tree);
        return;
    }
    if (node->level > 0 && index == 0)
        btree_raise_keys(cursor, depth);
    if (node_used(node) >= UNDERFULL)
        return;
    unsigned place = cursor->path[depth - 1].index;
    join(cursor, depth, place > 0 ? place - 1 : place);
}

void btree_remove(struct btree *tree, const struct key *key) {
    struct btree_cursor cursor;
    seek_to_change(tree, key, &cursor);
    ASSERT(is_at(&cursor, key));
    remove_at(&cursor, cursor.depth - 1);
}

void btree_replace(struct btree *tree, const struct key *key, const void *value, uint16_t length) {
    struct btree_cursor cursor;
    seek_to_change(tree, key, &cursor);
    ASSERT(is_at(&cursor, key));
    unsigned depth = cursor.depth - 1;
    struct disk_node *node = page_at(&cursor, depth);
    node_remove(node, cursor.path[depth].index);
    insert_at(&cursor, depth, cursor.path[depth].index, key, value, length);
}

void btree_destroy(struct btree *tree) {
    struct cached_node *root = cache_find(&tree->forest->cache, &tree->root);
    ASSERT(root != NULL);
    ASSERT(root->page->level == 0);
    ASSERT(node_count(root->page) == 0);
    btree_release_node(tree, root);
    if (tree->nodes != 0)
        forest_contradiction(tree->forest);
}

/* Seals a dirty node after its dirty children; returns its final pointer. */
static struct pointer freeze(struct btree *tree, struct cached_node *node,
                             struct list_node *writing) {
    struct disk_node *page = node->page;
    ASSERT(node->state == CACHED_DIRTY);
    for (unsigned i = 0; page->level > 0 && i < node_count(page); i++) {
        struct pointer child = node_child(page, i);
        struct cached_node *below = cache_find(&tree->forest->cache, &child);
        if (below == NULL || below->state != CACHED_DIRTY)
            continue;
        child = freeze(tree, below, writing);
        node_set_child(page, i, &child);
    }
    page->checkpoint = le64_make(tree->forest->generation);
    struct pointer pointer = pointer_to(node);
    pointer.checksum = node_seal(page);
    cache_freeze(&tree->forest->cache, node, writing);
    return pointer;
}

void btree_freeze(struct btree *tree, struct list_node *writing) {
    if (!tree->dirty)
        return;
    struct cached_node *root = cache_find(&tree->forest->cache, &tree->root);
    ASSERT(root != NULL);
    if (root->state == CACHED_DIRTY)
        tree->root = freeze(tree, root, writing);
    tree->dirty = false;
}
