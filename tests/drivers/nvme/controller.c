/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever a controller does, each request is answered exactly once and with the truth,
 * within 15 s, and nothing that the controller says late reaches memory that others use by then.
 *
 * The real driver runs against a fake controller; its watchdog's passes come ten times as fast.
 */
#include "base/blockdev.h"
#include "base/os.h"
#include "drivers/nvme/nvme.h"
#include "host/host.h"
#include "kernel/device.h"
#include "tests/home/fake_nvme.h"
#include "tests/home/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 16384u /* of 512 bytes */
#define HURRY 10u
#define BUS_MASTER 4u

static struct pci_device function = {
    .class_code = 1, .subclass = 8, .interface = 2, .address = "0000:00:03.0"};
static uint32_t controller; /* number of the next one */

static struct fake_nvme *start(const struct fake_nvme_options *options, struct blockdev **device) {
    home_hurry = HURRY;
    struct fake_nvme *fake = fake_nvme_start(options);
    assert_true(nvme_driver.match(&function));
    assert_int_equal(nvme_driver.attach(&function), STATUS_OK);
    *device = device_block(0);
    assert_non_null(*device);
    controller++;
    return fake;
}

static struct fake_nvme *start_usual(struct blockdev **device) {
    const struct fake_nvme_options options = {
        .block_shift = 9, .blocks = BLOCKS, .mdts = 0, .msix_vectors = 3, .queues = 8};
    return start(&options, device);
}

static void stop(struct fake_nvme *fake) {
    nvme_shutdown();
    assert_int_equal(fake_nvme_counts(fake).violations, 0);
    fake_nvme_stop(fake);
}

static struct nvme_statistics statistics(void) {
    struct nvme_statistics now;
    assert_int_equal(nvme_statistics_read(controller - 1, &now), STATUS_OK);
    return now;
}

/* A request that remembers how often it was answered. */
struct tracked {
    struct block_request request;
    struct span span;
    struct os_completion done;
    uint32_t answers;
};

static void count_answer(struct block_request *request) {
    struct tracked *tracked = request->context;
    __atomic_fetch_add(&tracked->answers, 1, __ATOMIC_SEQ_CST);
    os_completion_signal(&tracked->done);
}

static void submit(struct blockdev *device, struct tracked *tracked, enum block_operation operation,
                   uint64_t offset, void *page) {
    memset(tracked, 0, sizeof *tracked);
    tracked->span = (struct span){page, OS_PAGE_SIZE};
    tracked->request = (struct block_request){.operation = operation,
                                              .offset = offset,
                                              .length = OS_PAGE_SIZE,
                                              .spans = &tracked->span,
                                              .span_count = 1,
                                              .done = count_answer,
                                              .context = tracked};
    os_completion_init(&tracked->done);
    os_completion_expect(&tracked->done, 1);
    blockdev_submit(device, &tracked->request);
}

static enum status await(struct tracked *tracked) {
    assert_true(os_completion_wait_timeout(&tracked->done, 15000000000ull));
    return tracked->request.status;
}

static void *filled(size_t bytes, int seed) {
    uint8_t *memory = os_page_alloc(bytes);
    assert_non_null(memory);
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (uint8_t)(i * 7 + i / 4096 + (size_t)seed);
    return memory;
}

static void limits_come_from_the_controller(void **state) {
    (void)state;
    struct blockdev *device;
    const struct fake_nvme_options options = {
        .block_shift = 12, .blocks = 1000, .mdts = 5, .msix_vectors = 3, .queues = 1};
    struct fake_nvme *fake = start(&options, &device);
    assert_int_equal(device->limits.block_size, 4096);
    assert_int_equal(device->size, 4096000);
    assert_int_equal(device->limits.max_transfer, 4096 << 5);
    assert_int_equal(device->limits.queue_depth, 63);
    assert_true(device->limits.volatile_cache);
    assert_true(device->limits.max_discard > 0);
    assert_string_equal(device->model, "Fake controller");
    assert_string_equal(device->serial, "FAKE?[31m 0001"); /* nothing that a terminal obeys */
    assert_null(device_block(1)); /* the namespace with metadata is left alone */
    stop(fake);
}

