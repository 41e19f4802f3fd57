/* SPDX-License-Identifier: Apache-2.0 */
/* kmalloc: slabs for what is small, whole pages for the rest. The page's descriptor says which. */
#include "base/math.h"
#include "kernel/cpu/cpu.h"
#include "kernel/cpu/panic.h"
#include "kernel/mm/debug.h"
#include "kernel/mm/page.h"
#include "kernel/mm/slab.h"

static void *large_alloc(size_t size) {
    uint64_t count = math_divide_up(size, MEMORY_PAGE_SIZE);
    if (count > UINT32_MAX)
        return NULL;
    void *memory = page_alloc_count(count, MEMORY_PERMANENT);
    if (memory == NULL)
        return NULL;
    struct page *page = page_of(memory);
    page->kind = PAGE_LARGE;
    page->page_count = (uint32_t)count;
    return memory;
}

static void large_free(struct page *page, void *memory) {
    if ((uint64_t)memory % MEMORY_PAGE_SIZE != 0)
        panic("kfree(%p): inside of an allocation of pages", memory);
    page->kind = PAGE_ALLOCATED;
    page_free_count(memory, page->page_count);
}

void *kmalloc(size_t size) {
    size_t bytes = debug_size(size);
    if (bytes < size)
        return NULL;
    void *memory = bytes <= SLAB_SIZE_MAX ? slab_alloc(bytes) : large_alloc(bytes);
    return memory == NULL ? NULL : debug_wrap(memory, size, __builtin_return_address(0));
}

void kfree(void *memory) {
    if (memory == NULL)
        return;
    memory = debug_unwrap(memory);
    struct page *page = page_of(memory);
    if (page->kind == PAGE_SLAB)
        slab_free(page, memory);
    else if (page->kind == PAGE_LARGE)
        large_free(page, memory);
    else
        panic("kfree(%p): not from kmalloc, or freed before", memory);
}

uint64_t memory_reclaim(void) {
    uint64_t bytes = slab_reclaim();
    uint64_t flags = cpu_interrupts_disable();
    page_drain_cpu();
    cpu_interrupts_restore(flags);
    return bytes;
}
