/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that write, trim, zero, flush, read, create and delete at once, and tell the model.
 *
 * Invariant: no two operations on the same cell are under way together.
 */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKS 20u /* bits of the model's time below the number of the event */

struct client {
    struct run *run;
    unsigned number;
    struct os_thread *thread;
    unsigned char data[MAX_LENGTH], before[MAX_LENGTH];
};

uint64_t run_now(struct run *run) {
    return run->disk.event_count << TICKS | (run->tick++ & ((1u << TICKS) - 1));
}

uint64_t run_cut_time(uint64_t position) {
    return ((position + 1) << TICKS) - 1;
}

static uint64_t below(struct run *run, uint64_t limit) {
    return sim_random_below(&run->random, limit);
}

static bool one_in(struct run *run, uint64_t n) {
    return n > 0 && sim_random_one_in(&run->random, n);
}

struct plan plan_draw(struct sim_random *random) {
    static const uint64_t volume_bytes[] = {24u << 10, 64u << 10, 160u << 10, 1600u << 10};
    struct plan plan = {
        .disk_blocks = 2048 + sim_random_below(random, 512),
        .volume_bytes =
            volume_bytes[sim_random_below(random, 20) == 0 ? 3 : sim_random_below(random, 3)],
        .cache_bytes = sim_random_one_in(random, 2) ? 1 : 8u << 20,
        .clients = 1 + (unsigned)sim_random_below(random, MAX_CLIENTS),
        .ops = 5 + (unsigned)sim_random_below(random, 40),
        .volumes = 1 + (unsigned)sim_random_below(random, 3),
        .preempt = (unsigned)sim_random_below(random, 3) * 10,
        .flush_one_in =
            sim_random_one_in(random, 4) ? 0 : 3 + (unsigned)sim_random_below(random, 20),
        .fua_one_in = sim_random_one_in(random, 3) ? 0 : 2 + (unsigned)sim_random_below(random, 12),
        .names_one_in = sim_random_one_in(random, 2) ? 0 : 8,
        .only_whole_blocks = sim_random_one_in(random, 3),
    };
    return plan;
}

/* ---- which statuses are right ---- */

static void expect(struct run *run, enum status status, bool may_be_full, const char *what) {
    if (status == STATUS_OK)
        return;
    run->in_doubt = run->in_doubt || run->faulty;
    if (status == STATUS_NO_SPACE && may_be_full)
        return;
    if (run->faulty &&
        (status == STATUS_NO_MEMORY || status == STATUS_IO || status == STATUS_READ_ONLY))
        return;
    if (run->tolerant && (status == STATUS_CHECKSUM || status == STATUS_CORRUPT))
        return;
    report_violation("%s ended with %s", what, status_name(status));
}

static bool range_is_free(struct run *run, int instance, uint64_t offset, uint64_t length) {
    uint64_t begin = math_round_down(offset, MODEL_CELL);
    uint64_t end = math_round_up(offset + length, MODEL_CELL);
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        const struct range *other = &run->ranges[i];
        if (other->instance == instance && begin < other->offset + other->length &&
            other->offset < end)
            return false;
    }
    return true;
}

/* Draws a range of a volume that nobody is changing. */
static bool draw_range(struct run *run, struct range *range) {
    unsigned name = (unsigned)below(run, MODEL_NAMES);
    int instance = model_present(&run->model, name);
    if (instance < 0 || run->deleting[name])
        return false;
    static const uint64_t units[] = {1, 512, 512, 4096, 4096, 4096};
    uint64_t unit = run->plan.only_whole_blocks ? 4096 : units[below(run, 6)];
    uint64_t size = run->model.instances[instance].size;
    uint64_t offset = math_round_down(below(run, size), unit);
    uint64_t limit = one_in(run, 6) ? MAX_LENGTH : 12288;
    uint64_t most = MATH_MIN(size - offset, limit);
    uint64_t length = 1 + below(run, most);
    if (length > unit)
        length = math_round_down(length, unit);
    else
        length = MATH_MIN(unit, most);
    if (!range_is_free(run, instance, offset, length))
        return false;
    *range = (struct range){instance, offset, length};
    return true;
}