static void every_length_reaches_the_medium_and_comes_back(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    static const size_t lengths[] = {512, 4096, 4608, 8192, 12288, 65536, 1 << 20, 3 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t room = (lengths[i] + 4095) / 4096 * 4096;
        uint8_t *out = filled(room, (int)i), *in = filled(room, 99);
        uint64_t offset = 512 * (i + 1);
        assert_int_equal(blockdev_write(device, offset, out, lengths[i], i % 2 ? BLOCK_FUA : 0),
                         STATUS_OK);
        assert_memory_equal(fake_nvme_medium(fake) + offset, out, lengths[i]);
        assert_int_equal(blockdev_read(device, offset, in, lengths[i]), STATUS_OK);
        assert_memory_equal(in, out, lengths[i]);
        os_page_free(out, room);
        os_page_free(in, room);
    }
    assert_int_equal(fake_nvme_counts(fake).fua_writes, 3 + 3); /* 3 MiB are three commands */
    stop(fake);
}

static void scattered_pages_arrive_in_order(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    uint8_t *pages[5];
    struct span spans[5];
    for (int i = 0; i < 5; i++) {
        pages[i] = filled(8192, i * 31);
        spans[i] = (struct span){pages[i], i == 4 ? 512 : i % 2 ? 4096 : 8192};
    }
    struct tracked tracked;
    submit(device, &tracked, BLOCK_FLUSH, 0, pages[0]);
    assert_int_equal(await(&tracked), STATUS_OK);
    os_completion_expect(&tracked.done, 1);
    tracked.request.operation = BLOCK_WRITE;
    tracked.request.spans = spans;
    tracked.request.span_count = 5;
    tracked.request.length = 8192 + 4096 + 8192 + 4096 + 512;
    blockdev_submit(device, &tracked.request);
    assert_int_equal(await(&tracked), STATUS_OK);
    const uint8_t *at = fake_nvme_medium(fake);
    for (int i = 0; i < 5; i++) {
        assert_memory_equal(at, pages[i], spans[i].length);
        at += spans[i].length;
        os_page_free(pages[i], 8192);
    }
    stop(fake);
}

static void flush_and_discard_say_what_they_mean(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    assert_int_equal(blockdev_flush(device), STATUS_OK);
    assert_int_equal(blockdev_discard(device, 8192, 65536), STATUS_OK);
    struct fake_nvme_counts counts = fake_nvme_counts(fake);
    assert_int_equal(counts.flushes, 1);
    assert_int_equal(counts.deallocations, 1);
    assert_int_equal(counts.last_deallocated_lba, 16);
    assert_int_equal(counts.last_deallocated_blocks, 128);
    stop(fake);
}

static void statuses_become_what_callers_act_on(void **state) {
    (void)state;
    static const struct {
        uint16_t field;
        enum status status;
    } cases[] = {
        {0x281, STATUS_IO},          {0x280, STATUS_IO},        {0x06, STATUS_IO},
        {0x81, STATUS_NO_SPACE},     {0x20, STATUS_READ_ONLY},  {0x0b, STATUS_GONE},
        {0x80, STATUS_OUT_OF_RANGE}, {0x182, STATUS_READ_ONLY}, {0x370, STATUS_IO},
        {0x4281, STATUS_IO}, /* do not retry */
    };
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    void *page = filled(4096, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_nvme_fail_next(fake, cases[i].field);
        assert_int_equal(blockdev_read(device, 0, page, 4096), cases[i].status);
        assert_int_equal(blockdev_read(device, 0, page, 4096), STATUS_OK);
    }
    assert_int_equal(statistics().failed, sizeof cases / sizeof cases[0]);
    os_page_free(page, 4096);
    stop(fake);
}

#define SUBMITTERS 4
#define REQUESTS 300

struct crowd {
    struct blockdev *device;
    uint32_t failures;
    uint32_t number;
};

static void submit_many(void *context) {
    struct crowd *crowd = context;
    struct tracked *tracked = calloc(REQUESTS, sizeof *tracked);
    void *page = filled(4096, (int)crowd->number);
    for (uint32_t i = 0; i < REQUESTS; i++)
        submit(crowd->device, &tracked[i], BLOCK_WRITE, crowd->number * 4096ull, page);
    for (uint32_t i = 0; i < REQUESTS; i++)
        if (await(&tracked[i]) != STATUS_OK || tracked[i].answers != 1)
            crowd->failures++;
    os_page_free(page, 4096);
    free(tracked);
}

static void more_requests_than_slots_wait_their_turn(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    struct crowd crowds[SUBMITTERS];
    struct os_thread *threads[SUBMITTERS];
    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        crowds[i] = (struct crowd){.device = device, .number = i};
        assert_int_equal(os_thread_start(&threads[i], "crowd", submit_many, &crowds[i]), STATUS_OK);
    }
    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        os_thread_join(threads[i]);
        assert_int_equal(crowds[i].failures, 0);
    }
    assert_int_equal(statistics().commands, SUBMITTERS * REQUESTS);
    assert_int_equal(statistics().in_flight, 0);
    stop(fake);
}

