/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the storage core makes of a device: the simulator's home, whose clock only moves when
 * everybody waits, and models of an SSD and of a disk. So the numbers are those of the requests
 * that LFSX sends, and of nothing else: the processor costs nothing, and every run is the same.
 */
#include "base/assert.h"
#include "base/math.h"
#include "host/sim/sim.h"
#include "storage/lfsx/lfsx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISK_BYTES (1ull << 30)
#define VOLUME_BYTES (128ull << 20)
#define CACHE_BYTES (32ull << 20)
#define SECOND 1000000000ull
#define DEPTH_MAX 16u
#define TENTH (VOLUME_BYTES / 10)

/* Requests go through one after the other at `rate`, each after `seek` if it does not follow the
 * one before, and are answered after `latency`. */
struct model {
    const char *name;
    uint64_t seek_ns, latency_ns, flush_ns;
    uint64_t rate; /* bytes a second */
    uint64_t part; /* of the workload: slow devices do less of it */
};

struct disk {
    struct blockdev device;
    const struct model *model;
    char *content;
    uint64_t free_at, head;
    uint64_t requests;
};

struct workload {
    const char *name;
    unsigned depth;
    uint32_t block;
    bool write, random, flushed;
    uint64_t span; /* bytes of the volume that it stays in */
    unsigned rounds;
};

static const struct model models[] = {
    {"SSD", 0, 80000, 400000, 500u << 20, 1},
    {"disk", 8000000, 100000, 8000000, 150u << 20, 8},
};

static const struct workload workloads[] = {
    {"write 4 KiB at random, depth 1", 1, 4096, true, true, false, VOLUME_BYTES, 1},
    {"write 4 KiB at random, depth 16", 16, 4096, true, true, false, VOLUME_BYTES, 1},
    {"write 4 KiB at random, flushed, depth 1", 1, 4096, true, true, true, TENTH, 1},
    {"write 4 KiB at random, flushed, depth 16", 16, 4096, true, true, true, VOLUME_BYTES, 1},
    {"write 64 KiB in order, depth 1", 1, 65536, true, false, false, VOLUME_BYTES, 1},
    {"write 1 MiB in order, depth 4", 4, 1u << 20, true, false, false, VOLUME_BYTES, 1},
    {"read 4 KiB in order, depth 1", 1, 4096, false, false, false, VOLUME_BYTES, 1},
    {"read 4 KiB in order, depth 16", 16, 4096, false, false, false, VOLUME_BYTES, 1},
    {"read 64 KiB in order, depth 1", 1, 65536, false, false, false, VOLUME_BYTES, 1},
    {"read 1 MiB in order, depth 4", 4, 1u << 20, false, false, false, VOLUME_BYTES, 1},
    {"read 4 KiB at random, depth 1", 1, 4096, false, true, false, VOLUME_BYTES, 1},
    {"read 4 KiB at random, depth 16", 16, 4096, false, true, false, VOLUME_BYTES, 1},
    {"read 4 KiB at random in a tenth, depth 1", 1, 4096, false, true, false, TENTH, 5},
};

static struct disk disk;
static const struct workload *workload;
static struct lfsx_pool *pool;
static struct lfsx_volume *volume;
static uint64_t next_operation, operations;
static uint64_t took_ns, requests;

static void must(enum status status, const char *what) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, status_text(status));
    exit(1);
}

static void answer(void *argument) {
    struct block_request *request = argument;
    request->status = STATUS_OK;
    request->done(request);
}

static void submit(struct blockdev *device, struct block_request *request) {
    const struct model *model = disk.model;
    char *at = disk.content + request->offset;
    (void)device;
    for (uint32_t i = 0; i < request->span_count; i++) {
        struct span *span = &request->spans[i];
        if (request->operation == BLOCK_WRITE)
            memcpy(at, span->base, span->length);
        if (request->operation == BLOCK_READ)
            memcpy(span->base, at, span->length);
        at += span->length;
    }
    uint64_t needs = request->operation == BLOCK_FLUSH ? model->flush_ns : 0;
    if (request->operation == BLOCK_READ || request->operation == BLOCK_WRITE) {
        needs = request->length * SECOND / model->rate;
        needs += request->offset == disk.head ? 0 : model->seek_ns;
        disk.head = request->offset + request->length;
    }
    uint64_t now = os_now_ns();
    disk.free_at = MATH_MAX(disk.free_at, now) + needs;
    disk.requests++;
    sim_after(disk.free_at - now + model->latency_ns, answer, request);
}

