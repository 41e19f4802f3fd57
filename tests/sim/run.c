/* SPDX-License-Identifier: Apache-2.0 */
/* One run: the world in which clients work on a pool, and how it begins and ends. */
#include "base/math.h"
#include "base/os.h"
#include "tests/sim/model_share.h"
#include "tests/sim/sim_test.h"

#include <stdlib.h>
#include <string.h>

#define TICKS 20u /* bits of the model's time below the number of the event */

uint64_t run_now(struct run *run) {
    run->model.now_ns = os_wall_clock_ns();
    return run->disk.event_count << TICKS | (run->tick++ & ((1u << TICKS) - 1));
}

uint64_t run_cut_time(uint64_t position) {
    return ((position + 1) << TICKS) - 1;
}

uint64_t run_below(struct run *run, uint64_t limit) {
    return sim_random_below(&run->random, limit);
}

bool run_one_in(struct run *run, uint64_t n) {
    return n > 0 && sim_random_one_in(&run->random, n);
}

/* Memory that is short makes a request fail and nothing else; a device that does not write makes
 * the pool read-only. */
void run_expect(struct run *run, enum status status, uint64_t expected, const char *what) {
    const uint32_t writing = 1u << BLOCK_WRITE | 1u << BLOCK_FLUSH;
    expected |= RUN_MAY(STATUS_OK);
    if (run->short_of_memory)
        expected |= RUN_MAY(STATUS_NO_MEMORY);
    if (run->failing & (1u << BLOCK_READ | writing))
        expected |= RUN_MAY(STATUS_IO);
    if (run->failing & writing)
        expected |= RUN_MAY(STATUS_READ_ONLY);
    if (run->lying)
        expected |= RUN_MAY(STATUS_CHECKSUM) | RUN_MAY(STATUS_CORRUPT) | RUN_MAY(STATUS_READ_ONLY) |
                    RUN_MAY(STATUS_IO);
    if ((expected & RUN_MAY(status)) == 0)
        report_violation("%s ended with %s", what, status_name(status));
}

void run_expect_refusal(struct run *run, enum status status, enum status wanted, const char *what) {
    if (status == STATUS_OK)
        report_violation("%s did not end with %s", what, status_name(wanted));
    if (status != wanted)
        run_expect(run, status, 0, what);
}

static void client_main(void *argument) {
    struct client *client = argument;
    if (client->run->script != NULL)
        client->run->script(client);
    else
        workload_client(client);
}

static void start_clients(struct run *run) {
    unsigned count = run->script != NULL ? 1 : run->plan.clients;
    unsigned started = 0;
    for (; started < count; started++) {
        struct client *client = &run->clients[started];
        enum status status = os_thread_start(&client->thread, "client", client_main, client);
        run_expect(run, status, 0, "starting a thread");
        if (status != STATUS_OK)
            break;
    }
    for (unsigned i = 0; i < started; i++)
        os_thread_join(run->clients[i].thread);
}

static void close_pool(struct run *run) {
    uint64_t closing = run_now(run);
    run->close_status = lfsx_pool_close(run->pool);
    if (run->close_status == STATUS_OK)
        model_add_flush(&run->model, closing, run_now(run));
    run_expect(run, run->close_status, 0, "closing");
}

static void run_main(void *argument) {
    struct run *run = argument;
    struct lfsx_open_options options = {.cache_bytes = run->plan.cache_bytes};
    if (run->short_of_memory)
        sim_fail_allocations(&run->shortage);
    run->open_status = lfsx_pool_open(&run->disk.device, &options, &run->pool);
    /* Superblocks that cannot be read cannot be trusted either. */
    uint64_t expected = run->failing & 1u << BLOCK_READ ? RUN_MAY(STATUS_CORRUPT) : 0;
    run_expect(run, run->open_status, expected, "opening");
    if (run->open_status != STATUS_OK)
        return;
    start_clients(run);
    if (!run->close)
        sim_stop();
    close_pool(run);
}

static enum sim_end go(struct run *run, void (*entry)(void *argument)) {
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        run->ranges[i].instance = -1;
    struct sim_options world = {.seed = run->seed,
                                .preempt = run->plan.preempt,
                                .pause = run->plan.pause,
                                .later_ns = run->later_ns};
    enum sim_end end = sim_run(&world, entry, run);
    run->allocation_failed = sim_allocation_failed();
    run->allocation_failed_too = sim_allocation_failed_too();
    if (end == SIM_STUCK)
        report_violation("nobody can go on");
    if (end == SIM_DONE && sim_leaked() != 0)
        report_violation("%llu allocations were not released", (unsigned long long)sim_leaked());
    return end;
}

enum sim_end run_go(struct run *run) {
    counters.runs++;
    (void)report_leak_told();
    enum sim_end end = go(run, run_main);
    run->leaks = report_leak_told();
    return end;
}

/* ---- beginnings ---- */

static void must(enum status status, const char *what) {
    if (status != STATUS_OK)
        report_violation("%s ended with %s", what, status_name(status));
}

