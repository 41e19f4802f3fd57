/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures in turn: every allocation, every request, and blocks that are lost, misdirected or rot.
 *
 * A workload is run once to see how many there are, then again for each of them.
 */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

#define SILENT_ROUNDS 60u

static struct plan small_plan(struct sim_random *random) {
    struct plan plan = plan_draw(random);
    plan.disk_blocks = 2048;
    plan.volume_bytes = 64u << 10;
    plan.clients = 1 + (unsigned)sim_random_below(random, 2);
    plan.ops = 12;
    plan.preempt = 0;
    return plan;
}

/* The model's judgement of what the disk holds at the end, read by a machine that works again. */
static void verify_end(struct run *run, uint64_t seed) {
    struct sim_disk disk;
    struct verify_options options = {.seed = seed, .check = true, .close = true};
    verify_image(&run->model, run_cut_time(run->disk.event_count), &run->disk.image, &options,
                 &disk);
    sim_disk_destroy(&disk);
    counters.failures++;
}

/* ---- memory ---- */

/* The allocation to fail is counted from the world's beginning; set from inside of it. */
static uint64_t memory_k;
static bool memory_forever;

static void plan_failure(void) {
    sim_fail_allocation(memory_k, memory_forever);
}

void failures_memory(uint64_t seed) {
    struct sim_random random = {seed};
    struct plan plan = small_plan(&random);
    uint64_t run_seed = sim_random_next(&random);
    bool failed = true;
    for (uint64_t k = 0; failed; k++) {
        uint64_t mark = sim_store_mark();
        struct run run;
        run_init(&run, &plan, run_seed);
        run.faulty = run.close = true;
        run.before = plan_failure;
        memory_k = k;
        memory_forever = seed % 2 == 1;
        run_go(&run);
        failed = run.allocation_failed;
        verify_end(&run, run_seed);
        run_destroy(&run);
        sim_store_release(mark);
    }
}

/* ---- the device ---- */

static bool fail_request(const struct plan *plan, uint64_t run_seed, const struct sim_image *base,
                         uint64_t k, bool forever, uint32_t kinds) {
    uint64_t mark = sim_store_mark();
    struct run run;
    run_init_from(&run, plan, run_seed, base);
    run.faulty = run.close = true;
    run.tolerant = (kinds & 1u << BLOCK_READ) != 0;
    run.disk.faults.fail_at = k;
    run.disk.faults.fail_forever = forever;
    run.disk.faults.fail_kinds = kinds;
    run_go(&run);
    bool failed = run.disk.failed;
    verify_end(&run, run_seed);
    run_destroy(&run);
    sim_store_release(mark);
    return failed;
}

/* What a power cut leaves while nothing is on its way, a journal to be replayed among it. The first
 * time it is made, later only looked at, so that `observed` says what it holds. */
static void observe_base(const struct plan *plan, uint64_t run_seed, bool make,
                         struct sim_image *base) {
    struct run run;
    run_init(&run, plan, run_seed);
    run_go(&run);
    if (make)
        sim_image_copy(base, &run.disk.image);
    struct sim_disk disk;
    struct verify_options options = {.seed = run_seed};
    verify_image(&run.model, run_cut_time(run.disk.event_count), base, &options, &disk);
    sim_disk_destroy(&disk);
    run_destroy(&run);
}

void failures_device(uint64_t seed) {
    struct sim_random random = {seed};
    struct plan plan = small_plan(&random);
    uint64_t run_seed = sim_random_next(&random);
    uint64_t mark = sim_store_mark();
    struct sim_image base;
    sim_image_init(&base, plan.disk_blocks);
    observe_base(&plan, run_seed, true, &base);
    static const uint32_t kinds[] = {1u << BLOCK_READ, 1u << BLOCK_WRITE | 1u << BLOCK_FLUSH,
                                     1u << BLOCK_DISCARD};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned forever = 0; forever < 2; forever++) {
            bool failed = true;
            for (uint64_t k = 0; failed; k++) {
                uint64_t inner = sim_store_mark();
                observe_base(&plan, run_seed, false, &base);
                sim_store_release(inner);
                failed = fail_request(&plan, run_seed, &base, k, forever, kinds[i]);
            }
        }
    }
    sim_image_destroy(&base);
    sim_store_release(mark);
}