static uint64_t mix(uint64_t number) {
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9ull;
    return number ^ number >> 27;
}

static void operate(uint64_t number) {
    uint64_t blocks = workload->span / workload->block;
    uint64_t place = workload->random ? mix(number + 1) % blocks : number % blocks;
    struct lfsx_buffer *buffer;
    must(lfsx_buffer_alloc(place * workload->block, workload->block, &buffer), "buffer");
    for (uint32_t i = 0; workload->write && i < buffer->span_count; i++)
        memset(buffer->spans[i].base, (int)number, buffer->spans[i].length);
    if (workload->write)
        must(lfsx_volume_write(volume, buffer, workload->flushed ? LFSX_FUA : 0), "write");
    else
        must(lfsx_volume_read(volume, buffer), "read");
    lfsx_buffer_free(buffer);
}

static void client(void *argument) {
    (void)argument;
    while (next_operation < operations)
        operate(next_operation++);
}

/* Fills the volume in large writes, which no cache keeps. */
static void prepare(void) {
    struct lfsx_new_volume one = {"volume", VOLUME_BYTES};
    struct lfsx_format_options format = {.label = "", .volumes = &one, .volume_count = 1};
    struct lfsx_open_options options = {.cache_bytes = CACHE_BYTES};
    must(lfsx_format(&disk.device, &format), "format");
    must(lfsx_pool_open(&disk.device, &options, &pool), "open");
    must(lfsx_volume_open(pool, "volume", &volume), "open");
    for (uint64_t at = 0; at < VOLUME_BYTES; at += 1u << 20) {
        struct lfsx_buffer *buffer;
        must(lfsx_buffer_alloc(at, 1u << 20, &buffer), "buffer");
        for (uint32_t i = 0; i < buffer->span_count; i++)
            memset(buffer->spans[i].base, 1, buffer->spans[i].length);
        must(lfsx_volume_write(volume, buffer, 0), "write");
        lfsx_buffer_free(buffer);
    }
    lfsx_volume_close(volume);
    must(lfsx_pool_close(pool), "close");
    must(lfsx_pool_open(&disk.device, &options, &pool), "open");
    must(lfsx_volume_open(pool, "volume", &volume), "open");
}

/* Until all is done and, for writes, durable. */
static void measure(void *argument) {
    struct os_thread *threads[DEPTH_MAX];
    (void)argument;
    prepare();
    uint64_t before = os_now_ns();
    disk.requests = 0;
    for (unsigned i = 0; i < workload->depth; i++)
        must(os_thread_start(&threads[i], "client", client, NULL), "thread");
    for (unsigned i = 0; i < workload->depth; i++)
        os_thread_join(threads[i]);
    must(lfsx_pool_commit(pool), "commit");
    took_ns = os_now_ns() - before;
    requests = disk.requests;
    lfsx_volume_close(volume);
    must(lfsx_pool_close(pool), "close");
}

static void run(const struct model *model, const struct workload *one) {
    static const struct blockdev_operations functions = {.submit = submit};
    disk = (struct disk){.device = {.operations = &functions,
                                    .name = "model",
                                    .size = DISK_BYTES,
                                    .limits = {.block_size = 4096,
                                               .max_transfer = 512u << 10,
                                               .queue_depth = 32,
                                               .volatile_cache = true}},
                         .model = model,
                         .content = disk.content};
    memset(disk.content, 0, DISK_BYTES);
    workload = one;
    next_operation = 0;
    operations = one->span / one->block / model->part * one->rounds;
    struct sim_options world = {.seed = 1};
    ASSERT(sim_run(&world, measure, NULL) == SIM_DONE);
    double seconds = (double)took_ns / (double)SECOND;
    printf("| %s | %s | %.0f | %.1f MB/s | %.2f |\n", model->name, one->name,
           (double)operations / seconds, (double)(operations * one->block) / seconds / 1e6,
           (double)requests / (double)operations);
    fflush(stdout);
}

int main(void) {
    disk.content = malloc(DISK_BYTES);
    ASSERT(disk.content != NULL);
    printf("| device | workload | operations a second | | device requests each |\n");
    printf("|---|---|---|---|---|\n");
    for (unsigned i = 0; i < sizeof models / sizeof *models; i++)
        for (unsigned j = 0; j < sizeof workloads / sizeof *workloads; j++)
            run(&models[i], &workloads[j]);
    free(disk.content);
    return 0;
}
