/* SPDX-License-Identifier: Apache-2.0 */
/* What the block layer counts. All counters are atomic and only grow. */
#include "base/log.h"
#include "base/math.h"
#include "kernel/block/block_internal.h"

#define HISTOGRAM_UNIT_NS 1000u

const char *block_operation_name(enum block_operation operation) {
    static const char *const names[BLOCK_OPERATION_COUNT] = {
        [BLOCK_READ] = "read",
        [BLOCK_WRITE] = "write",
        [BLOCK_FLUSH] = "flush",
        [BLOCK_DISCARD] = "discard",
    };
    return names[operation];
}

static uint32_t bucket_of(uint64_t latency_ns) {
    uint64_t units = latency_ns / HISTOGRAM_UNIT_NS;
    uint32_t bits = units == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(units);
    return MATH_MIN(bits, BLOCK_HISTOGRAM_BUCKETS - 1);
}

void block_statistics_record(struct block_view *view, const struct block_request *request,
                             enum status status, uint64_t latency_ns) {
    struct block_operation_statistics *operation = &view->operations[request->operation];
    block_count(&operation->requests, 1);
    if (status != STATUS_OK)
        block_count(&operation->errors, 1);
    else if (request->operation != BLOCK_FLUSH)
        block_count(&operation->bytes, request->length);
    block_count(&operation->latency_sum_ns, latency_ns);
    block_count(&operation->histogram[bucket_of(latency_ns)], 1);
    uint64_t max = __atomic_load_n(&operation->latency_max_ns, __ATOMIC_RELAXED);
    while (latency_ns > max &&
           !__atomic_compare_exchange_n(&operation->latency_max_ns, &max, latency_ns, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static uint64_t load(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void copy_operation(const struct block_operation_statistics *from,
                           struct block_operation_statistics *to) {
    to->requests = load(&from->requests);
    to->bytes = load(&from->bytes);
    to->errors = load(&from->errors);
    to->latency_sum_ns = load(&from->latency_sum_ns);
    to->latency_max_ns = load(&from->latency_max_ns);
    for (uint32_t i = 0; i < BLOCK_HISTOGRAM_BUCKETS; i++)
        to->histogram[i] = load(&from->histogram[i]);
}

void block_statistics(const struct blockdev *device, struct block_statistics *statistics) {
    const struct block_view *view = block_view_of((struct blockdev *)device);
    const struct block_disk *disk = view->disk;
    for (uint32_t i = 0; i < BLOCK_OPERATION_COUNT; i++)
        copy_operation(&view->operations[i], &statistics->operations[i]);
    statistics->pieces = load(&disk->pieces);
    statistics->merged = load(&disk->merged);
    statistics->retries = load(&disk->retries);
    statistics->recovered = load(&disk->recovered);
    statistics->slow = load(&disk->slow);
    statistics->in_flight = __atomic_load_n(&disk->in_flight, __ATOMIC_RELAXED);
}

static void print_device(const struct blockdev *device) {
    struct block_statistics now;
    block_statistics(device, &now);
    log_info(BLOCK_ROOM,
             "%s: %llu pieces sent, %llu merged, %llu reads retried, %llu of them recovered, "
             "%llu slow, %u in flight",
             device->name, (unsigned long long)now.pieces, (unsigned long long)now.merged,
             (unsigned long long)now.retries, (unsigned long long)now.recovered,
             (unsigned long long)now.slow, now.in_flight);
    for (uint32_t i = 0; i < BLOCK_OPERATION_COUNT; i++) {
        const struct block_operation_statistics *one = &now.operations[i];
        if (one->requests == 0)
            continue;
        log_info(BLOCK_ROOM,
                 "%s: %s: %llu requests, %llu bytes, %llu errors, %llu us each, %llu at most",
                 device->name, block_operation_name(i), (unsigned long long)one->requests,
                 (unsigned long long)one->bytes, (unsigned long long)one->errors,
                 (unsigned long long)(one->latency_sum_ns / one->requests / 1000),
                 (unsigned long long)(one->latency_max_ns / 1000));
    }
}

void block_print(void) {
    const struct blockdev *device;
    for (uint32_t i = 0; (device = block_device(i)) != NULL; i++)
        print_device(device);
}