/* ---- what nobody reports ---- */

/* Compares what can be read with what must be there; errors are an answer, wrong bytes are not. */
static void compare(struct run *run, struct lfsx_pool *pool) {
    for (unsigned name = 0; name < MODEL_NAMES; name++) {
        int instance = model_present(&run->model, name);
        struct lfsx_volume *volume;
        enum status status = lfsx_volume_open(pool, model_names[name], &volume);
        if ((status == STATUS_OK) != (instance >= 0))
            report_violation("volume %s: %s", model_names[name], status_name(status));
        if (status != STATUS_OK)
            continue;
        const struct model_instance *one = &run->model.instances[instance];
        unsigned char block[LFSX_BLOCK_SIZE];
        for (uint64_t at = 0; at < one->size; at += sizeof block) {
            struct lfsx_buffer *buffer;
            uint32_t length = (uint32_t)MATH_MIN(one->size - at, sizeof block);
            status = lfsx_buffer_alloc(at, length, &buffer);
            if (status == STATUS_OK)
                status = lfsx_volume_read(volume, buffer);
            if (status == STATUS_OK &&
                memcmp(buffer->spans[0].base, one->content + at, length) != 0)
                report_violation("volume %s, byte %llu: wrong bytes", model_names[name],
                                 (unsigned long long)at);
            lfsx_buffer_free(buffer);
        }
        lfsx_volume_close(volume);
    }
}

struct silent {
    struct run *run;
    struct sim_disk disk;
};

static void silent_main(void *argument) {
    struct silent *silent = argument;
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 1u << 20};
    if (lfsx_pool_open(&silent->disk.device, &options, &pool) != STATUS_OK)
        return; /* refused, loudly */
    compare(silent->run, pool);
    (void)lfsx_pool_close(pool);
}

static void look_at(struct run *run, const struct sim_image *image, uint64_t seed) {
    struct silent silent = {.run = run};
    sim_disk_init(&silent.disk, image->blocks, image);
    struct sim_options world = {.seed = seed};
    if (sim_run(&world, silent_main, &silent) != SIM_DONE || sim_leaked() != 0)
        report_violation("a damaged pool does not close, or leaks");
    sim_disk_destroy(&silent.disk);
    counters.failures++;
}

static void rot(struct run *run, struct sim_random *random, uint64_t seed) {
    struct sim_image image;
    sim_image_init(&image, run->disk.image.blocks);
    sim_image_copy(&image, &run->disk.image);
    uint64_t block;
    do /* most blocks were never written */
        block = sim_random_below(random, image.blocks);
    while (image.pages[block] == sim_store_junk());
    unsigned char *page = sim_store_page();
    memcpy(page, image.pages[block], SIM_BLOCK_SIZE);
    page[sim_random_below(random, SIM_BLOCK_SIZE)] ^= 1u << sim_random_below(random, 8);
    image.pages[block] = page;
    look_at(run, &image, seed);
    sim_image_destroy(&image);
}

void failures_silent(uint64_t seed) {
    struct sim_random random = {seed};
    struct plan plan = small_plan(&random);
    uint64_t run_seed = sim_random_next(&random);
    uint64_t writes = 1;
    for (unsigned round = 0; round < SILENT_ROUNDS; round++) {
        uint64_t mark = sim_store_mark();
        struct run run;
        run_init(&run, &plan, run_seed);
        run.close = true;
        run.faulty = round > 0;
        run.tolerant = round > 0;
        if (round > 0 && round % 3 == 0)
            run.disk.faults.lose_at = run.disk.all_writes + sim_random_below(&random, writes);
        if (round % 3 == 1) {
            run.disk.faults.misdirect_at = run.disk.all_writes + sim_random_below(&random, writes);
            run.disk.faults.misdirect_to = sim_random_below(&random, plan.disk_blocks);
        }
        uint64_t before = run.disk.all_writes;
        run_go(&run);
        if (round == 0)
            writes = run.disk.all_writes - before;
        if (run.open_status == STATUS_OK && run.close_status == STATUS_OK && !run.in_doubt) {
            if (round % 3 == 2)
                rot(&run, &random, run_seed);
            else
                look_at(&run, &run.disk.image, run_seed);
        }
        run_destroy(&run);
        sim_store_release(mark);
    }
}
