/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what storage asks of the block layer happens on the device below, whole and once, however
 * the device limits it; errors come back as they are, reads after bounded retries, writes never
 * retried.
 *
 * The real block layer over a real file, with a driver between that has small limits, can hold
 * requests back and counts what reaches it.
 */
#include "base/math.h"
#include "base/os.h"
#include "host/host.h"
#include "kernel/block/block.h"
#include "tests/home/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (64u << 20)
#define TRANSFER (128u << 10)
#define DISCARD (1u << 20)
#define DEPTH 4u

static struct {
    struct blockdev device;
    struct blockdev *file;
    struct os_mutex mutex; /* guards what follows */
    bool hold;
    struct list_node held;
    uint32_t reached[BLOCK_OPERATION_COUNT];
    uint32_t in_flight, most_in_flight;
    uint32_t violations;
    enum status fail_next;
} driver;

static char path[64];

static void check_limits(const struct block_request *request) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request->span_count; i++)
        sum += request->spans[i].length;
    bool data = request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;
    if (data && (request->length > TRANSFER || sum != request->length))
        driver.violations++;
    if (request->operation == BLOCK_DISCARD && request->length > DISCARD)
        driver.violations++;
}

static void execute(struct block_request *request) {
    uint64_t offset = request->offset;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < request->span_count; i++) {
        struct span span = request->spans[i];
        if (request->operation == BLOCK_READ)
            status = blockdev_read(driver.file, offset, span.base, span.length);
        else
            status = blockdev_write(driver.file, offset, span.base, span.length, 0);
        offset += span.length;
    }
    if (request->operation == BLOCK_FLUSH)
        status = blockdev_flush(driver.file);
    if (request->operation == BLOCK_DISCARD)
        status = blockdev_discard(driver.file, offset, request->length);
    os_mutex_lock(&driver.mutex);
    driver.in_flight--;
    if (driver.fail_next != STATUS_OK) {
        status = driver.fail_next;
        driver.fail_next = STATUS_OK;
    }
    os_mutex_unlock(&driver.mutex);
    request->status = status;
    request->done(request);
}

static void driver_submit(struct blockdev *device, struct block_request *request) {
    (void)device;
    os_mutex_lock(&driver.mutex);
    check_limits(request);
    driver.reached[request->operation]++;
    driver.in_flight++;
    driver.most_in_flight = MATH_MAX(driver.most_in_flight, driver.in_flight);
    bool hold = driver.hold;
    if (hold)
        list_push_back(&driver.held, &request->link);
    os_mutex_unlock(&driver.mutex);
    if (!hold)
        execute(request);
}

static void hold(void) {
    os_mutex_lock(&driver.mutex);
    driver.hold = true;
    os_mutex_unlock(&driver.mutex);
}

static void let_go(void) {
    struct list_node all, *node;
    list_init(&all);
    os_mutex_lock(&driver.mutex);
    driver.hold = false;
    list_splice_back(&all, &driver.held);
    os_mutex_unlock(&driver.mutex);
    while ((node = list_pop_front(&all)) != NULL)
        execute(LIST_CONTAINER(node, struct block_request, link));
}

static uint32_t reached(enum block_operation operation) {
    os_mutex_lock(&driver.mutex);
    uint32_t count = driver.reached[operation];
    os_mutex_unlock(&driver.mutex);
    return count;
}

static const struct blockdev_operations operations = {.submit = driver_submit};

/* A new disk over the same file. Attached devices stay for ever, as in the kernel. */
static struct blockdev *attach(void) {
    static uint32_t number;
    struct blockdev *device;
    memset(driver.reached, 0, sizeof driver.reached);
    driver.most_in_flight = 0;
    driver.device = (struct blockdev){.operations = &operations,
                                      .size = SIZE,
                                      .limits = {.block_size = 512,
                                                 .max_transfer = TRANSFER,
                                                 .queue_depth = DEPTH,
                                                 .max_discard = DISCARD,
                                                 .volatile_cache = true}};
    snprintf(driver.device.name, sizeof driver.device.name, "disk%u", number++);
    assert_int_equal(block_attach(&driver.device, &device), STATUS_OK);
    return device;
}

static struct block_statistics statistics(const struct blockdev *device) {
    struct block_statistics now;
    block_statistics(device, &now);
    return now;
}

