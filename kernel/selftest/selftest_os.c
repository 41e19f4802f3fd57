/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selftest=os`: os.h's memory and randomness on the real machine. Blocks in hand are linked
 * through their own first bytes, so that taking all memory needs none; one thread uses the list.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/os/os_random.h"
#include "kernel/selftest/selftest.h"

#define MEBIBYTE (1u << 20)
#define LARGEST_PAGES 700u

struct block {
    struct block *next;
    size_t bytes;
    uint64_t pattern;
};

static struct block *blocks;
static unsigned shrink_calls;

static bool take(size_t bytes) {
    struct block *block = os_page_alloc(bytes);
    if (block == NULL)
        return false;
    memset(block, (int)(bytes >> 12) & 0xff, bytes);
    *block = (struct block){.next = blocks, .bytes = bytes, .pattern = bytes ^ (uintptr_t)block};
    blocks = block;
    return true;
}

static void take_all(void) {
    for (size_t bytes = MEBIBYTE; bytes >= OS_PAGE_SIZE; bytes /= 2)
        while (take(bytes)) {
        }
}

/* Frees the first block; false if somebody wrote into it. */
static bool give(void) {
    struct block *block = blocks;
    const unsigned char *bytes = (const unsigned char *)block;
    bool good = block->pattern == (block->bytes ^ (uintptr_t)block);
    for (size_t i = sizeof *block; i < block->bytes; i += 509)
        good = good && bytes[i] == ((block->bytes >> 12) & 0xff);
    blocks = block->next;
    os_page_free(block, block->bytes);
    return good;
}

static bool give_all(void) {
    bool good = true;
    while (blocks != NULL)
        good = give() && good;
    return good;
}

static uint64_t free_bytes(void) {
    struct os_memory_info info;
    os_memory_info(&info);
    return info.free_bytes;
}

/* Any number of pages, nothing overlaps, nothing is wasted, all comes back. */
static bool any_number_of_pages(void) {
    uint64_t before = free_bytes(), asked = 0;
    for (size_t pages = 1; pages <= LARGEST_PAGES; pages += pages / 8 + 1) {
        SELFTEST_CHECK(take(pages * OS_PAGE_SIZE));
        SELFTEST_CHECK((uintptr_t)blocks % OS_PAGE_SIZE == 0);
        asked += pages * OS_PAGE_SIZE;
    }
    SELFTEST_CHECK(before - free_bytes() <= asked);
    SELFTEST_CHECK(give_all());
    SELFTEST_CHECK(free_bytes() >= before);
    return true;
}

/* Running out is a NULL, and giving back repairs it. */
static bool running_out_is_an_answer(void) {
    uint64_t before = free_bytes();
    take_all();
    SELFTEST_CHECK(free_bytes() < before / 10);
    void *object = os_alloc(3 * (size_t)OS_PAGE_SIZE);
    SELFTEST_CHECK(object == NULL);
    SELFTEST_CHECK(give_all());
    SELFTEST_CHECK(take(MEBIBYTE));
    return give_all();
}

static uint64_t shrink_one(void *context, uint64_t bytes) {
    (void)context;
    (void)bytes;
    shrink_calls++;
    if (blocks == NULL)
        return 0;
    uint64_t freed = blocks->bytes;
    return give() ? freed : 0;
}

/* With a cache that can shrink, the same request succeeds. */
static bool caches_are_asked(void) {
    struct os_shrinker shrinker = {.shrink = shrink_one};
    shrink_calls = 0;
    take_all();
    os_shrinker_register(&shrinker);
    void *page = os_page_alloc(OS_PAGE_SIZE);
    os_shrinker_unregister(&shrinker);
    unsigned calls = shrink_calls;
    os_page_free(page, OS_PAGE_SIZE);
    SELFTEST_CHECK(give_all());
    SELFTEST_CHECK(page != NULL);
    SELFTEST_CHECK(calls > 0);
    return true;
}

static bool objects_are_aligned(void) {
    for (size_t size = 0; size < 3 * (size_t)OS_PAGE_SIZE; size = size * 2 + 1) {
        char *memory = os_alloc_zeroed(size);
        SELFTEST_CHECK(memory != NULL);
        SELFTEST_CHECK((uintptr_t)memory % 16 == 0);
        for (size_t i = 0; i < size; i++)
            SELFTEST_CHECK(memory[i] == 0);
        memset(memory, 0xff, size);
        os_free(memory);
    }
    os_free(NULL);
    return true;
}

/* Not a proof of quality: that bytes come at all, differ, and have about as many ones as zeros. */
static bool random_differs(void) {
    static unsigned char a[4096], b[4096];
    unsigned ones = 0;
    os_random(a, sizeof a);
    os_random(b, sizeof b);
    SELFTEST_CHECK(memcmp(a, b, sizeof a) != 0);
    for (unsigned i = 0; i < sizeof a * 8; i++)
        ones += a[i / 8] >> (i % 8) & 1u;
    log_info("selftest", "random: %u of %zu bits set; hardware entropy: %s", ones, sizeof a * 8,
             os_random_is_strong() ? "yes" : "no");
    /* 16,384 expected; the bounds are more than ten standard deviations (91) away. */
    SELFTEST_CHECK(ones > 15384);
    SELFTEST_CHECK(ones < 17384);
    return true;
}

bool selftest_os(void) {
    static const struct selftest_case cases[] = {
        {"any number of pages", any_number_of_pages},
        {"running out is an answer", running_out_is_an_answer},
        {"caches are asked", caches_are_asked},
        {"objects are aligned", objects_are_aligned},
        {"random differs", random_differs}};
    return selftest_cases("os", cases, ARRAY_LENGTH(cases));
}
