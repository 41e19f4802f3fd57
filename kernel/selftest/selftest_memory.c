/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests the allocators on the real memory map of the machine: everything that is given out is
 * written and read back, and at the end all of it must be free again.
 */
#include "base/assert.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/boot/command_line.h"
#include "kernel/cpu/panic.h"
#include "kernel/mm/memory.h"
#include "kernel/selftest/selftest.h"

#define SLOTS 512u
#define ROUNDS 20000u
#define SIZE_MAX_TESTED 20000u
#define CHAIN_ORDER_MAX 20u /* large, so that the host need not back much of a large machine */
#define AGAIN_ORDER 10u     /* what also a small machine has after everything was freed */

struct slot {
    unsigned char *memory;
    size_t size;
    bool pages; /* from page_alloc_count */
    unsigned char mark;
};

static struct slot slots[SLOTS];
static uint64_t state; /* xorshift64* */

static uint64_t next(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static uint64_t free_bytes(void) {
    struct memory_statistics now;
    memory_reclaim();
    memory_statistics(&now);
    return now.free_bytes;
}

static void fill(struct slot *slot) {
    slot->mark = (unsigned char)next();
    memset(slot->memory, slot->mark, slot->size);
}

static void check(const struct slot *slot) {
    for (size_t i = 0; i < slot->size; i++)
        if (slot->memory[i] != slot->mark)
            panic("selftest: %p+%zu of %zu holds 0x%x, not 0x%x", (void *)slot->memory, i,
                  slot->size, slot->memory[i], slot->mark);
}

static void take(struct slot *slot) {
    slot->pages = next() % 4 == 0;
    if (slot->pages) {
        slot->size = (1 + next() % 20) * MEMORY_PAGE_SIZE;
        slot->memory = page_alloc_count(slot->size / MEMORY_PAGE_SIZE, next() % 2);
        ASSERT((uint64_t)slot->memory % MEMORY_PAGE_SIZE == 0);
    } else {
        slot->size = next() % (next() % 8 == 0 ? SIZE_MAX_TESTED : 600);
        slot->memory = kmalloc(slot->size);
        ASSERT((uint64_t)slot->memory % 16 == 0);
    }
    ASSERT(slot->memory != NULL);
    fill(slot);
}

static void give(struct slot *slot) {
    check(slot);
    if (slot->pages)
        page_free_count(slot->memory, slot->size / MEMORY_PAGE_SIZE);
    else
        kfree(slot->memory);
    slot->memory = NULL;
}

/* Any order of allocations and frees leaves contents intact and loses nothing. */
static bool test_random(void) {
    uint64_t before = free_bytes();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct slot *slot = &slots[next() % SLOTS];
        if (slot->memory == NULL)
            take(slot);
        else
            give(slot);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (slots[i].memory != NULL)
            give(&slots[i]);
    SELFTEST_CHECK(free_bytes() == before);
    return true;
}

/* Takes everything, in ever smaller blocks chained through their first words; what comes after is
 * NULL, not a panic; and after freeing, the largest block can be had again. */
static bool test_exhaustion(void) {
    uint64_t before = free_bytes();
    struct chain {
        struct chain *next;
        uint64_t order;
    } *chain = NULL;
    uint64_t got = 0;
    for (unsigned order = CHAIN_ORDER_MAX + 1; order-- > 0;) {
        struct chain *block;
        while ((block = page_alloc(order)) != NULL) {
            block->next = chain;
            block->order = order;
            chain = block;
            got += (uint64_t)MEMORY_PAGE_SIZE << order;
        }
    }
    SELFTEST_CHECK(kmalloc(100000) == NULL);
    SELFTEST_CHECK(page_alloc_count(3, MEMORY_RECLAIMABLE) == NULL);
    SELFTEST_CHECK(memory_stack_alloc(16 * MEMORY_PAGE_SIZE) == NULL);
    struct memory_statistics now;
    memory_statistics(&now);
    char size[FORMAT_BYTES_SIZE];
    log_info("selftest", "took %s of memory until there was no more", format_bytes(size, got));
    SELFTEST_CHECK(now.free_bytes == 0 && got == before);
    while (chain != NULL) {
        struct chain *block = chain;
        chain = block->next;
        page_free(block, (unsigned)block->order);
    }
    SELFTEST_CHECK(free_bytes() == before);
    void *block = page_alloc(AGAIN_ORDER);
    SELFTEST_CHECK(block != NULL);
    page_free(block, AGAIN_ORDER);
    return true;
}

static bool test_impossible(void) {
    SELFTEST_CHECK(kmalloc(SIZE_MAX) == NULL);
    SELFTEST_CHECK(kmalloc(1ull << 50) == NULL);
    SELFTEST_CHECK(page_alloc(63) == NULL);
    SELFTEST_CHECK(page_alloc_count(SIZE_MAX / MEMORY_PAGE_SIZE, MEMORY_PERMANENT) == NULL);
    kfree(NULL);
    return true;
}

static bool test_stacks(void) {
    char *first = memory_stack_alloc(4 * MEMORY_PAGE_SIZE);
    char *second = memory_stack_alloc(4 * MEMORY_PAGE_SIZE);
    SELFTEST_CHECK(first != NULL && second != NULL && first != second);
    memset(first, 1, 4 * MEMORY_PAGE_SIZE);
    SELFTEST_CHECK(!memory_is_mapped(first - 8) && !memory_is_mapped(second - 8));
    SELFTEST_CHECK(strcmp(memory_describe((uint64_t)first - 8),
                          "guard page under a stack: stack overflow") == 0);
    memory_stack_free(first, 4 * MEMORY_PAGE_SIZE);
    SELFTEST_CHECK(memory_stack_alloc(4 * MEMORY_PAGE_SIZE) == first);
    memory_stack_free(first, 4 * MEMORY_PAGE_SIZE);
    memory_stack_free(second, 4 * MEMORY_PAGE_SIZE);
    return true;
}

static bool test_no_unsafe_mapping(void) {
    SELFTEST_CHECK(memory_count_unsafe_mappings() == 0);
    return true;
}

bool selftest_memory(void) {
    static const struct selftest_case cases[] = {
        {"impossible requests give NULL", test_impossible},
        {"stacks have guard pages and are reused", test_stacks},
        {"random requests lose nothing", test_random},
        {"exhaustion gives NULL and is survived", test_exhaustion},
        {"random requests after exhaustion", test_random},
        {"nothing is writable and executable", test_no_unsafe_mapping},
    };
    const char *seed = command_line_get("seed");
    state = 0x9e3779b97f4a7c15ull;
    for (const char *digit = seed; digit != NULL && *digit != '\0'; digit++)
        state = state * 31 + (uint64_t)*digit;
    log_info("selftest", "seed=%s", seed == NULL ? "0" : seed);
    return selftest_cases("memory", cases, ARRAY_LENGTH(cases));
}

/* With MEMORY_DEBUG only: what is not freed is in the report, and only that. */
static bool leaks_are_reported(void) {
    uint64_t before = memory_leak_report();
    void *leaked = kmalloc(12345);
    SELFTEST_CHECK(leaked != NULL && memory_leak_report() == before + 12345);
    kfree(leaked);
    SELFTEST_CHECK(memory_leak_report() == before);
    return true;
}

bool selftest_leaks(void) {
    static const struct selftest_case cases[] = {{"leaks are reported", leaks_are_reported}};
    return selftest_cases("leaks", cases, ARRAY_LENGTH(cases));
}
