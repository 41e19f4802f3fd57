/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 *  1. a mapping, once made, is never changed or taken away: so no other CPU can hold an outdated
 *     translation, and no shoot-down is needed;
 *  2. no mapping is both writable and executable; tables restrict nothing, the last entry decides;
 *  3. every table lies in the direct map.
 */
#include "kernel/mm/page_table.h"

#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/boot/memory_map.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/memory.h"
#include "kernel/mm/page_table_regs.h"

static struct spinlock lock; /* guards all tables; taken before the page allocator's locks */
static uint64_t root;        /* physical; 0: not yet made */
static uint64_t table_count;
static bool from_page_allocator;
static bool has_1g_pages;

static unsigned shift_of(unsigned level) {
    return 12 + 9 * level;
}

static uint64_t size_of(unsigned level) {
    return 1ull << shift_of(level);
}

static uint64_t *entry_of(uint64_t table, uint64_t address, unsigned level) {
    uint64_t *entries = memory_virtual(table);
    return &entries[address >> shift_of(level) & (TABLE_ENTRIES - 1)];
}

/* Physical address of an empty table, 0 if there is no memory. */
static uint64_t new_table(void) {
    uint64_t table = 0;
    if (from_page_allocator) {
        void *page = page_alloc(0);
        if (page == NULL)
            return 0;
        memset(page, 0, MEMORY_PAGE_SIZE);
        table = memory_physical(page);
    } else {
        table = memory_map_allocate(MEMORY_PAGE_SIZE, MEMORY_PAGE_SIZE, MEMORY_MAP_EARLY);
    }
    if (table != 0)
        table_count++;
    return table;
}

static bool detect_1g_pages(void) {
    uint32_t a = CPUID_EXTENDED_FEATURES;
    uint32_t b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return (d & CPUID_1G_PAGES) != 0;
}

enum status page_table_create(void) {
    ASSERT(root == 0);
    has_1g_pages = detect_1g_pages();
    root = new_table();
    return root == 0 ? STATUS_NO_MEMORY : STATUS_OK;
}

/* The largest page that starts at both addresses and is not longer than length. */
static unsigned level_for(uint64_t address, uint64_t physical, uint64_t length) {
    for (unsigned level = has_1g_pages ? 2 : 1; level > 0; level--)
        if (((address | physical) & (size_of(level) - 1)) == 0 && length >= size_of(level))
            return level;
    return 0;
}

static enum status map_one(uint64_t address, uint64_t physical, unsigned level, uint64_t rights) {
    uint64_t table = root;
    for (unsigned at = TABLE_LEVELS - 1; at > level; at--) {
        uint64_t *entry = entry_of(table, address, at);
        if (!(*entry & ENTRY_PRESENT)) {
            uint64_t child = new_table();
            if (child == 0)
                return STATUS_NO_MEMORY;
            *entry = child | ENTRY_PRESENT | ENTRY_WRITE;
        }
        ASSERT(!(*entry & ENTRY_LARGE));
        table = *entry & ENTRY_ADDRESS;
    }
    uint64_t *entry = entry_of(table, address, level);
    ASSERT(!(*entry & ENTRY_PRESENT));
    *entry = physical | rights | ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY | ENTRY_GLOBAL |
             (level > 0 ? ENTRY_LARGE : 0);
    return STATUS_OK;
}

enum status page_table_map(uint64_t address, uint64_t physical, uint64_t length, uint64_t rights) {
    ASSERT(((address | physical | length) & (MEMORY_PAGE_SIZE - 1)) == 0);
    ASSERT(!(rights & PAGE_TABLE_WRITE) || (rights & PAGE_TABLE_NO_EXECUTE));
    enum status status = STATUS_OK;
    uint64_t flags = spinlock_lock(&lock);
    while (length > 0 && status == STATUS_OK) {
        unsigned level = level_for(address, physical, length);
        status = map_one(address, physical, level, rights);
        address += size_of(level);
        physical += size_of(level);
        length -= size_of(level);
    }
    spinlock_unlock(&lock, flags);
    return status;
}

void page_table_activate(void) {
    uint64_t cr4;
    __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
    /* Global translations of the former tables go only with the bit off. */
    __asm__ volatile("movq %0, %%cr4" ::"r"(cr4 & ~CR4_GLOBAL) : "memory");
    __asm__ volatile("movq %0, %%cr3" ::"r"(root) : "memory");
    __asm__ volatile("movq %0, %%cr4" ::"r"(cr4 | CR4_GLOBAL) : "memory");
}

uint64_t page_table_root(void) {
    return root;
}

void page_table_use_page_allocator(void) {
    from_page_allocator = true;
}

bool page_table_lookup(uint64_t address, uint64_t *physical, uint64_t *rights) {
    if ((uint64_t)((int64_t)(address << 16) >> 16) != address)
        return false;
    uint64_t table;
    __asm__ volatile("movq %%cr3, %0" : "=r"(table));
    table &= ENTRY_ADDRESS;
    for (unsigned level = TABLE_LEVELS; level-- > 0;) {
        uint64_t entry = *entry_of(table, address, level);
        if (!(entry & ENTRY_PRESENT))
            return false;
        if (level == 0 || (entry & ENTRY_LARGE)) {
            uint64_t inside = address & (size_of(level) - 1);
            *physical = (entry & ENTRY_ADDRESS & ~(size_of(level) - 1)) + inside;
            *rights = entry & (PAGE_TABLE_WRITE | PAGE_TABLE_UNCACHED | PAGE_TABLE_NO_EXECUTE);
            return true;
        }
        table = entry & ENTRY_ADDRESS;
    }
    return false;
}

bool memory_is_mapped(const void *address) {
    uint64_t physical, rights;
    uint64_t first = (uint64_t)address;
    return page_table_lookup(first, &physical, &rights) &&
           page_table_lookup(first + sizeof(uint64_t) - 1, &physical, &rights);
}

static uint64_t count_unsafe(uint64_t table, unsigned level) {
    const uint64_t *entries = memory_virtual(table);
    uint64_t count = 0;
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t entry = entries[i];
        if (!(entry & ENTRY_PRESENT))
            continue;
        if (level > 0 && !(entry & ENTRY_LARGE))
            count += count_unsafe(entry & ENTRY_ADDRESS, level - 1);
        else
            count += (entry & ENTRY_WRITE) && !(entry & ENTRY_NO_EXECUTE);
    }
    return count;
}

uint64_t page_table_count_unsafe(void) {
    uint64_t flags = spinlock_lock(&lock);
    uint64_t count = count_unsafe(root, TABLE_LEVELS - 1);
    spinlock_unlock(&lock, flags);
    return count;
}

uint64_t page_table_bytes(void) {
    return __atomic_load_n(&table_count, __ATOMIC_RELAXED) * MEMORY_PAGE_SIZE;
}