static void one_interrupt_serves_all_queues(void **state) {
    (void)state;
    for (uint16_t vectors = 0; vectors < 2; vectors++) {
        struct blockdev *device;
        const struct fake_nvme_options options = {
            .block_shift = 9, .blocks = BLOCKS, .msix_vectors = vectors, .queues = 8};
        struct fake_nvme *fake = start(&options, &device);
        void *page = filled(4096, 5);
        assert_int_equal(blockdev_write(device, 0, page, 4096, 0), STATUS_OK);
        assert_int_equal(statistics().queues, 1);
        assert_int_equal(statistics().missed_interrupts, 0);
        os_page_free(page, 4096);
        stop(fake);
    }
}

static void an_aborted_command_is_sent_once_more(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_obey_aborts(fake, true);
    fake_nvme_hold(fake, 1);
    uint8_t *page = filled(4096, 3);
    struct tracked tracked;
    submit(device, &tracked, BLOCK_WRITE, 4096, page);
    assert_int_equal(await(&tracked), STATUS_OK);
    assert_memory_equal(fake_nvme_medium(fake) + 4096, page, 4096);
    assert_int_equal(fake_nvme_counts(fake).aborts, 1);
    assert_int_equal(statistics().resets, 0);
    assert_int_equal(statistics().replayed, 1);
    os_page_free(page, 4096);
    stop(fake);
}

static void a_reset_replays_what_was_in_flight(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_hold(fake, 20);
    struct tracked tracked[30];
    uint8_t *pages[30];
    for (int i = 0; i < 30; i++) {
        pages[i] = filled(4096, i);
        submit(device, &tracked[i], BLOCK_WRITE, (uint64_t)i * 4096, pages[i]);
    }
    for (int i = 0; i < 30; i++) {
        assert_int_equal(await(&tracked[i]), STATUS_OK);
        assert_memory_equal(fake_nvme_medium(fake) + (size_t)i * 4096, pages[i], 4096);
    }
    assert_int_equal(statistics().resets, 1);
    assert_int_equal(statistics().replayed, 20);
    assert_int_equal(fake_nvme_counts(fake).enables, 2);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(tracked[i].answers, 1);
        os_page_free(pages[i], 4096);
    }
    stop(fake);
}

static void late_and_invented_answers_touch_nothing(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_hold(fake, 1);
    uint8_t *page = filled(4096, 3);
    struct tracked first, second;
    submit(device, &first, BLOCK_WRITE, 0, page);
    assert_int_equal(await(&first), STATUS_OK); /* by way of a reset */
    fake_nvme_hold(fake, 1);
    submit(device, &second, BLOCK_WRITE, 0, page);
    while (fake_nvme_held(fake) < 2)
        os_sleep_ns(1000000);
    /* The answers of before the reset, to another's slot of now, and to no slot at all. */
    uint64_t stray = statistics().stray;
    for (uint16_t id = 0; id < 64; id++)
        fake_nvme_invent(fake, 1, (uint16_t)(id | 62u << 10));
    for (int i = 0; i < 100 && statistics().stray < stray + 64; i++)
        os_sleep_ns(10000000);
    assert_int_equal(statistics().stray, stray + 64);
    assert_int_equal(second.answers, 0);
    assert_int_equal(await(&second), STATUS_OK);
    fake_nvme_answer_late(fake);
    for (int i = 0; i < 100 && statistics().stray < stray + 66; i++)
        os_sleep_ns(10000000);
    assert_int_equal(statistics().stray, stray + 66);
    assert_int_equal(first.answers, 1);
    assert_int_equal(second.answers, 1);
    os_page_free(page, 4096);
    stop(fake);
}

static void a_controller_that_stays_stuck_goes_offline(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_hold(fake, UINT32_MAX);
    uint8_t *page = filled(4096, 3);
    struct tracked tracked[3];
    for (int i = 0; i < 3; i++)
        submit(device, &tracked[i], BLOCK_READ, 0, page);
    for (int i = 0; i < 3; i++)
        assert_int_equal(await(&tracked[i]), STATUS_GONE);
    /* It lost the bus before the memory was given back. */
    assert_int_equal(home_function.command & BUS_MASTER, 0);
    assert_true(statistics().offline);
    assert_int_equal(statistics().resets, 1);
    assert_int_equal(blockdev_read(device, 0, page, 4096), STATUS_GONE);
    assert_int_equal(blockdev_flush(device), STATUS_GONE);
    os_page_free(page, 4096);
    stop(fake);
}