static uint8_t *filled(size_t bytes, unsigned seed) {
    uint8_t *memory = os_page_alloc(bytes);
    assert_non_null(memory);
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (uint8_t)(i * 13 + i / 4096 * 5 + seed);
    return memory;
}

static void a_request_beyond_the_hardware_is_cut(void **state) {
    (void)state;
    struct blockdev *device = attach();
    size_t length = 32u << 20;
    uint8_t *out = filled(length, 1), *in = filled(length, 2);
    assert_true(device->limits.max_transfer >= length);
    assert_int_equal(blockdev_write(device, 512, out, length, BLOCK_FUA), STATUS_OK);
    assert_int_equal(reached(BLOCK_WRITE), length / TRANSFER);
    assert_int_equal(blockdev_read(driver.file, 512, in, length), STATUS_OK);
    assert_memory_equal(in, out, length);
    memset(in, 0, length);
    assert_int_equal(blockdev_read(device, 512, in, length), STATUS_OK);
    assert_memory_equal(in, out, length);
    assert_int_equal(statistics(device).operations[BLOCK_WRITE].requests, 1);
    assert_int_equal(statistics(device).operations[BLOCK_WRITE].bytes, length);
    assert_true(driver.most_in_flight <= DEPTH);
    assert_int_equal(driver.violations, 0);
    os_page_free(out, length);
    os_page_free(in, length);
}

static void signal_done(struct block_request *request) {
    os_completion_signal(request->context);
}

static enum status run(struct blockdev *device, enum block_operation operation, uint64_t offset,
                       struct span *spans, uint32_t count) {
    struct os_completion completion;
    struct block_request request = {.operation = operation,
                                    .offset = offset,
                                    .spans = spans,
                                    .span_count = count,
                                    .done = signal_done,
                                    .context = &completion};
    for (uint32_t i = 0; i < count; i++)
        request.length += spans[i].length;
    os_completion_init(&completion);
    os_completion_expect(&completion, 1);
    blockdev_submit(device, &request);
    os_completion_wait(&completion);
    os_completion_destroy(&completion);
    return request.status;
}

/* Random spans, so that cuts fall everywhere. */
static void any_scatter_is_cut_right(void **state) {
    (void)state;
    struct blockdev *device = attach();
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    size_t room = 16u << 20;
    uint8_t *memory = filled(room, seed), *flat = os_page_alloc(room);
    for (int round = 0; round < 60; round++) {
        struct span spans[64];
        uint32_t count = 1 + (uint32_t)rand() % 64;
        size_t at = 0, total = 0;
        for (uint32_t i = 0; i < count; i++) {
            size_t pages = rand() % 4 ? 1 + (size_t)rand() % 3 : 1 + (size_t)rand() % 60;
            spans[i] = (struct span){memory + at, pages * 4096};
            at += (pages + (size_t)rand() % 2) * 4096; /* with and without gaps */
            if (i + 1 == count && rand() % 2)
                spans[i].length -= 512 * (size_t)(1 + rand() % 7);
            memcpy(flat + total, spans[i].base, spans[i].length);
            total += spans[i].length;
        }
        uint64_t offset = 512 * ((uint64_t)rand() % 1000);
        assert_int_equal(run(device, BLOCK_WRITE, offset, spans, count), STATUS_OK);
        uint8_t *in = os_page_alloc(math_round_up(total, 4096));
        assert_int_equal(blockdev_read(driver.file, offset, in, total), STATUS_OK);
        assert_memory_equal(in, flat, total);
        os_page_free(in, math_round_up(total, 4096));
        for (uint32_t i = 0; i < count; i++)
            memset(spans[i].base, 0, spans[i].length);
        assert_int_equal(run(device, BLOCK_READ, offset, spans, count), STATUS_OK);
        size_t seen = 0;
        for (uint32_t i = 0; i < count; seen += spans[i++].length)
            assert_memory_equal(spans[i].base, flat + seen, spans[i].length);
    }
    assert_int_equal(driver.violations, 0);
    os_page_free(memory, room);
    os_page_free(flat, room);
}

static void a_large_discard_is_cut(void **state) {
    (void)state;
    struct blockdev *device = attach();
    uint8_t *page = filled(4096, 1);
    assert_int_equal(blockdev_discard(device, 0, SIZE), STATUS_OK);
    assert_int_equal(reached(BLOCK_DISCARD), SIZE / DISCARD);
    assert_int_equal(driver.violations, 0);
    os_page_free(page, 4096);
}

