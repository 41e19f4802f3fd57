/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the data cache gives back what was put in under the same address and checksum, and nothing
 * else; keeps to its limit; does without memory; and a scan does not evict what is in use.
 */
#include "storage/lfsx/data/datacache.h"
#include "base/math.h"
#include "base/mem.h"
#include "host/host.h"
#include "storage/lfsx/lfsx.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 200u
#define BLOCKS 600u
#define VERSIONS 4u
#define MANY 24u

static struct datacache cache;

/* A block's content is told by its version; so is its checksum. */
static uint64_t checksum_of(uint64_t block, uint64_t version) {
    return block * VERSIONS + version + 1;
}

static void fill(void *content, uint64_t block, uint64_t checksum) {
    uint64_t *words = content;
    words[0] = words[LFSX_BLOCK_SIZE / 8 - 1] = block * 1000003 + checksum;
}

static bool is_right(const void *content, uint64_t block, uint64_t checksum) {
    const uint64_t *words = content;
    uint64_t word = block * 1000003 + checksum;
    return words[0] == word && words[LFSX_BLOCK_SIZE / 8 - 1] == word;
}

/* Blocks that an operation is about. */
struct batch {
    uint64_t count;
    uint64_t blocks[MANY], checksums[MANY], rest[MANY];
    void *pages[MANY];
};

static void batch_init(struct batch *batch) {
    for (unsigned i = 0; i < MANY; i++)
        batch->pages[i] = os_page_alloc(LFSX_BLOCK_SIZE);
}

static void batch_destroy(struct batch *batch) {
    for (unsigned i = 0; i < MANY; i++)
        os_page_free(batch->pages[i], LFSX_BLOCK_SIZE);
}

static struct block_map map_of(struct batch *batch) {
    return (struct block_map){batch->count, batch->blocks, batch->checksums};
}

static void batch_range(struct batch *batch, uint64_t first, uint64_t count, uint64_t version) {
    batch->count = count;
    for (uint64_t i = 0; i < count; i++) {
        batch->blocks[i] = first + i;
        batch->checksums[i] = checksum_of(first + i, version);
    }
}

/* Reads as a file does: from the cache, else from the "device", which then is kept. Returns how
 * many were not in memory. */
static uint64_t read_batch(struct batch *batch) {
    struct block_map map = map_of(batch);
    uint64_t missing = datacache_copy(&cache, &map, batch->pages, batch->rest);
    for (uint64_t i = 0; i < batch->count; i++) {
        if (batch->rest[i] != 0)
            fill(batch->pages[i], batch->blocks[i], batch->checksums[i]);
        else if (batch->blocks[i] != 0)
            assert_true(is_right(batch->pages[i], batch->blocks[i], batch->checksums[i]));
    }
    if (missing > 0)
        datacache_keep(&cache, &map, batch->count, batch->pages, batch->rest);
    return missing;
}

static uint64_t read_range(struct batch *batch, uint64_t first, uint64_t count) {
    uint64_t missing = 0;
    for (uint64_t at = 0; at < count; at += MANY) {
        batch_range(batch, first + at, MATH_MIN(count - at, MANY), 0);
        missing += read_batch(batch);
    }
    return missing;
}

/* ---- against a model: each block has one tenant at a time; the others are strangers ---- */

struct staged {
    struct list_node pages;
    unsigned count;
    uint64_t blocks[PAGES];
};

static void stage_some(struct staged *staged, uint64_t block, uint64_t checksum) {
    struct list_node pages;
    list_init(&pages);
    assert_int_equal(datacache_take(&cache, 1, &pages), 1);
    struct data_page *page = LIST_CONTAINER(list_pop_front(&pages), struct data_page, link);
    fill(page->content, block, checksum);
    page->block = block;
    page->checksum = checksum;
    os_mutex_lock(&cache.lock);
    datacache_stage(&cache, page);
    list_push_back(&staged->pages, &page->link);
    os_mutex_unlock(&cache.lock);
    staged->count++;
}

