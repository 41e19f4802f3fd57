/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked list. The head is a node of its own; an unlinked node points to itself,
 * so that list_remove() is idempotent. No locking: the owner of the list names its guard.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next;
    struct list_node *previous;
};

#define LIST_CONTAINER(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

#define LIST_FOR_EACH(node, head)                                                                  \
    for (struct list_node *node = (head)->next; node != (head); node = node->next)

/* The node that stands in the loop may be removed or freed. */
#define LIST_FOR_EACH_SAFE(node, head)                                                             \
    for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head);         \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list_node *node) {
    node->next = node;
    node->previous = node;
}

static inline bool list_is_empty(const struct list_node *head) {
    return head->next == head;
}

static inline void list_insert_after(struct list_node *place, struct list_node *node) {
    node->next = place->next;
    node->previous = place;
    place->next->previous = node;
    place->next = node;
}

static inline void list_push_front(struct list_node *head, struct list_node *node) {
    list_insert_after(head, node);
}

static inline void list_push_back(struct list_node *head, struct list_node *node) {
    list_insert_after(head->previous, node);
}

static inline void list_remove(struct list_node *node) {
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* Removes and returns the first node, NULL if the list is empty. */
static inline struct list_node *list_pop_front(struct list_node *head) {
    if (list_is_empty(head))
        return NULL;
    struct list_node *node = head->next;
    list_remove(node);
    return node;
}

/* Appends all of `from` to `to` and leaves `from` empty. */
static inline void list_splice_back(struct list_node *to, struct list_node *from) {
    if (list_is_empty(from))
        return;
    from->next->previous = to->previous;
    from->previous->next = to;
    to->previous->next = from->next;
    to->previous = from->previous;
    list_init(from);
}

#endif