static void unaligned_and_outside_never_reach_the_driver(void **state) {
    (void)state;
    struct blockdev *device = attach();
    uint8_t *page = filled(4096, 1);
    assert_int_equal(blockdev_write(device, 100, page, 512, 0), STATUS_UNALIGNED);
    assert_int_equal(blockdev_write(device, 0, page, 100, 0), STATUS_UNALIGNED);
    assert_int_equal(blockdev_write(device, SIZE - 512, page, 1024, 0), STATUS_OUT_OF_RANGE);
    assert_int_equal(blockdev_read(device, UINT64_MAX - 511, page, 512), STATUS_OUT_OF_RANGE);
    assert_int_equal(reached(BLOCK_WRITE) + reached(BLOCK_READ), 0);
    os_page_free(page, 4096);
}

#define WAITING 12u

static void neighbours_that_wait_travel_together(void **state) {
    (void)state;
    struct blockdev *device = attach();
    struct block_request requests[DEPTH + WAITING];
    struct span spans[DEPTH + WAITING];
    struct os_completion completion;
    os_completion_init(&completion);
    os_completion_expect(&completion, DEPTH + WAITING);
    hold();
    for (uint32_t i = 0; i < DEPTH + WAITING; i++) {
        /* The first fill the device; then neighbours, the even ones before the odd ones. */
        uint32_t w = i - DEPTH;
        uint64_t place = i < DEPTH         ? 1000 + 10 * i
                         : w < WAITING / 2 ? 2 * w
                                           : 2 * (w - WAITING / 2) + 1;
        spans[i] = (struct span){filled(4096, i), 4096};
        requests[i] = (struct block_request){.operation = BLOCK_WRITE,
                                             .offset = place * 4096,
                                             .length = 4096,
                                             .spans = &spans[i],
                                             .span_count = 1,
                                             .done = signal_done,
                                             .context = &completion};
        blockdev_submit(device, &requests[i]);
    }
    assert_int_equal(reached(BLOCK_WRITE), DEPTH);
    let_go();
    os_completion_wait(&completion);
    assert_int_equal(reached(BLOCK_WRITE), DEPTH + 1);
    assert_int_equal(statistics(device).merged, WAITING - 1);
    uint8_t *in = filled(4096, 0);
    for (uint32_t i = 0; i < DEPTH + WAITING; i++) {
        assert_int_equal(requests[i].status, STATUS_OK);
        assert_int_equal(blockdev_read(driver.file, requests[i].offset, in, 4096), STATUS_OK);
        assert_memory_equal(in, spans[i].base, 4096);
        os_page_free(spans[i].base, 4096);
    }
    os_page_free(in, 4096);
    os_completion_destroy(&completion);
}

/* One bad block fails only the request that has it, though both travelled together. */
static void a_failed_carrier_does_not_take_good_reads_down(void **state) {
    (void)state;
    struct blockdev *device = attach();
    struct block_request requests[DEPTH + 4];
    struct span spans[DEPTH + 4];
    struct os_completion completion;
    const struct block_fault fault = {
        .operation = BLOCK_READ, .offset = 2 * 4096, .length = 512, .status = STATUS_IO};
    assert_int_equal(block_fault_add(device, &fault), STATUS_OK);
    os_completion_init(&completion);
    os_completion_expect(&completion, DEPTH + 4);
    hold();
    for (uint32_t i = 0; i < DEPTH + 4; i++) {
        uint64_t place = i < DEPTH ? 1000 + 10 * i : i - DEPTH;
        spans[i] = (struct span){filled(4096, i), 4096};
        requests[i] = (struct block_request){.operation = BLOCK_READ,
                                             .offset = place * 4096,
                                             .length = 4096,
                                             .spans = &spans[i],
                                             .span_count = 1,
                                             .done = signal_done,
                                             .context = &completion};
        blockdev_submit(device, &requests[i]);
    }
    let_go();
    os_completion_wait(&completion);
    for (uint32_t i = 0; i < DEPTH + 4; i++) {
        assert_int_equal(requests[i].status, i == DEPTH + 2 ? STATUS_IO : STATUS_OK);
        os_page_free(spans[i].base, 4096);
    }
    assert_true(statistics(device).merged > 0);
    block_faults_clear(device);
    os_completion_destroy(&completion);
}