static void claim(struct client *client, const struct range *range) {
    struct range *own = &client->run->ranges[client->number];
    own->instance = range->instance;
    own->offset = math_round_down(range->offset, MODEL_CELL);
    own->length = math_round_up(range->offset + range->length, MODEL_CELL) - own->offset;
    client->run->users[client->run->model.instances[range->instance].name]++;
}

static void release(struct client *client, struct lfsx_volume *volume) {
    struct run *run = client->run;
    if (volume != NULL)
        lfsx_volume_close(volume);
    run->users[run->model.instances[run->ranges[client->number].instance].name]--;
    run->ranges[client->number].instance = -1;
}

static struct lfsx_volume *open_volume(struct client *client, const struct range *range) {
    struct run *run = client->run;
    unsigned number = run->model.instances[range->instance].name;
    const char *name = model_names[number];
    struct lfsx_volume *volume;
    bool creating = run->creating[number];
    enum status status = lfsx_volume_open(run->pool, name, &volume);
    if (status == STATUS_NOT_FOUND && creating)
        return NULL;
    expect(run, status, creating, "opening a volume");
    if (status != STATUS_OK)
        return NULL;
    struct lfsx_volume_info info;
    lfsx_volume_info(volume, &info);
    if (info.size != run->model.instances[range->instance].size)
        report_violation("volume %s is another one", name);
    return volume;
}

/* ---- what clients do ---- */

static void do_write(struct client *client, struct lfsx_volume *volume, const struct range *range) {
    struct run *run = client->run;
    bool fua = one_in(run, run->plan.fua_one_in);
    for (uint64_t i = 0; i < range->length; i += 8) {
        uint64_t word = sim_random_next(&run->random);
        memcpy(client->data + i, &word, MATH_MIN(8, range->length - i));
    }
    unsigned char *content = run->model.instances[range->instance].content + range->offset;
    memcpy(client->before, content, range->length);
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(range->offset, (uint32_t)range->length, &buffer);
    if (status != STATUS_OK) {
        expect(run, status, false, "a buffer");
        return;
    }
    const unsigned char *from = client->data;
    for (uint32_t i = 0; i < buffer->span_count; i++) {
        memcpy(buffer->spans[i].base, from, buffer->spans[i].length);
        from += buffer->spans[i].length;
    }
    uint32_t op = model_change(&run->model, run_now(run), (unsigned)range->instance, range->offset,
                               range->length, client->data);
    status = lfsx_volume_write(volume, buffer, fua ? LFSX_FUA : 0);
    lfsx_buffer_free(buffer);
    if (status == STATUS_OK) {
        model_acknowledge(&run->model, op, run_now(run), fua);
    } else if (!fua) {
        model_undo(&run->model, op);
        content = run->model.instances[range->instance].content + range->offset;
        memcpy(content, client->before, range->length);
    } else {
        run->in_doubt = true;
    }
    expect(run, status, true, "a write");
}

/* Trims and zeroes may be there block by block. */
static void do_erase(struct client *client, struct lfsx_volume *volume, const struct range *range) {
    struct run *run = client->run;
    bool fua = one_in(run, run->plan.fua_one_in);
    bool trim = one_in(run, 2);
    bool no_hole = !trim && one_in(run, 2);
    uint64_t size = run->model.instances[range->instance].size;
    uint64_t begin = range->offset;
    uint64_t end = begin + range->length;
    if (trim) {
        begin = math_round_up(begin, LFSX_BLOCK_SIZE);
        end = end == size ? end : math_round_down(end, LFSX_BLOCK_SIZE);
    }
    uint32_t first = run->model.op_count;
    uint64_t started = run_now(run);
    for (uint64_t at = begin; at < end;) {
        uint64_t next = MATH_MIN(end, math_round_down(at, LFSX_BLOCK_SIZE) + LFSX_BLOCK_SIZE);
        model_change(&run->model, started, (unsigned)range->instance, at, next - at, NULL);
        at = next;
    }
    uint32_t behind = run->model.op_count;
    uint32_t flags = (fua ? LFSX_FUA : 0) | (no_hole ? LFSX_NO_HOLE : 0);
    enum status status = trim ? lfsx_volume_trim(volume, range->offset, range->length, flags)
                              : lfsx_volume_zero(volume, range->offset, range->length, flags);
    uint64_t now = run_now(run);
    for (uint32_t op = first; op < behind && status == STATUS_OK; op++)
        model_acknowledge(&run->model, op, now, fua);
    run->in_doubt |= status != STATUS_OK;
    expect(run, status, !trim, trim ? "a trim" : "a zeroing");
}

