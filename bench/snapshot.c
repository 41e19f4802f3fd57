/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much processor time a snapshot costs, of a thin volume of 1 TiB with ever more extents: each
 * line of the table has ten times as many as the one before. Usage: bench/snapshot [EXTENTS], 10
 * million by default, which takes about 1 GiB of memory.
 *
 * Data blocks are zeros, which the disk in memory does not store; everything else is as always.
 */
#include "base/mem.h"
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define DISK_BYTES (64ull << 30)
#define VOLUME_BYTES (1ull << 40)
#define ROUNDS 50u

/* A disk in memory without a place for zeros that nobody wrote over anything. */
struct thin_disk {
    struct blockdev device;
    char *content;
};

static void write_blocks(char *to, const char *from, size_t length) {
    for (size_t i = 0; i < length; i += LFSX_BLOCK_SIZE)
        if (!mem_is_zero(from + i, LFSX_BLOCK_SIZE) || !mem_is_zero(to + i, LFSX_BLOCK_SIZE))
            memcpy(to + i, from + i, LFSX_BLOCK_SIZE);
}

static void submit(struct blockdev *device, struct block_request *request) {
    struct thin_disk *disk = (struct thin_disk *)device;
    char *at = disk->content + request->offset;
    for (uint32_t i = 0; i < request->span_count; i++) {
        struct span *span = &request->spans[i];
        if (request->operation == BLOCK_WRITE)
            write_blocks(at, span->base, span->length);
        if (request->operation == BLOCK_READ)
            memcpy(span->base, at, span->length);
        at += span->length;
    }
    request->status = STATUS_OK;
    request->done(request);
}

static const struct blockdev_operations operations = {.submit = submit};

static void must(enum status status, const char *what) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, status_text(status));
    exit(1);
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Writes single blocks so far apart that none joins another's extent. */
static void add_extents(struct lfsx_volume *volume, uint64_t from, uint64_t to, uint64_t total) {
    uint64_t stride = VOLUME_BYTES / LFSX_BLOCK_SIZE / total;
    for (uint64_t i = from; i < to; i++) {
        struct lfsx_buffer *buffer;
        must(lfsx_buffer_alloc(i * stride * LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE, &buffer), "a buffer");
        memset(buffer->spans[0].base, 0, LFSX_BLOCK_SIZE);
        must(lfsx_volume_write(volume, buffer, 0), "a write");
        lfsx_buffer_free(buffer);
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double snapshot_seconds(struct lfsx_pool *pool, struct lfsx_volume *volume, uint64_t at) {
    static const char *const volumes[] = {"big"};
    add_extents(volume, at, at + 1, 1 << 20);
    must(lfsx_pool_commit(pool), "a commit");
    double before = cpu_seconds();
    must(lfsx_snapshot_create(pool, volumes, 1, "snapshot", 0), "a snapshot");
    double seconds = cpu_seconds() - before;
    must(lfsx_snapshot_delete(pool, "big", "snapshot"), "a deletion");
    must(lfsx_pool_settle(pool), "freeing");
    return seconds;
}

/* Takes snapshots, each after a change of one block, and deletes them again. The first one does not
 * count: it writes what the extents before it left to be written. */
static void measure(struct lfsx_pool *pool, struct lfsx_volume *volume, uint64_t extents) {
    double times[ROUNDS];
    (void)snapshot_seconds(pool, volume, 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        times[round] = snapshot_seconds(pool, volume, round);
    qsort(times, ROUNDS, sizeof times[0], compare);
    printf("%10llu extents: %6.0f us of processor time (median of %u), %.0f at most\n",
           (unsigned long long)extents, times[ROUNDS / 2] * 1e6, ROUNDS, times[ROUNDS - 1] * 1e6);
    fflush(stdout);
}

int main(int argc, char **argv) {
    host_start(argv[0]);
    uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000000;
    struct thin_disk disk = {.device = {.operations = &operations,
                                        .name = "memory",
                                        .size = DISK_BYTES,
                                        .limits = {.block_size = 512,
                                                   .max_transfer = 1 << 20,
                                                   .queue_depth = 32,
                                                   .volatile_cache = true}}};
    disk.content = mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (disk.content == MAP_FAILED || total == 0 || total > VOLUME_BYTES / LFSX_BLOCK_SIZE) {
        fprintf(stderr, "bench/snapshot [EXTENTS]: no memory, or not a number of extents\n");
        return 2;
    }
    struct lfsx_new_volume big = {"big", VOLUME_BYTES};
    struct lfsx_format_options options = {.label = "", .volumes = &big, .volume_count = 1};
    must(lfsx_format(&disk.device, &options), "a pool");
    struct lfsx_pool *pool;
    struct lfsx_volume *volume;
    must(lfsx_pool_open(&disk.device, NULL, &pool), "the pool");
    must(lfsx_volume_open(pool, "big", &volume), "the volume");
    uint64_t done = 0;
    for (uint64_t extents = 1000; done < total; extents *= 10) {
        uint64_t goal = extents < total ? extents : total;
        add_extents(volume, done, goal, total);
        done = goal;
        measure(pool, volume, done);
    }
    lfsx_volume_close(volume);
    must(lfsx_pool_close(pool), "the end");
    return 0;
}