static void a_read_is_tried_again_and_recovers(void **state) {
    (void)state;
    struct blockdev *device = attach();
    uint8_t *page = filled(4096, 1);
    const struct block_fault fault = {.operation = BLOCK_READ,
                                      .offset = 8192,
                                      .length = 4096,
                                      .status = STATUS_IO,
                                      .count = BLOCK_READ_ATTEMPTS - 1};
    assert_int_equal(block_fault_add(device, &fault), STATUS_OK);
    assert_int_equal(blockdev_read(device, 8192, page, 4096), STATUS_OK);
    assert_int_equal(statistics(device).retries, BLOCK_READ_ATTEMPTS - 1);
    assert_int_equal(statistics(device).recovered, 1);
    os_page_free(page, 4096);
}

static void a_read_that_goes_on_failing_fails(void **state) {
    (void)state;
    struct blockdev *device = attach();
    uint8_t *page = filled(4096, 1);
    const struct block_fault fault = {
        .operation = BLOCK_READ, .offset = 8192, .length = 512, .status = STATUS_IO};
    assert_int_equal(block_fault_add(device, &fault), STATUS_OK);
    assert_int_equal(blockdev_read(device, 8192, page, 4096), STATUS_IO);
    assert_int_equal(statistics(device).retries, BLOCK_READ_ATTEMPTS - 1);
    assert_int_equal(blockdev_read(device, 8192 + 512, page, 512), STATUS_OK);
    block_faults_clear(device);
    assert_int_equal(blockdev_read(device, 8192, page, 4096), STATUS_OK);
    os_page_free(page, 4096);
}

static void writes_and_flushes_are_never_tried_again(void **state) {
    (void)state;
    struct blockdev *device = attach();
    uint8_t *page = filled(4096, 1);
    driver.fail_next = STATUS_IO;
    assert_int_equal(blockdev_write(device, 0, page, 4096, 0), STATUS_IO);
    assert_int_equal(reached(BLOCK_WRITE), 1);
    driver.fail_next = STATUS_IO;
    assert_int_equal(blockdev_flush(device), STATUS_IO);
    assert_int_equal(reached(BLOCK_FLUSH), 1);
    driver.fail_next = STATUS_GONE;
    assert_int_equal(blockdev_read(device, 0, page, 4096), STATUS_GONE);
    assert_int_equal(reached(BLOCK_READ), 1);
    assert_int_equal(statistics(device).operations[BLOCK_WRITE].errors, 1);
    os_page_free(page, 4096);
}

static void one_failed_piece_fails_the_request(void **state) {
    (void)state;
    struct blockdev *device = attach();
    uint8_t *memory = filled(1 << 20, 1);
    const struct block_fault fault = {.operation = BLOCK_WRITE,
                                      .offset = 5 * TRANSFER,
                                      .length = 512,
                                      .status = STATUS_NO_SPACE,
                                      .count = 1};
    assert_int_equal(block_fault_add(device, &fault), STATUS_OK);
    assert_int_equal(blockdev_write(device, 0, memory, 1 << 20, 0), STATUS_NO_SPACE);
    assert_int_equal(blockdev_write(device, 0, memory, 1 << 20, 0), STATUS_OK); /* once only */
    os_page_free(memory, 1 << 20);
}

static void faults_pass_as_many_as_they_were_told(void **state) {
    (void)state;
    struct blockdev *device = attach();
    const struct block_fault fault = {
        .operation = BLOCK_FLUSH, .status = STATUS_IO, .after = 2, .count = 1};
    const struct block_fault wrong = {.operation = BLOCK_READ, .status = STATUS_IO};
    assert_int_equal(block_fault_add(device, &wrong), STATUS_INVALID);
    assert_int_equal(block_fault_add(device, &fault), STATUS_OK);
    static const enum status expected[] = {STATUS_OK, STATUS_OK, STATUS_IO, STATUS_OK};
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++)
        assert_int_equal(blockdev_flush(device), expected[i]);
}

#define THREADS 6u
#define ROUNDS 150u

struct worker {
    struct blockdev *device;
    uint32_t number, failures;
};

