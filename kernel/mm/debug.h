/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kernel/mm: what a build with -DMEMORY_DEBUG=1 checks in addition. Freed memory is
 * filled with a pattern that is verified when it is given out again; kmalloc's objects stand
 * between red zones and are on a list with their callers. Such a build is several times slower.
 */
#ifndef KERNEL_MM_DEBUG_H
#define KERNEL_MM_DEBUG_H

#include <stddef.h>

#ifndef MEMORY_DEBUG
#define MEMORY_DEBUG 0
#endif

#if MEMORY_DEBUG

void debug_poison_pages(void *pages, unsigned order);
void debug_check_free_pages(const void *pages, unsigned order);

/* The bytes that kmalloc must ask for instead of size; 0 if that overflows. */
size_t debug_size(size_t size);
/* Wraps what kmalloc got; returns what its caller gets. */
void *debug_wrap(void *memory, size_t size, const void *caller);
/* Checks and unwraps what kfree got; returns what was wrapped. */
void *debug_unwrap(void *memory);

#else

static inline void debug_poison_pages(void *pages, unsigned order) {
    (void)pages;
    (void)order;
}
static inline void debug_check_free_pages(const void *pages, unsigned order) {
    (void)pages;
    (void)order;
}
static inline size_t debug_size(size_t size) {
    return size;
}
static inline void *debug_wrap(void *memory, size_t size, const void *caller) {
    (void)size;
    (void)caller;
    return memory;
}
static inline void *debug_unwrap(void *memory) {
    return memory;
}

#endif

#endif