static void write_staged(struct staged *staged, struct random *random) {
    os_mutex_lock(&cache.lock);
    struct data_page *page = LIST_CONTAINER(list_pop_front(&staged->pages), struct data_page, link);
    page->state = DATA_PAGE_WRITING;
    if (random_one_in(random, 4))
        datacache_drop(&cache, page);
    else
        datacache_written(&cache, page);
    os_mutex_unlock(&cache.lock);
    staged->count--;
}

static bool is_staged(const struct staged *staged, uint64_t block) {
    LIST_FOR_EACH(link, &staged->pages)
    if (LIST_CONTAINER(link, struct data_page, link)->block == block)
        return true;
    return false;
}

static void load_batch(struct batch *batch, struct random *random) {
    struct data_page *pages[MANY];
    bool good[MANY];
    struct block_map map = map_of(batch);
    datacache_load_begin(&cache, &map, pages);
    for (uint64_t i = 0; i < batch->count; i++) {
        good[i] = !random_one_in(random, 5);
        if (pages[i] != NULL)
            fill(pages[i]->content, batch->blocks[i], batch->checksums[i]);
        if (pages[i] != NULL && !good[i])
            memset(pages[i]->content, 0xee, LFSX_BLOCK_SIZE);
    }
    datacache_load_end(&cache, batch->count, pages, good);
}

static void draw_batch(struct batch *batch, struct random *random, const uint64_t *versions) {
    batch->count = 1 + random_below(random, MANY);
    uint64_t first = 1 + random_below(random, BLOCKS - MANY);
    for (uint64_t i = 0; i < batch->count; i++) {
        batch->blocks[i] = random_one_in(random, 8) ? 0 : first + i;
        uint64_t version =
            random_one_in(random, 10) ? random_below(random, VERSIONS) : versions[first + i];
        batch->checksums[i] = checksum_of(first + i, version);
    }
}

static void agrees_with_a_model(void **state) {
    (void)state;
    struct random random = random_start("datacache");
    struct batch batch;
    struct staged staged = {.count = 0};
    uint64_t versions[BLOCKS] = {0};
    list_init(&staged.pages);
    batch_init(&batch);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    for (unsigned round = 0; round < random_scale(20000); round++) {
        uint64_t dice = random_below(&random, 20);
        uint64_t block = 1 + random_below(&random, BLOCKS - 1);
        draw_batch(&batch, &random, versions);
        if (dice < 12) {
            (void)read_batch(&batch);
        } else if (dice < 14) {
            load_batch(&batch, &random);
        } else if (dice < 17 && staged.count < PAGES / 4 && !is_staged(&staged, block)) {
            versions[block] = (versions[block] + 1) % VERSIONS;
            stage_some(&staged, block, checksum_of(block, versions[block]));
        } else if (dice < 19 && staged.count > 0) {
            write_staged(&staged, &random);
        } else if (random_one_in(&random, 50)) {
            (void)datacache_shrink(&cache, random_below(&random, 2 * PAGES) * LFSX_BLOCK_SIZE);
        }
        assert_true(cache.count <= PAGES + staged.count);
        LIST_FOR_EACH(link, &staged.pages) {
            const struct data_page *page = LIST_CONTAINER(link, struct data_page, link);
            assert_ptr_equal(datacache_find(&cache, page->block), page);
        }
    }
    while (staged.count > 0)
        write_staged(&staged, &random);
    assert_true(cache.hits > 0);
    (void)datacache_shrink(&cache, 0);
    assert_int_equal(cache.count, 0);
    datacache_destroy(&cache);
    batch_destroy(&batch);
}

/* ---- what stays ---- */

/* A set that is used while four times the cache passes by stays; so does one that is used later on
 * again, beside what was used only once. */
static void a_scan_evicts_nothing_in_use(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    for (unsigned i = 0; i < 4; i++)
        (void)read_range(&batch, 1, PAGES / 2);
    (void)read_range(&batch, 10000, (uint64_t)PAGES * 4);
    assert_in_range(read_range(&batch, 1, PAGES / 2), 0, PAGES / 20);
    /* What the scan read last is not there at its expense. */
    assert_true(read_range(&batch, 10000, PAGES) > PAGES / 2);
    datacache_destroy(&cache);
    batch_destroy(&batch);
}