/* Each has its own part of the disk, writes it in pieces of all sizes and reads it back. */
static void work(void *context) {
    struct worker *worker = context;
    unsigned seed = worker->number + 1;
    size_t room = 2u << 20;
    uint64_t base = worker->number * (uint64_t)room;
    uint8_t *model = filled(room, worker->number), *in = filled(room, 0);
    if (blockdev_write(worker->device, base, model, room, 0) != STATUS_OK)
        worker->failures++;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        size_t page = (size_t)rand_r(&seed) % (room / 4096);
        size_t length = 512 * (1 + (size_t)rand_r(&seed) % ((room - page * 4096) / 512));
        uint8_t *at = model + page * 4096;
        memset(at, rand_r(&seed), length);
        if (blockdev_write(worker->device, base + page * 4096, at, length, 0) != STATUS_OK ||
            blockdev_read(worker->device, base, in, room) != STATUS_OK ||
            memcmp(in, model, room) != 0)
            worker->failures++;
    }
    os_page_free(model, room);
    os_page_free(in, room);
}

static void many_threads_share_a_small_reserve(void **state) {
    (void)state;
    struct blockdev *device = attach();
    struct worker workers[THREADS];
    struct os_thread *threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.device = device, .number = i};
        assert_int_equal(os_thread_start(&threads[i], "worker", work, &workers[i]), STATUS_OK);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        os_thread_join(threads[i]);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_true(driver.most_in_flight <= DEPTH);
    assert_int_equal(driver.violations, 0);
    assert_int_equal(statistics(device).in_flight, 0);
}

static void partitions_are_devices_with_their_own_bounds(void **state) {
    (void)state;
    char command[256];
    snprintf(command, sizeof command,
             "PATH=$PATH:/sbin:/usr/sbin sgdisk -n 1:2048:4095 -n 2:4096:8191 %s >/dev/null", path);
    assert_int_equal(system(command), 0);
    struct blockdev *device = attach();
    uint32_t count;
    assert_int_equal(block_add_partitions(device, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_true(block_has_partitions(device));
    char name[40];
    snprintf(name, sizeof name, "%sp2", device->name);
    struct blockdev *partition = block_find(name);
    assert_non_null(partition);
    assert_false(block_has_partitions(partition));
    assert_int_equal(partition->size, 4096 * 512);
    uint8_t *out = filled(4096, 9), *in = filled(4096, 0);
    assert_int_equal(blockdev_write(partition, 0, out, 4096, 0), STATUS_OK);
    assert_int_equal(blockdev_read(driver.file, 4096 * 512, in, 4096), STATUS_OK);
    assert_memory_equal(in, out, 4096);
    assert_int_equal(blockdev_write(partition, partition->size - 512, out, 1024, 0),
                     STATUS_OUT_OF_RANGE);
    const struct block_fault fault = {
        .operation = BLOCK_WRITE, .offset = 512, .length = 512, .status = STATUS_IO};
    assert_int_equal(block_fault_add(partition, &fault), STATUS_OK);
    assert_int_equal(blockdev_write(partition, 512, out, 512, 0), STATUS_IO);
    assert_int_equal(blockdev_write(device, 512, out, 512, 0), STATUS_OK);
    assert_null(block_find("no such device"));
    os_page_free(out, 4096);
    os_page_free(in, 4096);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_beyond_the_hardware_is_cut),
        cmocka_unit_test(any_scatter_is_cut_right),
        cmocka_unit_test(a_large_discard_is_cut),
        cmocka_unit_test(unaligned_and_outside_never_reach_the_driver),
        cmocka_unit_test(neighbours_that_wait_travel_together),
        cmocka_unit_test(a_failed_carrier_does_not_take_good_reads_down),
        cmocka_unit_test(a_read_is_tried_again_and_recovers),
        cmocka_unit_test(a_read_that_goes_on_failing_fails),
        cmocka_unit_test(writes_and_flushes_are_never_tried_again),
        cmocka_unit_test(one_failed_piece_fails_the_request),
        cmocka_unit_test(faults_pass_as_many_as_they_were_told),
        cmocka_unit_test(many_threads_share_a_small_reserve),
        cmocka_unit_test(partitions_are_devices_with_their_own_bounds),
    };
    host_start("layer");
    os_mutex_init(&driver.mutex);
    list_init(&driver.held);
    snprintf(path, sizeof path, "/tmp/holdfast-layer-%d.img", (int)getpid());
    char command[128];
    snprintf(command, sizeof command, "truncate -s %u %s", SIZE, path);
    if (system(command) != 0 ||
        host_blockdev_open(path, HOST_BLOCKDEV_SHARED, &driver.file) != STATUS_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
