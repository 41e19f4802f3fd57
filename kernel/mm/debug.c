/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of an object of kmalloc in a debug build: header, the caller's bytes, tail. Invariant:
 * every object that is given out is on the list `live`, and its header and tail are intact; a freed
 * one holds the poison pattern where its caller's bytes were, until it is given out again.
 */
#include "kernel/mm/debug.h"

#include "kernel/mm/memory.h"

#if MEMORY_DEBUG

#include "base/list.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/cpu/panic.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/cpu/symbols.h"

#define POISON_PAGE 0xf5f5f5f5f5f5f5f5ull
#define POISON_FREED 0x6b
#define POISON_NEW 0xa5
#define RED_ZONE 0xbadc0ffee0ddf00dull
#define RED_FREED 0xdeadbeefdeadbeefull
#define REPORT_LINES 32u

struct header {
    uint64_t for_slab[2]; /* the slab's own while the object is free */
    struct list_node link;
    size_t size;
    const void *caller;
    uint64_t red;
    uint64_t red_end;
};
_Static_assert(sizeof(struct header) % 16 == 0, "objects are 16-byte aligned");

static struct spinlock lock; /* guards live and live_bytes; innermost */
static struct list_node live;
static uint64_t live_bytes;

void debug_poison_pages(void *pages, unsigned order) {
    uint64_t *words = pages;
    for (uint64_t i = 0; i < (uint64_t)MEMORY_PAGE_SIZE << order >> 3; i++)
        words[i] = POISON_PAGE;
}

void debug_check_free_pages(const void *pages, unsigned order) {
    const uint64_t *words = pages;
    for (uint64_t i = 0; i < (uint64_t)MEMORY_PAGE_SIZE << order >> 3; i++)
        if (words[i] != POISON_PAGE)
            panic("page_alloc: the free page at %p was written after page_free", (void *)&words[i]);
}

size_t debug_size(size_t size) {
    uint64_t bytes = 0;
    if (!math_add(size, sizeof(struct header) + sizeof(uint64_t), &bytes))
        return 0;
    return bytes;
}

static void check_poison(const struct header *header) {
    if (header->red != RED_FREED)
        return;
    const unsigned char *bytes = (const unsigned char *)(header + 1);
    for (size_t i = 0; i < header->size; i++)
        if (bytes[i] != POISON_FREED)
            panic("kmalloc: %p was written after kfree (caller of kmalloc: %p)", (void *)&bytes[i],
                  header->caller);
}

void *debug_wrap(void *memory, size_t size, const void *caller) {
    struct header *header = memory;
    unsigned char *bytes = (unsigned char *)(header + 1);
    check_poison(header);
    header->size = size;
    header->caller = caller;
    header->red = RED_ZONE;
    header->red_end = RED_ZONE;
    uint64_t tail = RED_ZONE;
    memcpy(bytes + size, &tail, sizeof tail);
    memset(bytes, POISON_NEW, size);
    uint64_t flags = spinlock_lock(&lock);
    if (live.next == NULL)
        list_init(&live);
    list_push_back(&live, &header->link);
    live_bytes += size;
    spinlock_unlock(&lock, flags);
    return bytes;
}

void *debug_unwrap(void *memory) {
    struct header *header = (struct header *)memory - 1;
    if (header->red == RED_FREED)
        panic("kfree(%p): double free", memory);
    if (header->red != RED_ZONE || header->red_end != RED_ZONE)
        panic("kfree(%p): written in front of it, or not from kmalloc", memory);
    uint64_t tail;
    memcpy(&tail, (char *)memory + header->size, sizeof tail);
    if (tail != RED_ZONE)
        panic("kfree(%p): written behind its %zu bytes (caller of kmalloc: %p)", memory,
              header->size, header->caller);
    uint64_t flags = spinlock_lock(&lock);
    list_remove(&header->link);
    live_bytes -= header->size;
    spinlock_unlock(&lock, flags);
    memset(memory, POISON_FREED, header->size);
    header->red = RED_FREED;
    return header;
}

/* Lines are written with the lock released, so that the log may allocate one day. */
uint64_t memory_leak_report(void) {
    struct {
        const void *caller;
        size_t size;
    } lines[REPORT_LINES];
    unsigned count = 0;
    uint64_t flags = spinlock_lock(&lock);
    uint64_t bytes = live_bytes;
    for (struct list_node *node = live.previous; node != NULL && node != &live;
         node = node->previous) {
        if (count == REPORT_LINES)
            break;
        const struct header *header = LIST_CONTAINER(node, struct header, link);
        lines[count].caller = header->caller;
        lines[count++].size = header->size;
    }
    spinlock_unlock(&lock, flags);
    for (unsigned i = 0; i < count; i++) {
        uint64_t offset = 0;
        const char *name = symbols_find((uint64_t)lines[i].caller, &offset);
        log_info("memory", "in use: %zu bytes from %s+0x%lx", lines[i].size,
                 name == NULL ? "?" : name, offset);
    }
    log_info("memory", "in use: %lu bytes of kmalloc in all; the newest are listed", bytes);
    return bytes;
}

#else

uint64_t memory_leak_report(void) {
    return 0;
}

#endif