static void a_controller_that_cannot_be_disabled_goes_offline(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_hold(fake, UINT32_MAX);
    fake_nvme_refuse_disable(fake);
    uint8_t *page = filled(4096, 3);
    struct tracked tracked;
    submit(device, &tracked, BLOCK_READ, 0, page);
    assert_int_equal(await(&tracked), STATUS_GONE);
    assert_int_equal(home_function.command & BUS_MASTER, 0);
    os_page_free(page, 4096);
    stop(fake);
}

static void removal_ends_requests_and_sleepers(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_hold(fake, UINT32_MAX);
    struct crowd crowd = {.device = device};
    struct os_thread *thread; /* submits more than there are slots, so that it sleeps */
    assert_int_equal(os_thread_start(&thread, "crowd", submit_many, &crowd), STATUS_OK);
    while (fake_nvme_held(fake) < 63)
        os_sleep_ns(1000000);
    fake_nvme_remove(fake);
    os_thread_join(thread);
    assert_int_equal(crowd.failures, REQUESTS);
    struct nvme_health health;
    assert_int_equal(nvme_health_read(controller - 1, &health), STATUS_GONE);
    stop(fake);
}

static void a_controller_that_is_never_ready_is_left_alone(void **state) {
    (void)state;
    const struct fake_nvme_options options = {
        .block_shift = 9, .blocks = BLOCKS, .msix_vectors = 3, .queues = 8, .never_ready = true};
    struct fake_nvme *fake = fake_nvme_start(&options);
    assert_int_equal(nvme_driver.attach(&function), STATUS_TIMEOUT);
    assert_null(device_block(0));
    fake_nvme_stop(fake);
}

static void lost_interrupts_are_noticed(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    fake_nvme_lose_interrupts(fake);
    uint8_t *page = filled(4096, 3);
    assert_int_equal(blockdev_read(device, 0, page, 4096), STATUS_OK);
    /* The reader has its answer before the watchdog has counted what it found. */
    for (int i = 0; i < 500 && statistics().missed_interrupts == 0; i++)
        os_sleep_ns(10000000);
    assert_int_equal(statistics().missed_interrupts, 1);
    assert_int_equal(statistics().timeouts, 0);
    os_page_free(page, 4096);
    stop(fake);
}

static void health_is_read_and_shutdown_confirmed(void **state) {
    (void)state;
    struct blockdev *device;
    struct fake_nvme *fake = start_usual(&device);
    struct nvme_health health;
    assert_int_equal(nvme_health_read(controller - 1, &health), STATUS_OK);
    assert_int_equal(health.temperature_celsius, 27);
    assert_int_equal(health.bytes_read, 1024000);
    assert_true(health.media_errors == UINT64_MAX); /* more than 64 bits hold */
    assert_int_equal(nvme_health_read(controller, &health), STATUS_NOT_FOUND);
    nvme_shutdown();
    assert_true(fake_nvme_counts(fake).shut_down);
    assert_int_equal(blockdev_flush(device), STATUS_GONE);
    stop(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_come_from_the_controller),
        cmocka_unit_test(every_length_reaches_the_medium_and_comes_back),
        cmocka_unit_test(scattered_pages_arrive_in_order),
        cmocka_unit_test(flush_and_discard_say_what_they_mean),
        cmocka_unit_test(statuses_become_what_callers_act_on),
        cmocka_unit_test(more_requests_than_slots_wait_their_turn),
        cmocka_unit_test(one_interrupt_serves_all_queues),
        cmocka_unit_test(an_aborted_command_is_sent_once_more),
        cmocka_unit_test(a_reset_replays_what_was_in_flight),
        cmocka_unit_test(late_and_invented_answers_touch_nothing),
        cmocka_unit_test(a_controller_that_stays_stuck_goes_offline),
        cmocka_unit_test(a_controller_that_cannot_be_disabled_goes_offline),
        cmocka_unit_test(removal_ends_requests_and_sleepers),
        cmocka_unit_test(a_controller_that_is_never_ready_is_left_alone),
        cmocka_unit_test(lost_interrupts_are_noticed),
        cmocka_unit_test(health_is_read_and_shutdown_confirmed),
    };
    host_start("nvme");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
