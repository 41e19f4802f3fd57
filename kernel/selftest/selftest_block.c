/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selftest=block step=... step=...`: lets a test outside drive block devices through the whole
 * stack and compare what lies on them. A step is
 *
 *   OPERATION:DEVICE:OFFSET:LENGTH:STATUS[:SEED]
 *
 * read       fails with STATUS, or is OK and, if there is a seed, gives the seed's pattern
 * write fua  write the seed's pattern
 * flush discard
 * stress     writes the pattern to the range with many requests in flight from several threads,
 *            flushes, and reads all of it back the same way
 * retries    LENGTH reads, or more, have been retried on the device so far
 * sleep      for LENGTH milliseconds
 *
 * The pattern: the 64-bit word at byte offset o of the device is (o / 8 + 1) * FACTOR + seed, so
 * that no two words of a device are the same.
 */
#include "kernel/selftest/selftest_block.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/block/block.h"
#include "kernel/boot/command_line.h"
#include "kernel/cpu/panic.h"
#include "kernel/selftest/selftest.h"

#define ROOM "selftest"
#define FACTOR 0x9e3779b97f4a7c15ull
#define FIELDS 6u
#define FIELD_SIZE 32u

#define STRESS_THREADS 4u
#define STRESS_WINDOW 32u
#define STRESS_SPANS 3u
#define CHUNK (64u << 10)

struct step {
    char fields[FIELDS][FIELD_SIZE];
    struct blockdev *device;
    uint64_t offset, length, seed;
    bool has_seed;
};

static void fill(void *memory, uint64_t offset, uint64_t length, uint64_t seed) {
    uint64_t *words = memory;
    for (uint64_t i = 0; i < length / 8; i++)
        words[i] = (offset / 8 + i + 1) * FACTOR + seed;
}

static bool verify(const void *memory, uint64_t offset, uint64_t length, uint64_t seed) {
    const uint64_t *words = memory;
    for (uint64_t i = 0; i < length / 8; i++) {
        uint64_t expected = (offset / 8 + i + 1) * FACTOR + seed;
        if (words[i] == expected)
            continue;
        log_error(ROOM, "byte %llu holds 0x%llx, not 0x%llx", (unsigned long long)(offset + 8 * i),
                  (unsigned long long)words[i], (unsigned long long)expected);
        return false;
    }
    return true;
}

/* ---- stress ---- */

struct flight {
    struct block_request request;
    struct span spans[STRESS_SPANS];
    struct os_completion done;
    char *memory; /* CHUNK bytes */
    bool busy;
};

struct stress {
    const struct step *step;
    struct os_thread *thread;
    uint32_t number;
    enum block_operation operation;
    bool failed;
};

static void landed(struct block_request *request) {
    os_completion_signal(request->context);
}

static void take_off(const struct stress *stress, struct flight *flight, uint64_t chunk) {
    const struct step *step = stress->step;
    uint64_t from = chunk * CHUNK;
    uint64_t length = MATH_MIN((uint64_t)CHUNK, step->length - from);
    if (stress->operation == BLOCK_WRITE)
        fill(flight->memory, step->offset + from, length, step->seed);
    else
        memset(flight->memory, 0, length);
    /* Three spans where that many pages are there: one page, one page, the rest. */
    uint32_t count = 0;
    for (uint64_t at = 0; at < length; count++) {
        bool last = count + 1 == STRESS_SPANS;
        uint64_t piece = last ? length - at : MATH_MIN((uint64_t)OS_PAGE_SIZE, length - at);
        flight->spans[count] = (struct span){flight->memory + at, (size_t)piece};
        at += piece;
    }
    flight->request = (struct block_request){.operation = stress->operation,
                                             .offset = step->offset + from,
                                             .length = length,
                                             .spans = flight->spans,
                                             .span_count = count,
                                             .done = landed,
                                             .context = &flight->done};
    flight->busy = true;
    os_completion_expect(&flight->done, 1);
    blockdev_submit(step->device, &flight->request);
}

static void land(struct stress *stress, struct flight *flight) {
    if (!flight->busy)
        return;
    flight->busy = false;
    os_completion_wait(&flight->done);
    const struct block_request *request = &flight->request;
    if (request->status != STATUS_OK) {
        log_error(ROOM, "stress: %llu bytes at %llu: %s", (unsigned long long)request->length,
                  (unsigned long long)request->offset, status_text(request->status));
        stress->failed = true;
    } else if (stress->operation == BLOCK_READ &&
               !verify(flight->memory, request->offset, request->length, stress->step->seed)) {
        stress->failed = true;
    }
}

/* Takes every STRESS_THREADS-th chunk, from both ends in turn, so that neighbours meet. */
static void fly(struct stress *stress, struct flight *flights) {
    uint64_t chunks = math_divide_up(stress->step->length, CHUNK);
    uint64_t own = (chunks - stress->number + STRESS_THREADS - 1) / STRESS_THREADS;
    for (uint64_t i = 0; i < own; i++) {
        uint64_t turn = i % 2 ? own - 1 - i / 2 : i / 2;
        struct flight *flight = &flights[i % STRESS_WINDOW];
        land(stress, flight);
        take_off(stress, flight, turn * STRESS_THREADS + stress->number);
    }
    for (uint32_t i = 0; i < STRESS_WINDOW; i++)
        land(stress, &flights[i]);
}

static void run_stress_thread(void *argument) {
    struct stress *stress = argument;
    struct flight *flights = os_alloc_zeroed(STRESS_WINDOW * sizeof *flights);
    stress->failed = flights == NULL;
    for (uint32_t i = 0; flights != NULL && i < STRESS_WINDOW; i++) {
        os_completion_init(&flights[i].done);
        flights[i].memory = os_page_alloc(CHUNK);
        stress->failed |= flights[i].memory == NULL;
    }
    if (!stress->failed && stress->number < math_divide_up(stress->step->length, CHUNK))
        fly(stress, flights);
    for (uint32_t i = 0; flights != NULL && i < STRESS_WINDOW; i++) {
        os_page_free(flights[i].memory, CHUNK);
        os_completion_destroy(&flights[i].done);
    }
    os_free(flights);
}

static bool run_stress_pass(const struct step *step, enum block_operation operation) {
    struct stress stress[STRESS_THREADS];
    bool good = true;
    uint64_t start = os_now_ns();
    for (uint32_t i = 0; i < STRESS_THREADS; i++) {
        stress[i] = (struct stress){.step = step, .number = i, .operation = operation};
        if (os_thread_start(&stress[i].thread, "stress", run_stress_thread, &stress[i]) !=
            STATUS_OK) {
            stress[i].thread = NULL;
            good = false;
        }
    }
    for (uint32_t i = 0; i < STRESS_THREADS; i++) {
        if (stress[i].thread != NULL)
            os_thread_join(stress[i].thread);
        good &= !stress[i].failed;
    }
    uint64_t us = MATH_MAX((os_now_ns() - start) / 1000, 1u);
    log_info(ROOM, "%s: %llu bytes in %llu us: %llu MB/s",
             operation == BLOCK_WRITE ? "write" : "read", (unsigned long long)step->length,
             (unsigned long long)us, (unsigned long long)(step->length / us));
    return good;
}

static bool stress(const struct step *step) {
    return run_stress_pass(step, BLOCK_WRITE) && blockdev_flush(step->device) == STATUS_OK &&
           run_stress_pass(step, BLOCK_READ);
}

/* ---- single steps ---- */

/* Runs one request, whatever its alignment, and says what became of it. */
static enum status run_one(const struct step *step, enum block_operation operation, uint32_t flags,
                           void *memory) {
    struct os_completion done;
    os_completion_init(&done);
    os_completion_expect(&done, 1);
    struct span span = {memory, (size_t)step->length};
    bool data = operation == BLOCK_READ || operation == BLOCK_WRITE;
    struct block_request request = {.operation = operation,
                                    .flags = flags,
                                    .offset = step->offset,
                                    .length = step->length,
                                    .spans = &span,
                                    .span_count = data ? 1 : 0,
                                    .done = landed,
                                    .context = &done};
    blockdev_submit(step->device, &request);
    os_completion_wait(&done);
    os_completion_destroy(&done);
    return request.status;
}

static enum status run_data(const struct step *step, bool write, uint32_t flags) {
    uint64_t room = math_round_up(MATH_MAX(step->length, 1u), OS_PAGE_SIZE);
    void *memory = os_page_alloc((size_t)room);
    if (memory == NULL)
        return STATUS_NO_MEMORY;
    if (write)
        fill(memory, step->offset, step->length, step->seed);
    else
        memset(memory, 0, (size_t)room);
    enum status status = run_one(step, write ? BLOCK_WRITE : BLOCK_READ, flags, memory);
    if (!write && status == STATUS_OK && step->has_seed &&
        !verify(memory, step->offset, step->length, step->seed))
        status = STATUS_CHECKSUM;
    os_page_free(memory, (size_t)room);
    return status;
}

static enum status run_named(const struct step *step) {
    const char *name = step->fields[0];
    if (strcmp(name, "read") == 0)
        return run_data(step, false, 0);
    if (strcmp(name, "write") == 0)
        return run_data(step, true, 0);
    if (strcmp(name, "fua") == 0)
        return run_data(step, true, BLOCK_FUA);
    if (strcmp(name, "flush") == 0)
        return run_one(step, BLOCK_FLUSH, 0, NULL);
    if (strcmp(name, "discard") == 0)
        return run_one(step, BLOCK_DISCARD, 0, NULL);
    if (strcmp(name, "stress") == 0)
        return stress(step) ? STATUS_OK : STATUS_IO;
    if (strcmp(name, "retries") == 0) {
        struct block_statistics now;
        block_statistics(step->device, &now);
        return now.retries >= step->length ? STATUS_OK : STATUS_NOT_FOUND;
    }
    if (strcmp(name, "sleep") == 0) {
        os_sleep_ns(step->length * 1000000);
        return STATUS_OK;
    }
    return STATUS_UNSUPPORTED;
}

/* ---- reading the command line ---- */

static bool parse_number(const char *text, uint64_t *number) {
    *number = 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || !math_multiply(*number, 10, number) ||
            !math_add(*number, (uint64_t)(*text - '0'), number))
            return false;
    }
    return true;
}

static bool parse(const char *text, struct step *step) {
    memset(step, 0, sizeof *step);
    uint32_t field = 0;
    size_t at = 0;
    for (; *text != '\0'; text++) {
        if (*text == ':') {
            field++;
            at = 0;
        } else if (field < FIELDS && at + 1 < FIELD_SIZE) {
            step->fields[field][at++] = *text;
        } else {
            return false;
        }
    }
    step->has_seed = field == 5;
    step->device = block_find(step->fields[1]);
    return field >= 4 && step->device != NULL && parse_number(step->fields[2], &step->offset) &&
           parse_number(step->fields[3], &step->length) &&
           parse_number(step->fields[5], &step->seed);
}

static bool run_steps(void) {
    const char *text;
    for (size_t i = 0; (text = command_line_get_nth("step", i)) != NULL; i++) {
        struct step step;
        if (!parse(text, &step)) {
            log_error(ROOM, "step %s: not understood, or no such device", text);
            return false;
        }
        uint64_t start = os_now_ns();
        enum status status = run_named(&step);
        log_info(ROOM, "step %s: %s after %llu ms", text, status_name(status),
                 (unsigned long long)((os_now_ns() - start) / 1000000));
        if (strcmp(status_name(status), step.fields[4]) != 0)
            return false;
    }
    block_print();
    return true;
}

void selftest_block_run(void) {
    const char *wanted = command_line_get("selftest");
    if (wanted == NULL || strcmp(wanted, "block") != 0)
        return;
    bool passed = run_steps();
    log_info(ROOM, "selftest block: %s", passed ? "passed" : "failed");
    panic_debug_exit(passed ? SELFTEST_EXIT_PASSED : SELFTEST_EXIT_FAILED);
}