static void do_read(struct client *client, struct lfsx_volume *volume, const struct range *range) {
    struct run *run = client->run;
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(range->offset, (uint32_t)range->length, &buffer);
    if (status == STATUS_OK)
        status = lfsx_volume_read(volume, buffer);
    else
        buffer = NULL;
    const unsigned char *wanted = run->model.instances[range->instance].content + range->offset;
    for (uint32_t i = 0; buffer != NULL && status == STATUS_OK && i < buffer->span_count; i++) {
        if (memcmp(buffer->spans[i].base, wanted, buffer->spans[i].length) != 0 && !run->in_doubt)
            report_violation("a read returned something else than was written last");
        wanted += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    expect(run, status, false, "a read");
}

static void do_data(struct client *client) {
    struct range range;
    if (!draw_range(client->run, &range))
        return;
    claim(client, &range);
    struct lfsx_volume *volume = open_volume(client, &range);
    uint64_t dice = below(client->run, 20);
    if (volume != NULL && dice < 13)
        do_write(client, volume, &range);
    else if (volume != NULL && dice < 17)
        do_erase(client, volume, &range);
    else if (volume != NULL) /* else it is not there yet */
        do_read(client, volume, &range);
    release(client, volume);
}

static void do_flush(struct run *run) {
    uint64_t started = run_now(run);
    enum status status = lfsx_pool_commit(run->pool);
    if (status == STATUS_OK)
        model_add_flush(&run->model, started, run_now(run));
    expect(run, status, false, "a flush");
}

static uint64_t draw_size(struct run *run) {
    for (;;) {
        uint64_t size = run->plan.volume_bytes / 2 + below(run, run->plan.volume_bytes / 2);
        size = math_round_up(MATH_MAX(size, 8192), MODEL_CELL);
        bool taken = false;
        for (unsigned i = 0; i < run->model.instance_count; i++)
            taken |= run->model.instances[i].size == size;
        if (!taken)
            return size;
    }
}

static void finish_name(struct run *run, unsigned name, uint32_t op, enum status status,
                        const char *what) {
    run->creating[name] = run->deleting[name] = false;
    if (status == STATUS_OK)
        model_acknowledge(&run->model, op, run_now(run), true);
    else if (status == STATUS_NO_SPACE)
        model_undo(&run->model, op);
    run->in_doubt |= status != STATUS_OK && status != STATUS_NO_SPACE;
    expect(run, status, true, what);
}

static void do_name(struct run *run) {
    unsigned name = (unsigned)below(run, MODEL_NAMES);
    if (run->users[name] > 0 || run->creating[name] || run->deleting[name])
        return;
    if (model_present(&run->model, name) >= 0) {
        run->deleting[name] = true;
        uint32_t op = model_name_change(&run->model, run_now(run), name, -1);
        finish_name(run, name, op, lfsx_volume_delete(run->pool, model_names[name], 0),
                    "a deletion");
    } else if (run->model.instance_count < MODEL_INSTANCES_MAX) {
        run->creating[name] = true;
        uint64_t size = draw_size(run);
        unsigned instance = model_add_instance(&run->model, name, size, NULL);
        uint32_t op = model_name_change(&run->model, run_now(run), name, (int)instance);
        finish_name(run, name, op, lfsx_volume_create(run->pool, model_names[name], size),
                    "a creation");
    }
}

static void client_main(void *argument) {
    struct client *client = argument;
    struct run *run = client->run;
    for (unsigned i = 0; i < run->plan.ops && !run->in_doubt; i++) {
        counters.ops++;
        if (one_in(run, 60))
            os_sleep_ns(below(run, 12000000000ull));
        if (one_in(run, run->plan.flush_one_in))
            do_flush(run);
        else if (one_in(run, run->plan.names_one_in))
            do_name(run);
        else
            do_data(client);
    }
}

static void run_main(void *argument) {
    static struct client clients[MAX_CLIENTS];
    struct run *run = argument;
    struct lfsx_open_options options = {.cache_bytes = run->plan.cache_bytes};
    if (run->before != NULL)
        run->before();
    run->open_status = lfsx_pool_open(&run->disk.device, &options, &run->pool);
    expect(run, run->open_status, false, "opening");
    run->allocation_failed = sim_allocation_failed();
    if (run->open_status != STATUS_OK)
        return;
    unsigned started = 0;
    for (; started < run->plan.clients; started++) {
        clients[started].run = run;
        clients[started].number = started;
        if (os_thread_start(&clients[started].thread, "client", client_main, &clients[started]) !=
            STATUS_OK)
            break;
    }
    for (unsigned i = 0; i < started; i++)
        os_thread_join(clients[i].thread);
    if (!run->close)
        sim_stop();
    uint64_t closing = run_now(run);
    run->close_status = lfsx_pool_close(run->pool);
    if (run->close_status == STATUS_OK)
        model_add_flush(&run->model, closing, run_now(run));
    expect(run, run->close_status, false, "closing");
    run->allocation_failed = sim_allocation_failed();
}

enum sim_end run_go(struct run *run) {
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        run->ranges[i].instance = -1;
    struct sim_options world = {.seed = run->seed, .preempt = run->plan.preempt};
    enum sim_end end = sim_run(&world, run_main, run);
    if (end == SIM_STUCK)
        report_violation("nobody can go on");
    if (end == SIM_DONE && sim_leaked() != 0)
        report_violation("%llu allocations were not released", (unsigned long long)sim_leaked());
    counters.runs++;
    return end;
}

/* ---- beginnings ---- */

static void format_main(void *argument) {
    struct run *run = argument;
    struct lfsx_new_volume volumes[MODEL_NAMES];
    for (unsigned i = 0; i < run->plan.volumes; i++) {
        unsigned instance = model_add_instance(&run->model, i, draw_size(run), NULL);
        model_set_present(&run->model, i, instance);
        volumes[i] = (struct lfsx_new_volume){model_names[i], run->model.instances[instance].size};
    }
    struct lfsx_format_options options = {
        .label = "sim", .volumes = volumes, .volume_count = run->plan.volumes};
    enum status status = lfsx_format(&run->disk.device, &options);
    if (status != STATUS_OK)
        report_violation("formatting ended with %s", status_name(status));
}

static void begin(struct run *run, const struct plan *plan, uint64_t seed, uint64_t blocks) {
    memset(run, 0, sizeof *run);
    run->plan = *plan;
    run->seed = seed;
    run->random.state = seed ^ 0x5ca1ab1e;
    model_init(&run->model);
    sim_image_init(&run->start, blocks);
}

void run_init(struct run *run, const struct plan *plan, uint64_t seed) {
    begin(run, plan, seed, plan->disk_blocks);
    sim_disk_init(&run->disk, plan->disk_blocks, NULL);
    struct sim_options world = {.seed = seed};
    if (sim_run(&world, format_main, run) != SIM_DONE || sim_leaked() != 0)
        report_violation("formatting does not end, or leaks");
    sim_image_copy(&run->start, &run->disk.image);
    run->disk.delays = run->disk.recording = true;
}

void run_init_from(struct run *run, const struct plan *plan, uint64_t seed,
                   const struct sim_image *image) {
    begin(run, plan, seed, image->blocks);
    sim_image_copy(&run->start, image);
    sim_disk_init(&run->disk, image->blocks, image);
    for (unsigned i = 0; i < observed_count; i++) {
        unsigned name = 0;
        while (strcmp(model_names[name], observed[i].name) != 0)
            name++;
        unsigned instance =
            model_add_instance(&run->model, name, observed[i].size, observed[i].content);
        model_set_present(&run->model, name, instance);
    }
    run->disk.delays = run->disk.recording = true;
}

void run_destroy(struct run *run) {
    model_destroy(&run->model);
    sim_image_destroy(&run->start);
    sim_disk_destroy(&run->disk);
}