/* A new set in use takes the place of an old one that is not. */
static void the_unused_gives_way(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    for (unsigned i = 0; i < 4; i++)
        (void)read_range(&batch, 1, PAGES / 2);
    for (unsigned i = 0; i < 12; i++)
        (void)read_range(&batch, 5000, PAGES * 3 / 4);
    assert_in_range(read_range(&batch, 5000, PAGES * 3 / 4), 0, PAGES / 20);
    datacache_destroy(&cache);
    batch_destroy(&batch);
}

/* For one block that is missing between others that are there, one is given up. */
static void a_gap_costs_one_page(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    (void)read_range(&batch, 1, PAGES);
    for (unsigned i = 0; i < 50; i++) {
        batch_range(&batch, 1 + PAGES - MANY, MANY, 0);
        batch.blocks[MANY / 2] = 5000 + i;
        assert_int_equal(read_batch(&batch), 1);
        assert_int_equal(cache.count, PAGES);
    }
    datacache_destroy(&cache);
    batch_destroy(&batch);
}

/* Nodes take from the same budget, up to their share. */
static void nodes_come_first(void **state) {
    (void)state;
    struct batch batch;
    struct node_cache nodes = {0};
    batch_init(&batch);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, &nodes);
    (void)read_range(&batch, 1, (uint64_t)PAGES * 2);
    assert_int_equal(cache.count, PAGES);
    nodes.node_count = PAGES / 2;
    (void)read_range(&batch, 1000, 50);
    assert_int_equal(cache.count, PAGES - PAGES / 2);
    nodes.node_count = (uint64_t)PAGES * 10;
    (void)read_range(&batch, 2000, 50);
    assert_int_equal(cache.count, PAGES - DATACACHE_NODES_OF(PAGES));
    datacache_destroy(&cache);
    batch_destroy(&batch);
}

static void without_memory_nothing_stays(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch);
    host_memory_fail(0, true);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    assert_false(datacache_exists(&cache));
    assert_int_equal(read_range(&batch, 1, 100), 100);
    assert_int_equal(read_range(&batch, 1, 100), 100);
    datacache_destroy(&cache);
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    assert_true(datacache_exists(&cache));
    host_memory_fail(0, true);
    assert_int_equal(read_range(&batch, 1, 100), 100);
    assert_int_equal(read_range(&batch, 1, 100), 100);
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    assert_int_equal(cache.count, 0);
    datacache_destroy(&cache);
    batch_destroy(&batch);
}

/* ---- at once ---- */

static void work(void *argument) {
    struct random random = {(uintptr_t)argument};
    struct batch batch;
    batch_init(&batch);
    for (unsigned i = 0; i < random_scale(4000); i++) {
        uint64_t dice = random_below(&random, 10);
        batch_range(&batch, 1 + random_below(&random, BLOCKS), 1 + random_below(&random, MANY),
                    random_below(&random, 2));
        struct block_map map = map_of(&batch);
        if (dice < 6)
            (void)read_batch(&batch);
        else if (dice < 8)
            load_batch(&batch, &random);
        else if (dice < 9)
            datacache_forget(&cache, &map);
        else if (random_one_in(&random, 20))
            (void)datacache_shrink(&cache, 50 * LFSX_BLOCK_SIZE);
    }
    batch_destroy(&batch);
}

/* Readers that copy a page while others evict, replace and forget it get it whole. */
static void many_threads(void **state) {
    (void)state;
    struct random random = random_start("datacache");
    struct os_thread *threads[4];
    datacache_init(&cache, (uint64_t)PAGES * LFSX_BLOCK_SIZE, NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(
            os_thread_start(&threads[i], "reader", work, (void *)(uintptr_t)random_next(&random)),
            STATUS_OK);
    for (unsigned i = 0; i < 4; i++)
        os_thread_join(threads[i]);
    assert_true(cache.count <= PAGES);
    assert_int_equal(cache.count, cache.small_count + cache.main_count);
    datacache_destroy(&cache);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model),  cmocka_unit_test(a_scan_evicts_nothing_in_use),
        cmocka_unit_test(the_unused_gives_way), cmocka_unit_test(a_gap_costs_one_page),
        cmocka_unit_test(nodes_come_first),     cmocka_unit_test(without_memory_nothing_stays),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
