/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h's memory over kernel/mm. Invariants:
 * - An allocation that failed is tried again once, after the caches gave memory back and the
 *   allocators gave up their own reserves.
 * - Shrinkers are called under `shrinker_mutex`: after unregister returned, none of its calls runs.
 *   Shrinkers only try the locks of those who allocate, so that this mutex may be taken under any.
 */
#include "kernel/os/os_memory.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/cpu/cpu.h"
#include "kernel/cpu/percpu.h"
#include "kernel/mm/memory.h"

_Static_assert(OS_PAGE_SIZE == MEMORY_PAGE_SIZE, "one size of page");

static struct os_mutex shrinker_mutex; /* guards the list */
static struct os_shrinker *shrinkers;
static bool ready; /* set once the mutex is */

void os_memory_initialize(void) {
    os_mutex_init(&shrinker_mutex);
    ready = true;
}

void os_shrinker_register(struct os_shrinker *shrinker) {
    os_mutex_lock(&shrinker_mutex);
    shrinker->next = shrinkers;
    shrinkers = shrinker;
    os_mutex_unlock(&shrinker_mutex);
}

void os_shrinker_unregister(struct os_shrinker *shrinker) {
    os_mutex_lock(&shrinker_mutex);
    struct os_shrinker **link = &shrinkers;
    while (*link != NULL && *link != shrinker)
        link = &(*link)->next;
    ASSERT(*link == shrinker);
    *link = shrinker->next;
    os_mutex_unlock(&shrinker_mutex);
}

/* Asks the caches and the allocators' reserves for memory; whether any was freed. */
static bool shrink(uint64_t bytes) {
    if (!ready || cpu_current_thread() == NULL || !cpu_interrupts_enabled())
        return memory_reclaim() > 0;
    uint64_t freed = 0;
    os_mutex_lock(&shrinker_mutex);
    for (struct os_shrinker *shrinker = shrinkers; shrinker != NULL; shrinker = shrinker->next)
        freed += shrinker->shrink(shrinker->context, bytes);
    os_mutex_unlock(&shrinker_mutex);
    freed += memory_reclaim();
    return freed > 0;
}

void *os_alloc(size_t size) {
    size = MATH_MAX(size, 1);
    void *memory = kmalloc(size);
    if (memory == NULL && shrink(size))
        memory = kmalloc(size);
    return memory;
}

void *os_alloc_zeroed(size_t size) {
    void *memory = os_alloc(size);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void os_free(void *memory) {
    kfree(memory);
}

/* Caches are the greatest users of whole pages, and can shrink: their pages lie apart. */
void *os_page_alloc(size_t bytes) {
    ASSERT(bytes > 0);
    ASSERT(bytes % OS_PAGE_SIZE == 0);
    size_t pages = bytes / OS_PAGE_SIZE;
    void *memory = page_alloc_count(pages, MEMORY_RECLAIMABLE);
    if (memory == NULL && shrink(bytes))
        memory = page_alloc_count(pages, MEMORY_RECLAIMABLE);
    return memory;
}

void os_page_free(void *memory, size_t bytes) {
    if (memory != NULL)
        page_free_count(memory, bytes / OS_PAGE_SIZE);
}

void os_memory_info(struct os_memory_info *info) {
    struct memory_statistics statistics;
    memory_statistics(&statistics);
    info->total_bytes = statistics.total_bytes;
    info->free_bytes = statistics.free_bytes;
}