static void prepare(struct run *run) {
    struct lfsx_open_options options = {.cache_bytes = run->plan.cache_bytes};
    must(lfsx_pool_open(&run->disk.device, &options, &run->pool), "opening a new pool");
    for (unsigned i = 0; i < run->plan.shares; i++) {
        unsigned name = run->plan.names - 1 - i;
        must(lfsx_share_create(run->pool, model_name(name)), "creating a share");
        model_set_present(&run->model, name, model_add_share(&run->model, NULL, 0));
    }
    workload_prepare(&run->clients[0]);
    uint64_t closing = run_now(run);
    must(lfsx_pool_close(run->pool), "closing a new pool");
    model_add_flush(&run->model, closing, run_now(run));
}

static void format_main(void *argument) {
    struct run *run = argument;
    struct lfsx_new_volume volumes[MODEL_NAMES];
    for (unsigned i = 0; i < run->plan.volumes; i++) {
        volumes[i] = (struct lfsx_new_volume){model_name(i), draw_size(run)};
        unsigned instance = model_add_instance(&run->model, volumes[i].size, NULL);
        model_set_present(&run->model, i, instance);
    }
    struct lfsx_format_options options = {
        .label = "sim", .volumes = volumes, .volume_count = run->plan.volumes};
    must(lfsx_format(&run->disk.device, &options), "formatting");
    if (run->plan.prepare > 0 || run->plan.shares > 0)
        prepare(run);
}

static void begin(struct run *run, const struct plan *plan, uint64_t seed, uint64_t blocks) {
    memset(run, 0, sizeof *run);
    run->plan = *plan;
    run->seed = seed;
    run->random.state = seed ^ 0x5ca1ab1e;
    model_init(&run->model);
    run->model.cells[MODEL_POOL_SIZE].history[0].value = blocks * SIM_BLOCK_SIZE;
    sim_image_init(&run->start, blocks);
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        run->clients[i] = (struct client){.run = run,
                                          .number = i,
                                          .data = malloc(plan->max_length),
                                          .before = malloc(plan->max_length)};
        if (run->clients[i].data == NULL || run->clients[i].before == NULL)
            abort();
    }
}

static void start_recording(struct run *run) {
    run->disk.device.limits.max_transfer = run->plan.max_transfer;
    run->disk.delays = run->plan.delays;
    run->disk.recording = true;
}

/* What was prepared is durable: to the model it is the beginning. */
void run_init(struct run *run, const struct plan *plan, uint64_t seed) {
    begin(run, plan, seed, plan->disk_blocks);
    sim_disk_init(&run->disk, plan->disk_blocks, NULL);
    if (go(run, format_main) != SIM_DONE)
        report_violation("formatting does not end");
    sim_image_copy(&run->start, &run->disk.image);
    start_recording(run);
}

/* One that may go by itself is not there for clients. */
static void set_snapshot(struct run *run, const struct seen *one) {
    unsigned number = model_set_snapshot(&run->model, (unsigned)one->volume, one->name,
                                         one->content, one->size, one->cloned);
    if (!one->automatic)
        return;
    struct model_snapshot *own = &run->model.snapshots[number];
    own->automatic = true;
    own->epoch = one->id;
    run->model.cells[own->cell].history[0].value = 0;
    run->model.instances[one->volume].is_scheduled = true;
}

void run_init_from(struct run *run, const struct plan *plan, uint64_t seed,
                   const struct sim_image *image, const struct observation *seen) {
    begin(run, plan, seed, image->blocks);
    sim_image_copy(&run->start, image);
    sim_disk_init(&run->disk, image->blocks, image);
    if (seen->pool_bytes != 0)
        run->model.cells[MODEL_POOL_SIZE].history[0].value = seen->pool_bytes;
    for (unsigned i = 0; i < seen->count; i++) {
        const struct seen *one = &seen->all[i];
        if (one->volume >= 0) {
            set_snapshot(run, one);
            continue;
        }
        unsigned instance = one->is_share
                                ? model_add_share(&run->model, one->content, one->size)
                                : model_add_instance(&run->model, one->size, one->content);
        run->model.instances[instance].id = one->id;
        run->model.instances[instance].keep = one->is_share ? MODEL_KEEP_PERHAPS
                                              : one->kept   ? MODEL_KEEP
                                                            : MODEL_KEEP_NOT;
        model_set_present(&run->model, model_name_number(one->name), instance);
        run->model.cells[run->model.instances[instance].schedule].history[0].value = one->schedule;
        run->model.instances[instance].is_scheduled = one->schedule != 0;
        if (one->is_share)
            continue;
        run->model.cells[run->model.instances[instance].quota].history[0].value = one->quota;
        run->model.cells[run->model.instances[instance].reserved].history[0].value = one->reserved;
        space_init(run, instance, one->logical_blocks);
        run->model.instances[instance].is_clone = one->is_clone;
    }
    start_recording(run);
}

void run_destroy(struct run *run) {
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        free(run->clients[i].data);
        free(run->clients[i].before);
    }
    model_destroy(&run->model);
    sim_image_destroy(&run->start);
    sim_disk_destroy(&run->disk);
}
