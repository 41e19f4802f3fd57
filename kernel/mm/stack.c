/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thread stacks with an unmapped page below each.
 *
 * Invariant: a stack, once mapped, stays mapped. A freed one waits in a list for the next thread
 * that wants its size: so no CPU ever has to forget a translation, and there are never more stacks
 * than there were threads at one time.
 */
#include "kernel/mm/stack.h"

#include "base/assert.h"
#include "base/list.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/layout.h"
#include "kernel/mm/memory.h"
#include "kernel/mm/page_table.h"

/* At the lowest address of a stack that nobody uses. */
struct free_stack {
    struct list_node link;
    size_t size;
};

static struct spinlock lock;       /* guards all below; no other lock is taken under it */
static struct list_node free_list; /* of struct free_stack; next == NULL: not yet initialised */
static uint64_t next_address = LAYOUT_STACKS;
static uint64_t bytes;

static void *take_free(size_t size) {
    if (free_list.next == NULL)
        list_init(&free_list);
    LIST_FOR_EACH(node, &free_list) {
        struct free_stack *stack = LIST_CONTAINER(node, struct free_stack, link);
        if (stack->size != size)
            continue;
        list_remove(&stack->link);
        return stack;
    }
    return NULL;
}

/* Reserves addresses for the guard page and the stack; returns the stack's lowest, 0 if none. */
static uint64_t reserve(size_t size) {
    if (LAYOUT_STACKS_END - next_address < size + MEMORY_PAGE_SIZE)
        return 0;
    uint64_t address = next_address + MEMORY_PAGE_SIZE;
    next_address = address + size;
    bytes += size;
    return address;
}

static enum status map_pages(uint64_t address, size_t size, size_t *mapped) {
    for (*mapped = 0; *mapped < size; *mapped += MEMORY_PAGE_SIZE) {
        void *page = page_alloc(0);
        if (page == NULL)
            return STATUS_NO_MEMORY;
        enum status status =
            page_table_map(address + *mapped, memory_physical(page), MEMORY_PAGE_SIZE,
                           PAGE_TABLE_WRITE | PAGE_TABLE_NO_EXECUTE);
        if (status != STATUS_OK) {
            page_free(page, 0);
            return status;
        }
    }
    return STATUS_OK;
}

void *memory_stack_alloc(size_t size) {
    ASSERT(size > 0 && size % MEMORY_PAGE_SIZE == 0);
    uint64_t flags = spinlock_lock(&lock);
    void *stack = take_free(size);
    uint64_t address = stack == NULL ? reserve(size) : 0;
    spinlock_unlock(&lock, flags);
    if (stack != NULL || address == 0)
        return stack;
    size_t mapped = 0;
    if (map_pages(address, size, &mapped) == STATUS_OK)
        return (void *)address;
    /* Half a stack is of use to whoever wants that size. */
    if (mapped > 0)
        memory_stack_free((void *)address, mapped);
    return NULL;
}

void memory_stack_free(void *stack, size_t size) {
    ASSERT((uint64_t)stack >= LAYOUT_STACKS && (uint64_t)stack < LAYOUT_STACKS_END);
    struct free_stack *unused = stack;
    unused->size = size;
    uint64_t flags = spinlock_lock(&lock);
    if (free_list.next == NULL)
        list_init(&free_list);
    list_push_front(&free_list, &unused->link);
    spinlock_unlock(&lock, flags);
}

uint64_t stack_bytes(void) {
    return __atomic_load_n(&bytes, __ATOMIC_RELAXED);
}
