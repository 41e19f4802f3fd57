/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: os.h's memory is aligned, apart, and asks caches to shrink before it gives up. */
#include "base/os.h"
#include "host/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RUNS 300
#define ROUNDS 20000
#define MIB ((size_t)1 << 20)

/* Objects are 16-byte aligned, of size 0 too, and zeroed where promised. */
static void objects_are_aligned(void **state) {
    (void)state;
    for (size_t size = 0; size < 200; size++) {
        unsigned char *memory = os_alloc_zeroed(size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        os_free(memory);
    }
    void *one = os_alloc(0);
    void *other = os_alloc(0);
    assert_ptr_not_equal(one, other);
    os_free(one);
    os_free(other);
    os_free(NULL);
}

struct run {
    uint64_t *memory;
    size_t bytes;
    uint64_t tag;
};

static void fill(struct run *run) {
    for (size_t i = 0; i < run->bytes / sizeof(uint64_t); i++)
        run->memory[i] = run->tag;
}

static void check_and_free(struct run *run) {
    for (size_t i = 0; i < run->bytes / sizeof(uint64_t); i++)
        assert_int_equal(run->memory[i], run->tag);
    os_page_free(run->memory, run->bytes);
    run->memory = NULL;
}

/* Of many runs of pages that come and go in random order none overlaps another. */
static void page_runs_do_not_overlap(void **state) {
    (void)state;
    unsigned seed = (unsigned)os_now_ns();
    print_message("seed %u\n", seed);
    srand(seed);
    static struct run runs[RUNS];
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct run *run = &runs[rand() % RUNS];
        if (run->memory != NULL) {
            check_and_free(run);
            continue;
        }
        size_t pages = rand() % 8 == 0 ? 1 + (size_t)rand() % 400 : 1 + (size_t)rand() % 4;
        *run = (struct run){os_page_alloc(pages * OS_PAGE_SIZE), pages * OS_PAGE_SIZE, round};
        assert_non_null(run->memory);
        assert_int_equal((uintptr_t)run->memory % OS_PAGE_SIZE, 0);
        fill(run);
    }
    for (int i = 0; i < RUNS; i++)
        if (runs[i].memory != NULL)
            check_and_free(&runs[i]);
}

static void churn(void *argument) {
    void *pages[64];
    os_page_free(argument, OS_PAGE_SIZE);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 64; i++) {
            pages[i] = os_page_alloc(OS_PAGE_SIZE);
            assert_non_null(pages[i]);
            memset(pages[i], round, OS_PAGE_SIZE);
        }
        for (size_t i = 0; i < 64; i++)
            os_page_free(pages[i], OS_PAGE_SIZE);
    }
}

/* Threads allocate and free at once; a page is freed by another thread than its taker. */
static void pages_serve_many_threads(void **state) {
    (void)state;
    struct os_thread *threads[8];
    for (size_t i = 0; i < 8; i++) {
        void *handed = os_page_alloc(OS_PAGE_SIZE);
        assert_non_null(handed);
        assert_int_equal(os_thread_start(&threads[i], "churn", churn, handed), STATUS_OK);
    }
    for (size_t i = 0; i < 8; i++)
        os_thread_join(threads[i]);
}

/* The planned allocation fails, and only it; with `forever` all that follow do. */
static void planned_faults_hit(void **state) {
    (void)state;
    host_memory_fail(1, false);
    void *first = os_alloc(1);
    assert_non_null(first);
    assert_null(os_page_alloc(OS_PAGE_SIZE));
    void *third = os_alloc(1);
    assert_non_null(third);
    host_memory_fail(0, true);
    assert_null(os_alloc(1));
    assert_null(os_alloc_zeroed(1));
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    os_free(first);
    os_free(third);
}

static uint64_t count_call(void *context, uint64_t bytes) {
    *(uint64_t *)context = bytes;
    return 0;
}

/* An allocation that cannot be had asks the caches first; an unregistered one is left alone. */
static void failure_asks_caches(void **state) {
    (void)state;
    uint64_t asked = 0;
    struct os_shrinker shrinker = {.shrink = count_call, .context = &asked};
    os_shrinker_register(&shrinker);
    size_t impossible = (size_t)1 << 46;
    assert_null(os_alloc(impossible));
    assert_int_equal(asked, impossible);
    os_shrinker_unregister(&shrinker);
    asked = 0;
    assert_null(os_alloc(impossible));
    assert_int_equal(asked, 0);
}

/* There is memory, and some of it is free. */
static void memory_is_known(void **state) {
    (void)state;
    struct os_memory_info info;
    os_memory_info(&info);
    assert_true(info.total_bytes >= 64 * MIB);
    assert_true(info.free_bytes > 0 && info.free_bytes <= info.total_bytes);
}

/* Two identifiers of 16 bytes differ. */
static void random_differs(void **state) {
    (void)state;
    unsigned char one[16], other[16];
    os_random(one, sizeof one);
    os_random(other, sizeof other);
    assert_memory_not_equal(one, other, sizeof one);
}

/* AddressSanitizer must answer NULL for an impossible size instead of ending the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_aligned),      cmocka_unit_test(page_runs_do_not_overlap),
        cmocka_unit_test(pages_serve_many_threads), cmocka_unit_test(planned_faults_hit),
        cmocka_unit_test(failure_asks_caches),      cmocka_unit_test(memory_is_known),
        cmocka_unit_test(random_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
